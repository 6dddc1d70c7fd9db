/* Noise of cameras: normal, and that of counted photons. */
#include "base/random.h"
#include "math/portable.h"
#include "math/shown_sample.h"
#include "sr/degrade/degrade.h"

#include <pthread.h>
#include <string.h>

enum {
    LEVELS = 256,
    POISSON_MOST = 420, /* of a mean of 256: 10 deviations beyond it */
    UNIT_BITS = 21,     /* of the number that a sample's noise is made from */
    UNITS = 1 << UNIT_BITS,
    BLOCK = 128, /* pixels whose numbers are drawn at a time: even */
};

enum { DRAWS = BLOCK / 2 };

/* philox_draw of DRAWS indices at a time, word by word, which compilers make vectors of. */
struct degrade_words {
    uint32_t v[4][DRAWS];
};

__attribute__((always_inline)) static inline void
words_body(struct degrade_words *words, const struct degrade_draws *draws, uint64_t first)
{
    uint32_t(*v)[DRAWS] = words->v;
    uint32_t key0 = (uint32_t)draws->seed, key1 = (uint32_t)(draws->seed >> 32);
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint64_t index = (uint64_t)draws->field << 32 | (uint32_t)(first + i);
        struct philox4 counter = philox_counter(STREAM_SR_NOISE, draws->step, index);
        for (int k = 0; k < 4; k++)
            v[k][i] = counter.v[k];
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++)
        for (int i = 0; i < DRAWS; i++) {
            struct philox4 counter = {{v[0][i], v[1][i], v[2][i], v[3][i]}};
            counter = philox_round(counter, key0, key1, round);
            v[0][i] = counter.v[0];
            v[1][i] = counter.v[1];
            v[2][i] = counter.v[2];
            v[3][i] = counter.v[3];
        }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void
words_avx2(struct degrade_words *words, const struct degrade_draws *draws, uint64_t first)
{
    words_body(words, draws, first);
}
#endif

static void words_of(struct degrade_words *words, const struct degrade_draws *draws, uint64_t first)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        words_avx2(words, draws, first);
        return;
    }
#endif
    words_body(words, draws, first);
}

/* Numbers below 2^21, three a pixel: two pixels share a draw. */
static void degrade_pixel_draws(uint32_t units[BLOCK][3], const struct degrade_draws *draws,
                                size_t first)
{
    struct degrade_words words;
    words_of(&words, draws, first / 2);
    for (size_t i = 0; i < DRAWS; i++)
        for (size_t k = 0; k < 2; k++) {
            uint64_t bits = (uint64_t)words.v[2 * k + 1][i] << 32 | words.v[2 * k][i];
            for (int c = 0; c < 3; c++)
                units[2 * i + k][c] = (uint32_t)(bits >> UNIT_BITS * c) & (UNITS - 1);
        }
}

/* ---- normal ---- */

enum { QUANTILES = 1 << 15 };
static float normal_quantiles[QUANTILES];

/* The chance of 0 .. z, as a series; its slope. */
static double normal_chance(double z, double *slope)
{
    double term = z, sum = z;
    for (int k = 3; term > 1e-18 * sum; k += 2)
        sum += term *= z * z / k;
    *slope = portable_exp(-0.5 * z * z) / sqrt(2.0 * PORTABLE_PI);
    return sum * *slope;
}

/* Of the upper half, each in the middle of its share, by Newton's steps from the one before. */
static void normal_quantiles_make(void)
{
    double z = 0.0;
    for (int i = 0; i < QUANTILES; i++) {
        double wanted = 0.5 * (i + 0.5) / QUANTILES, step = 1.0;
        for (int k = 0; k < 20 && fabs(step) > 1e-9; k++) {
            double slope, chance = normal_chance(z, &slope);
            step = (wanted - chance) / slope;
            z += step < 0.1 ? step : 0.1;
        }
        normal_quantiles[i] = (float)z;
    }
}

/* The sign is set without a branch, which would be guessed wrong every other time. */
static float normal_of(uint32_t unit)
{
    uint32_t bits;
    float z = normal_quantiles[unit >> (UNIT_BITS - 15)];
    memcpy(&bits, &z, sizeof bits);
    bits ^= (unit >> (UNIT_BITS - 16) & 1) << 31;
    memcpy(&z, &bits, sizeof z);
    return z;
}

void degrade_gaussian_noise(float *image, int w, int h, double sigma, bool grey,
                            const struct degrade_draws *draws)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, normal_quantiles_make);
    uint32_t units[BLOCK][3];
    float noise[BLOCK][3];
    size_t pixels = (size_t)w * (size_t)h;
    for (size_t first = 0; first < pixels; first += BLOCK) {
        size_t count = pixels - first < BLOCK ? pixels - first : BLOCK;
        degrade_pixel_draws(units, draws, first);
        for (size_t i = 0; grey && i < BLOCK; i++)
            noise[i][0] = noise[i][1] = noise[i][2] = normal_of(units[i][0]);
        for (size_t i = 0; !grey && i < BLOCK; i++)
            for (int c = 0; c < 3; c++)
                noise[i][c] = normal_of(units[i][c]);
        const float *flat = noise[0];
        for (size_t k = 0; k < 3 * count; k++)
            image[k] = shown_clamped(image[k] + (float)sigma * flat[k]);
        image += 3 * count;
    }
}

