/* What is shown of runs: one in full, or a row each. */
#ifndef IMGTRAIN_CMD_WATCH_PAGE_H
#define IMGTRAIN_CMD_WATCH_PAGE_H

#include "cmd/watch/watch_picture.h"
#include "cmd/watch/watch_runs.h"

/* Draws the runs on the canvas, with the picture (NULL: none) of the one that is shown in full;
 * *place: where the picture lies, without rows when it is not shown. `hint`: the last row says how
 * watching ends. */
int watch_page_draw(struct watch_canvas *canvas, const struct watch_runs *all,
                    const struct watch_picture *picture, const struct watch_terminal *terminal,
                    bool hint, struct watch_area *place);

#endif
