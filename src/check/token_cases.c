/* Rows of tokens: products with a matrix, norms, gates, rotary positions, SwiGLU. */
#include "check/op_kinds.h"
#include "math/bf16.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* By token_type, and products of bf16. */
enum { BF16_PRODUCTS = TOKEN_I8 + 1 };
static const char *const weight_names[] = {"fp32", "bf16", "fp16", "int8", "bf16 as x"};
static const enum op_type weight_types[] = {OP_F32, OP_BF16, OP_F16, OP_I8, OP_BF16};
enum { WEIGHT_TYPES = 3, ROW_GAP = 3 }; /* with gradients */

/* ---- linear ---- */

/* Rows, in, out; the last ones are large: those that a transformer of some size has. */
static const int linears[][3] = {{1, 1, 1},          {33, 64, 70},      {70, 300, 9},
                                 {5, 17, 130},       {3, 5, 16400},     {256, 64, 192},
                                 {1024, 256, 1024},  {1024, 384, 1536}, {544, 3840, 3840},
                                 {544, 3840, 10240}, {544, 10240, 3840}};
enum { LINEARS = sizeof linears / sizeof *linears, LINEARS_SMALL = 5, LINEAR_VARIANTS = 4 };
enum { LINEAR_CASES = LINEARS * WEIGHT_TYPES * LINEAR_VARIANTS };

/* n rows of c to k, weights of type h. Odd variants have gaps between rows. */
static void describe_linear(struct op_case *c, int shape, int type)
{
    c->n = linears[shape][0], c->c = linears[shape][1], c->k = linears[shape][2];
    c->variant = c->index % LINEAR_VARIANTS;
    c->h = type;
    c->large = shape >= LINEARS_SMALL;
    c->macs = (double)c->n * c->c * c->k;
    c->w = c->variant & 1 ? ROW_GAP : 0;
    c->bytes = 4 * ((double)c->n * (c->c + c->k)) +
               (double)token_type_bytes((enum token_type)type) * c->c * c->k;
}

static void describe_linear_typed(struct op_case *c)
{
    int typed = c->index / LINEAR_VARIANTS;
    if (c->index >= LINEAR_CASES) { /* of forward alone */
        typed -= LINEAR_CASES / LINEAR_VARIANTS;
        describe_linear(c, typed % LINEARS, typed < LINEARS ? TOKEN_I8 : BF16_PRODUCTS);
    } else
        describe_linear(c, typed / WEIGHT_TYPES, typed % WEIGHT_TYPES);
}

static size_t linear_floats(const struct op_case *c, int width)
{
    return (size_t)c->n * (size_t)(width + c->w);
}

/* Of x or y: where the number of a row and a column stands. */
static size_t linear_at(const struct op_case *c, int width, int row, int column)
{
    return (size_t)row * (size_t)(width + c->w) + (size_t)column;
}

static void linear_text(struct op_case *c, const char *what)
{
    snprintf(c->text, sizeof c->text, "%d rows of %d to %d, %s%s%s", c->n, c->c, c->k,
             weight_names[c->h], what, c->w ? ", gaps" : "");
}

static struct op_operand *add_weight(struct op_case *c)
{
    struct op_operand *weight =
        op_add(c, "weight", OP_IN, weight_types[c->h], (size_t)c->c * (size_t)c->k);
    if (c->h != TOKEN_I8) return weight;
    weight->fill = OP_WHOLE, weight->low = -127, weight->high = 127;
    return op_add(c, "scales", OP_IN, OP_F32, (size_t)c->k);
}

/* Instead of a SiLU: in every second shape. */
static bool linear_is_quick(const struct op_case *c)
{
    return c->variant == 2 && c->index / LINEAR_VARIANTS / WEIGHT_TYPES % 2 == 1;
}

