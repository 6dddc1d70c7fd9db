#include "nn/net_onnx.h"

#include "base/error.h"
#include "nn/layers.h"
#include "store/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIR_TAPS = 4 };

/* Names of values, and how they are put together. */
struct onnx_name {
    char text[256];
};

struct onnx_builder {
    struct onnx_model *model;
    const struct net *net;
    bool tags;
    const char *input, *output;
};

/* What layer i makes. */
static struct onnx_name value_of(const struct onnx_builder *b, int i)
{
    struct onnx_name name;
    if (i == b->net->layer_count - 1)
        snprintf(name.text, sizeof name.text, "%s", b->output);
    else
        snprintf(name.text, sizeof name.text, "value.%d", i);
    return name;
}

static struct onnx_name within(int i, const char *part)
{
    struct onnx_name name;
    snprintf(name.text, sizeof name.text, "value.%d.%s", i, part);
    return name;
}

static struct onnx_name both(const char *a, const char *b)
{
    struct onnx_name name;
    snprintf(name.text, sizeof name.text, "%.79s %.79s", a, b);
    return name;
}

static const char *parameter_name(const struct onnx_builder *b, int parameter)
{
    return b->net->parameters[parameter].name;
}

static void add_plain_node(const struct onnx_builder *b, const char *type, const char *inputs,
                           const char *output)
{
    struct protobuf node = onnx_node(type, inputs, output);
    onnx_add_node(b->model, &node);
}

static void onnx_input(const struct onnx_builder *b, int i)
{
    const struct net_layer *l = &b->net->layers[i];
    int64_t shape[] = {-1, l->c, l->h, l->w};
    bool vector = l->h == 1 && l->w == 1;
    onnx_add_input(b->model, b->input, ONNX_FLOAT, vector ? 2 : 4, shape);
    add_plain_node(b, "Identity", b->input, value_of(b, i).text);
}

static void onnx_transpose(const struct onnx_builder *b, const char *from, const char *to)
{
    struct protobuf turn = onnx_node("Transpose", from, to);
    onnx_ints_attribute(&turn, "perm", 2, (int64_t[]){1, 0});
    onnx_add_node(b->model, &turn);
}

/* The label's column of the table, as a row. */
static void onnx_class_row(const struct onnx_builder *b, int i, const char *row)
{
    const char *table = parameter_name(b, b->net->layers[i].weight);
    struct onnx_name column = within(i, "columns");
    onnx_add_input(b->model, "label", ONNX_INT64, 1, (int64_t[]){-1});
    struct protobuf gather = onnx_node("Gather", both(table, "label").text, column.text);
    onnx_int_attribute(&gather, "axis", 1);
    onnx_add_node(b->model, &gather);
    onnx_transpose(b, column.text, row);
}

/* label_entry of the tags: the sum of their columns by the root of their number, or of 1 where
 * there is none. */
static void onnx_tags_row(const struct onnx_builder *b, int i, const char *row)
{
    const struct net_layer *l = &b->net->layers[i];
    struct onnx_name turned = within(i, "turned"), sum = within(i, "sum"), one = within(i, "one"),
                     axis = within(i, "axis"), count = within(i, "count"), most = within(i, "most"),
                     root = within(i, "root");
    onnx_add_input(b->model, "tags", ONNX_FLOAT, 2, (int64_t[]){-1, l->classes});
    onnx_transpose(b, parameter_name(b, l->weight), turned.text);
    add_plain_node(b, "MatMul", both("tags", turned.text).text, sum.text);
    onnx_add_numbers(b->model, axis.text, 1, (int64_t[]){1});
    add_plain_node(b, "ReduceSum", both("tags", axis.text).text, count.text); /* keeps the axis */
    onnx_add_weights(b->model, one.text, 1, (int64_t[]){1}, (float[]){1});
    add_plain_node(b, "Max", both(count.text, one.text).text, most.text);
    add_plain_node(b, "Sqrt", most.text, root.text);
    add_plain_node(b, "Div", both(sum.text, root.text).text, row);
}

/* The latent and, behind it, its class's vector. */
static void onnx_embedded_input(const struct onnx_builder *b, int i)
{
    const struct net_layer *l = &b->net->layers[i];
    struct onnx_name row = within(i, "rows");
    onnx_add_input(b->model, "z", ONNX_FLOAT, 2, (int64_t[]){-1, l->c - l->embedding});
    (b->tags ? onnx_tags_row : onnx_class_row)(b, i, row.text);
    struct protobuf concat = onnx_node("Concat", both("z", row.text).text, value_of(b, i).text);
    onnx_int_attribute(&concat, "axis", 1);
    onnx_add_node(b->model, &concat);
}

