#include "data/pairs_cache.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"
#include "base/threads.h"
#include "data/pairs_build.h"
#include "image/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Checksums of that many bytes are compared at every start: less than a second of work. Of a larger
 * cache only the index is: each step of a training must not wait for 7 GB. */
static const size_t CHECKED_BYTES = (size_t)1 << 30;

void pairs_cache_close(struct pairs_cache *cache)
{
    if (cache->map) munmap((void *)(uintptr_t)cache->map, cache->bytes);
    if (cache->map && !cache->path) retry_close(cache->fd);
    free(cache->path);
    *cache = (struct pairs_cache){.fd = -1};
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
    int64_t broken;
};

static void check_pairs_sums(void *context, int64_t from, int64_t to)
{
    struct pairs_sums *check = context;
    const struct pairs_cache *cache = check->cache;
    for (int64_t i = from; i < to; i++) {
        const struct pairs_entry *e = &cache->index[i];
        uint64_t sum =
            hash_bytes(0, cache->map + e->lq, entry_bytes(e, false, cache->header.scale));
        sum = hash_bytes(sum, cache->map + e->gt, entry_bytes(e, true, cache->header.scale));
        if (sum != e->sum) __atomic_fetch_add(&check->broken, 1, __ATOMIC_RELAXED);
    }
}

static bool pairs_cache_is_sound(struct pairs_cache *cache, uint64_t key,
                                 const struct pairs_list *list, int scale)
{
    struct pairs_header *header = &cache->header;
    if (cache->bytes < sizeof *header) return false;
    memcpy(header, cache->map, sizeof *header);
    if (memcmp(header->magic, "imgtsr1", 8) != 0 || header->key != key ||
        header->check != pairs_header_check(header) || header->scale != (uint32_t)scale)
        return false;
    size_t index = (size_t)header->count * sizeof *cache->index;
    if (header->count < 1 || header->count > (uint32_t)list->count || header->index % 8 ||
        header->index > cache->bytes || index != cache->bytes - header->index)
        return false;
    cache->index = (const struct pairs_entry *)(const void *)(cache->map + header->index);
    if (hash_bytes(header->scale, cache->index, index) != header->contents) return false;
    for (uint32_t i = 0; i < header->count; i++)
        if (!entry_is_right(cache, &cache->index[i], list)) return false;
    struct pairs_sums check = {cache, 0};
    if (cache->bytes <= CHECKED_BYTES) threads_for(header->count, 1, check_pairs_sums, &check);
    return check.broken == 0;
}

/* Maps what `fd` holds; ERR_DATA when it is no sound cache of `key`. */
static int pairs_cache_map(struct pairs_cache *cache, int fd, const char *name, uint64_t key,
                           const struct pairs_list *list, int scale)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno(ERR_IO, "stat %s", name);
    cache->bytes = (size_t)info.st_size;
    void *map = cache->bytes ? mmap(NULL, cache->bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED)
        return cache->bytes ? fail_errno(ERR_SYSTEM, "map %s", name)
                            : fail(ERR_DATA, "%s: damaged", name);
    cache->map = map;
    if (pairs_cache_is_sound(cache, key, list, scale)) return OK;
    munmap(map, cache->bytes);
    cache->map = NULL;
    return fail(ERR_DATA, "%s: damaged", name);
}

/* OK with the cache open; ERR_INPUT when there is none, ERR_DATA when it is damaged. */
static int pairs_cache_find(struct pairs_cache *cache, const char *path, uint64_t key,
                            const struct pairs_list *list, int scale)
{
    int fd;
    TRY(file_open_own(path, O_RDONLY, ERR_INPUT, &fd));
    int code = pairs_cache_map(cache, fd, path, key, list, scale);
    retry_close(fd);
    if (code == ERR_DATA) log_warning("%s: damaged, made again", path);
    TRY(code);
    cache->path = string_format("%s", path);
    return cache->path ? OK : ERR_SYSTEM;
}

/* ---- making one ---- */

