#include "run/run_memory.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/memory_retry.h"
#include "memory/plan.h"
#include "memory/restriction.h"
#include "run/session.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REASON_BYTES = 512 };

struct ladder_settings memory_settings(const struct config *config)
{
    return (struct ladder_settings){
        .level = (int)config->memory.level - 1, /* the enum begins with auto */
        .budget = (int64_t)config->memory.budget,
        .target_usage = config->memory.target_vram_usage,
        .safety_margin = config->memory.safety_margin,
    };
}

int memory_list_modes(struct ladder *ladder, const struct task *task,
                      const struct task_state *state)
{
    struct memory_mode modes[TASK_MAX_MODES];
    struct memory_need need;
    int count = task->modes ? task->modes(state, modes) : 0;
    ladder->count = 0;
    for (int i = 0; i < count; i++) {
        modes[i].work = task->mode(state)->work;
        TRY(task->need(state, &modes[i], &need));
        ladder_add(ladder, &modes[i], &need);
    }
    return OK;
}

static int memory_need_of(void *context, const struct memory_mode *mode, struct memory_need *need)
{
    const struct memory_of *of = context;
    return of->task->need(of->state, mode, need);
}

struct governor memory_governor(const struct config *config, struct memory_of *of)
{
    struct governor governor = {
        .settings = {.every = config->memory.adjustment_frequency,
                     .grow = config->memory.grow && config->memory.schedule.count == 0,
                     .most_time = config->memory.grow_time,
                     .min_size = (int)config->memory.min_size,
                     .max_size = (int)config->memory.max_size,
                     .min_batch = (int)config->memory.min_batch_size,
                     .max_batch = (int)config->memory.max_batch_size},
        .need = memory_need_of,
        .context = of,
    };
    if (of->task->growth) of->task->growth(of->state, &governor.growth);
    return governor;
}

static int choose_less(struct memory_choosing *c, const struct task_state *state, int64_t budget,
                       struct memory_mode *mode)
{
    struct memory_of of = {c->task, state};
    const struct governor governor = memory_governor(c->config, &of);
    if (!governor.settings.grow) return OK;
    return governor_shrink(&governor, c->ladder, budget, mode, &c->less_work);
}

static int64_t bytes_of(const struct ladder *ladder, int mode)
{
    return (int64_t)ladder->modes[mode].need.device_bytes;
}

/* The fastest mode that fits; where none does less work, where that may be; else the least, whose
 * commit or forecast says what is missing. */
static int memory_choose(void *context, const struct task_state *state, struct memory_mode *mode)
{
    struct memory_choosing *c = context;
    struct ladder *ladder = c->ladder;
    int least;
    TRY(memory_list_modes(ladder, c->task, state));
    c->mode = -1;
    c->less_work = false;
    if (ladder->count == 0) return OK;
    int64_t budget = ladder_budget(&ladder->settings, c->device, 0);
    if (c->failed >= 0 && (c->too_much == 0 || bytes_of(ladder, c->failed) < c->too_much))
        c->too_much = bytes_of(ladder, c->failed);
    if (c->too_much > 0 && budget >= c->too_much) budget = c->too_much - 1;
    ladder_judge(ladder, budget);
    c->mode = ladder_pick(ladder, &least);
    if (c->failed >= 0) c->mode = ladder_down(ladder, c->failed);
    if (c->mode < 0) TRY(choose_less(c, state, budget, mode));
    if (c->less_work) return OK;
    if (c->mode < 0 && c->too_much > 0)
        return fail(ERR_DEVICE_MEMORY, "no way to run takes less than %s, which failed",
                    format_bytes(c->too_much).text);
    if (c->mode < 0) c->mode = least;
    if (c->mode < 0) c->mode = 0;
    *mode = ladder->modes[c->mode].mode;
    return OK;
}

void memory_choose_with(struct task_setup *setup, struct memory_choosing *choice)
{
    setup->choose = memory_choose;
    setup->choose_context = choice;
}

void memory_remark(const struct task *task, const struct task_state *state,
                   const struct ladder *ladder, void (*say)(const char *line))
{
    char line[RESTRICTION_LINE_BYTES] = "";
    bool has_level = ladder->settings.level < 0 || ladder->count == 0;
    if (task->restrictions) task->restrictions(state, line);
    if (*line) say(line);
    for (int i = 0; i < ladder->count; i++)
        has_level = has_level || ladder->modes[i].mode.level == ladder->settings.level;
    if (has_level) return;
    snprintf(line, sizeof line, "memory.level %d has no mode here: the nearest one is taken",
             ladder->settings.level);
    say(line);
}

