/* PNG both ways, with libpng's classic API: its simplified one decodes 16-bit Adam7 wrongly. */
#include "base/error.h"
#include "image/format.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFLATE_BEST_RATIO = 1100, /* 1032:1 (RFC 1951: 258 bytes from 2 bits), and small change */
    CHUNK_COUNT_LIMIT = 64,
    CHUNK_BYTES_LIMIT = 16 << 20,
    COMPRESSION_LEVEL = 4,
};

/* ---- reading ---- */

/* What went wrong inside libpng, which itself does not tell a broken file from a full memory. */
struct png_fault {
    bool no_memory;
    char message[160];
};

struct png_reader {
    png_structp png;
    png_infop info;
    const struct source *source;
    size_t at;
    png_bytepp rows;
    struct png_fault fault;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_fault *fault = png_get_error_ptr(png);
    snprintf(fault->message, sizeof fault->message, "%s", text);
    png_longjmp(png, 1);
}

static png_voidp allocate(png_structp png, png_alloc_size_t bytes)
{
    struct png_fault *fault = png_get_mem_ptr(png);
    void *memory = malloc(bytes);
    if (!memory) fault->no_memory = true;
    return memory;
}

static void release(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t bytes)
{
    struct png_reader *reader = png_get_io_ptr(png);
    if (bytes > reader->source->bytes - reader->at) png_error(png, "the file ends too early");
    memcpy(to, reader->source->data + reader->at, bytes);
    reader->at += bytes;
}

/* Text, profiles and the like are skipped unread: we have no use for them and they can be bombs.
 * Even eXIf: libpng 1.6.39 allocates whatever length it claims. */
static void skip_chunks(png_structp png)
{
    static const png_byte unused[] =
        "iCCP\0zTXt\0iTXt\0tEXt\0sPLT\0hIST\0tIME\0pCAL\0sCAL\0oFFs\0eXIf";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unused, (int)sizeof unused / 5);
}

static int open_reader(struct png_reader *reader, const struct source *source)
{
    *reader = (struct png_reader){.source = source};
    reader->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader->fault, on_error,
                                           on_warning, &reader->fault, allocate, release);
    if (reader->png) reader->info = png_create_info_struct(reader->png);
    if (reader->info) return OK;
    png_destroy_read_struct(&reader->png, NULL, NULL);
    return fail(ERR_SYSTEM, "%s: out of memory", source->name);
}

static void close_reader(struct png_reader *reader)
{
    free(reader->rows);
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
}

static void set_limits(struct png_reader *reader)
{
    png_set_user_limits(reader->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_cache_max(reader->png, CHUNK_COUNT_LIMIT);
    png_set_chunk_malloc_max(reader->png, CHUNK_BYTES_LIMIT);
    skip_chunks(reader->png);
    png_set_read_fn(reader->png, reader, read_bytes);
}

/* Every kind of PNG becomes 1 to 4 channels of 8 or 16 bit. */
static void set_transforms(struct png_reader *reader, struct image_header *header)
{
    png_structp png = reader->png;
    png_set_expand(png); /* palette to RGB, 1-4 bit grey to 8, tRNS to alpha */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (png_get_bit_depth(png, reader->info) == 16) png_set_swap(png);
#endif
    png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);
    header->width = (int)png_get_image_width(png, reader->info);
    header->height = (int)png_get_image_height(png, reader->info);
    header->channels = png_get_channels(png, reader->info);
    header->type = png_get_bit_depth(png, reader->info) == 16 ? SAMPLE_U16 : SAMPLE_U8;
}

/* Raw bytes as they are in the file: a 1-bit palette may grow 32-fold when it is expanded. */
static int check_packed(struct png_reader *reader)
{
    size_t row = png_get_rowbytes(reader->png, reader->info);
    size_t packed = row * png_get_image_height(reader->png, reader->info);
    if (packed / DEFLATE_BEST_RATIO <= reader->source->total) return OK;
    return fail(ERR_DATA, "%s: %zu bytes cannot hold the %ux%u pixels that its header claims",
                reader->source->name, reader->source->total,
                png_get_image_width(reader->png, reader->info),
                png_get_image_height(reader->png, reader->info));
}

static int read_header(struct png_reader *reader, struct image_header *header)
{
    set_limits(reader);
    png_read_info(reader->png, reader->info);
    TRY(check_packed(reader));
    set_transforms(reader, header);
    return format_check_size(reader->source, header, (size_t)DEFLATE_BEST_RATIO * 32);
}

/* What the eXIf chunk says, wherever it stands; 1 without one. */
static int find_orientation(const struct source *source)
{
    for (size_t at = 8; source->bytes >= 12 && at <= source->bytes - 12;) {
        const uint8_t *chunk = source->data + at;
        size_t length = png_get_uint_32(chunk);
        if (length > source->bytes - at - 12) break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0) return exif_orientation(chunk + 8, length);
        at += length + 12;
    }
    return 1;
}

