#include "run/govern.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/governor.h"
#include "run/session.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>

enum { REASON_BYTES = 160 };

static struct governor_settings settings_of(const struct config *config)
{
    return (struct governor_settings){
        .every = config->memory.adjustment_frequency,
        .grow = config->memory.grow,
        .min_size = (int)config->memory.min_size,
        .max_size = (int)config->memory.max_size,
        .min_batch = (int)config->memory.min_batch_size,
        .max_batch = (int)config->memory.max_batch_size,
    };
}

static int need(void *context, const struct memory_choices *choices, struct memory_need *need)
{
    const struct session *session = context;
    return session->task->need(session->state, choices, need);
}

static bool same_work(const struct memory_work *a, const struct memory_work *b)
{
    return a->size == b->size && a->batch == b->batch && a->count == b->count;
}

/* Whether as much more is really there: what is held now is given back for the move. */
static bool is_there(struct session *session, const struct memory_choices *next)
{
    struct memory_need more;
    void *memory = NULL;
    size_t held = session->device->used_bytes;
    if (need(session, next, &more) < 0) return false;
    if (more.device_bytes <= held) return true;
    if (session->device->alloc(session->device, more.device_bytes - held, &memory) < 0)
        return false;
    session->device->free(session->device, memory, more.device_bytes - held);
    return true;
}

/* The way that failed is out; the one before it may still do, else a smaller one. */
static int recover(struct session *session, int before)
{
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "%s", error_message());
    int code = memory_move(session, before, reason);
    return code == ERR_DEVICE_MEMORY ? memory_relieve(session) : code;
}

/* With another amount of work the ladder is another one too. */
static int change_work(struct session *session, const struct memory_choices *next,
                       const char *reason)
{
    int code = session->task->replan(session->state, next);
    if (code == ERR_DEVICE_MEMORY) return recover(session, session->row);
    TRY(code);
    TRY(memory_rows(&session->ladder, session->task, session->state));
    session->row = ladder_find(&session->ladder, session->task->chosen(session->state));
    if (session->row < 0) return fail(ERR_INTERNAL, "a way to run that is not in the ladder");
    session->total = session->task->steps(session->state);
    session->finished = session->step >= session->total;
    log_info("step %" PRId64 ": %s: size %d, batch %d from here on (%s)", session->step, reason,
             next->work.size, next->work.batch,
             format_bytes((int64_t)session->ladder.rows[session->row].need.device_bytes).text);
    memory_log_change(session, reason);
    return session_save(session);
}

static int change(struct session *session, const struct memory_choices *next)
{
    char reason[REASON_BYTES];
    const struct device *device = session->device;
    const struct ladder_row *now = &session->ladder.rows[session->row];
    int64_t left = device->free_bytes ? device->free_bytes(device) : -1;
    int row = ladder_find(&session->ladder, next);
    bool down = same_work(&next->work, &now->choices.work) && row >= 0 &&
                session->ladder.rows[row].need.device_bytes < now->need.device_bytes;
    if (!down && !is_there(session, next)) return OK; /* what is free is not to be had */
    snprintf(reason, sizeof reason, "%s are free beside %s of this run", format_bytes(left).text,
             format_bytes((int64_t)device->used_bytes).text);
    if (!same_work(&next->work, &now->choices.work)) return change_work(session, next, reason);
    int code = memory_move(session, row, reason);
    return code == ERR_DEVICE_MEMORY ? recover(session, session->row) : code;
}

static bool same_way(const struct ladder *ladder, int row, const struct memory_choices *next)
{
    return same_work(&next->work, &ladder->rows[row].choices.work) &&
           ladder_find(ladder, next) == row;
}

int govern(struct session *session)
{
    struct governor governor = {
        .settings = settings_of(session->config), .need = need, .context = session};
    struct memory_choices next;
    if (session->row < 0 || !governor_due(&governor.settings, session->step)) return OK;
    if (session->task->growth) session->task->growth(session->state, &governor.growth);
    if (governor.settings.grow && !session->task->growth &&
        session->step == governor.settings.every)
        log_info("memory.grow: there is nothing in task %s that could grow", session->task->name);
    double started = clock_seconds();
    session->ladder.least_level = 0; /* climbing back is the governor's to decide */
    TRY(governor_look(&governor, &session->ladder, session->row, session->device,
                      (int64_t)session->device->used_bytes, &next));
    log_debug("step %" PRId64 ": memory planned in %.1f ms", session->step,
              1e3 * (clock_seconds() - started));
    return same_way(&session->ladder, session->row, &next) ? OK : change(session, &next);
}
