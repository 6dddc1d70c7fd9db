/* What a model's rKID is to be compared with: that of images which it never saw, of the noise that
 * images are made of, and of the mean image. */
#ifndef IMGTRAIN_DIFFUSION_EVAL_BASELINES_H
#define IMGTRAIN_DIFFUSION_EVAL_BASELINES_H

#include "metrics/sample_metrics.h"

struct dataset;

/* NaN where there are too few images. */
struct eval_baselines {
    double held, noise, mean;
};

/* channels: of the images, 1 (grey, so is the noise) or 3. real: training images of `set`, as many
 * as there are samples; held: those held out. width, height: of all. */
int eval_baselines_measure(struct eval_baselines *baselines, const struct dataset *set,
                           int channels, struct image_list real, struct image_list held, int width,
                           int height, bool (*stop_requested)(void));

#endif
