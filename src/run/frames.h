/* Frames of a run: RUN/frames/000001200.jpg + .json, written by a thread of its own through a
 * bounded queue, so that the training waits for the disk only when the queue is full. */
#ifndef IMGTRAIN_RUN_FRAMES_H
#define IMGTRAIN_RUN_FRAMES_H

#include "image/image.h"

#include <stdbool.h>
#include <stdint.h>

struct frames;

/* Starts the writer for the folder `dir`. queue: frames that may wait. ERR_SYSTEM. */
int frames_open(struct frames **frames, const char *dir, int queue, int quality);

/* A frame that was written. */
struct frame_bytes {
    int64_t step;
    const uint8_t *jpeg;
    size_t bytes;
    int width, height;
};

/* Who is shown each frame when it has been written, by the thread that wrote it; before the first
 * frame. */
void frames_also(struct frames *frames,
                 void (*show)(void *context, const struct frame_bytes *frame), void *context);

/* Hands over an image (moved: *image is zeroed) and the text of its JSON (copied). Blocks while
 * the queue is full. A frame that cannot be written (disk full) is left out, with one warning;
 * later ones are tried again. frames_close says how many are missing. */
int frames_add(struct frames *frames, int64_t step, struct image *image, const char *json);

/* Disk space that frames leave alone (room for the next checkpoints): below it none is written. */
void frames_set_reserve(struct frames *frames, int64_t bytes);

/* Waits until everything handed over is written (or left out). */
void frames_drain(struct frames *frames);

/* The same, and brings what was written since the last time to the disk: before a checkpoint that
 * counts on it. */
void frames_sync(struct frames *frames);

/* Frames written, and those left out. */
int64_t frames_written(struct frames *frames);
int64_t frames_missing(struct frames *frames);

void frames_close(struct frames *frames); /* drains; accepts NULL */

/* Removes frames past `step` and what a killed writer left (an image without its JSON, temporary
 * files). ERR_IO. */
int frames_drop_after(const char *dir, int64_t step);

/* Whether the folder holds a frame. */
bool frames_any(const char *dir);

/* Whether a frame belongs to step `step` (steps done, >= 1) of `total`. every > 0: each multiple;
 * otherwise about `count` frames, dense at first: frame k stands at total * (k / count)^2. A pure
 * function of its arguments. The first and the last step have one unless count is 0. */
bool frames_due(int64_t step, int64_t total, int64_t every, int64_t count);

/* How many frames a run of `total` steps makes. */
int64_t frames_expected(int64_t total, int64_t every, int64_t count);

#endif
