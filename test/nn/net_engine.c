/* The engine for networks on graphs that no task has (net_graphs.h): a layer kind of the tests'
 * own, values with several readers, residuals that cross blocks, checkpoint segments. Each gradient
 * against finite differences; the memory plan, checkpointed or not, against memory that nothing
 * shares, to the bit. */
#include "base/random.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"
#include "nn/net_init.h"
#include "nn/pass_memory.h"
#include "registry/devices.h"
#include "test/nn/net_graphs.h"
#include "test/support.h"

#include <math.h>

Suite *net_engine_suite(void);

enum { BATCH = 5, SLICE = 1 };

enum memory { OWN_MEMORY, PLANNED, CHECKPOINTED };

struct toy {
    struct device *device;
    struct net net;
    enum memory memory;
    struct plan *plan;
    struct network_pass first, second;
    float *parameters, *gradients, *derived, *derived_gradients;
    void *workspace;
};

/* Each buffer for all phases and all images, so that none is ever another's. */
static void declare_own(struct toy *t)
{
    for (int i = 0; i < t->net.layer_count; i++) {
        size_t bytes = BATCH * net_bytes(&t->net, i);
        struct network_pass *passes[] = {&t->first, &t->second};
        for (int p = 0; p < 2; p++)
            MUST(plan_declare(t->plan, "value", PLAN_ACTIVATIONS, bytes, PLAN_ALWAYS,
                              &passes[p]->value[i]));
        MUST(
            plan_declare(t->plan, "grad", PLAN_ACTIVATIONS, bytes, PLAN_ALWAYS, &t->first.grad[i]));
        MUST(plan_declare(t->plan, "mask", PLAN_ACTIVATIONS, bytes, PLAN_ALWAYS,
                          (void **)&t->first.mask[i]));
    }
    MUST(plan_declare(t->plan, "addend", PLAN_ACTIVATIONS, BATCH * (size_t)4 * 4 * 6 * 32,
                      PLAN_ALWAYS, &t->first.addend));
}

/* Differences must not meet corners: no sum near that of a PReLU, no two of four pixels that are
 * nearly the largest. */
static void keep_off_corners(const struct net *net, float *parameters)
{
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        bool pool = l->kind == &layer_max_pool;
        if (!pool && l->kind != &layer_prelu && l->slopes < 0) continue;
        const struct net_layer *from = &net->layers[l->input[0]];
        if (pool) from = &net->layers[from->input[0]]; /* four channels are the pixels */
        float *bias = parameters + net->parameters[from->bias].offset;
        for (int k = 0; k < from->c; k++)
            bias[k] += pool ? 12 * (float)((k + k / 4) % 4) : k % 2 ? 12 : -12;
    }
}

