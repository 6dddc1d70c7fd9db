/* Convolutions: every kernel of every device, odd sizes, all types, every part of the epilogue. */
#include "check/op_kinds.h"
#include "math/bf16.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct nn_conv shapes[] = {
    /* n, h, w, cin, cout, kernel, groups, chunk, types */
    {1, 1, 1, 16, 16, 1, 1, 1, NN_F32, NN_F32},
    {5, 1, 1, 64, 1, 1, 1, 2, NN_F32, NN_F32},
    {5, 1, 1, 64, 24, 1, 1, 2, NN_F32, NN_F32},
    {2, 3, 5, 3, 16, 1, 1, 1, NN_F32, NN_F32},
    {3, 5, 7, 3, 16, 1, 1, 2, NN_F32, NN_F32},
    {4, 8, 8, 3, 16, 1, 1, 4, NN_F32, NN_F32},
    {3, 5, 4, 16, 32, 1, 1, 2, NN_F32, NN_F32},
    {4, 6, 6, 24, 3, 1, 1, 1, NN_F32, NN_F32},
    {4, 8, 8, 4, 16, 1, 1, 4, NN_F32, NN_F32}, /* RGBA and grey, and back */
    {3, 7, 7, 40, 4, 1, 1, 2, NN_F32, NN_F32},
    {4, 8, 8, 1, 16, 1, 1, 4, NN_F32, NN_F32},
    {4, 6, 6, 24, 1, 1, 1, 1, NN_F32, NN_F32},
    {3, 7, 7, 40, 3, 1, 1, 2, NN_F32, NN_F32},
    {4, 5, 3, 32, 80, 1, 1, 2, NN_F32, NN_F32},
    {2, 7, 9, 40, 72, 1, 1, 1, NN_F32, NN_F32},
    {2, 7, 9, 128, 64, 1, 1, 2, NN_F32, NN_F32},
    {5, 13, 11, 48, 136, 1, 1, 2, NN_F32, NN_F32},
    {4, 24, 24, 16, 32, 1, 1, 4, NN_F32, NN_F32},
    {2, 12, 11, 21, 30, 1, 1, 2, NN_F32, NN_F32},
    {1, 1, 1, 16, 16, 3, 1, 1, NN_F32, NN_F32},
    {3, 1, 1, 16, 16, 3, 1, 2, NN_F32, NN_F32},
    {5, 3, 5, 32, 32, 3, 2, 2, NN_F32, NN_F32},
    {2, 6, 5, 32, 32, 3, 2, 1, NN_F32, NN_F32},
    {3, 9, 5, 32, 32, 3, 2, 2, NN_F32, NN_F32},
    {3, 7, 7, 48, 48, 3, 3, 1, NN_F32, NN_F32},
    {3, 16, 12, 48, 48, 3, 3, 2, NN_F32, NN_F32},
    {4, 4, 4, 256, 256, 3, 16, 2, NN_F32, NN_F32},
    {2, 9, 16, 16, 16, 3, 1, 2, NN_F32, NN_F32},
    {4, 34, 31, 16, 16, 3, 1, 4, NN_F32, NN_F32},
    {2, 5, 7, 3, 16, 3, 1, 1, NN_F32, NN_F32}, /* dense */
    {2, 5, 7, 3, 24, 3, 1, 1, NN_F32, NN_F32},
    {3, 7, 5, 3, 24, 3, 1, 2, NN_F32, NN_F32},
    {3, 7, 6, 3, 64, 3, 1, 2, NN_F32, NN_F32},
    {2, 6, 5, 16, 12, 3, 1, 2, NN_F32, NN_F32},
    {2, 6, 9, 32, 12, 3, 1, 1, NN_F32, NN_F32},
    {2, 9, 6, 24, 12, 3, 1, 2, NN_F32, NN_F32},
    {1, 1, 1, 24, 24, 3, 1, 1, NN_F32, NN_F32},
    {2, 13, 9, 24, 32, 3, 1, 2, NN_F32, NN_F32},
    {1, 9, 19, 40, 64, 3, 1, 1, NN_F32, NN_F32},
    {2, 4, 7, 48, 52, 3, 1, 1, NN_F32, NN_F32},
    {4, 9, 17, 64, 64, 3, 1, 2, NN_F32, NN_F32},
    {1, 2, 3, 64, 48, 3, 1, 1, NN_F32, NN_F32},
    {1, 5, 6, 64, 27, 3, 1, 1, NN_F32, NN_F32},
    {1, 7, 8, 96, 7, 3, 1, 1, NN_F32, NN_F32},
    {1, 34, 31, 1, 5, 3, 1, 1, NN_F32, NN_F32},
    {1, 5, 5, 200, 170, 3, 1, 1, NN_F32, NN_F32},
    {1, 3, 4, 3, 3, 3, 1, 1, NN_F32, NN_F32},
    {2, 6, 5, 40, 1, 3, 1, 2, NN_F32, NN_F32},
    {2, 7, 9, 24, 48, 3, 1, 1, NN_BF16, NN_BF16},
    {1, 7, 9, 3, 24, 3, 1, 1, NN_F32, NN_BF16},
    {1, 7, 9, 24, 12, 3, 1, 1, NN_BF16, NN_F32},
    {2, 5, 7, 64, 27, 3, 1, 1, NN_BF16, NN_F32},
    {2, 3, 7, 4, 6, 3, 2, 2, NN_F32, NN_F32}, /* not a fast one */
    {3, 3, 5, 4, 6, 3, 2, 2, NN_F32, NN_F32},
    {2, 5, 4, 8, 16, 3, 2, 1, NN_F32, NN_F32},
    {1, 1, 1, 16, 16, 1, 1, 1, NN_BF16, NN_BF16},
    {3, 5, 4, 16, 32, 1, 1, 2, NN_BF16, NN_BF16},
    {5, 16, 15, 8, 16, 1, 1, 3, NN_BF16, NN_BF16},
    {2, 9, 9, 24, 40, 1, 1, 1, NN_BF16, NN_BF16},
    {2, 12, 11, 24, 40, 1, 1, 2, NN_BF16, NN_BF16},
    {3, 9, 7, 32, 16, 1, 1, 2, NN_BF16, NN_BF16},
    {2, 13, 7, 136, 72, 1, 1, 2, NN_BF16, NN_BF16},
    {5, 13, 11, 48, 136, 1, 1, 2, NN_BF16, NN_BF16},
    {4, 24, 24, 16, 32, 1, 1, 4, NN_BF16, NN_BF16},
    {2, 7, 9, 128, 64, 1, 1, 1, NN_BF16, NN_BF16},
    {3, 20, 8, 128, 64, 1, 1, 2, NN_BF16, NN_BF16},
    {1, 1, 1, 16, 16, 3, 1, 1, NN_BF16, NN_BF16},
    {5, 3, 5, 32, 32, 3, 2, 2, NN_BF16, NN_BF16},
    {3, 7, 5, 16, 16, 3, 1, 2, NN_BF16, NN_BF16},
    {3, 7, 7, 48, 48, 3, 3, 1, NN_BF16, NN_BF16},
    {2, 9, 16, 16, 16, 3, 1, 2, NN_BF16, NN_BF16},
    {2, 9, 19, 32, 32, 3, 2, 1, NN_BF16, NN_BF16},
    {2, 18, 17, 32, 32, 3, 2, 1, NN_BF16, NN_BF16},
    {1, 10, 17, 128, 128, 3, 8, 1, NN_BF16, NN_BF16},
    {4, 34, 31, 16, 16, 3, 1, 4, NN_BF16, NN_BF16},
    {2, 32, 32, 64, 64, 3, 4, 2, NN_BF16, NN_BF16},
    {2, 5, 3, 8, 16, 3, 2, 1, NN_BF16, NN_BF16},
    {2, 5, 3, 16, 32, 1, 1, 1, NN_F32, NN_BF16}, /* colours and back */
    {2, 18, 5, 3, 16, 1, 1, 1, NN_F32, NN_BF16},
    {2, 18, 5, 4, 16, 1, 1, 1, NN_F32, NN_BF16},
    {3, 9, 20, 3, 16, 1, 1, 2, NN_F32, NN_BF16},
    {3, 5, 5, 16, 3, 1, 1, 2, NN_BF16, NN_F32},
    {2, 18, 5, 24, 3, 1, 1, 1, NN_BF16, NN_F32},
    {3, 9, 20, 40, 3, 1, 1, 2, NN_BF16, NN_F32},
    {3, 9, 20, 40, 4, 1, 1, 2, NN_BF16, NN_F32},
    {2, 5, 9, 16, 32, 1, 1, 1, NN_BF16, NN_F32},
    {3, 3, 5, 4, 264, 1, 1, 2, NN_F32, NN_BF16}, /* few channels: wide rows, pieces, all types */
    {2, 3, 5, 520, 3, 1, 1, 1, NN_BF16, NN_F32},
    {3, 40, 30, 3, 16, 1, 1, 2, NN_F32, NN_BF16},
    {1, 5, 7, 50, 4, 1, 1, 1, NN_BF16, NN_BF16},
    {2, 5, 7, 1, 30, 1, 1, 1, NN_BF16, NN_F32},
    {1, 3, 7, 24, 2, 1, 1, 1, NN_F32, NN_BF16},
    {2, 4, 5, 4, 4, 1, 1, 2, NN_BF16, NN_BF16},
    {1, 5, 4, 16, 16, 3, 1, 1, NN_F32, NN_BF16},
    {2, 5, 11, 48, 48, 3, 3, 1, NN_F32, NN_BF16},
    {2, 4, 8, 64, 64, 3, 4, 2, NN_BF16, NN_F32},
};
/* As networks have them. */
static const struct nn_conv large[] = {
    {16, 32, 32, 128, 256, 1, 1, 4, NN_F32, NN_F32},
    {16, 32, 32, 256, 256, 3, 16, 4, NN_F32, NN_F32},
    {16, 32, 32, 128, 256, 1, 1, 4, NN_BF16, NN_BF16},
    {16, 32, 32, 256, 256, 3, 16, 4, NN_BF16, NN_BF16},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, LARGE = sizeof large / sizeof *large };

