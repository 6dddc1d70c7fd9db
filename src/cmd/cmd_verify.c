/* imgtrain verify: whether what runs have left is as it was written. Changes nothing. */
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/config.h"
#include "image/image.h"
#include "store/checkpoint.h"
#include "store/json_file.h"
#include "store/safetensors.h"
#include "store/tensor_range.h"
#include "video/video.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { VERIFY_TEXT_BYTES = 256, VERIFY_FILE_LIMIT = 1 << 30 };

struct verify_report {
    bool json;
    bool quiet; /* sound files are only counted */
    int sound, damaged, unknown;
    int code; /* of the first fault */
};

/* What a check says of a sound file; a fault is the error message. */
struct verify_note {
    char text[VERIFY_TEXT_BYTES];
};

/* ---- the kinds of files ---- */

static int verify_finite(const struct store_file *file)
{
    for (int i = 0; i < store_count(file); i++) {
        const struct store_tensor *tensor = store_at(file, i);
        int64_t odd = tensor_range(tensor).nonfinite;
        if (odd > 0)
            return fail(ERR_DATA, "%s: tensor '%s' has %" PRId64 " numbers that are not finite",
                        store_path(file), tensor->name, odd);
    }
    return OK;
}

static int verify_stored_config(const struct store_file *file)
{
    const char *text = store_get(file, "config");
    struct config *config = NULL;
    if (!text) return OK;
    int code = config_load_text(&config, store_path(file), text, strlen(text), 0, NULL);
    config_free(config);
    return code == ERR_CONFIG ? fail_within(ERR_DATA, "%s: the config in it", store_path(file))
                              : code;
}

/* step, run: what it must say of itself; -1 and NULL: anything. */
static int verify_tensors(const char *path, int64_t step, const char *run, struct verify_note *note)
{
    struct store_file *file = NULL;
    int64_t said = -1;
    TRY(store_open(&file, path));
    const char *kind = store_get(file, "kind"), *of = store_get(file, "run");
    int code = verify_finite(file);
    if (code == OK) code = verify_stored_config(file);
    if (code == OK && store_get(file, "step")) code = store_get_int(file, "step", &said);
    if (code == OK && step >= 0 && said != step)
        code = fail(ERR_DATA, "%s is of step %" PRId64, path, said);
    if (code == OK && run && of && strcmp(run, of) != 0)
        code = fail(ERR_DATA, "%s is of another run", path);
    snprintf(note->text, sizeof note->text, "%.40s, %d tensors%s", kind ? kind : "tensors",
             store_count(file), store_has_crcs(file) ? "" : ", no checksums in it");
    if (said >= 0 && step < 0) {
        size_t used = strlen(note->text);
        snprintf(note->text + used, sizeof note->text - used, ", step %" PRId64, said);
    }
    store_close(file);
    return code;
}

static int verify_image(const char *path, struct verify_note *note)
{
    struct image image = {0};
    TRY(image_load(&image, path));
    snprintf(note->text, sizeof note->text, "image %dx%d", image.width, image.height);
    image_free(&image);
    return OK;
}

/* Where libav is not to be had, its beginning and end alone. */
static int verify_video(const char *path, struct verify_note *note)
{
    int64_t frames = 0;
    int width = 0, height = 0;
    TRY(video_check(path));
    int code = video_verify(path, &frames, &width, &height);
    if (code == ERR_USAGE || code == ERR_DEVICE) {
        snprintf(note->text, sizeof note->text, "video, not decoded: %s", error_message());
        return OK;
    }
    snprintf(note->text, sizeof note->text, "video %dx%d, %" PRId64 " frames", width, height,
             frames);
    return code;
}

static int verify_json(const char *path, struct verify_note *note)
{
    cJSON *json;
    TRY(json_file_read(&json, path, VERIFY_FILE_LIMIT));
    cJSON_Delete(json);
    snprintf(note->text, sizeof note->text, "JSON");
    return OK;
}

/* A line that ends nowhere was being written when a process was killed: a resume drops it. */
static int verify_lines(const char *path, struct verify_note *note)
{
    uint8_t *text = NULL;
    size_t bytes = 0, at = 0;
    int lines = 0, code = OK;
    TRY(file_read(path, VERIFY_FILE_LIMIT, &text, &bytes));
    while (at < bytes && code == OK) {
        uint8_t *end = memchr(text + at, '\n', bytes - at);
        if (!end) break;
        size_t length = (size_t)(end - text) - at, fault;
        *end = 0;
        cJSON *json = json_parse((const char *)text + at, length, &fault);
        lines++;
        if (!json && errno == ENOMEM)
            code = fail(ERR_SYSTEM, "%s: out of memory", path);
        else if (!cJSON_IsObject(json))
            code = fail(ERR_DATA, "%s:%d is no JSON object", path, lines);
        cJSON_Delete(json);
        at += length + 1;
    }
    free(text);
    snprintf(note->text, sizeof note->text, "%d lines%s", lines,
             at < bytes ? ", and one that was not written to its end" : "");
    return code;
}

