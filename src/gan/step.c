/* One D step and one G step, micro-batch by micro-batch. */
#include "base/error.h"
#include "device/device.h"
#include "gan/core.h"
#include "math/augment.h"

#include <string.h>

static size_t picture_floats(const struct gan_core *core)
{
    return (size_t)(core->h * core->w * core->c);
}

static int z_stride(const struct gan_core *core)
{
    return core->design.z + core->design.embedding;
}

/* Waits until the host may write the inputs of step `which` again. */
static int host_ready(struct gan_core *core, enum gan_which which)
{
    if (!core->in_flight[which]) return OK;
    core->in_flight[GAN_D] = core->in_flight[GAN_G] = false;
    return core->device->synchronize(core->device);
}

static int upload(struct gan_core *core, void *to, const void *from, size_t bytes)
{
    return to == from ? OK : core->device->upload(core->device, to, from, bytes);
}

static int upload_z(struct gan_core *core, enum gan_which which, const struct sweep *g)
{
    core->in_flight[which] = true;
    return upload(core, g->value[0], core->host_z[which],
                  (size_t)(g->n * z_stride(core)) * sizeof(float));
}

/* Brings the block to the device, with the first n pictures. */
static int upload_block(struct gan_core *core, enum gan_which which, int n)
{
    const struct gan_block *b = &core->host[which];
    const uint8_t *end = b->pixels + (size_t)n * picture_floats(core);
    return upload(core, core->block.gamma, b->gamma, (size_t)(end - (const uint8_t *)b->gamma));
}

/* The inputs as D sees them: pairs that alternate (D step), or fakes before reals (G step). */
static void arrange_pairs(struct gan_core *core, enum gan_which which)
{
    const struct gan_block *b = &core->host[which];
    int n = core->inputs.n;
    for (int i = 0; i < n; i++) {
        int real = which == GAN_D ? 2 * i : n + i, fake = which == GAN_D ? 2 * i + 1 : i;
        b->pair_draws[real] = b->real_draws[i];
        b->pair_draws[fake] = b->fake_draws[i];
        b->pair_labels[real] = b->pair_labels[fake] = b->labels[i];
    }
}

/* Asks the callback for pairs first .. first + n - 1 and brings them to the device. */
static int fill_inputs(struct gan_core *core, gan_fill *fill, void *context, enum gan_which which,
                       double gamma, int first, int n)
{
    struct sweep *g = which == GAN_D ? &core->g_make : &core->g_learn;
    const struct gan_block *b = &core->host[which];
    TRY(host_ready(core, which));
    *b->gamma = gamma;
    core->inputs = (struct gan_inputs){
        .first = first,
        .n = n,
        .pixels = b->pixels,
        .flips = b->flips,
        .z = core->host_z[which],
        .z_count = core->design.z,
        .z_stride = z_stride(core),
        .labels = b->labels,
        .real_draws = b->real_draws,
        .fake_draws = b->fake_draws,
    };
    g->n = n;
    TRY(fill(context, which, &core->inputs));
    arrange_pairs(core, which);
    TRY(upload_z(core, which, g));
    TRY(upload_block(core, which, n));
    core->ops->from_u8(core->real, core->block.pixels, core->block.flips, n, core->h, core->w,
                       core->c);
    return OK;
}

/* D's input: reals in the even places, fakes in the odd ones, both augmented. So a batch is cut
 * into the same slices however it is cut into micro-batches. */
static void mix_pairs(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->block;
    int n = core->inputs.n;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    float *x = core->d_first.value[0];
    core->ops->augment(x, 2 * one, core->real, one, b->real_draws, n, core->h, core->w, core->c, 0);
    core->ops->augment(x + one, 2 * one, fake, one, b->fake_draws, n, core->h, core->w, core->c, 0);
}

/* Seeds of the adjoint sweep: dL/dscore. */
static void seed_pairs(struct gan_core *core)
{
    int n = core->inputs.n, last = core->d.net.layer_count - 1;
    core->ops->copy(core->scores, core->d_first.value[last], (size_t)(2 * n) * sizeof(float));
    core->ops->pair_loss(core->d_sums, core->d_first.grad[last], core->scores, n,
                         core->choices.batch, 0);
}