void memory_warn_of_budget(const struct session *session)
{
    const struct ladder_mode *mode =
        session->mode >= 0 ? &session->ladder.modes[session->mode] : NULL;
    int64_t budget = session->ladder.settings.budget;
    if (!mode || mode->fits) return;
    log_warning("no way to run fits %s%s: going on with %s",
                budget > 0 ? "memory.budget " : "target_vram_usage of what is free",
                budget > 0 ? format_bytes(budget).text : "",
                format_bytes((int64_t)mode->need.device_bytes).text);
}

int memory_find_mode(struct session *session)
{
    TRY(memory_list_modes(&session->ladder, session->task, session->state));
    session->mode = -1;
    if (session->ladder.count == 0) return OK;
    const struct memory_mode *now = session->task->mode(session->state);
    session->mode = ladder_find(&session->ladder, now);
    if (session->mode >= 0) return OK;
    session->mode = ladder_find_near(&session->ladder, now);
    if (session->mode < 0) return fail(ERR_INTERNAL, "a memory mode that is not in the ladder");
    return session->task->replan(session->state, &session->ladder.modes[session->mode].mode);
}

struct memory_schedule memory_schedule(const struct config *config)
{
    return (struct memory_schedule){.values = config->memory.schedule.values,
                                    .count = config->memory.schedule.count};
}

int memory_check_schedule(const struct config *config, const struct task *task,
                          const struct task_state *state, const struct device *device)
{
    const struct memory_schedule schedule = memory_schedule(config);
    struct memory_of of = {task, state};
    const struct governor governor = memory_governor(config, &of);
    int64_t left = device->free_bytes ? device->free_bytes(device) : -1;
    int64_t room = device_limit_left(device);
    struct ladder ladder = {.settings = memory_settings(config)};
    struct memory_mode mode;
    struct memory_need need;
    bool found;
    if (schedule.count == 0 || !task->modes) return OK;
    if (left >= 0 && left < room) room = left;
    TRY(memory_list_modes(&ladder, task, state));
    for (int i = 0; i < schedule.count; i += 3) {
        struct memory_work work = task->mode(state)->work;
        memory_schedule_at(&schedule, schedule.values[i], &work);
        TRY(governor_pick_for(&governor, &ladder, room, &work, &mode, &found));
        if (found) continue;
        TRY(task->need(state, &mode, &need));
        return fail(ERR_DEVICE_MEMORY,
                    "memory.schedule: from step %" PRId64
                    " on the run needs %s of device memory, %s may be used",
                    schedule.values[i], format_bytes((int64_t)need.device_bytes).text,
                    format_bytes(room).text);
    }
    return OK;
}

/* ---- memory.jsonl ---- */

int memory_log_open(struct session *session)
{
    return line_file_open(&session->memory_lines, session->folder.path, "memory.jsonl",
                          session->step, false);
}

void memory_log_close(struct session *session)
{
    line_file_close(&session->memory_lines);
}

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static void write_line(FILE *out, const struct session *session, const char *reason)
{
    static const struct memory_mode none = {.level = 0};
    const struct device *device = session->device;
    const struct ladder_mode *mode =
        session->mode >= 0 ? &session->ladder.modes[session->mode] : NULL;
    const struct memory_mode *c = mode ? &mode->mode : &none;
    size_t predicted = plan_device_bytes(session->task->plan(session->state));
    fprintf(out,
            "{\"step\": %" PRId64 ", \"level\": %d, \"choices\": {\"amp\": %s, "
            "\"checkpointing\": %s, \"micro_batch\": %d, \"bands\": %d, \"offload\": %s, "
            "\"workspace_cap\": %zu, \"size\": %d, \"batch\": %d}, \"predicted\": %zu, "
            "\"allocated\": %zu, \"peak\": %zu, \"free\": %" PRId64 ", \"host\": %zu, \"reason\": ",
            session->step, c->level, yes_no(c->amp), yes_no(c->checkpointing), c->micro_batch,
            c->bands, yes_no(c->offload), c->workspace_cap, c->work.size, c->work.batch, predicted,
            device->used_bytes, device->peak_bytes,
            device->free_bytes ? device->free_bytes(device) : -1, device->host_bytes);
    json_write_string(out, reason);
    fputs("}\n", out);
}

void memory_log_change(struct session *session, const char *reason)
{
    struct printed_text line;
    FILE *out = session->memory_lines.fd >= 0 ? printed_text_open(&line) : NULL;
    if (!out) return;
    write_line(out, session, reason);
    if (printed_text_close(&line, out) < 0) return;
    line_file_add(&session->memory_lines, line.text, line.bytes);
    free(line.text);
}

