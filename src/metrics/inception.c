#include "metrics/inception.h"

#include "base/error.h"
#include "base/threads.h"
#include "device/nn_ops.h"
#include "metrics/frechet.h"
#include "metrics/sample_metrics_internal.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 299, FEATURES = 2048, AT_ONCE = 4, CONVS = 94, STEPS = 5, BRANCHES = 4 };
enum { GATHERED_MOST = 1 << 23 }; /* floats of patches at a time */
enum { TENSORFLOW_CLASSES = 1008 };
static const double NORM_EPS = 0.001;

/* ---- the network, as torchvision names it ---- */

/* A convolution, what normalises its sums, and a ReLU. Stride 2 goes without padding, stride 1 with
 * as much as keeps the size, unless `bare`. fork: the next one reads the same value, and both are
 * side by side in the result. */
struct step {
    const char *name;
    int channels; /* or one of the block's own: */
    int kh, kw, stride;
    bool bare, fork;
};
enum { OWN_WIDTH = -1, OWN_POOL = -2 };

/* What a branch reads: the block's input, or means or maxima of 3 x 3 of it. */
enum source { PLAIN, MEANS, MAXIMA_OF_TWO, LAST_POOL };

struct branch {
    enum source source;
    struct step steps[STEPS]; /* up to one without a name */
};

struct block {
    const char *name;
    int width, pool;
    const struct branch *branches; /* BRANCHES, up to one that is empty and PLAIN */
};

static const struct step stem[] = {{"Conv2d_1a_3x3", 32, 3, 3, 2, true, false},
                                   {"Conv2d_2a_3x3", 32, 3, 3, 1, true, false},
                                   {"Conv2d_2b_3x3", 64, 3, 3, 1, false, false},
                                   {NULL, 0, 0, 0, 0, false, false}, /* maxima of two */
                                   {"Conv2d_3b_1x1", 80, 1, 1, 1, false, false},
                                   {"Conv2d_4a_3x3", 192, 3, 3, 1, true, false},
                                   {NULL, 0, 0, 0, 0, false, false}};

#define CONV(name, channels, kh, kw)                                                               \
    {                                                                                              \
        name, channels, kh, kw, 1, false, false                                                    \
    }
#define HALVE(name, channels)                                                                      \
    {                                                                                              \
        name, channels, 3, 3, 2, true, false                                                       \
    }
#define FORK(name, channels, kh, kw)                                                               \
    {                                                                                              \
        name, channels, kh, kw, 1, false, true                                                     \
    }

static const struct branch block_a[BRANCHES] = {
    {PLAIN, {CONV("branch1x1", 64, 1, 1)}},
    {PLAIN, {CONV("branch5x5_1", 48, 1, 1), CONV("branch5x5_2", 64, 5, 5)}},
    {PLAIN,
     {CONV("branch3x3dbl_1", 64, 1, 1), CONV("branch3x3dbl_2", 96, 3, 3),
      CONV("branch3x3dbl_3", 96, 3, 3)}},
    {MEANS, {CONV("branch_pool", OWN_POOL, 1, 1)}}};
static const struct branch block_b[BRANCHES] = {
    {PLAIN, {HALVE("branch3x3", 384)}},
    {PLAIN,
     {CONV("branch3x3dbl_1", 64, 1, 1), CONV("branch3x3dbl_2", 96, 3, 3),
      HALVE("branch3x3dbl_3", 96)}},
    {MAXIMA_OF_TWO, {{0}}}};
static const struct branch block_c[BRANCHES] = {
    {PLAIN, {CONV("branch1x1", 192, 1, 1)}},
    {PLAIN,
     {CONV("branch7x7_1", OWN_WIDTH, 1, 1), CONV("branch7x7_2", OWN_WIDTH, 1, 7),
      CONV("branch7x7_3", 192, 7, 1)}},
    {PLAIN,
     {CONV("branch7x7dbl_1", OWN_WIDTH, 1, 1), CONV("branch7x7dbl_2", OWN_WIDTH, 7, 1),
      CONV("branch7x7dbl_3", OWN_WIDTH, 1, 7), CONV("branch7x7dbl_4", OWN_WIDTH, 7, 1),
      CONV("branch7x7dbl_5", 192, 1, 7)}},
    {MEANS, {CONV("branch_pool", 192, 1, 1)}}};
