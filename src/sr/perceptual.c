#include "sr/perceptual.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"
#include "nn/pass_memory.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* torchvision's `features`: convolutions of so many channels, each with a ReLU behind it, and a
 * halving behind each block. */
enum { BLOCKS = 5, NORMALISE = 1 };
static const struct {
    int channels, convs;
} vgg_blocks[BLOCKS] = {{64, 2}, {128, 2}, {256, 4}, {512, 4}, {512, 4}};

/* ---- the network ---- */

/* A ReLU: slopes that stay 0. */
static int vgg_add_relu(struct net *net, int number)
{
    char text[64];
    int added = net_add_layer(net, net_next_layer(net, &layer_prelu));
    TRY(added);
    snprintf(text, sizeof text, "relu.%d", number);
    return net_add_weight(net, added, text, 1);
}

/* No weight gradient is asked for, so no convolution needs its input a second time. */
static void vgg_freeze(struct net *net)
{
    for (int i = 1; i < net->layer_count; i++)
        if (net->layers[i].kind == &layer_conv)
            net->layers[net->layers[i].input[0]].first_keeper = -1;
}

static int vgg_build(struct net *net, int side, int *taps)
{
    int number = 0;
    TRY(nn_add_input(net, side, side, 3));
    TRY(nn_add_conv(net, "normalise", 3, 1));
    for (int block = 0; block < BLOCKS; block++) {
        for (int i = 0; i < vgg_blocks[block].convs; i++, number += 2) {
            char name[32];
            snprintf(name, sizeof name, "features.%d", number);
            taps[block] = nn_add_conv(net, name, vgg_blocks[block].channels, 3);
            TRY(taps[block]);
            bool end = block + 1 == BLOCKS && i + 1 == vgg_blocks[block].convs;
            if (!end) TRY(vgg_add_relu(net, number + 1));
        }
        if (block + 1 < BLOCKS) TRY(net_add_layer(net, net_next_layer(net, &layer_max_pool)));
        number++;
    }
    TRY(net_finish(net));
    vgg_freeze(net);
    return 3 * net->layer_count == PERCEPTUAL_PHASES ? OK : fail(ERR_INTERNAL, "VGG19's layers");
}

static bool is_in_file(const struct net_parameter *p)
{
    return strncmp(p->name, "features.", 9) == 0;
}

int perceptual_check(const char *path)
{
    struct store_file *file = NULL;
    struct net net = {0};
    int taps[PERCEPTUAL_TAPS], code = OK;
    TRY_CLEANUP(vgg_build(&net, PERCEPTUAL_LEAST_SIDE, taps));
    TRY_CLEANUP(store_open(&file, path));
    for (int i = 0; i < net.parameter_count; i++) {
        const struct net_parameter *p = &net.parameters[i];
        if (is_in_file(p)) TRY_CLEANUP(store_expect_f32(file, p->name, p->dims, p->shape));
    }
cleanup:
    store_close(file);
    net_free(&net);
    return code < 0 ? fail_within(code, "sr.perceptual_file") : OK;
}

/* ImageNet's mean and deviation of each channel, taken off and divided by. */
static void vgg_normalise(float weights[9], float bias[3])
{
    static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
    memset(weights, 0, 9 * sizeof *weights);
    for (int c = 0; c < 3; c++) {
        weights[c * 3 + c] = (float)(1 / deviation[c]);
        bias[c] = (float)(-mean[c] / deviation[c]);
    }
}

static int vgg_send(const struct perceptual *p, int parameter, const float *numbers)
{
    const struct net_parameter *of = &p->net.parameters[parameter];
    return device_send(p->device, p->parameters + of->offset, numbers, of->count * sizeof *numbers);
}

/* A tensor at a time: the plan knows of the parameters alone. */
int perceptual_load(struct perceptual *p, const char *path)
{
    const struct net_layer *normalise = &p->net.layers[NORMALISE];
    struct store_file *file = NULL;
    float weights[9], bias[3], *numbers = NULL;
    size_t most = 0;
    int code = OK;
    vgg_normalise(weights, bias);
    for (int i = 0; i < p->net.parameter_count; i++)
        if (p->net.parameters[i].count > most) most = p->net.parameters[i].count;
    numbers = malloc(most * sizeof *numbers);
    if (!numbers) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for VGG19"));
    TRY_CLEANUP(store_open(&file, path));
    TRY_CLEANUP(p->device->nn->zero(p->device, p->parameters, p->net.floats * sizeof(float)));
    TRY_CLEANUP(vgg_send(p, normalise->weight, weights));
    TRY_CLEANUP(vgg_send(p, normalise->bias, bias));
    for (int i = 0; i < p->net.parameter_count; i++) {
        const struct net_parameter *of = &p->net.parameters[i];
        if (!is_in_file(of)) continue;
        TRY_CLEANUP(
            store_read_f32_in(file, of->name, of->dims, of->shape, store_finite(), numbers));
        TRY_CLEANUP(vgg_send(p, i, numbers));
    }
cleanup:
    store_close(file);
    free(numbers);
    return code < 0 ? fail_within(code, "sr.perceptual_file") : OK;
}

/* ---- memory: the target's pass, the output's, and back ---- */

size_t perceptual_tap_count(const struct perceptual *p, int tap)
{
    return net_elements(&p->net, p->layer[tap]);
}

