/* imgtrain bench: how long a training step takes on this machine. */
#include "base/bench.h"
#include "base/error.h"
#include "cmd/bench_model.h"
#include "cmd/cmd.h"
#include "cmd/named_model.h"
#include "cmd/options.h"
#include "device/device.h"
#include "image/image.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MOST = 64 };

static int cmd_bench_open(const struct bench *bench, struct device **device)
{
    const struct device_use use = {.task = task_find(bench->task),
                                   .spec = bench->device,
                                   .threads = (int)bench->threads,
                                   .half = bench->amp,
                                   .limit = bench->memory_limit};
    return device_open_for(device, &use);
}

static void cmd_bench_kernel_times(const struct bench *bench, struct device *device, bool forget)
{
    if (bench->kernels && device->kernel_times)
        device->kernel_times(device, forget ? NULL : bench->json ? stderr : stdout);
}

/* A device counts from its opening on (device/device.h). */
static int cmd_bench_ask_for_kernels(const struct bench *bench)
{
    if (!bench->kernels) return OK;
    if (setenv("IMGTRAIN_KERNELS", "1", 1) != 0) return fail(ERR_SYSTEM, "out of memory");
    return OK;
}

/* Appends a table to `rows`, which ends with an empty row as before. */
static int cmd_bench_add_options(struct option_row rows[OPTIONS_MOST], int count,
                                 const struct option_row *more)
{
    for (; more->letter || more->name; more++) {
        if (count == OPTIONS_MOST - 1) return fail(ERR_INTERNAL, "more than %d options", count);
        rows[count++] = *more;
    }
    rows[count] = (struct option_row){0};
    return count;
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
        if (task_at(i)->bench_options && !cmd_bench_is_wanted(b, task_at(i)))
            options_all_without_effect(task_at(i)->bench_options, when);
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
    for (int i = 0; task_at(i); i++)
        if (task_at(i)->bench_check) TRY(task_at(i)->bench_check());
    return OK;
}

static int cmd_bench_model(struct model_bench *model, const struct bench *b, int count, char **argv)
{
    if (model->arch && count > 0)
        return fail(ERR_USAGE, "bench: %s has no place beside --arch", argv[1]);
    options_without_effect("task size amp kernels", "on a MODEL");
    if (b->steps > 0) model->steps = b->steps;
    model->operand = argv[1];
    model->device = b->device;
    model->threads = b->threads;
    model->limit = b->memory_limit;
    model->json = b->json;
    return bench_model(model);
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = {.task = "all",
                      .device = "auto",
                      .open = cmd_bench_open,
                      .kernel_times = cmd_bench_kernel_times};
    struct model_bench model = {.steps = 4};
    const struct option_row common[] = {
        {.name = "task",
         .argument = "NAME",
         .text = &b.task,
         .help = "gan, splat, sr, diffusion or all"},
        {.name = "size",
         .argument = "N",
         .integer = &b.size,
         .high = IMAGE_MAX_SIDE,
         .help = "side of the images"},
        {.name = "steps",
         .argument = "N",
         .integer = &b.steps,
         .low = 1,
         .high = BENCH_MAX_STEPS,
         .help = "steps to time (21); of a MODEL, of each image (4)"},
        {.name = "threads",
         .argument = "N",
         .integer = &b.threads,
         .high = 4096,
         .help = "0 = all"},
        OPTION_DEVICE(&b.device),
        OPTION_MEMORY_LIMIT(&b.memory_limit, "most device memory that a workload may take: 2GB"),
        {.name = "amp", .flag = &b.amp, .help = "use_amp: bf16, or halves"},
        {.name = "kernels",
         .flag = &b.kernels,
         .help = "on a GPU: also the time of each kernel; steps take longer"},
        {.name = "json", .flag = &b.json, .help = "print JSON"},
        {.name = "arch",
         .argument = "NAME",
         .text = &model.arch,
         .help = "a model of this architecture with random weights: " MODEL_ARCH_NAMES},
        {.name = "sizes",
         .argument = "LIST",
         .text = &model.sizes,
         .help = "of a MODEL: sizes of the images, 512,768x512"},
        {.name = "dtype",
         .argument = "auto|f32|bf16|int8",
         .text = &model.dtype,
         .help =
             "of a MODEL: its weights as they are stored (auto, f32), or as generate rounds them"},
        {.name = "from-image",
         .flag = &model.from_image,
         .help = "of a MODEL with a VAE: images that are begun with another one"},
        {0},
    };
    struct option_row rows[OPTIONS_MOST];
    int count = cmd_bench_add_options(rows, 0, common);
    for (int i = 0; task_at(i) && count >= 0; i++)
        if (task_at(i)->bench_options)
            count = cmd_bench_add_options(rows, count, task_at(i)->bench_options);
    TRY(count);
    const struct option_usage usage = {
        .usage =
            "imgtrain bench [--task gan|splat|sr|diffusion|all] [--size N] [--steps N] ...\n"
            "       imgtrain bench MODEL|--arch NAME [--sizes LIST] [--memory-limit BYTES] ...",
        .about =
            "Times training steps on made-up images. Splats (2048 px): milliseconds a step,\n"
            "and billions of (Gaussian, pixel) pairs a second; what comes between steps of a\n"
            "fit has lines of its own: moving the least important Gaussians (with the default\n"
            "config every 100 steps), and making a frame. GAN (16, 32, 64 px,\n"
            "networks as in cfgs/gan-*.yaml): a D step and a G step with both updates, and\n"
            "the memory that they take. Networks that enlarge (64 px patches) and diffusion\n"
            "(16 px): a step and its update. Of a diffusion MODEL: the same image in every way to "
            "place the weights,\n"
            "each in a process of its own: bytes predicted and measured, time, a hash of it.",
        .options = rows,
        .max_operands = 1,
        .examples = "imgtrain bench\n"
                    "imgtrain bench --task splat --size 512 --gaussians 5000 --sigma 3\n"
                    "imgtrain bench --task gan --size 128 --batch 32 --scheme block\n"
                    "imgtrain bench --arch s3dit-42m --memory-limit 64MB\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (model.arch || operands > 0) return cmd_bench_model(&model, &b, operands, argv);
    options_without_effect("sizes dtype from-image", "without a MODEL");
    if (b.steps == 0) b.steps = 21;
    TRY(cmd_bench_check(&b));
    cmd_bench_note_unused(&b);
    TRY(cmd_bench_ask_for_kernels(&b));
    for (int i = 0; task_at(i); i++)
        if (cmd_bench_is_wanted(&b, task_at(i))) TRY(task_at(i)->bench(&b));
    if (b.json) printf("\n]\n");
    return OK;
}
