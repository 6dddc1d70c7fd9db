#include "report/run_story.h"

#include "base/error.h"
#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STORY_FILE_LIMIT = 1 << 28 };

/* ---- files of lines ---- */

/* The text of a file in the run's folder; NULL: there is none, or it cannot be read. */
static char *story_text(const char *run_dir, const char *name)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    char *path = path_join(run_dir, name);
    if (!path || !file_exists(path) || file_read_own(path, STORY_FILE_LIMIT, &text, &bytes) < 0)
        text = NULL;
    free(path);
    return (char *)text;
}

/* Ends the line at `*text`, and moves on to the next one; NULL behind the last. One that a process
 * is writing just now is none. */
static char *story_next_line(char **text)
{
    char *line = *text, *end = line ? strchr(line, '\n') : NULL;
    if (!end) return NULL;
    *end = '\0';
    *text = end + 1;
    return line;
}

/* The objects that the file's lines are; lines that are none are passed over. */
static cJSON *story_objects(const char *run_dir, const char *name)
{
    cJSON *all = cJSON_CreateArray();
    char *text = story_text(run_dir, name), *rest = text, *line;
    while (all && (line = story_next_line(&rest))) {
        cJSON *object = cJSON_Parse(line);
        if (!cJSON_IsObject(object) || !cJSON_AddItemToArray(all, object)) cJSON_Delete(object);
    }
    free(text);
    return all;
}

/* ---- metrics.jsonl ---- */

static struct story_column *story_add_column(struct run_story *story, const char *name)
{
    for (size_t i = 0; i < story->column_count; i++)
        if (strcmp(story->columns[i].name, name) == 0) return &story->columns[i];
    struct story_column *more =
        realloc(story->columns, (story->column_count + 1) * sizeof *story->columns);
    if (!more) return NULL;
    story->columns = more;
    struct story_column *column = &more[story->column_count];
    *column = (struct story_column){.name = string_format("%s", name),
                                    .values = malloc(story->rows * sizeof(double))};
    if (!column->name || !column->values) {
        free(column->name);
        free(column->values);
        return NULL;
    }
    for (size_t row = 0; row < story->rows; row++)
        column->values[row] = (double)NAN;
    story->column_count++;
    return column;
}

static int story_read_metrics(struct run_story *story)
{
    cJSON *lines = story_objects(story->path, "metrics.jsonl");
    const cJSON *line, *item;
    size_t row = 0;
    int code = OK;
    story->rows = (size_t)cJSON_GetArraySize(lines);
    cJSON_ArrayForEach(line, lines)
    {
        cJSON_ArrayForEach(item, line)
        {
            if (!cJSON_IsNumber(item) && !cJSON_IsNull(item)) continue;
            if (story->column_count == STORY_MOST_COLUMNS && !run_story_column(story, item->string))
                continue; /* no run of ours has as many */
            struct story_column *column = story_add_column(story, item->string);
            if (!column) code = fail(ERR_SYSTEM, "out of memory");
            if (column && cJSON_IsNumber(item)) column->values[row] = item->valuedouble;
        }
        row++;
    }
    cJSON_Delete(lines);
    story->steps = run_story_column(story, "step");
    return code;
}

const double *run_story_column(const struct run_story *story, const char *name)
{
    for (size_t i = 0; i < story->column_count; i++)
        if (strcmp(story->columns[i].name, name) == 0) return story->columns[i].values;
    return NULL;
}

double run_story_last(const struct run_story *story, const char *column)
{
    const double *values = run_story_column(story, column);
    for (size_t row = values ? story->rows : 0; row > 0; row--)
        if (!isnan(values[row - 1])) return values[row - 1];
    return (double)NAN;
}

int run_story_direction(const char *column)
{
    static const struct {
        const char *part;
        int direction;
    } parts[] = {{"psnr", 1},   {"ssim", 1},      {"gain", 1},  {"loss", -1},
                 {"flip", -1},  {"kid", -1},      {"fid", -1},  {"swd", -1},
                 {"lpips", -1}, {"precision", 1}, {"recall", 1}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(column, parts[i].part)) return parts[i].direction;
    return 0;
}

/* ---- config.yaml ---- */

static int story_add_setting(struct run_story *story, const char *section, const char *line)
{
    const char *colon = strstr(line, ": ");
    if (!colon) return OK;
    struct story_setting *more =
        realloc(story->settings, (story->setting_count + 1) * sizeof *story->settings);
    if (!more) return fail(ERR_SYSTEM, "out of memory");
    story->settings = more;
    more[story->setting_count++] = (struct story_setting){
        string_format("%s%s%.*s", section, *section ? "." : "", (int)(colon - line), line),
        string_format("%s", colon + 2)};
    const struct story_setting *added = &more[story->setting_count - 1];
    return added->key && added->value ? OK : ERR_SYSTEM;
}

