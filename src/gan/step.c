/* One D step and one G step, micro-batch by micro-batch. */
#include "base/error.h"
#include "gan/core.h"
#include "math/augment.h"

#include <math.h>
#include <string.h>

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : 0;
}

/* The derivative of softplus(-margin) over the batch. Never 0, as the penalty's factor divides by
 * it; the least is far below rounding. */
static float seed_of(double margin, int batch)
{
    double c = sigmoid(-margin);
    return (float)((c > 1e-12 ? c : 1e-12) / batch);
}

static size_t picture_floats(const struct gan_core *core)
{
    return (size_t)(core->h * core->w * core->c);
}

/* Asks the callback for pairs first .. first + n - 1; the latents go where `g` reads them. */
static int fill_inputs(struct gan_core *core, gan_fill *fill, void *context, enum gan_which which,
                       struct sweep *g, int first, int n)
{
    struct gan_inputs *in = &core->inputs;
    in->first = first;
    in->n = n;
    in->z = g->value[0];
    in->z_count = core->design.z;
    in->z_stride = core->design.z + core->design.embedding;
    g->n = n;
    return fill(context, which, in);
}

/* Adds a pair's share to the report. */
static void count_pair(struct gan_report *r, double real, double fake, double margin, int batch)
{
    r->loss += softplus(-margin) / batch;
    r->score_real += real / batch;
    r->score_fake += fake / batch;
    r->sign += sign(real - fake) / batch;
}

/* D's input: reals in the even places, fakes in the odd ones, both augmented. So a batch is cut
 * into the same slices however it is cut into micro-batches. */
static void mix_pairs(struct gan_core *core, const float *fake)
{
    const struct gan_inputs *in = &core->inputs;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    float *x = core->d_first.value[0];
    core->ops->augment(x, 2 * one, in->real, one, in->real_draws, in->n, core->h, core->w, core->c,
                       0);
    core->ops->augment(x + one, 2 * one, fake, one, in->fake_draws, in->n, core->h, core->w,
                       core->c, 0);
    for (int i = 0; i < in->n; i++) {
        core->pair_draws[2 * i] = in->real_draws[i];
        core->pair_draws[2 * i + 1] = in->fake_draws[i];
        core->pair_labels[2 * i] = core->pair_labels[2 * i + 1] = in->labels[i];
    }
}

/* Seeds of the adjoint sweep: dL/dscore. */
static void seed_pairs(struct gan_core *core, struct gan_report *report)
{
    int batch = core->choices.batch, last = core->d.net.layer_count - 1;
    float *seed = core->d_first.grad[last];
    core->ops->copy(core->scores, core->d_first.value[last],
                    (size_t)(2 * core->inputs.n) * sizeof(float));
    for (int i = 0; i < core->inputs.n; i++) {
        double real = (double)core->scores[2 * i], fake = (double)core->scores[2 * i + 1];
        seed[2 * i + 1] = seed_of(real - fake, batch);
        seed[2 * i] = -seed[2 * i + 1];
        count_pair(report, real, fake, real - fake, batch);
    }
}

/* D's input becomes u_0 = x + gamma / (batch c^2) T T' v', where v' is the gradient with seed c. */
static void add_tangent(struct gan_core *core, double gamma, struct gan_report *report)
{
    int n = 2 * core->inputs.n, batch = core->choices.batch;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    const float *seed = core->d_first.grad[core->d.net.layer_count - 1];
    core->ops->augment_adjoint(core->pulled, one, core->d_first.grad[0], one, core->pair_draws, n,
                               core->h, core->w, core->c);
    core->ops->square_sums(core->squares, core->pulled, n, (size_t)one);
    core->ops->augment(core->pushed, one, core->pulled, one, core->pair_draws, n, core->h, core->w,
                       core->c, 1);
    for (int i = 0; i < n; i++) {
        double c = (double)seed[i];
        core->factors[i] = (float)(gamma / batch / (c * c));
        core->squares[i] /= c * c;
        *(i % 2 ? &report->r2 : &report->r1) += core->squares[i] / batch;
    }
    core->ops->scale_add(core->d_first.value[0], core->pushed, core->factors, n, (size_t)one);
}

/* The tangent's score is c |v|^2, so the second sweep must end at score + gamma / (batch c) |v|^2.
 */
static void check_identity(const struct gan_core *core, double gamma, struct gan_report *report)
{
    int last = core->d.net.layer_count - 1;
    const float *got = core->d_second.value[last], *seed = core->d_first.grad[last];
    for (int i = 0; i < 2 * core->inputs.n; i++) {
        double score = (double)core->scores[i];
        double tangent = gamma / core->choices.batch * core->squares[i] / (double)seed[i];
        double size = fabs(score) + fabs(tangent) + 1e-3;
        double error = fabs((double)got[i] - (score + tangent)) / size;
        if (!(error <= report->invariant)) report->invariant = error;
    }
}

