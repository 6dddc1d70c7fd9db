#include "cmd/sample/latent_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "store/npy.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LATENT_FILE_MOST = 1 << 30 };

static const char between[] = " \t\r,;";

/* Numbers as they are read. */
struct latent_text {
    const char *path;
    float *values;
    size_t count, room;
};

static int latent_add(struct latent_text *t, float value)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        float *values = realloc(t->values, room * sizeof *values);
        if (!values) return fail(ERR_SYSTEM, "out of memory");
        t->values = values;
        t->room = room;
    }
    t->values[t->count++] = value;
    return OK;
}

/* The numbers of one line, which is cut at them; *found: how many. */
static int latent_line(struct latent_text *t, char *line, int number, int *found)
{
    *found = 0;
    for (char *at = line + strspn(line, between); *at && *at != '#'; at += strspn(at, between)) {
        double value;
        char *word = at;
        at += strcspn(at, between);
        if (*at) *at++ = '\0';
        if (!number_parse_double(word, &value) || !isfinite((float)value))
            return fail(ERR_DATA, "%s:%d:%d: '%.20s' is no number", t->path, number,
                        (int)(word - line) + 1, word);
        TRY(latent_add(t, (float)value));
        ++*found;
    }
    return OK;
}

static int latent_lines(struct latent_text *t, char *text, struct latent_file *latents)
{
    int number = 1;
    for (char *line = text, *next; line; line = next, number++) {
        int found;
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        TRY(latent_line(t, line, number, &found));
        if (found == 0) continue;
        if (latents->count == 0) latents->z = found;
        if (found != latents->z)
            return fail(ERR_DATA, "%s:%d:1: %d numbers, but %d in the first row", t->path, number,
                        found, latents->z);
        latents->count++;
    }
    if (latents->count == 0) return fail(ERR_DATA, "%s: no latents in it", t->path);
    return OK;
}

int latent_file_read(struct latent_file *latents, const char *path)
{
    struct latent_text text = {.path = path};
    uint8_t *data;
    size_t bytes;
    *latents = (struct latent_file){0};
    TRY(file_read(path, LATENT_FILE_MOST, &data, &bytes));
    int code;
    if (npy_is(data, bytes)) {
        code = npy_parse(data, bytes, path, &latents->values, &latents->count, &latents->z);
    } else if (memchr(data, 0, bytes)) {
        code = fail(ERR_DATA, "%s: neither .npy nor text: it holds a zero byte", path);
    } else {
        code = latent_lines(&text, (char *)data, latents);
        latents->values = text.values;
    }
    free(data);
    return code;
}

void latent_file_free(struct latent_file *latents)
{
    free(latents->values);
    *latents = (struct latent_file){0};
}
