#include "data/dataset_cache.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"
#include "base/threads.h"
#include "data/channels.h"
#include "data/dataset_build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- a finished cache ---- */

static uint64_t cache_key(const struct dataset_options *options, const struct scan *scan)
{
    /* the last number counts up when images are prepared in another way */
    static const uint64_t prepared[] = {
        [DATASET_RGB] = 1, [DATASET_RGBA] = 3001, [DATASET_GREY] = 2001, [DATASET_AUTO] = 4001};
    uint64_t as = prepared[options->channels] + (options->grey ? 1000 : 0);
    uint64_t numbers[5] = {scan_hash(scan), (uint64_t)options->width, (uint64_t)options->height,
                           scan->class_count > 0, as};
    return hash_bytes(0, numbers, sizeof numbers);
}

void dataset_cache_close(struct dataset_cache *cache)
{
    if (cache->map) munmap(cache->map, cache->bytes);
    if (cache->unnamed) retry_close(cache->fd);
    free(cache->path);
    *cache = (struct dataset_cache){0};
}

static bool names_are_whole(const char *names, uint32_t bytes, uint32_t count)
{
    uint32_t ends = 0;
    for (uint32_t i = 0; i < bytes; i++)
        ends += names[i] == '\0';
    return ends == count && (bytes == 0 || names[bytes - 1] == '\0');
}

static bool labels_are_right(const int32_t *labels, uint32_t count, uint32_t classes)
{
    uint32_t limit = classes ? classes : 1;
    for (uint32_t i = 0; i < count; i++)
        if (labels[i] < 0 || (uint32_t)labels[i] >= limit) return false;
    return true;
}

struct sum_check {
    const struct dataset_cache *cache;
    int64_t broken;
};

static void check_sums(void *context, int64_t from, int64_t to)
{
    struct sum_check *check = context;
    const struct dataset_cache *cache = check->cache;
    size_t bytes = (size_t)cache->header.width * cache->header.height * (size_t)cache->channels;
    int64_t broken = 0;
    for (int64_t i = from; i < to; i++)
        broken += hash_bytes(0, cache->pixels + (size_t)i * bytes, bytes) != cache->sums[i];
    __atomic_fetch_add(&check->broken, broken, __ATOMIC_RELAXED);
}

static bool dataset_cache_images_are_whole(const struct dataset_cache *cache)
{
    struct sum_check check = {cache, 0};
    threads_for(cache->header.count, 16, check_sums, &check);
    return check.broken == 0;
}

/* Whether the sizes are those of this data set: checksums that are right do not make them so, and
 * products of other sizes may overflow. */
static bool sizes_are_right(const struct dataset_header *header,
                            const struct dataset_options *options, const struct scan *scan)
{
    return header->width == (uint32_t)options->width &&
           header->height == (uint32_t)options->height && header->count > 0 &&
           header->count <= (uint32_t)scan->count && header->classes <= (uint32_t)scan->class_count;
}

/* Whether the mapped bytes are a sound cache of `key`; sets the pointers into them. */
static bool dataset_cache_is_sound(struct dataset_cache *cache, uint64_t key,
                                   const struct dataset_options *options, const struct scan *scan)
{
    struct dataset_header *header = &cache->header;
    if (cache->bytes < DATASET_HEADER_BYTES) return false;
    memcpy(header, cache->map, sizeof *header);
    cache->channels = dataset_header_channels(header);
    if (cache->channels == 0 || header->key != key) return false;
    if (options->channels != DATASET_AUTO && cache->channels != channels_count(options->channels))
        return false;
    if (header->check != dataset_header_check(header)) return false;
    if (!sizes_are_right(header, options, scan)) return false;
    struct dataset_offsets at = dataset_offsets(header);
    if (at.end != cache->bytes) return false;
    cache->pixels = cache->map + at.pixels;
    cache->sums = (const uint64_t *)(const void *)(cache->map + at.sums);
    cache->labels = (const int32_t *)(const void *)(cache->map + at.labels);
    cache->names = (const char *)cache->map + at.names;
    return names_are_whole(cache->names, header->names_bytes, header->classes) &&
           labels_are_right(cache->labels, header->count, header->classes) &&
           dataset_contents(header, cache->sums, cache->labels, cache->names) == header->contents &&
           dataset_cache_images_are_whole(cache);
}

static int dataset_cache_map(struct dataset_cache *cache, int fd, const char *name)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno(ERR_IO, "stat %s", name);
    cache->bytes = (size_t)info.st_size;
    if (cache->bytes == 0) return OK;
    void *address = mmap(NULL, cache->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) return fail_errno(ERR_SYSTEM, "map %s", name);
    cache->map = address;
    return OK;
}

/* OK with the cache open; ERR_INPUT when there is none, ERR_DATA when it is damaged, anything else
 * when it cannot be opened for the moment. */
