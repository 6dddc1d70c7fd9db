/* Entering and leaving the state of a run. */
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "memory/memory_retry.h"
#include "memory/plan.h"
#include "run/frames.h"
#include "run/govern.h"
#include "run/model_versions.h"
#include "run/process_log.h"
#include "run/progress.h"
#include "run/run_memory.h"
#include "run/run_schedule.h"
#include "run/session.h"
#include "run/signals.h"
#include "store/checkpoint.h"
#include "store/store_bounds.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

double session_seconds(const struct session *session)
{
    double here = session->started > 0 ? clock_seconds() - session->started : 0;
    return session->seconds_before + here;
}

struct record session_record(const struct session *session)
{
    return (struct record){.step = session->step,
                           .report = &session->report,
                           .seconds = session_seconds(session),
                           .steps_per_second = session->rate,
                           .bytes = (int64_t)session->device->used_bytes,
                           .mode = session->mode >= 0 ? &session->ladder.modes[session->mode].mode
                                                      : NULL};
}

static int begin_with_less(struct session *session)
{
    char text[160];
    TRY(memory_find_mode(session));
    log_warning("memory.grow: no way to run all the work fits: beginning with %s (%s)",
                ladder_describe(text, sizeof text, &session->ladder.modes[session->mode].mode),
                format_bytes((int64_t)session->ladder.modes[session->mode].need.device_bytes).text);
    return OK;
}

struct open_attempt {
    struct session *session;
    struct memory_choosing choice;
    struct task_setup setup;
};

static void enter_say(const char *line)
{
    log_info("%s", line);
}

static int enter_attempt_open(void *context)
{
    struct open_attempt *a = context;
    struct session *session = a->session;
    int code = session->task->open(&session->state, &a->setup);
    session->mode = a->choice.mode;
    if (code == OK) memory_remark(session->task, session->state, &session->ladder, enter_say);
    if (code == OK && a->choice.less_work) return begin_with_less(session);
    if (code == OK) memory_warn_of_budget(session);
    return code;
}

/* The mode that could not be had is out. */
static int enter_relieve_open(void *context)
{
    struct open_attempt *a = context;
    struct session *session = a->session;
    struct memory_choosing *choice = &a->choice;
    if (!choice->less_work && (choice->mode < 0 || choice->mode == choice->failed))
        return ERR_DEVICE_MEMORY;
    log_warning("%s: trying a way that takes less", error_message());
    if (choice->less_work && session->task->plan(session->state))
        choice->too_much = (int64_t)plan_device_bytes(session->task->plan(session->state));
    session->task->close(session->state);
    session->state = NULL;
    choice->failed = choice->mode;
    return OK;
}

/* Opens the task in the fastest mode that fits, and in ever smaller ones while the memory that was
 * free a moment ago is gone. */
static int session_open_task(struct session *session, const struct store_file *file)
{
    struct open_attempt attempt = {
        .session = session,
        .choice = {.config = session->config,
                   .task = session->task,
                   .device = session->device,
                   .ladder = &session->ladder,
                   .failed = session->failed_mode,
                   .mode = -1},
        .setup = {.config = session->config,
                  .device = session->device,
                  .run_dir = session->folder.path,
                  .spill_dir = session->spill_dir,
                  .input = &session->input,
                  .resume = file,
                  .allow_changed_input = session->request->allow_changed_input,
                  .input_renamed = session->input_renamed,
                  .input_changed = &session->input_changed,
                  .stop_requested = signals_stop_requested},
    };
    session->device->offload_dir = session->folder.path;
    session->failed_mode = -1;
    session->ladder.settings = memory_settings(session->config);
    memory_choose_with(&attempt.setup, &attempt.choice);
    return memory_retry(enter_attempt_open, &attempt, enter_relieve_open, &attempt);
}

/* Every version has written CRCs: a checkpoint without them is not as a run left it. */
static int expect_crcs(const struct store_file *file)
{
    if (store_has_crcs(file)) return OK;
    return fail(ERR_DATA,
                "%s: a checkpoint without CRCs, as this program writes none: take it away to go on "
                "from the one before",
                store_path(file));
}

