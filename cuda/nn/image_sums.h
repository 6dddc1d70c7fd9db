/* Sums of channels over images: how gradients of biases and slopes are added. */
#ifndef IMGTRAIN_CUDA_NN_IMAGE_SUMS_H
#define IMGTRAIN_CUDA_NN_IMAGE_SUMS_H

#include "cuda/launch.h"

enum { IMAGE_ROWS = 16 };

/* to += each image's sum of pieces[image][piece][c], one after the other: images may come in any
 * parts. A block has 32 channels; its rows of threads sum an image's pieces each. */
static __global__ void __launch_bounds__(32 * IMAGE_ROWS)
    image_sums_add(float *to, const float *sums, int n, int pieces, int c)
{
    __shared__ float images[IMAGE_ROWS][32];
    int lane = threadIdx.x, row = threadIdx.y, channel = blockIdx.x * 32 + lane;
    float total = row == 0 && channel < c ? to[channel] : 0;
    for (int first = 0; first < n; first += IMAGE_ROWS) {
        float sum = 0;
        if (first + row < n && channel < c) {
            const float *from = sums + (size_t)(first + row) * pieces * c + channel;
            for (int p = 0; p < pieces; p++)
                sum += from[(size_t)p * c];
        }
        images[row][lane] = sum;
        __syncthreads();
        for (int i = 0; row == 0 && i < IMAGE_ROWS && first + i < n; i++)
            total += images[i][lane];
        __syncthreads();
    }
    if (row == 0 && channel < c) to[channel] = total;
}

#endif
