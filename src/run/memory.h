/* A run's memory: the way it starts in, and another one when memory fails or changes. */
#ifndef IMGTRAIN_RUN_MEMORY_H
#define IMGTRAIN_RUN_MEMORY_H

#include "memory/ladder.h"

#include <stdint.h>

struct config;
struct device;
struct session;
struct task;
struct task_setup;
struct task_state;

struct ladder_settings memory_settings(const struct config *config);

/* The ladder of an open state: a row for each way. Empty for a task that has no choices. */
int memory_rows(struct ladder *ladder, const struct task *task, const struct task_state *state);

/* What setup->choose needs: `ladder` with its settings and least_level is filled during open(). */
struct memory_choice {
    const struct task *task;
    struct device *device;
    struct ladder *ladder;
    int64_t held; /* bytes of the run's own that are free by then */
    int failed;   /* row whose commit failed just before; -1: none */
    int chosen;   /* set: the row; -1 without rows */
};
void memory_choose_with(struct task_setup *setup, struct memory_choice *choice);

#endif
