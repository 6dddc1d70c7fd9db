/* Samples of a model beside the images that they are compared with: as many training images, spread
 * over all, and those held out. */
#ifndef IMGTRAIN_DIFFUSION_COMPARED_IMAGES_H
#define IMGTRAIN_DIFFUSION_COMPARED_IMAGES_H

#include "diffusion/diffusion_draw.h"
#include "metrics/sample_metrics.h"

struct dataset;

struct compared_images {
    int width, height, count, held;
    size_t image;                       /* bytes */
    uint8_t *samples;                   /* [count], to be drawn of */
    struct diffusion_wish *wishes;      /* [count]: seeds 0, 1, ..., classes of the images */
    const uint8_t **pixels;             /* training images, held-out ones, samples; as lists: */
    struct image_list real, kept, fake; /* kept: from training */
};

/* most: samples at most. Wishes are of labels or texts where the model has them.
 * compared_images_close takes it in any case. */
int compared_images_open(struct compared_images *compared, const struct dataset *set, int most,
                         int width, int height, bool labels, bool texts);
void compared_images_close(struct compared_images *compared);

/* When all samples are drawn. */
int compared_images_measure(const struct compared_images *compared, struct sample_metrics *metrics,
                            bool (*stop_requested)(void));

#endif
