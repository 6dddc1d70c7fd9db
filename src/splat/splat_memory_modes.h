/* The ways a fit can run in less memory: what the ladder chooses from. */
#ifndef IMGTRAIN_SPLAT_SPLAT_MEMORY_MODES_H
#define IMGTRAIN_SPLAT_SPLAT_MEMORY_MODES_H

#include "splat/fit.h"

struct memory_choices splat_first_way(const struct config *config);

/* See task.h: choices, need, replan. */
int splat_ways(const struct splat_fit *fit, struct memory_choices *list);
int splat_way_need(const struct splat_fit *fit, const struct memory_choices *way,
                   struct memory_need *need);
int splat_way_change(struct splat_fit *fit, const struct memory_choices *way);

#endif