/* Opens the task from the newest sound checkpoint; from the start when there is none. */
static int enter_open_state(struct session *session)
{
    struct store_file *file = NULL;
    int64_t step = 0;
    int code = checkpoint_resume(session->folder.path, &file, &step);
    if (code == ERR_INPUT) code = session_check_beginning(session); /* none yet */
    if (code < 0) return code;
    if (file) code = expect_crcs(file);
    if (code == OK) code = identity_settle(session->run_id, session->folder.path, file);
    const struct store_range seconds = {0, 1e12};
    bool task_finished = false, pending = false;
    if (file) {
        if (code == OK) code = checkpoint_expect(file, session->task->name, "checkpoint");
        if (code == OK) code = session_check_checkpoint(session, file);
        if (code == OK)
            code = store_get_double_in(file, "seconds", seconds, &session->seconds_before);
        if (code == OK) code = store_get_bool(file, "task_finished", &task_finished);
        if (code == OK && session->task->complete && store_get(file, "pending"))
            code = store_get_bool(file, "pending", &pending);
    }
    if (file && store_get(file, "memory.level")) { /* a run stays as small as it had to become */
        int *least = &session->ladder.least_level;
        if (code == OK)
            code = store_get_int32_in(file, "memory.level", 0, MEMORY_LEVELS - 1, least);
    }
    if (code == OK) code = session_open_task(session, file);
    session->saved_step = file ? step : -1;
    session->step = file ? step : 0;
    session->work_step = file && store_get(file, "memory.changed") ? step : -1;
    store_close(file);
    if (code < 0) return code;
    session->total = session->task->steps(session->state);
    session->report.finished = task_finished;
    session->report.pending = pending;
    session->finished = task_finished || session->step >= session->total;
    return OK;
}

int session_write_reference(const struct session *session)
{
    char *path = path_join(session->folder.path, "reference.png");
    if (!path) return ERR_SYSTEM;
    int code = OK;
    if (!session_output_is_whole(image_check_png, path)) {
        struct image image = {0};
        code =
            session->task->reference(session->state, (int)session->config->frames.max_size, &image);
        if (code == OK && image_save(&image, path) < 0)
            log_warning("%s; the video will do without", error_message());
        if (code == ERR_USAGE) code = OK; /* this task has none */
        image_free(&image);
    }
    free(path);
    return code;
}

/* Saves at once which input the checkpoint is of now, and makes the image that shows the old input
 * again: whenever the process dies, both agree or the image is missing. */
static int renew_input(struct session *session)
{
    char *path = path_join(session->folder.path, "reference.png");
    if (!path) return ERR_SYSTEM;
    int code = unlink(path) != 0 && errno != ENOENT ? fail_errno(ERR_IO, "remove %s", path) : OK;
    free(path);
    if (code == OK) code = session_save(session);
    session->input_changed = false;
    return code;
}

/* Once a process; again where it goes back to the last checkpoint. */
static int enter_begin_events(struct session *session)
{
    bool trains = session->process_lines.fd >= 0;
    if (!session->config->tensorboard || !trains) return OK;
    if (session->events.fd < 0) TRY(event_file_open(&session->events, session->folder.path));
    event_file_restart(&session->events, session->step - session->report.pending);
    return OK;
}

static void enter_add_event(void *context, const struct frame_bytes *frame)
{
    struct session *session = context;
    event_file_add_frame(&session->events, frame->step, frame->jpeg, frame->bytes, frame->width,
                         frame->height);
}

int session_enter(struct session *session)
{
    session->report = (struct task_report){.loss = (double)NAN};
    session->rate = (double)NAN;
    session->seconds_before = 0;
    session->started = 0;
    signals_set_unsaved(false);
    checkpoint_clean(session->folder.path);
    TRY(enter_open_state(session));
    if (session->folder.resumed) TRY(session_write_config(session));
    if (session->input_changed) TRY(renew_input(session));
    int64_t reported = session->step - session->report.pending; /* steps that all is written of */
    TRY(metrics_open(&session->metrics, session->folder.path, reported));
    TRY(memory_log_open(session));
    memory_log_change(session, session->saved_step >= 0 ? "resumed" : "start");
    if (!session->finished || session->saved_step != session->step) TRY(process_log_begin(session));
    session->entered = true;
    TRY(enter_begin_events(session));
    govern_begin(session);
    TRY(frames_drop_after(session->folder.frames, reported));
    TRY(session_write_reference(session));
    session->frames_every = schedule_frames_every(session->config, session->total);
    TRY(frames_open(&session->frames, session->folder.frames, (int)session->config->frames.queue,
                    (int)session->config->frames.quality));
    frames_also(session->frames, enter_add_event, session);
    struct progress_options options = {
        .total = session->total,
        .quiet = session->request->quiet,
        .json = session->request->json,
        .every_step = session->request->every_step,
    };
    session->progress = progress_open(&options);
    model_versions_begin(session);
    return OK;
}

void session_leave(struct session *session)
{
    progress_close(session->progress);
    session->progress = NULL;
    frames_close(session->frames);
    session->frames = NULL;
    metrics_close(&session->metrics);
    memory_log_close(session);
    session->task->close(session->state);
    session->state = NULL;
}