enum finish {
    PLAIN,
    BIAS_LRELU,
    RESIDUAL,  /* and the two above */
    MASK_IN,   /* and bias, leaky ReLU */
    IN_PLACE,  /* all of it, the residual is the output */
    WHOLE,     /* whole numbers: every bit of the mask must agree */
    BIAS_ONLY, /* linear in the bias */
    FINISHES
};

static size_t pixels_of(const struct nn_conv *s)
{
    return (size_t)s->n * (size_t)s->h * (size_t)s->w;
}

static size_t weights_of(const struct nn_conv *s)
{
    return (size_t)(s->cout * (s->cin / s->groups) * s->kernel * s->kernel);
}

static void describe_shape(struct op_case *c, int shape)
{
    c->large = shape >= SHAPES;
    c->conv = c->large ? large[shape - SHAPES] : shapes[shape];
    const struct nn_conv *s = &c->conv;
    double pixels = (double)pixels_of(s);
    c->in_type = s->in_type;
    c->out_type = s->out_type;
    c->macs = pixels * s->cin / s->groups * s->cout * s->kernel * s->kernel;
    c->bytes = pixels * (double)((size_t)s->cin * nn_type_bytes(s->in_type) +
                                 (size_t)s->cout * nn_type_bytes(s->out_type)) +
               (double)(weights_of(s) * sizeof(float));
    snprintf(c->text, sizeof c->text, "%dx%dx%d %d>%d k%d g%d %s>%s", s->n, s->h, s->w, s->cin,
             s->cout, s->kernel, s->groups, op_type_name(s->in_type), op_type_name(s->out_type));
}

