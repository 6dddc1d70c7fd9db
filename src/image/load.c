/* Reading an image file, whatever its format: the first bytes decide, never the name. */
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/log.h"
#include "base/retry.h"
#include "image/image_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t FILE_LIMIT = (size_t)16 << 30;
static const size_t PLAIN_LIMIT = (size_t)4 << 30; /* decoded bytes that any ratio may make */
static const size_t MODEST_RATIO = 64;             /* above that */

static const struct image_format *image_find_format(const uint8_t *data, size_t bytes)
{
    for (int i = 0; i < IMAGE_FORMATS; i++)
        if (image_formats[i]->name && image_formats[i]->matches(data, bytes))
            return image_formats[i];
    return NULL;
}

static int fail_format(const char *name, const uint8_t *head, size_t bytes)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, "a %s image", image_format_names().text);
    return file_kind_fail(ERR_DATA, name, file_kind_of(head, bytes), wanted);
}

/* ---- faults of a file whose pixels are all there ---- */

enum { NOTES = 1024, NOTES_SHOWN = 20 };
static pthread_mutex_t notes_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t notes[NOTES]; /* hashes of the names that were said */
static int note_count;

/* An image may be read several times, and a data set may be full of such files. */
void format_note(const struct source *source, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    uint64_t hash = hash_bytes(0, source->name, strlen(source->name));
    pthread_mutex_lock(&notes_lock);
    bool known = note_count == NOTES;
    for (int i = 0; i < note_count && !known; i++)
        known = notes[i] == hash;
    int number = known ? NOTES : note_count;
    if (!known) notes[note_count++] = hash;
    pthread_mutex_unlock(&notes_lock);
    if (number < NOTES_SHOWN) log_warning("%s: %s", source->name, text);
    if (number == NOTES_SHOWN) log_warning("more files like these are read without a word");
}

int format_check_size(const struct source *source, const struct image_header *header,
                      size_t best_ratio)
{
    if (header->width < 1 || header->height < 1 || header->width > IMAGE_MAX_SIDE ||
        header->height > IMAGE_MAX_SIDE || header->channels < 1 ||
        header->channels > IMAGE_MAX_CHANNELS)
        return fail(ERR_DATA, "%s: %dx%d with %d channels is outside the limits (%d, %d)",
                    source->name, header->width, header->height, header->channels, IMAGE_MAX_SIDE,
                    IMAGE_MAX_CHANNELS);
    struct image shape = {header->width, header->height, header->channels, header->type, NULL};
    size_t raw = image_bytes(&shape);
    if (raw / best_ratio > source->total)
        return fail(ERR_DATA, "%s: %zu bytes cannot hold the %dx%d pixels that its header claims",
                    source->name, source->total, header->width, header->height);
    if (raw > PLAIN_LIMIT && raw / MODEST_RATIO > source->total)
        return fail(ERR_DATA, "%s: %zu bytes that unpack to %.1f GiB are refused", source->name,
                    source->total, (double)raw / 0x1p30);
    return OK;
}

struct image format_shape(const struct image_header *header)
{
    return (struct image){header->width, header->height, header->channels, header->type, NULL};
}

int image_decode(struct image *image, const uint8_t *data, size_t bytes, const char *name)
{
    memset(image, 0, sizeof *image);
    const struct image_format *format = image_find_format(data, bytes);
    if (!format) return fail_format(name, data, bytes);
    struct source source = {data, bytes, bytes, name};
    struct image_sink collector = image_collector(image);
    int code = format->read(&source, 0, &collector);
    if (code < 0) image_free(image);
    return code;
}

/* The file's first bytes and its whole size, so that a large file of another kind is not read. */
static int read_head(const char *path, uint8_t *head, size_t room, size_t *bytes, size_t *total)
{
    *bytes = *total = 0;
    int fd = retry_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return fail_errno(ERR_INPUT, "open %s", path);
    struct stat info;
    int code = OK;
    if (fstat(fd, &info) != 0) {
        code = fail_errno(ERR_IO, "stat %s", path);
    } else if (S_ISDIR(info.st_mode)) {
        code = fail(ERR_DATA, "%s: a folder, not an image", path);
    } else if (!S_ISREG(info.st_mode)) {
        code = fail(ERR_DATA, "%s is not a regular file", path);
    } else {
        *total = (size_t)info.st_size;
        while (*bytes < room) {
            ssize_t got = read(fd, head + *bytes, room - *bytes);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) code = fail_errno(ERR_IO, "read %s", path);
            if (got <= 0) break;
            *bytes += (size_t)got;
        }
    }
    retry_close(fd);
    return code;
}

int image_load(struct image *image, const char *path)
{
    memset(image, 0, sizeof *image);
    uint8_t head[FILE_KIND_BYTES];
    size_t bytes, total;
    TRY(read_head(path, head, sizeof head, &bytes, &total));
    if (!image_find_format(head, bytes)) return fail_format(path, head, bytes);
    uint8_t *data;
    TRY(file_read(path, FILE_LIMIT, &data, &bytes));
    int code = image_decode(image, data, bytes, path);
    free(data);
    return code;
}

/* A sink that drops the mapped pages that the decoder has read: they are not needed again. */
struct dropping {
    const struct image_sink *to;
    const struct file_map *map;
};

static int drop_begin(void *argument, const struct image *shape)
{
    const struct dropping *d = argument;
    return d->to->begin ? d->to->begin(d->to->argument, shape) : OK;
}

static int drop_put(void *argument, struct image *rows, int y)
{
    const struct dropping *d = argument;
    TRY(d->to->put(d->to->argument, rows, y));
    file_map_drop(d->map);
    return OK;
}

int image_stream(const char *path, size_t whole_limit, const struct image_sink *sink)
{
    uint8_t head[FILE_KIND_BYTES];
    size_t bytes, total;
    TRY(read_head(path, head, sizeof head, &bytes, &total));
    const struct image_format *format = image_find_format(head, bytes);
    if (!format) return fail_format(path, head, bytes);
    if (total > FILE_LIMIT)
        return fail(ERR_DATA, "%s: %zu bytes, more than the limit of %zu", path, total, FILE_LIMIT);
    struct file_map map;
    TRY(file_map(&map, path));
    struct source source = {map.data, map.bytes, map.bytes, path};
    struct dropping dropping = {sink, &map};
    const struct image_sink to = {drop_begin, drop_put, &dropping};
    int code = format->read(&source, whole_limit, &to);
    file_unmap(&map);
    return code;
}

/* The metadata that turns an image may stand at the end of the file, so a probe can look at all of
 * it. */
static int probe_file(const char *path, struct image_header *header)
{
    uint8_t head[FILE_KIND_BYTES];
    size_t bytes, total;
    TRY(read_head(path, head, sizeof head, &bytes, &total));
    const struct image_format *format = image_find_format(head, bytes);
    if (!format) return fail_format(path, head, bytes);
    struct file_map map;
    TRY(file_map(&map, path));
    struct source source = {map.data, map.bytes, map.bytes, path};
    int code = format->probe(&source, header);
    file_unmap(&map);
    return code;
}

int image_probe(const char *path, int *width, int *height, int *channels, enum sample_type *type)
{
    struct image_header header;
    TRY(probe_file(path, &header));
    *width = header.width;
    *height = header.height;
    *channels = header.channels;
    *type = header.type;
    return OK;
}
