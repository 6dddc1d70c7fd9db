/* The JSON header of a safetensors file. Its grammar is fixed, so it is read by a parser of its
 * own: a general one builds a tree of up to 40 times the text, takes numbers as doubles, and lets
 * duplicate keys and "\u0000" in names pass. Depth is bounded by the grammar itself. */
#ifndef IMGTRAIN_STORE_STORE_HEADER_H
#define IMGTRAIN_STORE_STORE_HEADER_H

#include "store/tensor.h"

/* A hostile length must not make the reader map or allocate at will. */
#define STORE_HEADER_MAX (16u << 20)

/* How a header with a CRC of its own begins; eight hexadecimal digits follow. */
#define STORE_CRC_FRONT "{\"__metadata__\":{\"crc32\":\""

struct store_entry {
    struct store_tensor tensor; /* data not set here */
    uint64_t begin, end;        /* bytes within the data section */
};

struct store_pair {
    const char *key, *value;
};

struct store_header {
    struct store_entry *entries; /* as they stand in the text */
    struct store_pair *pairs;
    size_t entry_count, entry_room, pair_count, pair_room;
    char *text; /* every string, decoded */
};

/* Parses `bytes` bytes of JSON. ERR_DATA naming `path`, the byte and the fault; ERR_SYSTEM. After a
 * failure the header is empty. */
int store_header_parse(struct store_header *header, const char *json, size_t bytes,
                       const char *path);
void store_header_free(struct store_header *header);

/* CRC-32 of bytes that follow those of `crc` (0 for none). */
uint32_t store_crc(uint32_t crc, const void *data, size_t bytes);

#endif
