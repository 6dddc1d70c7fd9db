/* One step of training: its inputs to the device, its operations asked for at once, its report. */
#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "gan/core.h"
#include "gan/gan_step.h"

/* Takes the host's side of this turn, when the step that had it last is done. */
static int train_step_begin(struct gan_core *core, const struct gan_rates *rates, gan_fill *fill,
                            void *context)
{
    struct gan_numbers *numbers = core->host[core->stepper.turn].numbers;
    TRY(stepper_await(&core->stepper, core->stepper.turn));
    core->fill = fill;
    core->fill_context = context;
    numbers->gamma = rates->gamma;
    numbers->ema = (float)rates->ema;
    return OK;
}

/* Where the device works ahead: the inputs of steps first .. last (D, G), and the numbers. */
static int train_step_send(struct gan_core *core, enum gan_which first, enum gan_which last)
{
    const struct gan_step_inputs *host = &core->host[core->stepper.turn];
    if (!core->shape.ahead) return OK;
    for (int i = (int)first; i <= (int)last; i++)
        TRY(gan_block_fill(&core->shape, &host->step[i], (enum gan_which)i, 0, core->mode.batch,
                           core->mode.micro, core->fill, core->fill_context));
    return stepper_send(&core->stepper, core->inputs.memory, host->memory,
                        gan_step_inputs_layout(&core->shape, NULL, NULL));
}

int gan_train_step(struct gan_core *core, const struct gan_rates *rates, gan_fill *fill,
                   void *context)
{
    double d_before = core->d.v_missing, g_before = core->g.v_missing;
    bool first_half = !core->half || !core->half->done;
    TRY(train_step_begin(core, rates, fill, context));
    if (first_half)
        core->host[core->stepper.turn].numbers->adam[GAN_D] =
            trained_net_advance(&core->d, &rates->adam);
    core->host[core->stepper.turn].numbers->adam[GAN_G] =
        trained_net_advance(&core->g, &rates->adam);
    int code = train_step_send(core, GAN_D, GAN_G);
    if (code == OK) code = stepper_run(&core->stepper, gan_queue_all, core);
    if (code < 0) { /* the step that is done again counts once */
        core->g.v_missing = g_before;
        if (first_half && !(core->half && core->half->done)) core->d.v_missing = d_before;
    }
    TRY(code);
    return stepper_end(&core->stepper);
}

static int step_alone(struct gan_core *core, enum gan_which which, const struct gan_rates *rates,
                      gan_fill *fill, void *context)
{
    TRY(train_step_begin(core, rates, fill, context));
    TRY(train_step_send(core, which, which));
    TRY(gan_queue(core, which));
    return stepper_end(&core->stepper);
}

int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report)
{
    TRY(step_alone(core, GAN_D, &(struct gan_rates){.gamma = gamma}, fill, context));
    return gan_report(core, 0, report, NULL);
}

int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report)
{
    TRY(step_alone(core, GAN_G, &(struct gan_rates){.gamma = 0}, fill, context));
    return gan_report(core, 0, NULL, report);
}

/* ---- reports ---- */

static struct gan_report report_of(const struct gan_core *core, const double *sums, double macs)
{
    return (struct gan_report){
        .loss = sums[GAN_SUM_LOSS],
        .r1 = sums[GAN_SUM_R1],
        .r2 = sums[GAN_SUM_R2],
        .score_real = sums[GAN_SUM_REAL],
        .score_fake = sums[GAN_SUM_FAKE],
        .sign = sums[GAN_SUM_SIGN],
        .units = macs / (2 * core->mode.batch * net_macs(&core->d.net)),
        .invariant = sums[GAN_SUM_ERROR],
    };
}

int gan_report(struct gan_core *core, int back, struct gan_report *d, struct gan_report *g)
{
    const double *sums;
    TRY(stepper_sums(&core->stepper, back, &sums));
    if (d) *d = report_of(core, sums, core->d_first.macs + core->d_second.macs);
    if (g) *g = report_of(core, sums + GAN_SUMS, core->d_score.macs);
    return OK;
}