/* Gradients of these are made by F(4x4,3x3) on the CPU, which is not exact for whole numbers
 * either: src/cpu/README.md. */
static bool is_dense(const struct nn_conv *s)
{
    return s->kernel == 3 && s->groups == 1;
}

static void describe_pass(struct op_case *c, bool adjoint)
{
    static const char *const finishes[] = {"",           ", bias+lrelu", ", residual", ", mask in",
                                           ", in place", ", whole",      ", bias"};
    int at = c->index < SHAPES * FINISHES ? c->index : SHAPES * FINISHES;
    describe_shape(c, c->index < SHAPES * FINISHES ? at / FINISHES : c->index - at + SHAPES);
    const struct nn_conv *s = &c->conv;
    int f = c->variant = c->large ? PLAIN : c->index % FINISHES;
    size_t channels = (size_t)(adjoint ? s->cin : s->cout);
    size_t outputs = pixels_of(s) * channels;
    size_t inputs = pixels_of(s) * (size_t)(adjoint ? s->cout : s->cin);
    enum nn_type to = adjoint ? s->in_type : s->out_type, from = adjoint ? s->out_type : s->in_type;
    bool masks = channels % 8 == 0;
    double tolerance = adjoint && is_dense(s) ? 1.5e-5 : 2e-6;
    double whole = adjoint && is_dense(s) ? tolerance : 0;
    struct op_operand *in = op_add_in(c, adjoint ? "dout" : "in", from, inputs);
    struct op_operand *w = op_add_in(c, "weights", NN_F32, weights_of(s));
    struct op_operand *out = op_add_out(c, adjoint ? "din" : "out", to, outputs, tolerance);
    w->coarse = from == NN_BF16 || to == NN_BF16; /* rounded or not, they are the same */
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
    if (f != PLAIN && f != WHOLE) op_add_in(c, "bias", NN_F32, channels);
    if (f == RESIDUAL) op_add_in(c, "residual", to, outputs);
    if (f == IN_PLACE) out->role = OP_INOUT;
    if ((f == MASK_IN || f == IN_PLACE) && masks) op_add(c, "mask in", OP_IN, OP_MASK, outputs);
    if ((f == IN_PLACE || f == WHOLE) && masks)
        op_add(c, "mask out", OP_OUT, OP_MASK, outputs)->tolerance = f == WHOLE ? whole : tolerance;
    if (f == WHOLE) {
        in->fill = w->fill = OP_WHOLE;
        in->low = -2, in->high = 2;
    }
    snprintf(c->text + strlen(c->text), sizeof c->text - strlen(c->text), "%s", finishes[f]);
}

