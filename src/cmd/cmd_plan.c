/* imgtrain plan: what a config takes of memory in every memory mode, without running it. */
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "cmd/bench_model.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/named_model.h"
#include "cmd/options.h"
#include "cmd/plan_model.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "run/run_memory.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct plan_request {
    const char *size;
    uint64_t budget; /* bytes; 0: what the config says */
    struct load_options load;
    bool json;
};

/* The most of one part of the work that fits, in whichever mode; 0: the task has no such part. */
struct largest {
    int64_t size, batch, count;
};

struct planned {
    const struct task *task;
    struct task_state *state;
    struct device *device;
    struct ladder ladder;
    int64_t budget, free_bytes;
    int mode, least;
    struct largest largest;
};

/* ---- the largest work that fits ---- */

/* Whether `work` fits in some memory mode: the smallest modes come first. ERR_CONFIG: not possible.
 */
static int work_fits(const struct planned *p, const struct memory_work *work, bool *fits)
{
    *fits = false;
    for (int i = p->ladder.count - 1; i >= 0 && !*fits; i--) {
        struct memory_mode mode = p->ladder.modes[i].mode;
        struct memory_need need;
        mode.work = *work;
        TRY(p->task->need(p->state, &mode, &need));
        *fits = (int64_t)need.device_bytes <= p->budget;
    }
    return OK;
}

static struct memory_work work_of(int part, int64_t value)
{
    struct memory_work work = {.picture = part == 0 ? (int)value : 0,
                               .batch = part == 1 ? (int)value : 0,
                               .count = part == 2 ? value : 0,
                               .size = part == 3 ? (int)value : 0};
    return work;
}

/* The largest multiple of `step` up to `most` that fits: 0 where the task has no such part or
 * nothing fits. More work is taken to need more memory. */
static int64_t cmd_plan_search(const struct planned *p, int part, int64_t step, int64_t most)
{
    int64_t good = 0, bad = most / step + 1;
    while (bad - good > 1) {
        int64_t middle = good > 0 || bad <= 2 ? (good + bad) / 2 : bad / 2;
        struct memory_work work = work_of(part, middle * step);
        bool fits;
        int code = work_fits(p, &work, &fits);
        if (code == ERR_USAGE) return 0; /* no such part */
        if (code == OK && fits)
            good = middle;
        else
            bad = middle;
    }
    return good * step;
}

static void find_largest(struct planned *p)
{
    if (p->ladder.count == 0) return;
    p->largest.size = cmd_plan_search(p, 0, 16, IMAGE_MAX_SIDE);
    if (!p->largest.size) p->largest.size = cmd_plan_search(p, 3, 8, 1024); /* of a patch */
    p->largest.batch = cmd_plan_search(p, 1, 1, 65536);
    p->largest.count = cmd_plan_search(p, 2, 1000, 100000000);
}

/* ---- output ---- */

static const char *cmd_plan_yes(bool value)
{
    return value ? "yes" : "no";
}

static void cmd_plan_print_modes(const struct planned *p)
{
    printf("   %5s %4s %10s %10s %6s %8s %8s %11s %11s %5s %5s\n", "level", "amp", "recompute",
           "at a time", "bands", "offload", "scratch", "device", "host", "time", "fits");
    for (int i = 0; i < p->ladder.count; i++) {
        const struct ladder_mode *here = &p->ladder.modes[i];
        const struct memory_mode *c = &here->mode;
        char micro[16] = "all", bands[16] = "-", spill[32] = "-";
        if (c->micro_batch) snprintf(micro, sizeof micro, "%d", c->micro_batch);
        if (c->bands) snprintf(bands, sizeof bands, "%d", c->bands);
        if (c->workspace_cap)
            snprintf(spill, sizeof spill, "%s", format_bytes((int64_t)c->workspace_cap).text);
        printf("%s  %5d %4s %10s %10s %6s %8s %8s %11s %11s %5.2f %5s\n", i == p->mode ? "*" : " ",
               c->level, cmd_plan_yes(c->amp), cmd_plan_yes(c->checkpointing), micro, bands,
               cmd_plan_yes(c->offload), spill, format_bytes((int64_t)here->need.device_bytes).text,
               format_bytes((int64_t)here->need.host_bytes).text, here->need.relative_time,
               cmd_plan_yes(here->fits));
    }
}