int run_story_add_settings(struct run_story *story, char *text)
{
    char *rest = text, *line;
    const char *section = "";
    int code = OK;
    while (code == OK && (line = story_next_line(&rest))) {
        size_t length = strlen(line), indent = strspn(line, " ");
        if (length == indent || line[indent] == '#') continue;
        if (indent == 0 && line[length - 1] == ':') {
            line[length - 1] = '\0';
            section = line;
            continue;
        }
        code = story_add_setting(story, indent ? section : "", line + indent);
    }
    return code;
}

static int story_read_settings(struct run_story *story)
{
    char *text = story_text(story->path, "config.yaml");
    int code = run_story_add_settings(story, text);
    free(text);
    return code;
}

const char *run_story_setting(const struct run_story *story, const char *key)
{
    for (size_t i = 0; i < story->setting_count; i++)
        if (strcmp(story->settings[i].key, key) == 0) return story->settings[i].value;
    return NULL;
}

/* ---- log.txt ---- */

/* Lines are "TIME warning: ...". */
static int story_read_warnings(struct run_story *story)
{
    char *text = story_text(story->path, "log.txt"), *rest = text, *line;
    while ((line = story_next_line(&rest))) {
        const char *message = strchr(line, ' ');
        if (!message) continue;
        if (strncmp(message, " warning: ", 10) != 0 && strncmp(message, " error: ", 8) != 0)
            continue;
        if (story->warning_count == STORY_WARNINGS) {
            free(story->warnings[0]);
            memmove(story->warnings, story->warnings + 1,
                    (STORY_WARNINGS - 1) * sizeof *story->warnings);
            story->warning_count--;
        }
        story->warnings[story->warning_count] = string_format("%s", line);
        if (!story->warnings[story->warning_count]) break;
        story->warning_count++;
    }
    free(text);
    return OK;
}

/* ---- all of it ---- */

/* Comes first: what is read behind the last event of a run is what that left. The lock is looked at
 * on both sides: a process that begins or ends meanwhile trains. */
static void story_read_processes(struct run_story *story)
{
    bool before = file_is_locked_in(story->path, "lock");
    story->events = story_objects(story->path, "processes.jsonl");
    story->running = before || file_is_locked_in(story->path, "lock");
}

/* All but the frames. */
static int story_read_lines(struct run_story *story, const char *path)
{
    *story = (struct run_story){.path = string_format("%s", path), .name = file_folder_name(path)};
    if (!story->path || !story->name) return ERR_SYSTEM;
    if (!file_exists(path)) return fail(ERR_INPUT, "%s: no such folder", path);
    if (!file_is_dir(path)) return fail(ERR_INPUT, "%s is no run folder", path);
    if (!file_exists_in(path, "config.yaml") && !file_exists_in(path, "metrics.jsonl"))
        return fail(ERR_INPUT, "%s: no run folder (no config.yaml, no metrics.jsonl)", path);
    story_read_processes(story);
    TRY(story_read_metrics(story));
    TRY(story_read_settings(story));
    TRY(story_read_warnings(story));
    story->moves = story_objects(path, "memory.jsonl");
    story->finished = file_exists_in(path, "model.safetensors");
    return OK;
}

int run_story_read(struct run_story *story, const char *path)
{
    TRY(story_read_lines(story, path));
    int code = file_exists_in(path, "frames") ? frame_list_load(&story->frames, path, NULL) : OK;
    return code == ERR_SYSTEM ? code : OK;
}

int run_story_read_last(struct run_story *story, const char *path)
{
    TRY(story_read_lines(story, path));
    int code = file_exists_in(path, "frames") ? frame_list_load_last(&story->frames, path) : OK;
    return code == ERR_SYSTEM ? code : OK;
}

void run_story_free(struct run_story *story)
{
    for (size_t i = 0; i < story->column_count; i++) {
        free(story->columns[i].name);
        free(story->columns[i].values);
    }
    for (size_t i = 0; i < story->setting_count; i++) {
        free(story->settings[i].key);
        free(story->settings[i].value);
    }
    for (int i = 0; i < story->warning_count; i++)
        free(story->warnings[i]);
    free(story->columns);
    free(story->settings);
    free(story->path);
    free(story->name);
    cJSON_Delete(story->moves);
    cJSON_Delete(story->events);
    frame_list_free(&story->frames);
    *story = (struct run_story){0};
}

const cJSON *run_story_event(const struct run_story *story, const char *kind)
{
    const cJSON *event, *last = NULL;
    cJSON_ArrayForEach(event, story->events)
    {
        const char *said = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(event, "event"));
        if (said && (!kind || strcmp(said, kind) == 0)) last = event;
    }
    return last;
}

double run_story_number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

const char *run_story_state(const struct run_story *story)
{
    const cJSON *last = run_story_event(story, NULL);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(last, "status");
    if (cJSON_IsNumber(status))
        return status->valueint == 0 ? "finished" : status->valueint == 75 ? "stopped" : "failed";
    if (story->running) return "running";
    if (last) return "interrupted";
    return story->finished ? "finished" : "stopped";
}
