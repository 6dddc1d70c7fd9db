#include "data/pairs_names.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum { LISTED = 10, NAMES_MOST = 256 << 20 };

static int compare_to_file(const void *name, const void *file)
{
    return strcmp(name, ((const struct scan_file *)file)->name);
}

/* Number of the file of this name; -1: none. */
static int find_named(const struct scan *scan, const char *name)
{
    const struct scan_file *found =
        bsearch(name, scan->files, (size_t)scan->count, sizeof *scan->files, compare_to_file);
    return found ? (int)(found - scan->files) : -1;
}

/* The file that a line names, which may be cut behind the name. */
static int find_line(const struct scan *scan, char *line)
{
    static const char *const ends[] = {"", ", ", " (", " "};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *end = *ends[i] ? strstr(line, ends[i]) : NULL;
        char kept = end ? *end : '\0';
        if (*ends[i] && !end) continue;
        if (end) *end = '\0';
        int found = find_named(scan, line);
        if (found >= 0) return found;
        if (end) *end = kept;
    }
    return -1;
}

static int mark_named(const struct scan *scan, char *text, bool *is_named,
                      const struct pairs_options *options)
{
    int lines = 0, missing = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        size_t length = strlen(line);
        while (length > 0 && strchr(" \t\r", line[length - 1]))
            line[--length] = '\0';
        if (length == 0) continue;
        lines++;
        int found = find_line(scan, line);
        if (found >= 0)
            is_named[found] = true;
        else if (missing++ < LISTED)
            log_warning("%s data: %s: %s is not in %s", options->role, options->names, line,
                        options->gt);
    }
    if (lines == 0)
        return fail(ERR_DATA, "%s data: %s: no image is named", options->role, options->names);
    if (missing == 0) return OK;
    return fail(ERR_DATA, "%s data: %s: %d of %d images are not in %s", options->role,
                options->names, missing, lines, options->gt);
}

static void drop_others(struct scan *scan, const bool *is_named)
{
    int kept = 0;
    for (int i = 0; i < scan->count; i++)
        if (is_named[i])
            scan->files[kept++] = scan->files[i];
        else
            free(scan->files[i].name);
    scan->count = kept;
}

int pairs_choose_named(struct scan *scan, const struct pairs_options *options)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    bool *is_named = calloc((size_t)scan->count + 1, sizeof *is_named);
    int code = is_named ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = file_read(options->names, NAMES_MOST, &data, &bytes);
    if (code == ERR_INPUT || code == ERR_ACCESS) code = fail_within(code, "sr.meta_info");
    if (code == OK) code = mark_named(scan, (char *)data, is_named, options);
    if (code == OK) drop_others(scan, is_named);
    free(data);
    free(is_named);
    return code;
}