static void describe_forward(struct op_case *c)
{
    describe_pass(c, false);
}

static void describe_dgrad(struct op_case *c)
{
    describe_pass(c, true);
}

static void describe_wgrad(struct op_case *c)
{
    describe_shape(c, c->index);
    const struct nn_conv *s = &c->conv;
    op_add_in(c, "in", s->in_type, pixels_of(s) * (size_t)s->cin);
    op_add_in(c, "dout", s->out_type, pixels_of(s) * (size_t)s->cout);
    op_add_sum(c, "dw", weights_of(s), is_dense(s) ? 1.5e-5 : 4e-6);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
}

static const float lrelu_slope = 0.2f, whole_slope = 0.25f, mask_slope = 0.5f;

static struct nn_epilogue epilogue_of(const struct op_call *call, bool adjoint)
{
    int f = call->c->variant;
    struct nn_epilogue e = {.slope = 1};
    e.bias = op_memory(call, "bias");
    e.residual = op_memory(call, f == IN_PLACE ? adjoint ? "din" : "out" : "residual");
    e.mask_in = op_memory(call, "mask in");
    e.mask_out = op_memory(call, "mask out");
    if (f == WHOLE) e.slope = whole_slope;
    if (f >= BIAS_LRELU && f <= IN_PLACE) e.slope = lrelu_slope;
    if (e.mask_in) e.mask_slope = mask_slope;
    return e;
}

static int run_forward(const struct op_call *call)
{
    struct nn_epilogue e = epilogue_of(call, false);
    return call->device->nn->conv_forward(call->device, &call->c->conv, op_memory(call, "out"),
                                          op_memory(call, "in"), op_memory(call, "weights"), &e,
                                          op_memory(call, "workspace"));
}

static int run_dgrad(const struct op_call *call)
{
    struct nn_epilogue e = epilogue_of(call, true);
    return call->device->nn->conv_dgrad(call->device, &call->c->conv, op_memory(call, "din"),
                                        op_memory(call, "dout"), op_memory(call, "weights"), &e,
                                        op_memory(call, "workspace"));
}

static int run_wgrad(const struct op_call *call)
{
    return call->device->nn->conv_wgrad(call->device, &call->c->conv, op_memory(call, "dw"),
                                        op_memory(call, "in"), op_memory(call, "dout"),
                                        op_memory(call, "workspace"));
}

