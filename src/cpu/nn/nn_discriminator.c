/* What a discriminator's training wants besides layers: the losses of its scores, spectral
 * normalisation, the slopes of a leaky ReLU by its mask. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"
#include "math/spectral.h"

/* ---- losses ---- */

static void score_loss_maps(void *context, int64_t from, int64_t to)
{
    const struct nn_score_loss loss = *(const struct nn_score_loss *)context;
    for (int64_t n = from; n < to; n++) {
        size_t first = (size_t)n * loss.count;
        double sum = 0, scores = 0;
        for (size_t i = first; i < first + loss.count; i++) {
            double x = (double)loss.scores[i];
            sum += score_loss_value(loss.kind, loss.role, x);
            scores += x;
            loss.grad[i] = (float)((double)loss.weight * score_loss_slope(loss.kind, loss.role, x));
        }
        loss.sums[n * NN_SCORE_SUMS] = sum;
        loss.sums[n * NN_SCORE_SUMS + 1] = scores;
    }
}

static int cpu_score_loss(struct device *device, const struct nn_score_loss *loss)
{
    struct nn_score_loss work = *loss;
    (void)device;
    TRY(nn_check_score_loss(loss));
    threads_for(loss->n, 1, score_loss_maps, &work);
    return OK;
}

/* ---- slopes by a mask ---- */

struct mask_work {
    void *dx;
    enum nn_type type;
    const uint8_t *mask;
    float slope;
};

static void mask_bytes(void *context, int64_t from, int64_t to)
{
    const struct mask_work w = *(const struct mask_work *)context;
    const float slopes[2] = {w.slope, 1};
    for (int64_t i = from; i < to; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            size_t at = (size_t)i * 8 + bit;
            nn_put(w.dx, w.type, at, slopes[w.mask[i] >> bit & 1] * nn_get(w.dx, w.type, at));
        }
}

static int cpu_mask_slope(struct device *device, void *dx, enum nn_type type, const uint8_t *mask,
                          float slope, size_t count)
{
    struct mask_work work = {dx, type, mask, slope};
    (void)device;
    if (count % 8) return fail(ERR_USAGE, "mask_slope: %zu is no multiple of 8", count);
    threads_for((int64_t)(count / 8), threads_grain(8), mask_bytes, &work);
    return OK;
}

/* ---- spectral normalisation ---- */

enum { SPECTRAL_STRIP = 64, SPECTRAL_LANES = 16, SPECTRAL_PARTS = 64 };

struct spectral_work {
    struct nn_spectral s;
    float *g;
    double *dots; /* [SPECTRAL_PARTS] of groups of rows */
    float dot;
};

/* Of w' u, strips of columns. */
static void spectral_columns(void *context, int64_t from, int64_t to)
{
    const struct nn_spectral *s = &((const struct spectral_work *)context)->s;
    for (int first = (int)from * SPECTRAL_STRIP;
         first < s->cols && first < (int)to * SPECTRAL_STRIP; first += SPECTRAL_STRIP) {
        int count = s->cols - first < SPECTRAL_STRIP ? s->cols - first : SPECTRAL_STRIP;
        float sum[SPECTRAL_STRIP] = {0};
        for (int r = 0; r < s->rows; r++) {
            const float *row = s->w + (size_t)r * (size_t)s->cols + first;
            for (int c = 0; c < count; c++)
                sum[c] += s->u[r] * row[c];
        }
        for (int c = 0; c < count; c++)
            s->next_v[first + c] = sum[c];
    }
}

static float spectral_product(const float *a, const float *b, int count)
{
    float lanes[SPECTRAL_LANES] = {0}, sum = 0;
    int i = 0;
    for (; i + SPECTRAL_LANES <= count; i += SPECTRAL_LANES)
        for (int lane = 0; lane < SPECTRAL_LANES; lane++)
            lanes[lane] += a[i + lane] * b[i + lane];
    for (; i < count; i++)
        lanes[i % SPECTRAL_LANES] += a[i] * b[i];
    for (int lane = 0; lane < SPECTRAL_LANES; lane++)
        sum += lanes[lane];
    return sum;
}

