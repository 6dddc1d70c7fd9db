/* Normal numbers that a generation begins with: those of PyTorch's CPU generator, so that a seed
 * gives the image that it gives there, or Philox's. */
#ifndef IMGTRAIN_DIFFUSION_NOISE_H
#define IMGTRAIN_DIFFUSION_NOISE_H

#include <stddef.h>
#include <stdint.h>

enum noise_kind { NOISE_TORCH, NOISE_PHILOX };

enum { NOISE_MT_WORDS = 624, NOISE_BLOCK = 16 };

/* A stream of one image: draws follow one another, its numbers do not depend on other images. */
struct noise_stream {
    enum noise_kind kind;
    uint64_t seed;
    uint64_t draws;                /* Philox: of them */
    uint32_t word[NOISE_MT_WORDS]; /* PyTorch: the Mersenne Twister's state */
    int at;
};

/* PyTorch's generator heeds the low 32 bits of the seed alone. */
void noise_open(struct noise_stream *stream, enum noise_kind kind, uint64_t seed);

/* Sides that are multiples of it have whole patches, and noise in whole blocks. */
int noise_side_step(int patch, int channels);

/* The next tensor of `count` numbers; ERR_USAGE unless that is a multiple of NOISE_BLOCK (PyTorch
 * draws the rest in another way). Differs from PyTorch's own by 2e-6 at most, whose logarithm and
 * sine are approximate. */
int noise_draw(struct noise_stream *stream, float *out, size_t count);

#endif