static size_t conv_case_workspace(const struct device *device, const struct op_case *c)
{
    return device->nn->conv_workspace(device, &c->conv);
}

/* Adds the products of a pixel's group and a kernel's position to one of the three tensors. */
static void add_group(double *out, double *in, double *weights, int count, int apart, char result)
{
    for (int i = 0; i < count; i++) {
        double *w = weights + (ptrdiff_t)i * apart;
        if (result == 'o') *out += in[i] * *w;
        if (result == 'i') in[i] += *out * *w;
        if (result == 'w') *w += *out * in[i];
    }
}

/* All products of a convolution: `result` says whether outputs, inputs or weights are sums of those
 * of the two others. */
static void add_products(const struct nn_conv *s, double *out, double *in, double *weights,
                         char result)
{
    int ci = s->cin / s->groups, co = s->cout / s->groups, k = s->kernel, r = k / 2;
    for (int p = 0; p < s->n * s->h * s->w; p++)
        for (int tap = 0; tap < k * k; tap++) {
            int y = p / s->w % s->h + tap / k - r, x = p % s->w + tap % k - r;
            if (y < 0 || y >= s->h || x < 0 || x >= s->w) continue;
            double *pixel = in + (ptrdiff_t)(p + (tap / k - r) * s->w + tap % k - r) * s->cin;
            for (int o = 0; o < s->cout; o++)
                add_group(out + (ptrdiff_t)p * s->cout + o, pixel + o / co * ci,
                          weights + (ptrdiff_t)o * ci * k * k + tap, ci, k * k, result);
        }
}

static void truth_pass(struct op_data *d, bool adjoint)
{
    const struct op_case *c = d->c;
    const struct nn_conv *s = &c->conv;
    int out = op_find(c, adjoint ? "din" : "out"), f = c->variant;
    double *value = d->values[out], *bias = op_values(d, "bias"), *mask = op_values(d, "mask out");
    double *residual = op_values(d, "residual"), *kept = op_values(d, "mask in");
    size_t channels = (size_t)(adjoint ? s->cin : s->cout), count = c->operands[out].count;
    double slope = f == WHOLE ? (double)whole_slope : (double)lrelu_slope;
    for (size_t i = 0; i < count; i++) {
        if (f != IN_PLACE) value[i] = residual ? residual[i] : 0;
        if (bias) value[i] += bias[i % channels];
    }
    if (adjoint)
        add_products(s, op_values(d, "dout"), value, op_values(d, "weights"), 'i');
    else
        add_products(s, value, op_values(d, "in"), op_values(d, "weights"), 'o');
    for (size_t i = 0; i < count; i++) {
        if (mask) mask[i] = value[i];
        if (f != PLAIN && f != BIAS_ONLY && !(value[i] > 0)) value[i] *= slope;
        if (kept && !(kept[i] > 0)) value[i] *= (double)mask_slope;
    }
}

static void truth_forward(struct op_data *d)
{
    truth_pass(d, false);
}

static void truth_dgrad(struct op_data *d)
{
    truth_pass(d, true);
}

static void truth_wgrad(struct op_data *d)
{
    add_products(&d->c->conv, op_values(d, "dout"), op_values(d, "in"), op_values(d, "dw"), 'w');
}

/* Every shape, as each has kernels of its own; the epilogues, which they share, take turns. */
static bool pass_is_quick(const struct op_case *c)
{
    return !c->large && c->variant == c->index / FINISHES % FINISHES;
}

/* Gradients: of the plain case. */
static int plain_of_pass(int index)
{
    return index < SHAPES * FINISHES && index % FINISHES == PLAIN ? index : -1;
}

static int plain_of_shape(int index)
{
    return index < SHAPES ? index * FINISHES + PLAIN : -1;
}

const struct op_kind op_conv_forward = {
    .table = "nn",
    .name = "conv_forward",
    .offset = offsetof(struct nn_ops, conv_forward),
    .cases = SHAPES * FINISHES + LARGE,
    .describe = describe_forward,
    .run = run_forward,
    .truth = truth_forward,
    .is_quick = pass_is_quick,
    .workspace = conv_case_workspace,
};

