#include "data/dataset_build.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/seldom.h"
#include "base/threads.h"
#include "data/cache_format.h"
#include "data/channels.h"
#include "data/flatten.h"
#include "image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64, LISTED = 5 };

struct builder {
    const struct dataset_options *options;
    const struct scan *scan;
    const char *name;
    int fd;
    size_t image_bytes;
    uint8_t *chunk;   /* [CHUNK] images */
    char **faults;    /* [CHUNK] why an image cannot be read; NULL: it can */
    int codes[CHUNK]; /* of those */
    uint64_t *sums;   /* [count] */
    int32_t *labels;  /* [count] */
    int count, skipped, enlarged;
    struct seldom lines;
};

/* ---- one image ---- */

/* The largest centred part with the shape width : height. Keeps the sample type. */
static int crop_centre(struct image *out, const struct image *in, int width, int height)
{
    int w = in->width, h = in->height;
    if ((int64_t)w * height > (int64_t)h * width)
        w = (int)(((int64_t)h * width + height / 2) / height);
    else
        h = (int)(((int64_t)w * height + width / 2) / width);
    w = w < 1 ? 1 : w > in->width ? in->width : w;
    h = h < 1 ? 1 : h > in->height ? in->height : h;
    TRY(image_create(out, w, h, in->channels, in->type));
    size_t pixel = sample_bytes(in->type) * (size_t)in->channels;
    size_t x0 = (size_t)(in->width - w) / 2, y0 = (size_t)(in->height - h) / 2;
    for (size_t y = 0; y < (size_t)h; y++)
        memcpy((uint8_t *)out->data + y * (size_t)w * pixel,
               (const uint8_t *)in->data + ((y0 + y) * (size_t)in->width + x0) * pixel,
               (size_t)w * pixel);
    return OK;
}

int dataset_build_decode(uint8_t *out, const char *path, const struct dataset_options *options,
                         bool *enlarged)
{
    int width = options->width, height = options->height;
    struct image whole = {0}, cropped = {0}, resized = {0};
    int code = image_load(&whole, path);
    if (code == OK) code = crop_centre(&cropped, &whole, width, height);
    image_free(&whole);
    *enlarged = code == OK && (cropped.width < width || cropped.height < height);
    if (code == OK) code = image_resize(&resized, &cropped, width, height);
    if (code == OK && options->channels == DATASET_RGBA)
        flatten_premultiplied(out, &resized);
    else if (code == OK && options->channels == DATASET_GREY)
        flatten_brightness(out, &resized);
    else if (code == OK)
        flatten_rgb(out, SAMPLE_U8, &resized);
    if (code == OK && options->grey && options->channels == DATASET_RGB)
        flatten_grey(out, (size_t)width * (size_t)height);
    image_free(&cropped);
    image_free(&resized);
    return code;
}

/* ---- all of them ---- */

static int dataset_build_decode_into(struct builder *builder, int first, int i, bool *enlarged)
{
    const struct dataset_options *options = builder->options;
    char *path = path_join(options->folder, builder->scan->files[first + i].name);
    if (!path) return ERR_SYSTEM;
    int code = dataset_build_decode(builder->chunk + (size_t)i * builder->image_bytes, path,
                                    options, enlarged);
    free(path);
    return code;
}

struct chunk_work {
    struct builder *builder;
    int first; /* file of the chunk */
};

static void decode_files(void *context, int64_t from, int64_t to)
{
    const struct chunk_work *work = context;
    struct builder *builder = work->builder;
    int enlarged = 0;
    for (int i = (int)from; i < (int)to; i++) {
        bool was_smaller = false;
        builder->codes[i] = dataset_build_decode_into(builder, work->first, i, &was_smaller);
        /* the message belongs to the thread that failed */
        if (builder->codes[i] < 0) builder->faults[i] = string_format("%s", error_message());
        enlarged += was_smaller;
    }
    __atomic_fetch_add(&builder->enlarged, enlarged, __ATOMIC_RELAXED);
}

/* Writes what was decoded, in order and without holes. */
static int keep_chunk(struct builder *builder, int first, int count)
{
    for (int i = 0; i < count; i++) {
        const uint8_t *image = builder->chunk + (size_t)i * builder->image_bytes;
        const char *fault = builder->faults[i] ? builder->faults[i] : "out of memory";
        if (builder->codes[i] == ERR_SYSTEM || builder->codes[i] == ERR_IO)
            return fail(builder->codes[i], "%s", fault); /* not the image's fault */
        if (builder->codes[i] < 0) {
            if (builder->skipped++ < LISTED) log_warning("%s: skipped", fault);
            free(builder->faults[i]);
            builder->faults[i] = NULL;
            continue;
        }
        TRY(file_write_all(builder->fd, image, builder->image_bytes, builder->name));
        builder->sums[builder->count] = hash_bytes(0, image, builder->image_bytes);
        builder->labels[builder->count++] = builder->scan->files[first + i].label;
    }
    return OK;
}

static void show_progress(struct builder *builder, int done)
{
    int total = builder->scan->count;
    double spent;
    if (done == total || !seldom_is_due(&builder->lines, &spent)) return;
    log_info("images %d/%d %d%% eta %.0fs", done, total, (int)((int64_t)done * 100 / total),
             spent * (total - done) / done);
}

