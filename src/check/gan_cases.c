/* What GANs alone want: augmentation, losses, the penalty. */
#include "check/op_kinds.h"
#include "math/augment.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- augmentation: linear or not, strides ---- */

static const int sizes[][4] = {
    {12, 9, 14, 3}, {40, 9, 12, 3}, {3, 5, 4, 1}, {14, 9, 11, 4}, {64, 64, 64, 3}};
enum { SIZES = sizeof sizes / sizeof *sizes }; /* n h w c; the last one is large */

static void describe_augmentation(struct op_case *c, int size)
{
    const int *s = sizes[size];
    c->large = size == SIZES - 1;
    c->n = s[0], c->h = s[1], c->w = s[2], c->c = s[3];
    c->bytes = 8.0 * c->n * c->h * c->w * c->c;
    snprintf(c->text, sizeof c->text, "%dx%dx%dx%d%s%s", c->n, c->h, c->w, c->c,
             c->variant & 1 ? ", linear" : "", c->variant & 2 ? ", strides" : "");
    op_add(c, "draws", OP_IN, OP_RAW, (size_t)c->n * sizeof(struct nn_augment))->fill = OP_OWN;
}

static size_t augmented_one(const struct op_case *c)
{
    return (size_t)c->h * (size_t)c->w * (size_t)c->c;
}

static struct nn_augment augment_of(const struct op_case *c, int picture)
{
    return picture == 0 ? augment_none() : augment_draw(5, 1, (uint64_t)picture, 0.7f, c->h, c->w);
}

static void fill_draws(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    struct nn_augment *draws = bytes;
    (void)operand;
    for (int i = 0; i < c->n; i++)
        draws[i] = augment_of(c, i);
}

static void describe_augment(struct op_case *c)
{
    c->variant = c->index % 4;
    describe_augmentation(c, c->index / 4);
    size_t all = (size_t)c->n * augmented_one(c) * (c->variant & 2 ? 2 : 1);
    op_add_in(c, "x", NN_F32, all);
    if (c->variant & 2)
        op_add_sum(c, "out", all, 1e-6);
    else
        op_add_out(c, "out", NN_F32, all, 1e-6);
}

static void describe_augment_adjoint(struct op_case *c)
{
    describe_augmentation(c, c->index);
    op_add_in(c, "dout", NN_F32, (size_t)c->n * augmented_one(c));
    op_add_out(c, "dx", NN_F32, (size_t)c->n * augmented_one(c), 1e-6);
}

static struct gan_augmentation augmentation_of(const struct op_call *call, const char *in,
                                               const char *out)
{
    const struct op_case *c = call->c;
    ptrdiff_t stride = (ptrdiff_t)augmented_one(c) * (c->variant & 2 ? 2 : 1);
    return (struct gan_augmentation){.out = op_memory(call, out),
                                     .out_stride = stride,
                                     .in = op_memory(call, in),
                                     .in_stride = stride,
                                     .draws = op_memory(call, "draws"),
                                     .n = c->n,
                                     .h = c->h,
                                     .w = c->w,
                                     .c = c->c,
                                     .linear = (c->variant & 1) != 0};
}

static int run_augment(const struct op_call *call)
{
    struct gan_augmentation a = augmentation_of(call, "x", "out");
    return call->device->gan->augment(call->device, &a);
}

static int run_augment_adjoint(const struct op_call *call)
{
    struct gan_augmentation a = augmentation_of(call, "dout", "dx");
    return call->device->gan->augment_adjoint(call->device, &a);
}

/* The matrix of the colour part, applied to h x w x c numbers in place: what is apart from a
 * pixel's mean times the saturation, what is apart from the image's mean times the contrast. It is
 * symmetric. */
static void truth_colours(const struct op_case *c, const struct nn_augment *t, double *x)
{
    size_t one = augmented_one(c);
    double mean = 0;
    for (size_t i = 0; i < one; i++)
        mean += x[i] / (double)one;
    for (size_t p = 0; p < one; p += (size_t)c->c) {
        double grey = 0;
        for (int j = 0; j < c->c; j++)
            grey += x[p + (size_t)j] / c->c;
        for (int j = 0; j < c->c; j++) {
            double saturated = grey + (double)t->saturation * (x[p + (size_t)j] - grey);
            x[p + (size_t)j] = mean + (double)t->contrast * (saturated - mean);
        }
    }
}

/* Straight colours of what is covered, about mid grey; back: from their gradient to that of colours
 * times alpha, and of alpha. Values are 2 p - 1: at alpha 0, where there is no colour, the limit.
 */
static void truth_covered(const struct nn_augment *t, double x[4], bool linear, bool back)
{
    double s = (double)t->saturation, k = (double)t->contrast, b = (double)t->brightness / 2;
    double matrix[3][3], result[4] = {0, 0, 0, x[3]};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            matrix[i][j] = k * ((i == j ? s : 0) + (1 - s) / 3);
    double d = 0.5 - k * 0.5 + b; /* colour c of 0..1 becomes matrix c + d */
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            result[i] +=
                (back ? matrix[j][i] : matrix[i][j]) * (x[j] + (back || linear ? 0 : 1)) / 2;
        if (back)
            result[3] += d * x[i];
        else
            result[i] += d * (x[3] + (linear ? 0 : 1)) / 2;
        result[i] = 2 * result[i] - (back || linear ? 0 : 1);
    }
    memcpy(x, result, sizeof result);
}

