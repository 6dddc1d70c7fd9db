/* What is no layer: losses and batches of images, orders of elements, flat ranges. */
#include "check/op_kinds.h"
#include "math/optimiser.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- losses of images ---- */

static const int losses[][2] = {{3, 37}, {5, 4096}, {1, 3}, {16, 128 * 128 * 3}}; /* n count */
enum { LOSSES = sizeof losses / sizeof *losses }; /* the last one is large */
static const float loss_weights[NN_LOSS_TERMS] = {0.5f, 2, 0.25f};

static void describe_image_loss(struct op_case *c)
{
    c->n = losses[c->index][0], c->w = losses[c->index][1];
    c->large = c->index == LOSSES - 1;
    size_t all = (size_t)c->n * (size_t)c->w;
    c->bytes = 12.0 * (double)all;
    snprintf(c->text, sizeof c->text, "%d of %d", c->n, c->w);
    op_add_in(c, "out", NN_F32, all);
    op_add_in(c, "target", NN_F32, all);
    op_add(c, "sums", OP_OUT, OP_F64, (size_t)c->n * NN_LOSS_TERMS)->tolerance = 1e-12;
    op_add_out(c, "grad", NN_F32, all, 1e-5);
}

static int run_image_loss(const struct op_call *call)
{
    struct nn_image_loss loss = {.sums = op_memory(call, "sums"),
                                 .grad = op_memory(call, "grad"),
                                 .out = op_memory(call, "out"),
                                 .target = op_memory(call, "target"),
                                 .n = call->c->n,
                                 .count = (size_t)call->c->w};
    memcpy(loss.weight, loss_weights, sizeof loss.weight);
    return call->device->nn->image_loss(call->device, &loss);
}

static void truth_image_loss(struct op_data *data)
{
    double *out = op_values(data, "out"), *target = op_values(data, "target");
    double *sums = op_values(data, "sums"), *grad = op_values(data, "grad");
    int count = data->c->w;
    memset(sums, 0, (size_t)data->c->n * NN_LOSS_TERMS * sizeof *sums);
    for (int i = 0; i < data->c->n * count; i++) {
        double d = out[i] - target[i], root = sqrt(d * d + 1e-12), *of = sums + i / count * 3;
        of[NN_LOSS_L1] += fabs(d);
        of[NN_LOSS_CHARBONNIER] += root;
        of[NN_LOSS_MSE] += d * d;
        grad[i] = (double)loss_weights[NN_LOSS_L1] * ((d > 0) - (d < 0)) +
                  (double)loss_weights[NN_LOSS_CHARBONNIER] * d / root +
                  2 * (double)loss_weights[NN_LOSS_MSE] * d;
    }
}

static double image_loss_of(const struct op_data *after)
{
    const double *sums = op_values(after, "sums");
    double loss = 0;
    for (int i = 0; i < after->c->n * NN_LOSS_TERMS; i++)
        loss += (double)loss_weights[i % NN_LOSS_TERMS] * sums[i];
    return loss;
}

const struct op_kind op_image_loss = {
    OP_KIND(nn, image_loss), .cases = LOSSES,
    .loss = image_loss_of,   .slopes = (const char *const[]){"out", "grad", NULL},
    .slope_step = 1e-5,      .slope_tolerance = 1e-3,
};

/* ---- batches of images ---- */

static void describe_pictures(struct op_case *c, const char *variant)
{
    c->n = 12, c->h = 9, c->w = 14, c->c = 3;
    snprintf(c->text, sizeof c->text, "%dx%dx%dx%d%s", c->n, c->h, c->w, c->c, variant);
}

static size_t one_picture(const struct op_case *c)
{
    return (size_t)c->h * (size_t)c->w * (size_t)c->c;
}

static void describe_from_u8(struct op_case *c)
{
    describe_pictures(c, c->index ? ", flipped" : "");
    size_t all = (size_t)c->n * one_picture(c);
    c->bytes = 5.0 * (double)all;
    struct op_operand *bytes = op_add(c, "bytes", OP_IN, OP_U8, all);
    bytes->fill = OP_WHOLE;
    bytes->low = 0, bytes->high = 255;
    if (c->index) {
        struct op_operand *flip = op_add(c, "flip", OP_IN, OP_U8, (size_t)c->n);
        flip->fill = OP_WHOLE;
        flip->low = 0, flip->high = 1;
    }
    op_add_out(c, "out", NN_F32, all, 0);
}

static int run_from_u8(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->from_u8(call->device, op_memory(call, "out"), op_memory(call, "bytes"),
                                     op_memory(call, "flip"), c->n, c->h, c->w, c->c);
}