const struct op_kind op_conv_dgrad = {
    .table = "nn",
    .name = "conv_dgrad",
    .offset = offsetof(struct nn_ops, conv_dgrad),
    .cases = SHAPES * FINISHES + LARGE,
    .describe = describe_dgrad,
    .run = run_dgrad,
    .truth = truth_dgrad,
    .is_quick = pass_is_quick,
    .workspace = conv_case_workspace,
    .adjoint_of = "conv_forward",
    .varied = "in",
    .seed = "dout",
    .result = "din",
    .forward = plain_of_pass,
};

const struct op_kind op_conv_wgrad = {
    .table = "nn",
    .name = "conv_wgrad",
    .offset = offsetof(struct nn_ops, conv_wgrad),
    .cases = SHAPES + LARGE,
    .describe = describe_wgrad,
    .run = run_wgrad,
    .truth = truth_wgrad,
    .workspace = conv_case_workspace,
    .adjoint_of = "conv_forward",
    .varied = "weights",
    .seed = "dout",
    .result = "dw",
    .forward = plain_of_shape,
};

/* ---- biases: of the convolutions above, and of sizes that are cut otherwise ---- */

static const int biases[][3] = {{3, 35, 40}, {2, 2500, 16}, {1, 1, 8}, {3, 6, 24}}; /* n pixels c */
enum { BIASES = 2 * sizeof biases / sizeof *biases };

static void describe_bias(struct op_case *c)
{
    int own = c->index - SHAPES - LARGE;
    describe_shape(c, own < 0 ? c->index : 0);
    c->n = c->conv.n, c->w = c->conv.h * c->conv.w, c->c = c->conv.cout;
    c->in_type = c->out_type;
    if (own >= 0) {
        c->large = false;
        c->n = biases[own / 2][0], c->w = biases[own / 2][1], c->c = biases[own / 2][2];
        c->in_type = own % 2 ? NN_BF16 : NN_F32;
    }
    size_t count = (size_t)c->n * (size_t)c->w * (size_t)c->c;
    c->macs = 0;
    c->bytes = (double)(count * nn_type_bytes(c->in_type));
    snprintf(c->text, sizeof c->text, "%dx%dx%d %s", c->n, c->w, c->c, op_type_name(c->in_type));
    op_add_in(c, "dout", c->in_type, count);
    op_add_sum(c, "db", (size_t)c->c, 2e-6);
}

static int run_bias(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->bias_grad(call->device, op_memory(call, "db"), op_memory(call, "dout"),
                                       c->in_type, c->n, c->w, c->c);
}

static void truth_bias(struct op_data *d)
{
    double *db = op_values(d, "db"), *dout = op_values(d, "dout");
    for (int i = 0; i < d->c->n * d->c->w * d->c->c; i++)
        db[i % d->c->c] += dout[i];
}

static int bias_of_shape(int index)
{
    return index < SHAPES ? index * FINISHES + BIAS_ONLY : -1;
}

const struct op_kind op_bias_grad = {
    .table = "nn",
    .name = "bias_grad",
    .offset = offsetof(struct nn_ops, bias_grad),
    .cases = SHAPES + LARGE + BIASES,
    .describe = describe_bias,
    .run = run_bias,
    .truth = truth_bias,
    .adjoint_of = "conv_forward",
    .varied = "bias",
    .seed = "dout",
    .result = "db",
    .forward = bias_of_shape,
};

/* ---- behind a PReLU ---- */

static const struct nn_conv prelu_shapes[] = {
    {2, 5, 7, 3, 16, 3, 1, 1, NN_F32, NN_F32},
    {3, 7, 5, 24, 12, 3, 1, 2, NN_F32, NN_F32},
    {4, 9, 17, 64, 64, 3, 1, 2, NN_F32, NN_F32},
    {2, 6, 6, 96, 27, 3, 1, 1, NN_F32, NN_F32},
    {1, 5, 5, 200, 170, 3, 1, 1, NN_F32, NN_F32},
    {2, 9, 6, 16, 16, 3, 1, 1, NN_F32, NN_F32}, /* a group's kernel */
    {2, 5, 7, 24, 16, 1, 1, 1, NN_F32, NN_F32},
    {2, 3, 7, 4, 6, 3, 2, 2, NN_F32, NN_F32},
    {2, 7, 9, 24, 48, 3, 1, 1, NN_BF16, NN_BF16},
    {2, 5, 7, 64, 27, 3, 1, 1, NN_BF16, NN_F32},
    {16, 64, 64, 64, 64, 3, 1, 1, NN_F32, NN_F32}, /* large */
};
enum { PRELU_SHAPES = sizeof prelu_shapes / sizeof *prelu_shapes };

