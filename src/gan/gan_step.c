/* The operations of a D step and of a G step, micro-batch by micro-batch, and of their updates. */
#include "gan/gan_step.h"

#include "base/error.h"
#include "device/device.h"
#include "device/gan_ops.h"
#include "gan/core.h"

#include <string.h>

/* The inputs of pairs first .. first + n - 1, to where the operations of step `which` take them. */
static int take_inputs(struct gan_core *core, enum gan_which which, int first, int n)
{
    struct network_pass *g = which == GAN_D ? &core->g_make : &core->g_learn;
    const struct gan_block *b = &core->at;
    if (!core->shape.ahead)
        TRY(gan_block_fill(&core->shape, &core->inputs.step[which], which, first, n,
                           core->mode.micro, core->fill, core->fill_context));
    core->at =
        gan_block_from(&core->shape, &core->inputs.step[which], core->shape.ahead ? first : 0);
    core->n = g->n = n;
    g->labels.label = core->g_back.labels.label = b->labels;
    core->d_first.labels.label = core->d_second.labels.label = core->d_score.labels.label =
        b->pair_labels;
    TRY(core->device->nn->copy(core->device, g->value[0], b->z,
                               (size_t)(n * core->shape.z_stride) * sizeof(float)));
    TRY(core->device->nn->from_u8(core->device, core->real, b->pixels, b->flips, n, core->shape.h,
                                  core->shape.w, core->shape.c));
    return OK;
}

/* n images of the core's size, one behind the other. */
static struct gan_augmentation gan_step_pictures(const struct gan_core *core, float *out,
                                                 const float *in, const struct nn_augment *draws,
                                                 int n)
{
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    return (struct gan_augmentation){.out = out,
                                     .out_stride = one,
                                     .in = in,
                                     .in_stride = one,
                                     .draws = draws,
                                     .n = n,
                                     .h = core->shape.h,
                                     .w = core->shape.w,
                                     .c = core->shape.c};
}

/* D's input: reals in the even places, fakes in the odd ones, both augmented. So a batch is cut
 * into the same chunks however it is cut into micro-batches. */
static int mix_pairs(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->at;
    int n = core->n;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    float *x = core->d_first.value[0];
    struct gan_augmentation reals = gan_step_pictures(core, x, core->real, b->real_draws, n);
    reals.out_stride = 2 * one;
    TRY(core->device->gan->augment(core->device, &reals));
    struct gan_augmentation fakes = gan_step_pictures(core, x + one, fake, b->fake_draws, n);
    fakes.out_stride = 2 * one;
    TRY(core->device->gan->augment(core->device, &fakes));
    return OK;
}

/* Seeds of the backward pass: dL/dscore. */
static int seed_pairs(struct gan_core *core)
{
    int n = core->n, last = core->d.net.layer_count - 1;
    TRY(core->device->nn->copy(core->device, core->scores, core->d_first.value[last],
                               (size_t)(2 * n) * sizeof(float)));
    TRY(core->device->gan->pair_loss(core->device, core->sums[GAN_D], core->d_first.grad[last],
                                     core->scores, n, core->mode.batch, 0));
    return OK;
}

static struct gan_penalty gan_step_penalty(const struct gan_core *core)
{
    int last = core->d.net.layer_count - 1;
    return (struct gan_penalty){.sums = core->sums[GAN_D],
                                .factors = core->factors,
                                .got = core->d_second.value[last],
                                .scores = core->scores,
                                .squares = core->squares,
                                .seed = core->d_first.grad[last],
                                .gamma = &core->inputs.numbers->gamma,
                                .n = 2 * core->n,
                                .batch = core->mode.batch};
}

/* D's input becomes u_0 = x + gamma / (batch c^2) T T' v', where v' is the gradient with seed c. */
static int add_tangent(struct gan_core *core)
{
    const struct gan_block *b = &core->at;
    int n = 2 * core->n;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    struct gan_augmentation pull =
        gan_step_pictures(core, core->pulled, core->d_first.grad[0], b->pair_draws, n);
    TRY(core->device->gan->augment_adjoint(core->device, &pull));
    TRY(core->device->gan->square_sums(core->device, core->squares, core->pulled, n, (size_t)one));
    struct gan_augmentation push =
        gan_step_pictures(core, core->pushed, core->pulled, b->pair_draws, n);
    push.linear = true;
    TRY(core->device->gan->augment(core->device, &push));
    struct gan_penalty penalty = gan_step_penalty(core);
    TRY(core->device->gan->penalty(core->device, &penalty));
    TRY(core->device->nn->scale_add(core->device, core->d_first.value[0], core->pushed,
                                    core->factors, n, (size_t)one));
    return OK;
}