/* ---- the ladder at work ---- */

int memory_move(struct session *session, int mode, const char *reason)
{
    char text[160];
    const struct ladder_mode *to = &session->ladder.modes[mode];
    int code = session->task->replan(session->state, &to->mode);
    if (code < 0) return code;
    session->mode = mode;
    log_warning("step %" PRId64 ": %s: going on with %s (%s)", session->step, reason,
                ladder_describe(text, sizeof text, &to->mode),
                format_bytes((int64_t)to->need.device_bytes).text);
    memory_log_change(session, reason);
    return OK;
}

enum { TIMES_BYTES = 64 };

/* Where the work says how long a step is: what that changes, into `times`, and the speed, which was
 * measured of other steps. */
static void memory_note_time(struct session *session, double before, char times[TIMES_BYTES])
{
    struct memory_growth growth = {.takes_time = false};
    double ratio = session->ladder.modes[session->mode].need.relative_time / before;
    if (session->task->growth) session->task->growth(session->state, &growth);
    if (!growth.takes_time || (ratio > 0.95 && ratio < 1.05)) return;
    session->rate /= ratio;
    session->rate_time = clock_seconds();
    session->rate_step = session->step;
    snprintf(times, TIMES_BYTES, "; a step takes about %.*f times as long", ratio < 10, ratio);
}

int memory_change_work(struct session *session, const struct memory_mode *next, const char *reason)
{
    char text[160], times[TIMES_BYTES] = "";
    double before = session->ladder.modes[session->mode].need.relative_time;
    TRY(session->task->replan(session->state, next));
    TRY(memory_find_mode(session));
    memory_note_time(session, before, times);
    session->total = session->task->steps(session->state);
    session->finished = session->step >= session->total;
    log_info("step %" PRId64 ": %s: %s from here on (%s)%s", session->step, reason,
             ladder_describe(text, sizeof text, &session->ladder.modes[session->mode].mode),
             format_bytes((int64_t)session->ladder.modes[session->mode].need.device_bytes).text,
             times);
    memory_log_change(session, reason);
    session->work_step = session->step;
    return session_save(session);
}

/* Less work, of those amounts that memory.grow allows, which takes `budget` bytes at most; where
 * there is none *done is false. */
static int memory_shrink(struct session *session, int64_t budget, const char *reason, bool *done)
{
    struct memory_of of = {session->task, session->state};
    const struct governor governor = memory_governor(session->config, &of);
    struct memory_mode less;
    *done = false;
    if (!governor.settings.grow) return OK;
    TRY(governor_shrink(&governor, &session->ladder, budget, &less, done));
    return *done ? memory_change_work(session, &less, reason) : OK;
}

/* The state stays what it was before the step that failed. */
int memory_give_up(struct session *session, int code)
{
    char reason[REASON_BYTES]; /* saving may leave another message */
    snprintf(reason, sizeof reason, "%s", error_message());
    if (session->saved_step != session->step) {
        int saved = session_save(session);
        if (saved < 0) return saved;
    }
    return fail(code,
                "%s; state of step %" PRId64 " saved: run again with --resume when there is "
                "more memory",
                reason, session->step);
}

int memory_relieve(struct session *session)
{
    struct ladder *ladder = &session->ladder;
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", error_message());
    int at = session->mode;
    while (at >= 0) {
        int64_t held = (int64_t)session->device->used_bytes, too_much = bytes_of(ladder, at);
        int64_t budget = ladder_budget(&ladder->settings, session->device, held);
        ladder_judge(ladder, budget);
        int next = ladder_down(ladder, at);
        bool done = next >= 0;
        int code = OK;
        if (next >= 0)
            code = memory_move(session, next, reason);
        else
            code = memory_shrink(session, budget < too_much ? budget : too_much - 1, reason, &done);
        if (!done) break;
        if (code == OK) return OK;
        if (code != ERR_DEVICE_MEMORY) return memory_give_up(session, code);
        snprintf(reason, sizeof reason, "%s", error_message());
        if (next < 0) break;
        at = next;
    }
    return memory_give_up(session, fail(ERR_DEVICE_MEMORY, "%s", reason));
}

static int memory_relieve_session(void *context)
{
    return memory_relieve(context);
}

int memory_attempt(struct session *session, int (*attempt)(void *context), void *context)
{
    return memory_retry(attempt, context, memory_relieve_session, session);
}