static void describe_prelu_conv(struct op_case *c)
{
    const struct nn_conv *s = &prelu_shapes[c->index];
    describe_shape(c, 0);
    c->large = c->index == PRELU_SHAPES - 1;
    c->conv = *s;
    c->in_type = s->in_type, c->out_type = s->out_type;
    c->macs = (double)pixels_of(s) * s->cin / s->groups * s->cout * s->kernel * s->kernel;
    c->bytes = (double)pixels_of(s) * (double)((size_t)s->cin * nn_type_bytes(s->in_type) +
                                               (size_t)s->cout * nn_type_bytes(s->out_type));
    snprintf(c->text, sizeof c->text, "%dx%dx%d %d>%d k%d g%d %s>%s", s->n, s->h, s->w, s->cin,
             s->cout, s->kernel, s->groups, op_type_name(s->in_type), op_type_name(s->out_type));
    op_add_in(c, "z", s->in_type, pixels_of(s) * (size_t)s->cin)->fill = OP_OWN;
    op_add_in(c, "slopes", NN_F32, (size_t)s->cin);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
}

/* What the PReLU makes may be rounded to bf16, or not. */
static double prelu_conv_tolerance(const struct op_case *c, double tolerance)
{
    return c->in_type == NN_BF16 ? 8e-3 : tolerance;
}

static void describe_prelu_conv_forward(struct op_case *c)
{
    describe_prelu_conv(c);
    const struct nn_conv *s = &c->conv;
    op_add_in(c, "weights", NN_F32, weights_of(s))->coarse = c->in_type == NN_BF16;
    op_add_in(c, "bias", NN_F32, (size_t)s->cout);
    op_add_out(c, "out", s->out_type, pixels_of(s) * (size_t)s->cout,
               prelu_conv_tolerance(c, 2e-6));
}

static void describe_prelu_conv_dgrad(struct op_case *c)
{
    describe_prelu_conv(c);
    const struct nn_conv *s = &c->conv;
    op_add_in(c, "weights", NN_F32, weights_of(s))->coarse = c->in_type == NN_BF16;
    op_add_in(c, "dout", s->out_type, pixels_of(s) * (size_t)s->cout);
    op_add_out(c, "dz", s->in_type, pixels_of(s) * (size_t)s->cin, prelu_conv_tolerance(c, 1.5e-5));
    op_add_sum(c, "dslopes", (size_t)s->cin, prelu_conv_tolerance(c, 1.5e-5));
}

static void describe_prelu_conv_wgrad(struct op_case *c)
{
    describe_prelu_conv(c);
    const struct nn_conv *s = &c->conv;
    op_add_in(c, "dout", s->out_type, pixels_of(s) * (size_t)s->cout);
    op_add_sum(c, "dw", weights_of(s), prelu_conv_tolerance(c, 1.5e-5));
}

/* Numbers of 1..2 and -1..-2, so that differences do not meet the corner. */
static void fill_prelu_conv(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    (void)c;
    for (size_t i = 0; i < operand->count; i++) {
        float u = (float)op_uniform(operand->name, i), z = u < 0.5f ? -1 - 2 * u : 2 * u;
        if (operand->type == OP_BF16)
            ((uint16_t *)bytes)[i] = bf16_round(z);
        else
            ((float *)bytes)[i] = z;
    }
}

static struct nn_prelu_conv prelu_conv_of(const struct op_call *call)
{
    return (struct nn_prelu_conv){
        .conv = call->c->conv, .z = op_memory(call, "z"), .slopes = op_memory(call, "slopes")};
}

