/* imgtrain info: what a checkpoint, a model or a run folder holds. Reads only. */
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "base/retry.h"
#include "cmd/cmd.h"
#include "cmd/info/info_model.h"
#include "cmd/info/info_onnx.h"
#include "cmd/info/info_schedule.h"
#include "cmd/info/info_tensors.h"
#include "cmd/options.h"
#include "diffusion/model/model_folder.h"
#include "registry/tasks.h"
#include "store/checkpoint.h"
#include "store/onnx.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- one file ---- */

/* Text of a file for the terminal: one line, cut at 64 bytes, nothing that moves the cursor. */
static void cmd_info_print_text(const char *text)
{
    int shown = 0;
    for (; text[shown] && (shown < 64 || ((unsigned char)text[shown] & 0xC0) == 0x80); shown++) {
        unsigned char c = (unsigned char)text[shown];
        putchar(c < 0x20 || c == 0x7F ? ' ' : c);
    }
    if (text[shown]) fputs("...", stdout);
}

static int cmd_info_count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* What a task has to say of the file; how much. */
static int cmd_info_find_facts(const struct store_file *file, struct task_fact *facts)
{
    int count = 0;
    for (int i = 0; task_at(i) && count == 0; i++)
        if (task_at(i)->describe) count = task_at(i)->describe(file, facts);
    return count;
}

static int64_t value_count(const struct store_file *file)
{
    int64_t sum = 0;
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *t = store_at(file, i);
        sum += (int64_t)(t->bytes / tensor_type_bytes(t->type));
    }
    return sum;
}

static bool is_crc(const char *key)
{
    return strncmp(key, "crc32", 5) == 0;
}

static void print_metadata(const struct store_file *file)
{
    for (int i = 0; i < store_metadata_count(file); i++) {
        const char *key, *value;
        store_metadata_at(file, i, &key, &value);
        if (is_crc(key)) continue;
        fputs("  ", stdout);
        cmd_info_print_text(key);
        printf("%*s ", strlen(key) < 12 ? 12 - (int)strlen(key) : 0, "");
        if (strcmp(key, "config") == 0)
            printf("%d lines (--json shows them)", cmd_info_count_lines(value));
        else
            cmd_info_print_text(value);
        putchar('\n');
    }
}

static void print_file(const struct store_file *file, bool each)
{
    const char *kind = store_get(file, "kind"), *task = store_get(file, "task");
    struct task_fact facts[TASK_MAX_FACTS];
    printf("%s: ", store_path(file));
    cmd_info_print_text(kind ? kind : "tensors");
    if (task) fputs(" of task ", stdout);
    cmd_info_print_text(task ? task : "");
    putchar('\n');
    printf("  %-12s %zu B (%s), CRCs %s\n", "size", store_bytes(file),
           format_bytes((int64_t)store_bytes(file)).text,
           store_get(file, "crc32") ? "right" : "not there");
    int count = cmd_info_find_facts(file, facts);
    for (int i = 0; i < count; i++) {
        if (facts[i].text[0])
            printf("  %-12s %s\n", facts[i].label, facts[i].text);
        else
            printf("  %-12s %" PRId64 "\n", facts[i].label, facts[i].value);
    }
    printf("  %-12s %" PRId64 " in %d tensors\n",
           kind && strcmp(kind, "model") == 0 ? "parameters" : "values", value_count(file),
           store_count(file));
    puts("metadata");
    print_metadata(file);
    puts("tensors");
    info_print_tensors(file, each);
}

static void json_key(const char *key)
{
    json_write_string(stdout, key);
    fputs(": ", stdout);
}

/* Without braces around it: members of an object. */
static void json_file(const struct store_file *file)
{
    struct task_fact facts[TASK_MAX_FACTS];
    json_key("path");
    json_write_string(stdout, store_path(file));
    printf(", \"bytes\": %zu, \"values\": %" PRId64, store_bytes(file), value_count(file));
    int count = cmd_info_find_facts(file, facts);
    for (int i = 0; i < count; i++) {
        printf(", \"%s\": ", facts[i].key);
        if (facts[i].text[0])
            json_write_string(stdout, facts[i].text);
        else
            printf("%" PRId64, facts[i].value);
    }
    fputs(", \"metadata\": {", stdout);
    for (int i = 0; i < store_metadata_count(file); i++) {
        const char *key, *value;
        store_metadata_at(file, i, &key, &value);
        if (i > 0) fputs(", ", stdout);
        json_key(key);
        json_write_string(stdout, value);
    }
    fputs("}, \"tensors\": ", stdout);
    info_json_tensors(file);
}