static double *truth_room(size_t count)
{
    static double room[64 * 64 * 3];
    return count <= sizeof room / sizeof *room ? room : NULL;
}

/* adjoint: first back to where each pixel came from, then the colours. */
static void truth_augmentation(struct op_data *d, const double *in, double *out, bool adjoint)
{
    const struct op_case *c = d->c;
    size_t one = augmented_one(c), stride = one * (c->variant & 2 ? 2 : 1);
    double *x = truth_room(one);
    for (int n = 0; n < c->n; n++, in += stride, out += stride) {
        struct nn_augment t = augment_of(c, n);
        for (size_t i = 0; i < one; i++)
            x[i] = adjoint ? 0 : in[i];
        bool covers = c->c == 4, linear = (c->variant & 1) != 0;
        for (size_t p = 0; covers && !adjoint && p < one; p += 4)
            truth_covered(&t, x + p, linear, false);
        if (!covers && !adjoint) truth_colours(c, &t, x);
        double offset = covers || linear ? 0 : (double)t.brightness;
        for (size_t i = 0; i < one; i++) {
            int xx = (int)(i / (size_t)c->c) % c->w, yy = (int)(i / (size_t)(c->c * c->w));
            int y = yy - t.dy, from = xx - t.dx;
            bool kept = y >= 0 && y < c->h && from >= 0 && from < c->w &&
                        !(yy >= t.y0 && yy < t.y1 && xx >= t.x0 && xx < t.x1);
            size_t at = kept ? (size_t)((y * c->w + from) * c->c) + i % (size_t)c->c : 0;
            if (adjoint && kept) x[at] = in[i];
            if (!adjoint) out[i] = kept ? x[at] + offset : covers && !linear ? -1 : 0;
        }
        if (!adjoint) continue;
        for (size_t p = 0; covers && p < one; p += 4)
            truth_covered(&t, x + p, true, true);
        if (!covers) truth_colours(c, &t, x);
        memcpy(out, x, one * sizeof *out);
    }
}

static void truth_augment(struct op_data *d)
{
    truth_augmentation(d, op_values(d, "x"), op_values(d, "out"), false);
}

static void truth_augment_adjoint(struct op_data *d)
{
    truth_augmentation(d, op_values(d, "dout"), op_values(d, "dx"), true);
}

static int augment_forward(int index)
{
    return index == SIZES - 1 ? -1 : 4 * index; /* affine: differences do not see the offset */
}

const struct op_kind op_augment = {OP_KIND(gan, augment), .cases = 4 * (SIZES - 1) + 1,
                                   .fill = fill_draws};
const struct op_kind op_augment_adjoint = {
    OP_KIND(gan, augment_adjoint),
    .cases = SIZES,
    .fill = fill_draws,
    .adjoint_of = "augment",
    .varied = "x",
    .seed = "dout",
    .result = "dx",
    .forward = augment_forward,
};

static void describe_square_sums(struct op_case *c)
{
    describe_augmentation(c, c->index);
    c->count = 0; /* no draws */
    c->bytes /= 2;
    op_add_in(c, "x", NN_F32, (size_t)c->n * augmented_one(c));
    op_add(c, "sums", OP_OUT, OP_F64, (size_t)c->n)->tolerance = 1e-9;
}

static int run_square_sums(const struct op_call *call)
{
    return call->device->gan->square_sums(call->device, op_memory(call, "sums"),
                                          op_memory(call, "x"), call->c->n, augmented_one(call->c));
}

static void truth_square_sums(struct op_data *d)
{
    size_t one = augmented_one(d->c);
    double *x = op_values(d, "x"), *sums = op_values(d, "sums");
    for (size_t i = 0; i < (size_t)d->c->n * one; i++)
        sums[i / one] = (i % one ? sums[i / one] : 0) + x[i] * x[i];
}

const struct op_kind op_square_sums = {OP_KIND(gan, square_sums), .cases = SIZES};

/* ---- losses: more pairs than a block has threads, too ---- */

static const int pairs[] = {7, 150};
enum { PAIRS = sizeof pairs / sizeof *pairs, BATCH = 200 };

static void describe_sums(struct op_case *c)
{
    op_add(c, "sums", OP_INOUT, OP_F64, GAN_SUMS)->tolerance = 1e-12;
}

static void describe_pair_loss(struct op_case *c)
{
    c->n = pairs[c->index / 2];
    c->variant = c->index % 2; /* generator */
    snprintf(c->text, sizeof c->text, "%d pairs, %s", c->n, c->variant ? "G" : "D");
    c->bytes = 16.0 * c->n;
    describe_sums(c);
    struct op_operand *scores = op_add_in(c, "scores", NN_F32, (size_t)(2 * c->n));
    scores->low = -20, scores->high = 20;
    op_add_out(c, "seed", NN_F32, (size_t)(c->variant ? c->n : 2 * c->n), 1e-6);
}

