/* Features of Inception v3 (Szegedy et al. 2016) with a user's weights, and what is measured by
 * them: figures that other programs' may be compared with where weights and numbers of images are
 * the same. */
#ifndef IMGTRAIN_METRICS_INCEPTION_H
#define IMGTRAIN_METRICS_INCEPTION_H

#include "metrics/sample_metrics.h"

struct inception_metrics {
    double fid; /* Frechet distance of two normal distributions (Heusel et al. 2017) */
    double kid; /* squared maximum mean discrepancy (Binkowski et al. 2018), unbiased */
};

/* path: safetensors with torchvision's names of inception_v3 ("Conv2d_1a_3x3.conv.weight", ...). Of
 * a file with 1008 classes (fc.weight), which is TensorFlow's network of 2015 that FID was defined
 * by, averages leave out the padding and the last block has a maximum, as there. Images are brought
 * to 299 x 299 by bilinear weights. ERR_INPUT, ERR_DATA: the file, also where its features
 * overflow; ERR_SYSTEM; ERR_STOPPED. NaN for fewer than 2 images of either. */
int inception_measure(struct inception_metrics *metrics, const char *path, struct image_list real,
                      struct image_list fake, int width, int height, bool (*stop_requested)(void));
/* What is wrong with the file, before images are made for it. */
int inception_check(const char *path);

#endif