static void describe_linear_forward(struct op_case *c)
{
    static const char *const texts[] = {"", ", bias", ", silu", ", bias, gelu, added"};
    describe_linear_typed(c);
    const char *text = linear_is_quick(c) ? ", quick gelu" : texts[c->variant];
    op_add(c, "x", OP_IN, OP_F32, linear_floats(c, c->c));
    add_weight(c);
    if (c->variant & 1) op_add(c, "bias", OP_IN, OP_F32, (size_t)c->k);
    op_add_out(c, "y", NN_F32, linear_floats(c, c->k), 2e-6)->role =
        c->variant == 3 ? OP_INOUT : OP_OUT;
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
    linear_text(c, text);
}

static struct token_linear linear_of(const struct op_case *c)
{
    return (struct token_linear){.rows = c->n,
                                 .in = c->c,
                                 .out = c->k,
                                 .weight_type =
                                     c->h == BF16_PRODUCTS ? TOKEN_BF16 : (enum token_type)c->h,
                                 .bf16 = c->h == BF16_PRODUCTS,
                                 .chunk = c->variant & 2 ? 7 : c->n,
                                 .x_stride = c->w ? (size_t)(c->c + c->w) : 0,
                                 .y_stride = c->w ? (size_t)(c->k + c->w) : 0};
}

static size_t workspace_linear(const struct device *device, const struct op_case *c)
{
    struct token_linear l = linear_of(c);
    return device->token->linear_workspace(device, &l);
}

static int run_linear_forward(const struct op_call *call)
{
    static const enum token_activation activations[] = {TOKEN_NO_ACTIVATION, TOKEN_NO_ACTIVATION,
                                                        TOKEN_SILU, TOKEN_GELU_TANH};
    struct token_linear l = linear_of(call->c);
    struct token_epilogue epilogue = {
        .bias = op_memory(call, "bias"),
        .activation = linear_is_quick(call->c) ? TOKEN_GELU_QUICK : activations[call->c->variant],
        .add = call->c->variant == 3};
    l.weight = op_memory(call, "weight");
    l.weight_scales = op_memory(call, "scales");
    return call->device->token->linear_forward(call->device, &l, op_memory(call, "y"),
                                               op_memory(call, "x"), &epilogue,
                                               op_memory(call, "workspace"));
}

static double truth_silu(double x)
{
    return x / (1 + exp(-x));
}