/* The file has no name and stays open, so that it can get one later. */
static int pairs_cache_build_unnamed(struct pairs_cache *cache, uint64_t key,
                                     const struct pairs_list *list,
                                     const struct pairs_options *options, const char *dir)
{
    const char *name = dir ? dir : "the images in memory";
    int fd = dir ? retry_open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666)
                 : memfd_create("imgtrain-pairs", MFD_CLOEXEC);
    if (fd < 0) return fail_errno(dir ? ERR_IO : ERR_SYSTEM, "%s: no room for the images", name);
    int code = pairs_build(fd, name, key, list, options);
    if (code == OK) {
        code = pairs_cache_map(cache, fd, name, key, list, options->scale);
        if (code == ERR_DATA)
            code = fail(ERR_INTERNAL, "the cache that was just made is not sound");
    }
    cache->fd = fd;
    if (code < 0) retry_close(fd);
    return code;
}

/* On the disk where that can be, as the images may be more than the memory. */
static int pairs_cache_build_for_now(struct pairs_cache *cache, uint64_t key,
                                     const struct pairs_list *list,
                                     const struct pairs_options *options)
{
    if (options->spill_dir) {
        int code = pairs_cache_build_unnamed(cache, key, list, options, options->spill_dir);
        if (code != ERR_IO && code != ERR_OUTPUT && code != ERR_ACCESS) return code;
        log_warning("%s: the images are kept in memory", error_message());
    }
    return pairs_cache_build_unnamed(cache, key, list, options, NULL);
}

static char *pairs_cache_path(const char *dir, uint64_t key)
{
    char *name = string_format("pairs-%016llx.bin", (unsigned long long)key);
    char *path = name ? path_join(dir, name) : NULL;
    free(name);
    return path;
}

/* Two processes that want the same cache both make it, and the later one's stays. */
static int pairs_cache_build_file(struct pairs_cache *cache, const char *path, uint64_t key,
                                  const struct pairs_list *list,
                                  const struct pairs_options *options)
{
    struct file_atomic file;
    TRY(file_make_dirs(options->cache_dir));
    temporary_clean_beside(path);
    TRY(file_atomic_open(&file, path, 0));
    int code = pairs_build(file.fd, path, key, list, options);
    if (code < 0) {
        file_atomic_abort(&file);
        return code;
    }
    TRY(file_atomic_commit(&file, true));
    code = pairs_cache_find(cache, path, key, list, options->scale);
    return code == ERR_INPUT || code == ERR_DATA ? fail(ERR_IO, "%s: cannot be read back", path)
                                                 : code;
}

static int pairs_cache_make(struct pairs_cache *cache, const char *path, uint64_t key,
                            struct pairs_list *list, const struct pairs_options *options)
{
    TRY(pairs_check(list, options));
    if (!options->cache_dir) return pairs_cache_build_for_now(cache, key, list, options);
    int code = pairs_cache_build_file(cache, path, key, list, options);
    if (code != ERR_OUTPUT && code != ERR_ACCESS && code != ERR_IO) return code;
    log_warning("%s: the images are kept without a cache", error_message());
    return pairs_cache_build_for_now(cache, key, list, options);
}

int pairs_cache_open(struct pairs_cache *cache, struct pairs_list *list,
                     const struct pairs_options *options)
{
    const char *dir = options->cache_dir ? options->cache_dir : options->look_dir;
    uint64_t key = pairs_list_key(list, options);
    char *path = dir ? pairs_cache_path(dir, key) : NULL;
    *cache = (struct pairs_cache){.fd = -1};
    if (dir && !path) return ERR_SYSTEM;
    int code = path ? pairs_cache_find(cache, path, key, list, options->scale) : ERR_INPUT;
    if (code != OK && code != ERR_SYSTEM) code = pairs_cache_make(cache, path, key, list, options);
    free(path);
    return code;
}

int pairs_cache_keep(struct pairs_cache *cache, const char *dir)
{
    if (cache->path || !dir) return OK;
    char *path = pairs_cache_path(dir, cache->header.key);
    if (!path) return ERR_SYSTEM;
    int code = file_make_dirs(dir);
    if (code == OK && file_atomic_name(cache->fd, path) < 0)
        code = file_atomic_write_whole(path, cache->map, cache->bytes, true); /* another disk */
    if (code == OK) {
        log_info("%s: the images, prepared", path);
        retry_close(cache->fd);
        cache->path = path;
        return OK;
    }
    free(path);
    if (code != ERR_OUTPUT && code != ERR_ACCESS && code != ERR_IO) return code;
    log_warning("%s: the images stay without a cache", error_message());
    return OK;
}