/* tangent: for a second forward pass with frozen masks; else for one backward pass with values. */
static void toy_open(struct toy *t, enum net_graph graph, enum memory memory, bool tangent)
{
    *t = (struct toy){.memory = memory, .plan = plan_create()};
    ck_assert_ptr_nonnull(t->plan);
    MUST(device_open(&t->device, "cpu", 1));
    net_graph_build(&t->net, graph);
    MUST(pass_open(&t->first, &t->net));
    MUST(pass_open(&t->second, &t->net));
    int layers = t->net.layer_count;
    struct pass_use use = {.plan = t->plan,
                           .net = &t->net,
                           .name = "toy",
                           .forward = 0,
                           .backward = layers + 1,
                           .n = BATCH,
                           .chunk = SLICE,
                           .parts = memory == CHECKPOINTED};
    int second = tangent ? 2 * layers + 2 : -1;
    if (memory == OWN_MEMORY) {
        declare_own(t);
    } else {
        MUST(pass_plan_masks(&use, &t->first, second));
        MUST(pass_plan_gradients(&use, &t->first, second, tangent ? &t->second : NULL, 0));
        if (tangent) {
            struct pass_use again = use;
            again.name = "again";
            again.forward = second;
            MUST(pass_plan_input(&use, 0, second, &t->first));
            MUST(pass_plan_values(&use, &t->first, false, 1, NULL));
            MUST(pass_plan_values(&again, &t->second, false, 1, NULL));
        } else {
            MUST(pass_plan_values(&use, &t->first, true, 0, &t->second));
        }
    }
    size_t floats = t->net.floats * sizeof(float);
    MUST(plan_declare(t->plan, "p", PLAN_PARAMETERS, floats, PLAN_ALWAYS, (void **)&t->parameters));
    MUST(plan_declare(t->plan, "g", PLAN_GRADIENTS, floats, PLAN_ALWAYS, (void **)&t->gradients));
    size_t derived = t->net.derived_floats * sizeof(float);
    if (derived) {
        MUST(plan_declare(t->plan, "d", PLAN_PARAMETERS, derived, PLAN_ALWAYS,
                          (void **)&t->derived));
        MUST(plan_declare(t->plan, "dg", PLAN_GRADIENTS, derived, PLAN_ALWAYS,
                          (void **)&t->derived_gradients));
    }
    MUST(plan_declare(t->plan, "workspace", PLAN_WORKSPACE,
                      pass_workspace(&t->net, t->device, BATCH, SLICE), PLAN_ALWAYS,
                      &t->workspace));
    MUST(plan_commit(t->plan, t->device));
    net_initialise(&t->net, t->parameters, 7, STREAM_GAN_WEIGHTS, 0);
    for (int i = 0; i < t->net.parameter_count; i++) /* biases too */
        if (!(t->net.parameters[i].std > 0))
            net_normal(t->parameters + t->net.parameters[i].offset, t->net.parameters[i].count, 7,
                       STREAM_TEST, 1, t->net.parameters[i].offset);
    keep_off_corners(&t->net, t->parameters);
    struct network_pass *passes[] = {&t->first, &t->second};
    for (int p = 0; p < 2; p++) {
        passes[p]->device = t->device;
        passes[p]->parameters = t->parameters;
        passes[p]->gradients = t->gradients;
        passes[p]->derived = t->derived;
        passes[p]->derived_gradients = t->derived_gradients;
        passes[p]->workspace = t->workspace;
        passes[p]->n = BATCH;
        passes[p]->chunk = SLICE;
        passes[p]->parts = memory == CHECKPOINTED;
    }
    for (int i = 0; i < layers; i++) {
        t->second.mask[i] = t->first.mask[i];
        if (!t->second.grad[i]) t->second.grad[i] = t->first.grad[i];
        if (!tangent && (memory == OWN_MEMORY || !t->second.value[i]))
            t->second.value[i] = t->first.value[i];
    }
    if (!t->second.addend) t->second.addend = t->first.addend;
    if (tangent) t->second.value[0] = t->first.value[0];
}

static void toy_close(struct toy *t)
{
    plan_free(t->plan);
    pass_close(&t->first);
    pass_close(&t->second);
    net_free(&t->net);
    device_close(t->device);
}

/* What an arena holds before a step must not matter: NaN shows what is read before it is made. */
static void fill_input(struct toy *t)
{
    net_normal(t->first.value[0], BATCH * net_elements(&t->net, 0), 3, STREAM_TEST, 2, 0);
    memset(t->gradients, 0, t->net.floats * sizeof(float));
    if (t->derived) memset(t->derived_gradients, 0, t->net.derived_floats * sizeof(float));
}

static float *last_value(const struct network_pass *s)
{
    return s->value[s->net->layer_count - 1];
}

static float *last_grad(const struct network_pass *s)
{
    return s->grad[s->net->layer_count - 1];
}

static const float seeds[BATCH] = {1, -0.5f, 2, 0.25f, -1};

/* sum of seed x score. With the masks of an earlier pass frozen it is smooth in all parameters. */
static double toy_scores(struct toy *t, enum pass_masks masks)
{
    double sum = 0;
    fill_input(t);
    MUST(pass_derive(&t->first));
    MUST(pass_forward(&t->first, masks, false));
    for (int n = 0; n < BATCH; n++)
        sum += (double)seeds[n] * (double)last_value(&t->first)[n];
    return sum;
}

/* The same, and its gradients. */
static double toy_learn(struct toy *t)
{
    double sum = toy_scores(t, PASS_WRITE_MASKS);
    memcpy(last_grad(&t->second), seeds, sizeof seeds);
    MUST(pass_backward(&t->second, true));
    MUST(pass_derive_gradients(&t->second));
    return sum;
}

/* sum of D(x) + gamma / 2 |grad D|^2: see passes.h. learn: with the weights' gradients. */
static const float GAMMA = 0.3f;

