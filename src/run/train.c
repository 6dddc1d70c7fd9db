#include "run/train.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "memory/memory_retry.h"
#include "memory/plan.h"
#include "report/report.h"
#include "run/forecast.h"
#include "run/frames.h"
#include "run/govern.h"
#include "run/metrics_page.h"
#include "run/model_versions.h"
#include "run/process_log.h"
#include "run/progress.h"
#include "run/run_memory.h"
#include "run/run_schedule.h"
#include "run/session.h"
#include "run/signals.h"
#include "run/train_request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Speed is measured over at least this long, so that it does not flicker. */
static const double RATE_SECONDS = 0.5;

enum { REASON_BYTES = 1024 };

static void update_rate(struct session *session)
{
    double now = clock_seconds();
    if (now - session->rate_time < RATE_SECONDS && !session->finished && !isnan(session->rate))
        return;
    session->rate = (double)(session->step - session->rate_step) / (now - session->rate_time);
    if (now - session->rate_time < RATE_SECONDS) return;
    session->rate_time = now;
    session->rate_step = session->step;
}

struct step_attempt {
    struct session *session;
    bool evaluate;
};

/* A device that works ahead says too late what failed: its state may hold half a step, and the mode
 * is noted for whoever goes back to the last checkpoint. */
static int train_attempt_step(void *context)
{
    const struct step_attempt *a = context;
    struct session *session = a->session;
    session->report.finished = session->report.pending = false;
    TRY(device_begin_step(session->device, session->step));
    int code = session->task->step(session->state, session->step, a->evaluate, &session->report);
    if (code == ERR_DEVICE_MEMORY && !session->device->is_host && session->mode >= 0)
        session->failed_mode = session->mode;
    double *loss = &session->report.loss;
    if (code == OK) *loss = device_loss_of_step(session->device, session->step, *loss);
    return code;
}

static int train_relieve_step(void *context)
{
    struct step_attempt *a = context;
    return a->session->failed_mode >= 0 ? ERR_DEVICE_MEMORY : memory_relieve(a->session);
}

/* Makes the next step, again from the same state in a smaller mode as long as memory fails. */
static int train_run_step(struct session *session, bool evaluate)
{
    struct step_attempt attempt = {session, evaluate};
    return memory_retry(train_attempt_step, &attempt, train_relieve_step, &attempt);
}

struct image_attempt {
    struct session *session;
    struct image *image;
};

static int train_attempt_image(void *context)
{
    struct image_attempt *a = context;
    const struct session *session = a->session;
    return session->task->image(session->state, (int)session->config->frames.max_size, a->image);
}

/* A stop waits for it: it takes a part of a step's time, and a frame that was left out would not be
 * made again. */
static int train_make_image(struct session *session, struct image *image)
{
    session->device->stop_requested = NULL;
    struct image_attempt attempt = {session, image};
    int code = memory_attempt(session, train_attempt_image, &attempt);
    session->device->stop_requested = signals_stop_requested;
    return code;
}

/* What is written below the parts of an image, as a field of its JSON; "" for nothing. */
static void train_name_panes(const struct session *session, char *out, size_t room)
{
    const struct task *task = session->task;
    const char *names[TASK_MAX_COLUMNS] = {task->labels[0], task->labels[1]};
    int count = names[0] ? 2 : 0, used;
    bool columns = task->columns != NULL;
    if (columns) count = task->columns(session->state, names);
    *out = '\0';
    if (!count) return;
    /* an image with columns stands alone, whatever a reference is there from before */
    used =
        snprintf(out, room, ", %s\": [", columns ? "\"reference\": false, \"columns" : "\"labels");
    for (int i = 0; i < count; i++)
        used += snprintf(out + used, room - (size_t)used, "%s\"%.7s\"", i ? ", " : "", names[i]);
    snprintf(out + used, room - (size_t)used, "]");
}

/* A frame of the present state. An image that cannot be made is an error; one that cannot be
 * written is not (frames.c). */
