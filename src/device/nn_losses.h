/* What losses of images are asked for, beside those of single numbers (struct nn_image_loss):
 * square RGB images [n][side][side][3] beside those that they should be. Each adds to `grad` the
 * gradient of weight times its sums. Nothing is kept; workspaces hold nothing before or after. */
#ifndef IMGTRAIN_DEVICE_NN_LOSSES_H
#define IMGTRAIN_DEVICE_NN_LOSSES_H

#include "math/reduced_loss.h"
#include "math/ssim_window.h"

#include <stdbool.h>
#include <stddef.h>

/* |difference| of the reduced images. */
struct nn_reduced_loss {
    double *sums; /* [n]: of each image, overwritten */
    float *grad;
    const float *out, *target;
    int n, side; /* side: a multiple of the factor */
    enum nn_loss_colour colour;
    float weight;
    float *workspace; /* nn_reduced_loss_floats */
    struct nn_reduction reduction;
};

size_t nn_reduced_loss_floats(int n, int side, int factor);
/* Numbers that one image's sum is of. */
size_t nn_reduced_loss_count(int side, int factor, enum nn_loss_colour colour);
int nn_check_reduced_loss(const struct nn_reduced_loss *loss);

/* The mean of the pixels that a reduced one covers, and MATLAB's antialiased bicubic. */
struct nn_reduction nn_reduction_box(int factor);
struct nn_reduction nn_reduction_bicubic(int factor);

/* 1 - MS-SSIM of each image, all channels' mean, over as many of its five scales as have a window
 * (math/ssim_scales.h). */
struct nn_ssim_loss {
    double *sums; /* [n], overwritten */
    float *grad;
    const float *out, *target;
    int n, side; /* MS_SSIM_MARGIN + 1 pixels or more */
    float weight;
    void *workspace; /* nn_ssim_layout_of(n, side).bytes; 64-byte aligned */
};

/* How the workspace is used: places in it in floats, but those of doubles in doubles. */
struct nn_ssim_layout {
    int scales, side[MS_SSIM_SCALES];
    size_t rows;                                        /* doubles [n][side][3]: sums of a row */
    size_t means;                                       /* doubles [n][scales][3] */
    size_t factors;                                     /* doubles [n][scales][3] */
    size_t out[MS_SSIM_SCALES], target[MS_SSIM_SCALES]; /* from scale 1 on: [n][side][side][3] */
    size_t grad[MS_SSIM_SCALES];                        /* likewise */
    size_t slopes[MS_SSIM_SCALES]; /* [3][n][padded][padded][3], padded = side + margin: zeros */
    size_t columns;                /* [4][n][side - margin][side][3], or [3][n][side][padded][3] */
    size_t bytes;
};
struct nn_ssim_layout nn_ssim_layout_of(int n, int side);
int nn_check_ssim_loss(const struct nn_ssim_loss *loss);

/* |difference| of the real and of the imaginary parts of the spectra, each channel's rfft2, not
 * normalised. */
struct nn_fft_loss {
    double *sums; /* [n]: of each image, overwritten */
    float *grad;
    const float *out, *target;
    const float *turns; /* nn_fft_turns of `side` */
    int n, side;
    float weight;
    float *workspace; /* nn_fft_loss_floats */
};

void nn_fft_turns(float *turns, int side); /* [side][2] */
size_t nn_fft_loss_floats(int n, int side);
size_t nn_fft_loss_count(int side); /* numbers that one image's sum is of */
int nn_check_fft_loss(const struct nn_fft_loss *loss);

/* Hue, saturation and lightness of HSLuv compared, pixel by pixel: math/hsluv.h. */
struct nn_hsluv_loss {
    double *sums; /* [n]: of each image, overwritten */
    float *grad;
    const float *out, *target;
    int n, side;
    float weight;
    double *rows; /* [n][side]: workspace */
};

int nn_check_hsluv_loss(const struct nn_hsluv_loss *loss);

#endif