static void truth_from_u8(struct op_data *d)
{
    const struct op_case *c = d->c;
    double *flip = op_values(d, "flip");
    for (int i = 0; i < c->n * c->h * c->w * c->c; i++) {
        int x = i / c->c % c->w, picture = i / (c->c * c->w * c->h), from = i;
        if (flip && flip[picture] > 0) from += (c->w - 1 - 2 * x) * c->c;
        op_values(d, "out")[i] = (op_values(d, "bytes")[from] - 128) / 128;
    }
}

const struct op_kind op_from_u8 = {OP_KIND(nn, from_u8), .cases = 2};

static void describe_scale_add(struct op_case *c)
{
    describe_pictures(c, "");
    op_add_sum(c, "x", (size_t)c->n * one_picture(c), 1e-6);
    op_add_in(c, "y", NN_F32, (size_t)c->n * one_picture(c));
    op_add_in(c, "factors", NN_F32, (size_t)c->n)->high = 4;
    c->bytes = 12.0 * c->n * (double)one_picture(c);
}

static int run_scale_add(const struct op_call *call)
{
    return call->device->nn->scale_add(call->device, op_memory(call, "x"), op_memory(call, "y"),
                                       op_memory(call, "factors"), call->c->n,
                                       one_picture(call->c));
}

static void truth_scale_add(struct op_data *d)
{
    size_t one = one_picture(d->c);
    for (size_t i = 0; i < (size_t)d->c->n * one; i++)
        op_values(d, "x")[i] += op_values(d, "factors")[i / one] * op_values(d, "y")[i];
}

const struct op_kind op_scale_add = {OP_KIND(nn, scale_add), .cases = 1};

/* ---- elements in another order: four pairs of types, copied or added, either way ---- */

static const struct {
    const char *name;
    int count[NN_STRIDED_AXES], out, in; /* elements of the tensors */
    ptrdiff_t out_stride[NN_STRIDED_AXES], in_stride[NN_STRIDED_AXES];
} orders[] = {
    {"6 lines of 4x5, shuffled", {6, 2, 4, 2, 5}, 480, 480, {80, 40, 10, 5, 1}, {80, 10, 20, 5, 1}},
    {"7 of 19 channels", {1, 1, 1, 30, 7}, 570, 210, {0, 0, 0, 19, 1}, {0, 0, 0, 7, 1}},
    {"3x4x6 turned round", {1, 1, 3, 4, 6}, 72, 72, {0, 0, 1, 3, 12}, {0, 0, 24, 6, 1}},
    {"one", {1, 1, 1, 1, 1}, 1, 1, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}},
    {"16x1024x256, rows of 512",
     {1, 1, 16, 1024, 256},
     16 << 19,
     16 << 18,
     {0, 0, 1 << 19, 512, 1},
     {0, 0, 1 << 18, 256, 1}},
};
enum { ORDERS = sizeof orders / sizeof *orders, ORDER_WAYS = 16 }; /* the last one is large */

static struct nn_strided strided_of(const struct op_case *c)
{
    struct nn_strided s = {.out_type = c->in_type, .in_type = c->out_type, .add = c->h != 0};
    memcpy(s.count, orders[c->variant].count, sizeof s.count);
    memcpy(s.out_stride, orders[c->variant].out_stride, sizeof s.out_stride);
    memcpy(s.in_stride, orders[c->variant].in_stride, sizeof s.in_stride);
    if (c->w) return nn_strided_adjoint(s);
    s.out_type = c->out_type;
    s.in_type = c->in_type;
    return s;
}

static void describe_strided_copy(struct op_case *c)
{
    int way = c->index % ORDER_WAYS;
    c->variant = c->index / ORDER_WAYS;
    c->large = c->variant == ORDERS - 1;
    c->out_type = way & 1 ? NN_BF16 : NN_F32;
    c->in_type = way & 2 ? NN_BF16 : NN_F32;
    c->h = way >> 2 & 1; /* added */
    c->w = way >> 3;     /* the other way round */
    size_t out = (size_t)(c->w ? orders[c->variant].in : orders[c->variant].out);
    size_t in = (size_t)(c->w ? orders[c->variant].out : orders[c->variant].in);
    op_add_out(c, "out", c->out_type, out, c->h ? 1e-6 : 0)->role = OP_INOUT;
    op_add_in(c, "in", c->in_type, in);
    c->bytes = (double)((out < in ? out : in) *
                        ((c->h ? 2 : 1) * nn_type_bytes(c->out_type) + nn_type_bytes(c->in_type)));
    snprintf(c->text, sizeof c->text, "%s%s%s %s>%s", orders[c->variant].name, c->w ? ", back" : "",
             c->h ? ", added" : "", op_type_name(c->in_type), op_type_name(c->out_type));
}

