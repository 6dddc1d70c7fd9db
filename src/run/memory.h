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

/* memory.jsonl of the run folder: a line for each change. Lines past the session's step are
 * dropped.
 */
int memory_log_open(struct session *session);
void memory_log_close(struct session *session);

/* Writes a line of memory.jsonl, and to the log what the run now does. Beforehand session->row is
 * the present way. */
void memory_log_change(struct session *session, const char *reason);

/* A line when the way that was opened takes more than was to be used. */
void memory_warn_of_budget(const struct session *session);

/* Another way to run, by its row; the reason is for the log. On ERR_DEVICE_MEMORY the state is kept
 * on the host: to be saved, or moved to another row. */
int memory_move(struct session *session, int row, const char *reason);

/* After ERR_DEVICE_MEMORY, whose message is set: moves to the next way down for which there is
 * memory now. What failed may then be done again. After the last one the state is saved and
 * ERR_DEVICE_MEMORY returned. */
int memory_relieve(struct session *session);

#endif
