#include "cmd/info/info_schedule.h"

#include "base/error.h"
#include "base/file.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEDULE_FILE_LIMIT = 1 << 28 };

struct schedule_part {
    int64_t step, size, batch;
};

struct schedule_parts {
    struct schedule_part *items;
    int count, room;
};

static int64_t schedule_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    bool is_whole = cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= 1e9;
    return is_whole ? (int64_t)item->valuedouble : -1;
}

/* Of several lines of one step the last counts: nothing was trained in between. */
static int schedule_add(struct schedule_parts *parts, const struct schedule_part *part)
{
    struct schedule_part *last = parts->count ? &parts->items[parts->count - 1] : NULL;
    if (last && last->step == part->step) last = --parts->count ? last - 1 : NULL;
    if (last && last->size == part->size && last->batch == part->batch) return OK;
    if (parts->count == parts->room) {
        int room = parts->room ? 2 * parts->room : 16;
        void *larger = realloc(parts->items, (size_t)room * sizeof *parts->items);
        if (!larger) return fail(ERR_SYSTEM, "out of memory");
        parts->items = larger;
        parts->room = room;
    }
    parts->items[parts->count++] = *part;
    return OK;
}

static int schedule_read_line(struct schedule_parts *parts, const char *path, int line,
                              const char *text)
{
    cJSON *object = cJSON_Parse(text);
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(object, "choices");
    struct schedule_part part = {.step = schedule_number(object, "step"),
                                 .size = schedule_number(choices, "size"),
                                 .batch = schedule_number(choices, "batch")};
    int code = OK;
    if (part.step < 0 || part.size < 0 || part.batch < 0)
        code = fail(ERR_DATA, "%s:%d: no step, size and batch", path, line);
    else if (part.size == 0 || part.batch == 0)
        code = fail(
            ERR_INPUT,
            "%s: no run of task sr: its steps have no patches and batch that a schedule could say",
            path);
    if (code == OK) code = schedule_add(parts, &part);
    cJSON_Delete(object);
    return code;
}

/* A process may be writing the last line. */
static int schedule_read(struct schedule_parts *parts, const char *path, char *text)
{
    int line = 0;
    for (char *end; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        TRY(schedule_read_line(parts, path, ++line, text));
    }
    return parts->count ? OK : fail(ERR_INPUT, "%s has no line", path);
}

static void schedule_print(const struct schedule_parts *parts, bool json)
{
    fputs(json ? "{\"memory.schedule\": [" : "memory.schedule: [", stdout);
    for (int i = 0; i < parts->count; i++) {
        const struct schedule_part *part = &parts->items[i];
        printf("%s%" PRId64 ", %" PRId64 ", %" PRId64, i ? ", " : "", part->step, part->size,
               part->batch);
    }
    puts(json ? "]}" : "]");
}

int info_print_schedule(const char *run_dir, bool json)
{
    struct schedule_parts parts = {.count = 0};
    uint8_t *text = NULL;
    size_t bytes = 0;
    char *path = path_join(run_dir, "memory.jsonl");
    int code = path ? file_read_own(path, SCHEDULE_FILE_LIMIT, &text, &bytes) : ERR_SYSTEM;
    if (code == OK) code = schedule_read(&parts, path, (char *)text);
    if (code == OK) schedule_print(&parts, json);
    free(parts.items);
    free(text);
    free(path);
    return code;
}
