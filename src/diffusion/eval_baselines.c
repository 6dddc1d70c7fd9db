#include "diffusion/eval_baselines.h"

#include "base/error.h"
#include "data/dataset.h"
#include "diffusion/diffusion_draw.h"
#include "diffusion/noise.h"

#include <math.h>
#include <stdlib.h>

/* [n] images of normal numbers, as those that drawing begins with: `channels` of them a pixel, one
 * for all three colours or three. */
static int baselines_noise(uint8_t *images, int n, size_t numbers, int channels)
{
    size_t same = channels == 1 ? 3 : 1; /* bytes of one number */
    size_t drawn = (numbers / same + NOISE_BLOCK - 1) / NOISE_BLOCK * NOISE_BLOCK;
    float *values = malloc(drawn * sizeof *values);
    int code = values ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < n && code == OK; i++) {
        struct noise_stream stream;
        noise_open(&stream, NOISE_PHILOX, (uint64_t)i);
        code = noise_draw(&stream, values, drawn);
        for (size_t k = 0; k < numbers && code == OK; k++)
            images[(size_t)i * numbers + k] = diffusion_byte(values[k / same]);
    }
    free(values);
    return code;
}

static int baselines_mean(uint8_t *image, const struct dataset *set, size_t numbers)
{
    int count = dataset_train_count(set);
    uint64_t *sums = calloc(numbers, sizeof *sums);
    if (!sums) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++) {
        const uint8_t *pixels = dataset_train(set, i).pixels;
        for (size_t k = 0; k < numbers; k++)
            sums[k] += pixels[k];
    }
    for (size_t k = 0; k < numbers; k++)
        image[k] = (uint8_t)((sums[k] + (uint64_t)count / 2) / (uint64_t)count);
    free(sums);
    return OK;
}

int eval_baselines_measure(struct eval_baselines *baselines, const struct dataset *set,
                           int channels, struct image_list real, struct image_list held, int width,
                           int height, bool (*stop_requested)(void))
{
    size_t numbers = (size_t)width * (size_t)height * 3, n = (size_t)real.n;
    uint8_t *images = NULL;
    const uint8_t **pixels = NULL;
    double rkid[3] = {(double)NAN, (double)NAN, (double)NAN};
    int code = OK;
    if (real.n < SAMPLE_METRICS_LEAST) goto cleanup;
    images = malloc((n + 1) * numbers);
    pixels = calloc(2 * n, sizeof *pixels);
    if (!images || !pixels) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for %d images", real.n));
    for (size_t i = 0; i < n; i++) {
        pixels[i] = images + i * numbers;
        pixels[n + i] = images + n * numbers;
    }
    TRY_CLEANUP(baselines_noise(images, real.n, numbers, channels));
    TRY_CLEANUP(baselines_mean(images + n * numbers, set, numbers));
    const struct image_list sets[3] = {
        {pixels, real.n}, {pixels + n, real.n}, {held.pixels, held.n}};
    TRY_CLEANUP(sample_metrics_rkid(rkid, real, sets, held.n < SAMPLE_METRICS_LEAST ? 2 : 3, width,
                                    height, stop_requested));
cleanup:
    *baselines = (struct eval_baselines){.noise = rkid[0], .mean = rkid[1], .held = rkid[2]};
    free(images);
    free(pixels);
    return code;
}
