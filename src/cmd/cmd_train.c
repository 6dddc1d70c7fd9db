/* imgtrain train: the main job. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/cmd_load.h"
#include "cmd/options.h"
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

struct train_options {
    const char *output;
    struct load_options load;
    double time_limit;
    bool resume, allow_changed_input, dry_run, quiet, json;
};

static void set_log_level(const struct config *config, bool quiet)
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

static int train_one(const struct config *config, const struct train_options *options,
                     const char *config_path, const char *run_dir, bool look)
{
    struct device *device = NULL;
    char *name = run_name(config_path, config);
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
    };
    if (code == OK) code = look ? train_look(&request) : train_run(&request);
    device_close(device);
    free(name);
    return code;
}

/* ---- batches: lists in the config, one run after the other for every combination ---- */

struct batch {
    const struct config *config;
    const struct train_options *options;
    const char *config_path;
    int count;
    int *codes;   /* of every run */
    int failed;   /* how many */
    int first;    /* of the failed ones; count: none yet */
    char *reason; /* of that */
};

static int run_of_batch(const struct batch *batch, int index, bool look)
{
    struct config *one = NULL;
    char *run_dir = NULL;
    int code = config_batch(batch->config, index, &one);
    if (code == OK && batch->options->output) {
        run_dir = string_format("%s-%03d", batch->options->output, index + 1);
        if (!run_dir) code = ERR_SYSTEM;
    }
    if (code == OK) code = train_one(one, batch->options, batch->config_path, run_dir, look);
    free(run_dir);
    config_free(one);
    return code;
}

static void train_note_failure(struct batch *batch, int index, int code)
{
    log_error("run %d of %d: %s", index + 1, batch->count, error_message());
    batch->codes[index] = code;
    batch->failed++;
    if (index > batch->first) return;
    batch->first = index;
    free(batch->reason);
    batch->reason = string_format("%s", error_message());
}

/* All runs are looked at before the first begins, so that a mistake in the last one shows at once;
 * what is wrong with one is no reason to leave the others. Only a stop ends the batch. */
static int pass_batch(struct batch *batch, bool look)
{
    for (int i = 0; i < batch->count; i++) {
        if (signals_stop_requested())
            return fail(ERR_STOPPED, "stopped (%s) before run %d of %d: run again with --resume",
                        signals_stop_reason(), i + 1, batch->count);
        if (batch->codes[i] < 0) continue;
        if (!look) log_info("run %d of %d", i + 1, batch->count);
        int code = run_of_batch(batch, i, look);
        if (code == ERR_STOPPED) return code;
        if (code < 0) train_note_failure(batch, i, code);
    }
    return OK;
}

static int train_batch(const struct config *config, const struct train_options *options,
                       const char *config_path)
{
    int count = config_batch_count(config);
    if (count == 1) return train_one(config, options, config_path, options->output, false);
    if (options->resume && !options->output && !config->exp_name[0])
        return fail(ERR_USAGE, "a batch can only be resumed by name: give -o or exp_name");
    struct batch batch = {config, options, config_path, count, NULL, 0, count, NULL};
    batch.codes = calloc((size_t)count, sizeof *batch.codes);
    if (!batch.codes) return fail(ERR_SYSTEM, "out of memory");
    log_set_level(LOG_ERROR); /* a run's warnings come when it begins */
    int code = options->dry_run ? OK : pass_batch(&batch, true);
    set_log_level(config, options->quiet);
    if (code == OK) code = pass_batch(&batch, false);
    if (code == OK && batch.failed > 0)
        code = fail(batch.codes[batch.first], "%d of %d runs failed, the first of them run %d: %s",
                    batch.failed, count, batch.first + 1, batch.reason ? batch.reason : "");
    free(batch.reason);
    free(batch.codes);
    return code;
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
                 "SIGHUP\nand SIGXCPU save and stop with exit status 75; SIGUSR2 saves.",
        .options = rows,
        .min_operands = 1,
        .max_operands = -1,
        .keys = true,
        .examples = "imgtrain train cfgs/demo.yaml input_path=photo.jpg num_gaussians=5000 -o run\n"
                    "imgtrain train cfgs/demo.yaml input_path=photo.jpg -o run --resume\n",
    };
    int operand_count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operand_count));
    if (options.allow_changed_input && !options.resume)
        return fail(ERR_USAGE, "--allow-changed-input has no effect without --resume");
    if (options.dry_run) options_without_effect("json", "with --dry-run");
    const char *path;
    struct config *config = NULL;
    if (options.time_limit > 0) signals_set_time_limit(options.time_limit);
    TRY(load_config(&config, &path, operand_count, argv, &options.load));
    set_log_level(config, options.quiet);
    if (load_is_testing())
        log_info("IMGTRAIN_TESTING is set: a short run, with a line for each step");
    if (options.time_limit < 0) signals_set_time_limit(config->time_limit);
    int code = train_batch(config, &options, path);
    config_free(config);
    return code;
}
