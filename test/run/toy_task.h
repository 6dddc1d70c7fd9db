/* A task for the tests of the training loop: 64 numbers that move by a pure function of the step,
 * so that a run's end tells whether every step was taken exactly once. */
#ifndef IMGTRAIN_TEST_RUN_TOY_TASK_H
#define IMGTRAIN_TEST_RUN_TOY_TASK_H

#include "base/clock.h"
#include "base/error.h"
#include "base/file_atomic.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "memory/mode.h"
#include "memory/plan.h"
#include "run/signals.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOY_SIZE = 64, TOY_SIDE = 24 };

/* What a test wants to go wrong. */
static struct {
    int64_t nan_loss_step, nan_state_step; /* at this step (0 = never) ... */
    int nan_times;                         /* ... this often; -1 = always */
    int step_microseconds, open_microseconds;
    int64_t hold_step;   /* in this step (0 = none) it waits until it is to stop */
    const char *begun;   /* a file that is made when a step has begun */
    int64_t finish_step; /* the task's own stopping rule; 0 = none */
    int64_t declared_bytes;
    int steps_taken;
    int64_t memory_step; /* memory fails within this step (0 = never) ... */
    int memory_times;    /* ... this often */
    bool works_ahead;    /* on a device that says so too late */
    int ways, moves;     /* how many ways it can run, by falling memory; how often it moved */
} toy;

struct task_state {
    struct plan *plan;
    float *x;
    int64_t steps;
    struct memory_mode way;
};

static int toy_modes(const struct task_state *state, struct memory_mode *list)
{
    (void)state;
    for (int i = 0; i < toy.ways; i++)
        list[i] = (struct memory_mode){.level = i};
    return toy.ways;
}

static int toy_need(const struct task_state *state, const struct memory_mode *mode,
                    struct memory_need *need)
{
    (void)state;
    *need = (struct memory_need){.device_bytes = (size_t)(1000 - mode->level),
                                 .relative_time = 1 + mode->level};
    return OK;
}

static const struct memory_mode *toy_mode(const struct task_state *state)
{
    return &state->way;
}

static int toy_replan(struct task_state *state, const struct memory_mode *mode)
{
    state->way = *mode;
    toy.moves++;
    return OK;
}

static int toy_open(struct task_state **out, const struct task_setup *setup)
{
    struct task_state *state = calloc(1, sizeof *state);
    *out = state;
    if (!state) return fail(ERR_SYSTEM, "out of memory");
    state->steps = setup->config->splat.max_steps;
    state->plan = plan_create();
    TRY(plan_declare(state->plan, "x", PLAN_PARAMETERS, TOY_SIZE * sizeof(float), PLAN_ALWAYS,
                     (void **)&state->x));
    if (toy.declared_bytes)
        TRY(plan_declare(state->plan, "huge", PLAN_WORKSPACE, (size_t)toy.declared_bytes,
                         PLAN_ALWAYS, NULL));
    setup->device->is_host = !toy.works_ahead;
    if (setup->choose) TRY(setup->choose(setup->choose_context, state, &state->way));
    if (setup->forecast_only) return plan_layout(state->plan);
    for (int waited = 0; waited < toy.open_microseconds; waited += 1000) {
        if (setup->stop_requested()) return fail(ERR_STOPPED, "stopped while loading");
        usleep(1000);
    }
    TRY(plan_commit(state->plan, setup->device));
    if (!setup->resume) return OK;
    return store_read_f32(setup->resume, "x", 1, (int64_t[]){TOY_SIZE}, state->x);
}

static const struct plan *toy_plan(const struct task_state *state)
{
    return state->plan;
}

static int64_t toy_steps(const struct task_state *state)
{
    return state->steps;
}

static bool toy_misbehaves(int64_t at, int64_t step)
{
    if (at == 0 || at != step || toy.nan_times == 0) return false;
    if (toy.nan_times > 0) toy.nan_times--;
    return true;
}

static int toy_step(struct task_state *state, int64_t step, bool evaluate,
                    struct task_report *report)
{
    toy.steps_taken++;
    if (toy.begun) TRY(file_atomic_write_whole(toy.begun, "", 0, false));
    while (toy.hold_step != 0 && step == toy.hold_step && !signals_stop_requested())
        usleep(500);
    double until = clock_seconds() + 1e-6 * toy.step_microseconds;
    while (clock_seconds() < until) /* a signal cuts usleep short */
        usleep(500);
    if (toy.memory_step == step && toy.memory_times > 0) {
        toy.memory_times--;
        if (toy.works_ahead) state->x[0] = 99; /* half a step is done */
        return fail(ERR_DEVICE_MEMORY, "no memory for a test");
    }
    for (int i = 0; i < TOY_SIZE; i++) {
        struct philox4 draw = philox_draw(1, STREAM_TEST, (uint64_t)step, (uint64_t)i);
        state->x[i] = state->x[i] * 0.999f + philox_uniform(draw.v[0]) - 0.25f;
    }
    report->loss = fabs((double)state->x[0]);
    report->finished = toy.finish_step > 0 && step + 1 >= toy.finish_step;
    report->metric_count = 2;
    report->metrics[0] =
        (struct task_metric){"psnr", "%.2f", evaluate ? (double)state->x[1] : (double)NAN};
    report->metrics[1] = (struct task_metric){"gaussians", NULL, TOY_SIZE};
    if (toy_misbehaves(toy.nan_loss_step, step)) report->loss = (double)NAN;
    if (toy_misbehaves(toy.nan_state_step, step)) state->x[5] = NAN;
    if (isnan(state->x[5]) && toy.nan_loss_step == 0 && toy.nan_state_step != step)
        report->loss = (double)NAN;
    strcpy(report->caption, "toy \"quoted\"");
    return OK;
}

static int toy_image(struct task_state *state, int max_side, struct image *image)
{
    (void)max_side;
    TRY(image_create(image, TOY_SIDE, TOY_SIDE, 3, SAMPLE_U8));
    uint8_t *data = image->data;
    for (int i = 0; i < TOY_SIDE * TOY_SIDE * 3; i++)
        data[i] = (uint8_t)fminf(fabsf(state->x[i % TOY_SIZE]) * 40.0f, 255.0f);
    return OK;
}

static int toy_save(struct task_state *state, struct store_writer *writer)
{
    return store_add(writer, "x", TENSOR_F32, 1, (int64_t[]){TOY_SIZE}, state->x);
}

static int toy_write_final(struct task_state *state, const char *path)
{
    struct image image = {0};
    TRY(toy_image(state, 0, &image));
    int code = image_save(&image, path);
    image_free(&image);
    return code;
}

static void toy_close(struct task_state *state)
{
    if (!state) return;
    plan_free(state->plan);
    free(state);
}

static const struct task toy_task = {
    .name = "splat",
    .open = toy_open,
    .plan = toy_plan,
    .steps = toy_steps,
    .step = toy_step,
    .image = toy_image,
    .reference = toy_image,
    .save = toy_save,
    .save_model = toy_save,
    .write_final = toy_write_final,
    .close = toy_close,
    .modes = toy_modes,
    .need = toy_need,
    .mode = toy_mode,
    .replan = toy_replan,
};

#endif