static int info_file(const char *path, bool json, bool each)
{
    struct store_file *file;
    TRY(store_open(&file, path));
    if (json) {
        putchar('{');
        json_file(file);
        puts("}");
    } else {
        print_file(file, each);
    }
    store_close(file);
    return OK;
}

/* ---- a run folder ---- */

struct run_facts {
    struct store_file *checkpoint; /* the newest sound one, or NULL */
    int64_t step;
    int checkpoint_count;
    int rejected_count; /* damaged ones that were renamed */
    bool has_model;
    int64_t model_step;  /* -1: unknown */
    int64_t video_bytes; /* -1: none */
    int frames;
    cJSON *metrics; /* the last whole line, or NULL */
    bool running, finished;
};

static int count_frames(const char *run_dir)
{
    int count = 0;
    char *path = path_join(run_dir, "frames");
    DIR *dir = path ? file_open_folder(path, false) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        count += length > 4 && strcmp(entry->d_name + length - 4, ".jpg") == 0;
    }
    if (dir) closedir(dir);
    free(path);
    return count;
}

/* The last line of metrics.jsonl that is whole: a running process may be writing the next one. */
static cJSON *last_metrics(const char *run_dir)
{
    enum { TAIL = 16384 };
    char tail[TAIL + 1];
    cJSON *metrics = NULL;
    char *path = path_join(run_dir, "metrics.jsonl");
    int fd = -1;
    if (path) file_open_own(path, O_RDONLY, ERR_INPUT, &fd);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    ssize_t got = end > 0 ? retry_pread(fd, tail, TAIL, end > TAIL ? end - TAIL : 0) : 0;
    while (got > 0 && !metrics) {
        while (got > 0 && tail[got - 1] != '\n')
            got--;
        if (got == 0) break;
        tail[--got] = '\0';
        char *newline = strrchr(tail, '\n');
        metrics = cJSON_Parse(newline ? newline + 1 : tail);
        if (!cJSON_IsObject(metrics)) {
            cJSON_Delete(metrics);
            metrics = NULL;
        }
    }
    if (fd >= 0) retry_close(fd);
    free(path);
    return metrics;
}

static void look_at_outputs(const char *run_dir, struct run_facts *facts)
{
    char *model = path_join(run_dir, "model.safetensors"), *video = path_join(run_dir, "video.mp4");
    struct store_file *file = NULL;
    struct stat info;
    facts->model_step = facts->video_bytes = -1;
    if (model && file_exists(model)) {
        facts->has_model = store_open_own(&file, model) == OK;
        if (!facts->has_model) log_warning("%s", error_message());
    }
    if (facts->has_model && store_get_int(file, "step", &facts->model_step) < 0)
        facts->model_step = -1;
    if (video && stat(video, &info) == 0) facts->video_bytes = info.st_size;
    store_close(file);
    free(model);
    free(video);
}

static int cmd_info_gather(const char *run_dir, struct run_facts *facts)
{
    int64_t *steps, finished = 0;
    *facts = (struct run_facts){.step = -1};
    TRY(checkpoint_list(run_dir, &steps, &facts->checkpoint_count));
    free(steps);
    bool is_run = facts->checkpoint_count > 0 || file_exists_in(run_dir, "config.yaml");
    look_at_outputs(run_dir, facts);
    if (!is_run && !facts->has_model)
        return fail(ERR_INPUT, "%s: no run folder (no config.yaml, checkpoint or model)", run_dir);
    if (facts->checkpoint_count > 0) {
        int code = checkpoint_latest(run_dir, &facts->checkpoint, &facts->step);
        if (code < 0 && code != ERR_DATA && code != ERR_INPUT) return code;
    }
    facts->rejected_count = checkpoint_rejected(run_dir);
    facts->running = file_is_locked_in(run_dir, "lock");
    facts->frames = count_frames(run_dir);
    facts->metrics = last_metrics(run_dir);
    if (facts->checkpoint && store_get(facts->checkpoint, "finished"))
        facts->finished =
            store_get_int(facts->checkpoint, "finished", &finished) == OK && finished == 1;
    else
        facts->finished = facts->has_model && facts->model_step >= facts->step;
    return OK;
}

static const char *state_name(const struct run_facts *facts)
{
    return facts->running ? "running" : facts->finished ? "finished" : "stopped";
}

static void print_metrics(const cJSON *metrics)
{
    const cJSON *item;
    printf("  %-12s", "metrics");
    cJSON_ArrayForEach(item, metrics)
    {
        double value = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
        bool whole = value >= -0x1p53 && value <= 0x1p53 && floor(value) == value;
        if (!isnan(value)) printf(whole ? " %s %.0f" : " %s %.6g", item->string, value);
    }
    putchar('\n');
}