static double truth_gelu_quick(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double truth_gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

static double truth_factor(const struct op_case *c, double x)
{
    return c->h == BF16_PRODUCTS ? (double)bf16_value(bf16_round((float)x)) : x;
}

static void truth_linear_forward(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *x = op_values(d, "x"), *weight = op_values(d, "weight"),
                 *bias = op_values(d, "bias"), *scales = op_values(d, "scales");
    double *y = op_values(d, "y");
    for (int row = 0; row < c->n; row++)
        for (int j = 0; j < c->k; j++) {
            double sum = 0;
            for (int i = 0; i < c->c; i++)
                sum +=
                    truth_factor(c, x[linear_at(c, c->c, row, i)]) * weight[(size_t)(j * c->c + i)];
            sum = sum * (scales ? scales[j] : 1) + (bias ? bias[j] : 0);
            double *to = &y[linear_at(c, c->k, row, j)];
            if (c->variant == 2) sum = linear_is_quick(c) ? truth_gelu_quick(sum) : truth_silu(sum);
            *to = c->variant == 3 ? *to + truth_gelu(sum) : sum;
        }
}

/* So many terms of a sum take the emulator long; other kernels have what is particular to the
 * shape. */
static void describe_linear_dgrad(struct op_case *c)
{
    describe_linear_typed(c);
    if (c->k > 10000) c->large = true;
    op_add(c, "dy", OP_IN, OP_F32, linear_floats(c, c->k));
    add_weight(c);
    op_add_out(c, "dx", NN_F32, linear_floats(c, c->c), 2e-6)->role =
        c->variant & 2 ? OP_INOUT : OP_OUT;
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
    linear_text(c, c->variant & 2 ? ", added" : "");
}

static int run_linear_dgrad(const struct op_call *call)
{
    struct token_linear l = linear_of(call->c);
    l.weight = op_memory(call, "weight");
    return call->device->token->linear_dgrad(call->device, &l, op_memory(call, "dx"),
                                             op_memory(call, "dy"), (call->c->variant & 2) != 0,
                                             op_memory(call, "workspace"));
}

static void truth_linear_dgrad(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *dy = op_values(d, "dy"), *weight = op_values(d, "weight");
    double *dx = op_values(d, "dx");
    for (int row = 0; row < c->n; row++)
        for (int i = 0; i < c->c; i++) {
            double sum = 0, *to = &dx[linear_at(c, c->c, row, i)];
            for (int j = 0; j < c->k; j++)
                sum += dy[linear_at(c, c->k, row, j)] * weight[(size_t)(j * c->c + i)];
            *to = c->variant & 2 ? *to + sum : sum;
        }
}

/* The gradients' forward operation without epilogue, with gaps where there are some. */
static int linear_forward_of(int index)
{
    int variant = index % LINEAR_VARIANTS;
    if (index / LINEAR_VARIANTS / WEIGHT_TYPES >= LINEARS_SMALL || variant & 2) return -1;
    return index;
}

/* Without db in every fourth case. */
static void describe_linear_wgrad(struct op_case *c)
{
    describe_linear(c, c->index / LINEAR_VARIANTS, 0);
    op_add(c, "x", OP_IN, OP_F32, linear_floats(c, c->c));
    op_add(c, "dy", OP_IN, OP_F32, linear_floats(c, c->k));
    op_add_sum(c, "dw", (size_t)c->c * (size_t)c->k, 2e-6);
    if (c->variant != 2) op_add_sum(c, "db", (size_t)c->k, 2e-6);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
    linear_text(c, c->variant == 2   ? ", chunks of 7, no bias"
                   : c->variant == 3 ? ", chunks of 7"
                                     : "");
}

static int run_linear_wgrad(const struct op_call *call)
{
    struct token_linear l = linear_of(call->c);
    return call->device->token->linear_wgrad(call->device, &l, op_memory(call, "dw"),
                                             op_memory(call, "db"), op_memory(call, "x"),
                                             op_memory(call, "dy"), op_memory(call, "workspace"));
}

static void truth_linear_wgrad(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *x = op_values(d, "x"), *dy = op_values(d, "dy");
    double *dw = op_values(d, "dw"), *db = op_values(d, "db");
    for (int row = 0; row < c->n; row++)
        for (int j = 0; j < c->k; j++) {
            double slope = dy[linear_at(c, c->k, row, j)];
            if (db) db[j] += slope;
            for (int i = 0; i < c->c; i++)
                dw[j * c->c + i] += slope * x[linear_at(c, c->c, row, i)];
        }
}

/* wgrad has no weights to have types. */
static int linear_forward_f32(int index)
{
    return linear_forward_of(index / LINEAR_VARIANTS * WEIGHT_TYPES * LINEAR_VARIANTS +
                             index % LINEAR_VARIANTS);
}

const struct op_kind op_linear_forward = {OP_KIND(token, linear_forward),
                                          .cases = LINEAR_CASES + 2 * LINEARS * LINEAR_VARIANTS,
                                          .workspace = workspace_linear};
const struct op_kind op_linear_dgrad = {OP_KIND(token, linear_dgrad),
                                        .cases = LINEAR_CASES,
                                        .workspace = workspace_linear,
                                        .adjoint_of = "linear_forward",
                                        .forward = linear_forward_of,
                                        .varied = "x",
                                        .seed = "dy",
                                        .result = "dx"};
const struct op_kind op_linear_wgrad = {OP_KIND(token, linear_wgrad),
                                        .cases = LINEARS * LINEAR_VARIANTS,
                                        .workspace = workspace_linear,
                                        .adjoint_of = "linear_forward",
                                        .forward = linear_forward_f32,
                                        .varied = "weight",
                                        .seed = "dy",
                                        .result = "dw"};

/* ---- norms ---- */

/* Samples, rows of each, width, chunk; the last one is large. */
static const int norms[][4] = {{1, 1, 3, 1},   {2, 5, 24, 2},  {3, 37, 170, 16},
                               {1, 70, 8, 70}, {2, 3, 530, 2}, {4, 256, 1024, 256}};
enum { NORMS = sizeof norms / sizeof *norms, NORM_VARIANTS = 8 };

/* variant: bit 0 the kind, bit 1 without weight, bit 2 with scale. */
static size_t describe_norm(struct op_case *c)
{
    const int *s = norms[c->index / NORM_VARIANTS];
    c->n = s[0], c->h = s[1], c->c = s[2], c->k = s[3];
    c->variant = c->index % NORM_VARIANTS;
    c->large = c->index / NORM_VARIANTS == NORMS - 1;
    size_t count = (size_t)c->n * (size_t)c->h * (size_t)c->c;
    c->bytes = 8 * (double)count;
    op_add(c, "x", OP_IN, OP_F32, count)->high = 2;
    if (!(c->variant & 2)) op_add(c, "weight", OP_IN, OP_F32, (size_t)c->c);
    if (c->variant & 4) op_add(c, "scale", OP_IN, OP_F32, (size_t)c->n * (size_t)(c->c + ROW_GAP));
    snprintf(c->text, sizeof c->text, "%s, %dx%d rows of %d%s%s", c->variant & 1 ? "layer" : "rms",
             c->n, c->h, c->c, c->variant & 2 ? "" : ", weight", c->variant & 4 ? ", scale" : "");
    return count;
}

static struct token_norm token_norm_case_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct token_norm){.kind = c->variant & 1 ? TOKEN_LAYER : TOKEN_RMS,
                               .rows = c->n * c->h,
                               .width = c->c,
                               .eps = 0.125f,
                               .weight = op_memory(call, "weight"),
                               .scale = op_memory(call, "scale"),
                               .shift = op_memory(call, "shift"),
                               .scale_stride = (size_t)(c->c + ROW_GAP),
                               .rows_per_sample = c->n > 1 ? c->h : 0,
                               .chunk = c->k};
}

