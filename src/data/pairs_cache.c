#include "data/pairs_cache.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/threads.h"
#include "data/pairs_build.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>

/* Checksums of that many bytes are compared at every start: less than a second of work. Of a larger
 * cache only the index is: each step of a training must not wait for 7 GB. */
static const size_t CHECKED_BYTES = (size_t)1 << 30;

void pairs_cache_close(struct pairs_cache *cache)
{
    cache_file_close(&cache->file);
}

/* ---- a finished cache ---- */

static size_t entry_bytes(const struct pairs_entry *e, bool gt, uint32_t scale)
{
    size_t pixels = (size_t)e->w * e->h * 3;
    return gt ? pixels * scale * scale * e->gt_bytes : pixels * e->lq_bytes;
}

static bool entry_is_right(const struct pairs_cache *cache, const struct pairs_entry *e,
                           const struct pairs_list *list)
{
    uint32_t scale = cache->header.scale;
    if (e->file >= (uint32_t)list->count || e->w < 1 || e->h < 1 || e->w > IMAGE_MAX_SIDE ||
        e->h > IMAGE_MAX_SIDE || e->lq_bytes > 2 || (e->gt_bytes != 1 && e->gt_bytes != 2))
        return false;
    size_t lq = entry_bytes(e, false, scale), gt = entry_bytes(e, true, scale);
    return e->lq <= cache->header.index && lq <= cache->header.index - e->lq &&
           e->gt <= cache->header.index && gt <= cache->header.index - e->gt;
}

struct pairs_sums {
    const struct pairs_cache *cache;
    const uint8_t *map;
    int64_t broken;
};

static void check_pairs_sums(void *context, int64_t from, int64_t to)
{
    struct pairs_sums *check = context;
    uint32_t scale = check->cache->header.scale;
    for (int64_t i = from; i < to; i++) {
        const struct pairs_entry *e = &check->cache->index[i];
        uint64_t sum = hash_bytes(0, check->map + e->lq, entry_bytes(e, false, scale));
        sum = hash_bytes(sum, check->map + e->gt, entry_bytes(e, true, scale));
        if (sum != e->sum) __atomic_fetch_add(&check->broken, 1, __ATOMIC_RELAXED);
    }
}

/* A cache on its way, and what it is to hold. */
struct pairs_wanted {
    struct pairs_cache *cache;
    struct pairs_list *list;
    const struct pairs_options *options;
    uint64_t key;
};

static bool pairs_cache_is_sound(void *context, const uint8_t *map, size_t bytes)
{
    const struct pairs_wanted *wanted = context;
    struct pairs_cache *cache = wanted->cache;
    struct pairs_header *header = &cache->header;
    const struct pairs_list *list = wanted->list;
    if (bytes < sizeof *header) return false;
    memcpy(header, map, sizeof *header);
    if (memcmp(header->magic, "imgtsr1", 8) != 0 || header->key != wanted->key ||
        header->check != pairs_header_check(header) ||
        header->scale != (uint32_t)wanted->options->scale)
        return false;
    size_t index = (size_t)header->count * sizeof *cache->index;
    if (header->count < 1 || header->count > (uint32_t)list->count || header->index % 8 ||
        header->index > bytes || index != bytes - header->index)
        return false;
    cache->index = (const struct pairs_entry *)(const void *)(map + header->index);
    if (hash_bytes(header->scale, cache->index, index) != header->contents) return false;
    for (uint32_t i = 0; i < header->count; i++)
        if (!entry_is_right(cache, &cache->index[i], list)) return false;
    struct pairs_sums check = {cache, map, 0};
    if (bytes <= CHECKED_BYTES) threads_for(header->count, 1, check_pairs_sums, &check);
    return check.broken == 0;
}

static int pairs_cache_make(void *context, int fd, const char *name)
{
    const struct pairs_wanted *wanted = context;
    TRY(pairs_check(wanted->list, wanted->options));
    return pairs_build(fd, name, wanted->key, wanted->list, wanted->options);
}

/* ---- open, keep ---- */

enum { PAIRS_NAME_BYTES = 40 };

static struct cache_content pairs_content(char name[PAIRS_NAME_BYTES], uint64_t key)
{
    snprintf(name, PAIRS_NAME_BYTES, "pairs-%016llx.bin", (unsigned long long)key);
    return (struct cache_content){.name = name,
                                  .what = "the images",
                                  .make = pairs_cache_make,
                                  .is_sound = pairs_cache_is_sound};
}

int pairs_cache_open(struct pairs_cache *cache, struct pairs_list *list,
                     const struct pairs_options *options)
{
    struct pairs_wanted wanted = {cache, list, options, pairs_list_key(list, options)};
    char name[PAIRS_NAME_BYTES];
    struct cache_content content = pairs_content(name, wanted.key);
    content.context = &wanted;
    return cache_file_open(&cache->file, &content,
                           &(struct cache_places){.cache_dir = options->cache_dir,
                                                  .look_dir = options->look_dir,
                                                  .spill_dir = options->spill_dir});
}

int pairs_cache_keep(struct pairs_cache *cache, const char *dir)
{
    char name[PAIRS_NAME_BYTES];
    const struct cache_content content = pairs_content(name, cache->header.key);
    return cache_file_keep(&cache->file, &content, dir);
}
