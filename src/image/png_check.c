/* Checks whether a PNG is whole, without decoding it. */
#include "base/error.h"
#include "base/file.h"
#include "image/image.h"
#include "image/png_chunk.h"

#include <stdbool.h>

static int check_chunks(const uint8_t *data, size_t bytes, const char *path)
{
    size_t at = PNG_SIGNATURE_BYTES;
    if (bytes == 0) return fail(ERR_DATA, "%s is empty", path);
    if (!png_has_signature(data, bytes))
        return fail(ERR_DATA, "%s is not the PNG that it was", path);
    for (bool ended = false; !ended;) {
        const uint8_t *chunk = data + at;
        size_t left = bytes - at, length = left < PNG_CHUNK_BYTES ? 0 : png_chunk_number(chunk);
        if (left < PNG_CHUNK_BYTES || length > left - PNG_CHUNK_BYTES)
            return fail(ERR_DATA, "%s is cut off", path);
        if (!png_chunk_is_sound(chunk, length))
            return fail(ERR_DATA, "%s is damaged at byte %zu", path, at);
        ended = png_chunk_is(chunk, "IEND");
        at += length + PNG_CHUNK_BYTES;
    }
    return at == bytes ? OK : fail(ERR_DATA, "%s has more behind its end", path);
}

int image_check_png(const char *path)
{
    struct file_map map;
    TRY(file_map(&map, path));
    int code = check_chunks(map.data, map.bytes, path);
    file_unmap(&map);
    return code;
}
