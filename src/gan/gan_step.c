/* The operations of a D step and of a G step, micro-batch by micro-batch, and of their updates. */
#include "gan/gan_step.h"

#include "base/error.h"
#include "gan/core.h"

#include <string.h>

/* The inputs of pairs first .. first + n - 1, to where the operations of step `which` take them. */
static int take_inputs(struct gan_core *core, enum gan_which which, int first, int n)
{
    struct network_pass *g = which == GAN_D ? &core->g_make : &core->g_learn;
    const struct gan_block *b = &core->at;
    if (!core->ahead) TRY(gan_block_fill(core, &core->inputs.step[which], which, first, n));
    core->at = gan_block_from(core, &core->inputs.step[which], core->ahead ? first : 0);
    core->n = g->n = n;
    g->labels = core->g_back.labels = b->labels;
    core->d_first.labels = core->d_second.labels = core->d_score.labels = b->pair_labels;
    core->ops->copy(g->value[0], b->z, (size_t)(n * gan_z_stride(core)) * sizeof(float));
    core->ops->from_u8(core->real, b->pixels, b->flips, n, core->h, core->w, core->c);
    return OK;
}

/* D's input: reals in the even places, fakes in the odd ones, both augmented. So a batch is cut
 * into the same slices however it is cut into micro-batches. */
static void mix_pairs(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->at;
    int n = core->n;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    float *x = core->d_first.value[0];
    core->ops->augment(x, 2 * one, core->real, one, b->real_draws, n, core->h, core->w, core->c, 0);
    core->ops->augment(x + one, 2 * one, fake, one, b->fake_draws, n, core->h, core->w, core->c, 0);
}

/* Seeds of the backward pass: dL/dscore. */
static void seed_pairs(struct gan_core *core)
{
    int n = core->n, last = core->d.net.layer_count - 1;
    core->ops->copy(core->scores, core->d_first.value[last], (size_t)(2 * n) * sizeof(float));
    core->ops->pair_loss(core->sums[GAN_D], core->d_first.grad[last], core->scores, n,
                         core->choices.batch, 0);
}

/* D's input becomes u_0 = x + gamma / (batch c^2) T T' v', where v' is the gradient with seed c. */
static void add_tangent(struct gan_core *core)
{
    const struct gan_block *b = &core->at;
    int n = 2 * core->n;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    core->ops->augment_adjoint(core->pulled, one, core->d_first.grad[0], one, b->pair_draws, n,
                               core->h, core->w, core->c);
    core->ops->square_sums(core->squares, core->pulled, n, (size_t)one);
    core->ops->augment(core->pushed, one, core->pulled, one, b->pair_draws, n, core->h, core->w,
                       core->c, 1);
    core->ops->penalty(core->sums[GAN_D], core->factors, core->squares,
                       core->d_first.grad[core->d.net.layer_count - 1],
                       &core->inputs.numbers->gamma, n, core->choices.batch);
    core->ops->scale_add(core->d_first.value[0], core->pushed, core->factors, n, (size_t)one);
}

/* The tangent's score is c |v|^2: what the second pass must end at follows. */
static void check_identity(struct gan_core *core)
{
    int last = core->d.net.layer_count - 1;
    core->ops->penalty_check(core->sums[GAN_D], core->d_second.value[last], core->scores,
                             core->squares, core->d_first.grad[last], &core->inputs.numbers->gamma,
                             2 * core->n, core->choices.batch);
}

static void d_micro(struct gan_core *core)
{
    int n = core->n;
    pass_forward(&core->g_make, PASS_NO_MASKS, false);
    mix_pairs(core, core->g_make.value[core->g.net.layer_count - 1]);
    core->d_first.n = core->d_second.n = 2 * n;
    pass_forward(&core->d_first, PASS_WRITE_MASKS, false);
    seed_pairs(core);
    pass_backward(&core->d_first, false);
    add_tangent(core);
    pass_forward(&core->d_second, PASS_FROZEN_MASKS, true);
    check_identity(core);
}

