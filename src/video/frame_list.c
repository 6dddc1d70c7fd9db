#include "video/frame_list.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "image/image.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_WARNINGS = 5, MAX_JSON_BYTES = 1 << 20, CAPTION_BYTES = 200 };

void frame_list_skip(struct frame_list *list)
{
    list->skipped++;
    if (list->skipped <= MAX_WARNINGS) log_warning("%s; frame skipped", error_message());
}

void frame_list_sum_up(const struct frame_list *list)
{
    if (list->skipped > MAX_WARNINGS)
        log_warning("%d more frames cannot be read; skipped", list->skipped - MAX_WARNINGS);
}

static void entry_free(struct frame_entry *entry)
{
    free(entry->path);
    free(entry->caption);
    *entry = (struct frame_entry){0};
}

void frame_list_free(struct frame_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        entry_free(&list->entries[i]);
    free(list->entries);
    *list = (struct frame_list){0};
}

/* ---- names ---- */

/* "000001200.jpg" -> 1200; digits only, so that temporary files do not count. */
static bool frame_list_parse_name(const char *name, int64_t *number)
{
    enum { MAX_DIGITS = 18 };
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > MAX_DIGITS || strcmp(name + digits, ".jpg") != 0) return false;
    *number = strtoll(name, NULL, 10);
    return true;
}

static int frame_list_append(struct frame_list *list, const char *dir, const char *name,
                             int64_t number)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 256;
        struct frame_entry *entries = realloc(list->entries, room * sizeof *entries);
        if (!entries) return fail(ERR_SYSTEM, "%s: out of memory", dir);
        list->entries = entries;
        list->room = room;
    }
    struct frame_entry entry = {.number = number, .path = path_join(dir, name), .reference = true};
    if (!entry.path) return ERR_SYSTEM;
    list->entries[list->count++] = entry;
    return OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct frame_entry *left = a, *right = b;
    if (left->number != right->number) return left->number < right->number ? -1 : 1;
    return strcmp(left->path, right->path);
}

static int frame_list_scan(struct frame_list *list, const char *dir)
{
    TRY(file_check_own_folder(dir));
    DIR *handle = file_open_folder(dir, false);
    if (!handle)
        return errno == ENOENT ? fail(ERR_INPUT, "%s: no such folder, so no frames", dir)
                               : fail_errno(ERR_INPUT, "open %s", dir);
    const char *name;
    int code = OK, more = 0;
    while (code == OK && (more = file_next_name(handle, dir, &name)) > 0) {
        int64_t number;
        struct stat info;
        if (!frame_list_parse_name(name, &number)) continue;
        bool link =
            fstatat(dirfd(handle), name, &info, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(info.st_mode);
        if (!link) code = frame_list_append(list, dir, name, number); /* links are not followed */
    }
    if (code == OK) code = more;
    closedir(handle);
    if (code == OK && list->count == 0) code = fail(ERR_INPUT, "%s holds no frame", dir);
    if (code == OK) qsort(list->entries, list->count, sizeof *list->entries, compare_numbers);
    return code;
}

/* ---- JSON ---- */

/* Other bytes than printable ASCII become one '?' a character of UTF-8; at most two blanks in a row
 * save room. */
static void copy_printable(char *out, size_t room, const char *text)
{
    size_t used = 0;
    for (; *text && used + 1 < room; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte & 0xC0) == 0x80) continue;
        char shown = byte <= ' ' ? ' ' : byte <= '~' ? *text : '?';
        if (shown == ' ' && used >= 2 && out[used - 1] == ' ' && out[used - 2] == ' ') continue;
        out[used++] = shown;
    }
    out[used] = '\0';
}

/* Makes a caption of the numbers that a frame is known by, in this order. */
static void caption_from_numbers(char *out, size_t room, const cJSON *json)
{
    static const struct {
        const char *key, *label;
        int decimals; /* -1: 4 digits that count */
    } fields[] = {
        {"step", "step", 0},  {"psnr", "PSNR", 2},           {"ssim", "SSIM", 4},
        {"loss", "loss", -1}, {"gaussians", "Gaussians", 0},
    };
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, fields[i].key);
        if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) < 1e15)) continue;
        char number[32];
        if (fields[i].decimals < 0)
            snprintf(number, sizeof number, "%.4g", item->valuedouble);
        else
            snprintf(number, sizeof number, "%.*f", fields[i].decimals, item->valuedouble);
        int wrote =
            snprintf(out + used, room - used, "%s%s %s", used ? "  " : "", fields[i].label, number);
        if (wrote < 0 || (size_t)wrote >= room - used) break;
        used += (size_t)wrote;
    }
}

/* "labels": ["real", "samples"]; the last frame's count. */
static void read_labels(struct frame_list *list, const cJSON *labels)
{
    for (int i = 0; i < 2; i++) {
        const char *label = cJSON_GetStringValue(cJSON_GetArrayItem(labels, i));
        if (label) copy_printable(list->labels[i], sizeof list->labels[i], label);
    }
}