/* Layer norms with a shift: a weight and it, as CLIP has them, or a scale and it, as FLUX. */
static void describe_norm_forward(struct op_case *c)
{
    size_t count = describe_norm(c);
    if (c->variant == 1 || c->variant == 7) {
        op_add(c, "shift", OP_IN, OP_F32, (size_t)c->n * (size_t)(c->c + ROW_GAP));
        snprintf(c->text + strlen(c->text), 8, ", shift");
    }
    op_add_out(c, "y", NN_F32, count, 1e-6);
}

static int run_norm_forward(const struct op_call *call)
{
    struct token_norm n = token_norm_case_of(call);
    return call->device->token->norm_forward(call->device, &n, op_memory(call, "y"),
                                             op_memory(call, "x"));
}

/* Mean and r of a row. */
static void truth_norm_row(const struct op_case *c, const double *x, double *mean, double *r)
{
    double squares = 0;
    *mean = 0;
    for (int j = 0; c->variant & 1 && j < c->c; j++)
        *mean += x[j] / c->c;
    for (int j = 0; j < c->c; j++)
        squares += (x[j] - *mean) * (x[j] - *mean);
    *r = 1 / sqrt(squares / c->c + 0.125);
}

static void truth_norm_forward(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *x = op_values(d, "x"), *weight = op_values(d, "weight"),
                 *scale = op_values(d, "scale"), *shift = op_values(d, "shift");
    double *y = op_values(d, "y");
    for (int row = 0; row < c->n * c->h; row++, x += c->c, y += c->c) {
        double mean, r;
        int at = row / c->h * (c->c + ROW_GAP);
        truth_norm_row(c, x, &mean, &r);
        for (int j = 0; j < c->c; j++)
            y[j] =
                (x[j] - mean) * r * (weight ? weight[j] : 1) * (1 + (scale ? scale[at + j] : 0)) +
                (shift ? shift[at + j] : 0);
    }
}

