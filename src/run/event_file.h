/* events.out.tfevents.* of a run: the same numbers as metrics.csv and the frames, as TensorBoard
 * reads them. One file a process; where a run goes on from an earlier step, a mark in the next file
 * makes readers forget what came after it. */
#ifndef IMGTRAIN_RUN_EVENT_FILE_H
#define IMGTRAIN_RUN_EVENT_FILE_H

#include "run/record.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct event_file {
    int fd; /* -1: not open; then the calls below do nothing */
    char *path;
    int64_t good;         /* bytes of whole events */
    bool half_record;     /* part of one may stand behind `good` */
    bool warned;          /* that one could not be written */
    pthread_mutex_t lock; /* frames come from a thread of their own */
};

/* Begins the file of this process in `run_dir`. ERR_OUTPUT, ERR_ACCESS, ERR_IO. */
int event_file_open(struct event_file *file, const char *run_dir);
/* What is known of steps after `step` counts no more. */
void event_file_restart(struct event_file *file, int64_t step);
/* An event that cannot be written is left out, with one warning. */
void event_file_add_scalars(struct event_file *file, const struct record *record);
void event_file_add_frame(struct event_file *file, int64_t step, const uint8_t *jpeg, size_t bytes,
                          int width, int height);
void event_file_close(struct event_file *file); /* accepts one that is not open */

#endif