static double toy_penalty(struct toy *t, enum pass_masks masks, bool learn)
{
    double sum = 0, squares = 0;
    size_t count = BATCH * net_elements(&t->net, 0);
    fill_input(t);
    MUST(pass_forward(&t->first, masks, false));
    for (int n = 0; n < BATCH; n++) {
        sum += (double)last_value(&t->first)[n];
        last_grad(&t->first)[n] = 1;
    }
    MUST(pass_backward(&t->first, false));
    const float *v = t->first.grad[0];
    float *u = t->first.value[0];
    for (size_t i = 0; i < count; i++) {
        squares += (double)v[i] * (double)v[i];
        u[i] += GAMMA * v[i];
    }
    if (learn) MUST(pass_forward(&t->second, PASS_FROZEN_MASKS, true));
    return sum + (double)GAMMA / 2 * squares;
}

/* The gradient along `direction` against a central difference. */
static void check_direction(struct toy *t, bool tangent, const float *gradients, int which)
{
    size_t count = t->net.floats;
    /* The error is of second order in the step, and in float there is noise of 1 / step. */
    bool small =
        t->net.layers[1].kernel == 3 || t->net.layers[2].kernel == 3 || t->net.derived_floats;
    const double step = small ? 3e-4 : 1e-3;
    float *at = malloc(count * sizeof *at), *direction = malloc(count * sizeof *direction);
    ck_assert(at && direction);
    memcpy(at, t->parameters, count * sizeof *at);
    net_normal(direction, count, 11, STREAM_TEST, (uint64_t)which, 0);
    double along = 0, f[2];
    for (size_t i = 0; i < count; i++)
        along += (double)gradients[i] * (double)direction[i];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            t->parameters[i] = at[i] + (float)(side ? step : -step) * direction[i];
        f[side] =
            tangent ? toy_penalty(t, PASS_FROZEN_MASKS, false) : toy_scores(t, PASS_FROZEN_MASKS);
    }
    memcpy(t->parameters, at, count * sizeof *at);
    double difference = (f[1] - f[0]) / (2 * step);
    ck_assert_msg(fabs(difference - along) <= 1e-3 * fabs(along) + 5e-3,
                  "direction %d: %.6g by differences, %.6g by the passes", which, difference,
                  along);
    free(at);
    free(direction);
}

static float *copy_of(const void *numbers, size_t bytes)
{
    float *copy = malloc(bytes);
    ck_assert_ptr_nonnull(copy);
    return memcpy(copy, numbers, bytes);
}

START_TEST(gradients_are_those_of_differences)
{
    struct toy t;
    bool tangent = _i == GRAPH_LINEAR;
    toy_open(&t, (enum net_graph)_i, OWN_MEMORY, tangent);
    if (tangent)
        toy_penalty(&t, PASS_WRITE_MASKS, true);
    else
        toy_learn(&t);
    size_t bytes = t.net.floats * sizeof(float);
    float *gradients = copy_of(t.gradients, bytes);
    for (int k = 0; k < 12; k++)
        check_direction(&t, tangent, gradients, k);
    free(gradients);
    toy_close(&t);
}
END_TEST

/* The gradient at the input, by the same differences. */
START_TEST(the_gradient_reaches_the_input)
{
    struct toy t;
    toy_open(&t, (enum net_graph)_i, OWN_MEMORY, false);
    toy_learn(&t);
    size_t count = BATCH * net_elements(&t.net, 0);
    float *v = malloc(count * sizeof *v), *direction = malloc(count * sizeof *direction);
    ck_assert(v && direction);
    memcpy(v, t.second.grad[0], count * sizeof *v);
    net_normal(direction, count, 11, STREAM_TEST, 99, 0);
    double along = 0, f[2], step = 1e-3;
    for (size_t i = 0; i < count; i++)
        along += (double)v[i] * (double)direction[i];
    for (int side = 0; side < 2; side++) {
        float *x = t.first.value[0];
        fill_input(&t);
        for (size_t i = 0; i < count; i++)
            x[i] += (float)(side ? step : -step) * direction[i];
        MUST(pass_forward(&t.first, PASS_FROZEN_MASKS, false));
        f[side] = 0;
        for (int n = 0; n < BATCH; n++)
            f[side] += (double)seeds[n] * (double)last_value(&t.first)[n];
    }
    double difference = (f[1] - f[0]) / (2 * step);
    ck_assert_msg(fabs(difference - along) <= 1e-3 * fabs(along) + 5e-3, "%g and %g", difference,
                  along);
    free(v);
    free(direction);
    toy_close(&t);
}
END_TEST

