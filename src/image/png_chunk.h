/* Inside src/image: the pieces that a PNG is made of: bytes of the data, type, data, CRC. */
#ifndef IMGTRAIN_IMAGE_PNG_CHUNK_H
#define IMGTRAIN_IMAGE_PNG_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

/* Of the signature before all chunks; of a chunk without its data. */
enum { PNG_SIGNATURE_BYTES = 8, PNG_CHUNK_BYTES = 12 };

static inline bool png_has_signature(const uint8_t *data, size_t bytes)
{
    return bytes >= PNG_SIGNATURE_BYTES &&
           memcmp(data, "\x89PNG\r\n\x1a\n", PNG_SIGNATURE_BYTES) == 0;
}

static inline uint32_t png_chunk_number(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline bool png_chunk_is(const uint8_t *chunk, const char *type)
{
    return memcmp(chunk + 4, type, 4) == 0;
}

/* The CRC of a chunk whose data has `length` bytes. */
static inline uint32_t png_chunk_crc(const uint8_t *chunk, size_t length)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), chunk + 4, length + 4);
}

static inline bool png_chunk_is_sound(const uint8_t *chunk, size_t length)
{
    return png_chunk_crc(chunk, length) == png_chunk_number(chunk + 8 + length);
}

#endif
