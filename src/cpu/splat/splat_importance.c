/* The importance of each Gaussian on the CPU: rows over threads, three runs over a row's pixels. */
#include "base/error.h"
#include "cpu/splat/splat_cpu.h"
#include "device/device.h"
#include "math/gaussian_form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL float
#define FORMULA(name) name##_f32
#define REAL_FMA(a, b, c) FMA_F32(a, b, c)
#include "base/threads.h"
#include "math/gaussian_power.h"

enum { BAND = 16 };

struct survey {
    const struct splat_view *view;
    const struct splat_blend *blend;
    const struct splat_target *target;
    struct gaussian_form *form;
    int64_t *band_start; /* [bands + 1]: of the band's Gaussians in `member` */
    int32_t *member;
    float cut_power;
    int64_t *sum; /* [count] */
    bool (*stop_requested)(void);
};

/* A thread's numbers of one row of pixels. */
struct row {
    float *best;  /* [width][topk]: the largest alphas, falling */
    float *below; /* [width]: sum of the weights, and what stands below the fraction bar with it */
    float *color; /* [width][channels]: sum of weight x colour */
};

typedef void (*visitor)(const struct survey *s, struct row *row, int32_t i, int x, int y,
                        float alpha);

/* Calls `visit` for every pixel of row y that Gaussian i reaches. */
static void visit_pixels(const struct survey *s, struct row *row, int32_t i, int y, visitor visit)
{
    const struct gaussian_form *g = &s->form[i];
    float weight = s->view->weight ? s->view->weight[i] : 0;
    float dy = (float)y + 0.5f - g->my, middle = g->mx + g->slope * dy;
    float half = gaussian_row_half(g, s->cut_power, dy);
    float first = ceilf(middle - half - 0.5f), last = floorf(middle + half - 0.5f);
    if (!(half >= 0) || !(last >= 0) || !(first < (float)s->view->width)) return;
    int x0 = first > 0 ? (int)first : 0;
    int x1 = last < (float)s->view->width ? (int)last : s->view->width - 1;
    for (int x = x0; x <= x1; x++) {
        float dx = (float)x + 0.5f - g->mx;
        float power = gaussian_power_f32(g->A * dx * dx, g->B * dx, dy, g->C * dy * dy);
        if (power <= s->cut_power) visit(s, row, i, x, y, exp2f(-(power + weight)));
    }
}

/* Keeps alpha if it is among the K largest of the pixel so far. */
static void keep_best(const struct survey *s, struct row *row, int32_t i, int x, int y, float alpha)
{
    (void)i, (void)y;
    int k = s->blend->topk;
    float *best = row->best + (int64_t)x * k;
    if (alpha <= best[k - 1]) return;
    for (k--; k > 0 && best[k - 1] < alpha; k--)
        best[k] = best[k - 1];
    best[k] = alpha;
}

static bool is_limited(const struct survey *s)
{
    return !s->blend->additive && s->blend->topk > 0;
}

static bool is_blended(const struct survey *s, const struct row *row, int x, float alpha)
{
    int k = s->blend->topk;
    return !is_limited(s) || alpha >= row->best[(int64_t)x * k + k - 1];
}

static void add_up(const struct survey *s, struct row *row, int32_t i, int x, int y, float alpha)
{
    (void)y;
    int channels = s->view->channels;
    if (!is_blended(s, row, x, alpha)) return;
    row->below[x] += alpha;
    for (int c = 0; c < channels; c++)
        row->color[x * channels + c] += alpha * s->view->feat[(int64_t)i * channels + c];
}

/* Adds to Gaussian i by how much the pixel's squared error would grow without it. */
static void importance_leave_out(const struct survey *s, struct row *row, int32_t i, int x, int y,
                                 float alpha)
{
    int channels = s->view->channels;
    if (!is_blended(s, row, x, alpha)) return;
    double with = (double)row->below[x], without = with - (double)alpha, share = 0;
    if (s->blend->additive) with = without = 1;
    if (without < (double)SPLAT_DENOMINATOR) without = (double)SPLAT_DENOMINATOR;
    for (int c = 0; c < channels; c++) {
        double sum = (double)row->color[x * channels + c];
        double own = (double)alpha * (double)s->view->feat[(int64_t)i * channels + c];
        double wanted = (double)splat_target_sample(s->target, y, x, c);
        double now = sum / with - wanted, then = (sum - own) / without - wanted;
        share += then * then - now * now;
    }
    share *= (double)splat_target_weight(s->target, y, x);
    share =
        fmin(fmax(share, -(double)SPLAT_SHARE_MOST), (double)SPLAT_SHARE_MOST); /* NaN: the least */
    int64_t units = (int64_t)(share / SPLAT_SHARE_UNIT);
    __atomic_fetch_add(&s->sum[i], units, __ATOMIC_RELAXED);
}

