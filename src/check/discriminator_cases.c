/* What a discriminator's training wants besides layers: nn_discriminator.c. */
#include "check/op_kinds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- slopes by a mask ---- */

static const int masked[] = {8, 1000, 4 << 20};
enum { MASKED = sizeof masked / sizeof *masked }; /* the last one is large */
static const float mask_slope_slope = 0.2f;

static void describe_mask_slope(struct op_case *c)
{
    c->n = masked[c->index / 2];
    c->large = c->index / 2 == MASKED - 1;
    c->in_type = c->index % 2 ? NN_BF16 : NN_F32;
    c->bytes = (double)c->n * (2.0 * (double)nn_type_bytes(c->in_type) + 0.125);
    snprintf(c->text, sizeof c->text, "%d %s", c->n, op_type_name(c->in_type));
    op_add(c, "mask", OP_IN, OP_MASK, (size_t)c->n);
    op_add_out(c, "dx", c->in_type, (size_t)c->n, 1e-6)->role = OP_INOUT;
}

static int run_mask_slope(const struct op_call *call)
{
    return call->device->nn->mask_slope(call->device, op_memory(call, "dx"), call->c->in_type,
                                        op_memory(call, "mask"), mask_slope_slope,
                                        (size_t)call->c->n);
}

static void truth_mask_slope(struct op_data *d)
{
    double *dx = op_values(d, "dx"), *mask = op_values(d, "mask");
    for (int i = 0; i < d->c->n; i++)
        if (!(mask[i] > 0)) dx[i] *= (double)mask_slope_slope;
}

const struct op_kind op_mask_slope = {OP_KIND(nn, mask_slope), .cases = 2 * MASKED};

/* ---- losses: every kind in every role ---- */

static const int maps[][2] = {{3, 37}, {2, 4096}, {16, 256 * 256}}; /* n scores */
enum { MAPS = sizeof maps / sizeof *maps, SCORE_WAYS = 9 };         /* the last one is large */
static const float score_weight = 0.25f;

static void describe_score_loss(struct op_case *c)
{
    static const char *const kinds[] = {"vanilla", "lsgan", "hinge"};
    static const char *const roles[] = {"real", "fake", "generator"};
    const int *m = maps[c->index / SCORE_WAYS];
    c->large = c->index / SCORE_WAYS == MAPS - 1;
    c->variant = c->index % SCORE_WAYS / 3;
    c->k = c->index % 3;
    c->n = m[0], c->w = m[1];
    size_t all = (size_t)c->n * (size_t)c->w;
    c->bytes = 8.0 * (double)all;
    snprintf(c->text, sizeof c->text, "%d of %d, %s, %s", c->n, c->w, kinds[c->variant],
             roles[c->k]);
    struct op_operand *scores = op_add_in(c, "scores", NN_F32, all);
    scores->low = -5, scores->high = 5;
    op_add(c, "sums", OP_OUT, OP_F64, (size_t)c->n * NN_SCORE_SUMS)->tolerance = 1e-12;
    op_add_out(c, "grad", NN_F32, all, 1e-6);
}

static int run_score_loss(const struct op_call *call)
{
    const struct op_case *c = call->c;
    const struct nn_score_loss loss = {.sums = op_memory(call, "sums"),
                                       .grad = op_memory(call, "grad"),
                                       .scores = op_memory(call, "scores"),
                                       .n = c->n,
                                       .count = (size_t)c->w,
                                       .kind = (enum score_kind)c->variant,
                                       .role = (enum score_role)c->k,
                                       .weight = score_weight};
    return call->device->nn->score_loss(call->device, &loss);
}

/* Loss and slope of a score, by each kind's definition. */
static double truth_score(const struct op_case *c, double x, double *slope)
{
    double target = c->k == SCORE_FAKE ? 0 : 1, p = 1 / (1 + exp(-x));
    if (c->variant == SCORE_VANILLA) {
        *slope = p - target;
        return -target * log(p) - (1 - target) * log(1 - p);
    }
    if (c->variant == SCORE_LSGAN) {
        *slope = 2 * (x - target);
        return (x - target) * (x - target);
    }
    if (c->k == SCORE_GENERATOR) {
        *slope = -1;
        return -x;
    }
    double side = 2 * target - 1;
    *slope = 1 - side * x > 0 ? -side : 0;
    return fmax(0, 1 - side * x);
}

static void truth_score_loss(struct op_data *d)
{
    const struct op_case *c = d->c;
    double *x = op_values(d, "scores"), *sums = op_values(d, "sums"), *grad = op_values(d, "grad");
    memset(sums, 0, (size_t)c->n * NN_SCORE_SUMS * sizeof *sums);
    for (int i = 0; i < c->n * c->w; i++) {
        double slope, *of = sums + i / c->w * NN_SCORE_SUMS;
        of[0] += truth_score(c, x[i], &slope);
        of[1] += x[i];
        grad[i] = (double)score_weight * slope;
    }
}

