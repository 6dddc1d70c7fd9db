#include "data/captions.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"
#include "data/tags.h"

#include <stdlib.h>
#include <string.h>

enum { CAPTION_BYTES_MOST = 65536 }; /* of a file */

struct caption_entry {
    char *text;
    int image;
};

/* The mark of UTF-8 is left out; white space, and what C would end a text at, becomes single blanks
 * between words; lines: but for the ends of lines. */
static void caption_tidy(char *text, size_t bytes, bool lines)
{
    size_t to = 0;
    bool blank = false;
    for (size_t i = utf8_mark(text, bytes); i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte <= ' ' || byte == 127) && !(lines && byte == '\n')) {
            blank = to > 0;
            continue;
        }
        if (blank) text[to++] = ' ';
        blank = false;
        text[to++] = (char)byte;
    }
    text[to] = '\0';
}

/* The description of one image, or its tags; *found: it has any. */
static int caption_read_one(char **text, bool *found, const char *folder, const char *name,
                            bool are_tags)
{
    const char *base = strrchr(name, '/'), *dot = strrchr(base ? base : name, '.');
    int length = dot ? (int)(dot - name) : (int)strlen(name);
    char *path = string_format("%s/%.*s.txt", folder, length, name);
    uint8_t *data = NULL;
    size_t bytes = 0;
    int code = path ? OK : fail(ERR_SYSTEM, "out of memory");
    *found = code == OK && file_exists(path);
    if (*found) code = file_read(path, CAPTION_BYTES_MOST, &data, &bytes);
    *text = code == OK ? malloc(bytes + 1) : NULL;
    if (code == OK && !*text) code = fail(ERR_SYSTEM, "out of memory");
    if (code == OK) {
        if (bytes) memcpy(*text, data, bytes);
        caption_tidy(*text, bytes, are_tags);
    }
    if (code == OK && are_tags) {
        char *words = *text;
        code = tags_of_picture(text, name, words);
        *found = code == OK && **text;
        free(words);
        if (*found && !utf8_is_sound(*text)) /* models hold them as JSON */
            code =
                fail(ERR_DATA, "%s/%s: a tag is no UTF-8: rename its folder, or save its text so",
                     folder, name);
    }
    free(data);
    free(path);
    return code;
}

static int caption_compare(const void *a, const void *b)
{
    const struct caption_entry *p = a, *q = b;
    int order = strcmp(p->text, q->text);
    return order ? order : (p->image > q->image) - (p->image < q->image);
}

/* The entries become the list of distinct texts. */
static void captions_number(struct captions *captions, struct caption_entry *entries, int count)
{
    qsort(entries, (size_t)count, sizeof *entries, caption_compare);
    for (int i = 0; i < count; i++) {
        char *last = captions->text_count ? captions->texts[captions->text_count - 1] : NULL;
        if (!last || strcmp(last, entries[i].text) != 0) {
            captions->texts[captions->text_count++] = entries[i].text;
            entries[i].text = NULL;
        }
        captions->labels[entries[i].image] = captions->text_count - 1;
    }
}

int captions_read(struct captions *captions, const char *folder, bool are_tags, int count,
                  const char *(*name)(const void *context, int i), const void *context,
                  bool (*stop_requested)(void))
{
    struct caption_entry *entries = calloc((size_t)count + 1, sizeof *entries);
    int without = 0, first_without = 0, code = OK;
    *captions = (struct captions){.texts = calloc((size_t)count + 1, sizeof *captions->texts),
                                  .labels = calloc((size_t)count + 1, sizeof *captions->labels)};
    if (!entries || !captions->texts || !captions->labels) code = fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count && code == OK; i++) {
        bool found = false;
        entries[i].image = i;
        if (stop_requested && stop_requested())
            code = fail(ERR_STOPPED, "stopped while reading descriptions");
        else
            code = caption_read_one(&entries[i].text, &found, folder, name(context, i), are_tags);
        if (code == OK && !found && without++ == 0) first_without = i;
    }
    if (code == OK && without == count)
        code = fail(ERR_DATA, "%s: no image has a %s beside it (%s)", folder,
                    are_tags ? "tag: a folder around it, or words between commas in a text NAME.txt"
                             : "description: a text NAME.txt",
                    name(context, 0));
    if (code == OK && without > 0)
        log_warning("%s: %d of %d images have no %s (%s%s): they are shown without", folder,
                    without, count, are_tags ? "tag" : "description", name(context, first_without),
                    without > 1 ? ", ..." : "");
    if (code == OK) captions_number(captions, entries, count);
    for (int i = 0; entries && i < count; i++)
        free(entries[i].text);
    free(entries);
    return code;
}

void captions_free(struct captions *captions)
{
    for (int i = 0; i < captions->text_count; i++)
        free(captions->texts[i]);
    free(captions->texts);
    free(captions->labels);
    *captions = (struct captions){0};
}
