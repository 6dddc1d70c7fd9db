#include "data/pairs_names.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"

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

/* The file that a line names: all of it, or what is before one of `ends`, which a name may have in
 * it too. */
static int find_line(const struct scan *scan, char *line)
{
    static const char *const ends[] = {", ", " (", " "};
    int found = find_named(scan, line);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (char *end = strstr(line, ends[i]); end && found < 0; end = strstr(end + 1, ends[i])) {
            char kept = *end;
            *end = '\0';
            found = find_named(scan, line);
            *end = kept;
        }
    return found;
}

static int mark_named(const struct scan *scan, char *text, bool *is_named,
                      const struct pairs_options *options)
{
    int lines = 0, missing = 0;
    text += utf8_mark(text, strlen(text));
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
    if (code == OK && memchr(data, '\0', bytes))
        code = fail(ERR_DATA, "%s data: %s: no text in UTF-8: it has bytes of 0", options->role,
                    options->names);
    if (code == OK) code = mark_named(scan, (char *)data, is_named, options);
    if (code == OK) drop_others(scan, is_named);
    free(data);
    free(is_named);
    return code;
}
