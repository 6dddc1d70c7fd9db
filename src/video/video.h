/* From a run's frames to video.mp4. */
#ifndef IMGTRAIN_VIDEO_VIDEO_H
#define IMGTRAIN_VIDEO_VIDEO_H

#include "image/image.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- encode.c, decode.c, libav.c: the only files that know libav; encode_none.c stands in when
 * VIDEO=0. */
struct video_encoder;

/* An MP4 at `path` (written atomically by video_encoder_close): constant `fps`; the encoder
 * `preferred` where it opens at this size; else (with a line that says so), and for NULL, the first
 * of libx264, libvpx-vp9, libsvtav1, libx265, mpeg4 that does, else "mjpeg" (JPEG frames). Odd
 * sizes are padded by repeating the edge (mjpeg: need not). quality: 0..51 as x264's CRF. ERR_USAGE
 * when built without video, for an unknown name or impossible numbers, ERR_DEVICE where libav's
 * libraries are not installed, ERR_OUTPUT, ERR_ACCESS, ERR_IO, ERR_SYSTEM. */
int video_encoder_open(struct video_encoder **encoder, const char *preferred, const char *path,
                       int width, int height, int fps, int quality);
/* The same with that encoder or none; ERR_USAGE when it does not open. */
int video_encoder_open_named(struct video_encoder **encoder, const char *name, const char *path,
                             int width, int height, int fps, int quality);
/* The encoder in use: "libx264", ... Static. */
const char *video_encoder_name(const struct video_encoder *encoder);
/* Pixels of the file's frames: of the images given, rounded up to even numbers where the codec asks
 * for them. */
void video_encoder_size(const struct video_encoder *encoder, int *width, int *height);
/* Those that libavcodec offers here, in the order in which they are tried: "libx264, mpeg4". Of the
 * calling thread, until its next call. */
const char *video_encoders_offered(void);
/* frame: u8 RGB, width x height as opened; shown for `repeat` frame times (>= 1). After a failure
 * only closing is left. */
int video_encoder_add(struct video_encoder *encoder, const struct image *frame, int repeat);
/* Finishes the file and renames it into place, or drops it (`commit` false, or after an error):
 * nothing is left then and an older file stays. ERR_INPUT when there was no frame. */
int video_encoder_close(struct video_encoder *encoder, bool commit); /* accepts NULL */

/* For `doctor`: "libavcodec 59.37.100 (built for 59.8.100): libx264, mpeg4", "no: " with the
 * reason, or "not built in". */
const char *video_versions(void);

/* Decodes the whole file again; the number of frames it holds. ERR_DATA when it does not decode. */
int video_verify(const char *path, int64_t *frames, int *width, int *height);

/* ---- check.c: whether an MP4 that this program wrote has its beginning and its end; needs no
 * libav and decodes nothing. ERR_INPUT when missing, ERR_DATA, naming path and fault, ERR_IO. */
int video_check(const char *path);

/* ---- assemble.c */
struct video_options {
    int max_size; /* longest side of the video in pixels */
    int fps;
    int quality;
    double hold;    /* seconds the last frame stays */
    bool reference; /* show the run's reference image at the left */
    bool captions;
    bool (*stop_requested)(void); /* may be NULL */
    const char *output;           /* NULL: RUN/video.mp4 */
    const char *encoder;          /* this or none; NULL: any */
    const char *preferred;        /* of any: this where it opens; NULL: the first that does */
};

/* Reads RUN/frames/NNNNNNNNN.jpg + .json in the order of their numbers and RUN/reference.png (where
 * present), writes RUN/video.mp4: the images side by side (panoramas: one above the other), with
 * a strip below them for the JSON's "caption", or for its step, psnr, ssim, gaussians and loss.
 * A JSON with "reference": false is shown without the reference. The first frames stay longer, the
 * last one `hold` seconds. Frames that cannot be read are skipped with a warning. ERR_INPUT when
 * there is no frame, ERR_DATA when none can be read, ERR_STOPPED, and all of video_encoder_open;
 * after a failure nothing new is left. */
int video_assemble(const char *run_dir, const struct video_options *options);

/* ---- text.c: u8 RGB images; whatever lies outside is clipped. */

/* Text (ASCII; other bytes show as '?') in white on a dark strip, the upper left corner at x, y;
 * scale: pixels per font dot. */
void text_draw(struct image *image, int x, int y, int scale, const char *text);
/* The same in a colour, without the strip. */
void text_draw_plain(struct image *image, int x, int y, int scale, const uint8_t rgb[3],
                     const char *text);
int text_width(int scale, const char *text);
int text_height(int scale);
void text_fill(struct image *image, int x, int y, int width, int height, const uint8_t rgb[3]);

#endif
