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

/* ---- sharpening ---- */

enum { SHARPEN_SIZE = 51, SHARPEN_HALF = SHARPEN_SIZE / 2 };

/* The border's image; the image blurred along x; blurred; the mask. */
size_t degrade_sharpen_floats(int w, int h)
{
    return degrade_blur_floats(w, h, SHARPEN_SIZE) +
           3 * (size_t)w * (size_t)(h + 2 * SHARPEN_HALF) + 2 * 3 * (size_t)w * (size_t)h;
}

/* By one line of a Gaussian, along x and along y. */
static void sharpen_blur(float *out, const float *in, int w, int h, const float *line,
                         float *memory)
{
    size_t row = (size_t)w * 3, padded = (size_t)(w + 2 * SHARPEN_HALF) * 3;
    int rows = h + 2 * SHARPEN_HALF;
    float *across = memory + degrade_blur_floats(w, h, SHARPEN_SIZE);
    degrade_pad(memory, in, w, h, SHARPEN_HALF);
    memset(across, 0, row * (size_t)rows * sizeof *across);
    for (int y = 0; y < rows; y++)
        for (int i = 0; i < SHARPEN_SIZE; i++) {
            const float *from = memory + (size_t)y * padded + (size_t)i * 3;
            for (size_t k = 0; k < row; k++)
                across[(size_t)y * row + k] += line[i] * from[k];
        }
    memset(out, 0, row * (size_t)h * sizeof *out);
    for (int y = 0; y < h; y++)
        for (int i = 0; i < SHARPEN_SIZE; i++) {
            const float *from = across + (size_t)(y + i) * row;
            for (size_t k = 0; k < row; k++)
                out[(size_t)y * row + k] += line[i] * from[k];
        }
}

void degrade_sharpen(float *image, int w, int h, float *memory)
{
    const double sigma = 0.3 * ((SHARPEN_SIZE - 1) / 2.0 - 1.0) + 0.8;
    size_t count = (size_t)w * (size_t)h * 3;
    float *blurred = memory + degrade_sharpen_floats(w, h) - 2 * count, *mask = blurred + count;
    float line[SHARPEN_SIZE];
    double weights[SHARPEN_SIZE], sum = 0.0;
    for (int i = 0; i < SHARPEN_SIZE; i++) {
        double x = (i - SHARPEN_HALF) / sigma;
        sum += weights[i] = portable_exp(-0.5 * x * x);
    }
    for (int i = 0; i < SHARPEN_SIZE; i++)
        line[i] = (float)(weights[i] / sum);
    sharpen_blur(blurred, image, w, h, line, memory);
    for (size_t i = 0; i < count; i++)
        mask[i] = fabsf(image[i] - blurred[i]) * 255.0f > 10.0f ? 1.0f : 0.0f;
    for (size_t i = 0; i < count; i++) { /* the sharp image takes the blurred one's place */
        float v = image[i] + 0.5f * (image[i] - blurred[i]);
        blurred[i] = v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f;
    }
    float *soft = mask; /* the mask is copied with its border before it is overwritten */
    sharpen_blur(soft, mask, w, h, line, memory);
    for (size_t i = 0; i < count; i++)
        image[i] = soft[i] * blurred[i] + (1.0f - soft[i]) * image[i];
}
