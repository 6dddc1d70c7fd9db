/* A run's memory: the mode that it starts in, and another one when memory fails or changes. */
#ifndef IMGTRAIN_RUN_RUN_MEMORY_H
#define IMGTRAIN_RUN_RUN_MEMORY_H

#include "memory/governor.h"
#include "memory/schedule.h"

#include <stdint.h>

struct config;
struct device;
struct session;
struct task;
struct task_setup;
struct task_state;

struct ladder_settings memory_settings(const struct config *config);

/* The ladder of an open state: all its modes. Empty for a task that has one mode only. */
int memory_list_modes(struct ladder *ladder, const struct task *task,
                      const struct task_state *state);

/* The governor of an open state: `of` is its context and must stay. */
struct memory_of {
    const struct task *task;
    const struct task_state *state;
};
struct governor memory_governor(const struct config *config, struct memory_of *of);

struct memory_schedule memory_schedule(const struct config *config);
/* ERR_DEVICE_MEMORY when a part of memory.schedule fits in no mode. */
int memory_check_schedule(const struct config *config, const struct task *task,
                          const struct task_state *state, const struct device *device);

/* The context of setup->choose: `ladder` with its settings and least_level is filled during open().
 */
struct memory_choosing {
    const struct config *config;
    const struct task *task;
    struct device *device;
    struct ladder *ladder;
    int failed;       /* mode whose commit failed just before; -1: none */
    int64_t too_much; /* least bytes that could not be had so far; 0: none */
    int mode;         /* set: the mode; -1 without modes, or with less work */
    bool less_work;   /* set: with memory.grow, as no mode fits; the ladder is to be made again */
};
void memory_choose_with(struct task_setup *setup, struct memory_choosing *choice);

/* The ladder for the work as it is now, and the run's mode in it. */
int memory_find_mode(struct session *session);

/* memory.jsonl of the run folder: a line for each change. Lines past the session's step are
 * dropped.
 */
int memory_log_open(struct session *session);
void memory_log_close(struct session *session);

/* Writes a line of memory.jsonl, and to the log how the run goes on. Set session->mode before. */
void memory_log_change(struct session *session, const char *reason);

/* Says what keys that allow some modes only come to, and that memory.level has no mode here: a line
 * each, where there is something to say. */
void memory_remark(const struct task *task, const struct task_state *state,
                   const struct ladder *ladder, void (*say)(const char *line));

/* Warns when the mode that was opened takes more than was to be used. */
void memory_warn_of_budget(const struct session *session);

/* Moves to another mode, by its index; the reason is for the log. On ERR_DEVICE_MEMORY the state is
 * kept on the host: to be saved, or moved to another mode. */
int memory_move(struct session *session, int mode, const char *reason);

/* Another amount of work, with which the ladder is another one too; saved at once, so that a
 * resumed run repeats it. */
int memory_change_work(struct session *session, const struct memory_mode *next, const char *reason);

/* After ERR_DEVICE_MEMORY, whose message is set: moves to the next mode down for which there is
 * memory now; after the last one, with memory.grow, to less work. The caller may then repeat what
 * failed. When nothing is left to try, the state is saved and ERR_DEVICE_MEMORY returned. */
int memory_relieve(struct session *session);

/* The error whose message is set ends the run: what it had come to is saved. */
int memory_give_up(struct session *session, int code);

/* Calls attempt(context), with memory_relieve after each time that it ends with ERR_DEVICE_MEMORY.
 */
int memory_attempt(struct session *session, int (*attempt)(void *context), void *context);

#endif
