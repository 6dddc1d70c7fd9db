/* Bytes and numbers that grow while a text is worked on. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TEXT_BYTES_H
#define IMGTRAIN_DIFFUSION_TEXT_TEXT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed: empty. */
struct text_bytes {
    char *bytes; /* owned */
    size_t count, room;
};

/* ERR_SYSTEM, and nothing is added. */
int text_bytes_add(struct text_bytes *to, const char *bytes, size_t count);
int text_bytes_add_code(struct text_bytes *to, int32_t code); /* in UTF-8 */
void text_bytes_free(struct text_bytes *text);

/* Ids of tokens. */
struct token_ids {
    int *ids; /* owned */
    size_t count, room;
};

int token_ids_add(struct token_ids *to, int id);
void token_ids_free(struct token_ids *ids);

/* Room for `wanted` items of `size` bytes at least, twice as much as before where it grows.
 * ERR_SYSTEM: *items and *room are as they were. */
int text_reserve(void *items, size_t *room, size_t wanted, size_t size);

#endif
