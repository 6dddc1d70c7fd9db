/* From a run's frames to video.mp4. */
#ifndef IMGTRAIN_VIDEO_VIDEO_H
#define IMGTRAIN_VIDEO_VIDEO_H

#include "image/image.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- encode.c: the only file that knows libav; encode_none.c stands in when VIDEO=0. */
struct video_encoder;

/* An MP4 at `path` (written atomically by video_encoder_close): constant `fps`; the first encoder
 * of libx264, libvpx-vp9, mpeg4 that opens at this size. Odd sizes are padded by repeating the
 * edge. quality: 0..51 as x264's CRF. ERR_USAGE when built without video. */
int video_encoder_open(struct video_encoder **encoder, const char *path, int width, int height,
                       int fps, int quality);
/* frame: u8 RGB, width x height as opened; shown for `repeat` frame times (>= 1). */
int video_encoder_add(struct video_encoder *encoder, const struct image *frame, int repeat);
/* Finishes the file and renames it into place, or drops it (`commit` false, or after an error). */
int video_encoder_close(struct video_encoder *encoder, bool commit); /* accepts NULL */

const char *
video_versions(void); /* for `doctor`: "libavcodec 59.37.100, libx264" or "not built in" */

/* Decodes the whole file again; the number of frames it holds. ERR_DATA when it does not decode. */
int video_verify(const char *path, int64_t *frames, int *width, int *height);

/* ---- assemble.c */
struct video_options {
    int max_size; /* longest side of the video in pixels */
    int fps;
    int quality;
    double hold;    /* seconds the last frame stays */
    bool reference; /* show the run's reference picture at the left */
    bool captions;
    bool (*stop_requested)(void); /* may be NULL */
};

/* Reads RUN/frames/NNNNNNNNN.jpg + .json and RUN/reference.png (where present), writes
 * RUN/video.mp4. Frames that cannot be read are skipped with a warning. ERR_INPUT when there is no
 * frame. */
int video_assemble(const char *run_dir, const struct video_options *options);

/* Draws `text` (ASCII) in white on a dark strip; scale: pixels per font dot. Clips at the edges.
 * image: u8 RGB. */
void text_draw(struct image *image, int x, int y, int scale, const char *text);
int text_width(int scale, const char *text);
int text_height(int scale);

#endif