static int train_add_frame(struct session *session)
{
    struct image image = {0};
    TRY(train_make_image(session, &image));
    char caption[2 * sizeof session->report.caption], labels[32 + 12 * TASK_MAX_COLUMNS];
    char json[RECORD_BYTES], extra[sizeof caption + sizeof labels + 16];
    train_name_panes(session, labels, sizeof labels);
    record_json_string(caption, sizeof caption, session->report.caption);
    snprintf(extra, sizeof extra, "%s, \"caption\": %s", labels, caption);
    struct record record = session_record(session);
    record_json(json, sizeof json, &record, extra);
    return frames_add(session->frames, session->step, &image, json);
}

static bool frame_is_due(const struct session *session, int64_t step)
{
    return frames_due(step, session->total, session->frames_every, session->config->frames.count);
}

static bool line_is_due(const struct session *session, int64_t step)
{
    return step % session->config->eval_steps == 0 || step == session->total;
}

static void train_add_line(struct session *session, const struct record *record)
{
    metrics_add(&session->metrics, record);
    event_file_add_scalars(&session->events, record);
    metrics_page_write(session);
}

/* Reports the last step: its line of metrics, its frame. */
static int report_step(struct session *session)
{
    bool frame = frame_is_due(session, session->step);
    bool evaluate = line_is_due(session, session->step);
    bool sound = isfinite(session->report.loss);
    struct record record = session_record(session);
    if (evaluate || session->finished || !sound) train_add_line(session, &record);
    if (!sound)
        return fail(ERR_DIVERGED, "step %lld: the loss is not finite", (long long)session->step);
    if (frame || session->finished) {
        bool wanted = session->config->frames.count > 0 || session->frames_every > 0;
        if (wanted) TRY(train_add_frame(session));
    }
    int64_t free_bytes =
        session->device->free_bytes ? session->device->free_bytes(session->device) : -1;
    progress_update(session->progress, &record, evaluate, free_bytes);
    return OK;
}

/* A task may find out on the way how many steps it takes. */
static void session_renew_total(struct session *session)
{
    int64_t total = session->task->steps(session->state);
    if (total == session->total) return;
    session->total = total;
    progress_set_total(session->progress, total);
}

/* Makes a step, then its line and frame; nothing is written while its measurement is pending. */
static int train_train_step(struct session *session)
{
    int64_t next = session->step + 1;
    TRY(train_run_step(session, line_is_due(session, next) || frame_is_due(session, next)));
    session->step = next;
    signals_set_unsaved(true);
    session_renew_total(session);
    session->finished = session->report.finished || next >= session->total;
    update_rate(session);
    if (session->report.pending && isfinite(session->report.loss)) return OK;
    return report_step(session);
}

static int train_attempt_completion(void *context)
{
    struct session *session = context;
    return session->task->complete(session->state, &session->report);
}

/* Makes the measurement that the checkpoint says is pending, and saves at once: it is not to be
 * made a second time. */
static int complete_step(struct session *session)
{
    TRY(memory_attempt(session, train_attempt_completion, session));
    if (session->report.pending) return OK;
    session_renew_total(session);
    session->finished = session->report.finished || session->step >= session->total;
    TRY(report_step(session));
    return session_save(session);
}

static bool save_is_due(const struct session *session)
{
    int64_t every = schedule_checkpoint_every(session->config, session->total);
    int64_t keep_every = session->config->checkpoint.keep_every;
    if (keep_every > 0 && session->step % keep_every == 0) return true;
    if (every > 0) return session->step % every == 0;
    double interval = session->config->checkpoint.interval;
    return interval > 0 && clock_seconds() - session->last_save >= interval;
}

static int train_stop(struct session *session)
{
    if (session->saved_step != session->step) TRY(session_save(session));
    return fail(ERR_STOPPED,
                "stopped (%s) at step %lld of %lld, state saved: run again with "
                "--resume",
                signals_stop_reason(), (long long)session->step, (long long)session->total);
}

