/* What is to be seen on a screen: cells in rows, each with a character and two colours. */
#ifndef IMGTRAIN_CMD_WATCH_CANVAS_H
#define IMGTRAIN_CMD_WATCH_CANVAS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* How many colours a terminal shows. */
enum watch_depth { DEPTH_NONE, DEPTH_256, DEPTH_24_BIT };

/* 0: the terminal's own; 1 to 8: black, red, green, yellow, blue, magenta, cyan, white of its
 * palette; COLOUR_RGB | 0xRRGGBB. */
typedef uint32_t watch_colour;
enum { COLOUR_OWN, COLOUR_RED = 2, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_BLUE, COLOUR_CYAN = 7 };
#define COLOUR_RGB UINT32_C(0x1000000)

struct watch_cell {
    uint32_t glyph; /* a code point; 0: a picture lies here, nothing is written */
    watch_colour front, back;
};

struct watch_canvas {
    int columns, rows;
    bool utf8;                /* else every glyph is ASCII */
    struct watch_cell *cells; /* [rows][columns] */
};

/* Of blanks. ERR_SYSTEM. */
int watch_canvas_create(struct watch_canvas *canvas, int columns, int rows, bool utf8);
void watch_canvas_free(struct watch_canvas *canvas); /* accepts a zeroed struct */

/* The cell; NULL outside. */
struct watch_cell *watch_canvas_at(struct watch_canvas *canvas, int row, int column);

struct watch_place {
    int row, column, width; /* no more than `width` cells are written */
};
/* Writes text from that place on and returns the column behind it. Control characters, bytes that
 * are no UTF-8 and characters of other than one cell become '?': text may come from anybody. */
int watch_canvas_put(struct watch_canvas *canvas, const struct watch_place *place,
                     watch_colour colour, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As lines without any escape sequence, without blanks at their ends and empty lines at the end. */
void watch_canvas_write_plain(FILE *out, const struct watch_canvas *canvas);
/* As escape sequences that put every cell at its place. */
void watch_canvas_write_terminal(FILE *out, const struct watch_canvas *canvas,
                                 enum watch_depth depth);

#endif