static int open_existing(struct dataset_cache *cache, const char *path, uint64_t key,
                         const struct dataset_options *options, const struct scan *scan)
{
    int fd;
    TRY(file_open_own(path, O_RDONLY, ERR_INPUT, &fd));
    int code = dataset_cache_map(cache, fd, path);
    if (code == OK && !dataset_cache_is_sound(cache, key, options, scan))
        code = fail(ERR_DATA, "%s: damaged", path);
    futimens(fd, NULL); /* keeps it from being removed as unused */
    retry_close(fd);
    if (code == OK) cache->path = string_format("%s", path);
    if (code == OK && !cache->path) code = ERR_SYSTEM;
    if (code == ERR_DATA) log_warning("%s: damaged, made again", path);
    if (code < 0) dataset_cache_close(cache);
    return code;
}

/* ---- making one ---- */

/* Builds the cache in a file that nobody else has open. The file stays open, so that it can get a
 * name later. */
static int build_unnamed(struct dataset_cache *cache, int fd, const char *name, uint64_t key,
                         const struct dataset_options *options, const struct scan *scan)
{
    *cache = (struct dataset_cache){.unnamed = true, .fd = fd};
    int code = dataset_build(fd, name, key, options, scan);
    if (code == OK) code = dataset_cache_map(cache, fd, name);
    if (code == OK && !dataset_cache_is_sound(cache, key, options, scan))
        code = fail(ERR_INTERNAL, "the cache that was just made is not sound");
    if (code < 0) dataset_cache_close(cache);
    return code;
}

static int build_in_memory(struct dataset_cache *cache, uint64_t key,
                           const struct dataset_options *options, const struct scan *scan)
{
    int fd = memfd_create("imgtrain-images", MFD_CLOEXEC);
    if (fd < 0) return fail_errno(ERR_SYSTEM, "memory for the images");
    return build_unnamed(cache, fd, "the images in memory", key, options, scan);
}

/* Builds a cache without a name: on the disk where that can be, as the images may be larger than
 * the memory. */
static int build_for_now(struct dataset_cache *cache, uint64_t key,
                         const struct dataset_options *options, const struct scan *scan)
{
    const char *dir = options->spill_dir;
    int fd = dir ? retry_open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666) : -1;
    if (fd < 0) return build_in_memory(cache, key, options, scan);
    int code = build_unnamed(cache, fd, dir, key, options, scan);
    if (code != ERR_IO) return code;
    log_warning("%s: the images are kept in memory", error_message());
    return build_in_memory(cache, key, options, scan);
}

static int keep_as(struct dataset_cache *cache, const char *dir, const char *path)
{
    TRY(file_make_dirs(dir));
    if (file_atomic_name(cache->fd, path) == OK) return OK;
    return file_atomic_write_whole(path, cache->map, cache->bytes, true); /* on another disk */
}

static char *cache_path(const char *dir, uint64_t key, uint32_t width, uint32_t height)
{
    char name[64];
    snprintf(name, sizeof name, "pictures-%ux%u-%016llx.bin", width, height,
             (unsigned long long)key);
    return path_join(dir, name);
}

int dataset_cache_keep(struct dataset_cache *cache, const char *dir)
{
    const struct dataset_header *header = &cache->header;
    if (cache->path || !dir) return OK;
    char *path = cache_path(dir, header->key, header->width, header->height);
    if (!path) return ERR_SYSTEM;
    int code = keep_as(cache, dir, path);
    if (code == OK) {
        log_info("%s: the images, prepared", path);
        cache->path = path;
        return OK;
    }
    free(path);
    if (code != ERR_OUTPUT && code != ERR_ACCESS && code != ERR_IO) return code;
    log_warning("%s: the images stay without a cache", error_message());
    return OK;
}

static int build_file(const char *path, uint64_t key, const struct dataset_options *options,
                      const struct scan *scan)
{
    struct file_atomic file;
    int channels = channels_count(options->channels); /* unknown: of the least */
    size_t bytes = (size_t)scan->count * (size_t)options->width * (size_t)options->height *
                   (size_t)(channels ? channels : 1);
    TRY(file_atomic_open(&file, path, bytes + DATASET_HEADER_BYTES));
    int code = dataset_build(file.fd, path, key, options, scan);
    if (code == OK) return file_atomic_commit(&file, true);
    file_atomic_abort(&file);
    return code;
}

/* Waits while another process makes the same cache. Returns the descriptor that holds the lock,
 * NO_LOCK where locks do not work (both processes then work, and the later one wins), or a code. */