static void d_micro(struct gan_core *core, double gamma, struct gan_report *report)
{
    int n = core->inputs.n;
    sweep_forward(&core->g_make, SWEEP_NO_MASKS, false);
    mix_pairs(core, core->g_make.value[core->g.net.layer_count - 1]);
    core->d_first.n = core->d_second.n = 2 * n;
    sweep_forward(&core->d_first, SWEEP_WRITE_MASKS, false);
    seed_pairs(core, report);
    sweep_adjoint(&core->d_first, false);
    add_tangent(core, gamma, report);
    sweep_forward(&core->d_second, SWEEP_FROZEN_MASKS, true);
    check_identity(core, gamma, report);
}

int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report)
{
    int batch = core->choices.batch, micro = core->choices.micro;
    *report = (struct gan_report){.loss = 0};
    core->ops->zero(core->d.gradients, core->d.net.floats * sizeof(float));
    core->d_first.macs = core->d_second.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        int n = batch - first < micro ? batch - first : micro;
        TRY(fill_inputs(core, fill, context, GAN_D, &core->g_make, first, n));
        d_micro(core, gamma, report);
    }
    report->units =
        (core->d_first.macs + core->d_second.macs) / (2 * batch * net_macs(&core->d.net));
    return OK;
}

/* D's scores of the fakes (first half) and of the reals, and the adjoint down to the fakes. */
static void judge_fakes(struct gan_core *core, const float *fake, struct gan_report *report)
{
    const struct gan_inputs *in = &core->inputs;
    struct sweep *d = &core->d_judge;
    int n = in->n, last = core->d.net.layer_count - 1, batch = core->choices.batch;
    float *x = d->value[0], *seed = d->grad[last];
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    core->ops->augment(x, one, fake, one, in->fake_draws, n, core->h, core->w, core->c, 0);
    core->ops->augment(x + n * one, one, in->real, one, in->real_draws, n, core->h, core->w,
                       core->c, 0);
    for (int i = 0; i < 2 * n; i++)
        core->pair_labels[i] = in->labels[i % n];
    d->n = 2 * n;
    sweep_forward(d, SWEEP_WRITE_MASKS, false);
    core->ops->copy(core->scores, d->value[last], (size_t)(2 * n) * sizeof(float));
    for (int i = 0; i < n; i++) {
        double f = (double)core->scores[i], r = (double)core->scores[n + i];
        seed[i] = -seed_of(f - r, batch);
        count_pair(report, r, f, f - r, batch);
    }
    d->n = n;
    sweep_adjoint(d, false);
}

int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report)
{
    int batch = core->choices.batch, micro = core->choices.micro;
    int last = core->g.net.layer_count - 1;
    ptrdiff_t one = (ptrdiff_t)picture_floats(core);
    struct sweep *g = &core->g_learn, *back = &core->g_back;
    *report = (struct gan_report){.loss = 0};
    core->ops->zero(core->g.gradients, core->g.net.floats * sizeof(float));
    core->d_judge.macs = 0;
    for (int first = 0; first < batch; first += micro) {
        int n = batch - first < micro ? batch - first : micro;
        TRY(fill_inputs(core, fill, context, GAN_G, g, first, n));
        sweep_forward(g, SWEEP_WRITE_MASKS, false);
        judge_fakes(core, g->value[last], report);
        core->ops->augment_adjoint(back->grad[last], one, core->d_judge.grad[0], one,
                                   core->inputs.fake_draws, n, core->h, core->w, core->c);
        back->n = n;
        sweep_adjoint(back, true);
    }
    report->units = core->d_judge.macs / (2 * batch * net_macs(&core->d.net));
    return OK;
}

void gan_update(const struct gan_core *core, struct gan_network *network, double lr, double b2)
{
    network->v_missing *= b2;
    core->ops->adam(network->parameters, network->v, network->gradients, network->net.floats,
                    (float)lr, (float)b2, (float)(1 - network->v_missing), 1e-8f);
}

void gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                  int n, float *out)
{
    struct sweep s = core->g_make;
    size_t stride = (size_t)(core->design.z + core->design.embedding), one = picture_floats(core);
    s.parameters = parameters;
    for (int first = 0; first < n; first += core->choices.micro) {
        s.n = n - first < core->choices.micro ? n - first : core->choices.micro;
        s.labels = labels ? labels + first : NULL;
        for (int i = 0; i < s.n; i++)
            core->ops->copy((float *)s.value[0] + (size_t)i * stride,
                            z + (first + i) * core->design.z,
                            (size_t)core->design.z * sizeof(float));
        sweep_forward(&s, SWEEP_NO_MASKS, false);
        core->ops->copy(out + (size_t)first * one, s.value[s.net->layer_count - 1],
                        (size_t)s.n * one * sizeof(float));
    }
}

void gan_judge(struct gan_core *core, const float *pictures, const int *labels, int n,
               float *scores)
{
    struct sweep s = core->d_judge;
    size_t one = picture_floats(core);
    for (int first = 0; first < n; first += core->choices.micro) {
        s.n = n - first < core->choices.micro ? n - first : core->choices.micro;
        s.labels = labels ? labels + first : NULL;
        core->ops->copy(s.value[0], pictures + (size_t)first * one,
                        (size_t)s.n * one * sizeof(float));
        sweep_forward(&s, SWEEP_NO_MASKS, false);
        core->ops->copy(scores + first, s.value[s.net->layer_count - 1],
                        (size_t)s.n * sizeof(float));
    }
}
