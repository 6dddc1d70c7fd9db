/* Noise of cameras: normal, and that of counted photons. */
#include "base/random.h"
#include "math/portable.h"
#include "sr/degrade.h"

#include <stdlib.h>
#include <string.h>

enum { LEVELS = 256, POISSON_MOST = 420 }; /* of a mean of 256: 10 deviations beyond it */

static struct philox4 degrade_pixel_draw(const struct degrade_draws *draws, size_t pixel)
{
    return philox_draw(draws->seed, STREAM_SR_NOISE, draws->step,
                       (uint64_t)draws->field << 32 | (uint64_t)pixel);
}

/* In (0, 1), to 32 bits. */
static double degrade_unit(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

static float degrade_cut(double v)
{
    return v > 0.0 ? (v < 1.0 ? (float)v : 1.0f) : 0.0f;
}

/* Three normal numbers: Box and Muller's. */
static void degrade_normals(double *normal, const struct philox4 *words)
{
    double r = sqrt(-2.0 * portable_log(degrade_unit(words->v[0])));
    double angle = 2.0 * PORTABLE_PI * degrade_unit(words->v[1]);
    normal[0] = r * portable_cos(angle);
    normal[1] = r * portable_sin(angle);
    r = sqrt(-2.0 * portable_log(degrade_unit(words->v[2])));
    normal[2] = r * portable_cos(2.0 * PORTABLE_PI * degrade_unit(words->v[3]));
}

void degrade_gaussian_noise(float *image, int w, int h, double sigma, bool grey,
                            const struct degrade_draws *draws)
{
    size_t pixels = (size_t)w * (size_t)h;
    for (size_t i = 0; i < pixels; i++, image += 3) {
        struct philox4 words = degrade_pixel_draw(draws, i);
        double normal[3];
        degrade_normals(normal, &words);
        for (int c = 0; c < 3; c++)
            image[c] = degrade_cut((double)image[c] + sigma * normal[grey ? 0 : c]);
    }
}

/* ---- photons ---- */

struct degrade_poisson {
    double below[LEVELS][POISSON_MOST]; /* chance of at most so many photons */
    bool made[LEVELS];
};

struct degrade_poisson *degrade_poisson_create(void)
{
    return malloc(sizeof(struct degrade_poisson));
}

void degrade_poisson_free(struct degrade_poisson *poisson)
{
    free(poisson);
}

static int degrade_level(double v)
{
    return (int)(degrade_cut(v) * 255.0f + 0.5f);
}

static double degrade_luma(const float *rgb)
{
    return 0.2989 * (double)rgb[0] + 0.587 * (double)rgb[1] + 0.114 * (double)rgb[2];
}

static int count_levels(const float *image, size_t pixels, bool grey)
{
    bool seen[LEVELS] = {false};
    int count = 0;
    for (size_t i = 0; i < pixels; i++, image += 3)
        for (int c = 0; c < (grey ? 1 : 3); c++) {
            int level = degrade_level(grey ? degrade_luma(image) : (double)image[c]);
            count += !seen[level];
            seen[level] = true;
        }
    return count;
}

static void poisson_make(struct degrade_poisson *poisson, int level, double mean)
{
    double chance = portable_exp(-mean), sum = 0.0;
    for (int k = 0; k < POISSON_MOST; k++) {
        sum += chance;
        poisson->below[level][k] = sum;
        chance *= mean / (k + 1);
    }
    poisson->made[level] = true;
}

/* By inversion: the least number of photons whose chance reaches `unit`. */
static int poisson_photons(const double *below, double unit)
{
    int low = 0, high = POISSON_MOST - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (below[middle] < unit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void degrade_poisson_noise(struct degrade_poisson *poisson, float *image, int w, int h,
                           double scale, bool grey, const struct degrade_draws *draws)
{
    size_t pixels = (size_t)w * (size_t)h;
    int values = 1;
    for (int count = count_levels(image, pixels, grey); values < count;)
        values *= 2;
    memset(poisson->made, 0, sizeof poisson->made);
    for (size_t i = 0; i < pixels; i++, image += 3) {
        struct philox4 words = degrade_pixel_draw(draws, i);
        double noise[3];
        for (int c = 0; c < (grey ? 1 : 3); c++) {
            int level = degrade_level(grey ? degrade_luma(image) : (double)image[c]);
            double x = level / 255.0;
            if (!poisson->made[level]) poisson_make(poisson, level, x * values);
            noise[c] =
                poisson_photons(poisson->below[level], degrade_unit(words.v[c])) / (double)values -
                x;
        }
        for (int c = 0; c < 3; c++)
            image[c] = degrade_cut((double)image[c] + scale * noise[grey ? 0 : c]);
    }
}
