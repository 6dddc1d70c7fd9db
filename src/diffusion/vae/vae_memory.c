/* The memory modes, and the move from one to another between steps. None changes a bit of the
 * result. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "diffusion/vae/vae_task.h"
#include "memory/plan.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>

/* What a mode costs beside keeping everything. */
static const double RECOMPUTE_TIME = 1.33, HALVING_TIME = 1.02, OFFLOAD_TIME = 1.02;

struct vae_mode_list {
    struct memory_mode *modes;
    int count;
};

/* From `micro` images at a time on, half as many after the other. */
static void vae_add_modes(struct vae_mode_list *list, int level, bool checkpointing, int micro,
                          int least)
{
    for (; micro >= least && list->count < TASK_MAX_MODES; micro /= 2)
        list->modes[list->count++] = (struct memory_mode){.level = level,
                                                          .checkpointing = checkpointing,
                                                          .micro_batch = micro,
                                                          .offload = level == MEMORY_OFFLOAD};
}

int vae_list_modes(const struct task_state *s, struct memory_mode *modes)
{
    struct vae_mode_list list = {.modes = modes};
    int batch = (int)s->config->vae.batch;
    vae_add_modes(&list, MEMORY_RESIDENT, false, batch, batch);
    vae_add_modes(&list, MEMORY_CHECKPOINTING, true, batch, batch);
    vae_add_modes(&list, MEMORY_MICRO_BATCHES, false, batch / 2, 1);
    vae_add_modes(&list, MEMORY_MICRO_BATCHES, true, batch / 2, 1);
    vae_add_modes(&list, MEMORY_OFFLOAD, true, batch, 1);
    return list.count;
}

int vae_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need)
{
    const struct memory_work *work = &mode->work;
    if (work->count) return fail(ERR_USAGE, "vae has no number of elements to choose");
    if (work->size || work->picture)
        return fail(ERR_USAGE, "vae is trained at the size of its images");
    if (work->batch && work->batch != s->config->vae.batch)
        return fail(ERR_USAGE, "vae is trained with the batch of its config");
    struct task_state *trial = calloc(1, sizeof *trial);
    int code = OK;
    if (!trial) return fail(ERR_SYSTEM, "out of memory");
    *trial = *s;
    trial->core = NULL;
    trial->plan = plan_create();
    TRY_CLEANUP(trial->plan ? OK : ERR_SYSTEM);
    TRY_CLEANUP(vae_declare(trial, mode));
    const struct vae_mode *now = &trial->core->mode;
    need->device_bytes = plan_device_bytes(trial->plan);
    need->host_bytes = plan_host_bytes(trial->plan);
    need->relative_time = pow(HALVING_TIME, log2((double)now->batch / now->micro));
    if (mode->checkpointing) need->relative_time *= RECOMPUTE_TIME;
    if (mode->offload) need->relative_time *= OFFLOAD_TIME;
cleanup:
    plan_free(trial->plan);
    vae_free_core(trial->core);
    free(trial);
    return code;
}

const struct memory_mode *vae_mode_now(const struct task_state *s)
{
    return &s->mode;
}

int vae_replan(struct task_state *s, const struct memory_mode *mode)
{
    struct plan *next = plan_create();
    int code = next ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = vae_collect(s, s->steps_done);
    if (code == OK) code = stepper_rest(&s->core->stepper);
    if (code < 0) {
        plan_free(next);
        return code;
    }
    struct task_state before = *s;
    s->core = NULL;
    s->plan = next;
    code = vae_declare(s, mode);
    s->plan = before.plan;
    if (code == OK) code = plan_replace(&s->plan, next, s->device), next = NULL;
    plan_free(next);
    if (code < 0) {
        struct plan *plan = s->plan;
        vae_free_core(s->core);
        *s = before;
        s->plan = plan;
        plan_connect(s->plan);
        return code;
    }
    s->core->net.v_missing = before.core->net.v_missing;
    s->core->net.m_missing = before.core->net.m_missing;
    vae_free_core(before.core);
    s->mode = *mode;
    return vae_core_connect(s->core);
}