static void print_run(const char *run_dir, const struct run_facts *facts, bool each)
{
    printf("%s: run, %s\n", run_dir, state_name(facts));
    if (facts->checkpoint)
        printf("  %-12s step %" PRId64 ", newest of %d\n", "checkpoint", facts->step,
               facts->checkpoint_count);
    else
        printf("  %-12s %s\n", "checkpoint", facts->checkpoint_count ? "all broken" : "none");
    if (facts->rejected_count)
        printf("  %-12s %d damaged checkpoint%s, renamed to .bad\n", "set aside",
               facts->rejected_count, facts->rejected_count == 1 ? "" : "s");
    if (facts->has_model)
        printf("  %-12s model.safetensors, step %" PRId64 "\n", "model", facts->model_step);
    printf("  %-12s %d\n", "frames", facts->frames);
    if (facts->video_bytes >= 0)
        printf("  %-12s video.mp4, %s\n", "video", format_bytes(facts->video_bytes).text);
    if (facts->metrics) print_metrics(facts->metrics);
    if (facts->checkpoint) {
        putchar('\n');
        print_file(facts->checkpoint, each);
    }
}

static int json_run(const char *run_dir, const struct run_facts *facts)
{
    char *metrics = facts->metrics ? cJSON_PrintUnformatted(facts->metrics) : strdup("null");
    if (!metrics) return fail(ERR_SYSTEM, "out of memory");
    fputs("{\"run\": ", stdout);
    json_write_string(stdout, run_dir);
    printf(", \"state\": \"%s\", \"checkpoints\": %d, \"bad_checkpoints\": %d, \"frames\": %d",
           state_name(facts), facts->checkpoint_count, facts->rejected_count, facts->frames);
    printf(", \"model\": %s, \"video\": %s", facts->has_model ? "true" : "false",
           facts->video_bytes >= 0 ? "true" : "false");
    printf(", \"metrics\": %s, \"checkpoint\": ", metrics);
    free(metrics);
    if (facts->checkpoint) {
        printf("{\"step\": %" PRId64 ", ", facts->step);
        json_file(facts->checkpoint);
        putchar('}');
    } else {
        fputs("null", stdout);
    }
    puts("}");
    return OK;
}

static int info_run(const char *run_dir, bool json, bool each)
{
    struct run_facts facts;
    int code = cmd_info_gather(run_dir, &facts);
    if (code == OK && json)
        code = json_run(run_dir, &facts);
    else if (code == OK)
        print_run(run_dir, &facts, each);
    cJSON_Delete(facts.metrics);
    store_close(facts.checkpoint);
    return code;
}

int cmd_info(int argc, char **argv)
{
    bool json = false, schedule = false, each = false;
    const struct option_row options[] = {
        {.name = "json", .flag = &json, .help = "print one JSON object"},
        {.name = "tensors",
         .flag = &each,
         .help = "list each tensor of a network, not only what its parts come to"},
        {.name = "schedule",
         .flag = &schedule,
         .help =
             "of a run of task sr: the size and batch of all its steps, as the line of a config\n"
             "that repeats them (memory.schedule)"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain info FILE|RUN|MODEL [--json] [--tensors] [--schedule]",
        .about = "Says what a checkpoint, a model (any safetensors file) or a run folder holds: "
                 "task, step,\nsize, metadata, and each tensor with its shape and range, of a "
                 "network each part with\nits range. Every CRC is checked. Of a model folder: its "
                 "components, and whether\n`generate` takes it. Of an ONNX file: inputs, outputs, "
                 "metadata, the text that goes with it.",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
        .examples = "imgtrain info runs/photo-001\n"
                    "imgtrain info runs/photo-001/model.safetensors --json\n"
                    "imgtrain info runs/sr-001 --schedule\n",
    };
    int count;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    if (schedule && !file_is_dir(argv[1]))
        return fail(ERR_USAGE, "--schedule is of a run folder, and %s is none", argv[1]);
    if (schedule) return info_print_schedule(argv[1], json);
    if (info_is_model(argv[1])) return info_print_model(argv[1], json);
    char *found = NULL; /* no path, but the name of a model, as generate takes it */
    if (!file_exists(argv[1]) && model_folder_find(&found, argv[1]) == OK) {
        int code = info_print_model(found, json);
        free(found);
        return code;
    }
    if (file_is_dir(argv[1])) return info_run(argv[1], json, each);
    return onnx_is_named(argv[1]) ? info_print_onnx(argv[1], json) : info_file(argv[1], json, each);
}