/* D's scores of the fakes (first half) and of the reals, and the adjoint down to the fakes. */
static void score_fakes(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->at;
    struct network_pass *d = &core->d_score;
    int n = core->n, last = core->d.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    float *x = d->value[0];
    core->ops->augment(x, one, fake, one, b->fake_draws, n, core->h, core->w, core->c, 0);
    core->ops->augment(x + n * one, one, core->real, one, b->real_draws, n, core->h, core->w,
                       core->c, 0);
    d->n = 2 * n;
    pass_forward(d, PASS_WRITE_MASKS, false);
    core->ops->copy(core->scores, d->value[last], (size_t)(2 * n) * sizeof(float));
    core->ops->pair_loss(core->sums[GAN_G], d->grad[last], core->scores, n, core->choices.batch, 1);
    d->n = n;
    pass_backward(d, false);
}

static void g_micro(struct gan_core *core)
{
    int n = core->n, last = core->g.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)gan_picture_floats(core);
    struct network_pass *g = &core->g_learn, *back = &core->g_back;
    pass_forward(g, PASS_WRITE_MASKS, false);
    score_fakes(core, g->value[last]);
    core->ops->augment_adjoint(back->grad[last], one, core->d_score.grad[0], one,
                               core->at.fake_draws, n, core->h, core->w, core->c);
    back->n = n;
    pass_backward(back, true);
}

int gan_queue(struct gan_core *core, enum gan_which which)
{
    int batch = core->choices.batch, micro = core->choices.micro;
    const struct gan_network *network = which == GAN_D ? &core->d : &core->g;
    core->ops->zero(network->gradients, network->net.floats * sizeof(float));
    core->ops->zero(core->sums[which], NN_SUMS * sizeof(double));
    if (which == GAN_D) core->d_first.macs = core->d_second.macs = 0;
    if (which == GAN_G) core->d_score.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        TRY(take_inputs(core, which, first, batch - first < micro ? batch - first : micro));
        if (which == GAN_D)
            d_micro(core);
        else
            g_micro(core);
        if (core->stop.heard) return fail(ERR_STOPPED, "stopped within a step");
    }
    return OK;
}

static int gan_step_update(struct gan_core *core, enum gan_which which)
{
    const struct gan_network *network = which == GAN_D ? &core->d : &core->g;
    struct offload_chunk v;
    TRY(offload_stream_start(&core->offload, which == GAN_D ? GAN_OFFLOAD_D : GAN_OFFLOAD_G));
    for (;;) {
        TRY(offload_stream_acquire(&core->offload, &v));
        if (v.rows == 0) return OK;
        core->ops->adam(network->parameters + v.first, v.at[0], network->gradients + v.first,
                        v.rows, &core->inputs.numbers->adam[which]);
    }
}

static int gan_step_average(struct gan_core *core)
{
    struct offload_chunk ema;
    TRY(offload_stream_start(&core->offload, GAN_OFFLOAD_EMA));
    for (;;) {
        TRY(offload_stream_acquire(&core->offload, &ema));
        if (ema.rows == 0) return OK;
        core->ops->ema(ema.at[0], core->g.parameters + ema.first, ema.rows,
                       &core->inputs.numbers->ema);
    }
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

int gan_queue_all(struct gan_core *core)
{
    TRY(offload_stream_begin(&core->offload));
    if (core->half && core->half->done) {
        recall_half(core);
    } else {
        TRY(gan_queue(core, GAN_D));
        TRY(gan_step_update(core, GAN_D));
        remember_half(core);
    }
    TRY(gan_queue(core, GAN_G));
    TRY(gan_step_update(core, GAN_G));
    TRY(gan_step_average(core));
    if (core->half) core->half->done = false;
    return offload_stream_end(&core->offload);
}