/* Lifetimes are long enough, and what is made again is the same. */
START_TEST(memory_changes_no_bit)
{
    bool tangent = _i == GRAPH_LINEAR;
    float *want = NULL;
    size_t bytes = 0, activations[3];
    for (int memory = OWN_MEMORY; memory <= CHECKPOINTED; memory++) {
        struct toy t;
        toy_open(&t, (enum net_graph)_i, (enum memory)memory, tangent);
        activations[memory] = plan_kind_bytes(t.plan, PLAN_ACTIVATIONS);
        for (int twice = 0; twice < 2; twice++) { /* the second finds what the first left */
            if (tangent)
                toy_penalty(&t, PASS_WRITE_MASKS, true);
            else
                toy_learn(&t);
        }
        bytes = t.net.floats * sizeof(float);
        if (!want) want = copy_of(t.gradients, bytes);
        ck_assert_msg(memcmp(want, t.gradients, bytes) == 0, "memory %d: other gradients", memory);
        toy_close(&t);
    }
    free(want);
    ck_assert_uint_lt(activations[PLANNED], activations[OWN_MEMORY]);
    ck_assert_uint_lt(activations[CHECKPOINTED], activations[PLANNED]);
}
END_TEST

/* An image's results do not depend on those beside it, also where kinds take some at a time. */
START_TEST(each_image_alone_makes_the_same_bits)
{
    struct toy t;
    toy_open(&t, (enum net_graph)_i, OWN_MEMORY, false);
    size_t image = net_bytes(&t.net, 0), floats = image / sizeof(float);
    toy_learn(&t);
    float *want = copy_of(t.gradients, t.net.floats * sizeof(float));
    float *at_input = copy_of(t.second.grad[0], BATCH * image);
    float *scores = copy_of(last_value(&t.first), BATCH * sizeof(float));
    fill_input(&t);
    float *inputs = copy_of(t.first.value[0], BATCH * image);
    t.first.n = t.second.n = 1;
    for (int n = 0; n < BATCH; n++) {
        memcpy(t.first.value[0], inputs + (size_t)n * floats, image);
        MUST(pass_forward(&t.first, PASS_WRITE_MASKS, false));
        ck_assert_msg(memcmp(last_value(&t.first), &scores[n], sizeof *scores) == 0, "image %d", n);
        *last_grad(&t.second) = seeds[n];
        MUST(pass_backward(&t.second, true));
        ck_assert_msg(memcmp(t.second.grad[0], at_input + (size_t)n * floats, image) == 0,
                      "image %d: another gradient", n);
    }
    MUST(pass_derive_gradients(&t.second));
    ck_assert(memcmp(want, t.gradients, t.net.floats * sizeof(float)) == 0);
    free(want);
    free(at_input);
    free(scores);
    free(inputs);
    toy_close(&t);
}
END_TEST

/* ---- what a graph refuses ---- */

static void refused(int code, int want, const char *text)
{
    ck_assert_int_eq(code, want);
    ck_assert_msg(strstr(error_message(), text), "'%s' does not say '%s'", error_message(), text);
}

START_TEST(the_tangent_pass_names_what_it_cannot_go_through)
{
    struct net net;
    net_graph_build(&net, GRAPH_SQUARES);
    refused(net_require_piecewise_linear(&net), ERR_USAGE, "(square) is not piecewise linear");
    net_free(&net);
    net_graph_build(&net, GRAPH_LINEAR);
    ck_assert_int_eq(net_require_piecewise_linear(&net), OK);
    struct net_layer *last = &net.layers[net.layer_count - 1];
    last->silu = true;
    refused(net_require_piecewise_linear(&net), ERR_USAGE, "is not piecewise linear");
    net_free(&net);
}
END_TEST

