#include "data/label_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_FILE_MOST = 256 << 20, LABEL_KEYS = 4 };

/* One of the names that an image can be told by. */
struct label_key {
    char *text;
    int image;
    bool is_path; /* the whole of it, which no other image has */
};

/* The class of a line. */
struct label_entry {
    const char *class;
    int image;
    int64_t number; /* where all are numbers */
};

struct label_reader {
    const char *path;
    char *text; /* of the file, cut into fields */
    struct label_key *keys;
    int key_count;
    const char **classes; /* [count of images]: NULL: none yet */
    int count;
    int unknown, first_unknown; /* lines that name no image */
    char unknown_name[64];
};

/* ---- names of images ---- */

static int label_compare_keys(const void *a, const void *b)
{
    const struct label_key *p = a, *q = b;
    int order = strcmp(p->text, q->text);
    if (order == 0) order = q->is_path - p->is_path;
    return order ? order : (p->image > q->image) - (p->image < q->image);
}

static int label_add_key(struct label_reader *r, int image, const char *text, size_t length,
                         bool is_path)
{
    char *copy = string_format("%.*s", (int)length, text);
    if (!copy) return ERR_SYSTEM;
    r->keys[r->key_count++] = (struct label_key){copy, image, is_path};
    return OK;
}

static int label_list_keys(struct label_reader *r, const char *(*name)(const void *context, int i),
                           const void *context)
{
    r->keys = calloc((size_t)r->count * LABEL_KEYS + 1, sizeof *r->keys);
    if (!r->keys) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < r->count; i++) {
        const char *whole = name(context, i), *slash = strrchr(whole, '/');
        const char *base = slash ? slash + 1 : whole, *dot = strrchr(base, '.');
        TRY(label_add_key(r, i, whole, strlen(whole), true));
        if (slash) TRY(label_add_key(r, i, base, strlen(base), false));
        if (dot) TRY(label_add_key(r, i, whole, (size_t)(dot - whole), false));
        if (dot && slash) TRY(label_add_key(r, i, base, (size_t)(dot - base), false));
    }
    qsort(r->keys, (size_t)r->key_count, sizeof *r->keys, label_compare_keys);
    return OK;
}

/* The image of a name; -1: none; -2: several. */
static int label_find(const struct label_reader *r, const char *name)
{
    int low = 0, high = r->key_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(r->keys[middle].text, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->key_count || strcmp(r->keys[low].text, name) != 0) return -1;
    if (r->keys[low].is_path) return r->keys[low].image;
    for (int i = low + 1; i < r->key_count && strcmp(r->keys[i].text, name) == 0; i++)
        if (r->keys[i].image != r->keys[low].image) return -2;
    return r->keys[low].image;
}

/* ---- lines ---- */

static char *label_trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* The separator that the line has outside of quotes; 0: none. */
static char label_separator(const char *line)
{
    static const char separators[] = "\t,; ";
    for (const char *s = separators; *s; s++) {
        bool quoted = false;
        for (const char *c = line; *c; c++) {
            if (*c == '"') quoted = !quoted;
            if (*c == *s && !quoted) return *s;
        }
    }
    return '\0';
}

/* Takes the field at *at, up to a separator, and moves on behind it; NULL for a quotation mark
 * without its like. */
static char *label_take_field(char **at, char separator)
{
    char *from = *at + strspn(*at, " "), *to = from, *field = from;
    bool quoted = *from == '"';
    if (quoted) {
        for (from++; *from && (*from != '"' || from[1] == '"'); from++) {
            if (*from == '"') from++;
            *to++ = *from;
        }
        if (*from != '"') return NULL;
        from++;
        if (separator != ' ') from += strspn(from, " ");
        if (*from && *from != separator) return NULL;
    } else {
        from += strcspn(from, (char[]){separator, '\0'});
        to = from;
    }
    *at = *from ? from + 1 : from;
    if (*from && separator == ' ') *at += strspn(*at, " ");
    *to = '\0';
    return quoted ? field : label_trim(field);
}

/* Of fields between blanks the last is the class: names may have blanks, and so may a class in
 * quotes. */
static char *label_take_name(char **at, char separator)
{
    char *name = *at, *last = NULL;
    bool quoted = false;
    for (char *c = name; *c; c++) {
        if (*c == '"') quoted = !quoted;
        if (*c == ' ' && !quoted) last = c;
    }
    if (separator != ' ' || *name == '"' || !last) return label_take_field(at, separator);
    *last = '\0';
    *at = last + 1;
    return label_trim(name);
}

