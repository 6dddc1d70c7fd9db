/* The memory modes of enlarging, and the move from one to another between steps. None changes a bit
 * of the result. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/plan.h"
#include "sr/sr_task.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>

/* What a mode costs beside keeping everything: a group of layers is made again but for its last. */
static const double RECOMPUTE_TIME = 1.25, HALVING_TIME = 1.02, OFFLOAD_TIME = 1.02;

struct sr_mode_list {
    struct memory_mode *modes;
    int count;
};

static void sr_add_mode(struct sr_mode_list *list, int level, bool checkpointing, int micro)
{
    if (list->count == TASK_MAX_MODES) return;
    list->modes[list->count++] = (struct memory_mode){.level = level,
                                                      .checkpointing = checkpointing,
                                                      .micro_batch = micro,
                                                      .offload = level == MEMORY_OFFLOAD};
}

static void sr_add_micro_batches(struct sr_mode_list *list, int level, bool checkpointing,
                                 int first)
{
    for (int micro = first; micro > 0; micro = micro > 1 ? (micro + 1) / 2 : 0)
        sr_add_mode(list, level, checkpointing, micro);
}

int sr_list_modes(const struct task_state *s, struct memory_mode *modes)
{
    struct sr_mode_list list = {.modes = modes};
    int batch = (int)s->config->sr.batch, half = batch > 1 ? (batch + 1) / 2 : 0;
    sr_add_mode(&list, MEMORY_RESIDENT, false, batch);
    sr_add_mode(&list, MEMORY_CHECKPOINTING, true, batch);
    sr_add_micro_batches(&list, MEMORY_MICRO_BATCHES, false, half);
    sr_add_micro_batches(&list, MEMORY_MICRO_BATCHES, true, half);
    sr_add_micro_batches(&list, MEMORY_OFFLOAD, true, batch);
    return list.count;
}

int sr_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need)
{
    if (mode->work.count) return fail(ERR_USAGE, "sr has no number of elements to choose");
    if (mode->work.size || mode->work.batch || mode->work.picture)
        return fail(ERR_USAGE, "sr is trained at the lq_size and batch of its config");
    struct task_state *trial = calloc(1, sizeof *trial);
    int code = OK;
    if (!trial) return fail(ERR_SYSTEM, "out of memory");
    *trial = *s;
    trial->core = NULL;
    trial->plan = plan_create();
    TRY_CLEANUP(trial->plan ? OK : ERR_SYSTEM);
    TRY_CLEANUP(sr_declare(trial, mode));
    need->device_bytes = plan_device_bytes(trial->plan);
    need->host_bytes = plan_host_bytes(trial->plan);
    need->relative_time = pow(HALVING_TIME, log2((double)s->config->sr.batch / mode->micro_batch));
    if (mode->checkpointing) need->relative_time *= RECOMPUTE_TIME;
    if (mode->offload) need->relative_time *= OFFLOAD_TIME;
cleanup:
    plan_free(trial->plan);
    sr_free_core(trial->core);
    free(trial);
    return code;
}

const struct memory_mode *sr_mode_now(const struct task_state *s)
{
    return &s->mode;
}

int sr_replan(struct task_state *s, const struct memory_mode *mode)
{
    struct plan *next = plan_create();
    int code = next ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = sr_collect(s, s->steps_done);
    if (code == OK) code = stepper_rest(&s->core->stepper);
    if (code < 0) {
        plan_free(next);
        return code;
    }
    struct task_state before = *s;
    s->core = NULL;
    s->plan = next;
    code = sr_declare(s, mode);
    s->plan = before.plan;
    if (code == OK) code = plan_replace(&s->plan, next, s->device), next = NULL;
    plan_free(next);
    if (code < 0) {
        struct plan *plan = s->plan;
        sr_free_core(s->core);
        *s = before;
        s->plan = plan;
        plan_connect(s->plan);
        return code;
    }
    s->core->net.v_missing = before.core->net.v_missing;
    s->core->net.m_missing = before.core->net.m_missing;
    sr_free_core(before.core);
    sr_core_connect(s->core);
    s->mode = *mode;
    return OK;
}
