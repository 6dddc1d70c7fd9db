/* The needs of a run, said before the first step: device memory by the plan of the task, and disk.
 */
#ifndef IMGTRAIN_RUN_FORECAST_H
#define IMGTRAIN_RUN_FORECAST_H

#include <stdint.h>
#include <stdio.h>

struct config;
struct device;
struct task;
struct task_state;

struct forecast {
    int64_t steps;
    int64_t device_bytes;             /* exact: the plan's */
    int64_t free_bytes;               /* of the device; -1 = unknown */
    int64_t limit_bytes;              /* memory.limit; 0 = none */
    int64_t frame_count, frame_bytes; /* all frames; an estimate */
    int64_t checkpoint_bytes;         /* one checkpoint; an estimate */
    int64_t checkpoint_count;
    int64_t version_bytes, version_count; /* models on their way to Git; an estimate */
    int64_t video_bytes;                  /* an estimate */
    int64_t disk_free_bytes;              /* where the run folder is; -1 = unknown */
};

/* From a state opened with forecast_only (or fully). run_dir need not exist. */
void forecast_make(struct forecast *forecast, const struct config *config, const struct task *task,
                   const struct task_state *state, const struct device *device,
                   const char *run_dir);

/* ERR_DEVICE_MEMORY when the plan does not fit the device, ERR_IO when the checkpoints do not fit
 * the disk; a warning when only the frames and the video do not. */
int forecast_check(const struct forecast *forecast);

void forecast_print(const struct forecast *forecast, const struct task *task,
                    const struct task_state *state, const struct device *device, FILE *out);

#endif