/* A convolution or a fully connected layer, then its residual and its leaky ReLU. */
static void onnx_conv(const struct onnx_builder *b, int i, bool vector)
{
    const struct net_layer *l = &b->net->layers[i];
    struct onnx_name from = value_of(b, l->input[0]), to = value_of(b, i), sum = to;
    bool residual = l->input_count > 1;
    struct onnx_name inputs = both(from.text, parameter_name(b, l->weight));
    if (l->bias >= 0) {
        size_t used = strlen(inputs.text);
        snprintf(inputs.text + used, sizeof inputs.text - used, " %s", parameter_name(b, l->bias));
    }
    if (residual || l->leaky_relu) sum = within(i, "sum");
    struct protobuf node = onnx_node(vector ? "Gemm" : "Conv", inputs.text, sum.text);
    int64_t pad = l->kernel / 2, pads[] = {pad, pad, pad, pad}, kernel[] = {l->kernel, l->kernel};
    if (vector) {
        onnx_int_attribute(&node, "transB", 1);
    } else {
        onnx_ints_attribute(&node, "kernel_shape", 2, kernel);
        onnx_ints_attribute(&node, "pads", 4, pads);
        onnx_int_attribute(&node, "group", l->groups);
    }
    onnx_add_node(b->model, &node);
    if (residual) {
        struct onnx_name whole = l->leaky_relu ? within(i, "whole") : to;
        add_plain_node(b, "Add", both(sum.text, value_of(b, l->input[1]).text).text, whole.text);
        sum = whole;
    }
    if (!l->leaky_relu) return;
    struct protobuf relu = onnx_node("LeakyRelu", sum.text, to.text);
    onnx_float_attribute(&relu, "alpha", NET_SLOPE);
    onnx_add_node(b->model, &relu);
}

/* [N][c] -> [N][c][1][1], times [c][h][w]. */
static void onnx_expand(const struct onnx_builder *b, int i)
{
    const struct net_layer *l = &b->net->layers[i];
    struct onnx_name axes = within(i, "axes"), pixel = within(i, "pixel");
    onnx_add_numbers(b->model, axes.text, 2, (int64_t[]){2, 3});
    add_plain_node(b, "Unsqueeze", both(value_of(b, l->input[0]).text, axes.text).text, pixel.text);
    add_plain_node(b, "Mul", both(pixel.text, parameter_name(b, l->weight)).text,
                   value_of(b, i).text);
}

/* Each channel by itself: y[2i] = (x[i-1] + 3 x[i]) / 4, y[2i+1] = (3 x[i] + x[i+1]) / 4 an axis.
 */
static int onnx_fir_up(const struct onnx_builder *b, int i)
{
    static const float taps[FIR_TAPS] = {.25f, .75f, .75f, .25f};
    int c = b->net->layers[i].c;
    struct onnx_name filter = within(i, "fir");
    float *weights = malloc((size_t)c * FIR_TAPS * FIR_TAPS * sizeof *weights);
    if (!weights) return fail(ERR_SYSTEM, "out of memory");
    for (int k = 0; k < c * FIR_TAPS * FIR_TAPS; k++)
        weights[k] = taps[k / FIR_TAPS % FIR_TAPS] * taps[k % FIR_TAPS];
    onnx_add_weights(b->model, filter.text, 4, (int64_t[]){c, 1, FIR_TAPS, FIR_TAPS}, weights);
    free(weights);
    struct protobuf node = onnx_node(
        "ConvTranspose", both(value_of(b, b->net->layers[i].input[0]).text, filter.text).text,
        value_of(b, i).text);
    onnx_ints_attribute(&node, "kernel_shape", 2, (int64_t[]){FIR_TAPS, FIR_TAPS});
    onnx_ints_attribute(&node, "strides", 2, (int64_t[]){2, 2});
    onnx_ints_attribute(&node, "pads", 4, (int64_t[]){1, 1, 1, 1});
    onnx_int_attribute(&node, "group", c);
    onnx_add_node(b->model, &node);
    return OK;
}

static int onnx_layer(const struct onnx_builder *b, int i)
{
    const struct nn_layer_kind *kind = b->net->layers[i].kind;
    if (kind == &layer_input)
        onnx_input(b, i);
    else if (kind == &layer_embedded_input)
        onnx_embedded_input(b, i);
    else if ((kind == &layer_conv || kind == &layer_linear) && !b->net->layers[i].silu)
        onnx_conv(b, i, kind == &layer_linear);
    else if (kind == &layer_expand)
        onnx_expand(b, i);
    else if (kind == &layer_fir_up)
        return onnx_fir_up(b, i);
    else
        return fail(ERR_USAGE, "a layer of kind %s cannot be exported yet", kind->name);
    return OK;
}

int net_onnx_add(struct onnx_model *model, const struct net *net, const float *parameters,
                 bool tags, const char *input, const char *output)
{
    struct onnx_builder b = {model, net, tags, input, output};
    const struct net_layer *last = &net->layers[net->layer_count - 1];
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        onnx_add_weights(model, p->name, p->dims, p->shape, parameters + p->offset);
    }
    for (int i = 0; i < net->layer_count; i++)
        TRY(onnx_layer(&b, i));
    onnx_add_output(model, output, 4, (int64_t[]){-1, last->c, last->h, last->w});
    return OK;
}