static int fail_png(const struct png_reader *reader)
{
    if (reader->fault.no_memory) return fail(ERR_SYSTEM, "%s: out of memory", reader->source->name);
    return fail(ERR_DATA, "%s: broken PNG: %s", reader->source->name, reader->fault.message);
}

/* libpng jumps back here on an error: what lives on is in *reader and *image, not in locals. */
static int read_image(struct png_reader *reader, struct image *image)
{
    if (setjmp(png_jmpbuf(reader->png))) return fail_png(reader);
    struct image_header header;
    TRY(read_header(reader, &header));
    TRY(format_create(reader->source, &header, image));
    size_t row = image_bytes(image) / (size_t)image->height;
    reader->rows = malloc((size_t)image->height * sizeof *reader->rows);
    if (!reader->rows) return fail(ERR_SYSTEM, "%s: out of memory", reader->source->name);
    for (int y = 0; y < image->height; y++)
        reader->rows[y] = (png_bytep)image->data + (size_t)y * row;
    png_read_image(reader->png, reader->rows);
    png_read_end(reader->png, NULL);
    return OK;
}

static int png_decode(const struct source *source, struct image *image)
{
    struct png_reader reader;
    TRY(open_reader(&reader, source));
    int code = read_image(&reader, image);
    close_reader(&reader);
    if (code < 0) return code;
    return exif_apply(image, find_orientation(source));
}

static int read_probe(struct png_reader *reader, struct image_header *header)
{
    if (setjmp(png_jmpbuf(reader->png))) return fail_png(reader);
    TRY(read_header(reader, header));
    if (find_orientation(reader->source) >= 5) {
        int width = header->width;
        header->width = header->height;
        header->height = width;
    }
    return OK;
}

static int png_probe(const struct source *source, struct image_header *header)
{
    struct png_reader reader;
    TRY(open_reader(&reader, source));
    int code = read_probe(&reader, header);
    close_reader(&reader);
    return code;
}

static bool png_matches(const uint8_t *data, size_t bytes)
{
    return bytes >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0;
}

const struct image_format format_png = {"PNG", png_matches, png_probe, png_decode};

/* ---- writing ---- */

struct png_writer {
    png_structp png;
    png_infop info;
    uint8_t *data;
    size_t bytes, room;
    struct png_fault fault;
};

static void write_bytes(png_structp png, png_bytep from, size_t bytes)
{
    struct png_writer *writer = png_get_io_ptr(png);
    if (bytes > writer->room - writer->bytes) {
        size_t room = 2 * (writer->bytes + bytes) + 65536;
        uint8_t *larger = realloc(writer->data, room);
        if (!larger) png_error(png, "out of memory");
        writer->data = larger;
        writer->room = room;
    }
    memcpy(writer->data + writer->bytes, from, bytes);
    writer->bytes += bytes;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static int write_image(struct png_writer *writer, const struct image *image)
{
    static const int colour[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                 PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
    png_structp png = writer->png;
    if (setjmp(png_jmpbuf(png))) return fail(ERR_SYSTEM, "write PNG: %s", writer->fault.message);
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_write_fn(png, writer, write_bytes, flush_nothing);
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_IHDR(png, writer->info, (png_uint_32)image->width, (png_uint_32)image->height,
                 image->type == SAMPLE_U16 ? 16 : 8, colour[image->channels], PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, writer->info);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (image->type == SAMPLE_U16) png_set_swap(png);
#endif
    size_t row = image_bytes(image) / (size_t)image->height;
    for (int y = 0; y < image->height; y++)
        png_write_row(png, (png_const_bytep)image->data + (size_t)y * row);
    png_write_end(png, NULL);
    return OK;
}

static int encode_integers(const struct image *image, uint8_t **data, size_t *bytes)
{
    struct png_writer writer = {0};
    writer.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &writer.fault, on_error,
                                           on_warning, &writer.fault, allocate, release);
    if (writer.png) writer.info = png_create_info_struct(writer.png);
    int code = writer.info ? write_image(&writer, image) : fail(ERR_SYSTEM, "out of memory");
    png_destroy_write_struct(&writer.png, &writer.info);
    if (code < 0) {
        free(writer.data);
        return code;
    }
    *data = writer.data;
    *bytes = writer.bytes;
    return OK;
}

int image_encode_png(const struct image *image, uint8_t **data, size_t *bytes)
{
    *data = NULL;
    *bytes = 0;
    if (image->channels > 4)
        return fail(ERR_USAGE, "PNG holds 1 to 4 channels, not %d", image->channels);
    if (image->type != SAMPLE_F32) return encode_integers(image, data, bytes);
    struct image rounded;
    TRY(image_convert(&rounded, image, SAMPLE_U8));
    int code = encode_integers(&rounded, data, bytes);
    image_free(&rounded);
    return code;
}
