#include "sr/sr_schedule.h"

#include "base/error.h"
#include "config/config.h"
#include "math/cosine.h"
#include "sr/discriminator/sr_gan_files.h"
#include "sr/sr_losses.h"

#include <inttypes.h>
#include <math.h>

enum { MEASUREMENTS = 20 };

static int sr_check_periods(const struct config *config)
{
    const struct config_list *periods = &config->sr.periods;
    int64_t steps = 0;
    for (int i = 0; i < periods->count; i++)
        steps += periods->values[i];
    if (periods->count == 0 || steps >= config->sr.max_steps) return OK;
    return fail(ERR_CONFIG, "sr.periods: all together are %" PRId64 " steps of %" PRId64, steps,
                (int64_t)config->sr.max_steps);
}

int sr_design_of(struct sr_design *design, const struct config *config)
{
    TRY(sr_design_configure(design, config));
    if (config->sr.lq_size % 2)
        return fail(ERR_CONFIG, "sr.lq_size: %d is odd; patches have even sides",
                    (int)config->sr.lq_size);
    TRY(sr_losses_check(config));
    if (config->sr.data_mode == CONFIG_SR_DATA_MODE_PAIRED && !config->sr.dataroot_lq[0])
        return fail(ERR_CONFIG, "sr.data_mode paired: dataroot_lq is not set, the folder of the "
                                "reduced images");
    TRY(sr_check_periods(config));
    return sr_gan_check(config);
}

/* How much of the cosine that step `step` is in lies behind it. */
static double sr_part_of_cosine(const struct config *config, int64_t step)
{
    const struct config_list *periods = &config->sr.periods;
    for (int i = 0; i < periods->count; step -= periods->values[i++])
        if (step < periods->values[i]) return (double)step / (double)periods->values[i];
    return periods->count > 0 ? 1 : fmin(1, (double)step / (double)config->sr.max_steps);
}

/* What becomes of a rate of learning in step `step`. */
static double sr_rate_at(const struct config *config, double lr, int64_t step)
{
    if (config->sr.schedule == CONFIG_SR_SCHEDULE_COSINE)
        lr = cosine_between(lr, lr * config->sr.lr_end, sr_part_of_cosine(config, step));
    for (int i = 0;
         config->sr.schedule == CONFIG_SR_SCHEDULE_STEPS && i < config->sr.milestones.count; i++)
        if (step >= config->sr.milestones.values[i]) lr *= config->sr.lr_gamma;
    if (step < config->sr.warmup) lr *= (double)(step + 1) / (double)config->sr.warmup;
    return lr;
}

struct sr_rates sr_rates_at(const struct config *config, int64_t step)
{
    const struct sr_gan_choices gan = sr_gan_of(config);
    struct sr_rates rates = {
        .adam = {.lr = sr_rate_at(config, config->sr.lr_g, step),
                 .b1 = config->sr.b1,
                 .b2 = config->sr.b2,
                 .decay = config->sr.weight_decay},
        .ema = fmin(config->sr.ema, (1 + (double)step) / (10 + (double)step)),
        .generator_rests = !sr_gan_generator_learns(&gan, step),
    };
    rates.d = rates.adam;
    rates.d.lr = sr_rate_at(config, config->sr.lr_d, step);
    return rates;
}

int64_t sr_val_every(const struct config *config)
{
    int64_t every = config->sr.val_every, lines = config->eval_steps;
    if (every <= 0) every = config->sr.max_steps / MEASUREMENTS;
    return every <= lines ? lines : (every + lines - 1) / lines * lines;
}

int sr_crop_border(const struct config *config)
{
    return (int)(config->sr.crop_border < 0 ? config->sr.scale : config->sr.crop_border);
}