/* What a faster mode would have needed. */
static void print_choice(const struct planned *p)
{
    char text[160];
    int64_t missing = INT64_MAX;
    const struct ladder_mode *modes = p->ladder.modes;
    if (p->mode < 0) {
        printf("\nnothing fits: the least is %s, %s more than the budget\n",
               format_bytes((int64_t)modes[p->least].need.device_bytes).text,
               format_bytes((int64_t)modes[p->least].need.device_bytes - p->budget).text);
        return;
    }
    printf("\nruns with %s", ladder_describe(text, sizeof text, &modes[p->mode].mode));
    for (int i = 0; i < p->ladder.count; i++) {
        int64_t over = (int64_t)modes[i].need.device_bytes - p->budget;
        if (modes[i].need.relative_time < modes[p->mode].need.relative_time && over > 0 &&
            over < missing)
            missing = over;
    }
    if (p->ladder.settings.level >= 0)
        printf(": the fastest of memory.level %d that fits\n", p->ladder.settings.level);
    else if (missing < INT64_MAX)
        printf(": the fastest that fits; the next faster one lacks %s\n",
               format_bytes(missing).text);
    else
        printf(": the fastest there is\n");
}

static void cmd_plan_say(const char *line)
{
    printf("%s\n", line);
}

static void cmd_plan_print_text(const struct planned *p)
{
    printf("%-8s %s\n%-8s %s\n", "task", p->task->name, "device", p->device->name);
    printf("%-8s %s (%s free)\n\n", "budget",
           p->budget == INT64_MAX ? "none" : format_bytes(p->budget).text,
           format_bytes(p->free_bytes).text);
    cmd_plan_print_modes(p);
    print_choice(p);
    memory_remark(p->task, p->state, &p->ladder, cmd_plan_say);
    printf("largest that fits, in whichever way:");
    if (p->largest.size) printf(" size %" PRId64, p->largest.size);
    if (p->largest.batch) printf(", batch %" PRId64, p->largest.batch);
    if (p->largest.count) printf(", %" PRId64 " Gaussians", p->largest.count);
    printf("%s\n", p->largest.size || p->largest.batch || p->largest.count ? "" : " none");
}

static const char *cmd_plan_truth(bool value)
{
    return value ? "true" : "false";
}

static void cmd_plan_print_json(const struct planned *p)
{
    printf("{\"task\": \"%s\", \"configurations\": [", p->task->name);
    for (int i = 0; i < p->ladder.count; i++) {
        const struct ladder_mode *here = &p->ladder.modes[i];
        const struct memory_mode *c = &here->mode;
        printf("%s\n {\"level\": %d, \"amp\": %s, \"checkpointing\": %s, \"micro_batch\": %d, "
               "\"bands\": %d, \"offload\": %s, \"workspace_cap\": %zu, \"device_bytes\": %zu, "
               "\"host_bytes\": %zu, "
               "\"relative_time\": %.3f, \"fits\": %s}",
               i ? "," : "", c->level, cmd_plan_truth(c->amp), cmd_plan_truth(c->checkpointing),
               c->micro_batch, c->bands, cmd_plan_truth(c->offload), c->workspace_cap,
               here->need.device_bytes, here->need.host_bytes, here->need.relative_time,
               cmd_plan_truth(here->fits));
    }
    printf("\n], \"chosen\": %d, \"budget_bytes\": %" PRId64 ", \"largest\": {\"size\": %" PRId64
           ", \"batch\": %" PRId64 ", \"gaussians\": %" PRId64 "}}\n",
           p->mode, p->budget, p->largest.size, p->largest.batch, p->largest.count);
}

/* ---- the command ---- */

static int read_sizes(struct task_setup *setup, const char *size)
{
    if (!size) return OK;
    if (!number_parse_size(size, &setup->width, &setup->height) || setup->width < 1 ||
        setup->height < 1 || setup->width > IMAGE_MAX_SIDE || setup->height > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "--size %s: WIDTHxHEIGHT in pixels is needed", size);
    setup->without_input = true;
    return OK;
}

static int open_for_plan(struct planned *p, const struct config *config,
                         const struct plan_request *request)
{
    struct task_setup setup = {
        .config = config, .device = p->device, .forecast_only = true, .channels = 3};
    TRY(read_sizes(&setup, request->size));
    if (p->task->prepare_plan) TRY(p->task->prepare_plan(&setup));
    return p->task->open(&p->state, &setup);
}

static int plan_one(const struct config *config, const struct plan_request *request)
{
    struct planned p = {.task = task_of_config(config), .mode = -1, .least = -1};
    int code = OK;
    TRY(device_open(&p.device, config->device, (int)config->threads));
    p.device->limit_bytes = (size_t)config->memory.limit;
    p.ladder.settings = memory_settings(config);
    if (request->budget) p.ladder.settings.budget = (int64_t)request->budget;
    p.free_bytes = p.device->free_bytes ? p.device->free_bytes(p.device) : -1;
    TRY_CLEANUP(open_for_plan(&p, config, request));
    TRY_CLEANUP(memory_list_modes(&p.ladder, p.task, p.state));
    p.budget = ladder_budget(&p.ladder.settings, p.device, 0);
    ladder_judge(&p.ladder, p.budget);
    p.mode = ladder_pick(&p.ladder, &p.least);
    find_largest(&p);
    if (request->json)
        cmd_plan_print_json(&p);
    else
        cmd_plan_print_text(&p);
cleanup:
    p.task->close(p.state);
    device_close(p.device);
    return code;
}