/* D's input becomes u_0 = x + gamma / (batch c^2) T T' v', where v' is the gradient with seed c. */
static void add_tangent(struct gan_core *core)
{
    const struct gan_block *b = &core->block;
    int n = 2 * core->inputs.n;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    core->ops->augment_adjoint(core->pulled, one, core->d_first.grad[0], one, b->pair_draws, n,
                               core->h, core->w, core->c);
    core->ops->square_sums(core->squares, core->pulled, n, (size_t)one);
    core->ops->augment(core->pushed, one, core->pulled, one, b->pair_draws, n, core->h, core->w,
                       core->c, 1);
    core->ops->penalty(core->d_sums, core->factors, core->squares,
                       core->d_first.grad[core->d.net.layer_count - 1], b->gamma, n,
                       core->choices.batch);
    core->ops->scale_add(core->d_first.value[0], core->pushed, core->factors, n, (size_t)one);
}

/* The tangent's score is c |v|^2: what the second sweep must end at follows. */
static void check_identity(struct gan_core *core)
{
    int last = core->d.net.layer_count - 1;
    core->ops->penalty_check(core->d_sums, core->d_second.value[last], core->scores, core->squares,
                             core->d_first.grad[last], core->block.gamma, 2 * core->inputs.n,
                             core->choices.batch);
}

static void d_micro(struct gan_core *core)
{
    int n = core->inputs.n;
    sweep_forward(&core->g_make, SWEEP_NO_MASKS, false);
    mix_pairs(core, core->g_make.value[core->g.net.layer_count - 1]);
    core->d_first.n = core->d_second.n = 2 * n;
    sweep_forward(&core->d_first, SWEEP_WRITE_MASKS, false);
    seed_pairs(core);
    sweep_adjoint(&core->d_first, false);
    add_tangent(core);
    sweep_forward(&core->d_second, SWEEP_FROZEN_MASKS, true);
    check_identity(core);
}

int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report)
{
    int batch = core->choices.batch, micro = core->choices.micro;
    TRY(conveyor_begin(&core->belt));
    core->ops->zero(core->d.gradients, core->d.net.floats * sizeof(float));
    core->ops->zero(core->d_sums, NN_SUMS * sizeof(double));
    core->d_first.macs = core->d_second.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        int n = batch - first < micro ? batch - first : micro;
        TRY(fill_inputs(core, fill, context, GAN_D, gamma, first, n));
        d_micro(core);
    }
    return gan_reports(core, report, NULL);
}

/* D's scores of the fakes (first half) and of the reals, and the adjoint down to the fakes. */
static void judge_fakes(struct gan_core *core, const float *fake)
{
    const struct gan_block *b = &core->block;
    struct sweep *d = &core->d_judge;
    int n = core->inputs.n, last = core->d.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    float *x = d->value[0];
    core->ops->augment(x, one, fake, one, b->fake_draws, n, core->h, core->w, core->c, 0);
    core->ops->augment(x + n * one, one, core->real, one, b->real_draws, n, core->h, core->w,
                       core->c, 0);
    d->n = 2 * n;
    sweep_forward(d, SWEEP_WRITE_MASKS, false);
    core->ops->copy(core->scores, d->value[last], (size_t)(2 * n) * sizeof(float));
    core->ops->pair_loss(core->g_sums, d->grad[last], core->scores, n, core->choices.batch, 1);
    d->n = n;
    sweep_adjoint(d, false);
}

static void g_micro(struct gan_core *core)
{
    int n = core->inputs.n, last = core->g.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    struct sweep *g = &core->g_learn, *back = &core->g_back;
    sweep_forward(g, SWEEP_WRITE_MASKS, false);
    judge_fakes(core, g->value[last]);
    core->ops->augment_adjoint(back->grad[last], one, core->d_judge.grad[0], one,
                               core->block.fake_draws, n, core->h, core->w, core->c);
    back->n = n;
    sweep_adjoint(back, true);
}

int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report)
{
    int batch = core->choices.batch, micro = core->choices.micro;
    core->ops->zero(core->g.gradients, core->g.net.floats * sizeof(float));
    core->ops->zero(core->g_sums, NN_SUMS * sizeof(double));
    core->d_judge.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        int n = batch - first < micro ? batch - first : micro;
        TRY(fill_inputs(core, fill, context, GAN_G, 0, first, n));
        g_micro(core);
    }
    return gan_reports(core, NULL, report);
}

