/* libFuzzer: changes of four bytes each to a data set's cache: where, and what is flipped there;
 * or, with nothing flipped, where it ends. The first byte says whether its checksums are then made
 * right, as else nothing behind them is reached. The set must open: from the file where it is
 * sound, and after making it again otherwise. */
#include "base/checksum.h"
#include "data/dataset_cache.h"
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FUZZ_PATH = 160, SIZE = 4, IMAGES = 4, CLASSES = 2, KEPT_MOST = 1 << 13 };

static char images[FUZZ_PATH];
static struct dataset_options options;
static struct scan scan;
static char *path; /* of the cache */
static uint8_t kept[KEPT_MOST];
static size_t kept_bytes;

static void fuzz_free_set(void)
{
    scan_free(&scan);
    free(path);
}

static void fuzz_check_set(const struct dataset_cache *cache)
{
    require(cache->header.width == SIZE && cache->header.height == SIZE);
    require(cache->header.count > 0 && cache->header.count <= IMAGES);
    const char *name = cache->names;
    unsigned sum = 0;
    for (uint32_t i = 0; i < cache->header.count; i++)
        require(cache->labels[i] >= 0 && cache->labels[i] < CLASSES);
    for (uint32_t i = 0; i < cache->header.classes; i++)
        name += strlen(name) + 1;
    require(name == cache->names + cache->header.names_bytes);
    for (size_t i = 0; i < (size_t)cache->header.count * SIZE * SIZE * 3; i++)
        sum += cache->pixels[i];
    require(sum > 0);
}

static void fuzz_make_set(void)
{
    struct dataset_cache cache;
    fuzz_make_folder();
    atexit(fuzz_free_set);
    for (int i = 0; i < 3; i++) {
        static const char *const below[] = {"images", "images/dark", "images/light"};
        char name[FUZZ_PATH];
        snprintf(name, sizeof name, "%s/%s", fuzz_folder, below[i]);
        require(mkdir(name, 0777) == 0);
    }
    for (int i = 0; i < IMAGES; i++) {
        char name[2 * FUZZ_PATH];
        snprintf(name, sizeof name, "%s/images/%s/%d.pgm", fuzz_folder, i % 2 ? "dark" : "light",
                 i);
        FILE *out = fopen(name, "wb");
        require(out && fprintf(out, "P2 2 2 9  1 2 3 %d\n", i) > 0 && fclose(out) == 0);
    }
    snprintf(images, sizeof images, "%s/images", fuzz_folder);
    options = (struct dataset_options){.folder = images,
                                       .width = SIZE,
                                       .height = SIZE,
                                       .labels = SCAN_LABELS_FOLDERS,
                                       .cache_dir = fuzz_folder};
    require(scan_folder(&scan, images, SCAN_LABELS_FOLDERS, NULL) == 0);
    require(dataset_cache_open(&cache, &options, &scan) == 0 && cache.path);
    fuzz_check_set(&cache);
    path = strdup(cache.path);
    kept_bytes = cache.bytes;
    require(path && kept_bytes <= KEPT_MOST);
    memcpy(kept, cache.map, kept_bytes);
    dataset_cache_close(&cache);
}

/* Sums of images are left: which part of a file is which depends on the header. */
static void fuzz_mend(uint8_t *file, size_t bytes, bool contents)
{
    struct dataset_header header;
    if (bytes < DATASET_HEADER_BYTES) return;
    memcpy(&header, file, sizeof header);
    struct dataset_offsets at = dataset_offsets(&header);
    if (contents && header.count <= IMAGES && header.names_bytes < KEPT_MOST && at.end <= bytes &&
        at.sums >= DATASET_HEADER_BYTES && at.sums <= at.names && at.names <= at.end)
        header.contents = dataset_contents(
            &header, (const uint64_t *)(const void *)(file + at.sums),
            (const int32_t *)(const void *)(file + at.labels), (const char *)file + at.names);
    header.check = dataset_header_check(&header);
    memcpy(file, &header, sizeof header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int made;
    static _Alignas(8) uint8_t file[KEPT_MOST];
    struct dataset_cache cache;
    if (!made++) fuzz_make_set();
    size_t end = kept_bytes;
    memcpy(file, kept, kept_bytes);
    for (size_t i = 1; i + 4 <= bytes; i += 4) {
        size_t at = (size_t)data[i + 1] | (size_t)data[i + 2] << 8;
        at = data[i] & 1 ? at % sizeof(struct dataset_header)
                         : DATASET_HEADER_BYTES + at % (kept_bytes - DATASET_HEADER_BYTES);
        if (data[i + 3])
            file[at] ^= data[i + 3];
        else
            end = at;
    }
    if (bytes > 0 && data[0] & 1) fuzz_mend(file, end, data[0] & 2);
    FILE *out = fopen(path, "wb");
    require(out && fwrite(file, 1, end, out) == end && fclose(out) == 0);
    require(dataset_cache_open(&cache, &options, &scan) == 0);
    fuzz_check_set(&cache);
    dataset_cache_close(&cache);
    return 0;
}