static const struct branch block_d[BRANCHES] = {
    {PLAIN, {CONV("branch3x3_1", 192, 1, 1), HALVE("branch3x3_2", 320)}},
    {PLAIN,
     {CONV("branch7x7x3_1", 192, 1, 1), CONV("branch7x7x3_2", 192, 1, 7),
      CONV("branch7x7x3_3", 192, 7, 1), HALVE("branch7x7x3_4", 192)}},
    {MAXIMA_OF_TWO, {{0}}}};
#define BLOCK_E(pool)                                                                              \
    {                                                                                              \
        {PLAIN, {CONV("branch1x1", 320, 1, 1)}},                                                   \
            {PLAIN,                                                                                \
             {CONV("branch3x3_1", 384, 1, 1), FORK("branch3x3_2a", 384, 1, 3),                     \
              FORK("branch3x3_2b", 384, 3, 1)}},                                                   \
            {PLAIN,                                                                                \
             {CONV("branch3x3dbl_1", 448, 1, 1), CONV("branch3x3dbl_2", 384, 3, 3),                \
              FORK("branch3x3dbl_3a", 384, 1, 3), FORK("branch3x3dbl_3b", 384, 3, 1)}},            \
        {                                                                                          \
            pool,                                                                                  \
            {                                                                                      \
                CONV("branch_pool", 192, 1, 1)                                                     \
            }                                                                                      \
        }                                                                                          \
    }
static const struct branch block_e[BRANCHES] = BLOCK_E(MEANS);
static const struct branch last_block[BRANCHES] = BLOCK_E(LAST_POOL);