static void describe_norm_backward(struct op_case *c)
{
    size_t count = describe_norm(c);
    c->bytes = 12 * (double)count;
    op_add(c, "dy", OP_IN, OP_F32, count);
    op_add_out(c, "dx", NN_F32, count, 2e-6)->role = c->variant & 2 ? OP_INOUT : OP_OUT;
    if (!(c->variant & 2)) op_add_sum(c, "dweight", (size_t)c->c, 2e-6);
    if (c->variant & 4) op_add_sum(c, "dscale", (size_t)c->n * (size_t)(c->c + ROW_GAP), 2e-6);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
    if (c->variant & 2) snprintf(c->text + strlen(c->text), 8, ", added");
}

static size_t workspace_norm(const struct device *device, const struct op_case *c)
{
    struct op_call none = {.c = c};
    struct token_norm n = token_norm_case_of(&none);
    return device->token->norm_workspace(device, &n);
}

static int run_norm_backward(const struct op_call *call)
{
    struct token_norm n = token_norm_case_of(call);
    struct token_norm_grads grads = {.x = op_memory(call, "x"),
                                     .dy = op_memory(call, "dy"),
                                     .dx = op_memory(call, "dx"),
                                     .add = (call->c->variant & 2) != 0,
                                     .dweight = op_memory(call, "dweight"),
                                     .dscale = op_memory(call, "dscale"),
                                     .workspace = op_memory(call, "workspace")};
    return call->device->token->norm_backward(call->device, &n, &grads);
}

static void truth_norm_backward(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *x = op_values(d, "x"), *weight = op_values(d, "weight"), *dy = op_values(d, "dy");
    const double *scale = op_values(d, "scale");
    double *dx = op_values(d, "dx"), *dweight = op_values(d, "dweight"),
           *dscale = op_values(d, "dscale");
    for (int row = 0; row < c->n * c->h; row++, x += c->c, dy += c->c, dx += c->c) {
        double mean, r, mean_g = 0, mean_gn = 0;
        int at = row / c->h * (c->c + ROW_GAP);
        truth_norm_row(c, x, &mean, &r);
        for (int j = 0; j < c->c; j++) {
            double w = weight ? weight[j] : 1, s = 1 + (scale ? scale[at + j] : 0);
            double n = (x[j] - mean) * r;
            mean_g += dy[j] * w * s / c->c;
            mean_gn += dy[j] * w * s * n / c->c;
            if (dweight) dweight[j] += dy[j] * n * s;
            if (dscale) dscale[at + j] += dy[j] * n * w;
        }
        if (!(c->variant & 1)) mean_g = 0;
        for (int j = 0; j < c->c; j++) {
            double w = weight ? weight[j] : 1, s = 1 + (scale ? scale[at + j] : 0);
            double slope = r * (dy[j] * w * s - mean_g - (x[j] - mean) * r * mean_gn);
            dx[j] = c->variant & 2 ? dx[j] + slope : slope;
        }
    }
}

const struct op_kind op_norm_forward = {OP_KIND(token, norm_forward),
                                        .cases = NORMS * NORM_VARIANTS};
static const char *const norm_slopes[] = {"x", "dx", "weight", "dweight", "scale", "dscale", NULL};
const struct op_kind op_norm_backward = {OP_KIND(token, norm_backward),
                                         .cases = NORMS * NORM_VARIANTS,
                                         .workspace = workspace_norm,
                                         .adjoint_of = "norm_forward",
                                         .seed = "dy",
                                         .slopes = norm_slopes};

