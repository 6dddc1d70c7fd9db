/* Goals of a fit: as many Gaussians as an image of target_psnr takes, or as fit into target_bytes;
 * as many steps as target_psnr takes, or as time_budget has room for. */
#ifndef IMGTRAIN_SPLAT_SPLAT_GOAL_H
#define IMGTRAIN_SPLAT_SPLAT_GOAL_H

#include "splat/fit.h"

#include <stdbool.h>
#include <stdint.h>

struct store_file;
struct store_writer;

/* What time it is: clock_seconds, unless a test says otherwise. */
extern double (*splat_goal_clock)(void);

/* The Gaussians that there is to be room for: of the config, or of its goal. ERR_CONFIG where
 * target_bytes has no room for any. */
int splat_goal_capacity(const struct splat_fit *fit, int64_t *capacity);

/* Begins, for a fit that was described, and plans its growth. opened: the clock when the process
 * began. */
void splat_goal_begin(struct splat_fit *fit, double opened);

/* The factor of learning rates in training step `step`. */
double splat_goal_rate(const struct splat_fit *fit, int64_t step);

/* Before step `step`: how long it may go on, by the time that is left. */
void splat_goal_plan_time(struct splat_fit *fit, int64_t step);

/* Whether the PSNR after `done` steps is wanted. */
bool splat_goal_wants(const struct splat_fit *fit, int64_t done);

/* After `done` steps: decides what follows. measured: so was the PSNR. */
void splat_goal_decide(struct splat_fit *fit, int64_t done, bool measured);

int splat_goal_save(const struct splat_fit *fit, struct store_writer *writer);
int splat_goal_load(struct splat_fit *fit, const struct store_file *file, int64_t done);

#endif
