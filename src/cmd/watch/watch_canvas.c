#include "cmd/watch/watch_canvas.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int watch_canvas_create(struct watch_canvas *canvas, int columns, int rows, bool utf8)
{
    *canvas = (struct watch_canvas){.columns = columns, .rows = rows, .utf8 = utf8};
    size_t count = (size_t)columns * (size_t)rows;
    canvas->cells = calloc(count ? count : 1, sizeof *canvas->cells);
    if (!canvas->cells) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        canvas->cells[i].glyph = ' ';
    return OK;
}

void watch_canvas_free(struct watch_canvas *canvas)
{
    free(canvas->cells);
    *canvas = (struct watch_canvas){.columns = 0};
}

struct watch_cell *watch_canvas_at(struct watch_canvas *canvas, int row, int column)
{
    if (row < 0 || column < 0 || row >= canvas->rows || column >= canvas->columns) return NULL;
    return &canvas->cells[(size_t)row * (size_t)canvas->columns + (size_t)column];
}

/* The character at `text`, of `length` bytes that are sound. */
static uint32_t canvas_decode(const char *text, size_t length)
{
    static const unsigned char first[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t glyph = (unsigned char)*text & first[length];
    for (size_t i = 1; i < length; i++)
        glyph = glyph << 6 | ((unsigned char)text[i] & 0x3F);
    return glyph;
}

/* Letters of Latin, Greek and Cyrillic take one cell on every terminal. */
static bool canvas_may_show(const struct watch_canvas *canvas, uint32_t glyph)
{
    if (glyph < 0x80) return glyph >= ' ' && glyph != 0x7F;
    return canvas->utf8 && glyph >= 0xA1 && glyph != 0xAD && (glyph < 0x300 || glyph > 0x36F) &&
           glyph < 0x483;
}

int watch_canvas_put(struct watch_canvas *canvas, const struct watch_place *place,
                     watch_colour colour, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int column = place->column, end = place->column + place->width;
    size_t left = strlen(text), at = 0;
    while (left > 0 && column < end) {
        size_t length = utf8_length(text + at, left);
        uint32_t glyph = length ? canvas_decode(text + at, length) : '?';
        struct watch_cell *cell = watch_canvas_at(canvas, place->row, column);
        if (cell)
            *cell = (struct watch_cell){
                .glyph = canvas_may_show(canvas, glyph) ? glyph : '?',
                .front = colour,
            };
        length = length ? length : 1;
        at += length;
        left -= length;
        column++;
    }
    return column;
}

/* ---- written ---- */

static void canvas_write_glyph(FILE *out, uint32_t glyph)
{
    if (glyph < 0x80) {
        fputc((int)glyph, out);
    } else if (glyph < 0x800) {
        fputc((int)(0xC0 | glyph >> 6), out);
        fputc((int)(0x80 | (glyph & 0x3F)), out);
    } else {
        fputc((int)(0xE0 | glyph >> 12), out);
        fputc((int)(0x80 | (glyph >> 6 & 0x3F)), out);
        fputc((int)(0x80 | (glyph & 0x3F)), out);
    }
}

static int canvas_row_length(const struct watch_cell *row, int columns)
{
    while (columns > 0 && (row[columns - 1].glyph == ' ' || row[columns - 1].glyph == 0))
        columns--;
    return columns;
}

void watch_canvas_write_plain(FILE *out, const struct watch_canvas *canvas)
{
    int rows = canvas->rows;
    const size_t columns = (size_t)canvas->columns;
    while (rows > 0 &&
           canvas_row_length(canvas->cells + (size_t)(rows - 1) * columns, canvas->columns) == 0)
        rows--;
    for (int y = 0; y < rows; y++) {
        const struct watch_cell *row = canvas->cells + (size_t)y * columns;
        int length = canvas_row_length(row, canvas->columns);
        for (int x = 0; x < length; x++)
            canvas_write_glyph(out, row[x].glyph ? row[x].glyph : ' ');
        fputc('\n', out);
    }
}

/* The nearest of the 6 x 6 x 6 colours of a terminal with 256. */
static int canvas_cube(watch_colour rgb)
{
    int index = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
        int value = (int)(rgb >> shift & 0xFF); /* the cube has 0, 95, 135, 175, 215, 255 */
        index = index * 6 + (value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40);
    }
    return 16 + index;
}

static void canvas_write_colour(FILE *out, watch_colour colour, bool back, enum watch_depth depth)
{
    int base = back ? 40 : 30;
    if (colour == COLOUR_OWN)
        fprintf(out, ";%d", base + 9);
    else if (!(colour & COLOUR_RGB))
        fprintf(out, ";%d", base + (int)colour - 1);
    else if (depth == DEPTH_24_BIT)
        fprintf(out, ";%d;2;%d;%d;%d", base + 8, (int)(colour >> 16 & 0xFF),
                (int)(colour >> 8 & 0xFF), (int)(colour & 0xFF));
    else
        fprintf(out, ";%d;5;%d", base + 8, canvas_cube(colour));
}

void watch_canvas_write_terminal(FILE *out, const struct watch_canvas *canvas,
                                 enum watch_depth depth)
{
    for (int y = 0; y < canvas->rows; y++) {
        struct watch_cell look = {.glyph = 0};
        bool placed = false;
        for (int x = 0; x < canvas->columns; x++) {
            const struct watch_cell *cell =
                &canvas->cells[(size_t)y * (size_t)canvas->columns + (size_t)x];
            if (!cell->glyph) {
                placed = false;
                continue;
            }
            if (!placed) fprintf(out, "\033[%d;%dH\033[0m", y + 1, x + 1);
            if (!placed) look = (struct watch_cell){.glyph = 0};
            placed = true;
            if (depth != DEPTH_NONE && (cell->front != look.front || cell->back != look.back)) {
                fputs("\033[0", out);
                if (cell->front) canvas_write_colour(out, cell->front, false, depth);
                if (cell->back) canvas_write_colour(out, cell->back, true, depth);
                fputc('m', out);
                look = *cell;
            }
            canvas_write_glyph(out, cell->glyph);
        }
    }
    fputs("\033[0m", out);
}
