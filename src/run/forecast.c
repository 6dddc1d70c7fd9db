#include "run/forecast.h"

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/ladder.h"
#include "memory/plan.h"
#include "run/frames.h"
#include "run/run_schedule.h"
#include "task/task.h"

#include <stdlib.h>
#include <string.h>

/* Bytes a pixel of JPEG at quality 95 and of video at CRF 20, on the safe side for photographs. */
static const double JPEG_BYTES = 0.6, VIDEO_BYTES = 0.12;

enum { METADATA_BYTES = 65536, MODEL_COPIES = 1 };

/* Free space where `path` will be: of its nearest parent that exists. */
static int64_t disk_free_at(const char *path)
{
    char *parent = file_existing_parent(path);
    int64_t bytes = parent ? file_disk_free(parent) : -1;
    free(parent);
    return bytes;
}

static double frame_pixels(const struct task *task, const struct task_state *state, int max_size)
{
    int width = 0, height = 0;
    if (task->image_size && task->image_size(state, max_size, &width, &height) == OK)
        return (double)width * height;
    return max_size > 0 ? (double)max_size * max_size : 0;
}

void forecast_make(struct forecast *forecast, const struct config *config, const struct task *task,
                   const struct task_state *state, const struct device *device, const char *run_dir)
{
    const struct plan *plan = task->plan(state);
    *forecast = (struct forecast){.free_bytes = -1};
    forecast->steps = task->steps(state);
    forecast->device_bytes = (int64_t)plan_device_bytes(plan);
    if (device->free_bytes) forecast->free_bytes = device->free_bytes(device);
    forecast->limit_bytes = (int64_t)device->limit_bytes;
    int64_t every = schedule_frames_every(config, forecast->steps);
    forecast->frame_count = frames_expected(forecast->steps, every, config->frames.count);
    double pixels = frame_pixels(task, state, (int)config->frames.max_size);
    double copies = config->tensorboard ? 2 : 1; /* event files have them, too */
    forecast->frame_bytes = (int64_t)((double)forecast->frame_count * pixels * JPEG_BYTES * copies);
    if (schedule_wants_video(config))
        forecast->video_bytes = (int64_t)((double)forecast->frame_count * pixels * VIDEO_BYTES);
    forecast->checkpoint_count = config->checkpoint.keep;
    if (config->checkpoint.keep_every > 0)
        forecast->checkpoint_count += forecast->steps / config->checkpoint.keep_every;
    forecast->checkpoint_bytes =
        (int64_t)(plan_kind_bytes(plan, PLAN_PARAMETERS) + plan_kind_bytes(plan, PLAN_OPTIMISER) +
                  plan_kind_bytes(plan, PLAN_EMA) + plan_kind_bytes(plan, PLAN_OFFLOAD)) +
        METADATA_BYTES;
    forecast->version_bytes = (int64_t)plan_kind_bytes(plan, PLAN_PARAMETERS) + METADATA_BYTES;
    if (config->git.mode != CONFIG_GIT_MODE_NONE) /* the file, what waits, what was pushed */
        forecast->version_count = config->git.keep + 2;
    forecast->disk_free_bytes = disk_free_at(run_dir);
}

int forecast_check(const struct forecast *f)
{
    if (f->limit_bytes > 0 && f->device_bytes > f->limit_bytes)
        return fail(ERR_DEVICE_MEMORY, "the run needs %s of device memory, memory.limit is %s",
                    format_bytes(f->device_bytes).text, format_bytes(f->limit_bytes).text);
    if (f->free_bytes >= 0 && f->device_bytes > f->free_bytes)
        return fail(ERR_DEVICE_MEMORY, "the run needs %s of device memory, %s are free",
                    format_bytes(f->device_bytes).text, format_bytes(f->free_bytes).text);
    if (f->disk_free_bytes < 0) return OK;
    /* One checkpoint more than is kept: the new one is whole before an old one goes. */
    int64_t state = f->checkpoint_bytes * (f->checkpoint_count + 1 + MODEL_COPIES) +
                    f->version_bytes * f->version_count;
    if (state > f->disk_free_bytes)
        return fail(ERR_IO, "checkpoints and model need %s of disk, %s are free",
                    format_bytes(state).text, format_bytes(f->disk_free_bytes).text);
    if (state + f->frame_bytes + f->video_bytes > f->disk_free_bytes)
        log_warning("frames and video may take %s, but only %s of disk are free: frames stop when "
                    "it gets full",
                    format_bytes(f->frame_bytes + f->video_bytes).text,
                    format_bytes(f->disk_free_bytes).text);
    return OK;
}

static void forecast_print_row(FILE *out, const char *name, int64_t bytes, const char *note)
{
    fprintf(out, "%-14s %10s  %s\n", name, format_bytes(bytes).text, note);
}

void forecast_print(const struct forecast *f, const struct task *task,
                    const struct task_state *state, const struct device *device, FILE *out)
{
    char note[160];
    fprintf(out, "%-14s %s, %lld steps\n", "task", task->name, (long long)f->steps);
    fprintf(out, "%-14s %s\n", "device", device->name);
    if (task->mode)
        fprintf(out, "%-14s %s\n", "runs with",
                ladder_describe(note, sizeof note, task->mode(state)));
    fprintf(out, "\n");
    plan_print(task->plan(state), out, false);
    if (f->limit_bytes > 0) forecast_print_row(out, "limit", f->limit_bytes, "memory.limit");
    forecast_print_row(out, "free", f->free_bytes, "device memory");
    fprintf(out, "\n");
    snprintf(note, sizeof note, "about, %lld frames at most", (long long)f->frame_count);
    forecast_print_row(out, "frames", f->frame_bytes, note);
    snprintf(note, sizeof note, "about, %lld of %s", (long long)f->checkpoint_count,
             format_bytes(f->checkpoint_bytes).text);
    forecast_print_row(out, "checkpoints", f->checkpoint_bytes * f->checkpoint_count, note);
    snprintf(note, sizeof note, "about, %lld of %s at most, for Git", (long long)f->version_count,
             format_bytes(f->version_bytes).text);
    if (f->version_count > 0)
        forecast_print_row(out, "versions", f->version_bytes * f->version_count, note);
    forecast_print_row(out, "video", f->video_bytes, "about");
    forecast_print_row(out, "free", f->disk_free_bytes, "disk");
}
