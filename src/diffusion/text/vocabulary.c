#include "diffusion/text/vocabulary.h"

#include "base/checksum.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_SHOWN = 60 };

int vocabulary_open(struct vocabulary *v, int rows, size_t bytes)
{
    size_t slots = 16;
    while (slots < (size_t)rows * 2)
        slots *= 2;
    *v = (struct vocabulary){.rows = rows, .room = bytes + (size_t)rows + 1, .mask = slots - 1};
    v->words = calloc((size_t)rows + 1, sizeof *v->words);
    v->all = malloc(v->room);
    v->slots = malloc(slots * sizeof *v->slots);
    if (!v->words || !v->all || !v->slots) return fail(ERR_SYSTEM, "out of memory");
    memset(v->slots, -1, slots * sizeof *v->slots);
    return OK;
}

void vocabulary_free(struct vocabulary *v)
{
    free(v->words);
    free(v->all);
    free(v->slots);
    *v = (struct vocabulary){0};
}

/* Where the word is, or would be. */
static size_t vocabulary_slot(const struct vocabulary *v, const char *word, size_t bytes)
{
    size_t slot = (size_t)hash_bytes(0, word, bytes) & v->mask;
    for (; v->slots[slot] >= 0; slot = (slot + 1) & v->mask) {
        const struct vocabulary_word *other = &v->words[v->slots[slot]];
        if (other->bytes == bytes && memcmp(other->text, word, bytes) == 0) break;
    }
    return slot;
}

int vocabulary_shown(size_t bytes)
{
    return bytes < WORD_SHOWN ? (int)bytes : WORD_SHOWN;
}

int vocabulary_add(struct vocabulary *v, int id, const char *word, size_t bytes)
{
    size_t slot = vocabulary_slot(v, word, bytes);
    int shown = vocabulary_shown(bytes);
    if (v->slots[slot] >= 0) return fail(ERR_DATA, "the word %.*s stands twice", shown, word);
    if (id < 0 || id >= v->rows || bytes >= v->room - v->used)
        return fail(ERR_INTERNAL, "no room for word %d", id);
    if (v->words[id].text)
        return fail(ERR_DATA, "%.60s and %.*s have one id, %d", v->words[id].text, shown, word, id);
    memcpy(v->all + v->used, word, bytes);
    v->all[v->used + bytes] = '\0';
    v->words[id] = (struct vocabulary_word){v->all + v->used, (uint32_t)bytes};
    v->used += bytes + 1;
    v->slots[slot] = id;
    v->count++;
    return OK;
}

int vocabulary_find(const struct vocabulary *v, const char *word, size_t bytes)
{
    return v->slots ? v->slots[vocabulary_slot(v, word, bytes)] : -1;
}
