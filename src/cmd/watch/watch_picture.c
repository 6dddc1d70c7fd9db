#include "cmd/watch/watch_picture.h"

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- read ---- */

/* u8 with three channels, whatever the file has. */
static int picture_flatten(struct image *out, const struct image *in)
{
    struct image black = {0}, eight = {0};
    int code = in->channels <= 4 ? image_over_black(&black, in) : fail(ERR_DATA, "a stack");
    if (code == OK) code = image_convert(&eight, &black, SAMPLE_U8);
    if (code == OK) code = image_create(out, in->width, in->height, 3, SAMPLE_U8);
    const uint8_t *from = eight.data;
    uint8_t *to = out->data;
    size_t count = code == OK ? (size_t)in->width * (size_t)in->height : 0;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++)
            to[3 * i + c] = eight.channels == 3 ? from[3 * i + c] : from[i];
    image_free(&black);
    image_free(&eight);
    return code;
}

static int picture_read(struct image *out, const char *path)
{
    enum { MOST_BYTES = 1 << 26, MOST_PIXELS = 1 << 24 }; /* frames.max_size is far below */
    int width, height, channels;
    enum sample_type type;
    uint8_t *file = NULL;
    size_t bytes = 0;
    struct image image = {0};
    TRY(image_probe(path, &width, &height, &channels, &type));
    if ((int64_t)width * height > MOST_PIXELS) return fail(ERR_DATA, "%s is too large", path);
    int code = file_read_own(path, MOST_BYTES, &file, &bytes);
    if (code == OK) code = image_decode(&image, file, bytes, path);
    if (code == OK) code = picture_flatten(out, &image);
    image_free(&image);
    free(file);
    return code;
}

void watch_picture_free(struct watch_picture *picture)
{
    image_free(&picture->image);
    free(picture->path);
    picture->path = NULL;
}

int watch_picture_load(struct watch_picture *picture, const char *path)
{
    if (path && picture->path && strcmp(path, picture->path) == 0) return OK;
    watch_picture_free(picture);
    if (!path) return OK;
    picture->path = string_format("%s", path);
    if (!picture->path) return ERR_SYSTEM;
    if (picture_read(&picture->image, path) < 0) image_free(&picture->image);
    return OK;
}

/* ---- shape ---- */

void watch_picture_fit(const struct watch_picture *picture, const struct watch_terminal *terminal,
                       struct watch_area *area)
{
    int cell_width = terminal->graphics == GRAPHICS_BLOCKS ? 1 : terminal->cell_width;
    int cell_height = terminal->graphics == GRAPHICS_BLOCKS ? 2 : terminal->cell_height;
    double aspect = (double)picture->image.width / picture->image.height; /* of the picture */
    double wide = (double)area->columns * cell_width, high = (double)area->rows * cell_height;
    if (wide > high * aspect) wide = high * aspect;
    high = wide / aspect;
    area->columns = (int)(wide / cell_width + 0.5);
    area->rows = (int)(high / cell_height + 0.999);
    if (area->columns < 1) area->columns = 1;
    if (area->rows < 1) area->rows = 1;
}

/* ---- cells ---- */

static watch_colour picture_colour(const struct image *image, int x, int y)
{
    const uint8_t *p =
        (const uint8_t *)image->data + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
    return COLOUR_RGB | (watch_colour)p[0] << 16 | (watch_colour)p[1] << 8 | p[2];
}

int watch_picture_draw(struct watch_canvas *canvas, const struct watch_area *area,
                       const struct watch_picture *picture, enum watch_graphics graphics)
{
    enum { UPPER_HALF = 0x2580 };
    struct image small = {0};
    bool blocks = graphics == GRAPHICS_BLOCKS;
    if (blocks) TRY(image_resize(&small, &picture->image, area->columns, 2 * area->rows));
    for (int r = 0; r < area->rows; r++)
        for (int c = 0; c < area->columns; c++) {
            struct watch_cell *cell = watch_canvas_at(canvas, area->row + r, area->column + c);
            if (!cell) continue;
            *cell = (struct watch_cell){.glyph = 0};
            if (!blocks) continue;
            *cell = (struct watch_cell){.glyph = UPPER_HALF,
                                        .front = picture_colour(&small, c, 2 * r),
                                        .back = picture_colour(&small, c, 2 * r + 1)};
        }
    image_free(&small);
    return OK;
}

/* ---- kitty: RGB, packed by zlib, in base64, in chunks ---- */

