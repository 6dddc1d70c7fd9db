/* The memory modes of a fit, which the ladder chooses from. */
#ifndef IMGTRAIN_SPLAT_SPLAT_MEMORY_MODES_H
#define IMGTRAIN_SPLAT_SPLAT_MEMORY_MODES_H

#include "splat/fit.h"

struct memory_mode splat_first_mode(const struct config *config);

/* See task.h: modes, need, replan. */
int splat_memory_modes(const struct splat_fit *fit, struct memory_mode *list);
int splat_mode_need(const struct splat_fit *fit, const struct memory_mode *mode,
                    struct memory_need *need);
int splat_mode_change(struct splat_fit *fit, const struct memory_mode *mode);

/* See task.h: what memory.use_gradient_checkpointing comes to. */
void splat_restrictions(const struct splat_fit *fit, char *line);

#endif
