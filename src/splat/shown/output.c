#include "splat/shown/output.h"

#include "base/error.h"
#include "base/file.h"
#include "base/temporary.h"

#include <stdlib.h>
#include <string.h>

static int add_part(struct splat_output *output, char *path, int first, int channels,
                    const struct image *shape)
{
    struct splat_output_part *part = &output->part[output->count];
    if (!path) return ERR_SYSTEM;
    *part = (struct splat_output_part){.path = path, .first = first, .channels = channels};
    output->count++;
    struct image one = *shape;
    one.channels = channels;
    temporary_clean_beside(path); /* what a killed render left */
    return image_writer_open(&part->writer, path, &one);
}

/* Two channels that are left make a file each: together they would pass for grey with alpha. */
static int output_add_groups(struct splat_output *output, const struct image *shape)
{
    const char *path = output->path, *dot = strrchr(path, '.');
    const char *end = dot ? dot : path + strlen(path);
    for (int first = 0, number = 1; first < shape->channels; number++) {
        int left = shape->channels - first, count = left == 2 ? 1 : left < 3 ? left : 3;
        char *name = string_format("%.*s-%03d%s", (int)(end - path), path, number, end);
        TRY(add_part(output, name, first, count, shape));
        first += count;
    }
    return OK;
}

static int output_begin(void *argument, const struct image *shape)
{
    struct splat_output *output = argument;
    splat_output_close(output);
    bool stack = shape->channels > 4;
    if (!stack || output->also_first)
        TRY(add_part(output, string_format("%s", output->path), 0, stack ? 3 : shape->channels,
                     shape));
    return stack ? output_add_groups(output, shape) : OK;
}

/* *out becomes channels [first, first + count) of the rows. */
static int select_channels(struct image *out, const struct image *rows, int first, int count)
{
    size_t sample = sample_bytes(rows->type), pixel = sample * (size_t)rows->channels;
    TRY(image_create(out, rows->width, rows->height, count, rows->type));
    const uint8_t *from = (const uint8_t *)rows->data + sample * (size_t)first;
    uint8_t *to = out->data;
    size_t bytes = sample * (size_t)count;
    for (int64_t i = 0; i < (int64_t)rows->width * rows->height; i++)
        memcpy(to + (size_t)i * bytes, from + (size_t)i * pixel, bytes);
    return OK;
}

static int output_put(void *argument, struct image *rows, int y)
{
    struct splat_output *output = argument;
    (void)y; /* they come in order */
    for (int i = 0; i < output->count; i++) {
        const struct splat_output_part *part = &output->part[i];
        if (part->channels == rows->channels) return image_writer_put(part->writer, rows);
        struct image selected;
        TRY(select_channels(&selected, rows, part->first, part->channels));
        int code = image_writer_put(part->writer, &selected);
        image_free(&selected);
        TRY(code);
    }
    return OK;
}

struct image_sink splat_output_sink(struct splat_output *output)
{
    return (struct image_sink){output_begin, output_put, output};
}

int splat_output_commit(struct splat_output *output)
{
    for (int i = 0; i < output->count; i++)
        TRY(image_writer_commit(output->part[i].writer));
    return OK;
}

void splat_output_close(struct splat_output *output)
{
    for (int i = 0; i < output->count; i++) {
        image_writer_close(output->part[i].writer);
        free(output->part[i].path);
    }
    output->count = 0;
}
