#include "diffusion/text/added_tokens.h"

#include "base/error.h"
#include "diffusion/text/text_bytes.h"

#include <stdlib.h>
#include <string.h>

int added_tokens_add(struct added_tokens *added, const char *text, int id, bool normalized,
                     bool special)
{
    if (*text == '\0') return OK;
    if (added->count == ADDED_TOKENS_MOST)
        return fail(ERR_DATA, "more than %d added tokens", ADDED_TOKENS_MOST);
    TRY(text_reserve(&added->list, &added->room, added->count + 1, sizeof *added->list));
    char *copy = strdup(text);
    if (!copy) return fail(ERR_SYSTEM, "out of memory");
    added->list[added->count++] = (struct added_token){copy, strlen(copy), id, normalized, special};
    added->begins[normalized][(unsigned char)*text] = true;
    return OK;
}

static int compare_added(const void *a, const void *b)
{
    return strcmp(((const struct added_token *)a)->text, ((const struct added_token *)b)->text);
}

int added_tokens_sort(struct added_tokens *added)
{
    if (added->count == 0) return OK;
    qsort(added->list, added->count, sizeof *added->list, compare_added);
    for (size_t i = 0; i + 1 < added->count; i++)
        if (strcmp(added->list[i].text, added->list[i + 1].text) == 0)
            return fail(ERR_DATA, "the added token %.60s stands twice", added->list[i].text);
    return OK;
}

void added_tokens_free(struct added_tokens *added)
{
    for (size_t i = 0; i < added->count; i++)
        free(added->list[i].text);
    free(added->list);
    *added = (struct added_tokens){0};
}

/* The first of list[from..to), which are alike up to `depth`, whose byte there is `byte` or
 * larger. */
static size_t first_with(const struct added_tokens *added, size_t from, size_t to, size_t depth,
                         unsigned byte)
{
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if ((unsigned char)added->list[middle].text[depth] < byte)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

const struct added_token *added_tokens_at(const struct added_tokens *added, bool normalized,
                                          const char *text, size_t left)
{
    const struct added_token *longest = NULL;
    size_t from = 0, to = added->count;
    if (left == 0 || !added->begins[normalized][(unsigned char)*text]) return NULL;
    for (size_t depth = 0; depth < left && from < to; depth++) {
        unsigned byte = (unsigned char)text[depth];
        if (byte == 0) break; /* which ends their texts */
        from = first_with(added, from, to, depth, byte);
        to = first_with(added, from, to, depth, byte + 1);
        /* the shortest of those that begin so comes first */
        if (from < to && added->list[from].bytes == depth + 1 &&
            added->list[from].normalized == normalized)
            longest = &added->list[from];
    }
    return longest;
}

const struct added_token *added_tokens_of_id(const struct added_tokens *added, int id)
{
    for (size_t i = 0; i < added->count; i++)
        if (added->list[i].id == id) return &added->list[i];
    return NULL;
}

const struct added_token *added_tokens_named(const struct added_tokens *added, const char *text)
{
    for (size_t i = 0; i < added->count; i++)
        if (strcmp(added->list[i].text, text) == 0) return &added->list[i];
    return NULL;
}
