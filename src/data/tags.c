#include "data/tags.h"

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char between[] = ", ";

/* Each once. */
static int sort_texts(char **texts, int count)
{
    int kept = 0;
    if (count) qsort(texts, (size_t)count, sizeof *texts, string_compare);
    for (int i = 0; i < count; i++)
        if (kept == 0 || strcmp(texts[kept - 1], texts[i]) != 0) texts[kept++] = texts[i];
    return kept;
}

/* The words of `text`, which is cut at them, between any of `separators`: half as many as it has
 * bytes, and one, at most. */
static int cut_words(char *text, const char *separators, char **words)
{
    int count = 0;
    for (char *at = text; *at;) {
        size_t length = strcspn(at, separators), blank = strspn(at, " \t\r");
        char *word = at + (blank < length ? blank : length), *end = at + length;
        bool last = *end == '\0';
        while (end > word && strchr(" \t\r", end[-1]))
            end--;
        at += length + !last;
        if (end == word) continue;
        *end = '\0';
        words[count++] = word;
    }
    return count;
}

/* The words in order, each once. */
static char *join_words(char **words, int count, size_t room)
{
    char *text = malloc(room + 1), *end = text;
    count = sort_texts(words, count);
    for (int i = 0; text && i < count; i++)
        end = stpcpy(end, i ? between : ""), end = stpcpy(end, words[i]);
    if (text) *end = '\0';
    return text;
}

int tags_of_picture(char **set, const char *name, const char *text)
{
    const char *base = strrchr(name, '/');
    int folders = base ? (int)(base - name) : 0, code = OK, count;
    size_t bytes = strlen(name) + (text ? strlen(text) : 0) + 1;
    char *path = string_format("%.*s", folders, name),
         *rest = string_format("%s", text ? text : "");
    char **words = NULL;
    *set = NULL;
    TRY_CLEANUP(path && rest ? OK : ERR_SYSTEM);
    words = malloc((bytes + 1) * sizeof *words);
    TRY_CLEANUP(words ? OK : fail(ERR_SYSTEM, "out of memory"));
    count = cut_words(path, "/,\n", words);
    count += cut_words(rest, ",\n", words + count);
    *set = join_words(words, count, 2 * bytes); /* a separator of one byte becomes one of two */
    code = *set ? OK : fail(ERR_SYSTEM, "out of memory");
cleanup:
    free(path);
    free(rest);
    free(words);
    return code;
}

/* ---- all sets of the data ---- */

static int find_tag(const struct tag_sets *s, const char *tag)
{
    char **found = bsearch(&tag, s->tags, (size_t)s->tag_count, sizeof *s->tags, string_compare);
    return found ? (int)(found - s->tags) : -1;
}

/* All words of all sets, cut in `text`: their copies are the tags. */
static int list_tags(struct tag_sets *s, const char *whose, char **words, int count)
{
    count = sort_texts(words, count);
    if (count == 0) return fail(ERR_DATA, "%s: no picture has a tag", whose);
    if (count > TAGS_MOST)
        return fail(ERR_DATA, "%s: %d tags, but at most %d can be learnt", whose, count, TAGS_MOST);
    s->tags = calloc((size_t)count, sizeof *s->tags);
    if (!s->tags) return fail(ERR_SYSTEM, "out of memory");
    for (; s->tag_count < count; s->tag_count++) {
        s->tags[s->tag_count] = string_format("%s", words[s->tag_count]);
        if (!s->tags[s->tag_count]) return ERR_SYSTEM;
    }
    return OK;
}

/* words [numbers]: those of the sets, one set after the other, counts [s->count] of each. */
static int fill_table(struct tag_sets *s, char *const *words, const int *counts, int words_count)
{
    s->numbers = s->count + 1 + words_count;
    s->table = malloc((size_t)s->numbers * sizeof *s->table);
    if (!s->table) return fail(ERR_SYSTEM, "out of memory");
    int at = s->count + 1;
    for (int i = 0; i < s->count; at += counts[i++])
        s->table[i] = at;
    s->table[s->count] = at;
    for (int i = 0; i < words_count; i++)
        s->table[s->count + 1 + i] = find_tag(s, words[i]);
    return OK;
}

static int copy_sets(struct tag_sets *s, int count, const char *const *sets)
{
    s->sets = calloc((size_t)count + 1, sizeof *s->sets);
    if (!s->sets) return fail(ERR_SYSTEM, "out of memory");
    for (; s->count < count; s->count++) {
        s->sets[s->count] = string_format("%s", sets[s->count]);
        if (!s->sets[s->count]) return ERR_SYSTEM;
    }
    return OK;
}