/* `at`: its first character that is no blank. */
static int label_take_line(struct label_reader *r, int number, const char *line, char *at)
{
    char separator = label_separator(at);
    char *name = label_take_name(&at, separator), *class = name ? at : NULL;
    int column = (int)(at - line) + 1;
    if (class) class = label_take_field(&at, separator);
    if (!separator || !name || !class || !*name || !*class || *at)
        return fail(ERR_DATA, "%s:%d:%d: NAME,CLASS is expected: %s", r->path, number,
                    *at ? (int)(at - line) + 1 : column,
                    !separator        ? "no comma, tab or blank is here"
                    : !name || !class ? "a quotation mark has no second one at its field's end"
                    : *at             ? "there is a third field"
                                      : "a field is empty");
    int image = label_find(r, name);
    if (image == -2)
        return fail(ERR_DATA, "%s:%d:1: several images are called %.100s: add their folder",
                    r->path, number, name);
    if (image < 0) {
        if (number > 1 && r->unknown++ == 0) {
            r->first_unknown = number;
            snprintf(r->unknown_name, sizeof r->unknown_name, "%s", name);
        }
        return OK;
    }
    if (r->classes[image] && strcmp(r->classes[image], class) != 0)
        return fail(ERR_DATA, "%s:%d:%d: %.100s has class %.60s already", r->path, number, column,
                    name, r->classes[image]);
    if (!utf8_is_sound(class)) /* models hold names as JSON, where two of them might be one */
        return fail(ERR_DATA, "%s:%d:%d: the class is no UTF-8: save the file as that", r->path,
                    number, column);
    r->classes[image] = class;
    return OK;
}

static int label_take_lines(struct label_reader *r, size_t bytes)
{
    char *line = r->text;
    if (strlen(r->text) != bytes)
        return fail(ERR_DATA, "%s: holds zero bytes: no file of names and classes", r->path);
    line += utf8_mark(line, bytes);
    for (int number = 1; line; number++) {
        char *next = strchr(line, '\n');
        if (next) *next++ = '\0';
        char *trimmed = label_trim(line);
        if (*trimmed && *trimmed != '#') TRY(label_take_line(r, number, line, trimmed));
        line = next;
    }
    return OK;
}

/* ---- classes ---- */

static int label_compare_numbers(const void *a, const void *b)
{
    const struct label_entry *p = a, *q = b;
    if (p->number != q->number) return p->number < q->number ? -1 : 1;
    int order = strcmp(p->class, q->class); /* 1 and 01 */
    return order ? order : (p->image > q->image) - (p->image < q->image);
}

static int label_compare_texts(const void *a, const void *b)
{
    const struct label_entry *p = a, *q = b;
    int order = strcmp(p->class, q->class);
    return order ? order : (p->image > q->image) - (p->image < q->image);
}

static int label_number_classes(struct captions *labels, struct label_entry *entries, int count)
{
    bool numbers = true;
    for (int i = 0; i < count && numbers; i++)
        numbers = number_parse_int(entries[i].class, &entries[i].number);
    qsort(entries, (size_t)count, sizeof *entries,
          numbers ? label_compare_numbers : label_compare_texts);
    for (int i = 0; i < count; i++) {
        const char *last = labels->text_count ? labels->texts[labels->text_count - 1] : NULL;
        if (!last || strcmp(last, entries[i].class) != 0) {
            char *text = string_format("%s", entries[i].class);
            if (!text) return ERR_SYSTEM;
            labels->texts[labels->text_count++] = text;
        }
        labels->labels[entries[i].image] = labels->text_count - 1;
    }
    return OK;
}

/* All images have a class, and there are several. */
static int label_finish(const struct label_reader *r, struct captions *labels,
                        struct label_entry *entries,
                        const char *(*name)(const void *context, int i), const void *context)
{
    int without = 0, first = 0;
    for (int i = 0; i < r->count; i++) {
        if (!r->classes[i] && without++ == 0) first = i;
        entries[i] = (struct label_entry){.class = r->classes[i], .image = i};
    }
    if (without > 0)
        return fail(ERR_DATA, "%s: %d of %d images have no class in it (%s%s)", r->path, without,
                    r->count, name(context, first), without > 1 ? ", ..." : "");
    if (r->unknown > 0)
        log_warning("%s: %d lines name no image of the folder (line %d: %s%s)", r->path, r->unknown,
                    r->first_unknown, r->unknown_name, r->unknown > 1 ? ", ..." : "");
    TRY(label_number_classes(labels, entries, r->count));
    if (labels->text_count > 1) return OK;
    return fail(ERR_DATA, "%s: all images are of one class, %.60s", r->path, labels->texts[0]);
}

int label_file_read(struct captions *labels, const char *path, int count,
                    const char *(*name)(const void *context, int i), const void *context)
{
    struct label_reader r = {.path = path, .count = count};
    struct label_entry *entries = calloc((size_t)count + 1, sizeof *entries);
    uint8_t *data = NULL;
    size_t bytes = 0;
    int code = OK;
    *labels = (struct captions){.texts = calloc((size_t)count + 1, sizeof *labels->texts),
                                .labels = calloc((size_t)count + 1, sizeof *labels->labels)};
    r.classes = calloc((size_t)count + 1, sizeof *r.classes);
    if (!entries || !labels->texts || !labels->labels || !r.classes)
        TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(file_read(path, LABEL_FILE_MOST, &data, &bytes));
    r.text = (char *)data;
    TRY_CLEANUP(label_list_keys(&r, name, context));
    TRY_CLEANUP(label_take_lines(&r, bytes));
    TRY_CLEANUP(label_finish(&r, labels, entries, name, context));
cleanup:
    for (int i = 0; i < r.key_count; i++)
        free(r.keys[i].text);
    free(r.keys);
    free(r.classes);
    free(entries);
    free(data);
    return code;
}
