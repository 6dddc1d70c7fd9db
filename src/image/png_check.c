/* Checks whether a PNG is whole, without decoding it. */
#include "base/error.h"
#include "base/file.h"
#include "image/image.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

/* Bytes of a chunk without its data: length, type and CRC. */
enum { CHUNK_BYTES = 12 };

static uint32_t chunk_number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int check_chunks(const uint8_t *data, size_t bytes, const char *path)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    size_t at = sizeof signature;
    if (bytes == 0) return fail(ERR_DATA, "%s is empty", path);
    if (bytes < at || memcmp(data, signature, at) != 0)
        return fail(ERR_DATA, "%s is not the PNG that it was", path);
    for (bool ended = false; !ended;) {
        if (bytes - at < CHUNK_BYTES || chunk_number(data + at) > bytes - at - CHUNK_BYTES)
            return fail(ERR_DATA, "%s is cut off", path);
        size_t length = chunk_number(data + at);
        const uint8_t *type = data + at + 4;
        if (chunk_number(type + 4 + length) !=
            (uint32_t)crc32_z(crc32_z(0, NULL, 0), type, length + 4))
            return fail(ERR_DATA, "%s is damaged at byte %zu", path, at);
        ended = memcmp(type, "IEND", 4) == 0;
        at += length + CHUNK_BYTES;
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