static int train_loop(struct session *session)
{
    session->started = session->last_save = session->rate_time = clock_seconds();
    session->rate_step = session->step;
    if (session->report.pending) TRY(complete_step(session));
    if (session->report.pending) return train_stop(session);
    while (!session->finished) {
        if (signals_stop_requested()) return train_stop(session);
        TRY(govern(session));
        int code = train_train_step(session);
        if (code == ERR_STOPPED)
            return train_stop(session); /* within a step: nothing of it counts */
        TRY(code);
        if (session->report.pending) return train_stop(session);
        bool asked = signals_take_save();
        if (session->finished || asked || save_is_due(session)) TRY(session_save(session));
        model_versions_step(session);
        if (asked) log_info("state of step %lld saved on request", (long long)session->step);
    }
    if (session->saved_step != session->step) TRY(session_save(session));
    session->seconds_before = session_seconds(session);
    session->started = 0;
    return OK;
}

/* Trains from the newest checkpoint to the end. */
static int train_from_checkpoint(struct session *session)
{
    int code = session_enter(session);
    if (code == OK) {
        if (session->report.pending)
            log_info("%s: step %lld of %lld is measured first, which a stop had cut short",
                     session->folder.path, (long long)session->step, (long long)session->total);
        else if (session->finished && session->saved_step == session->step)
            log_info("%s is finished (%lld steps)", session->folder.path, (long long)session->step);
        else if (session->step > 0)
            log_info("%s: continuing at step %lld of %lld", session->folder.path,
                     (long long)session->step, (long long)session->total);
        else
            log_info("%s: %lld steps on %s", session->folder.path, (long long)session->total,
                     session->device->name);
        code = train_loop(session);
    }
    if (code == OK) code = session_finish(session);
    session_leave(session);
    return code;
}

static int train_attempt_all(void *context)
{
    return train_from_checkpoint(context);
}

static int train_go_back(void *context)
{
    const struct session *session = context;
    if (session->failed_mode < 0) return ERR_DEVICE_MEMORY;
    log_warning("%s: going back to the last checkpoint", error_message());
    return OK;
}

/* Memory that failed within a step of a device that works ahead: from the last checkpoint, in a
 * mode that takes less. */
static int train_in_memory(struct session *session)
{
    return memory_retry(train_attempt_all, session, train_go_back, session);
}

/* A loss that is not finite: once more from the last good state (a bit flipped by accident does not
 * come back), then the end. */
static int train_with_rollback(struct session *session)
{
    int code = train_in_memory(session);
    if (code != ERR_DIVERGED) return code;
    log_warning("%s: going back to the last good state", error_message());
    code = train_in_memory(session);
    if (code != ERR_DIVERGED) return code;
    return fail(ERR_DIVERGED,
                "%s again: training diverged; the last good state is in %s (lower "
                "learning rates may help, in a new run)",
                error_message(), session->folder.checkpoints);
}

/* Opens the task for its plan alone, and refuses what cannot fit. */
static int train_forecast(struct session *session, const char *run_dir)
{
    struct task_setup setup = {
        .config = session->config,
        .device = session->device,
        .planned_dir = run_dir,
        .spill_dir = session->spill_dir,
        .input = &session->input,
        .forecast_only = true,
        .stop_requested = signals_stop_requested,
    };
    struct memory_choosing choice = {.config = session->config,
                                     .task = session->task,
                                     .device = session->device,
                                     .ladder = &session->ladder,
                                     .failed = -1,
                                     .mode = -1};
    struct task_state *state = NULL;
    session->ladder.settings = memory_settings(session->config);
    memory_choose_with(&setup, &choice);
    int code = session->task->open(&state, &setup);
    if (code == OK) {
        struct forecast forecast;
        forecast_make(&forecast, session->config, session->task, state, session->device, run_dir);
        if (session->request->dry_run) {
            forecast_print(&forecast, session->task, state, session->device, stdout);
            printf("%-14s %s\n", "run folder", run_dir);
        }
        code = forecast_check(&forecast);
        if (code == OK)
            code = memory_check_schedule(session->config, session->task, state, session->device);
    }
    session->task->close(state);
    return code;
}

