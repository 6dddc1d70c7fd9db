/* Reading PNG, with libpng's classic API: its simplified one decodes 16-bit Adam7 wrongly. */
#include "base/error.h"
#include "image/png_chunk.h"
#include "image/png_outline.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFLATE_BEST_RATIO = 1100, /* 1032:1 (RFC 1951: 258 bytes from 2 bits), and small change */
    CHUNK_COUNT_LIMIT = 64,
    CHUNK_BYTES_LIMIT = 16 << 20,
};

/* ---- reading ---- */

/* The fault inside libpng, which itself does not tell a broken file from a full memory. */
struct png_fault {
    bool no_memory;
    char message[160];
};

struct png_reader {
    png_structp png;
    png_infop info;
    const struct source *source;
    struct png_outline outline;
    size_t at, end; /* behind `end` comes an IEND of our own */
    struct row_band band;
    struct image whole; /* an interlaced image */
    png_bytepp rows;    /* of it */
    struct png_fault fault;
};

static void png_input_on_error(png_structp png, png_const_charp text)
{
    struct png_fault *fault = png_get_error_ptr(png);
    snprintf(fault->message, sizeof fault->message, "%s", text);
    png_longjmp(png, 1);
}

static png_voidp png_input_allocate(png_structp png, png_alloc_size_t bytes)
{
    struct png_fault *fault = png_get_mem_ptr(png);
    void *memory = malloc(bytes);
    if (!memory) fault->no_memory = true;
    return memory;
}

static void png_input_release(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void png_input_on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void png_input_read_bytes(png_structp png, png_bytep to, size_t bytes)
{
    static const uint8_t iend[12] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xAE, 0x42, 0x60, 0x82};
    struct png_reader *reader = png_get_io_ptr(png);
    size_t left = reader->end - reader->at;
    const uint8_t *from = reader->source->data + reader->at;
    if (reader->at >= reader->end && reader->outline.pixels_end) {
        left = reader->end + sizeof iend - reader->at;
        from = iend + (reader->at - reader->end);
    }
    if (bytes > left) png_error(png, "the file ends too early");
    memcpy(to, from, bytes);
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

static int png_input_open_reader(struct png_reader *reader, const struct source *source)
{
    *reader = (struct png_reader){.source = source, .outline = png_outline_walk(source)};
    /* No pixel comes behind the last IDAT: whatever is damaged or missing there is not looked at.
     */
    reader->end = reader->outline.pixels_end ? reader->outline.pixels_end : source->bytes;
    reader->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader->fault,
                                           png_input_on_error, png_input_on_warning, &reader->fault,
                                           png_input_allocate, png_input_release);
    if (reader->png) reader->info = png_create_info_struct(reader->png);
    if (reader->info) return OK;
    png_destroy_read_struct(&reader->png, NULL, NULL);
    return fail(ERR_SYSTEM, "%s: out of memory", source->name);
}

static void png_input_close_reader(struct png_reader *reader)
{
    free(reader->rows);
    row_band_close(&reader->band);
    image_free(&reader->whole);
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
}

