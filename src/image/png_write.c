/* Writing PNG row by row with libpng's classic API. */
#include "base/error.h"
#include "image/image_format.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

/* Z_RLE takes half of the time and the same bytes for photographs and renders, but twice the bytes
 * for a drawing (scripts/demo.sh --draw: 518 -> 1072 kB) and 27 times for a screentone; level 1
 * half of the time and a fifth more. */
enum { COMPRESSION_LEVEL = 4 };

struct png_encoder {
    png_structp png;
    png_infop info;
    struct image shape;
    struct byte_sink to;
    size_t written;
    int code; /* of a write that failed; its message is set */
    char message[160];
};

static void png_output_on_error(png_structp png, png_const_charp text)
{
    struct png_encoder *encoder = png_get_error_ptr(png);
    snprintf(encoder->message, sizeof encoder->message, "%s", text);
    png_longjmp(png, 1);
}

static void png_output_on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void png_output_write_bytes(png_structp png, png_bytep from, size_t bytes)
{
    struct png_encoder *encoder = png_get_io_ptr(png);
    encoder->code = encoder->to.write(encoder->to.argument, encoder->written, from, bytes);
    if (encoder->code < 0) png_error(png, "write failed");
    encoder->written += bytes;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static int fail_encode(const struct png_encoder *encoder)
{
    if (encoder->code < 0) return encoder->code;
    return fail(ERR_SYSTEM, "write PNG: %s", encoder->message);
}

static int png_output_write_header(struct png_encoder *encoder)
{
    static const int colour[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                 PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_structp png = encoder->png;
    const struct image *shape = &encoder->shape;
    if (setjmp(png_jmpbuf(png))) return fail_encode(encoder);
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_write_fn(png, encoder, png_output_write_bytes, flush_nothing);
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_IHDR(png, encoder->info, (png_uint_32)shape->width, (png_uint_32)shape->height,
                 shape->type == SAMPLE_U16 ? 16 : 8, colour[shape->channels], PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, encoder->info);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (shape->type == SAMPLE_U16) png_set_swap(png);
#endif
    return OK;
}

static int png_output_take(const struct image *shape, struct image *taken)
{
    *taken = *shape;
    if (shape->channels > 4)
        return fail(ERR_USAGE, "PNG holds 1 to 4 channels, not %d", shape->channels);
    if (shape->type == SAMPLE_F32) taken->type = SAMPLE_U8;
    return OK;
}

static void png_output_close_encoder(void *state)
{
    struct png_encoder *encoder = state;
    if (!encoder) return;
    png_destroy_write_struct(&encoder->png, &encoder->info);
    free(encoder);
}

static int png_output_open_encoder(void **state, const struct image *shape, int quality,
                                   const struct byte_sink *to)
{
    (void)quality;
    *state = NULL;
    struct png_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder) return fail(ERR_SYSTEM, "out of memory");
    encoder->shape = *shape;
    encoder->to = *to;
    encoder->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, encoder, png_output_on_error,
                                           png_output_on_warning);
    if (encoder->png) encoder->info = png_create_info_struct(encoder->png);
    int code = encoder->info ? png_output_write_header(encoder) : fail(ERR_SYSTEM, "out of memory");
    if (code < 0)
        png_output_close_encoder(encoder);
    else
        *state = encoder;
    return code;
}

static int png_output_put(void *state, const struct image *rows)
{
    struct png_encoder *encoder = state;
    size_t row = image_bytes(rows) / (size_t)rows->height;
    if (setjmp(png_jmpbuf(encoder->png))) return fail_encode(encoder);
    for (int y = 0; y < rows->height; y++)
        png_write_row(encoder->png, (png_const_bytep)rows->data + (size_t)y * row);
    return OK;
}

static int png_output_end(void *state)
{
    struct png_encoder *encoder = state;
    if (setjmp(png_jmpbuf(encoder->png))) return fail_encode(encoder);
    png_write_end(encoder->png, NULL);
    return OK;
}

const struct encoder encoder_png = {png_output_take, png_output_open_encoder,  png_output_put,
                                    png_output_end,  png_output_close_encoder, NULL};
