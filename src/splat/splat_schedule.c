#include "splat/splat_schedule.h"

#include "base/error.h"
#include "config/config.h"
#include "math/cosine.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

void splat_schedule_init(struct splat_schedule *schedule)
{
    *schedule = (struct splat_schedule){.best_psnr = -1e9, .best_ssim = -1, .factor = 1};
}

static bool follows_cosine(const struct config_splat *config)
{
    return !config->disable_lr_schedule && config->lr_end < 1;
}

double splat_schedule_factor(const struct splat_schedule *schedule,
                             const struct config_splat *config, int64_t steps, int64_t step)
{
    if (!follows_cosine(config)) return schedule->factor;
    double begin = config->lr_hold * (double)steps;
    double fallen = ((double)step - begin) / ((double)steps - begin);
    if (!(fallen > 0)) return 1; /* also where it is 0 / 0 */
    return cosine_between(1, config->lr_end, fallen < 1 ? fallen : 1);
}

void splat_schedule_update(struct splat_schedule *schedule, const struct config_splat *config,
                           int64_t step, int64_t grown_at, double psnr, double ssim)
{
    if (config->disable_lr_schedule || follows_cosine(config)) return;
    if (grown_at < 0 || schedule->finished) return;
    if (schedule->last_gain < grown_at) schedule->last_gain = grown_at;
    if (psnr >= schedule->best_psnr + 100 * config->decay_threshold ||
        ssim >= schedule->best_ssim + config->decay_threshold) {
        schedule->last_gain = step;
        if (psnr > schedule->best_psnr) schedule->best_psnr = psnr;
        if (ssim > schedule->best_ssim) schedule->best_ssim = ssim;
        return;
    }
    if (step - schedule->last_gain < config->check_decay_steps) return;
    if (schedule->decays < config->max_decay_times) {
        schedule->decays++;
        schedule->factor /= config->decay_ratio;
        schedule->last_gain = step;
    } else if (step - grown_at >= config->post_min_steps) {
        schedule->finished = true;
    }
}

void splat_schedule_resize(struct splat_schedule *schedule, bool larger)
{
    schedule->best_psnr = -1e9; /* the next measurement is a gain, and begins the waiting again */
    schedule->best_ssim = -1;
    schedule->finished = false;
    if (!larger) return;
    schedule->decays = 0;
    schedule->factor = 1;
}

int splat_schedule_save(const struct splat_schedule *schedule, struct store_writer *writer)
{
    TRY(store_set_double(writer, "schedule.best_psnr", schedule->best_psnr));
    TRY(store_set_double(writer, "schedule.best_ssim", schedule->best_ssim));
    TRY(store_set_int(writer, "schedule.last_gain", schedule->last_gain));
    TRY(store_set_int(writer, "schedule.decays", schedule->decays));
    TRY(store_set_double(writer, "schedule.factor", schedule->factor));
    return store_set_int(writer, "schedule.finished", schedule->finished);
}

int splat_schedule_load(struct splat_schedule *schedule, const struct store_file *file,
                        int64_t steps)
{
    const struct store_range psnr = {-1e9, 1000}, ssim = {-1, 2}, factor = {0, 1};
    TRY(store_get_double_in(file, "schedule.best_psnr", psnr, &schedule->best_psnr));
    TRY(store_get_double_in(file, "schedule.best_ssim", ssim, &schedule->best_ssim));
    TRY(store_get_int_in(file, "schedule.last_gain", 0, steps, &schedule->last_gain));
    TRY(store_get_int_in(file, "schedule.decays", 0, INT32_MAX, &schedule->decays));
    TRY(store_get_double_in(file, "schedule.factor", factor, &schedule->factor));
    return store_get_bool(file, "schedule.finished", &schedule->finished);
}
