/* Writing a picture whose rows come one after the other. */
#include "base/error.h"
#include "base/file.h"
#include "image/format.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct image_writer {
    char *path;
    struct png_encoder *encoder; /* NULL: rows are collected */
    struct file_atomic file;
    struct image whole;
    struct image_sink collector;
};

static bool is_png(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && strcasecmp(dot, ".png") == 0;
}

static int write_file(void *argument, const void *data, size_t bytes)
{
    return file_atomic_write(argument, data, bytes);
}

static int begin(struct image_writer *writer, const struct image *shape)
{
    if (!is_png(writer->path) || shape->type == SAMPLE_F32) {
        writer->collector = image_collector(&writer->whole);
        return writer->collector.begin(&writer->whole, shape);
    }
    TRY(file_atomic_open(&writer->file, writer->path, 0));
    return png_encoder_open(&writer->encoder, shape, write_file, &writer->file);
}

int image_writer_open(struct image_writer **out, const char *path, const struct image *shape)
{
    *out = NULL;
    struct image_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return fail(ERR_SYSTEM, "out of memory");
    writer->file.fd = -1;
    writer->path = string_format("%s", path);
    int code = writer->path ? begin(writer, shape) : ERR_SYSTEM;
    if (code < 0)
        image_writer_close(writer);
    else
        *out = writer;
    return code;
}

int image_writer_put(struct image_writer *writer, struct image *rows, int y)
{
    if (writer->encoder) return png_encoder_put(writer->encoder, rows);
    return writer->collector.put(&writer->whole, rows, y);
}

int image_writer_commit(struct image_writer *writer)
{
    if (!writer->encoder) return image_save(&writer->whole, writer->path);
    TRY(png_encoder_end(writer->encoder));
    return file_atomic_commit(&writer->file, true);
}

void image_writer_close(struct image_writer *writer)
{
    if (!writer) return;
    png_encoder_close(writer->encoder);
    file_atomic_abort(&writer->file);
    image_free(&writer->whole);
    free(writer->path);
    free(writer);
}
