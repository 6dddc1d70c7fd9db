/* A fast 64-bit checksum, the same on every machine of this byte order: to notice other or damaged
 * data, not to withstand an attacker. */
#ifndef IMGTRAIN_BASE_CHECKSUM_H
#define IMGTRAIN_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The finaliser of MurmurHash3 (Appleby): every bit of x reaches every bit of the result. */
static inline uint64_t hash_mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
    x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
    return x ^ (x >> 33);
}

/* The checksum of `bytes` of data that follow those whose checksum is `before` (0: the first). */
static inline uint64_t hash_bytes(uint64_t before, const void *data, size_t bytes)
{
    const uint8_t *p = (const uint8_t *)data;
    uint64_t hash = hash_mix(before ^ (bytes * 0x9E3779B97F4A7C15u));
    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        hash = (hash ^ word) * 0x9FB21C651E98DF25u;
        hash ^= hash >> 32;
    }
    uint64_t tail = 0;
    if (bytes > 0) memcpy(&tail, p, bytes);
    return hash_mix(hash ^ tail);
}

#endif
