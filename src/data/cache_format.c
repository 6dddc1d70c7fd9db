#include "data/cache_format.h"

#include "base/checksum.h"

uint64_t dataset_header_check(const struct dataset_header *header)
{
    return hash_bytes(1, header, offsetof(struct dataset_header, check));
}

uint64_t dataset_contents(const struct dataset_header *header, const uint64_t *sums,
                          const int32_t *labels, const char *names)
{
    uint32_t shape[3] = {header->width, header->height, header->count};
    uint64_t hash = hash_bytes(2, shape, sizeof shape);
    hash = hash_bytes(hash, sums, header->count * sizeof *sums);
    hash = hash_bytes(hash, labels, header->count * sizeof *labels);
    return hash_bytes(hash, names, header->names_bytes);
}

struct dataset_offsets dataset_offsets(const struct dataset_header *header)
{
    struct dataset_offsets at = {.pixels = DATASET_HEADER_BYTES};
    size_t bytes = (size_t)header->count * header->width * header->height * 3;
    at.sums = (at.pixels + bytes + 7) / 8 * 8;
    at.labels = at.sums + header->count * sizeof(uint64_t);
    at.names = at.labels + header->count * sizeof(int32_t);
    at.end = at.names + header->names_bytes;
    return at;
}