static int cmd_plan_model(struct model_plan *plan, const struct plan_request *request, int count,
                          char **argv)
{
    if (count > (plan->arch ? 0 : 1))
        return fail(ERR_USAGE, "plan: %s has no place beside the model", argv[plan->arch ? 1 : 2]);
    plan->operand = argv[1];
    plan->size = request->size;
    plan->device = request->load.device;
    plan->limit = request->budget;
    plan->json = request->json;
    if (!plan->sizes) return plan_model(plan);
    if (plan->size || plan->offload)
        return fail(ERR_USAGE, "--sizes is of all ways: without --size and --offload");
    const struct model_bench ladder = {.operand = plan->operand,
                                       .arch = plan->arch,
                                       .sizes = plan->sizes,
                                       .device = plan->device ? plan->device : "auto",
                                       .dtype = plan->dtype,
                                       .steps = plan->steps,
                                       .limit = plan->limit,
                                       .from_image = plan->from_image,
                                       .json = plan->json,
                                       .forecast_only = true};
    return bench_model(&ladder);
}

int cmd_plan(int argc, char **argv)
{
    struct plan_request request = {.size = NULL};
    struct model_plan model = {.steps = 0};
    const struct option_row rows[] = {
        OPTION_MEMORY_LIMIT(
            &request.budget,
            "device memory to plan for, 8GB (default: memory.budget, or what is free)"),
        {.name = "size",
         .argument = "WxH",
         .text = &request.size,
         .help = "task splat: for an image of this size (RGB, 8 bits) instead of input_path; of a "
                 "MODEL, of the image to be made"},
        {.name = "arch",
         .argument = "NAME",
         .text = &model.arch,
         .help = "the model of this architecture, which needs no files: " MODEL_ARCH_NAMES},
        {.name = "sizes",
         .argument = "LIST",
         .text = &model.sizes,
         .help = "of a MODEL: the ladder that bench measures, for images of these sizes, 1024,768"},
        {.name = "offload",
         .argument = "WAY",
         .text = &model.offload,
         .help = "of a MODEL: none, model, sequential; auto: the first that fits"},
        {.name = "dtype",
         .argument = "auto|f32|bf16|int8",
         .text = &model.dtype,
         .help =
             "of a MODEL: its weights as they are stored (auto, f32), or as generate rounds them"},
        {.name = "steps",
         .argument = "N",
         .integer = &model.steps,
         .low = 1,
         .high = SIGMAS_MOST_STEPS,
         .help = "of a MODEL: so many steps (as many as generate takes)"},
        {.name = "from-image",
         .flag = &model.from_image,
         .help = "of a MODEL with a VAE: of an image that is begun with another one"},
        OPTION_DEVICE(&request.load.device),
        {.name = "json", .flag = &request.json, .help = "print JSON"},
        {0},
    };
    const struct option_usage usage = {
        .usage =
            "imgtrain plan CONFIG [key=value ...] [--memory-limit BYTES] [--size WxH] [--json]\n"
            "       imgtrain plan MODEL|--arch NAME [--size WxH] [--offload WAY] ...",
        .about = "Prints the memory that each way of running CONFIG takes, to the byte, which one"
                 " a run picks\nand why, and the largest work that fits. Nothing is trained.\n"
                 "Of a diffusion MODEL (a folder): what making an image takes and moves in every\n"
                 "way to place its weights. Nothing is loaded.",
        .options = rows,
        .min_operands = 0,
        .max_operands = -1,
        .keys = true,
        .examples = "imgtrain plan cfgs/gan-64.yaml --memory-limit 2GB\n"
                    "imgtrain plan cfgs/8k.yaml --size 7680x4320\n"
                    "imgtrain plan --arch z-image-turbo --size 1024x1024 --memory-limit 12GB\n"
                    "imgtrain plan --arch z-image-turbo --sizes 1024,768,512\n",
    };
    int operand_count;
    const char *path;
    struct config *config = NULL;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    log_set_level(LOG_WARNING);
    if (model.arch || (operand_count > 0 && named_model_is(argv[1])))
        return cmd_plan_model(&model, &request, operand_count, argv);
    if (operand_count == 0) return fail(ERR_USAGE, "plan: a CONFIG or a MODEL is needed");
    options_without_effect("sizes offload dtype steps from-image", "without a MODEL");
    TRY(load_config(&config, &path, operand_count, argv, &request.load));
    if (config_batch_count(config) > 1)
        log_warning("a batch of %d runs: this is the plan of the first",
                    config_batch_count(config));
    int code = plan_one(config, &request);
    config_free(config);
    return code;
}
