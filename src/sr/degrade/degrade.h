/* How images get worse on their way to an LQ patch: the stages, each a pure function of what was
 * drawn for it. Samples are floats of 0..1, [h][w][3]. All in an order that depends on the
 * arguments alone, by functions of our own (math/portable.h): the same bits on any machine, by any
 * number of threads. */
#ifndef IMGTRAIN_SR_DEGRADE_DEGRADE_H
#define IMGTRAIN_SR_DEGRADE_DEGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- blur ---- */

/* By q = x^T S^-1 x, S of the two sigmas turned by the angle: exp(-q/2), exp(-q^beta / 2),
 * 1 / (1 + q^beta); or the lowpass up to omega radians a pixel. */
enum degrade_shape { DEGRADE_GAUSSIAN, DEGRADE_GENERALIZED, DEGRADE_PLATEAU, DEGRADE_SINC };

struct degrade_kernel {
    enum degrade_shape shape;
    int size; /* odd */
    double sigma_x, sigma_y, angle, beta;
    double omega;
};

enum { DEGRADE_KERNEL_SIDE = 63 }; /* at most */

/* kernel: [size][size], their sum is 1. */
void degrade_kernel_make(float *kernel, const struct degrade_kernel *of);

/* Floats of memory that a blur takes. */
size_t degrade_blur_floats(int w, int size);
/* The border is mirrored without the last sample. out is not in. Smooth kernels are taken apart
 * into rows and columns, which changes a sample by less than 1e-6. */
void degrade_blur(float *out, const float *in, int w, int h, const float *kernel, int size,
                  float *memory);

/* Real-ESRGAN's unsharp masking: a Gaussian of `size` samples (odd; theirs: 51, sigma 8), half of
 * the difference added where it is above 10 of 255, with a soft edge. */
size_t degrade_sharpen_floats(int w, int h, int size);
void degrade_sharpen(float *image, int w, int h, int size, float *memory);

/* Three quarters of a sample and one of the least among it and its 8 neighbours. */
size_t degrade_thicken_floats(int w, int h);
void degrade_thicken(float *image, int w, int h, float *memory);

/* ---- another size ---- */

/* As PyTorch's interpolate: area is the mean of the samples that an output sample touches; bilinear
 * by two samples whatever the factor; bicubic (a = -1/2) and lanczos3 as wide as the reduction. */
enum degrade_resize {
    DEGRADE_AREA,
    DEGRADE_BILINEAR,
    DEGRADE_BICUBIC,
    DEGRADE_NEAREST_EXACT,
    DEGRADE_LANCZOS3,
};

size_t degrade_resize_floats(int w, int h, int out_w);
void degrade_resize(float *out, int out_w, int out_h, const float *in, int w, int h,
                    enum degrade_resize mode, float *memory);

/* degrade_blur, then degrade_resize: only rows of the result are blurred, which is less work where
 * these are fewer, and changes a sample by less than 1e-6. False, and nothing done, where the
 * kernel cannot be taken apart or the result has less than a tenth of the rows. */
size_t degrade_blur_resize_floats(int w, int out_w, int size);
bool degrade_blur_resize(float *out, int out_w, int out_h, const float *in, int w, int h,
                         const float *kernel, int size, enum degrade_resize mode, float *memory);

/* ---- noise ---- */

/* Which numbers: those of (seed, step, field), `field` one of 2^31 for each step. */
struct degrade_draws {
    uint64_t seed, step;
    uint32_t field;
};

/* Adds normal noise of deviation sigma, cut to 0..1: one of 65536 equally likely numbers of -4.3 ..
 * 4.3 deviations a sample. grey: one field for all channels. */
void degrade_gaussian_noise(float *image, int w, int h, double sigma, bool grey,
                            const struct degrade_draws *draws);

/* Adds `scale` times the noise of counting photons: with x rounded to 8 bits (of luma, when grey)
 * and v the power of 2 not below how many values of x there are, Poisson(x v) / v - x; cut to 0..1.
 */
struct degrade_poisson; /* tables, for one thread; nothing in them need be set */
size_t degrade_poisson_bytes(void);
void degrade_poisson_noise(struct degrade_poisson *poisson, float *image, int w, int h,
                           double scale, bool grey, const struct degrade_draws *draws);

/* ---- JPEG ---- */

/* Rounded to 8 bits, through libjpeg and back: chroma halved, integer transforms. */
int degrade_jpeg(float *image, int w, int h, int quality);

#endif