static int run_strided_copy(const struct op_call *call)
{
    struct nn_strided s = strided_of(call->c);
    s.out = op_memory(call, "out");
    s.in = op_memory(call, "in");
    return call->device->nn->strided_copy(call->device, &s);
}

static void truth_strided_copy(struct op_data *d)
{
    struct nn_strided s = strided_of(d->c);
    double *out = op_values(d, "out"), *in = op_values(d, "in");
    int total = 1;
    for (int axis = 0; axis < NN_STRIDED_AXES; axis++)
        total *= s.count[axis];
    for (int i = 0; i < total; i++) {
        ptrdiff_t to = 0, from = 0;
        for (int axis = NN_STRIDED_AXES - 1, left = i; axis >= 0; left /= s.count[axis--]) {
            to += left % s.count[axis] * s.out_stride[axis];
            from += left % s.count[axis] * s.in_stride[axis];
        }
        out[to] = in[from] + (s.add ? out[to] : 0);
    }
}

/* What is added, the other way round, with the types changed over. */
static int strided_forward(int index)
{
    static const int swapped[4] = {0, 2, 1, 3};
    bool added = index >> 2 & 1, large = index / ORDER_WAYS == ORDERS - 1;
    return !added || large ? -1 : (index & ~7) + swapped[index & 3] + (index & 8 ? -8 : 8);
}

const struct op_kind op_strided_copy = {
    OP_KIND(nn, strided_copy),
    .cases = ORDERS * ORDER_WAYS,
    .adjoint_of = "strided_copy",
    .varied = "in",
    .seed = "in",
    .result = "out",
    .forward = strided_forward,
};

/* ---- flat ranges ---- */

static const int counts[] = {1, 3, 31, 257, 16385, 40001, 8 << 20};
enum { COUNTS = sizeof counts / sizeof *counts }; /* the last one is large */

static size_t describe_range(struct op_case *c, int count, int floats_moved)
{
    c->n = counts[count];
    c->large = count == COUNTS - 1;
    c->bytes = 4.0 * floats_moved * c->n;
    snprintf(c->text, sizeof c->text, "%d", c->n);
    return (size_t)c->n;
}

static void describe_zero(struct op_case *c)
{
    op_add_out(c, "x", NN_F32, describe_range(c, c->index, 1), 0);
}

static int run_zero(const struct op_call *call)
{
    return call->device->nn->zero(call->device, op_memory(call, "x"),
                                  (size_t)call->c->n * sizeof(float));
}

static void truth_zero(struct op_data *d)
{
    memset(op_values(d, "x"), 0, (size_t)d->c->n * sizeof(double));
}

const struct op_kind op_zero = {OP_KIND(nn, zero), .cases = COUNTS};

static void describe_copy(struct op_case *c)
{
    size_t n = describe_range(c, c->index, 2);
    op_add_in(c, "from", NN_F32, n);
    op_add_out(c, "to", NN_F32, n, 0);
}

static int run_copy(const struct op_call *call)
{
    return call->device->nn->copy(call->device, op_memory(call, "to"), op_memory(call, "from"),
                                  (size_t)call->c->n * sizeof(float));
}

static void truth_copy(struct op_data *d)
{
    memcpy(op_values(d, "to"), op_values(d, "from"), (size_t)d->c->n * sizeof(double));
}

const struct op_kind op_copy = {OP_KIND(nn, copy), .cases = COUNTS};

/* Without a first moment, with one, with decay too. */
static struct adam_f32 adam_of(const struct op_case *c)
{
    struct adam_f32 a = adam_of_network(&(struct adam_rates){.lr = 0.01, .b2 = 0.99}, 0, 0.6);
    if (c->variant > 0) a.b1 = 0.9f;
    if (c->variant > 1) a.decay = 0.001f;
    return a;
}

static void describe_adam(struct op_case *c)
{
    static const char *const variants[] = {"", ", mean", ", mean and decay"};
    size_t n = describe_range(c, c->index / 3, 5);
    c->variant = c->index % 3;
    op_add_sum(c, "p", n, 1e-6);
    if (c->variant > 0) op_add_sum(c, "m", n, 1e-6);
    op_add_sum(c, "v", n, 1e-6)->low = 0;
    op_add_in(c, "g", NN_F32, n);
    op_add(c, "rates", OP_IN, OP_RAW, sizeof(struct adam_f32))->fill = OP_OWN;
    snprintf(c->text + strlen(c->text), sizeof c->text - strlen(c->text), "%s",
             variants[c->variant]);
}