static int read_report(struct gan_core *core, const double *sums, double macs,
                       struct gan_report *report)
{
    double s[NN_SUMS];
    TRY(gan_core_fetch(core, s, sums, sizeof s));
    *report = (struct gan_report){
        .loss = s[NN_SUM_LOSS],
        .r1 = s[NN_SUM_R1],
        .r2 = s[NN_SUM_R2],
        .score_real = s[NN_SUM_REAL],
        .score_fake = s[NN_SUM_FAKE],
        .sign = s[NN_SUM_SIGN],
        .units = macs / (2 * core->choices.batch * net_macs(&core->d.net)),
        .invariant = s[NN_SUM_ERROR],
    };
    return OK;
}

int gan_reports(struct gan_core *core, struct gan_report *d, struct gan_report *g)
{
    if (d) TRY(read_report(core, core->d_sums, core->d_first.macs + core->d_second.macs, d));
    if (g) TRY(read_report(core, core->g_sums, core->d_judge.macs, g));
    return OK;
}

int gan_update(struct gan_core *core, struct gan_network *network, double lr, double b2)
{
    struct conveyor_piece v;
    network->v_missing *= b2;
    TRY(conveyor_start(&core->belt, network == &core->d ? GAN_BELT_D : GAN_BELT_G));
    for (;;) {
        TRY(conveyor_take(&core->belt, &v));
        if (v.rows == 0) return OK;
        core->ops->adam(network->parameters + v.first, v.at[0], network->gradients + v.first,
                        v.rows, (float)lr, (float)b2, (float)(1 - network->v_missing), 1e-8f);
    }
}

int gan_average(struct gan_core *core, double beta)
{
    struct conveyor_piece ema;
    TRY(conveyor_start(&core->belt, GAN_BELT_EMA));
    for (;;) {
        TRY(conveyor_take(&core->belt, &ema));
        if (ema.rows == 0) return conveyor_end(&core->belt);
        core->ops->ema(ema.at[0], core->g.parameters + ema.first, ema.rows, (float)beta);
    }
}

/* Labels of `n` pictures to the device; they may lie in `host` already. */
static int upload_labels(struct gan_core *core, int *device, int *host, const int *labels, int n)
{
    if (!labels) return OK;
    if (host != labels) memcpy(host, labels, (size_t)n * sizeof *host);
    return upload(core, device, host, (size_t)n * sizeof *host);
}

int gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                 int n, float *out)
{
    struct sweep s = core->g_make;
    size_t stride = (size_t)z_stride(core), one = picture_floats(core);
    s.parameters = parameters;
    if (parameters == core->ema && core->window) { /* between steps the gradients' memory is free */
        TRY(upload(core, core->g.gradients, core->ema, core->g.net.floats * sizeof(float)));
        s.parameters = core->g.gradients;
    }
    for (int first = 0; first < n; first += core->choices.micro) {
        s.n = n - first < core->choices.micro ? n - first : core->choices.micro;
        TRY(host_ready(core, GAN_D));
        for (int i = 0; i < s.n; i++)
            memcpy(core->host_z[GAN_D] + (size_t)i * stride, z + (first + i) * core->design.z,
                   (size_t)core->design.z * sizeof(float));
        TRY(upload_z(core, GAN_D, &s));
        TRY(upload_labels(core, core->block.labels, core->host[GAN_D].labels,
                          labels ? labels + first : NULL, s.n));
        sweep_forward(&s, SWEEP_NO_MASKS, false);
        TRY(gan_core_fetch(core, out + (size_t)first * one, s.value[s.net->layer_count - 1],
                           (size_t)s.n * one * sizeof(float)));
    }
    return OK;
}

int gan_judge(struct gan_core *core, const uint8_t *const *pictures, const int *labels, int n,
              float *scores)
{
    struct sweep s = core->d_judge;
    const struct gan_block *b = &core->block, *host = &core->host[GAN_D];
    size_t one = picture_floats(core);
    for (int first = 0; first < n; first += core->choices.micro) {
        s.n = n - first < core->choices.micro ? n - first : core->choices.micro;
        TRY(host_ready(core, GAN_D));
        for (int i = 0; i < s.n; i++)
            memcpy(host->pixels + (size_t)i * one, pictures[first + i], one);
        TRY(upload(core, b->pixels, host->pixels, (size_t)s.n * one));
        TRY(upload_labels(core, b->pair_labels, host->pair_labels, labels ? labels + first : NULL,
                          s.n));
        core->ops->from_u8(s.value[0], b->pixels, NULL, s.n, core->h, core->w, core->c);
        sweep_forward(&s, SWEEP_NO_MASKS, false);
        TRY(gan_core_fetch(core, scores + first, s.value[s.net->layer_count - 1],
                           (size_t)s.n * sizeof(float)));
    }
    return OK;
}