/* ---- gates, on the shapes of norms ---- */

enum { GATE_TANH, GATE_NONE, GATE_PLAIN, GATE_VARIANTS };

static size_t describe_gate(struct op_case *c)
{
    const int *s = norms[c->index / GATE_VARIANTS];
    c->n = s[0], c->h = s[1], c->c = s[2], c->k = s[3];
    c->variant = c->index % GATE_VARIANTS;
    c->large = c->index / GATE_VARIANTS == NORMS - 1;
    size_t count = (size_t)c->n * (size_t)c->h * (size_t)c->c;
    c->bytes = 12 * (double)count;
    op_add(c, "u", OP_IN, OP_F32, count);
    if (c->variant != GATE_NONE)
        op_add(c, "gate", OP_IN, OP_F32, (size_t)c->n * (size_t)(c->c + ROW_GAP));
    snprintf(c->text, sizeof c->text, "%dx%d rows of %d%s", c->n, c->h, c->c,
             c->variant == GATE_NONE    ? ", none"
             : c->variant == GATE_PLAIN ? ", plain"
                                        : "");
    return count;
}

static struct token_gate gate_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct token_gate){.rows = c->n * c->h,
                               .width = c->c,
                               .gate = op_memory(call, "gate"),
                               .plain = c->variant == GATE_PLAIN,
                               .gate_stride = (size_t)(c->c + ROW_GAP),
                               .rows_per_sample = c->n > 1 ? c->h : 0,
                               .chunk = c->k};
}

static void describe_gate_forward(struct op_case *c)
{
    size_t count = describe_gate(c);
    op_add(c, "x", OP_IN, OP_F32, count);
    op_add_out(c, "y", NN_F32, count, 1e-6);
}

static int run_gate_forward(const struct op_call *call)
{
    struct token_gate g = gate_of(call);
    return call->device->token->gate_forward(call->device, &g, op_memory(call, "y"),
                                             op_memory(call, "x"), op_memory(call, "u"));
}

/* The gate of a number, by its place in the rows. */
static double truth_gate(const struct op_data *d, size_t i)
{
    const struct op_case *c = d->c;
    const double *gate = op_values(d, "gate");
    size_t width = (size_t)c->c, sample = i / width / (size_t)c->h;
    if (!gate) return 1;
    double value = gate[sample * (width + ROW_GAP) + i % width];
    return c->variant == GATE_PLAIN ? value : tanh(value);
}

static void truth_gate_forward(struct op_data *d)
{
    const double *x = op_values(d, "x"), *u = op_values(d, "u");
    double *y = op_values(d, "y");
    for (size_t i = 0; i < (size_t)d->c->n * (size_t)d->c->h * (size_t)d->c->c; i++)
        y[i] = x[i] + truth_gate(d, i) * u[i];
}

static void describe_gate_backward(struct op_case *c)
{
    size_t count = describe_gate(c);
    op_add(c, "dy", OP_IN, OP_F32, count);
    op_add_out(c, "du", NN_F32, count, 1e-6);
    if (c->variant != GATE_NONE)
        op_add_sum(c, "dgate", (size_t)c->n * (size_t)(c->c + ROW_GAP), 2e-6);
}

static int run_gate_backward(const struct op_call *call)
{
    struct token_gate g = gate_of(call);
    return call->device->token->gate_backward(call->device, &g, op_memory(call, "du"),
                                              op_memory(call, "dgate"), op_memory(call, "dy"),
                                              op_memory(call, "u"));
}

static void truth_gate_backward(struct op_data *d)
{
    const double *dy = op_values(d, "dy"), *u = op_values(d, "u");
    double *du = op_values(d, "du"), *dgate = op_values(d, "dgate");
    size_t width = (size_t)d->c->c;
    for (size_t i = 0; i < (size_t)d->c->n * (size_t)d->c->h * width; i++) {
        double t = truth_gate(d, i);
        size_t sample = i / width / (size_t)d->c->h;
        du[i] = t * dy[i];
        double slope = d->c->variant == GATE_PLAIN ? 1 : 1 - t * t;
        if (dgate) dgate[sample * (width + ROW_GAP) + i % width] += slope * dy[i] * u[i];
    }
}