static int verify_config(const char *path, struct verify_note *note)
{
    struct config *config = NULL;
    int code = config_load(&config, path, 0, NULL);
    config_free(config);
    snprintf(note->text, sizeof note->text, "config");
    return code == ERR_CONFIG ? fail_within(ERR_DATA, "%s", path) : code;
}

static bool verify_ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), wanted = strlen(ending);
    return length > wanted && strcmp(path + length - wanted, ending) == 0;
}

static int verify_any_tensors(const char *path, struct verify_note *note)
{
    return verify_tensors(path, -1, NULL, note);
}

static const struct verify_kind {
    const char *ending;
    int (*check)(const char *path, struct verify_note *note);
} verify_kinds[] = {
    {".safetensors", verify_any_tensors},
    {".mp4", verify_video},
    {".json", verify_json},
    {".jsonl", verify_lines},
    {".yaml", verify_config},
    {".png", verify_image},
    {".jpg", verify_image},
};

/* NULL: a file of no kind that is known here. */
static const struct verify_kind *verify_kind_of(const char *path)
{
    for (size_t i = 0; i < sizeof verify_kinds / sizeof *verify_kinds; i++)
        if (verify_ends_with(path, verify_kinds[i].ending)) return &verify_kinds[i];
    return NULL;
}

/* ---- what is said ---- */

static void verify_say(struct verify_report *report, const char *path, int code,
                       const struct verify_note *note)
{
    const char *text = code == OK ? note->text : error_message();
    int before = report->sound + report->damaged;
    if (code == OK) report->sound++;
    if (code < 0) report->damaged++;
    if (code < 0 && report->code == OK) report->code = code;
    if (report->json) {
        fputs(before ? ", {\"path\": " : "{\"path\": ", stdout);
        json_write_string(stdout, path);
        printf(", \"sound\": %s, \"note\": ", code == OK ? "true" : "false");
        json_write_string(stdout, text);
        putchar('}');
    } else if (code == OK && report->quiet) {
        return;
    } else if (code == OK) {
        printf("sound    %s: %s\n", path, text);
    } else { /* the message names the file */
        printf("%s  %s\n", code == ERR_DATA ? "DAMAGED" : "NOT READ", text);
    }
}

/* A run folder holds files of other kinds too (log.txt): they have no form to be held against. */
static void verify_file(struct verify_report *report, const char *path)
{
    struct verify_note note = {""};
    const struct verify_kind *kind = verify_kind_of(path);
    if (kind)
        verify_say(report, path, kind->check(path, &note), &note);
    else
        report->unknown++;
}

/* ---- a run folder ---- */

/* How a folder is gone through. */
struct verify_walk {
    struct verify_report *report;
    bool follow;        /* links too: a cache of downloads has nothing else */
    int depth;          /* of folders within it */
    const char *but[3]; /* names of folders that are not gone into; ends with NULL */
};

/* What is neither a file nor a folder would make a reader wait; *folder: it is one. */
static bool verify_is_wanted(const struct verify_walk *walk, const char *path, bool *folder)
{
    struct stat info;
    if ((walk->follow ? stat : lstat)(path, &info) != 0) return false;
    *folder = S_ISDIR(info.st_mode);
    const char *name = strrchr(path, '/') + 1;
    for (int i = 0; *folder && walk->but[i]; i++)
        if (strcmp(name, walk->but[i]) == 0) return false;
    return *folder ? walk->depth > 0 : S_ISREG(info.st_mode);
}

/* Everything in it, in the order of the names. */
static int verify_folder(const struct verify_walk *walk, const char *path)
{
    struct verify_walk below = *walk;
    char **names = NULL;
    const char *name = NULL;
    size_t count = 0;
    int code = OK;
    below.depth--;
    DIR *folder = file_open_folder(path, walk->follow);
    if (!folder) return fail_errno(ERR_INPUT, "%s", path);
    while (code >= 0 && (code = file_next_name(folder, path, &name)) == 1) {
        if (name[0] == '.') continue; /* "..", and what is being written */
        char **more = realloc(names, (count + 1) * sizeof *names);
        if (more) names = more;
        if (!more || !(names[count] = path_join(path, name)))
            code = fail(ERR_SYSTEM, "out of memory");
        else
            count++;
    }
    closedir(folder);
    if (count > 1) qsort(names, count, sizeof *names, string_compare);
    for (size_t i = 0; i < count; i++) {
        bool is_folder = false;
        if (code >= 0 && verify_is_wanted(walk, names[i], &is_folder)) {
            if (is_folder)
                code = verify_folder(&below, names[i]);
            else
                verify_file(walk->report, names[i]);
        }
        free(names[i]);
    }
    free(names);
    return code < 0 ? code : OK;
}

enum { VERIFY_NO_STEP = -1, VERIFY_UNKNOWN_STEP = -2 };

/* *resume: the step that a resume goes on from. Only a damaged checkpoint is passed over: one that
 * cannot be read may be the one that it takes. */