static void set_limits(struct png_reader *reader)
{
    png_set_user_limits(reader->png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_cache_max(reader->png, CHUNK_COUNT_LIMIT);
    png_set_chunk_malloc_max(reader->png, CHUNK_BYTES_LIMIT);
    skip_chunks(reader->png);
    png_set_read_fn(reader->png, reader, png_input_read_bytes);
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

static int png_input_read_header(struct png_reader *reader, struct image_header *header)
{
    if (reader->outline.lying[0])
        return fail(ERR_DATA, "%s: broken PNG: chunk %s: CRC error", reader->source->name,
                    reader->outline.lying);
    set_limits(reader);
    png_read_info(reader->png, reader->info);
    TRY(check_packed(reader));
    set_transforms(reader, header);
    return format_check_size(reader->source, header, (size_t)DEFLATE_BEST_RATIO * 32);
}

static void note_damage(const struct png_reader *reader)
{
    const struct png_outline *outline = &reader->outline;
    if (!outline->ends)
        format_note(reader->source, "the end of this PNG is missing (all pixels are there)");
    else if (outline->damaged[0])
        format_note(reader->source, "damaged PNG chunk %s (all pixels are there)",
                    outline->damaged);
    else if (outline->behind > 0)
        format_note(reader->source, "%zu bytes behind the end of the image", outline->behind);
}

static int fail_png(const struct png_reader *reader)
{
    if (reader->fault.no_memory) return fail(ERR_SYSTEM, "%s: out of memory", reader->source->name);
    return fail(ERR_DATA, "%s: broken PNG: %s", reader->source->name, reader->fault.message);
}

/* Reads an interlaced PNG in several passes: the image has to be there whole. */
static int read_interlaced(struct png_reader *reader)
{
    struct image *image = &reader->whole;
    size_t row = image_bytes(image) / (size_t)image->height;
    reader->rows = malloc((size_t)image->height * sizeof *reader->rows);
    if (!reader->rows) return fail(ERR_SYSTEM, "%s: out of memory", reader->source->name);
    for (int y = 0; y < image->height; y++)
        reader->rows[y] = (png_bytep)image->data + (size_t)y * row;
    png_read_image(reader->png, reader->rows);
    return OK;
}

static int png_input_read_rows(struct png_reader *reader, const struct image *shape,
                               const struct image_sink *sink)
{
    TRY(row_band_open(&reader->band, shape, sink));
    for (int y = 0; y < shape->height; y++) {
        png_read_row(reader->png, row_band_row(&reader->band), NULL);
        TRY(row_band_next(&reader->band));
    }
    return OK;
}

/* libpng jumps back here on an error: what lives on is in *reader, not in locals. */
static int png_input_read_image(struct png_reader *reader, size_t whole_limit,
                                const struct image_sink *sink)
{
    if (setjmp(png_jmpbuf(reader->png))) return fail_png(reader);
    struct image_header header;
    TRY(png_input_read_header(reader, &header));
    struct image shape = format_shape(&header);
    if (png_get_interlace_type(reader->png, reader->info) == PNG_INTERLACE_NONE) {
        TRY(png_input_read_rows(reader, &shape, sink));
        png_read_end(reader->png, NULL);
        note_damage(reader);
        return OK;
    }
    TRY(row_band_check_whole(reader->source->name, &shape, image_bytes(&shape), whole_limit,
                             "an interlaced PNG is not stored row by row"));
    TRY(image_create(&reader->whole, shape.width, shape.height, shape.channels, shape.type));
    TRY(read_interlaced(reader));
    png_read_end(reader->png, NULL);
    note_damage(reader);
    return image_stream_whole(&reader->whole, sink);
}

static int png_input_read_stored(const struct source *source, size_t whole_limit,
                                 const struct image_sink *sink)
{
    struct png_reader reader;
    TRY(png_input_open_reader(&reader, source));
    int code = png_input_read_image(&reader, whole_limit, sink);
    png_input_close_reader(&reader);
    return code;
}

static int png_read(const struct source *source, size_t whole_limit, const struct image_sink *sink)
{
    return exif_read(source, png_outline_walk(source).orientation, whole_limit, sink,
                     png_input_read_stored);
}

static int read_probe(struct png_reader *reader, struct image_header *header)
{
    if (setjmp(png_jmpbuf(reader->png))) return fail_png(reader);
    TRY(png_input_read_header(reader, header));
    if (reader->outline.orientation >= 5) {
        int width = header->width;
        header->width = header->height;
        header->height = width;
    }
    return OK;
}

static int png_probe(const struct source *source, struct image_header *header)
{
    struct png_reader reader;
    TRY(png_input_open_reader(&reader, source));
    int code = read_probe(&reader, header);
    png_input_close_reader(&reader);
    return code;
}

static bool png_matches(const uint8_t *data, size_t bytes)
{
    return png_has_signature(data, bytes);
}

static const char *const endings[] = {"png", NULL};
const struct image_format format_png = {"PNG", endings, png_matches, png_probe, png_read};
