/* An enlarged image on its way into its file: rows of the network's colours are joined by those of
 * alpha, resampled where another scale than the network's is asked for, rounded and written. */
#ifndef IMGTRAIN_SR_UPSCALE_ENLARGED_OUT_H
#define IMGTRAIN_SR_UPSCALE_ENLARGED_OUT_H

#include "image/image.h"

struct enlarged_out;

struct enlarged_shape {
    const char *path;
    struct image lq; /* of the input; data is not looked at */
    int channels;    /* of the file: 1 to 4 */
    int network;     /* scale that its rows come in */
    double scale;    /* that is asked for */
    bool own_alpha;  /* alpha comes as rows of LQ, and is resampled */
};

int enlarged_out_open(struct enlarged_out **out, const struct enlarged_shape *shape);
/* The next rows of the network: rgb [rows][width][3], and alpha like it where that is enlarged too
 * (each the mean of three). Grey files take the mean of the three colours. */
int enlarged_out_put(struct enlarged_out *out, const float *rgb, const float *alpha, int rows);
/* With own_alpha: the next rows of LQ's alpha, f32 of one channel; all before the last colours. */
int enlarged_out_put_alpha(struct enlarged_out *out, const struct image *rows);
/* Ends the file and puts it into place. */
int enlarged_out_commit(struct enlarged_out *out);
void enlarged_out_close(struct enlarged_out *out); /* drops it unless committed; accepts NULL */

/* The file's sides. */
int enlarged_out_width(const struct enlarged_out *out);
int enlarged_out_height(const struct enlarged_out *out);

#endif