static void survey_row(const struct survey *s, struct row *row, int y)
{
    size_t width = (size_t)s->view->width;
    int64_t from = s->band_start[y / BAND], to = s->band_start[y / BAND + 1];
    memset(row->best, 0, width * (size_t)s->blend->topk * sizeof(float));
    memset(row->color, 0, width * (size_t)s->view->channels * sizeof(float));
    for (size_t x = 0; x < width; x++)
        row->below[x] = SPLAT_DENOMINATOR;
    for (int64_t k = is_limited(s) ? from : to; k < to; k++)
        visit_pixels(s, row, s->member[k], y, keep_best);
    for (int64_t k = from; k < to; k++)
        visit_pixels(s, row, s->member[k], y, add_up);
    for (int64_t k = from; k < to; k++)
        visit_pixels(s, row, s->member[k], y, importance_leave_out);
}

/* Bands that Gaussian i reaches; false: none. */
static bool bands_of(const struct survey *s, int64_t i, int *from, int *to)
{
    float top, bottom;
    int last = (s->view->height - 1) / BAND;
    if (!gaussian_rows(&s->form[i], s->cut_power, s->view->height, &top, &bottom)) return false;
    *from = top > 0 ? (int)(top / BAND) : 0;
    *to = bottom < (float)s->view->height ? (int)(bottom / BAND) : last;
    return true;
}

/* Lists each band's Gaussians, in their order. */
static int list_members(struct survey *s)
{
    int bands = (s->view->height - 1) / BAND + 1, from, to;
    int64_t *next = s->band_start;
    for (int64_t i = 0; i < s->view->count; i++)
        if (bands_of(s, i, &from, &to))
            for (int b = from; b <= to; b++)
                next[b + 1]++;
    for (int b = 0; b < bands; b++)
        next[b + 1] += next[b];
    s->member = calloc((size_t)next[bands] + 1, sizeof *s->member);
    if (!s->member) return fail(ERR_SYSTEM, "out of memory");
    for (int64_t i = 0; i < s->view->count; i++)
        if (bands_of(s, i, &from, &to))
            for (int b = from; b <= to; b++)
                s->member[next[b]++] = (int32_t)i;
    for (int b = bands; b > 0; b--) /* each start has moved to its band's end */
        next[b] = next[b - 1];
    next[0] = 0;
    return OK;
}

/* The survey with the numbers of a row for each thread. */
struct survey_work {
    const struct survey *survey;
    float *memory;
    size_t each;
    bool stopped;
};

static void survey_range(void *context, int64_t from, int64_t to)
{
    struct survey_work *work = context;
    const struct survey *s = work->survey;
    size_t width = (size_t)s->view->width;
    struct row row = {.best = work->memory + (size_t)threads_self() * work->each};
    row.below = row.best + width * (size_t)s->blend->topk;
    row.color = row.below + width;
    for (int y = (int)from; y < (int)to; y++) {
        if (s->stop_requested && s->stop_requested()) {
            __atomic_store_n(&work->stopped, true, __ATOMIC_RELAXED);
            return;
        }
        survey_row(s, &row, y);
    }
}

static int survey_rows(const struct survey *s)
{
    size_t width = (size_t)s->view->width, channels = (size_t)s->view->channels;
    struct survey_work work = {.survey = s,
                               .each = width * ((size_t)s->blend->topk + 1 + channels)};
    work.memory = malloc((size_t)threads_count() * work.each * sizeof *work.memory);
    if (!work.memory) return fail(ERR_SYSTEM, "out of memory");
    threads_for(s->view->height, 1, survey_range, &work);
    free(work.memory);
    return work.stopped ? fail(ERR_STOPPED, "stopped while Gaussians were compared") : OK;
}

int splat_cpu_importance(struct device *device, const struct splat_workspace *workspace,
                         const struct splat_view *view, const struct splat_blend *blend,
                         const struct splat_target *target, double *importance)
{
    (void)workspace;
    int bands = (view->height - 1) / BAND + 1, code;
    struct survey s = {.view = view,
                       .blend = blend,
                       .target = target,
                       .form = calloc((size_t)view->count + 1, sizeof *s.form),
                       .band_start = calloc((size_t)bands + 1, sizeof *s.band_start),
                       .cut_power = gaussian_cut_power(splat_cut(blend)),
                       .sum = calloc((size_t)view->count + 1, sizeof *s.sum),
                       .stop_requested = device->stop_requested};
    code = s.form && s.band_start && s.sum ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int64_t i = 0; code == OK && i < view->count; i++)
        s.form[i] = gaussian_form_of(view->xy + 2 * i, view->scale + 2 * i, view->rot[i],
                                     view->sigma_scale, view->width, view->height, 1, 1);
    if (code == OK) code = list_members(&s);
    if (code == OK) code = survey_rows(&s);
    for (int64_t i = 0; code == OK && i < view->count; i++)
        importance[i] = (double)s.sum[i] * SPLAT_SHARE_UNIT;
    free(s.form);
    free(s.band_start);
    free(s.member);
    free(s.sum);
    return code;
}