START_TEST(impossible_graphs_are_refused)
{
    struct net net = {.layer_count = 0};
    refused(net_finish(&net), ERR_CONFIG, "without layers");
    struct net_layer input = net_next_layer(&net, &layer_input);
    refused(net_add_layer(&net, input), ERR_CONFIG, "(input): it has no size");
    input.h = input.w = 4;
    input.c = 16;
    MUST(net_add_layer(&net, input));
    struct net_layer l = net_next_layer(&net, &layer_conv);
    l.c = 24;
    l.kernel = 5;
    refused(net_add_layer(&net, l), ERR_CONFIG, "layer 1 (conv): its kernel must be");
    l.kernel = 3;
    l.groups = 5;
    refused(net_add_layer(&net, l), ERR_CONFIG, "5 groups do not divide");
    l.groups = 1;
    l.input[0] = 1;
    refused(net_add_layer(&net, l), ERR_CONFIG, "not before it");
    l.input[0] = 0;
    l.input_count = 2;
    l.input[1] = 0;
    refused(net_add_layer(&net, l), ERR_CONFIG, "its residual is 4 x 4 x 16");
    l = net_next_layer(&net, &layer_linear);
    l.c = 1;
    refused(net_add_layer(&net, l), ERR_CONFIG, "must be a vector");
    l = net_next_layer(&net, &layer_square);
    l.leaky_relu = true;
    refused(net_add_layer(&net, l), ERR_CONFIG, "fuses no leaky ReLU");
    l = net_next_layer(&net, &layer_fir_down);
    l.input_count = 0;
    refused(net_add_layer(&net, l), ERR_CONFIG, "so many inputs");
    ck_assert_int_eq(net.layer_count, 1);
    input.h = 3;
    MUST(net_add_layer(&net, input));
    l = net_next_layer(&net, &layer_conv_down);
    l.c = 8;
    refused(net_add_layer(&net, l), ERR_CONFIG, "4 x 3 cannot be halved");
    net_free(&net);
}
END_TEST

static const struct nn_ops *asked_ops;
static size_t asked_most; /* bytes of workspace that an operation was to have */
static const char *asked_from;

static int asked_wgrad(struct device *device, const struct nn_conv *shape, float *dw,
                       const void *in, const void *dout, void *workspace)
{
    size_t bytes = (size_t)((const char *)workspace - asked_from);
    bytes += asked_ops->conv_workspace(device, shape);
    if (bytes > asked_most) asked_most = bytes;
    (void)dw, (void)in, (void)dout;
    return OK;
}

/* A whole band is summed in 14 pieces, the last one in 8, for which there is room twice. */
START_TEST(the_last_band_of_an_image_has_room)
{
    struct device *device;
    struct net net = {.layer_count = 0};
    struct network_pass pass;
    MUST(device_open(&device, "cpu", 1));
    struct net_layer input = net_next_layer(&net, &layer_input);
    input.h = 182, input.w = 256, input.c = 8;
    MUST(net_add_layer(&net, input));
    int halved = add_halve(&net, 0, 64);
    MUST(net_finish(&net));
    MUST(pass_open(&pass, &net));
    size_t bytes = pass_workspace(&net, device, 1, 1);
    struct nn_ops ops = *(asked_ops = device->nn);
    ops.conv_wgrad = asked_wgrad;
    device->nn = &ops;
    pass.device = device;
    pass.n = pass.chunk = 1;
    pass.value[0] = calloc(1, net_bytes(&net, 0));
    pass.grad[halved] = calloc(1, net_bytes(&net, halved));
    pass.gradients = calloc(net.floats, sizeof(float));
    pass.workspace = calloc(1, bytes);
    asked_from = pass.workspace;
    MUST(layer_conv_halve.weight_gradient(&pass, halved));
    ck_assert_uint_gt(asked_most, 0);
    ck_assert_uint_le(asked_most, bytes);
    ck_assert_uint_lt(pass_workspace(&net, device, 1, 0), bytes); /* without weight gradients */
    device->nn = asked_ops;
    free(pass.value[0]), free(pass.grad[halved]), free(pass.gradients), free(pass.workspace);
    pass_close(&pass);
    net_free(&net);
    device_close(device);
}
END_TEST

Suite *net_engine_suite(void)
{
    Suite *suite = suite_create("net_engine");
    TCase *cases = tcase_create("net_engine");
    tcase_add_loop_test(cases, gradients_are_those_of_differences, 0, NET_GRAPHS);
    tcase_add_loop_test(cases, the_gradient_reaches_the_input, GRAPH_SQUARES, NET_GRAPHS);
    tcase_add_loop_test(cases, each_image_alone_makes_the_same_bits, 0, ALL_NET_GRAPHS);
    tcase_add_loop_test(cases, memory_changes_no_bit, 0, NET_GRAPHS);
    tcase_add_test(cases, the_tangent_pass_names_what_it_cannot_go_through);
    tcase_add_test(cases, impossible_graphs_are_refused);
    tcase_add_test(cases, the_last_band_of_an_image_has_room);
    suite_add_tcase(suite, cases);
    return suite;
}
