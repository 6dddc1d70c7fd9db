#include "diffusion/noise.h"

#include "base/error.h"
#include "base/random.h"
#include "math/portable.h"

#include <math.h>

/* Matsumoto, Nishimura: "Mersenne Twister", 1998; seeding of 2002. */
enum { MT_SHIFT = 397 };

static void mt_seed(struct noise_stream *stream, uint32_t seed)
{
    stream->word[0] = seed;
    for (uint32_t i = 1; i < NOISE_MT_WORDS; i++) {
        uint32_t before = stream->word[i - 1];
        stream->word[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    stream->at = NOISE_MT_WORDS;
}

static void mt_refill(uint32_t *word)
{
    for (int i = 0; i < NOISE_MT_WORDS; i++) {
        uint32_t y = (word[i] & 0x80000000u) | (word[(i + 1) % NOISE_MT_WORDS] & 0x7fffffffu);
        uint32_t next = word[(i + MT_SHIFT) % NOISE_MT_WORDS] ^ y >> 1;
        word[i] = y & 1u ? next ^ 0x9908b0dfu : next;
    }
}

static uint32_t mt_next(struct noise_stream *stream)
{
    if (stream->at == NOISE_MT_WORDS) {
        mt_refill(stream->word);
        stream->at = 0;
    }
    uint32_t y = stream->word[stream->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Box and Muller: two normal numbers of two uniform ones in [0, 1). */
static void noise_normal_pair(double u, double v, float *first, float *second)
{
    double radius = sqrt(-2.0 * portable_log(1.0 - u)), angle = 2.0 * PORTABLE_PI * v;
    *first = (float)(radius * portable_cos(angle));
    *second = (float)(radius * portable_sin(angle));
}

static void torch_block(struct noise_stream *stream, float *out)
{
    double u[NOISE_BLOCK];
    for (int k = 0; k < NOISE_BLOCK; k++)
        u[k] = (double)(mt_next(stream) & 0xffffffu) * 0x1p-24;
    for (int k = 0; k < NOISE_BLOCK / 2; k++)
        noise_normal_pair(u[k], u[k + 8], &out[k], &out[k + 8]);
}

static void philox_block(const struct noise_stream *stream, size_t block, float *out)
{
    for (size_t k = 0; k < NOISE_BLOCK / 4; k++) {
        struct philox4 r =
            philox_draw(stream->seed, STREAM_DIFFUSION_NOISE, stream->draws, block * 4 + k);
        for (size_t j = 0; j < 4; j += 2)
            noise_normal_pair((double)philox_uniform(r.v[j]), (double)philox_uniform(r.v[j + 1]),
                              &out[k * 4 + j], &out[k * 4 + j + 1]);
    }
}

void noise_open(struct noise_stream *stream, enum noise_kind kind, uint64_t seed)
{
    stream->kind = kind;
    stream->seed = seed;
    stream->draws = 0;
    mt_seed(stream, (uint32_t)seed);
}

int noise_draw(struct noise_stream *stream, float *out, size_t count)
{
    if (count % NOISE_BLOCK != 0)
        return fail(ERR_USAGE, "noise of %zu numbers: a multiple of %d is needed", count,
                    NOISE_BLOCK);
    for (size_t block = 0; block < count / NOISE_BLOCK; block++) {
        if (stream->kind == NOISE_TORCH)
            torch_block(stream, out + block * NOISE_BLOCK);
        else
            philox_block(stream, block, out + block * NOISE_BLOCK);
    }
    stream->draws++;
    return OK;
}

int noise_side_step(int patch, int channels)
{
    int step = patch;
    while (channels * step * step % NOISE_BLOCK != 0)
        step *= 2;
    return step;
}
