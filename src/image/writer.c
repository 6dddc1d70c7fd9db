/* Writing an image whose rows come one after the other, into a file or into memory. The name's
 * extension decides how. */
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "image/image_format.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SAVE_QUALITY = 95 };

/* ---- an encoder, and what it does not take as it is ---- */

struct encoding {
    const struct encoder *encoder;
    void *state;
    struct image taken; /* shape */
};

static int encoding_open(struct encoding *e, int quality, const struct byte_sink *to)
{
    return e->encoder->open(&e->state, &e->taken, quality, to);
}

/* Converts rows: without alpha, and to the type that is taken. */
static int image_writer_convert(struct image *out, const struct image *rows,
                                const struct image *taken)
{
    struct image flat = {0};
    bool flatten = rows->channels != taken->channels;
    if (flatten) TRY(image_over_black(&flat, rows));
    int code = image_convert(out, flatten ? &flat : rows, taken->type);
    image_free(&flat);
    return code;
}

static int encoding_put(struct encoding *e, const struct image *rows)
{
    if (rows->channels == e->taken.channels && rows->type == e->taken.type)
        return e->encoder->put(e->state, rows);
    struct image converted;
    TRY(image_writer_convert(&converted, rows, &e->taken));
    int code = e->encoder->put(e->state, &converted);
    image_free(&converted);
    return code;
}

static void encoding_close(struct encoding *e)
{
    if (e->encoder) e->encoder->close(e->state);
    e->state = NULL;
}

/* ---- into memory ---- */

struct buffer {
    uint8_t *data;
    size_t bytes, room;
};

static int image_writer_keep(void *argument, size_t at, const void *data, size_t bytes)
{
    struct buffer *buffer = argument;
    size_t end = at + bytes;
    if (end > buffer->room) {
        size_t room = 2 * end + 65536;
        uint8_t *larger = realloc(buffer->data, room);
        if (!larger) return fail(ERR_SYSTEM, "out of memory for an image file");
        buffer->data = larger;
        buffer->room = room;
    }
    memcpy(buffer->data + at, data, bytes);
    if (end > buffer->bytes) buffer->bytes = end;
    return OK;
}

int encoder_make(const struct encoder *encoder, const struct image *image, int quality,
                 uint8_t **data, size_t *bytes)
{
    struct buffer buffer = {0};
    const struct byte_sink to = {image_writer_keep, &buffer};
    struct encoding e = {.encoder = encoder};
    *data = NULL;
    *bytes = 0;
    TRY(encoder->take(image, &e.taken));
    int code = encoding_open(&e, quality, &to);
    if (code == OK) code = encoding_put(&e, image);
    if (code == OK) code = encoder->end(e.state);
    encoding_close(&e);
    if (code < 0) {
        free(buffer.data);
        return code;
    }
    *data = buffer.data;
    *bytes = buffer.bytes;
    return OK;
}

int image_encode_png(const struct image *image, uint8_t **data, size_t *bytes)
{
    return encoder_make(&encoder_png, image, 0, data, bytes);
}

static int encode_jpeg_by(const struct encoder *encoder, const struct image *image, int quality,
                          uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    if (image->type != SAMPLE_U8 || (image->channels != 1 && image->channels != 3))
        return fail(ERR_USAGE, "JPEG takes 1 or 3 channels of 8 bits");
    return encoder_make(encoder, image, quality, data, bytes);
}

int image_encode_jpeg(const struct image *image, int quality, uint8_t **data, size_t *bytes)
{
    return encode_jpeg_by(&encoder_jpeg, image, quality, data, bytes);
}

int image_encode_jpeg_halved(const struct image *image, int quality, uint8_t **data, size_t *bytes)
{
    return encode_jpeg_by(&encoder_jpeg_halved, image, quality, data, bytes);
}

/* ---- into a file ---- */

struct image_writer {
    char *path;
    struct encoding encoding;
    struct file_atomic file;
};

static const struct extension {
    const char *name;
    const struct encoder *encoder;
    int channels; /* 0: any that the encoder takes */
} extensions[] = {
    {".png", &encoder_png, 0}, {".jpg", &encoder_jpeg, 0}, {".jpeg", &encoder_jpeg, 0},
    {".ppm", &encoder_pnm, 3}, {".pgm", &encoder_pnm, 1},  {".pnm", &encoder_pnm, 0},
    {".pam", &encoder_pnm, 0}, {".pfm", &encoder_pfm, 0},
};

static int find_encoder(const char *path, const struct image *shape, const struct encoder **encoder)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof extensions / sizeof extensions[0]; i++) {
        const struct extension *e = &extensions[i];
        if (strcasecmp(dot, e->name) != 0) continue;
        *encoder = e->encoder;
        if (e->channels == 0 || e->channels == shape->channels) return OK;
        return fail(ERR_USAGE, "%s holds %d channel%s, not %d", e->channels == 1 ? "PGM" : "PPM",
                    e->channels, e->channels == 1 ? "" : "s", shape->channels);
    }
    return fail(ERR_USAGE, "cannot write this kind of file (.png .jpg .ppm .pgm .pnm .pfm)");
}

static int write_file(void *argument, size_t at, const void *data, size_t bytes)
{
    return file_atomic_write_at(argument, at, data, bytes);
}

static int image_writer_begin(struct image_writer *writer, const struct image *shape)
{
    struct encoding *e = &writer->encoding;
    const struct byte_sink to = {write_file, &writer->file};
    int code = find_encoder(writer->path, shape, &e->encoder);
    if (code == OK) code = e->encoder->take(shape, &e->taken);
    if (code < 0) return fail_within(code, "%s", writer->path);
    size_t bytes = e->encoder->bytes ? e->encoder->bytes(&e->taken) : 0;
    TRY(file_atomic_open(&writer->file, writer->path, bytes));
    return encoding_open(e, SAVE_QUALITY, &to);
}

int image_writer_open(struct image_writer **out, const char *path, const struct image *shape)
{
    *out = NULL;
    struct image_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return fail(ERR_SYSTEM, "out of memory");
    writer->file.fd = -1;
    writer->path = string_format("%s", path);
    int code = writer->path ? image_writer_begin(writer, shape) : ERR_SYSTEM;
    if (code < 0)
        image_writer_close(writer);
    else
        *out = writer;
    return code;
}

int image_writer_put(struct image_writer *writer, const struct image *rows)
{
    return encoding_put(&writer->encoding, rows);
}

int image_writer_commit(struct image_writer *writer)
{
    TRY(writer->encoding.encoder->end(writer->encoding.state));
    return file_atomic_commit(&writer->file, true);
}

void image_writer_close(struct image_writer *writer)
{
    if (!writer) return;
    encoding_close(&writer->encoding);
    file_atomic_abort(&writer->file);
    free(writer->path);
    free(writer);
}

int image_save(const struct image *image, const char *path)
{
    struct image_writer *writer;
    TRY(image_writer_open(&writer, path, image));
    int code = image_writer_put(writer, image);
    if (code == OK) code = image_writer_commit(writer);
    image_writer_close(writer);
    return code;
}
