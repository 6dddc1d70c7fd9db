/* The terminal that `imgtrain watch` draws on: what it can, how large it is, how it is left. */
#ifndef IMGTRAIN_CMD_WATCH_TERMINAL_H
#define IMGTRAIN_CMD_WATCH_TERMINAL_H

#include "cmd/watch/watch_canvas.h"

#include <stdbool.h>

/* How pictures are shown. */
enum watch_graphics {
    GRAPHICS_AUTO,
    GRAPHICS_NONE,
    GRAPHICS_BLOCKS,
    GRAPHICS_SIXEL,
    GRAPHICS_KITTY
};

struct watch_terminal {
    enum watch_depth depth;
    enum watch_graphics graphics;
    bool utf8;
    int columns, rows;
    int cell_width, cell_height; /* pixels */
};

/* Whether stdout is a terminal on which places can be addressed. */
bool watch_terminal_is_there(void);
/* By LC_ALL, LC_CTYPE or LANG. */
bool watch_terminal_is_utf8(void);
/* "auto", "kitty", "sixel", "blocks", "none"; NULL counts as auto. ERR_USAGE. */
int watch_terminal_parse_graphics(const char *word, enum watch_graphics *graphics);

/* Takes the terminal: another screen, no cursor, keys without echo. Colours by NO_COLOR, COLORTERM
 * and TERM; where graphics is auto, the terminal is asked, and has a second to answer. */
void watch_terminal_open(struct watch_terminal *terminal, enum watch_graphics graphics);
/* The size as it is now. */
void watch_terminal_measure(struct watch_terminal *terminal);

enum watch_event { EVENT_TIME, EVENT_KEY_END, EVENT_RESIZED, EVENT_CONTINUED, EVENT_SIGNAL };
/* Waits for a key, a signal or so many seconds. *signal: which one asked for the end. */
enum watch_event watch_terminal_wait(double seconds, int *signal);

/* Puts everything back. Nothing happens where it is not open. */
void watch_terminal_close(void);

#endif