static struct folder_request folder_request(const struct train_request *request)
{
    return (struct folder_request){
        .path = request->run_dir,
        .log_root = request->config->log_root,
        .exp_name = request->config->exp_name,
        .name = request->name,
        .resume = request->resume,
    };
}

/* A folder that exists is entered (or refused) at once; a new one is made only when everything else
 * is known to be well, so that a mistake leaves no empty run behind. `look`: nothing is made at
 * all. */
static int train_prepare(struct session *session, bool look)
{
    struct folder_request wanted = folder_request(session->request);
    char *planned;
    TRY(folder_plan(&wanted, &planned));
    bool exists = file_exists(planned) && !folder_is_empty(planned);
    bool dry = session->request->dry_run || look;
    session->spill_dir = file_existing_parent(planned);
    int code = session->spill_dir ? OK : ERR_SYSTEM;
    if (code == OK && exists && look) code = folder_check(&wanted, planned);
    if (code == OK && exists && !dry) code = folder_open(&session->folder, &wanted);
    if (code == OK && exists && (look || !dry)) code = session_check_config(session, planned);
    if (code == OK) code = model_versions_check(session);
    if (code == OK) code = train_forecast(session, planned);
    if (code == OK && !exists && !dry) {
        if (session->request->resume) log_info("nothing to resume: beginning a new run");
        code = folder_open(&session->folder, &wanted);
        if (code == OK) code = session_write_config(session);
    }
    free(planned);
    return code;
}

/* However the run has ended. A report that cannot be written fails nothing. */
static void train_leave_report(struct session *session, int code)
{
    bool trained = session->process_lines.fd >= 0;
    const char *path = session->folder.path;
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", error_message());
    process_log_end(session, code);
    if (trained) metrics_page_end(session, code);
    event_file_close(&session->events);
    bool wanted = session->config->report && (trained || !file_exists_in(path, "report.html"));
    if (wanted && report_write(&path, 1, NULL) < 0)
        log_warning("report: %s; `imgtrain report %s` tries again", error_message(), path);
    if (code < 0) fail(code, "%s", reason);
}

static int run_or_look(const struct train_request *request, bool look)
{
    struct session session = {
        .request = request,
        .config = request->config,
        .task = request->task,
        .device = request->device,
        .folder = {.lock_fd = -1, .log_fd = -1},
        .metrics = {.jsonl = {.fd = -1}, .csv = {.fd = -1}},
        .saved_step = -1,
        .mode = -1,
        .failed_mode = -1,
        .work_step = -1,
        .memory_lines = {.fd = -1},
        .process_lines = {.fd = -1},
        .events = {.fd = -1},
    };
    int code = config_print_text(request->config, &session.config_text);
    session.device->limit_bytes = (size_t)request->config->memory.limit;
    session.device->stop_requested = signals_stop_requested;
    if (code == OK) code = train_prepare(&session, look);
    if (code == OK && !request->dry_run && !look) code = train_with_rollback(&session);
    if (code < 0 && session.folder.path) /* main tells the user; this is for log.txt */
        log_debug("exit status %d: %s", error_exit_status(code), error_message());
    if (session.entered) train_leave_report(&session, code);
    model_versions_end(&session);
    signals_set_unsaved(false); /* what could be saved is, or the error says why not */
    if (request->task->free_input) request->task->free_input(session.input);
    if (request->folder && session.folder.path)
        *request->folder = string_format("%s", session.folder.path);
    folder_close(&session.folder);
    free(session.spill_dir);
    free(session.config_text);
    return code;
}

int train_run(const struct train_request *request)
{
    model_versions_remark(request->config);
    return run_or_look(request, false);
}

int train_look(const struct train_request *request)
{
    return run_or_look(request, true);
}