static void fill_adam(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    struct adam_f32 a = adam_of(c);
    memcpy(bytes, &a, operand->count);
}

static int run_adam(const struct op_call *call)
{
    return call->device->nn->adam(call->device, op_memory(call, "p"), op_memory(call, "m"),
                                  op_memory(call, "v"), op_memory(call, "g"), (size_t)call->c->n,
                                  op_memory(call, "rates"));
}

static void truth_adam(struct op_data *d)
{
    struct adam_f32 a = adam_of(d->c);
    double *p = op_values(d, "p"), *m = op_values(d, "m"), *v = op_values(d, "v");
    double b1 = (double)a.b1, b2 = (double)a.b2;
    for (int i = 0; i < d->c->n; i++) {
        double g = op_values(d, "g")[i], mean = g;
        if (m) mean = m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        p[i] = p[i] * (1 - (double)a.decay) -
               (double)a.step * mean / (sqrt(v[i]) * (double)a.root + (double)a.eps);
    }
}

const struct op_kind op_adam = {OP_KIND(nn, adam), .cases = 3 * COUNTS, .fill = fill_adam};

static void describe_ema(struct op_case *c)
{
    size_t n = describe_range(c, c->index, 3);
    op_add_sum(c, "e", n, 1e-6);
    op_add_in(c, "p", NN_F32, n);
    struct op_operand *beta = op_add_in(c, "beta", NN_F32, 1);
    beta->low = 0.99, beta->high = 0.999;
}

static int run_ema(const struct op_call *call)
{
    return call->device->nn->ema(call->device, op_memory(call, "e"), op_memory(call, "p"),
                                 (size_t)call->c->n, op_memory(call, "beta"));
}

static void truth_ema(struct op_data *d)
{
    double beta = op_values(d, "beta")[0], *e = op_values(d, "e");
    for (int i = 0; i < d->c->n; i++)
        e[i] = beta * e[i] + (1 - beta) * op_values(d, "p")[i];
}

const struct op_kind op_ema = {OP_KIND(nn, ema), .cases = COUNTS};

static void describe_norm2(struct op_case *c)
{
    op_add_in(c, "x", NN_F32, describe_range(c, c->index, 1));
    struct op_operand *sum = op_add(c, "sum", OP_OUT, OP_F64, 1);
    sum->host = true;
    sum->tolerance = 1e-12;
}

static int run_norm2(const struct op_call *call)
{
    return call->device->nn->norm2(call->device, op_memory(call, "sum"), op_memory(call, "x"),
                                   (size_t)call->c->n);
}

static void truth_norm2(struct op_data *d)
{
    double *sum = op_values(d, "sum"), *x = op_values(d, "x");
    *sum = 0;
    for (int i = 0; i < d->c->n; i++)
        *sum += x[i] * x[i];
}

const struct op_kind op_norm2 = {OP_KIND(nn, norm2), .cases = COUNTS};

/* Clipped, and not. */
static double clip_most(const struct op_case *c)
{
    return c->variant ? 1e9 : 0.25;
}

static void describe_clip_norm(struct op_case *c)
{
    size_t n = describe_range(c, c->index / 2, 3);
    c->variant = c->index % 2;
    op_add_sum(c, "x", n, 1e-6);
    op_add(c, "norm2", OP_OUT, OP_F64, 1)->tolerance = 1e-12;
    if (c->variant)
        snprintf(c->text + strlen(c->text), sizeof c->text - strlen(c->text), ", below");
}

static int run_clip_norm(const struct op_call *call)
{
    return call->device->nn->clip_norm(call->device, op_memory(call, "x"), (size_t)call->c->n,
                                       clip_most(call->c), op_memory(call, "norm2"));
}

static void truth_clip_norm(struct op_data *d)
{
    double *sum = op_values(d, "norm2"), *x = op_values(d, "x"), most = clip_most(d->c);
    *sum = 0;
    for (int i = 0; i < d->c->n; i++)
        *sum += x[i] * x[i];
    for (int i = 0; i < d->c->n && sqrt(*sum) > most; i++)
        x[i] *= most / (sqrt(*sum) + 1e-6);
}

const struct op_kind op_clip_norm = {OP_KIND(nn, clip_norm), .cases = 2 * COUNTS};
