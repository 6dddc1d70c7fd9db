/* How close enlarged images come to what they should be, as papers measure it. */
#ifndef IMGTRAIN_SR_MEASURE_H
#define IMGTRAIN_SR_MEASURE_H

#include "data/pairs.h"
#include "sr/tiles.h"

/* Of one image or means over several; NaN: not measured. */
struct sr_scores {
    double psnr, ssim;     /* over R, G and B */
    double psnr_y, ssim_y; /* over BT.601's Y = 16 + 65.481 R + 128.553 G + 24.966 B */
    double colour_shift;   /* levels: how far mean R, G or B is from LQ's, of the three the most */
};

struct sr_scores sr_scores_unknown(void);
/* A part of the mean over `count` images. */
void sr_scores_add(struct sr_scores *mean, const struct sr_scores *one, int count);

/* Enlarges a part of an image, as sr_tiles_enlarge. */
typedef int sr_enlarge(void *context, const struct sr_rows *in, int x, int y, int w, int h,
                       float *out);

/* Floats of memory that measuring a pair of w x h pixels of LQ takes. */
size_t sr_measure_floats(int w, int h, int scale);
/* The result is rounded to 8 bits first, `border` pixels of each side are left out. enlarge NULL:
 * that of a bicubic enlargement. memory: sr_measure_floats. */
int sr_measure(struct sr_scores *scores, const struct pair *pair, int scale, int border,
               sr_enlarge *enlarge, void *context, float *memory);

#endif
