/* The memory modes of a GAN, which the ladder chooses from. Mixed precision alone changes bits of
 * the result. */
#ifndef IMGTRAIN_GAN_GAN_MEMORY_MODES_H
#define IMGTRAIN_GAN_GAN_MEMORY_MODES_H

#include "gan/core.h"
#include "memory/mode.h"

struct config;

/* All that the config leaves open, by level and then by the size of the micro-batch. amp: in mixed
 * precision from the start; may_mix: it may save memory where that is off. Returns how
 * many.
 */
int gan_memory_modes(const struct config *config, bool amp, bool may_mix, struct memory_mode *list);

struct gan_mode gan_mode_of(const struct config *config, const struct memory_mode *mode);

/* Time of a step beside the fastest mode's. */
double gan_mode_time(const struct config *config, const struct memory_mode *mode);

/* `config` with the size and batch of `work` where they are not 0; shares its strings. */
struct config gan_config_with(const struct config *config, const struct memory_work *work);

#endif
