/* The memory modes, and the move from one to another between steps. None but mixed precision
 * changes a bit of the result. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_task.h"
#include "memory/plan.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>

/* What a mode costs beside keeping everything: blocks are made again but for their last part. */
static const double RECOMPUTE_TIME = 1.33, HALVING_TIME = 1.02, HALVES_TIME = 1.1,
                    OFFLOAD_TIME = 1.02;

enum { BATCH_MOST = 65536 }; /* as the key diffusion.batch */

struct diffusion_mode_list {
    struct memory_mode *modes;
    int count;
};

static void diffusion_add_mode(struct diffusion_mode_list *list, int level, bool checkpointing,
                               int micro)
{
    if (list->count == TASK_MAX_MODES) return;
    list->modes[list->count++] = (struct memory_mode){.level = level,
                                                      .amp = level == MEMORY_MIXED,
                                                      .checkpointing = checkpointing,
                                                      .micro_batch = micro,
                                                      .offload = level == MEMORY_OFFLOAD};
}

/* Half as many images at a time, in whole chunks; 0: there is no less. */
static int diffusion_half(int micro, int chunk)
{
    int half = (micro / 2 + chunk - 1) / chunk * chunk;
    return half < micro ? half : 0;
}

static void diffusion_add_micro_batches(struct diffusion_mode_list *list, int level,
                                        bool checkpointing, int first, int chunk)
{
    for (int micro = first; micro > 0; micro = diffusion_half(micro, chunk))
        diffusion_add_mode(list, level, checkpointing, micro);
}

int diffusion_list_modes(const struct task_state *s, struct memory_mode *modes)
{
    struct diffusion_mode_list list = {.modes = modes};
    int batch = (int)s->config->diffusion.batch, chunk = diffusion_chunk(&s->design);
    int half = diffusion_half(batch, chunk);
    diffusion_add_mode(&list, MEMORY_RESIDENT, false, batch);
    diffusion_add_mode(&list, MEMORY_CHECKPOINTING, true, batch);
    diffusion_add_micro_batches(&list, MEMORY_MICRO_BATCHES, false, half, chunk);
    diffusion_add_micro_batches(&list, MEMORY_MICRO_BATCHES, true, half, chunk);
    if (!s->config->deterministic)
        diffusion_add_micro_batches(&list, MEMORY_MIXED, false, batch, chunk);
    diffusion_add_micro_batches(&list, MEMORY_OFFLOAD, true, batch, chunk);
    return list.count;
}

int diffusion_need(const struct task_state *s, const struct memory_mode *mode,
                   struct memory_need *need)
{
    const struct memory_work *work = &mode->work;
    if (work->count) return fail(ERR_USAGE, "diffusion has no number of elements to choose");
    if (work->size || work->picture)
        return fail(ERR_USAGE, "diffusion is trained at the size of its images");
    struct task_state *trial = calloc(1, sizeof *trial);
    int code = OK;
    if (!trial) return fail(ERR_SYSTEM, "out of memory");
    *trial = *s;
    trial->core = NULL;
    trial->codec = NULL;
    trial->config = &trial->sized;
    if (work->batch) trial->sized.diffusion.batch = work->batch;
    trial->plan = plan_create();
    TRY_CLEANUP(trial->plan ? OK : ERR_SYSTEM);
    TRY_CLEANUP(diffusion_declare(trial, mode));
    const struct diffusion_mode *now = &trial->core->mode;
    need->device_bytes = plan_device_bytes(trial->plan);
    need->host_bytes = plan_host_bytes(trial->plan);
    need->relative_time = (double)now->batch / (double)s->asked_batch;
    need->relative_time *= pow(HALVING_TIME, log2((double)now->batch / now->micro));
    if (mode->checkpointing) need->relative_time *= RECOMPUTE_TIME;
    if (mode->amp) need->relative_time *= HALVES_TIME;
    if (mode->offload) need->relative_time *= OFFLOAD_TIME;
cleanup:
    plan_free(trial->plan);
    diffusion_free_core(trial->core);
    diffusion_free_codec(trial->codec);
    free(trial);
    return code;
}

const struct memory_mode *diffusion_mode_now(const struct task_state *s)
{
    return &s->mode;
}

static int diffusion_most(const struct task_state *s)
{
    int images = dataset_train_count(s->data.set);
    return images < BATCH_MOST ? images : BATCH_MOST;
}

/* The size stays: another one would be another network. A batch of more than there are images shows
 * some twice. */
void diffusion_growth(const struct task_state *s, struct memory_growth *growth)
{
    int chunk = diffusion_chunk(&s->design), most = s->data.set ? diffusion_most(s) : BATCH_MOST;
    *growth = (struct memory_growth){.batch = {.now = (int)s->config->diffusion.batch,
                                               .least = (int)s->asked_batch,
                                               .floor = 1,
                                               .most = most / chunk * chunk,
                                               .multiple = chunk}};
    if (growth->batch.most < growth->batch.now) growth->batch.most = growth->batch.now;
}

int diffusion_replan(struct task_state *s, const struct memory_mode *mode)
{
    struct plan *next = plan_create();
    int code = next ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = diffusion_collect(s, s->steps_done);
    if (code == OK) code = stepper_rest(&s->core->stepper);
    if (code < 0) {
        plan_free(next);
        return code;
    }
    struct task_state before = *s;
    int64_t *batch = &s->sized.diffusion.batch;
    if (mode->work.batch && mode->work.batch != *batch) {
        images_seen_change(&s->seen, s->steps_done, *batch);
        *batch = mode->work.batch;
    }
    s->core = NULL;
    s->codec = NULL;
    s->plan = next;
    code = diffusion_declare(s, mode);
    s->plan = before.plan;
    if (code == OK) code = plan_replace(&s->plan, next, s->device), next = NULL;
    plan_free(next);
    if (code < 0) {
        struct plan *plan = s->plan;
        diffusion_free_core(s->core);
        diffusion_free_codec(s->codec);
        *s = before;
        s->plan = plan;
        plan_connect(s->plan);
        return code;
    }
    s->core->net.v_missing = before.core->net.v_missing;
    s->core->net.m_missing = before.core->net.m_missing;
    diffusion_free_core(before.core);
    diffusion_free_codec(before.codec);
    s->mode = *mode;
    s->mode.work.batch = (int)*batch;
    return diffusion_core_connect(s->core);
}
