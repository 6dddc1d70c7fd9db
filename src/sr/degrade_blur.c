/* Kernels of blurs, and blurring. */
#include "math/portable.h"
#include "sr/degrade.h"

#include <string.h>

static double degrade_weight(const struct degrade_kernel *of, double x, double y)
{
    if (of->shape == DEGRADE_SINC) {
        double r = sqrt(x * x + y * y);
        if (!(r > 0.0)) return of->omega * of->omega / (4.0 * PORTABLE_PI);
        return of->omega * portable_bessel_j1(of->omega * r) / (2.0 * PORTABLE_PI * r);
    }
    double c = portable_cos(of->angle), s = portable_sin(of->angle);
    double u = (c * x + s * y) / of->sigma_x, v = (c * y - s * x) / of->sigma_y;
    double q = u * u + v * v;
    if (of->shape == DEGRADE_GAUSSIAN) return portable_exp(-0.5 * q);
    double power = portable_pow(q, of->beta);
    return of->shape == DEGRADE_PLATEAU ? 1.0 / (1.0 + power) : portable_exp(-0.5 * power);
}

void degrade_kernel_make(float *kernel, const struct degrade_kernel *of)
{
    double weights[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE], sum = 0.0;
    int size = of->size, half = size / 2, count = size * size;
    for (int i = 0; i < count; i++)
        sum += weights[i] = degrade_weight(of, i % size - half, i / size - half);
    for (int i = 0; i < count; i++)
        kernel[i] = (float)(weights[i] / sum);
}

static int degrade_reflect(int i, int n)
{
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

size_t degrade_blur_floats(int w, int h, int size)
{
    size_t margin = (size_t)(size / 2) * 2;
    return 3 * ((size_t)w + margin) * ((size_t)h + margin);
}

/* The image with its mirrored border. */
static void degrade_pad(float *to, const float *in, int w, int h, int half)
{
    for (int y = -half; y < h + half; y++) {
        const float *row = in + (size_t)degrade_reflect(y, h) * (size_t)w * 3;
        for (int x = -half; x < w + half; x++, to += 3)
            memcpy(to, row + (size_t)degrade_reflect(x, w) * 3, 3 * sizeof *to);
    }
}

void degrade_blur(float *out, const float *in, int w, int h, const float *kernel, int size,
                  float *memory)
{
    int half = size / 2;
    size_t row = (size_t)w * 3, padded = (size_t)(w + 2 * half) * 3;
    degrade_pad(memory, in, w, h, half);
    for (int y = 0; y < h; y++) {
        float *to = out + (size_t)y * row;
        memset(to, 0, row * sizeof *to);
        for (int j = 0; j < size; j++)
            for (int i = 0; i < size; i++) {
                const float *from = memory + (size_t)(y + j) * padded + (size_t)i * 3;
                float weight = kernel[j * size + i];
                for (size_t k = 0; k < row; k++)
                    to[k] += weight * from[k];
            }
    }
}