static const struct block blocks[] = {
    {"Mixed_5b", 0, 32, block_a},  {"Mixed_5c", 0, 64, block_a},  {"Mixed_5d", 0, 64, block_a},
    {"Mixed_6a", 0, 0, block_b},   {"Mixed_6b", 128, 0, block_c}, {"Mixed_6c", 160, 0, block_c},
    {"Mixed_6d", 160, 0, block_c}, {"Mixed_6e", 192, 0, block_c}, {"Mixed_7a", 0, 0, block_d},
    {"Mixed_7b", 0, 0, block_e},   {"Mixed_7c", 0, 0, last_block}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

/* ---- weights ---- */

/* A convolution with what normalises folded in: [cout][kh][kw][cin]. */
struct folded {
    float *weights, *bias;
};

struct inception {
    const struct nn_ops *ops;
    const char *path;
    struct store_file *file;    /* until all weights are read */
    struct folded convs[CONVS]; /* in the order of their first use */
    int count, next;            /* read, and the next that is used */
    bool is_tensorflow;
    bool (*stop_requested)(void);
};

static int read_vector(const struct inception *x, const char *name, const char *part, int count,
                       struct store_range range, float *to)
{
    char full[96];
    int64_t shape = count;
    snprintf(full, sizeof full, "%s.bn.%s", name, part);
    return store_read_float_in(x->file, full, 1, &shape, range, to);
}

/* I H W -> H W I, each output channel times gamma / deviation. */
static void fold(struct folded *f, const float *read, const float *const norm[4], int cout, int cin,
                 int taps)
{
    for (int o = 0; o < cout; o++) {
        double scale = (double)norm[0][o] / sqrt((double)norm[3][o] + NORM_EPS);
        size_t at = (size_t)o * (size_t)(cin * taps);
        for (int c = 0; c < cin; c++)
            for (int t = 0; t < taps; t++)
                f->weights[at + (size_t)(t * cin + c)] =
                    (float)(scale * (double)read[at + (size_t)(c * taps + t)]);
        f->bias[o] = (float)((double)norm[1][o] - scale * (double)norm[2][o]);
    }
}

static int read_conv(struct inception *x, const char *name, int cout, int cin, int kh, int kw)
{
    struct folded *f = &x->convs[x->count];
    size_t count = (size_t)cout * (size_t)(cin * kh * kw);
    int64_t shape[] = {cout, cin, kh, kw};
    char full[96];
    int code = OK;
    float *read = malloc((count + 4 * (size_t)cout) * sizeof *read), *norm = read + count;
    const float *const parts[4] = {norm, norm + cout, norm + 2 * cout, norm + 3 * cout};
    f->weights = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    f->bias = malloc((size_t)cout * sizeof *f->bias);
    x->count++;
    if (!read || !f->weights || !f->bias)
        TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for Inception"));
    snprintf(full, sizeof full, "%s.conv.weight", name);
    TRY_CLEANUP(store_read_float_in(x->file, full, 4, shape, store_finite(), read));
    TRY_CLEANUP(read_vector(x, name, "weight", cout, store_finite(), norm));
    TRY_CLEANUP(read_vector(x, name, "bias", cout, store_finite(), norm + cout));
    TRY_CLEANUP(read_vector(x, name, "running_mean", cout, store_finite(), norm + 2 * cout));
    TRY_CLEANUP(read_vector(x, name, "running_var", cout, store_not_negative(), norm + 3 * cout));
    fold(f, read, parts, cout, cin, kh * kw);
cleanup:
    free(read);
    return code;
}

/* ---- values: [n][h][w][c] ---- */

struct value {
    int n, h, w, c; /* n 0: only shapes, where weights are read */
    float *data;    /* owned */
};

static size_t rows_of(const struct value *v)
{
    return (size_t)v->n * (size_t)v->h * (size_t)v->w;
}

static int value_create(struct value *v, int n, int h, int w, int c)
{
    *v = (struct value){n, h, w, c, NULL};
    if (n == 0) return OK;
    v->data = aligned_alloc(64, (rows_of(v) * (size_t)c * sizeof(float) + 63) / 64 * 64);
    return v->data ? OK : fail(ERR_SYSTEM, "out of memory for Inception");
}

static void value_free(struct value *v)
{
    free(v->data);
    v->data = NULL;
}

/* A window of kh x kw over each place of the result, `above` and `left` of the input's edge. */
struct window {
    const struct value *in, *out;
    float *to;
    size_t first; /* row of the result that `to` begins with */
    int kh, kw, stride, above, left;
    bool of_inside; /* means: by the number of places inside, not by all */
};

static const float *window_at(const struct window *p, size_t row, int dy, int dx)
{
    int h = p->out->h, w = p->out->w;
    size_t image = row / (size_t)(h * w);
    int place = (int)(row % (size_t)(h * w));
    int y = place / w * p->stride - p->above + dy, x = place % w * p->stride - p->left + dx;
    if (y < 0 || y >= p->in->h || x < 0 || x >= p->in->w) return NULL;
    return p->in->data + ((image * (size_t)p->in->h + (size_t)y) * (size_t)p->in->w + (size_t)x) *
                             (size_t)p->in->c;
}

/* Rows of patches, [kh][kw][c]. */
static void gather_rows(void *context, int64_t from, int64_t to)
{
    const struct window *p = context;
    size_t c = (size_t)p->in->c;
    for (int64_t i = from; i < to; i++) {
        float *out = p->to + (size_t)i * (size_t)(p->kh * p->kw) * c;
        for (int dy = 0; dy < p->kh; dy++)
            for (int dx = 0; dx < p->kw; dx++, out += c) {
                const float *in = window_at(p, p->first + (size_t)i, dy, dx);
                if (in)
                    memcpy(out, in, c * sizeof *out);
                else
                    memset(out, 0, c * sizeof *out);
            }
    }
}

static void maxima_rows(void *context, int64_t from, int64_t to)
{
    const struct window *p = context;
    for (int64_t i = from; i < to; i++) {
        float *out = p->to + (size_t)i * (size_t)p->in->c;
        for (int k = 0; k < p->in->c; k++)
            out[k] = -INFINITY;
        for (int t = 0; t < 9; t++) {
            const float *in = window_at(p, (size_t)i, t / 3, t % 3);
            for (int k = 0; in && k < p->in->c; k++)
                out[k] = fmaxf(out[k], in[k]);
        }
    }
}

static void means_rows(void *context, int64_t from, int64_t to)
{
    const struct window *p = context;
    for (int64_t i = from; i < to; i++) {
        float *out = p->to + (size_t)i * (size_t)p->in->c;
        int inside = 0;
        memset(out, 0, (size_t)p->in->c * sizeof *out);
        for (int t = 0; t < 9; t++) {
            const float *in = window_at(p, (size_t)i, t / 3, t % 3);
            inside += in != NULL;
            for (int k = 0; in && k < p->in->c; k++)
                out[k] += in[k];
        }
        float share = 1.0f / (float)(p->of_inside ? inside : 9);
        for (int k = 0; k < p->in->c; k++)
            out[k] *= share;
    }
}

/* 3 x 3: maxima of every second place that has them whole, or means or maxima of every place. */
static int pool(const struct inception *x, const struct value *in, enum source source,
                struct value *out)
{
    bool halves = source == MAXIMA_OF_TWO;
    bool means = source == MEANS || (source == LAST_POOL && !x->is_tensorflow);
    TRY(value_create(out, in->n, halves ? (in->h - 3) / 2 + 1 : in->h,
                     halves ? (in->w - 3) / 2 + 1 : in->w, in->c));
    struct window window = {.in = in,
                            .out = out,
                            .to = out->data,
                            .stride = halves ? 2 : 1,
                            .above = !halves,
                            .left = !halves,
                            .of_inside = x->is_tensorflow};
    threads_for((int64_t)rows_of(out), threads_grain(9 * in->c), means ? means_rows : maxima_rows,
                &window);
    return OK;
}

/* Patches times weights, as convolutions of 1 x 1 on so many rows at a time as there is room for.
 */
static int convolve_rows(const struct inception *x, struct window *window, const struct folded *f)
{
    const struct nn_epilogue relu = {.bias = f->bias, .slope = 0};
    const struct value *in = window->in, *out = window->out;
    int depth = in->c * window->kh * window->kw, code = OK;
    size_t rows = rows_of(out), most = (size_t)(GATHERED_MOST / depth);
    bool gathers = window->kh * window->kw > 1 || window->stride > 1;
    if (most > rows) most = rows;
    struct nn_conv shape = {.n = 1, .h = (int)most, .w = 1, .cin = depth, .cout = out->c};
    shape.kernel = shape.groups = shape.chunk = 1;
    float *patches = gathers ? malloc(most * (size_t)depth * sizeof *patches) : NULL;
    void *workspace = aligned_alloc(64, (x->ops->conv_workspace(NULL, &shape) + 127) / 64 * 64);
    if ((gathers && !patches) || !workspace)
        TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for Inception"));
    window->to = patches;
    for (size_t first = 0; first < rows; first += most) {
        shape.h = (int)(rows - first < most ? rows - first : most);
        window->first = first;
        if (gathers) threads_for(shape.h, threads_grain(depth), gather_rows, window);
        TRY_CLEANUP(metrics_poll(x->stop_requested));
        TRY_CLEANUP(x->ops->conv_forward(NULL, &shape, out->data + first * (size_t)out->c,
                                         gathers ? patches : in->data + first * (size_t)depth,
                                         f->weights, &relu, workspace));
    }
cleanup:
    free(patches);
    free(workspace);
    return code;
}

static int convolve(struct inception *x, const char *block, const struct step *step, int channels,
                    const struct value *in, struct value *out)
{
    int up = step->bare ? 0 : step->kh / 2, left = step->bare ? 0 : step->kw / 2;
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", block, *block ? "." : "", step->name);
    if (x->file) TRY(read_conv(x, name, channels, in->c, step->kh, step->kw));
    TRY(value_create(out, in->n, (in->h + 2 * up - step->kh) / step->stride + 1,
                     (in->w + 2 * left - step->kw) / step->stride + 1, channels));
    struct window window = {.in = in,
                            .out = out,
                            .kh = step->kh,
                            .kw = step->kw,
                            .stride = step->stride,
                            .above = up,
                            .left = left};
    return in->n ? convolve_rows(x, &window, &x->convs[x->next++]) : OK;
}

/* ---- the way through it ---- */

/* The results of a block's branches. */
struct results {
    struct value values[8];
    int count;
};

static int channels_of_step(const struct block *block, const struct step *step)
{
    return step->channels == OWN_WIDTH  ? block->width
           : step->channels == OWN_POOL ? block->pool
                                        : step->channels;
}

static int run_branch(struct inception *x, const struct block *block, const struct branch *branch,
                      const struct value *in, struct results *results)
{
    struct value now = {0}, next = {0};
    int code = OK;
    bool forks = false;
    if (branch->source != PLAIN) TRY(pool(x, in, branch->source, &now));
    for (int i = 0; i < STEPS && branch->steps[i].name; i++) {
        const struct step *step = &branch->steps[i];
        const struct value *from = now.c ? &now : in;
        forks = step->fork;
        struct value *to = forks ? &results->values[results->count++] : &next;
        TRY_CLEANUP(convolve(x, block->name, step, channels_of_step(block, step), from, to));
        if (forks) continue;
        value_free(&now);
        now = next;
        next = (struct value){0};
    }
    if (!forks) results->values[results->count++] = now, now = (struct value){0};
cleanup:
    value_free(&now);
    value_free(&next);
    return code;
}

/* Side by side. */
static int join_results(const struct results *r, struct value *out)
{
    const struct value *first = &r->values[0];
    int channels = 0, at = 0;
    for (int i = 0; i < r->count; i++)
        channels += r->values[i].c;
    TRY(value_create(out, first->n, first->h, first->w, channels));
    for (int i = 0; i < r->count; at += r->values[i++].c) {
        const struct value *v = &r->values[i];
        for (size_t row = 0; row < rows_of(v); row++)
            memcpy(out->data + row * (size_t)channels + at, v->data + row * (size_t)v->c,
                   (size_t)v->c * sizeof(float));
    }
    return OK;
}

static int run_block(struct inception *x, const struct block *block, struct value *now)
{
    struct results results = {0};
    struct value out = {0};
    int code = OK;
    for (int b = 0; b < BRANCHES; b++)
        if (block->branches[b].source != PLAIN || block->branches[b].steps[0].name)
            TRY_CLEANUP(run_branch(x, block, &block->branches[b], now, &results));
    TRY_CLEANUP(join_results(&results, &out));
    value_free(now);
    *now = out;
cleanup:
    for (int i = 0; i < results.count; i++)
        value_free(&results.values[i]);
    return code;
}

static int run_stem(struct inception *x, struct value *now)
{
    for (size_t i = 0; i < sizeof stem / sizeof *stem; i++) {
        struct value next = {0};
        int code = stem[i].name ? convolve(x, "", &stem[i], stem[i].channels, now, &next)
                                : pool(x, now, MAXIMA_OF_TWO, &next);
        value_free(now);
        *now = next;
        TRY(code);
    }
    return OK;
}

/* now: the images, which it takes; the mean over all places of what is left is an image's row. */
static int run_images(struct inception *x, struct value *now, float *rows)
{
    x->next = 0;
    TRY(run_stem(x, now));
    for (int i = 0; i < BLOCKS; i++)
        TRY(run_block(x, &blocks[i], now));
    int places = now->h * now->w;
    for (int i = 0; i < now->n; i++)
        for (int k = 0; k < now->c; k++) {
            double sum = 0;
            for (int p = 0; p < places; p++)
                sum +=
                    (double)
                        now->data[((size_t)i * (size_t)places + (size_t)p) * FEATURES + (size_t)k];
            rows[(size_t)i * FEATURES + (size_t)k] = (float)(sum / places);
        }
    return OK;
}

/* ---- images ---- */

/* To 299 x 299 and -1..1: bilinear weights between the centres of pixels, edges repeated. */
struct resize {
    const uint8_t *const *images;
    int width, height;
    struct value *to;
};

static void resize_lines(void *context, int64_t from, int64_t to)
{
    const struct resize *r = context;
    for (int64_t line = from; line < to; line++) {
        const uint8_t *image = r->images[line / SIDE];
        float y = fmaxf(((float)(line % SIDE) + 0.5f) * (float)r->height / SIDE - 0.5f, 0);
        int y0 = (int)y, y1 = y0 + 1 < r->height ? y0 + 1 : y0;
        float fy = y - (float)y0, *out = r->to->data + (size_t)line * SIDE * 3;
        for (int px = 0; px < SIDE; px++) {
            float x = fmaxf(((float)px + 0.5f) * (float)r->width / SIDE - 0.5f, 0);
            int x0 = (int)x, x1 = x0 + 1 < r->width ? x0 + 1 : x0;
            float fx = x - (float)x0;
            for (int k = 0; k < 3; k++) {
                const uint8_t *a = image + (size_t)(y0 * r->width) * 3 + k;
                const uint8_t *b = image + (size_t)(y1 * r->width) * 3 + k;
                float top = (float)a[3 * x0] + fx * ((float)a[3 * x1] - (float)a[3 * x0]);
                float low = (float)b[3 * x0] + fx * ((float)b[3 * x1] - (float)b[3 * x0]);
                *out++ = (top + fy * (low - top)) * (2.0f / 255) - 1;
            }
        }
    }
}

static int image_rows(struct inception *x, struct image_list images, int width, int height,
                      struct metrics_rows *rows)
{
    TRY(metrics_rows_create(rows, images.n, FEATURES));
    for (int first = 0; first < images.n; first += AT_ONCE) {
        struct value now;
        int n = images.n - first < AT_ONCE ? images.n - first : AT_ONCE;
        TRY(value_create(&now, n, SIDE, SIDE, 3));
        struct resize resize = {images.pixels + first, width, height, &now};
        threads_for((int64_t)n * SIDE, threads_grain(SIDE * 3 * 8), resize_lines, &resize);
        int code = run_images(x, &now, rows->data + (size_t)first * FEATURES);
        value_free(&now);
        TRY(code);
    }
    for (size_t i = 0; i < (size_t)images.n * FEATURES; i++)
        if (!isfinite(rows->data[i]))
            return fail(ERR_DATA, "%s: its weights make features that are no finite numbers",
                        x->path);
    return OK;
}

/* ---- all of it ---- */

static void inception_close(struct inception *x)
{
    for (int i = 0; i < x->count; i++) {
        free(x->convs[i].weights);
        free(x->convs[i].bias);
    }
    store_close(x->file);
}

/* Its weights are read by a way through it without images. */
static int inception_open(struct inception *x, const char *path)
{
    struct value none = {.h = SIDE, .w = SIDE, .c = 3};
    *x = (struct inception){.ops = nn_ops_cpu(), .path = path};
    TRY(store_open(&x->file, path));
    const struct store_tensor *classes = store_find(x->file, "fc.weight");
    x->is_tensorflow = classes && classes->dims == 2 && classes->shape[0] == TENSORFLOW_CLASSES;
    TRY(run_images(x, &none, NULL));
    store_close(x->file);
    x->file = NULL;
    return OK;
}

int inception_check(const char *path)
{
    struct inception x;
    int code = inception_open(&x, path);
    inception_close(&x);
    return code;
}

int inception_measure(struct inception_metrics *metrics, const char *path, struct image_list real,
                      struct image_list fake, int width, int height, bool (*stop_requested)(void))
{
    struct inception x;
    struct metrics_rows rows[2] = {{0}, {0}};
    struct metrics_sets sets;
    int code;
    *metrics = (struct inception_metrics){(double)NAN, (double)NAN};
    TRY_CLEANUP(inception_open(&x, path));
    x.stop_requested = stop_requested;
    if (real.n < 2 || fake.n < 2) goto cleanup;
    TRY_CLEANUP(image_rows(&x, real, width, height, &rows[0]));
    TRY_CLEANUP(image_rows(&x, fake, width, height, &rows[1]));
    TRY_CLEANUP(metrics_compare(&sets, &rows[0], &rows[1], 1, stop_requested));
    metrics->kid = sets.kid;
    TRY_CLEANUP(frechet_distance(&metrics->fid, &rows[0], &rows[1], stop_requested));
cleanup:
    metrics_rows_free(&rows[0]);
    metrics_rows_free(&rows[1]);
    inception_close(&x);
    return code;
}
