/* Writing JPEG, with libjpeg-turbo's libjpeg API. */
#include "base/error.h"
#include "image/image_format.h"
#include "image/jpeg_trap.h"

#include <limits.h>
#include <stdlib.h>

#define JPEG_TEXT_OF(number) #number
#define JPEG_TEXT(number) JPEG_TEXT_OF(number)
#ifdef LIBJPEG_TURBO_VERSION
#define JPEG_LIBRARY "libjpeg-turbo " JPEG_TEXT(LIBJPEG_TURBO_VERSION)
#else
#define JPEG_LIBRARY "libjpeg " JPEG_TEXT(JPEG_LIB_VERSION)
#endif

const char *image_jpeg_version(void)
{
    return JPEG_LIBRARY;
}

enum { WRITE_BYTES = 1 << 16, CHROMA_FULL_QUALITY = 90 };

struct jpeg_writer {
    struct jpeg_compress_struct info;
    struct jpeg_trap trap;
    struct jpeg_destination_mgr manager;
    struct byte_sink to;
    size_t written;
    int code; /* of a write that failed; its message is set */
    uint8_t buffer[WRITE_BYTES];
};

static void write_buffer(struct jpeg_writer *writer, size_t bytes)
{
    writer->code = writer->to.write(writer->to.argument, writer->written, writer->buffer, bytes);
    if (writer->code < 0) longjmp(writer->trap.jump, 1);
    writer->written += bytes;
    writer->manager.next_output_byte = writer->buffer;
    writer->manager.free_in_buffer = WRITE_BYTES;
}

static void begin_output(j_compress_ptr info)
{
    info->dest->next_output_byte = ((struct jpeg_writer *)info->client_data)->buffer;
    info->dest->free_in_buffer = WRITE_BYTES;
}

static boolean empty_buffer(j_compress_ptr info)
{
    write_buffer(info->client_data, WRITE_BYTES);
    return TRUE;
}

static void end_output(j_compress_ptr info)
{
    write_buffer(info->client_data, WRITE_BYTES - info->dest->free_in_buffer);
}

static int fail_write(const struct jpeg_writer *writer)
{
    if (writer->code < 0) return writer->code;
    return fail(ERR_SYSTEM, "write JPEG: %s", writer->trap.message);
}

/* Chroma at full resolution from quality full_from on (4:4:4), else halved both ways (4:2:0),
 * libjpeg's default. */
static void set_quality(struct jpeg_compress_struct *info, int quality, int full_from)
{
    jpeg_set_quality(info, quality, TRUE);
    info->dct_method = JDCT_ISLOW;
    if (info->num_components != 3) return;
    int factor = quality >= full_from ? 1 : 2;
    info->comp_info[0].h_samp_factor = factor;
    info->comp_info[0].v_samp_factor = factor;
}

static int begin_file(struct jpeg_writer *writer, const struct image *shape, int quality,
                      int full_from)
{
    struct jpeg_compress_struct *info = &writer->info;
    if (setjmp(writer->trap.jump)) return fail_write(writer);
    jpeg_create_compress(info);
    info->client_data = writer;
    info->dest = &writer->manager;
    info->image_width = (JDIMENSION)shape->width;
    info->image_height = (JDIMENSION)shape->height;
    info->input_components = shape->channels;
    info->in_color_space = shape->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(info);
    set_quality(info, quality, full_from);
    jpeg_start_compress(info, TRUE);
    return OK;
}

static void close_writer(void *state)
{
    struct jpeg_writer *writer = state;
    if (!writer) return;
    jpeg_destroy_compress(&writer->info);
    free(writer);
}

static int jpeg_open(void **state, const struct image *shape, int quality, int full_from,
                     const struct byte_sink *to)
{
    *state = NULL;
    struct jpeg_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return fail(ERR_SYSTEM, "out of memory");
    writer->info.err = jpeg_set_trap(&writer->trap);
    writer->manager = (struct jpeg_destination_mgr){.init_destination = begin_output,
                                                    .empty_output_buffer = empty_buffer,
                                                    .term_destination = end_output};
    writer->to = *to;
    int code = begin_file(writer, shape, quality, full_from);
    if (code < 0)
        close_writer(writer);
    else
        *state = writer;
    return code;
}

static int open_writer(void **state, const struct image *shape, int quality,
                       const struct byte_sink *to)
{
    return jpeg_open(state, shape, quality, CHROMA_FULL_QUALITY, to);
}

static int open_writer_halved(void **state, const struct image *shape, int quality,
                              const struct byte_sink *to)
{
    return jpeg_open(state, shape, quality, INT_MAX, to);
}

static int jpeg_output_put(void *state, const struct image *rows)
{
    struct jpeg_writer *writer = state;
    size_t row = image_bytes(rows) / (size_t)rows->height;
    if (setjmp(writer->trap.jump)) return fail_write(writer);
    for (int y = 0; y < rows->height; y++) {
        JSAMPROW line = (uint8_t *)rows->data + (size_t)y * row;
        jpeg_write_scanlines(&writer->info, &line, 1);
    }
    return OK;
}

static int jpeg_output_end(void *state)
{
    struct jpeg_writer *writer = state;
    if (setjmp(writer->trap.jump)) return fail_write(writer);
    jpeg_finish_compress(&writer->info);
    return OK;
}

/* Grey or RGB of 8 bits; alpha lies over black. */
static int jpeg_output_take(const struct image *shape, struct image *taken)
{
    *taken = *shape;
    if (shape->channels > 4)
        return fail(ERR_USAGE, "JPEG holds grey or RGB, not %d channels", shape->channels);
    if (shape->width > JPEG_MAX_DIMENSION || shape->height > JPEG_MAX_DIMENSION)
        return fail(ERR_USAGE, "JPEG holds at most %ld pixels a side, not %dx%d",
                    JPEG_MAX_DIMENSION, shape->width, shape->height);
    taken->channels = shape->channels <= 2 ? 1 : 3;
    taken->type = SAMPLE_U8;
    return OK;
}

const struct encoder encoder_jpeg = {jpeg_output_take, open_writer,  jpeg_output_put,
                                     jpeg_output_end,  close_writer, NULL};
const struct encoder encoder_jpeg_halved = {jpeg_output_take, open_writer_halved, jpeg_output_put,
                                            jpeg_output_end,  close_writer,       NULL};