const struct op_kind op_gate_forward = {OP_KIND(token, gate_forward),
                                        .cases = NORMS * GATE_VARIANTS};
static const char *const gate_slopes[] = {"u", "du", "gate", "dgate", NULL};
const struct op_kind op_gate_backward = {
    OP_KIND(token, gate_backward), .cases = NORMS * GATE_VARIANTS, .adjoint_of = "gate_forward",
    .seed = "dy", .slopes = gate_slopes};

/* ---- rotary positions ---- */

/* Rows, tokens, heads, head_dim; the last one is large. */
static const int ropes[][4] = {{1, 1, 1, 2}, {9, 3, 2, 24}, {35, 35, 3, 16}, {4096, 1024, 8, 128}};
enum { ROPES = sizeof ropes / sizeof *ropes, ROPE_VARIANTS = 8 };

/* variant: bit 0 halves, bit 1 backwards, bit 2 gaps. */
static void describe_rope(struct op_case *c)
{
    const int *s = ropes[c->index / ROPE_VARIANTS];
    c->n = s[0], c->h = s[1], c->c = s[2], c->k = s[3];
    c->variant = c->index % ROPE_VARIANTS;
    c->large = c->index / ROPE_VARIANTS == ROPES - 1;
    c->w = c->c * c->k + (c->variant & 4 ? ROW_GAP : 0);
    size_t count = (size_t)c->n * (size_t)c->w;
    c->bytes = 8 * (double)count;
    op_add_sum(c, "x", count, 1e-6);
    op_add(c, "cosines", OP_IN, OP_F32, (size_t)c->h * (size_t)c->k / 2);
    op_add(c, "sines", OP_IN, OP_F32, (size_t)c->h * (size_t)c->k / 2);
    snprintf(c->text, sizeof c->text, "%d rows of %dx%d, %d tokens%s%s%s", c->n, c->c, c->k, c->h,
             c->variant & 1 ? ", halves" : "", c->variant & 2 ? ", backwards" : "",
             c->variant & 4 ? ", gaps" : "");
}

static int run_rope(const struct op_call *call)
{
    const struct op_case *c = call->c;
    struct token_rope r = {.x = op_memory(call, "x"),
                           .cosines = op_memory(call, "cosines"),
                           .sines = op_memory(call, "sines"),
                           .rows = c->n,
                           .heads = c->c,
                           .head_dim = c->k,
                           .tokens = c->h,
                           .stride = c->variant & 4 ? (size_t)c->w : 0,
                           .halves = (c->variant & 1) != 0,
                           .backwards = (c->variant & 2) != 0};
    return call->device->token->rope(call->device, &r);
}

static void truth_rope(struct op_data *d)
{
    const struct op_case *c = d->c;
    const double *cosines = op_values(d, "cosines"), *sines = op_values(d, "sines");
    double *x = op_values(d, "x");
    int half = c->k / 2;
    for (int row = 0; row < c->n; row++)
        for (int head = 0; head < c->c; head++)
            for (int pair = 0; pair < half; pair++) {
                double *at = x + (size_t)row * (size_t)c->w + (size_t)(head * c->k);
                double *first = c->variant & 1 ? at + pair : at + 2 * pair;
                double *second = c->variant & 1 ? first + half : first + 1;
                double cosine = cosines[row % c->h * half + pair], a = *first, b = *second;
                double sine = sines[row % c->h * half + pair] * (c->variant & 2 ? -1 : 1);
                *first = a * cosine - b * sine;
                *second = a * sine + b * cosine;
            }
}

