/* When learning rates fall and when a fit is done: along a cosine to the last step, or by
 * Image-GS's plateau rule. */
#ifndef IMGTRAIN_SPLAT_SPLAT_SCHEDULE_H
#define IMGTRAIN_SPLAT_SPLAT_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct config_splat;
struct store_file;
struct store_writer;

struct splat_schedule {
    double best_psnr, best_ssim;
    int64_t last_gain; /* step at which either was last seen to grow */
    int64_t decays;
    double factor; /* what the plateau rule multiplies learning rates by */
    bool finished;
};

void splat_schedule_init(struct splat_schedule *schedule);

/* The factor of all learning rates in training step `step` of `steps`. */
double splat_schedule_factor(const struct splat_schedule *schedule,
                             const struct config_splat *config, int64_t steps, int64_t step);

/* After `step` was measured: no gain of `decay_threshold` SSIM (or 100 times as many dB) for
 * check_decay_steps divides the rates by decay_ratio; once max_decay_times have been used up, it
 * ends the run, not earlier than post_min_steps after the last Gaussians were added. Counts only
 * once all Gaussians are there (`grown_at`: the step at which the last were added; < 0: not yet).
 * Does nothing where rates follow the cosine. */
void splat_schedule_update(struct splat_schedule *schedule, const struct config_splat *config,
                           int64_t step, int64_t grown_at, double psnr, double ssim);

/* The fit goes on at another size: measurements made before do not count any more. At a larger size
 * the plateau rule begins anew: a plateau at the smaller size says nothing. */
void splat_schedule_resize(struct splat_schedule *schedule, bool larger);

int splat_schedule_save(const struct splat_schedule *schedule, struct store_writer *writer);
/* Reads the schedule of a checkpoint after `steps` steps. ERR_DATA. */
int splat_schedule_load(struct splat_schedule *schedule, const struct store_file *file,
                        int64_t steps);

#endif