static double score_loss_of(const struct op_data *after)
{
    const double *sums = op_values(after, "sums");
    double loss = 0;
    for (int i = 0; i < after->c->n; i++)
        loss += (double)score_weight * sums[(size_t)i * NN_SCORE_SUMS];
    return loss;
}

const struct op_kind op_score_loss = {
    OP_KIND(nn, score_loss), .cases = MAPS * SCORE_WAYS,
    .loss = score_loss_of,   .slopes = (const char *const[]){"scores", "grad", NULL},
    .slope_step = 1e-4,      .slope_tolerance = 1e-3,
};

/* ---- spectral normalisation ---- */

static const int matrices[][2] = {{24, 35}, {1, 1}, {130, 300}, {512, 4096}};
enum { MATRICES = sizeof matrices / sizeof *matrices }; /* rows columns; the last one is large */

static void describe_matrix(struct op_case *c)
{
    c->h = matrices[c->index][0], c->w = matrices[c->index][1];
    c->large = c->index == MATRICES - 1;
    snprintf(c->text, sizeof c->text, "%dx%d", c->h, c->w);
}

static size_t matrix_all(const struct op_case *c)
{
    return (size_t)c->h * (size_t)c->w;
}

static void describe_spectral_norm(struct op_case *c)
{
    describe_matrix(c);
    c->bytes = 16.0 * (double)matrix_all(c);
    op_add_in(c, "w", NN_F32, matrix_all(c));
    op_add_in(c, "u", NN_F32, (size_t)c->h)->low = 0.5;
    op_add_out(c, "next_u", NN_F32, (size_t)c->h, 1e-4);
    op_add_out(c, "next_v", NN_F32, (size_t)c->w, 1e-4);
    op_add_out(c, "sigma", NN_F32, 1, 1e-5);
    op_add_out(c, "out", NN_F32, matrix_all(c), 1e-5);
}

static struct nn_spectral spectral_of(const struct op_call *call)
{
    return (struct nn_spectral){.w = op_memory(call, "w"),
                                .u = op_memory(call, "u"),
                                .out = op_memory(call, "out"),
                                .next_u = op_memory(call, "next_u"),
                                .next_v = op_memory(call, "next_v"),
                                .sigma = op_memory(call, "sigma"),
                                .rows = call->c->h,
                                .cols = call->c->w};
}

static int run_spectral_norm(const struct op_call *call)
{
    struct nn_spectral s = spectral_of(call);
    return call->device->nn->spectral_norm(call->device, &s);
}

static double truth_length(const double *x, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static void truth_spectral_norm(struct op_data *d)
{
    int rows = d->c->h, cols = d->c->w;
    double *w = op_values(d, "w"), *u = op_values(d, "u"), *out = op_values(d, "out");
    double *next_u = op_values(d, "next_u"), *v = op_values(d, "next_v"), length;
    for (int c = 0; c < cols; c++) {
        v[c] = 0;
        for (int r = 0; r < rows; r++)
            v[c] += w[r * cols + c] * u[r];
    }
    length = truth_length(v, cols);
    for (int c = 0; c < cols; c++)
        v[c] /= length;
    for (int r = 0; r < rows; r++) {
        next_u[r] = 0;
        for (int c = 0; c < cols; c++)
            next_u[r] += w[r * cols + c] * v[c];
    }
    length = op_values(d, "sigma")[0] = truth_length(next_u, rows);
    for (int r = 0; r < rows; r++)
        next_u[r] /= length;
    for (int i = 0; i < rows * cols; i++)
        out[i] = w[i] / length;
}

const struct op_kind op_spectral_norm = {OP_KIND(nn, spectral_norm), .cases = MATRICES};

static void describe_spectral_grad(struct op_case *c)
{
    describe_matrix(c);
    c->bytes = 16.0 * (double)matrix_all(c);
    op_add_in(c, "out", NN_F32, matrix_all(c));
    op_add_in(c, "next_u", NN_F32, (size_t)c->h);
    op_add_in(c, "next_v", NN_F32, (size_t)c->w);
    op_add_in(c, "sigma", NN_F32, 1)->low = 0.5;
    op_add_sum(c, "g", matrix_all(c), 1e-5);
}

static int run_spectral_grad(const struct op_call *call)
{
    struct nn_spectral s = spectral_of(call);
    return call->device->nn->spectral_grad(call->device, &s, op_memory(call, "g"));
}

static void truth_spectral_grad(struct op_data *d)
{
    double *g = op_values(d, "g"), *out = op_values(d, "out"), dot = 0;
    for (size_t i = 0; i < matrix_all(d->c); i++)
        dot += g[i] * out[i];
    for (size_t i = 0; i < matrix_all(d->c); i++) {
        size_t r = i / (size_t)d->c->w, c = i % (size_t)d->c->w;
        double uv = op_values(d, "next_u")[r] * op_values(d, "next_v")[c];
        g[i] = (g[i] - dot * uv) / op_values(d, "sigma")[0];
    }
}

const struct op_kind op_spectral_grad = {OP_KIND(nn, spectral_grad), .cases = MATRICES};