static int verify_checkpoints(struct verify_report *report, const char *run_dir, int64_t *resume)
{
    int64_t *steps = NULL;
    int count = 0;
    char *id_path = path_join(run_dir, "run-id"), *run = NULL;
    uint8_t *id = NULL;
    size_t bytes = 0;
    if (!id_path) return ERR_SYSTEM;
    if (file_exists(id_path) && file_read_own(id_path, VERIFY_TEXT_BYTES, &id, &bytes) == OK) {
        run = (char *)id;
        run[strcspn(run, "\n")] = '\0';
    }
    free(id_path);
    *resume = VERIFY_NO_STEP;
    int code = checkpoint_list(run_dir, &steps, &count);
    for (int i = 0; i < count && code == OK; i++) {
        struct verify_note note = {""};
        char *path = checkpoint_path(run_dir, steps[i]);
        if (!path) {
            code = ERR_SYSTEM;
            break;
        }
        int found = verify_tensors(path, steps[i], run, &note);
        if (*resume == VERIFY_NO_STEP && found != ERR_DATA)
            *resume = found == OK ? steps[i] : VERIFY_UNKNOWN_STEP;
        verify_say(report, path, found, &note);
        free(path);
    }
    free(steps);
    free(id);
    return code;
}

/* There may be thousands: sound ones get one line together. */
static int verify_frames(struct verify_report *report, const char *run_dir)
{
    const struct verify_walk walk = {.report = report};
    int sound = report->sound;
    char *frames = path_join(run_dir, "frames");
    if (!frames) return ERR_SYSTEM;
    report->quiet = true;
    int code = file_is_dir(frames) ? file_check_own_folder(frames) : OK;
    if (code == OK && file_is_dir(frames)) code = verify_folder(&walk, frames);
    report->quiet = false;
    if (code == OK && !report->json && report->sound > sound)
        printf("sound    %s: %d files\n", frames, report->sound - sound);
    free(frames);
    return code;
}

static int verify_run(struct verify_report *report, const char *run_dir)
{
    const struct verify_walk walk = {
        .report = report, .depth = 2, .but = {"checkpoints", "frames"}};
    int64_t resume;
    TRY(verify_checkpoints(report, run_dir, &resume));
    TRY(verify_folder(&walk, run_dir));
    TRY(verify_frames(report, run_dir));
    int rejected = checkpoint_rejected(run_dir);
    if (report->json) return OK;
    if (rejected > 0)
        printf("%s: %d damaged checkpoint%s set aside before (.bad)\n", run_dir, rejected,
               rejected == 1 ? " was" : "s were");
    if (resume >= 0)
        printf("%s: a resume goes on from step %" PRId64 "\n", run_dir, resume);
    else if (resume == VERIFY_NO_STEP)
        printf("%s: no checkpoint to resume from\n", run_dir);
    return OK;
}

/* A run, or a model folder as diffusers lays it out. */
static int verify_any_folder(struct verify_report *report, const char *path)
{
    const struct verify_walk model = {.report = report, .follow = true, .depth = 1};
    if (file_exists_in(path, "config.yaml") || file_exists_in(path, "checkpoints") ||
        file_exists_in(path, "model.safetensors"))
        return verify_run(report, path);
    if (file_exists_in(path, "model_index.json")) return verify_folder(&model, path);
    return fail(ERR_INPUT, "%s: no run folder (no config.yaml, checkpoint or model)", path);
}

int cmd_verify(int argc, char **argv)
{
    struct verify_report report = {0};
    const struct option_row options[] = {
        {.name = "json", .flag = &report.json, .help = "print one JSON object"},
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain verify FILE|RUN|MODEL... [--json]",
        .about = "Looks whether files are as they were written: checksums and numbers of "
                 "checkpoints and models,\nconfig, metrics, frames, images and video of run "
                 "folders, and which checkpoint a resume takes.\nChanges nothing. Status 65 when "
                 "something is damaged.",
        .options = options,
        .min_operands = 1,
        .max_operands = -1,
        .examples = "imgtrain verify runs/photo-001\n"
                    "imgtrain verify runs/*/model.safetensors --json\n",
    };
    int count, code = OK;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &count));
    if (report.json) fputs("{\"files\": [", stdout);
    for (int i = 1; i <= count && code == OK; i++) {
        struct verify_note note = {""};
        const struct verify_kind *kind = verify_kind_of(argv[i]);
        if (file_is_dir(argv[i]))
            code = verify_any_folder(&report, argv[i]);
        else /* of any other name: tensors or nothing */
            verify_say(&report, argv[i],
                       kind ? kind->check(argv[i], &note) : verify_any_tensors(argv[i], &note),
                       &note);
    }
    if (report.json)
        printf("], \"sound\": %d, \"damaged\": %d, \"not_looked_at\": %d}\n", report.sound,
               report.damaged, report.unknown);
    TRY(code);
    if (report.damaged == 0) return OK;
    return fail(report.code, "damaged or not readable: %d of %d files", report.damaged,
                report.damaged + report.sound);
}