static int kitty_write(FILE *out, const struct watch_area *area, const struct image *image)
{
    enum { CHUNK = 4096 };
    size_t bytes = image_bytes(image);
    uLongf packed_bytes = compressBound((uLong)bytes);
    uint8_t *packed = malloc(packed_bytes);
    if (!packed) return fail(ERR_SYSTEM, "out of memory");
    char *text = NULL;
    if (compress2(packed, &packed_bytes, image->data, (uLong)bytes, 6) == Z_OK)
        text = base64_encode(packed, packed_bytes);
    free(packed);
    if (!text) return fail(ERR_SYSTEM, "out of memory");
    size_t length = strlen(text);
    for (size_t at = 0; at < length; at += CHUNK) {
        int more = at + CHUNK < length;
        if (at == 0)
            fprintf(out, "\033_Ga=T,i=1,f=24,o=z,s=%d,v=%d,c=%d,r=%d,C=1,q=2,m=%d;", image->width,
                    image->height, area->columns, area->rows, more);
        else
            fprintf(out, "\033_Gm=%d,q=2;", more);
        fprintf(out, "%.*s\033\\", CHUNK, text + at);
    }
    free(text);
    return OK;
}

/* ---- sixel: six rows a band, a pass a colour ---- */

enum { SIXEL_STEPS = 6, SIXEL_COLOURS = SIXEL_STEPS * SIXEL_STEPS * SIXEL_STEPS };

/* The colour of 6 x 6 x 6, by an ordered pattern of 4 x 4 that hides the steps. */
static int sixel_colour(const uint8_t *pixel, int x, int y)
{
    static const unsigned char pattern[4][4] = {
        {0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
    int index = 0;
    for (int c = 0; c < 3; c++) {
        int level = (pixel[c] * (SIXEL_STEPS - 1) * 16 / 255 + pattern[y & 3][x & 3]) / 16;
        index = index * SIXEL_STEPS + level;
    }
    return index;
}

/* `length` times the same column of six, which runs save room for. */
static void sixel_write_run(FILE *out, int bits, int length)
{
    if (length > 3)
        fprintf(out, "!%d%c", length, 63 + bits);
    else
        for (int i = 0; i < length; i++)
            fputc(63 + bits, out);
}

static void sixel_write_pass(FILE *out, const unsigned char *band, int width, int rows, int colour)
{
    int last = 0, length = 0;
    fprintf(out, "#%d", colour);
    for (int x = 0; x < width; x++) {
        int bits = 0;
        for (int y = 0; y < rows; y++)
            bits |= (band[y * width + x] == colour) << y;
        if (bits != last) {
            sixel_write_run(out, last, length);
            length = 0;
        }
        last = bits;
        length++;
    }
    if (last) sixel_write_run(out, last, length);
    fputc('$', out);
}

static int sixel_write(FILE *out, const struct image *image)
{
    enum { BAND = 6 };
    const uint8_t *pixels = image->data;
    unsigned char *band = malloc((size_t)image->width * BAND);
    if (!band) return fail(ERR_SYSTEM, "out of memory");
    fprintf(out, "\033P0;1q\"1;1;%d;%d", image->width, image->height);
    for (int i = 0; i < SIXEL_COLOURS; i++)
        fprintf(out, "#%d;2;%d;%d;%d", i, i / 36 * 20, i / 6 % 6 * 20, i % 6 * 20);
    for (int y = 0; y < image->height; y += BAND) {
        int rows = image->height - y < BAND ? image->height - y : BAND;
        bool used[SIXEL_COLOURS] = {false};
        for (int i = 0; i < rows * image->width; i++) {
            size_t at = (size_t)y * (size_t)image->width + (size_t)i;
            band[i] =
                (unsigned char)sixel_colour(pixels + 3 * at, i % image->width, i / image->width);
            used[band[i]] = true;
        }
        for (int colour = 0; colour < SIXEL_COLOURS; colour++)
            if (used[colour]) sixel_write_pass(out, band, image->width, rows, colour);
        fputc('-', out);
    }
    fputs("\033\\", out);
    free(band);
    return OK;
}

int watch_picture_write(FILE *out, const struct watch_area *area,
                        const struct watch_picture *picture, const struct watch_terminal *terminal)
{
    int width = area->columns * terminal->cell_width, height = area->rows * terminal->cell_height;
    struct image scaled = {0};
    double aspect = (double)picture->image.width / picture->image.height;
    if (height > width / aspect) height = (int)(width / aspect); /* the last row is not filled */
    if (height < 1) height = 1;
    TRY(image_resize(&scaled, &picture->image, width, height));
    fprintf(out, "\033[%d;%dH", area->row + 1, area->column + 1);
    int code = terminal->graphics == GRAPHICS_KITTY ? kitty_write(out, area, &scaled)
                                                    : sixel_write(out, &scaled);
    image_free(&scaled);
    return code;
}
