#include "sr/discriminator/sr_gan.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers.h"
#include "nn/pass_memory.h"

#include <stdio.h>

const char *sr_gan_kind_name(enum score_kind kind)
{
    static const char *const names[] = {"vanilla", "lsgan", "hinge"};
    return names[kind];
}

bool sr_gan_generator_learns(const struct sr_gan_choices *c, int64_t step)
{
    return c->design.features == 0 || ((step + 1) % c->every == 0 && step + 1 > c->from);
}

/* ---- phases, each pass by layers: forward, the generator's loss, back to the images, the
 * discriminator's loss, back to the weights ---- */

struct gan_phases {
    int forward, push, learn, end;
};

static struct gan_phases gan_phases_from(int first, int layers)
{
    int push = first + layers + 1, learn = push + layers + 1;
    return (struct gan_phases){first, push, learn, learn + layers};
}

int sr_gan_phases(const struct sr_gan_choices *choices, int *phases)
{
    struct net net = {.layer_count = 0};
    int taps[SR_D_TAPS];
    *phases = 0;
    if (choices->design.features == 0) return OK;
    int code = sr_d_build(&net, &choices->design, SR_D_MULTIPLE, false, taps);
    *phases = gan_phases_from(0, net.layer_count).end;
    net_free(&net);
    return code;
}

/* ---- sums: [role][batch][NN_SCORE_SUMS], then [tap][batch][NN_LOSS_TERMS] ---- */

enum { GAN_ROLES = 3 };

int sr_gan_sum_count(const struct sr_gan_choices *choices, int batch)
{
    if (choices->design.features == 0) return 0;
    int taps = choices->feature_weight > 0 ? SR_D_TAPS : 0;
    return batch * (GAN_ROLES * NN_SCORE_SUMS + taps * NN_LOSS_TERMS);
}

static ptrdiff_t role_sums(const struct sr_gan *gan, enum score_role role, int patch)
{
    return ((ptrdiff_t)role * gan->memory.batch + patch) * NN_SCORE_SUMS;
}

static ptrdiff_t gan_tap_sums(const struct sr_gan *gan, int tap, int patch)
{
    return (ptrdiff_t)GAN_ROLES * NN_SCORE_SUMS * gan->memory.batch +
           ((ptrdiff_t)tap * gan->memory.batch + patch) * NN_LOSS_TERMS;
}

/* ---- declaring ---- */

static size_t judged_image_bytes(const struct sr_gan *gan)
{
    return net_bytes(&gan->net.net, 0);
}

static int output_of(const struct sr_gan *gan)
{
    return gan->net.net.layer_count - 1;
}

static int declare_gan_passes(struct sr_gan *gan, const struct gan_phases *p, struct plan *plan)
{
    const struct net *net = &gan->net.net;
    struct pass_use use = {.plan = plan,
                           .net = net,
                           .name = "d",
                           .forward = p->forward,
                           .backward = p->learn,
                           .n = gan->memory.micro,
                           .chunk = 1,
                           .parts = gan->memory.parts};
    TRY(pass_open(&gan->judge, net));
    TRY(pass_open(&gan->push, net));
    TRY(pass_open(&gan->learn, net));
    TRY(pass_plan_values(&use, &gan->judge, true, 0, &gan->learn));
    TRY(pass_plan_masks(&use, &gan->judge, -1));
    TRY(pass_plan_gradients(&use, &gan->learn, -1, NULL, 1));
    use.name = "d.push";
    use.backward = p->push;
    return pass_plan_gradients(&use, &gan->push, -1, NULL, 0);
}