static int dataset_build_decode_all(struct builder *builder)
{
    const struct scan *scan = builder->scan;
    for (int first = 0; first < scan->count; first += CHUNK) {
        if (builder->options->stop_requested && builder->options->stop_requested())
            return fail(ERR_STOPPED, "stopped while decoding images");
        int count = scan->count - first < CHUNK ? scan->count - first : CHUNK;
        struct chunk_work work = {builder, first};
        threads_for(count, 1, decode_files, &work);
        TRY(keep_chunk(builder, first, count));
        show_progress(builder, first + count);
    }
    return OK;
}

/* A class without any readable image is none: the others move up. The names that stay go to
 * `names` (room for all), each ended by a zero byte. */
static void settle_classes(struct builder *builder, struct dataset_header *header, char *names,
                           int32_t *moved)
{
    const struct scan *scan = builder->scan;
    memset(moved, 0, (size_t)scan->class_count * sizeof *moved);
    for (int i = 0; i < builder->count && scan->class_count > 0; i++)
        moved[builder->labels[i]] = 1;
    for (int k = 0; k < scan->class_count; k++) {
        bool used = moved[k] != 0;
        moved[k] = (int32_t)header->classes;
        if (!used)
            log_warning("%s/%s: no class, as none of its images can be read",
                        builder->options->folder, scan->classes[k]);
        if (!used) continue;
        size_t bytes = strlen(scan->classes[k]) + 1;
        memcpy(names + header->names_bytes, scan->classes[k], bytes);
        header->names_bytes += (uint32_t)bytes;
        header->classes++;
    }
    for (int i = 0; i < builder->count && scan->class_count > 0; i++)
        builder->labels[i] = moved[builder->labels[i]];
}

static int write_tail(struct builder *builder, struct dataset_header *header)
{
    static const uint8_t zeros[8];
    size_t room = 1;
    for (int k = 0; k < builder->scan->class_count; k++)
        room += strlen(builder->scan->classes[k]) + 1;
    char *names = malloc(room);
    int32_t *moved = malloc(((size_t)builder->scan->class_count + 1) * sizeof *moved);
    int code = names && moved ? OK : fail(ERR_SYSTEM, "out of memory");
    TRY_CLEANUP(code);
    settle_classes(builder, header, names, moved);
    header->contents = dataset_contents(header, builder->sums, builder->labels, names);
    header->check = dataset_header_check(header);
    struct dataset_offsets at = dataset_offsets(header);
    size_t padding = at.sums - at.pixels - header->count * builder->image_bytes;
    size_t count = header->count;
    TRY_CLEANUP(file_write_all(builder->fd, zeros, padding, builder->name));
    TRY_CLEANUP(
        file_write_all(builder->fd, builder->sums, count * sizeof *builder->sums, builder->name));
    TRY_CLEANUP(file_write_all(builder->fd, builder->labels, count * sizeof *builder->labels,
                               builder->name));
    TRY_CLEANUP(file_write_all(builder->fd, names, header->names_bytes, builder->name));
    if (pwrite(builder->fd, header, sizeof *header, 0) != (ssize_t)sizeof *header)
        code = fail_errno(ERR_IO, "write %s", builder->name);
cleanup:
    free(names);
    free(moved);
    return code;
}

static int dataset_build_report(const struct builder *builder)
{
    const struct dataset_options *options = builder->options;
    int total = builder->scan->count;
    if (builder->count == 0)
        return fail(ERR_DATA, "%s: none of its %d images can be read", options->folder, total);
    if (builder->skipped > LISTED)
        log_warning("%s: %d of %d images cannot be read and are skipped", options->folder,
                    builder->skipped, total);
    if (builder->enlarged > 0)
        log_info("%s: %d of %d images are smaller than %dx%d and were enlarged", options->folder,
                 builder->enlarged, total, options->width, options->height);
    return OK;
}

static int run_builder(struct builder *builder, uint64_t key)
{
    static const uint8_t no_header[DATASET_HEADER_BYTES];
    TRY(file_write_all(builder->fd, no_header, sizeof no_header, builder->name));
    TRY(dataset_build_decode_all(builder));
    TRY(dataset_build_report(builder));
    struct dataset_header header = {
        .key = key,
        .width = (uint32_t)builder->options->width,
        .height = (uint32_t)builder->options->height,
        .count = (uint32_t)builder->count,
        .skipped = (uint32_t)builder->skipped,
    };
    dataset_header_set_channels(&header, channels_count(builder->options->channels));
    return write_tail(builder, &header);
}

int dataset_build(int fd, const char *name, uint64_t key, const struct dataset_options *options,
                  const struct scan *scan)
{
    struct dataset_options chosen = *options;
    if (options->channels == DATASET_AUTO) TRY(channels_look(&chosen.channels, options, scan));
    struct builder builder = {.options = &chosen, .scan = scan, .name = name, .fd = fd};
    size_t count = (size_t)scan->count;
    builder.image_bytes =
        (size_t)options->width * (size_t)options->height * (size_t)channels_count(chosen.channels);
    builder.chunk = malloc(CHUNK * builder.image_bytes);
    builder.faults = calloc(CHUNK, sizeof *builder.faults);
    builder.sums = malloc(count * sizeof *builder.sums);
    builder.labels = malloc(count * sizeof *builder.labels);
    builder.lines = seldom_begin();
    int code = builder.chunk && builder.faults && builder.sums && builder.labels
                   ? run_builder(&builder, key)
                   : fail(ERR_SYSTEM, "out of memory for the images");
    for (int i = 0; builder.faults && i < CHUNK; i++)
        free(builder.faults[i]);
    free(builder.chunk);
    free(builder.faults);
    free(builder.sums);
    free(builder.labels);
    return code;
}
