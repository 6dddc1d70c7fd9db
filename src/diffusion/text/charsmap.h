/* SentencePiece's precompiled table of what characters become ("\uFF21" to "A"), as the tokenizers
 * library applies it. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_CHARSMAP_H
#define IMGTRAIN_DIFFUSION_TEXT_CHARSMAP_H

#include "diffusion/text/text_bytes.h"

#include <stddef.h>
#include <stdint.h>

/* Zeroed: changes nothing. */
struct charsmap {
    uint32_t *units; /* a double-array trie of the bytes of what is replaced; owned */
    size_t count;
    char *strings; /* what takes its place, each ended by 0; owned */
    size_t bytes;
};

/* `data`: a little-endian number, so many bytes of trie, strings. ERR_DATA, without a file's name,
 * where the parts do not fit. */
int charsmap_open(struct charsmap *map, const uint8_t *data, size_t bytes);
void charsmap_free(struct charsmap *map);

/* Adds `text` (sound UTF-8): a grapheme of fewer than 6 bytes that begins with what the table has
 * is replaced as a whole, in others each character by itself. */
int charsmap_apply(const struct charsmap *map, struct text_bytes *to, const char *text,
                   size_t bytes);

#endif