/* "columns": ["LQ", "result", "GT"]; likewise. */
static void read_columns(struct frame_list *list, const cJSON *columns)
{
    int count = cJSON_IsArray(columns) ? cJSON_GetArraySize(columns) : 0;
    if (count < 1 || count > FRAME_LIST_COLUMNS) return;
    list->column_count = count;
    for (int i = 0; i < count; i++) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(columns, i));
        copy_printable(list->columns[i], sizeof list->columns[i], name ? name : "");
    }
}

static int parse_json(struct frame_list *list, struct frame_entry *entry, const char *path,
                      const char *text, size_t bytes)
{
    cJSON *json = cJSON_ParseWithLength(text, bytes);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return fail(ERR_DATA, "%s is not a JSON object", path);
    }
    char caption[CAPTION_BYTES];
    const char *given = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "caption"));
    if (given)
        copy_printable(caption, sizeof caption, given);
    else
        caption_from_numbers(caption, sizeof caption, json);
    read_labels(list, cJSON_GetObjectItemCaseSensitive(json, "labels"));
    read_columns(list, cJSON_GetObjectItemCaseSensitive(json, "columns"));
    entry->reference = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "reference"));
    entry->caption = string_format("%s", caption);
    cJSON_Delete(json);
    return entry->caption ? OK : ERR_SYSTEM;
}

static int read_json(struct frame_list *list, struct frame_entry *entry)
{
    int stem = (int)strlen(entry->path) - 4; /* without .jpg */
    char *path = string_format("%.*s.json", stem, entry->path);
    if (!path) return ERR_SYSTEM;
    uint8_t *text = NULL;
    size_t bytes = 0;
    int code = file_read_own(path, MAX_JSON_BYTES, &text, &bytes);
    if (code == OK) code = parse_json(list, entry, path, (const char *)text, bytes);
    free(text);
    free(path);
    return code;
}

/* ---- all of it ---- */

static int frame_list_inspect(struct frame_list *list, struct frame_entry *entry)
{
    int width, height, channels;
    enum sample_type type;
    TRY(read_json(list, entry));
    TRY(image_probe(entry->path, &width, &height, &channels, &type));
    if ((int64_t)width * height > (int64_t)list->width * list->height) {
        list->width = width;
        list->height = height;
    }
    return OK;
}

static int inspect_all(struct frame_list *list, bool (*stop_requested)(void))
{
    size_t kept = 0;
    int code = OK;
    for (size_t i = 0; i < list->count; i++) {
        struct frame_entry entry = list->entries[i];
        list->entries[i] = (struct frame_entry){0};
        if (code == OK && stop_requested && stop_requested())
            code = fail(ERR_STOPPED, "stopped before the video was made");
        int read = code == OK ? frame_list_inspect(list, &entry) : code;
        if (read == ERR_SYSTEM) code = read;
        if (read == OK) {
            list->entries[kept++] = entry;
            continue;
        }
        if (code == OK) frame_list_skip(list);
        entry_free(&entry);
    }
    list->count = kept;
    return code;
}

/* The newest one may be half written, or just being removed: then it is the one before. */
static int frame_list_keep_last(struct frame_list *list)
{
    enum { TRIES = 8 };
    struct frame_entry last = {0};
    for (int i = 0; i < TRIES && list->count > 0 && !last.path; i++) {
        struct frame_entry *entry = &list->entries[--list->count];
        if (frame_list_inspect(list, entry) == OK)
            last = *entry;
        else
            entry_free(entry);
    }
    while (list->count > 0)
        entry_free(&list->entries[--list->count]);
    if (!last.path) return ERR_DATA;
    list->entries[list->count++] = last;
    return OK;
}

int frame_list_load_last(struct frame_list *list, const char *run_dir)
{
    *list = (struct frame_list){.labels = {"target", "render"}};
    char *dir = path_join(run_dir, "frames");
    int code = dir ? frame_list_scan(list, dir) : ERR_SYSTEM;
    if (code == OK) code = frame_list_keep_last(list);
    if (code < 0) frame_list_free(list);
    free(dir);
    return code;
}

int frame_list_load(struct frame_list *list, const char *run_dir, bool (*stop_requested)(void))
{
    *list = (struct frame_list){.labels = {"target", "render"}};
    char *dir = path_join(run_dir, "frames");
    int code = dir ? frame_list_scan(list, dir) : ERR_SYSTEM;
    if (code == OK) code = inspect_all(list, stop_requested);
    if (code == OK && list->count == 0)
        code = fail(ERR_DATA, "%s: none of the %d frames can be read", dir, list->skipped);
    if (code < 0) frame_list_free(list);
    free(dir);
    return code;
}
