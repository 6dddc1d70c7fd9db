#include "data/cache_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void cache_file_close(struct cache_file *file)
{
    if (file->map) munmap((void *)(uintptr_t)file->map, file->bytes);
    if (file->map && !file->path) retry_close(file->fd);
    free(file->path);
    *file = (struct cache_file){.fd = -1};
}

/* ---- one that is there ---- */

/* Maps what `fd` holds; ERR_DATA when that is not sound. */
static int cache_file_map(struct cache_file *file, int fd, const char *name,
                          const struct cache_content *content)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno(ERR_IO, "stat %s", name);
    file->bytes = (size_t)info.st_size;
    void *map = file->bytes ? mmap(NULL, file->bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED)
        return file->bytes ? fail_errno(ERR_SYSTEM, "map %s", name)
                           : fail(ERR_DATA, "%s: damaged", name);
    if (content->is_sound(content->context, map, file->bytes)) {
        file->map = map;
        return OK;
    }
    munmap(map, file->bytes);
    return fail(ERR_DATA, "%s: damaged", name);
}

/* OK with the file open; ERR_INPUT when there is none, ERR_DATA when it is damaged. */
static int cache_file_find(struct cache_file *file, const char *path,
                           const struct cache_content *content)
{
    int fd;
    TRY(file_open_own(path, O_RDONLY, ERR_INPUT, &fd));
    int code = cache_file_map(file, fd, path, content);
    futimens(fd, NULL); /* keeps it from being removed as unused */
    retry_close(fd);
    if (code == ERR_DATA) log_warning("%s: damaged, made again", path);
    TRY(code);
    file->path = string_format("%s", path);
    return file->path ? OK : ERR_SYSTEM;
}

/* ---- making one ---- */

/* The file has no name and stays open, so that it can get one later. */
static int cache_file_make_unnamed(struct cache_file *file, const struct cache_content *content,
                                   const char *dir)
{
    const char *name = dir ? dir : "a cache in memory";
    int fd = dir ? retry_open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666)
                 : memfd_create("imgtrain-cache", MFD_CLOEXEC);
    if (fd < 0)
        return fail_errno(dir ? ERR_IO : ERR_SYSTEM, "%s: no room for %s", name, content->what);
    int code = content->make(content->context, fd, name);
    if (code == OK) {
        code = cache_file_map(file, fd, name, content);
        if (code == ERR_DATA)
            code = fail(ERR_INTERNAL, "the cache that was just made is not sound");
    }
    file->fd = fd;
    if (code < 0) retry_close(fd);
    return code;
}

static bool cache_file_is_of_place(int code)
{
    return code == ERR_OUTPUT || code == ERR_ACCESS || code == ERR_IO;
}

/* On the disk where that can be, as it may be more than the memory. */
static int cache_file_make_for_now(struct cache_file *file, const struct cache_content *content,
                                   const char *spill_dir)
{
    if (spill_dir) {
        int code = cache_file_make_unnamed(file, content, spill_dir);
        if (!cache_file_is_of_place(code)) return code;
        log_warning("%s: %s are kept in memory", error_message(), content->what);
    }
    return cache_file_make_unnamed(file, content, NULL);
}

static int cache_file_make_named(struct cache_file *file, const char *path, const char *dir,
                                 const struct cache_content *content)
{
    struct file_atomic written;
    TRY(file_make_dirs(dir));
    temporary_clean_beside(path);
    TRY(file_atomic_open(&written, path, 0));
    int code = content->make(content->context, written.fd, path);
    if (code < 0) {
        file_atomic_abort(&written);
        return code;
    }
    TRY(file_atomic_commit(&written, true));
    code = cache_file_find(file, path, content);
    return code == ERR_INPUT || code == ERR_DATA ? fail(ERR_IO, "%s: cannot be read back", path)
                                                 : code;
}

static int cache_file_make(struct cache_file *file, const char *path,
                           const struct cache_content *content, const struct cache_places *places)
{
    if (!places->cache_dir) return cache_file_make_for_now(file, content, places->spill_dir);
    int code = cache_file_make_named(file, path, places->cache_dir, content);
    if (!cache_file_is_of_place(code)) return code;
    log_warning("%s: %s are kept without a cache", error_message(), content->what);
    return cache_file_make_for_now(file, content, places->spill_dir);
}

int cache_file_open(struct cache_file *file, const struct cache_content *content,
                    const struct cache_places *places)
{
    const char *dir = places->cache_dir ? places->cache_dir : places->look_dir;
    char *path = dir ? path_join(dir, content->name) : NULL;
    *file = (struct cache_file){.fd = -1};
    if (dir && !path) return ERR_SYSTEM;
    int code = path ? cache_file_find(file, path, content) : ERR_INPUT;
    if (code != OK && code != ERR_SYSTEM) code = cache_file_make(file, path, content, places);
    free(path);
    return code;
}

int cache_file_keep(struct cache_file *file, const struct cache_content *content, const char *dir)
{
    if (file->path || !dir) return OK;
    char *path = path_join(dir, content->name);
    if (!path) return ERR_SYSTEM;
    int code = file_make_dirs(dir);
    if (code == OK && file_atomic_name(file->fd, path) < 0)
        code = file_atomic_write_whole(path, file->map, file->bytes, true); /* another disk */
    if (code == OK) {
        log_info("%s: %s, prepared", path, content->what);
        retry_close(file->fd);
        file->path = path;
        return OK;
    }
    free(path);
    if (!cache_file_is_of_place(code)) return code;
    log_warning("%s: %s stay without a cache", error_message(), content->what);
    return OK;
}