static int run_prelu_conv_forward(const struct op_call *call)
{
    struct nn_prelu_conv p = prelu_conv_of(call);
    struct nn_epilogue e = {.bias = op_memory(call, "bias"), .slope = 1};
    return call->device->nn->prelu_conv_forward(call->device, &p, op_memory(call, "out"),
                                                op_memory(call, "weights"), &e,
                                                op_memory(call, "workspace"));
}

static int run_prelu_conv_dgrad(const struct op_call *call)
{
    struct nn_prelu_conv p = prelu_conv_of(call);
    return call->device->nn->prelu_conv_dgrad(
        call->device, &p, op_memory(call, "dz"), op_memory(call, "dout"),
        op_memory(call, "weights"), op_memory(call, "dslopes"), op_memory(call, "workspace"));
}

static int run_prelu_conv_wgrad(const struct op_call *call)
{
    struct nn_prelu_conv p = prelu_conv_of(call);
    return call->device->nn->prelu_conv_wgrad(call->device, &p, op_memory(call, "dw"),
                                              op_memory(call, "dout"),
                                              op_memory(call, "workspace"));
}

/* z becomes what the PReLU makes of it. */
static double *truth_of_prelu(struct op_data *d)
{
    const struct nn_conv *s = &d->c->conv;
    double *z = op_values(d, "z"), *slopes = op_values(d, "slopes");
    for (size_t i = 0; i < pixels_of(s) * (size_t)s->cin; i++)
        if (!(z[i] > 0)) z[i] *= slopes[i % (size_t)s->cin];
    return z;
}

static void truth_prelu_conv_forward(struct op_data *d)
{
    const struct nn_conv *s = &d->c->conv;
    double *out = op_values(d, "out"), *bias = op_values(d, "bias");
    for (size_t i = 0; i < pixels_of(s) * (size_t)s->cout; i++)
        out[i] = bias[i % (size_t)s->cout];
    add_products(s, out, truth_of_prelu(d), op_values(d, "weights"), 'o');
}

static void truth_prelu_conv_dgrad(struct op_data *d)
{
    const struct nn_conv *s = &d->c->conv;
    double *z = op_values(d, "z"), *dz = op_values(d, "dz"), *slopes = op_values(d, "slopes");
    double *dslopes = op_values(d, "dslopes");
    memset(dz, 0, pixels_of(s) * (size_t)s->cin * sizeof *dz);
    add_products(s, op_values(d, "dout"), dz, op_values(d, "weights"), 'i');
    for (size_t i = 0; i < pixels_of(s) * (size_t)s->cin; i++) {
        size_t channel = i % (size_t)s->cin;
        if (z[i] > 0) continue;
        dslopes[channel] += z[i] * dz[i];
        dz[i] *= slopes[channel];
    }
}

static void truth_prelu_conv_wgrad(struct op_data *d)
{
    add_products(&d->c->conv, op_values(d, "dout"), truth_of_prelu(d), op_values(d, "dw"), 'w');
}

static size_t prelu_conv_case_workspace(const struct device *device, const struct op_case *c)
{
    return device->nn->prelu_conv_workspace(device, &c->conv);
}

static int prelu_conv_of_small(int index)
{
    return index < PRELU_SHAPES - 1 ? index : -1;
}

const struct op_kind op_prelu_conv_forward = {
    OP_KIND(nn, prelu_conv_forward),
    .cases = PRELU_SHAPES,
    .fill = fill_prelu_conv,
    .workspace = prelu_conv_case_workspace,
};
const struct op_kind op_prelu_conv_dgrad = {
    OP_KIND(nn, prelu_conv_dgrad),
    .cases = PRELU_SHAPES,
    .fill = fill_prelu_conv,
    .workspace = prelu_conv_case_workspace,
    .adjoint_of = "prelu_conv_forward",
    .varied = "z",
    .seed = "dout",
    .result = "dz",
    .forward = prelu_conv_of_small,
};
const struct op_kind op_prelu_conv_wgrad = {
    OP_KIND(nn, prelu_conv_wgrad),
    .cases = PRELU_SHAPES,
    .fill = fill_prelu_conv,
    .workspace = prelu_conv_case_workspace,
    .adjoint_of = "prelu_conv_forward",
    .varied = "weights",
    .seed = "dout",
    .result = "dw",
    .forward = prelu_conv_of_small,
};
