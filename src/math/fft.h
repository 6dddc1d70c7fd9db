/* Stockham's Fourier transform: a stage of any radix at a time, from one array into another, no
 * reordering. Before a stage the length is cut into `done` parts of whole transforms; behind it
 * into radix times as many. exp(-2 pi i k / count): the table of device/nn_losses.h. */
#ifndef IMGTRAIN_MATH_FFT_H
#define IMGTRAIN_MATH_FFT_H

#include "base/host_device.h"

#include <stddef.h>

/* Number `to` of 0 .. count - 1 behind the stage is the sum over k < radix of number `from` + k
 * `apart` before it, each turned by `turn` + k `turn_apart` places of the table (modulo `period`,
 * times `done`). */
struct fft_sum {
    int from, apart, turn, turn_apart, period, done;
};
HOST_DEVICE static inline struct fft_sum fft_sum_of(int count, int done, int radix, int to)
{
    int length = count / done, apart = length / radix; /* of the transforms that are left */
    int within = to % done, place = to / done, output = place % radix, input = place / radix;
    struct fft_sum sum = {within + done * input,   done * apart, output * input % length,
                          output * apart % length, length,       done};
    return sum;
}

/* Place in the table of number k's turn. */
HOST_DEVICE static inline int fft_turn(const struct fft_sum *sum, int k)
{
    return (sum->turn + k * sum->turn_apart) % sum->period * sum->done;
}

/* (re, im) += (a, b) times that turn. */
HOST_DEVICE static inline void fft_add(float *re, float *im, float a, float b, const float *turn)
{
    *re += a * turn[0] - b * turn[1];
    *im += a * turn[1] + b * turn[0];
}

/* The radix of the next stage. */
HOST_DEVICE static inline int fft_radix(int count, int done)
{
    int left = count / done;
    if (left % 4 == 0) return 4;
    for (int radix = 2; radix * radix <= left; radix++)
        if (left % radix == 0) return radix;
    return left;
}

/* Of a real image's spectrum half is enough. */
HOST_DEVICE static inline int fft_half(int side)
{
    return side / 2 + 1;
}

/* |re| + |im| of a number of the spectrum; they become what makes the slope by another forward
 * transform: the conjugate of the signs. */
HOST_DEVICE static inline double fft_loss(float *re, float *im)
{
    double size = (*re > 0 ? (double)*re : -(double)*re) + (*im > 0 ? (double)*im : -(double)*im);
    *re = (float)((*re > 0) - (*re < 0));
    *im = (float)((*im < 0) - (*im > 0));
    return size;
}

#endif