/* ---- photons ---- */

enum { GUIDES = 1024, GUIDE_MIXED = 1 << 15 };
struct degrade_poisson {
    bool seen[LEVELS];
    float mean[LEVELS];                   /* x */
    uint16_t guide[LEVELS][GUIDES];       /* photons of the least unit of each share; MIXED: of its
                                             other units there are more */
    uint32_t below[LEVELS][POISSON_MOST]; /* units of at most so many photons */
};

size_t degrade_poisson_bytes(void)
{
    return sizeof(struct degrade_poisson);
}

static int degrade_level(float v)
{
    return (int)(shown_clamped(v) * 255.0f + 0.5f);
}

static float degrade_luma(const float *rgb)
{
    return 0.2989f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

static int count_levels(bool seen[LEVELS], const float *image, size_t pixels, bool grey)
{
    int count = 0;
    memset(seen, 0, LEVELS * sizeof *seen);
    for (size_t i = 0; grey && i < pixels; i++)
        seen[degrade_level(degrade_luma(image + 3 * i))] = true;
    for (size_t i = 0; !grey && i < 3 * pixels; i++)
        seen[degrade_level(image[i])] = true;
    for (int i = 0; i < LEVELS; i++)
        count += seen[i];
    return count;
}

/* By inversion: the least number of photons whose chance reaches a unit's. */
static void poisson_make(struct degrade_poisson *poisson, int level, int values)
{
    double mean = level / 255.0 * values, chance = portable_exp(-mean), sum = 0.0;
    uint32_t *below = poisson->below[level];
    int last = 0, guide = 0;
    for (int k = 0; k < POISSON_MOST; k++) {
        sum += chance;
        chance *= mean / (k + 1);
        below[k] = (uint32_t)(sum * UNITS + 0.5);
        last = k;
        if (below[k] >= UNITS) break;
    }
    below[last] = UNITS;                   /* what rounding has left */
    for (int k = 0; guide < GUIDES; k++) { /* shares that begin below below[k] */
        int end = (int)((below[k] + UNITS / GUIDES - 1) / (UNITS / GUIDES));
        if (end <= guide) continue;
        for (; guide < end; guide++)
            poisson->guide[level][guide] = (uint16_t)k;
        if (below[k] % (UNITS / GUIDES) != 0) poisson->guide[level][end - 1] |= GUIDE_MIXED;
    }
    poisson->mean[level] = (float)(level / 255.0);
}

/* Poisson(x v) / v - x. */
static float poisson_noise_of(const struct degrade_poisson *poisson, int level, float of_one,
                              uint32_t unit)
{
    int photons = poisson->guide[level][unit / (UNITS / GUIDES)];
    if (photons & GUIDE_MIXED)
        for (photons -= GUIDE_MIXED; poisson->below[level][photons] <= unit;)
            photons++;
    return (float)photons * of_one - poisson->mean[level];
}

/* A block of pixels; in steps, of which compilers make vectors where there is no table. */
static void poisson_block(const struct degrade_poisson *poisson, float *image, size_t pixels,
                          float scale, bool grey, float of_one, uint32_t units[BLOCK][3])
{
    int level[3 * BLOCK];
    float noise[3 * BLOCK];
    const uint32_t *flat = units[0];
    size_t count = 3 * pixels;
    for (size_t i = 0; !grey && i < count; i++)
        level[i] = degrade_level(image[i]);
    for (size_t i = 0; !grey && i < count; i++)
        noise[i] = poisson_noise_of(poisson, level[i], of_one, flat[i]);
    for (size_t i = 0; grey && i < count; i += 3)
        noise[i] = noise[i + 1] = noise[i + 2] =
            poisson_noise_of(poisson, degrade_level(degrade_luma(image + i)), of_one, flat[i]);
    for (size_t i = 0; i < count; i++)
        image[i] = shown_clamped(image[i] + scale * noise[i]);
}

void degrade_poisson_noise(struct degrade_poisson *poisson, float *image, int w, int h,
                           double scale, bool grey, const struct degrade_draws *draws)
{
    uint32_t units[BLOCK][3];
    size_t pixels = (size_t)w * (size_t)h;
    int values = 1; /* a power of 2: a photon's share is exact */
    for (int count = count_levels(poisson->seen, image, pixels, grey); values < count;)
        values *= 2;
    for (int level = 0; level < LEVELS; level++)
        if (poisson->seen[level]) poisson_make(poisson, level, values);
    float of_one = 1.0f / (float)values;
    for (size_t first = 0; first < pixels; first += BLOCK) {
        degrade_pixel_draws(units, draws, first);
        size_t count = pixels - first < BLOCK ? pixels - first : BLOCK;
        poisson_block(poisson, image, count, (float)scale, grey, of_one, units);
        image += 3 * count;
    }
}
