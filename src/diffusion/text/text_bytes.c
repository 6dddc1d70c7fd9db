#include "diffusion/text/text_bytes.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { ROOM_FIRST = 64 };

int text_reserve(void *items, size_t *room, size_t wanted, size_t size)
{
    size_t grown = *room ? 2 * *room : ROOM_FIRST;
    void *old, *more = NULL;
    if (wanted <= *room) return OK;
    if (grown < wanted) grown = wanted;
    memcpy(&old, items, sizeof old);
    if (grown <= SIZE_MAX / 2 / size) more = realloc(old, grown * size);
    if (!more) return fail(ERR_SYSTEM, "out of memory");
    memcpy(items, &more, sizeof more);
    *room = grown;
    return OK;
}

int text_bytes_add(struct text_bytes *to, const char *bytes, size_t count)
{
    TRY(text_reserve(&to->bytes, &to->room, to->count + count, 1));
    if (count > 0) memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
    return OK;
}

int text_bytes_add_code(struct text_bytes *to, int32_t code)
{
    utf8proc_uint8_t letter[4];
    utf8proc_ssize_t bytes = utf8proc_encode_char(code, letter);
    return text_bytes_add(to, (const char *)letter, (size_t)bytes);
}

void text_bytes_free(struct text_bytes *text)
{
    free(text->bytes);
    *text = (struct text_bytes){0};
}

int token_ids_add(struct token_ids *to, int id)
{
    TRY(text_reserve(&to->ids, &to->room, to->count + 1, sizeof *to->ids));
    to->ids[to->count++] = id;
    return OK;
}

void token_ids_free(struct token_ids *ids)
{
    free(ids->ids);
    *ids = (struct token_ids){0};
}
