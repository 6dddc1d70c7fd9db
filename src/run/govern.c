#include "run/govern.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/governor.h"
#include "run/run_memory.h"
#include "run/session.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>

enum { REASON_BYTES = 160 };

static bool same_work(const struct memory_work *a, const struct memory_work *b)
{
    return a->size == b->size && a->batch == b->batch && a->count == b->count;
}

/* Whether the device really has as much more as `next` takes: the run gives back its memory for the
 * move. */
static bool is_there(struct session *session, const struct memory_mode *next)
{
    struct memory_need more;
    void *memory = NULL;
    size_t held = session->device->used_bytes;
    if (session->task->need(session->state, next, &more) < 0) return false;
    if (more.device_bytes <= held) return true;
    if (session->device->alloc(session->device, more.device_bytes - held, &memory) < 0)
        return false;
    session->device->free(session->device, memory, more.device_bytes - held);
    return true;
}

/* The mode that failed is out; the mode before it may still do, else a smaller one. */
static int govern_recover(struct session *session, int before)
{
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", error_message());
    int code = memory_move(session, before, reason);
    return code == ERR_DEVICE_MEMORY ? memory_relieve(session) : code;
}

static int govern_change(struct session *session, const struct memory_mode *next)
{
    char reason[REASON_BYTES];
    const struct device *device = session->device;
    const struct ladder_mode *now = &session->ladder.modes[session->mode];
    int64_t left = device->free_bytes ? device->free_bytes(device) : -1;
    int mode = ladder_find(&session->ladder, next);
    bool down = same_work(&next->work, &now->mode.work) && mode >= 0 &&
                session->ladder.modes[mode].need.device_bytes < now->need.device_bytes;
    if (!down && !is_there(session, next)) return OK; /* the free bytes cannot be had */
    snprintf(reason, sizeof reason, "%s are free beside %s of this run", format_bytes(left).text,
             format_bytes((int64_t)device->used_bytes).text);
    bool other = !same_work(&next->work, &now->mode.work);
    int code =
        other ? memory_change_work(session, next, reason) : memory_move(session, mode, reason);
    return code == ERR_DEVICE_MEMORY ? govern_recover(session, session->mode) : code;
}

/* ---- what a run says about the keys ---- */

static void say_ignored(const char *keys, const char *why)
{
    log_info("%s: no effect: %s", keys, why);
}

/* How far both may grow: bounds that the input sets are not in the config. */
static void say_bounds(const struct governor *governor)
{
    const struct governor_settings *s = &governor->settings;
    struct memory_range size = governor->growth.size, batch = governor->growth.batch;
    char time[64] = "";
    if (s->max_size > 0 && s->max_size < size.most) size.most = s->max_size;
    if (s->max_batch > 0 && s->max_batch < batch.most) batch.most = s->max_batch;
    if (s->most_time > 0)
        snprintf(time, sizeof time, ", a step at most %.3g times as long", s->most_time);
    log_info("memory.grow: size %d to %d first, then batch %d to %d%s", size.now, size.most,
             batch.now, batch.most, time);
}

void govern_begin(const struct session *session)
{
    struct memory_of of = {session->task, session->state};
    const struct governor governor = memory_governor(session->config, &of);
    const struct governor_settings *s = &governor.settings;
    const struct memory_range *size = &governor.growth.size, *batch = &governor.growth.batch;
    bool sizes = s->min_size || s->max_size, batches = s->min_batch || s->max_batch;
    bool scheduled = session->config->memory.schedule.count > 0;
    if (scheduled && session->config->memory.grow)
        say_ignored("memory.grow", "memory.schedule says how much work a step is");
    else if (!s->grow && (sizes || batches))
        say_ignored("bounds of size and batch", "memory.grow is off");
    if (!s->grow) return;
    if (governor.growth.takes_time) say_bounds(&governor);
    if (batch->most == 0 && size->most == 0)
        say_ignored("memory.grow", "nothing in this task can grow");
    else if (batch->most == 0 && !s->min_size && size->now >= size->most)
        say_ignored("memory.grow", "the whole image is trained at; memory.min_size lets it be "
                                   "smaller while memory is short");
}

/* The work that memory.schedule says, in the fastest mode that fits; to go on with other work would
 * be another result, so where none does the run ends. */
static int govern_follow_schedule(struct session *session)
{
    const struct memory_schedule schedule = memory_schedule(session->config);
    struct memory_of of = {session->task, session->state};
    const struct governor governor = memory_governor(session->config, &of);
    struct memory_work work = session->task->mode(session->state)->work;
    const struct memory_work now = work;
    struct memory_mode next;
    struct memory_need need;
    bool found;
    if (!memory_schedule_at(&schedule, session->step, &work) || same_work(&work, &now)) return OK;
    int64_t budget = ladder_budget(&session->ladder.settings, session->device,
                                   (int64_t)session->device->used_bytes);
    struct ladder any = session->ladder; /* once memory failed, a wanted level counts no more */
    any.settings.level = -1;
    any.least_level = 0;
    TRY(governor_pick_for(&governor, &session->ladder, budget, &work, &next, &found));
    for (;;) {
        int code = memory_change_work(session, &next, "memory.schedule");
        if (code != ERR_DEVICE_MEMORY) return code;
        TRY(session->task->need(session->state, &next, &need));
        budget = (int64_t)need.device_bytes - 1;
        TRY(governor_pick_for(&governor, &any, budget, &work, &next, &found));
        if (!found) return memory_give_up(session, code);
    }
}

int govern(struct session *session)
{
    if (session->mode >= 0) TRY(govern_follow_schedule(session));
    struct memory_of of = {session->task, session->state};
    const struct governor governor = memory_governor(session->config, &of);
    struct memory_mode next;
    if (session->mode < 0 || !governor_due(&governor.settings, session->step)) return OK;
    if (session->work_step == session->step) return OK; /* it has looked, and was stopped since */
    double started = clock_seconds();
    session->ladder.least_level = 0; /* climbing back is the governor's to decide */
    TRY(governor_look(&governor, &session->ladder, session->mode, session->device,
                      (int64_t)session->device->used_bytes, &next));
    log_debug("step %" PRId64 ": memory planned in %.1f ms", session->step,
              1e3 * (clock_seconds() - started));
    bool same = same_work(&next.work, &session->ladder.modes[session->mode].mode.work) &&
                ladder_find(&session->ladder, &next) == session->mode;
    return same ? OK : govern_change(session, &next);
}