enum { NO_LOCK = -1000 };
static int dataset_cache_lock(const char *path, const struct dataset_options *options)
{
    char *name = string_format("%s.lock", path);
    if (!name) return ERR_SYSTEM;
    int fd, opened = file_open_own(name, O_RDWR | O_CREAT, ERR_OUTPUT, &fd);
    free(name);
    if (opened < 0) return NO_LOCK;
    bool told = false;
    while (retry_flock(fd, LOCK_EX | LOCK_NB) != 0) {
        bool stopped = options->stop_requested && options->stop_requested();
        if (stopped || errno != EWOULDBLOCK) {
            retry_close(fd);
            return stopped ? fail(ERR_STOPPED, "stopped while waiting for %s", path) : NO_LOCK;
        }
        if (!told) log_info("another process is preparing the same images: waiting for it");
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return fd;
}

static void dataset_cache_unlock(int fd, const char *path)
{
    if (fd < 0) return;
    char *name = string_format("%s.lock", path);
    if (name) unlink(name); /* who waits on the old one looks for the finished cache first */
    free(name);
    retry_close(fd);
}

/* Of images, or of what an autoencoder made of them. */
static bool dataset_cache_is_name(const char *name)
{
    return strncmp(name, "pictures-", 9) == 0 || strncmp(name, "latents-", 8) == 0;
}

/* Removes what a killed process left of this cache (we hold its lock), and caches that were not
 * used for a month. */
static void dataset_cache_tidy(const char *dir, const char *path)
{
    static const double UNUSED_SECONDS = 30.0 * 24 * 3600;
    const char *base = strrchr(path, '/') + 1;
    temporary_clean(dir, base);
    DIR *folder = file_open_folder(dir, true);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        struct stat info;
        if (!dataset_cache_is_name(name)) continue;
        bool old = fstatat(dirfd(folder), name, &info, 0) == 0 &&
                   difftime(time(NULL), info.st_mtim.tv_sec) > UNUSED_SECONDS;
        if (old) unlinkat(dirfd(folder), name, 0);
    }
    if (folder) closedir(folder);
}

static int build_locked(struct dataset_cache *cache, const char *path, uint64_t key,
                        const struct dataset_options *options, const struct scan *scan)
{
    int fd = dataset_cache_lock(path, options);
    if (fd < 0 && fd != NO_LOCK) return fd;
    int code = fd >= 0 ? open_existing(cache, path, key, options, scan) : ERR_INPUT;
    if (code == ERR_INPUT || code == ERR_DATA) {
        if (fd >= 0) dataset_cache_tidy(options->cache_dir, path);
        code = build_file(path, key, options, scan);
        if (code == OK) code = open_existing(cache, path, key, options, scan);
        if (code == ERR_INPUT || code == ERR_DATA)
            code = fail(ERR_IO, "%s: cannot be read back", path);
    }
    dataset_cache_unlock(fd, path);
    return code;
}

static int open_in(struct dataset_cache *cache, uint64_t key, const struct dataset_options *options,
                   const struct scan *scan)
{
    TRY(file_make_dirs(options->cache_dir));
    char *path =
        cache_path(options->cache_dir, key, (uint32_t)options->width, (uint32_t)options->height);
    if (!path) return ERR_SYSTEM;
    int code = open_existing(cache, path, key, options, scan);
    if (code == ERR_INPUT || code == ERR_DATA) code = build_locked(cache, path, key, options, scan);
    free(path);
    return code;
}

/* Opens a set where nothing may be written: maps a cache that is there, or builds one without a
 * name. */
static int open_without(struct dataset_cache *cache, uint64_t key,
                        const struct dataset_options *options, const struct scan *scan)
{
    int code = ERR_INPUT;
    if (options->look_dir) {
        char *path =
            cache_path(options->look_dir, key, (uint32_t)options->width, (uint32_t)options->height);
        if (!path) return ERR_SYSTEM;
        code = open_existing(cache, path, key, options, scan);
        free(path);
    }
    if (code == OK || code == ERR_SYSTEM) return code;
    return build_for_now(cache, key, options, scan);
}

/* A cache of DATASET_AUTO that is there. */
static int open_chosen(struct dataset_cache *cache, const struct dataset_options *options,
                       const struct scan *scan)
{
    const char *dir = options->cache_dir ? options->cache_dir : options->look_dir;
    uint64_t key = cache_key(options, scan);
    if (!dir) return ERR_INPUT;
    char *path = cache_path(dir, key, (uint32_t)options->width, (uint32_t)options->height);
    if (!path) return ERR_SYSTEM;
    int code = open_existing(cache, path, key, options, scan);
    free(path);
    return code;
}

/* DATASET_AUTO with channels that must be: those that were chosen once may be others, as the files
 * have changed, and older versions chose none. */
static int open_as_must(struct dataset_cache *cache, const struct dataset_options *options,
                        const struct scan *scan)
{
    struct dataset_options exact = *options;
    int code = open_chosen(cache, options, scan);
    if (code == ERR_SYSTEM || (code == OK && cache->channels == options->must)) return code;
    dataset_cache_close(cache);
    exact.channels = channels_of(options->must);
    exact.must = 0;
    return dataset_cache_open(cache, &exact, scan);
}

int dataset_cache_open(struct dataset_cache *cache, const struct dataset_options *options,
                       const struct scan *scan)
{
    *cache = (struct dataset_cache){0};
    if (options->channels == DATASET_AUTO && options->must)
        return open_as_must(cache, options, scan);
    uint64_t key = cache_key(options, scan);
    if (!options->cache_dir) return open_without(cache, key, options, scan);
    int code = open_in(cache, key, options, scan);
    if (code != ERR_OUTPUT && code != ERR_ACCESS && code != ERR_IO) return code;
    log_warning("%s: the images are kept in memory instead of a cache", error_message());
    return build_in_memory(cache, key, options, scan);
}
