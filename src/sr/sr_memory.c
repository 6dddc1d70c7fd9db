/* The memory modes of enlarging, and the move from one to another between steps. None but mixed
 * precision changes a bit of the result. */
#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "memory/plan.h"
#include "memory/schedule.h"
#include "sr/sr_task.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>

/* What a mode costs beside keeping everything: a group of layers is made again but for its last. */
static const double RECOMPUTE_TIME = 1.25, HALVING_TIME = 1.02, OFFLOAD_TIME = 1.02;

enum { SR_SIZE_MOST = 1024, SR_BATCH_MOST = 65536 }; /* as the keys sr.lq_size and sr.batch */

struct sr_mode_list {
    struct memory_mode *modes;
    int count;
    bool amp;
};

static void sr_add_mode(struct sr_mode_list *list, int level, bool checkpointing, int micro)
{
    if (list->count == TASK_MAX_MODES) return;
    list->modes[list->count++] = (struct memory_mode){.level = level,
                                                      .amp = list->amp,
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
    int batch = s->mode.work.batch, half = batch > 1 ? (batch + 1) / 2 : 0;
    sr_add_mode(&list, MEMORY_RESIDENT, false, batch);
    sr_add_mode(&list, MEMORY_CHECKPOINTING, true, batch);
    sr_add_micro_batches(&list, MEMORY_MICRO_BATCHES, false, half);
    sr_add_micro_batches(&list, MEMORY_MICRO_BATCHES, true, half);
    sr_add_micro_batches(&list, MEMORY_OFFLOAD, true, batch);
    if (!s->device->nn->bf16 || s->config->deterministic) return list.count;
    list.amp = true;
    sr_add_micro_batches(&list, MEMORY_MIXED, false, batch);
    sr_add_micro_batches(&list, MEMORY_MIXED, true, batch);
    sr_add_micro_batches(&list, MEMORY_OFFLOAD, true, batch);
    return list.count;
}

int sr_need(const struct task_state *s, const struct memory_mode *mode, struct memory_need *need)
{
    if (mode->work.count) return fail(ERR_USAGE, "sr has no number of elements to choose");
    if (mode->work.picture) return fail(ERR_USAGE, "sr is trained on images of any size");
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
    const struct sr_mode *now = &trial->core->mode;
    double side = (double)now->lq_size / (double)s->config->sr.lq_size;
    need->relative_time = side * side * now->batch / (double)s->config->sr.batch;
    need->relative_time *= pow(HALVING_TIME, log2((double)now->batch / now->micro));
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

static void sr_set_mode(struct task_state *s, const struct memory_mode *mode)
{
    s->mode = *mode;
    s->mode.work.size = s->core->mode.lq_size;
    s->mode.work.batch = s->core->mode.batch;
}

/* ---- the work of a step: mode.work.size is lq_size ---- */

/* The largest patch that every image has room for. */
static int sr_room(const struct task_state *s)
{
    int side = SR_SIZE_MOST;
    for (int i = 0; i < s->data.train_count; i++) {
        const struct pair *pair = s->data.train[i];
        if (pair->w < side) side = pair->w;
        if (pair->h < side) side = pair->h;
    }
    return side;
}

int sr_check_schedule(const struct config *config)
{
    const struct memory_schedule schedule = {config->memory.schedule.values,
                                             config->memory.schedule.count};
    return memory_schedule_check(&schedule, SR_SIZE_MOST, SR_BATCH_MOST);
}

int sr_begin_work(struct task_state *s, const struct store_file *resume)
{
    const struct config *config = s->config;
    const struct memory_schedule schedule = {config->memory.schedule.values,
                                             config->memory.schedule.count};
    struct memory_work *work = &s->mode.work;
    *work = (struct memory_work){.size = (int)config->sr.lq_size, .batch = (int)config->sr.batch};
    if (resume && store_get(resume, "sr.lq_size")) {
        TRY(store_get_int32_in(resume, "sr.lq_size", 2, SR_SIZE_MOST, &work->size));
        TRY(store_get_int32_in(resume, "sr.batch", 1, SR_BATCH_MOST, &work->batch));
    }
    memory_schedule_at(&schedule, s->steps_done, work);
    int room = sr_room(s), largest = memory_schedule_largest_size(&schedule);
    if (largest < work->size) largest = work->size;
    if (largest > room)
        return fail(ERR_CONFIG, "patches of lq_size %d do not fit into every image: at most %d",
                    largest, room);
    return work->size % 2 ? fail(ERR_DATA, "%s: sr.lq_size is odd", store_path(resume)) : OK;
}

int sr_store_work(const struct task_state *s, struct store_writer *writer)
{
    const struct memory_work *work = &s->mode.work;
    bool is_asked = work->size == s->config->sr.lq_size && work->batch == s->config->sr.batch;
    if (is_asked) return OK;
    TRY(store_set_int(writer, "sr.lq_size", work->size));
    return store_set_int(writer, "sr.batch", work->batch);
}

/* The set stays what it is: no larger than what all of its images have. */
void sr_growth(const struct task_state *s, struct memory_growth *growth)
{
    enum { MULTIPLE = 8 };
    const struct memory_work *work = &s->mode.work;
    const struct sr_loss_choices losses = sr_losses_of(s->config);
    *growth = (struct memory_growth){
        .size = {.now = work->size,
                 .least = (int)s->config->sr.lq_size,
                 .most = sr_room(s) / MULTIPLE * MULTIPLE,
                 .multiple = MULTIPLE,
                 .floor = sr_losses_least_side(&losses, s->design.scale, MULTIPLE)},
        .batch = {.now = work->batch,
                  .least = (int)s->config->sr.batch,
                  .most = SR_BATCH_MOST,
                  .multiple = 1,
                  .floor = 1},
        .takes_time = true};
    struct memory_range *size = &growth->size;
    if (size->most < size->least) size->most = size->least;
    if (size->most < size->now) size->most = size->now;
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
    s->core->gan.net.v_missing = before.core->gan.net.v_missing;
    s->core->gan.net.m_missing = before.core->gan.net.m_missing;
    sr_free_core(before.core);
    sr_core_connect(s->core);
    sr_set_mode(s, mode);
    return sr_losses_begin(&s->core->losses, false);
}
