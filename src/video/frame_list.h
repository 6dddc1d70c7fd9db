/* The frames in a run's folder, for videos and reports. */
#ifndef IMGTRAIN_VIDEO_FRAME_LIST_H
#define IMGTRAIN_VIDEO_FRAME_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_LIST_COLUMNS = 12 };

struct frame_entry {
    int64_t number; /* in its name: the step */
    char *path;     /* of the JPEG */
    char *caption;  /* printable ASCII; "" for none */
    bool reference; /* may be shown beside the reference */
};

struct frame_list {
    struct frame_entry *entries; /* [count], by number */
    size_t count, room;
    int width, height; /* of the largest */
    char labels[2][8]; /* of reference and images */
    char columns[FRAME_LIST_COLUMNS][8];
    int column_count; /* of an image's columns that have a name */
    int skipped;      /* how many could not be read */
};

/* Fills *list from RUN/frames: names, captions, labels and sizes, no images. Frames whose JSON or
 * JPEG header cannot be read are skipped. stop_requested may be NULL. ERR_INPUT when there is no
 * frame, ERR_DATA when none can be read, ERR_STOPPED. */
int frame_list_load(struct frame_list *list, const char *run_dir, bool (*stop_requested)(void));
/* The same of the newest frame that can be read, alone and without a word: for who looks while a
 * run writes. */
int frame_list_load_last(struct frame_list *list, const char *run_dir);
void frame_list_free(struct frame_list *list); /* accepts a zeroed struct */

/* Counts a frame that cannot be read, and warns with the current message of the first few. */
void frame_list_skip(struct frame_list *list);
/* Warns how many more there were. */
void frame_list_sum_up(const struct frame_list *list);

#endif