static int declare_gan_buffers(struct sr_gan *gan, const struct gan_phases *p, struct plan *plan)
{
    const struct net *net = &gan->net.net;
    size_t micro = (size_t)gan->memory.micro, vectors = gan->vectors_net.floats * sizeof(float);
    const struct {
        const char *name;
        enum plan_kind kind;
        size_t bytes;
        int first, last;
        void *slot;
    } buffers[] = {
        {"d.vectors", PLAN_PARAMETERS, vectors, PLAN_ALWAYS, &gan->vectors},
        {"d.vectors.next", PLAN_WORKSPACE, vectors, 0, gan->memory.end, &gan->next_vectors},
        {"d.vectors.host", PLAN_HOST, gan->memory.views ? vectors : 0, PLAN_ALWAYS,
         &gan->vectors_host},
        {"d.sigmas", PLAN_WORKSPACE, SR_D_NORMS * sizeof(float), 0, gan->memory.end, &gan->sigmas},
        {"d.norm2", PLAN_WORKSPACE, sizeof(double), 0, gan->memory.end, &gan->norm2},
        {"d.weights", PLAN_WORKSPACE, net->floats * sizeof(float), 0, gan->memory.end,
         &gan->weights},
        {"d.gradients.made", PLAN_GRADIENTS, net->floats * sizeof(float), 0, gan->memory.end,
         &gan->made_gradients},
        {"d.made", PLAN_ACTIVATIONS, micro * judged_image_bytes(gan), p->forward, gan->memory.until,
         &gan->made},
        {"d.pulled", PLAN_ACTIVATIONS, micro * judged_image_bytes(gan), p->learn - 2,
         gan->memory.until, &gan->pulled},
        {"d.scores", PLAN_ACTIVATIONS, micro * net_bytes(net, output_of(gan)), p->push - 2,
         p->learn - 1, &gan->scores},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        TRY(plan_declare(plan, buffers[i].name, buffers[i].kind, buffers[i].bytes, buffers[i].first,
                         buffers[i].last, (void **)buffers[i].slot));
    for (int k = 0; k < SR_D_TAPS && gan->choices.feature_weight > 0; k++) {
        char name[32];
        snprintf(name, sizeof name, "d.features%d", k);
        TRY(plan_declare(plan, name, PLAN_ACTIVATIONS, micro * net_bytes(net, gan->taps[k]),
                         p->forward, p->end, (void **)&gan->features[k]));
    }
    return OK;
}

int sr_gan_declare(struct sr_gan *gan, const struct sr_gan_choices *choices,
                   const struct sr_gan_memory *memory, struct device *device, struct plan *plan)
{
    gan->device = device;
    gan->choices = *choices;
    gan->memory = *memory;
    TRY(sr_d_build(&gan->net.net, &choices->design, memory->side, memory->parts, gan->taps));
    TRY(sr_d_vectors(&gan->vectors_net, &gan->net.net));
    struct gan_phases p = gan_phases_from(memory->phase, gan->net.net.layer_count);
    TRY(trained_net_declare(&gan->net, "d",
                            &(struct trained_memory){.offload = memory->offload,
                                                     .views = memory->views,
                                                     .means = true,
                                                     .first = 0,
                                                     .last = memory->end},
                            plan));
    TRY(declare_gan_passes(gan, &p, plan));
    return declare_gan_buffers(gan, &p, plan);
}

void sr_gan_close(struct sr_gan *gan)
{
    pass_close(&gan->judge);
    pass_close(&gan->push);
    pass_close(&gan->learn);
    net_free(&gan->vectors_net);
    trained_net_free(&gan->net);
}

size_t sr_gan_workspace(const struct sr_gan *gan)
{
    return pass_workspace(&gan->net.net, gan->device, gan->memory.micro, 1);
}

void sr_gan_connect(struct sr_gan *gan, void *workspace, double *sums)
{
    struct network_pass *const passes[] = {&gan->judge, &gan->push, &gan->learn};
    gan->sums = sums;
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        passes[i]->device = gan->device;
        passes[i]->parameters = gan->weights;
        passes[i]->chunk = 1;
        passes[i]->workspace = workspace;
        passes[i]->parts = gan->memory.parts;
    }
    for (int i = 0; i < gan->net.net.layer_count; i++) {
        gan->push.mask[i] = gan->learn.mask[i] = gan->judge.mask[i];
        if (!gan->learn.value[i]) gan->learn.value[i] = gan->judge.value[i];
    }
}

void sr_gan_listen(struct sr_gan *gan, bool (*stop_requested)(void))
{
    gan->judge.stop_requested = gan->push.stop_requested = gan->learn.stop_requested =
        stop_requested;
}

/* ---- weights ---- */

float *sr_gan_vectors_view(const struct sr_gan *gan)
{
    return gan->vectors_host ? gan->vectors_host : gan->vectors;
}

int sr_gan_vectors_pull(const struct sr_gan *gan, float **view)
{
    *view = sr_gan_vectors_view(gan);
    return device_fetch(gan->device, *view, gan->vectors, gan->vectors_net.floats * sizeof(float));
}

void sr_gan_initialise(struct sr_gan *gan, uint64_t seed)
{
    sr_d_initialise(&gan->net.net, trained_net_view(&gan->net, TRAINED_PARAMETERS),
                    &gan->vectors_net, sr_gan_vectors_view(gan), seed);
}

int sr_gan_begin(struct sr_gan *gan)
{
    TRY(trained_net_push(&gan->net, gan->device, TRAINED_PARAMETERS));
    return device_send(gan->device, gan->vectors, sr_gan_vectors_view(gan),
                       gan->vectors_net.floats * sizeof(float));
}

