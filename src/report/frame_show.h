/* First, middle and last frame of a run, with a slider between what is and what was to be. */
#ifndef IMGTRAIN_REPORT_FRAME_SHOW_H
#define IMGTRAIN_REPORT_FRAME_SHOW_H

#include <stdbool.h>
#include <stdio.h>

struct run_story;

/* `id`: a number that no other run on the page has; last_only: without first and middle. Nothing is
 * written where there is no frame. */
int frame_show_write(FILE *out, const struct run_story *story, int id, bool last_only);

#endif