/* The tangent's score is c |v|^2: what the second pass must end at follows. */
static int check_identity(struct gan_core *core)
{
    struct gan_penalty penalty = gan_step_penalty(core);
    return core->device->gan->penalty_check(core->device, &penalty);
}

static int d_micro(struct gan_core *core)
{
    int n = core->n;
    TRY(pass_forward(&core->g_make, PASS_NO_MASKS, false));
    TRY(mix_pairs(core, core->g_make.value[core->g.net.layer_count - 1]));
    core->d_first.n = core->d_second.n = 2 * n;
    TRY(pass_forward(&core->d_first, PASS_WRITE_MASKS, false));
    TRY(seed_pairs(core));
    TRY(pass_backward(&core->d_first, false));
    TRY(add_tangent(core));
    TRY(pass_forward(&core->d_second, PASS_FROZEN_MASKS, true));
    return check_identity(core);
}

/* D's scores of the fakes (first half) and of the reals, and the adjoint down to the fakes. */
static int score_fakes(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->at;
    struct network_pass *d = &core->d_score;
    int n = core->n, last = core->d.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    float *x = d->value[0];
    struct gan_augmentation fakes = gan_step_pictures(core, x, fake, b->fake_draws, n);
    TRY(core->device->gan->augment(core->device, &fakes));
    struct gan_augmentation reals =
        gan_step_pictures(core, x + n * one, core->real, b->real_draws, n);
    TRY(core->device->gan->augment(core->device, &reals));
    d->n = 2 * n;
    TRY(pass_forward(d, PASS_WRITE_MASKS, false));
    TRY(core->device->nn->copy(core->device, core->scores, d->value[last],
                               (size_t)(2 * n) * sizeof(float)));
    TRY(core->device->gan->pair_loss(core->device, core->sums[GAN_G], d->grad[last], core->scores,
                                     n, core->mode.batch, 1));
    d->n = n;
    return pass_backward(d, false);
}

static int g_micro(struct gan_core *core)
{
    int n = core->n, last = core->g.net.layer_count - 1;
    struct network_pass *g = &core->g_learn, *back = &core->g_back;
    TRY(pass_forward(g, PASS_WRITE_MASKS, false));
    TRY(score_fakes(core, g->value[last]));
    struct gan_augmentation pull =
        gan_step_pictures(core, back->grad[last], core->d_score.grad[0], core->at.fake_draws, n);
    TRY(core->device->gan->augment_adjoint(core->device, &pull));
    back->n = n;
    return pass_backward(back, true);
}

int gan_queue(struct gan_core *core, enum gan_which which)
{
    int batch = core->mode.batch, micro = core->mode.micro;
    const struct trained_net *network = which == GAN_D ? &core->d : &core->g;
    TRY(core->device->nn->zero(core->device, network->gradients,
                               network->net.floats * sizeof(float)));
    TRY(core->device->nn->zero(core->device, core->sums[which], GAN_SUMS * sizeof(double)));
    if (which == GAN_D) core->d_first.macs = core->d_second.macs = 0;
    if (which == GAN_G) core->d_score.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        TRY(take_inputs(core, which, first, batch - first < micro ? batch - first : micro));
        TRY(which == GAN_D ? d_micro(core) : g_micro(core));
    }
    return OK;
}

static void remember_half(struct gan_core *core)
{
    if (!core->half) return;
    core->half->done = true;
    core->half->macs = core->d_first.macs + core->d_second.macs;
    memcpy(core->half->sums, core->sums[GAN_D], sizeof core->half->sums);
}

static void recall_half(struct gan_core *core)
{
    core->d_first.macs = core->half->macs;
    core->d_second.macs = 0;
    memcpy(core->sums[GAN_D], core->half->sums, sizeof core->half->sums);
}

int gan_queue_all(void *context)
{
    struct gan_core *core = context;
    const struct gan_numbers *numbers = core->inputs.numbers;
    struct offload_stream *offload = &core->stepper.offload;
    TRY(offload_stream_begin(offload));
    if (core->half && core->half->done) {
        recall_half(core);
    } else {
        TRY(gan_queue(core, GAN_D));
        TRY(trained_net_update(&core->d, core->device, offload, GAN_OFFLOAD_D,
                               &numbers->adam[GAN_D]));
        remember_half(core);
    }
    TRY(gan_queue(core, GAN_G));
    TRY(trained_net_update(&core->g, core->device, offload, GAN_OFFLOAD_G, &numbers->adam[GAN_G]));
    TRY(trained_net_average(&core->g, core->device, offload, GAN_OFFLOAD_EMA, &numbers->ema));
    if (core->half) core->half->done = false;
    return offload_stream_end(offload);
}