/* Of w v. */
static void spectral_rows(void *context, int64_t from, int64_t to)
{
    const struct nn_spectral *s = &((const struct spectral_work *)context)->s;
    for (int64_t r = from; r < to; r++)
        s->next_u[r] = spectral_product(s->w + (size_t)r * (size_t)s->cols, s->next_v, s->cols);
}

/* Makes a vector one of length 1; returns the sum of its squares before. */
static double spectral_unit(float *x, int count)
{
    double squares = 0;
    for (int i = 0; i < count; i++)
        squares += (double)x[i] * (double)x[i];
    double length = spectral_length(squares);
    for (int i = 0; i < count; i++)
        x[i] = (float)((double)x[i] / length);
    return squares;
}

static void spectral_divide(void *context, int64_t from, int64_t to)
{
    const struct nn_spectral *s = &((const struct spectral_work *)context)->s;
    for (size_t i = (size_t)from * (size_t)s->cols; i < (size_t)to * (size_t)s->cols; i++)
        s->out[i] = s->w[i] / *s->sigma;
}

static int cpu_spectral_norm(struct device *device, const struct nn_spectral *s)
{
    struct spectral_work work = {.s = *s};
    (void)device;
    TRY(nn_check_spectral(s));
    threads_for((s->cols + SPECTRAL_STRIP - 1) / SPECTRAL_STRIP,
                threads_grain((int64_t)s->rows * SPECTRAL_STRIP), spectral_columns, &work);
    spectral_unit(s->next_v, s->cols);
    threads_for(s->rows, threads_grain(s->cols), spectral_rows, &work);
    *s->sigma = (float)spectral_sigma(spectral_unit(s->next_u, s->rows));
    threads_for(s->rows, threads_grain(s->cols), spectral_divide, &work);
    return OK;
}

/* Rows part, part + SPECTRAL_PARTS, ... of <g, out>. */
static void spectral_dots(void *context, int64_t from, int64_t to)
{
    const struct spectral_work *w = context;
    size_t cols = (size_t)w->s.cols;
    for (int64_t part = from; part < to; part++) {
        double sum = 0;
        for (int r = (int)part; r < w->s.rows; r += SPECTRAL_PARTS)
            sum += (double)spectral_product(w->g + (size_t)r * cols, w->s.out + (size_t)r * cols,
                                            w->s.cols);
        w->dots[part] = sum;
    }
}

static void spectral_slopes(void *context, int64_t from, int64_t to)
{
    const struct spectral_work *w = context;
    for (int64_t r = from; r < to; r++) {
        float *g = w->g + (size_t)r * (size_t)w->s.cols;
        for (int c = 0; c < w->s.cols; c++)
            g[c] = spectral_slope(g[c], w->dot, w->s.next_u[r], w->s.next_v[c], *w->s.sigma);
    }
}

static int cpu_spectral_grad(struct device *device, const struct nn_spectral *s, float *g)
{
    double dots[SPECTRAL_PARTS], dot = 0;
    struct spectral_work work = {.s = *s, .g = g, .dots = dots};
    (void)device;
    TRY(nn_check_spectral(s));
    threads_for(SPECTRAL_PARTS, threads_grain((int64_t)s->rows * s->cols / SPECTRAL_PARTS + 1),
                spectral_dots, &work);
    for (int part = 0; part < SPECTRAL_PARTS; part++)
        dot += dots[part];
    work.dot = (float)dot;
    threads_for(s->rows, threads_grain(s->cols), spectral_slopes, &work);
    return OK;
}

void nn_install_discriminator(struct nn_ops *ops)
{
    ops->score_loss = cpu_score_loss;
    ops->mask_slope = cpu_mask_slope;
    ops->spectral_norm = cpu_spectral_norm;
    ops->spectral_grad = cpu_spectral_grad;
}