static struct nn_spectral gan_spectral(const struct sr_gan *gan, int number)
{
    struct sr_d_norm norm = sr_d_norm(&gan->net.net, &gan->vectors_net, number);
    return (struct nn_spectral){
        .w = gan->net.parameters + norm.weight->offset,
        .u = gan->vectors + norm.u->offset,
        .out = gan->weights + norm.weight->offset,
        .next_u = gan->next_vectors + norm.u->offset,
        .next_v = gan->next_vectors + norm.v->offset,
        .sigma = gan->sigmas + number,
        .rows = (int)norm.u->count,
        .cols = (int)norm.v->count,
    };
}

/* ---- a step ---- */

int sr_gan_queue_begin(struct sr_gan *gan)
{
    const struct nn_ops *ops = gan->device->nn;
    size_t bytes = gan->net.net.floats * sizeof(float);
    TRY(ops->zero(gan->device, gan->net.gradients, bytes));
    TRY(ops->zero(gan->device, gan->made_gradients, bytes));
    TRY(ops->copy(gan->device, gan->weights, gan->net.parameters, bytes));
    for (int i = 0; i < SR_D_NORMS; i++) {
        struct nn_spectral spectral = gan_spectral(gan, i);
        TRY(ops->spectral_norm(gan->device, &spectral));
    }
    return OK;
}

/* The loss of scores of patches first .. first + n - 1, and its gradient at them. */
static int queue_score_loss(struct sr_gan *gan, enum score_role role, int first, int n,
                            const float *scores, float *gradient)
{
    double weight = role == SCORE_GENERATOR ? gan->choices.weight : 1;
    size_t count = net_elements(&gan->net.net, output_of(gan));
    const struct nn_score_loss loss = {
        .sums = gan->sums + role_sums(gan, role, first),
        .grad = gradient,
        .scores = scores,
        .n = n,
        .count = count,
        .kind = gan->choices.kind,
        .role = role,
        .weight = (float)(weight / ((double)gan->memory.batch * (double)count)),
    };
    return gan->device->nn->score_loss(gan->device, &loss);
}

/* Activations of real images: they stay until those of the made ones are there. */
static int keep_features(struct sr_gan *gan, int tap, int n)
{
    return gan->device->nn->copy(gan->device, gan->features[tap], gan->judge.value[gan->taps[tap]],
                                 (size_t)n * net_bytes(&gan->net.net, gan->taps[tap]));
}

/* Puts the gradient of their differences, before the leaky ReLU, in their place. */
static int gan_compare_features(struct sr_gan *gan, int tap, int first, int n)
{
    int layer = gan->taps[tap];
    size_t count = net_elements(&gan->net.net, layer);
    struct nn_image_loss loss = {.sums = gan->sums + gan_tap_sums(gan, tap, first),
                                 .grad = gan->features[tap],
                                 .out = gan->judge.value[layer],
                                 .target = gan->features[tap],
                                 .n = n,
                                 .count = count};
    loss.weight[NN_LOSS_L1] =
        (float)(gan->choices.feature_weight / ((double)gan->memory.batch * (double)count));
    TRY(gan->device->nn->image_loss(gan->device, &loss));
    return gan->device->nn->mask_slope(gan->device, gan->features[tap], NN_F32,
                                       gan->judge.mask[layer], NET_SLOPE, (size_t)n * count);
}

/* D's scores of n images, from patch `first` on. */
static int queue_judge(struct sr_gan *gan, int first, int n, const float *images, bool made)
{
    const struct net *net = &gan->net.net;
    int from = 0;
    gan->judge.n = gan->learn.n = gan->push.n = n;
    TRY(gan->device->nn->copy(gan->device, gan->judge.value[0], images,
                              (size_t)n * judged_image_bytes(gan)));
    for (int tap = 0; tap < SR_D_TAPS && gan->choices.feature_weight > 0; tap++) {
        TRY(pass_forward_through(&gan->judge, from, gan->taps[tap], PASS_WRITE_MASKS, false));
        TRY(made ? gan_compare_features(gan, tap, first, n) : keep_features(gan, tap, n));
        from = gan->taps[tap] + 1;
    }
    TRY(pass_forward_through(&gan->judge, from, net->layer_count - 1, PASS_WRITE_MASKS, false));
    return gan->device->nn->copy(gan->device, gan->scores, gan->judge.value[output_of(gan)],
                                 (size_t)n * net_bytes(net, output_of(gan)));
}