const struct op_kind op_rope = {OP_KIND(token, rope), .cases = ROPES * ROPE_VARIANTS};

/* ---- SwiGLU ---- */

static const int swiglus[] = {1, 105, 4099, 1 << 22}; /* the last one is large */
enum { SWIGLUS = sizeof swiglus / sizeof *swiglus };

static size_t describe_swiglu(struct op_case *c)
{
    c->w = swiglus[c->index];
    c->large = c->index == SWIGLUS - 1;
    c->bytes = 12 * (double)c->w;
    for (int k = 0; k < 2; k++) {
        struct op_operand *o = op_add(c, k ? "c" : "a", OP_IN, OP_F32, (size_t)c->w);
        o->low = -6, o->high = 6;
    }
    snprintf(c->text, sizeof c->text, "%d", c->w);
    return (size_t)c->w;
}

static void describe_swiglu_forward(struct op_case *c)
{
    size_t count = describe_swiglu(c);
    op_add_out(c, "h", NN_F32, count, 1e-6);
}

static int run_swiglu_forward(const struct op_call *call)
{
    return call->device->token->swiglu_forward(call->device, op_memory(call, "h"),
                                               op_memory(call, "a"), op_memory(call, "c"),
                                               (size_t)call->c->w);
}

static void truth_swiglu_forward(struct op_data *d)
{
    const double *a = op_values(d, "a"), *c = op_values(d, "c");
    double *h = op_values(d, "h");
    for (int i = 0; i < d->c->w; i++)
        h[i] = truth_silu(a[i]) * c[i];
}

static void describe_geglu_forward(struct op_case *c)
{
    describe_swiglu_forward(c);
}

static int run_geglu_forward(const struct op_call *call)
{
    return call->device->token->geglu_forward(call->device, op_memory(call, "h"),
                                              op_memory(call, "a"), op_memory(call, "c"),
                                              (size_t)call->c->w);
}

static void truth_geglu_forward(struct op_data *d)
{
    const double *a = op_values(d, "a"), *c = op_values(d, "c");
    double *h = op_values(d, "h");
    for (int i = 0; i < d->c->w; i++)
        h[i] = truth_gelu(a[i]) * c[i];
}

static void describe_swiglu_backward(struct op_case *c)
{
    size_t count = describe_swiglu(c);
    c->bytes = 20 * (double)count;
    op_add(c, "dh", OP_IN, OP_F32, count);
    op_add_out(c, "da", NN_F32, count, 1e-6);
    op_add_out(c, "dc", NN_F32, count, 1e-6);
}

static int run_swiglu_backward(const struct op_call *call)
{
    return call->device->token->swiglu_backward(
        call->device, op_memory(call, "da"), op_memory(call, "dc"), op_memory(call, "dh"),
        op_memory(call, "a"), op_memory(call, "c"), (size_t)call->c->w);
}

static void truth_swiglu_backward(struct op_data *d)
{
    const double *a = op_values(d, "a"), *c = op_values(d, "c"), *dh = op_values(d, "dh");
    double *da = op_values(d, "da"), *dc = op_values(d, "dc");
    for (int i = 0; i < d->c->w; i++) {
        double s = 1 / (1 + exp(-a[i]));
        da[i] = c[i] * dh[i] * s * (1 + a[i] * (1 - s));
        dc[i] = a[i] * s * dh[i];
    }
}

const struct op_kind op_swiglu_forward = {OP_KIND(token, swiglu_forward), .cases = SWIGLUS};
const struct op_kind op_geglu_forward = {OP_KIND(token, geglu_forward), .cases = SWIGLUS};
static const char *const swiglu_slopes[] = {"a", "da", "c", "dc", NULL};
const struct op_kind op_swiglu_backward = {OP_KIND(token, swiglu_backward), .cases = SWIGLUS,
                                           .adjoint_of = "swiglu_forward", .seed = "dh",
                                           .slopes = swiglu_slopes};
