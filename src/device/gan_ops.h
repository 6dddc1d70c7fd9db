/* What a device can do for GANs alone, beside device/nn_ops.h, whose rules hold here too: the
 * losses of a step, what the penalty wants of each image, augmentation and its adjoint. */
#ifndef IMGTRAIN_DEVICE_GAN_OPS_H
#define IMGTRAIN_DEVICE_GAN_OPS_H

#include <stdbool.h>
#include <stddef.h>

struct device;
struct nn_augment; /* the draws of DiffAugment for one image: math/augment.h */

/* What the losses of a step are summed to, in doubles. */
enum gan_sum {
    GAN_SUM_LOSS,
    GAN_SUM_REAL, /* scores */
    GAN_SUM_FAKE,
    GAN_SUM_SIGN, /* of score(real) - score(fake) */
    GAN_SUM_R1,   /* |gradient|^2 at reals, at fakes */
    GAN_SUM_R2,
    GAN_SUM_ERROR, /* not a sum: the largest relative error of the penalty's identity */
    GAN_SUMS
};

/* n images of h x w pixels and c channels (4: RGB times alpha and alpha), fp32. Picture i of `in`
 * lies at in + i * in_stride floats; so for out. in and out do not overlap. */
struct gan_augmentation {
    float *out;
    ptrdiff_t out_stride;
    const float *in;
    ptrdiff_t in_stride;
    const struct nn_augment *draws; /* [n] */
    int n, h, w, c;
    bool linear; /* of augment: leaves the offset out */
};

/* n images, real and fake alternating, of a batch of `batch` pairs. */
struct gan_penalty {
    double *sums;        /* [GAN_SUMS] */
    float *factors;      /* [n] penalty writes */
    const float *got;    /* [n] penalty_check reads: the second pass's scores, */
    const float *scores; /* [n] and the first one's */
    double *squares;     /* [n] */
    const float *seed;   /* [n] */
    const double *gamma; /* the penalty's weight */
    int n, batch;
};

struct gan_ops {
    /* T, and its transpose */
    int (*augment)(struct device *device, const struct gan_augmentation *augmentation);
    int (*augment_adjoint)(struct device *device, const struct gan_augmentation *augmentation);
    /* out[i] = sum of squares of image i, of `count` floats */
    int (*square_sums)(struct device *device, double *out, const float *x, int n, size_t count);

    /* The relativistic loss over pairs (math/gan_loss.h): adds to sums (means over `batch` pairs)
     * and writes dL/dscore. generator 0: scores and seeds [2n], real and fake alternating; 1:
     * scores of n fakes, then of n reals, seeds [n] of the fakes. */
    int (*pair_loss)(struct device *device, double *sums, float *seed, const float *scores, int n,
                     int batch, int generator);
    /* squares (of seed times D's gradient) become those of the gradient, sums get R1 and R2,
     * factors what nn_ops.scale_add multiplies the tangent by. */
    int (*penalty)(struct device *device, const struct gan_penalty *penalty);
    /* Compares the second pass's scores with what they must be. */
    int (*penalty_check)(struct device *device, const struct gan_penalty *penalty);
};

/* ERR_USAGE unless operations take this. */
int gan_check_augmentation(const char *what, const struct gan_augmentation *augmentation);
int gan_check_pictures(const char *what, int n, int batch);

/* The CPU's table, which is the reference. */
const struct gan_ops *gan_ops_cpu(void);

#endif
