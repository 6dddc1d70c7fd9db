/* imgtrain bench: how long a training step takes on this machine. */
#include "base/bench.h"
#include "base/error.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "image/image.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

static int cmd_bench_open(const struct bench *bench, struct device **device)
{
    return device_open(device, bench->device, (int)bench->threads);
}

/* "splat, gan" */
static void cmd_bench_list_tasks(char *names, size_t room)
{
    size_t used = 0;
    names[0] = '\0';
    for (int i = 0; task_at(i) && used < room; i++)
        if (task_at(i)->bench)
            used += (size_t)snprintf(names + used, room - used, "%s%s", used ? ", " : "",
                                     task_at(i)->name);
}

static bool cmd_bench_is_wanted(const struct bench *b, const struct task *task)
{
    return task->bench && (strcmp(b->task, "all") == 0 || strcmp(b->task, task->name) == 0);
}

/* The options of tasks that are not measured. */
static void cmd_bench_note_unused(const struct bench *b)
{
    char when[64];
    snprintf(when, sizeof when, "with --task %s", b->task);
    for (int i = 0; task_at(i); i++)
        if (task_at(i)->bench && !cmd_bench_is_wanted(b, task_at(i)))
            options_without_effect(task_at(i)->bench_options, when);
}

static int cmd_bench_check(const struct bench *b)
{
    bool all = strcmp(b->task, "all") == 0;
    bool known = all;
    for (int i = 0; task_at(i); i++)
        known = known || cmd_bench_is_wanted(b, task_at(i));
    if (!known) {
        char names[128];
        cmd_bench_list_tasks(names, sizeof names);
        return fail(ERR_USAGE, "--task %s is none of %s, all", b->task, names);
    }
    if (all && b->size) return fail(ERR_USAGE, "--size needs --task NAME");
    if (strcmp(b->scheme, "a") != 0 && strcmp(b->scheme, "c") != 0)
        return fail(ERR_USAGE, "--scheme %s is neither a nor c", b->scheme);
    if (b->size < 0 || b->size > IMAGE_MAX_SIDE || b->gaussians < 1 || b->gaussians > 100000000 ||
        b->steps < 1 || b->steps > BENCH_MAX_STEPS || !(b->sigma > 0.1 && b->sigma < 1e4) ||
        b->threads < 0 || b->threads > 4096)
        return fail(ERR_USAGE, "size 1..%d, gaussians 1..100000000, steps 1..%d, sigma 0.1..10000",
                    IMAGE_MAX_SIDE, BENCH_MAX_STEPS);
    if (b->batch < 1 || b->batch > 65536 || b->micro < 0 || b->micro > b->batch)
        return fail(ERR_USAGE, "batch 1..65536, micro 0..batch");
    return OK;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = {.task = "all",
                      .gaussians = 10000,
                      .steps = 21,
                      .sigma = 5,
                      .device = "auto",
                      .open = cmd_bench_open,
                      .batch = 16,
                      .scheme = "a"};
    const struct option_row rows[] = {
        {.name = "task", .argument = "NAME", .text = &b.task, .help = "gan, splat or all"},
        {.name = "size", .argument = "N", .integer = &b.size, .help = "side of the pictures"},
        {.name = "steps", .argument = "N", .integer = &b.steps, .help = "steps to time"},
        {.name = "threads", .argument = "N", .integer = &b.threads, .help = "0 = all"},
        {.name = "device", .argument = "NAME", .text = &b.device, .help = "as in train"},
        {.name = "gaussians", .argument = "N", .integer = &b.gaussians, .help = "how many"},
        {.name = "sigma", .argument = "PX", .number = &b.sigma, .help = "of each, in pixels"},
        {.name = "batch", .argument = "N", .integer = &b.batch, .help = "pictures of a GAN's step"},
        {.name = "micro", .argument = "N", .integer = &b.micro, .help = "at a time; 0 = all"},
        {.name = "scheme", .argument = "a|c", .text = &b.scheme, .help = "as gan.scheme"},
        {.name = "amp", .flag = &b.amp, .help = "use_amp: bf16, or halves"},
        {.name = "json", .flag = &b.json, .help = "print JSON"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain bench [--task gan|splat|all] [--size N] [--steps N] [--json] ...",
        .about = "Times training steps on made-up pictures. Splats (2048 px): milliseconds a step\n"
                 "(median) and billions of (Gaussian, pixel) pairs a second. GAN (16, 32, 64 px,\n"
                 "networks as in cfgs/gan-*.yaml): a D step and a G step with both updates, and\n"
                 "the memory that they take.",
        .options = rows,
        .examples = "imgtrain bench\n"
                    "imgtrain bench --task splat --size 512 --gaussians 5000 --sigma 3\n"
                    "imgtrain bench --task gan --size 128 --batch 32 --scheme c\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    TRY(cmd_bench_check(&b));
    cmd_bench_note_unused(&b);
    for (int i = 0; task_at(i); i++)
        if (cmd_bench_is_wanted(&b, task_at(i))) TRY(task_at(i)->bench(&b));
    if (b.json) printf("\n]\n");
    return OK;
}