static int run_pair_loss(const struct op_call *call)
{
    return call->device->gan->pair_loss(call->device, op_memory(call, "sums"),
                                        op_memory(call, "seed"), op_memory(call, "scores"),
                                        call->c->n, BATCH, call->c->variant);
}

static void truth_pair_loss(struct op_data *d)
{
    double *sums = op_values(d, "sums"), *s = op_values(d, "scores"), *seed = op_values(d, "seed");
    int n = d->c->n;
    bool g = d->c->variant != 0;
    for (int i = 0; i < n; i++) {
        double real = s[g ? n + i : 2 * i], fake = s[g ? i : 2 * i + 1];
        double margin = g ? fake - real : real - fake, slope = -1 / (1 + exp(margin)) / BATCH;
        sums[GAN_SUM_LOSS] += log1p(exp(-margin)) / BATCH;
        sums[GAN_SUM_REAL] += real / BATCH;
        sums[GAN_SUM_FAKE] += fake / BATCH;
        sums[GAN_SUM_SIGN] += (real > fake ? 1.0 : real < fake ? -1.0 : 0.0) / BATCH;
        seed[g ? i : 2 * i] = slope;
        if (!g) seed[2 * i + 1] = -slope;
    }
}

static double adversarial_loss(const struct op_data *after)
{
    return op_values(after, "sums")[GAN_SUM_LOSS];
}

const struct op_kind op_pair_loss = {
    OP_KIND(gan, pair_loss),  .cases = 2 * PAIRS,
    .loss = adversarial_loss, .slopes = (const char *const[]){"scores", "seed", NULL},
    .slope_step = 1e-2,       .slope_tolerance = 1e-4,
};

static void describe_penalties(struct op_case *c)
{
    c->n = 2 * pairs[c->index];
    snprintf(c->text, sizeof c->text, "%d pictures", c->n);
    c->bytes = 24.0 * c->n;
    describe_sums(c);
    struct op_operand *seed = op_add_in(c, "seed", NN_F32, (size_t)c->n);
    seed->low = 1e-4, seed->high = 5e-3;
    op_add(c, "gamma", OP_IN, OP_F64, 1)->low = 0.5;
}

static void describe_penalty(struct op_case *c)
{
    describe_penalties(c);
    struct op_operand *squares = op_add(c, "squares", OP_INOUT, OP_F64, (size_t)c->n);
    squares->low = 1e-9, squares->high = 3e-5, squares->tolerance = 1e-12;
    op_add_out(c, "factors", NN_F32, (size_t)c->n, 1e-6);
}

static void describe_penalty_check(struct op_case *c)
{
    describe_penalties(c);
    struct op_operand *squares = op_add(c, "squares", OP_IN, OP_F64, (size_t)c->n);
    squares->low = 0, squares->high = 2;
    op_add_in(c, "got", NN_F32, (size_t)c->n)->high = 20;
    op_add_in(c, "scores", NN_F32, (size_t)c->n)->high = 20;
}

static struct gan_penalty penalty_of(const struct op_call *call)
{
    return (struct gan_penalty){.sums = op_memory(call, "sums"),
                                .factors = op_memory(call, "factors"),
                                .got = op_memory(call, "got"),
                                .scores = op_memory(call, "scores"),
                                .squares = op_memory(call, "squares"),
                                .seed = op_memory(call, "seed"),
                                .gamma = op_memory(call, "gamma"),
                                .n = call->c->n,
                                .batch = BATCH};
}

static int run_penalty(const struct op_call *call)
{
    struct gan_penalty p = penalty_of(call);
    return call->device->gan->penalty(call->device, &p);
}

static int run_penalty_check(const struct op_call *call)
{
    struct gan_penalty p = penalty_of(call);
    return call->device->gan->penalty_check(call->device, &p);
}

static void truth_penalty(struct op_data *d)
{
    double *sums = op_values(d, "sums"), *seed = op_values(d, "seed");
    double *squares = op_values(d, "squares"), gamma = op_values(d, "gamma")[0];
    for (int i = 0; i < d->c->n; i++) {
        double c2 = seed[i] * seed[i];
        squares[i] /= c2;
        sums[i % 2 ? GAN_SUM_R2 : GAN_SUM_R1] += squares[i] / BATCH;
        op_values(d, "factors")[i] = gamma / BATCH / c2;
    }
}

static void truth_penalty_check(struct op_data *d)
{
    double *worst = op_values(d, "sums") + GAN_SUM_ERROR;
    double gamma = op_values(d, "gamma")[0];
    for (int i = 0; i < d->c->n; i++) {
        double score = op_values(d, "scores")[i];
        double tangent = gamma / BATCH * op_values(d, "squares")[i] / op_values(d, "seed")[i];
        double error = fabs(op_values(d, "got")[i] - score - tangent);
        *worst = fmax(*worst, error / (fabs(score) + fabs(tangent) + 1e-3));
    }
}

const struct op_kind op_penalty = {OP_KIND(gan, penalty), .cases = PAIRS};
const struct op_kind op_penalty_check = {OP_KIND(gan, penalty_check), .cases = PAIRS};
