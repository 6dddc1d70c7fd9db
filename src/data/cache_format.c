#include "data/cache_format.h"

#include "base/checksum.h"

#include <string.h>

static const char magic_rgb[8] = "imgtds1", magic_others[8] = "imgtds2";

int dataset_header_channels(const struct dataset_header *header)
{
    int channels = (unsigned char)header->magic[7];
    if (memcmp(header->magic, magic_rgb, sizeof magic_rgb) == 0) return 3;
    if (memcmp(header->magic, magic_others, 7) != 0) return 0;
    return channels == 1 || channels == 4 ? channels : 0;
}

void dataset_header_set_channels(struct dataset_header *header, int channels)
{
    memcpy(header->magic, channels == 3 ? magic_rgb : magic_others, sizeof header->magic);
    if (channels != 3) header->magic[7] = (char)channels;
}

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
    size_t bytes = (size_t)header->count * header->width * header->height *
                   (size_t)dataset_header_channels(header);
    at.sums = (at.pixels + bytes + 7) / 8 * 8;
    at.labels = at.sums + header->count * sizeof(uint64_t);
    at.names = at.labels + header->count * sizeof(int32_t);
    at.end = at.names + header->names_bytes;
    return at;
}