int perceptual_declare(struct perceptual *p, int side, int part,
                       const double weight[PERCEPTUAL_TAPS], struct device *device, int phase,
                       struct plan *plan)
{
    p->device = device;
    memcpy(p->weight, weight, sizeof p->weight);
    p->side = side;
    p->part = part;
    TRY(vgg_build(&p->net, side, p->layer));
    int layers = p->net.layer_count;
    struct pass_use target = {.plan = plan,
                              .net = &p->net,
                              .name = "vgg.target",
                              .forward = phase,
                              .backward = phase,
                              .n = part,
                              .chunk = 1};
    struct pass_use out = target;
    out.name = "vgg.out";
    out.forward = phase + layers;
    out.backward = phase + 2 * layers;
    TRY(pass_open(&p->of_target, &p->net));
    TRY(pass_open(&p->of_out, &p->net));
    TRY(pass_plan_values(&target, &p->of_target, false, 1, NULL));
    TRY(pass_plan_values(&out, &p->of_out, true, 1, NULL));
    TRY(pass_plan_gradients(&out, &p->of_out, -1, NULL, 0));
    for (int t = 0; t < PERCEPTUAL_TAPS; t++) {
        char name[32];
        snprintf(name, sizeof name, "vgg.tap%d", t);
        TRY(plan_declare(plan, name, PLAN_ACTIVATIONS,
                         (size_t)part * net_bytes(&p->net, p->layer[t]), phase + p->layer[t],
                         out.backward + layers - 1 - p->layer[t], (void **)&p->tap[t]));
    }
    TRY(plan_declare(plan, "vgg.parameters", PLAN_PARAMETERS, p->net.floats * sizeof(float),
                     PLAN_ALWAYS, (void **)&p->parameters));
    return plan_declare(plan, "vgg.workspace", PLAN_WORKSPACE,
                        pass_workspace(&p->net, device, part, 0), phase, phase + 3 * layers - 1,
                        &p->workspace);
}

void perceptual_close(struct perceptual *p)
{
    pass_close(&p->of_target);
    pass_close(&p->of_out);
    net_free(&p->net);
}

/* ---- a step ---- */

void perceptual_connect(struct perceptual *p)
{
    struct network_pass *const passes[] = {&p->of_target, &p->of_out};
    for (int i = 0; i < 2; i++) {
        passes[i]->device = p->device;
        passes[i]->parameters = p->parameters;
        passes[i]->chunk = 1;
        passes[i]->workspace = p->workspace;
    }
}

/* The target's values at the taps. */
static int queue_target(struct perceptual *p)
{
    struct network_pass *pass = &p->of_target;
    for (int tap = 0, from = 0; tap < PERCEPTUAL_TAPS; from = p->layer[tap++] + 1) {
        int layer = p->layer[tap];
        TRY(pass_forward_through(pass, from, layer, PASS_NO_MASKS, false));
        TRY(pass_copy(pass, layer, p->tap[tap], NN_F32, pass->value[layer], NN_F32, false));
    }
    return OK;
}

/* The sums, and the gradients at the taps in the place of what was compared with. */
static int queue_out(struct perceptual *p, double weight, double *sums, int batch)
{
    struct network_pass *pass = &p->of_out;
    for (int tap = 0, from = 0; tap < PERCEPTUAL_TAPS; from = p->layer[tap++] + 1) {
        int layer = p->layer[tap];
        struct nn_image_loss loss = {.sums = sums + (ptrdiff_t)tap * batch * NN_LOSS_TERMS,
                                     .grad = p->tap[tap],
                                     .out = pass->value[layer],
                                     .target = p->tap[tap],
                                     .n = pass->n,
                                     .count = perceptual_tap_count(p, tap)};
        loss.weight[NN_LOSS_L1] =
            (float)(weight * p->weight[tap] / ((double)batch * (double)loss.count));
        TRY(pass_forward_through(pass, from, layer, PASS_NO_MASKS, false));
        TRY(p->device->nn->image_loss(p->device, &loss));
    }
    return OK;
}

/* The last layer is a tap and has no reader, so all of its gradient is the tap's. */
static int queue_back(struct perceptual *p)
{
    struct network_pass *pass = &p->of_out;
    int last = p->net.layer_count - 1, from = last;
    for (int tap = PERCEPTUAL_TAPS - 1; tap >= 0; tap--) {
        int layer = p->layer[tap];
        TRY(pass_backward_through(pass, from, layer + 1, false));
        TRY(pass_copy(pass, layer, pass->grad[layer], NN_F32, p->tap[tap], NN_F32, layer < last));
        from = layer;
    }
    return pass_backward_through(pass, from, 0, false);
}

int perceptual_queue(struct perceptual *p, int n, const float *out, const float *target,
                     float *grad, double weight, double *sums, int batch)
{
    p->of_target.n = p->of_out.n = n;
    p->of_target.value[0] = (void *)(uintptr_t)target; /* only read */
    p->of_out.value[0] = (void *)(uintptr_t)out;
    TRY(queue_target(p));
    TRY(queue_out(p, weight, sums, batch));
    if (!grad) return OK;
    TRY(queue_back(p));
    return pass_copy(&p->of_out, 0, grad, NN_F32, p->of_out.grad[0], NN_F32, true);
}
