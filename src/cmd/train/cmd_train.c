/* imgtrain train: the main job. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/options.h"
#include "cmd/train/train_batch.h"
#include "cmd/train/train_inputs.h"
#include "config/config.h"
#include "device/device.h"
#include "registry/devices.h"
#include "registry/tasks.h"
#include "run/signals.h"
#include "run/train.h"
#include "run/train_request.h"
#include "task/task.h"

#include <stdlib.h>
#include <string.h>

void train_set_log_level(const struct config *config, bool quiet)
{
    enum log_level level = LOG_INFO;
    if (config->log_level == CONFIG_LOG_LEVEL_ERROR) level = LOG_ERROR;
    if (config->log_level == CONFIG_LOG_LEVEL_WARNING) level = LOG_WARNING;
    if (config->log_level == CONFIG_LOG_LEVEL_DEBUG) level = LOG_DEBUG;
    if (quiet && level > LOG_WARNING) level = LOG_WARNING;
    log_set_level(level);
}

/* "photos/cat.v2.png" -> "cat.v2" (malloc) */
static char *cmd_train_stem(const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t dot = end;
    while (dot > start && path[dot - 1] != '.')
        dot--;
    if (dot > start + 1) end = dot - 1;
    return string_format("%.*s", (int)(end - start), path + start);
}

/* The name that numbered run folders get: the config's, else the input's, else the task's. */
static char *run_name(const char *config_path, const struct config *config)
{
    const struct task *task = task_of_config(config);
    const char *from = config_path;
    if (!from && task->input_path) from = task->input_path(config);
    char *name = cmd_train_stem(from ? from : "");
    if (!name || name[0]) return name;
    free(name);
    return string_format("%s", task->name);
}

int train_one(const struct config *config, const struct train_options *options, const char *run_dir,
              enum train_pass pass, char **folder)
{
    struct device *device = NULL;
    char *name = run_name(options->config_path, config);
    if (!name) return ERR_SYSTEM;
    const struct task *task = task_of_config(config);
    const struct device_use use = {.task = task,
                                   .spec = config->device,
                                   .threads = (int)config->threads,
                                   .half = config->use_amp,
                                   .limit = (uint64_t)config->memory.limit};
    int code = device_open_for(&device, &use);
    const struct train_request request = {
        .config = config,
        .task = task,
        .device = device,
        .run_dir = run_dir,
        .name = name,
        .resume = options->resume,
        .allow_changed_input = options->allow_changed_input,
        .dry_run = options->dry_run,
        .quiet = options->quiet,
        .json = options->json,
        .every_step = load_is_testing(),
        .folder = folder,
    };
    if (code == OK) code = pass == TRAIN_LOOK ? train_look(&request) : train_run(&request);
    device_close(device);
    free(name);
    return code;
}

static void cmd_train_remark(const struct config *config, bool expanded, int64_t jobs)
{
    if (!expanded) options_without_effect("each", "where the input is no folder of images");
    if (!expanded && config_batch_count(config) == 1)
        options_without_effect("jobs shard only", "without a batch");
    else if (jobs > 1)
        options_without_effect("json", "with --jobs");
}

void cmd_train_listen(void)
{
    signals_install();
}

int cmd_train(int argc, char **argv)
{
    struct train_options options = {.time_limit = -1};
    const struct option_row rows[] = {
        {.letter = 'o',
         .name = "output",
         .argument = "RUN",
         .text = &options.output,
         .help = "run folder (default: runs/NAME-001, counted up)"},
        {.name = "resume",
         .flag = &options.resume,
         .help = "continue the run (without -o: the newest of this name)"},
        {.name = "allow-changed-input",
         .flag = &options.allow_changed_input,
         .help = "with --resume: go on even if the image or the data set is another one"},
        OPTION_DEVICE(&options.load.device),
        OPTION_MEMORY_LIMIT(&options.load.memory_limit,
                            "most device memory to use: 512MB, 8GB; as memory.limit"),
        {.name = "each",
         .flag = &options.each,
         .help = "a folder as the input means a run for each image in it, and no texture stack"},
        {.name = "jobs",
         .argument = "N",
         .integer = &options.jobs,
         .low = 1,
         .high = 1024,
         .help = "of a batch: runs at a time, which share threads and memory.limit"},
        {.name = "shard",
         .argument = "I/N",
         .text = &options.shard,
         .help = "of a batch: every N-th run from I on (I from 0). N alone takes I from "
                 "SLURM_ARRAY_TASK_ID\nor JOB_COMPLETION_INDEX; auto takes N from SLURM too"},
        {.name = "only",
         .argument = "K",
         .integer = &options.only,
         .low = 1,
         .high = 1000000,
         .help = "of a batch: run K alone (from 1)"},
        {.name = "dry-run",
         .flag = &options.dry_run,
         .help = "print what the run will need of memory and disk, and make nothing"},
        {.name = "time-limit",
         .argument = "T",
         .seconds = &options.time_limit,
         .help = "save and stop after 90, 5m, 3h50m; exit status 75"},
        {.letter = 'q',
         .name = "quiet",
         .flag = &options.quiet,
         .help = "warnings and errors only"},
        {.name = "json", .flag = &options.json, .help = "progress as JSON lines on stdout"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain train CONFIG [key=value ...] [-o RUN] [--resume] [--device NAME] "
                 "[--dry-run] [--time-limit T]",
        .about = "Trains what CONFIG, a file or the name of a preset, describes and leaves\n"
                 "model.safetensors, final.png and video.mp4 in the run folder. SIGTERM, SIGINT, "
                 "SIGUSR1, "
                 "SIGHUP\nand SIGXCPU save and stop with exit status 75; SIGUSR2 saves. A list "
                 "where one value belongs, or a\npattern as the input, makes a batch: a run for "
                 "every combination, each in a folder of its own,\nand RUN-summary.html, .csv and "
                 ".json.",
        .options = rows,
        .min_operands = 1,
        .max_operands = -1,
        .keys = true,
        .examples = "imgtrain train cfgs/demo.yaml input_path=photo.jpg num_gaussians=5000 -o run\n"
                    "imgtrain train cfgs/demo.yaml input_path=photo.jpg -o run --resume\n"
                    "imgtrain train cfgs/demo.yaml input_path='photos/*.png' "
                    "num_gaussians='[2000, 8000]' -o many --jobs 2\n",
    };
    int operand_count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    if (options.allow_changed_input && !options.resume)
        return fail(ERR_USAGE, "--allow-changed-input has no effect without --resume");
    if (options.dry_run) options_without_effect("json", "with --dry-run");
    struct config *config = NULL;
    bool expanded;
    if (options.time_limit > 0) signals_set_time_limit(options.time_limit);
    TRY(load_config(&config, &options.config_path, operand_count, argv, &options.load));
    train_set_log_level(config, options.quiet);
    if (load_is_testing())
        log_info("IMGTRAIN_TESTING is set: a short run, with a line for each step");
    if (options.time_limit < 0) signals_set_time_limit(config->time_limit);
    int code = train_expand_inputs(config, options.each, &expanded);
    if (code == OK) cmd_train_remark(config, expanded, options.jobs);
    if (code == OK) code = train_batch(config, &options, expanded);
    config_free(config);
    return code;
}
