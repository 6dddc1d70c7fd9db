/* Functions of each number: three pairs of types. */
#include "check/op_kinds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const int stretches[] = {105, 4099, 1 << 20}; /* numbers; the last one is large */
enum { STRETCHES = sizeof stretches / sizeof *stretches, POINTWISE_OPERANDS = 6 };

/* Of `index`: the function and (of a gradient) its operand, the types, how many. */
static size_t describe_pointwise(struct op_case *c, int index)
{
    static const char *const names[] = {"silu",      "gate",     "gate",
                                        "rgb_range", "residual", "residual"};
    static const enum nn_pointwise_function functions[] = {NN_SILU,      NN_GATE,     NN_GATE,
                                                           NN_RGB_RANGE, NN_RESIDUAL, NN_RESIDUAL};
    int of = index % POINTWISE_OPERANDS, types = index / POINTWISE_OPERANDS % 3;
    c->w = stretches[index / POINTWISE_OPERANDS / 3];
    c->large = c->w == stretches[STRETCHES - 1];
    c->n = (int)functions[of], c->k = of == 2 || of == 5;
    c->in_type = types ? NN_BF16 : NN_F32;
    c->out_type = types == 1 ? NN_BF16 : NN_F32;
    bool two = nn_pointwise_operands(functions[of]) == 2;
    c->bytes = (double)c->w *
               (double)((two ? 2 : 1) * nn_type_bytes(c->in_type) + nn_type_bytes(c->out_type));
    for (int k = 0; k < (two ? 2 : 1); k++) {
        struct op_operand *x = op_add_in(c, k ? "b" : "a", c->in_type, (size_t)c->w);
        x->low = -6, x->high = 6;
    }
    snprintf(c->text, sizeof c->text, "%s of %d, %s>%s", names[of], c->w, op_type_name(c->in_type),
             op_type_name(c->out_type));
    return (size_t)c->w;
}

static struct nn_pointwise pointwise_case_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct nn_pointwise){.function = (enum nn_pointwise_function)c->n,
                                 .a = op_memory(call, "a"),
                                 .b = op_memory(call, "b"),
                                 .a_type = c->in_type,
                                 .b_type = c->in_type,
                                 .y_type = c->out_type,
                                 .count = (size_t)c->w};
}

static void describe_pointwise_forward(struct op_case *c)
{
    size_t all = describe_pointwise(c, c->index);
    op_add_out(c, "y", c->out_type, all, 2e-6);
}

static void describe_pointwise_dgrad(struct op_case *c)
{
    size_t all = describe_pointwise(c, c->index / 2);
    c->variant = c->index % 2; /* added */
    op_add_in(c, "dy", c->out_type, all);
    op_add_out(c, "to", c->in_type, all, 2e-6)->role = c->variant ? OP_INOUT : OP_OUT;
    size_t used = strlen(c->text);
    snprintf(c->text + used, sizeof c->text - used, "%s%s", c->k ? ", of b" : "",
             c->variant ? ", added" : "");
}

static int run_pointwise_forward(const struct op_call *call)
{
    struct nn_pointwise p = pointwise_case_of(call);
    return call->device->nn->pointwise_forward(call->device, &p, op_memory(call, "y"));
}

static int run_pointwise_dgrad(const struct op_call *call)
{
    struct nn_pointwise p = pointwise_case_of(call);
    return call->device->nn->pointwise_dgrad(call->device, &p, call->c->k, op_memory(call, "to"),
                                             op_memory(call, "dy"), call->c->variant != 0);
}

static double truth_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static void truth_pointwise_forward(struct op_data *d)
{
    static const double means[] = {0.4488, 0.4371, 0.4040};
    const double *a = op_values(d, "a"), *b = op_values(d, "b");
    double *y = op_values(d, "y");
    for (size_t i = 0; i < (size_t)d->c->w; i++)
        y[i] = d->c->n == NN_SILU       ? a[i] * truth_sigmoid(a[i])
               : d->c->n == NN_RESIDUAL ? 0.2 * a[i] + b[i]
               : d->c->n == NN_GATE     ? (a[i] + b[i]) * (truth_sigmoid(a[i]) - 0.5)
                                        : (a[i] - means[i % 3]) * 255;
}

static void truth_pointwise_dgrad(struct op_data *d)
{
    const double *a = op_values(d, "a"), *b = op_values(d, "b"), *dy = op_values(d, "dy");
    double *to = op_values(d, "to");
    for (size_t i = 0; i < (size_t)d->c->w; i++) {
        double s = truth_sigmoid(a[i]), slope = 255;
        if (d->c->n == NN_SILU) slope = s + a[i] * s * (1 - s);
        if (d->c->n == NN_GATE) slope = s - 0.5 + (d->c->k ? 0 : (a[i] + b[i]) * s * (1 - s));
        if (d->c->n == NN_RESIDUAL) slope = d->c->k ? 1 : 0.2;
        to[i] = (d->c->variant ? to[i] : 0) + slope * dy[i];
    }
}

const struct op_kind op_pointwise_forward = {OP_KIND(nn, pointwise_forward),
                                             .cases = POINTWISE_OPERANDS * 3 * STRETCHES};
const struct op_kind op_pointwise_dgrad = {OP_KIND(nn, pointwise_dgrad),
                                           .cases = 2 * POINTWISE_OPERANDS * 3 * STRETCHES};