static int queue_learn(struct sr_gan *gan, enum score_role role, int first, int n)
{
    gan->learn.gradients = role == SCORE_REAL ? gan->net.gradients : gan->made_gradients;
    TRY(queue_score_loss(gan, role, first, n, gan->scores, gan->learn.grad[output_of(gan)]));
    return pass_backward(&gan->learn, true);
}

/* The gradient at the made images. */
static int queue_push(struct sr_gan *gan, int n)
{
    int from = output_of(gan);
    for (int tap = SR_D_TAPS - 1; tap >= 0 && gan->choices.feature_weight > 0; tap--) {
        int layer = gan->taps[tap];
        TRY(pass_backward_through(&gan->push, from, layer + 1, false));
        TRY(pass_copy(&gan->push, layer, gan->push.grad[layer], NN_F32, gan->features[tap], NN_F32,
                      true));
        from = layer;
    }
    TRY(pass_backward_through(&gan->push, from, 0, false));
    return gan->device->nn->copy(gan->device, gan->pulled, gan->push.grad[0],
                                 (size_t)n * judged_image_bytes(gan));
}

int sr_gan_queue(struct sr_gan *gan, int first, int n, const float *made, const float *real,
                 bool generator_learns)
{
    TRY(gan->device->nn->copy(gan->device, gan->made, made, (size_t)n * judged_image_bytes(gan)));
    TRY(queue_judge(gan, first, n, real, false));
    TRY(queue_learn(gan, SCORE_REAL, first, n));
    TRY(queue_judge(gan, first, n, gan->made, true));
    TRY(queue_score_loss(gan, SCORE_GENERATOR, first, n, gan->scores,
                         gan->push.grad[output_of(gan)]));
    if (generator_learns) TRY(queue_push(gan, n));
    return queue_learn(gan, SCORE_FAKE, first, n);
}

int sr_gan_queue_gradient(struct sr_gan *gan, int n, float *gradient)
{
    gan->push.n = n;
    return pass_copy(&gan->push, 0, gradient, NN_F32, gan->pulled, NN_F32, true);
}

/* to += from, of the net's flat ranges. */
static int add_ranges(struct sr_gan *gan, float *to, const float *from)
{
    enum { LINE = 16 }; /* ranges are whole ones */
    struct nn_strided sum = {
        .out = to,
        .in = from,
        .count = {1, 1, 1, (int)(gan->net.net.floats / LINE), LINE},
        .out_stride = {0, 0, 0, LINE, 1},
        .in_stride = {0, 0, 0, LINE, 1},
        .add = true,
    };
    return gan->device->nn->strided_copy(gan->device, &sum);
}

int sr_gan_queue_end(struct sr_gan *gan, struct offload_stream *offload, int range,
                     const struct adam_f32 *adam)
{
    const struct nn_ops *ops = gan->device->nn;
    TRY(add_ranges(gan, gan->net.gradients, gan->made_gradients));
    for (int i = 0; i < SR_D_NORMS; i++) {
        struct sr_d_norm norm = sr_d_norm(&gan->net.net, &gan->vectors_net, i);
        struct nn_spectral spectral = gan_spectral(gan, i);
        TRY(ops->spectral_grad(gan->device, &spectral, gan->net.gradients + norm.weight->offset));
    }
    if (gan->choices.grad_clip > 0)
        TRY(ops->clip_norm(gan->device, gan->net.gradients, gan->net.net.floats,
                           gan->choices.grad_clip, gan->norm2));
    TRY(trained_net_update(&gan->net, gan->device, offload, range, adam));
    return ops->copy(gan->device, gan->vectors, gan->next_vectors,
                     gan->vectors_net.floats * sizeof(float));
}

void sr_gan_report(const struct sr_gan *gan, const double *sums, struct sr_gan_report *report)
{
    int batch = gan->memory.batch;
    double scores = (double)batch * (double)net_elements(&gan->net.net, output_of(gan));
    *report = (struct sr_gan_report){0};
    for (int i = 0; i < batch; i++) {
        const double *real = sums + role_sums(gan, SCORE_REAL, i);
        const double *made = sums + role_sums(gan, SCORE_FAKE, i);
        report->d_loss += (real[0] + made[0]) / scores;
        report->score_real += real[1] / scores;
        report->score_made += made[1] / scores;
        report->loss += sums[role_sums(gan, SCORE_GENERATOR, i)] / scores;
        for (int tap = 0; tap < SR_D_TAPS && gan->choices.feature_weight > 0; tap++)
            report->feature += sums[gan_tap_sums(gan, tap, i) + NN_LOSS_L1] / (double)batch /
                               (double)net_elements(&gan->net.net, gan->taps[tap]);
    }
}