static size_t bytes_as_json(const char *text)
{
    size_t bytes = 0;
    for (; *text; text++)
        bytes += (unsigned char)*text < ' ' ? 6 : *text == '"' || *text == '\\' ? 2 : 1;
    return bytes;
}

int tag_sets_make(struct tag_sets *made, const char *whose, int count, const char *const *sets)
{
    size_t bytes = 1;
    int code = OK, words_count = 0;
    *made = (struct tag_sets){0};
    for (int i = 0; i < count; i++)
        bytes += bytes_as_json(sets[i]) + 6; /* and the end of a line */
    if (bytes > TAG_BYTES_MOST)
        return fail(ERR_DATA, "%s: %d sets of tags take %zu bytes, but a model holds at most %d",
                    whose, count, bytes, TAG_BYTES_MOST);
    char *text = malloc(bytes), *end = text;
    char **words = malloc((bytes + 2) * sizeof *words); /* in their order, and sorted */
    int *counts = calloc((size_t)count + 1, sizeof *counts);
    if (!text || !words || !counts) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    for (int i = 0; i < count; i++) {
        char *set = end;
        end = stpcpy(end, sets[i]) + 1;
        counts[i] = cut_words(set, ",", words + words_count);
        words_count += counts[i];
    }
    TRY_CLEANUP(copy_sets(made, count, sets));
    if (words_count) memcpy(words + words_count, words, (size_t)words_count * sizeof *words);
    TRY_CLEANUP(list_tags(made, whose, words + words_count, words_count));
    TRY_CLEANUP(fill_table(made, words, counts, words_count));
cleanup:
    free(text);
    free(words);
    free(counts);
    return code;
}

void tag_sets_free(struct tag_sets *sets)
{
    for (int i = 0; i < sets->tag_count; i++)
        free(sets->tags[i]);
    for (int i = 0; i < sets->count; i++)
        free(sets->sets[i]);
    free(sets->tags);
    free(sets->sets);
    free(sets->table);
    *sets = (struct tag_sets){0};
}

void tags_tell(const struct tag_sets *sets, char *to, size_t room)
{
    size_t used = 0;
    *to = '\0';
    for (int i = 0; i < sets->tag_count && used < room; i++)
        used += (size_t)snprintf(to + used, room - used, "%s%s", i ? between : "", sets->tags[i]);
    if (used < room) return;
    memcpy(to + utf8_cut(to, room - sizeof "..."), "...", sizeof "...");
}

int tags_find(const struct tag_sets *sets, const char *option, const char *text, int *columns,
              int *count)
{
    char *asked, known[120];
    int code, all;
    *count = 0;
    TRY(tags_of_picture(&asked, "", text));
    char **words = malloc((strlen(asked) + 1) * sizeof *words);
    TRY_CLEANUP(words ? OK : fail(ERR_SYSTEM, "out of memory"));
    all = cut_words(asked, ",", words);
    for (int i = 0; i < all; i++) {
        int column = find_tag(sets, words[i]);
        if (column < 0) {
            tags_tell(sets, known, sizeof known);
            code = fail(ERR_USAGE, "%s: no tag '%.40s'; there are %s", option, words[i], known);
            goto cleanup;
        }
        columns[(*count)++] = column;
    }
    code = OK;
cleanup:
    free(asked);
    free(words);
    return code;
}

/* ---- as one text ---- */

int tag_sets_write(const struct tag_sets *sets, char **text)
{
    size_t bytes = 1;
    for (int i = 0; i < sets->count; i++)
        bytes += strlen(sets->sets[i]) + 1;
    char *end = *text = malloc(bytes);
    if (!end) return fail(ERR_SYSTEM, "out of memory");
    *end = '\0';
    for (int i = 0; i < sets->count; i++) {
        end = stpcpy(end, i ? "\n" : "");
        end = stpcpy(end, sets->sets[i]);
    }
    return OK;
}

int tag_sets_read(struct tag_sets *sets, const char *whose, const char *text)
{
    char *copy = string_format("%s", text), *line = copy;
    int count = 1, code = OK;
    *sets = (struct tag_sets){0};
    if (!copy) return ERR_SYSTEM;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        count++;
    const char **lines = malloc((size_t)count * sizeof *lines);
    if (!lines) code = fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; code == OK && i < count; i++) {
        lines[i] = line;
        line += strcspn(line, "\n");
        if (*line) *line++ = '\0';
    }
    if (code == OK) code = tag_sets_make(sets, whose, count, lines);
    free(lines);
    free(copy);
    return code;
}
