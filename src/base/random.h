/* Stateless random numbers: every number is a pure function of (seed, stream, step, index), so
 * checkpoints hold no generator state and every device draws the same bits.
 * Philox4x32-10: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. */
#ifndef IMGTRAIN_BASE_RANDOM_H
#define IMGTRAIN_BASE_RANDOM_H

#include "base/host_device.h"

#include <stdint.h>

struct philox4 {
    uint32_t v[4];
};

/* One list of streams for the whole program, so that no two uses share their numbers. */
enum philox_stream {
    STREAM_SPLAT_INIT = 1,
    STREAM_SPLAT_GROWTH = 2,
    STREAM_GAN_WEIGHTS = 16,
    STREAM_GAN_LATENT = 17,
    STREAM_GAN_BATCH = 18,
    STREAM_GAN_AUGMENT = 19,
    STREAM_GAN_METRICS = 20,
    STREAM_GAN_SAMPLE = 21,
    STREAM_SR_WEIGHTS = 32,
    STREAM_SR_BATCH = 33,
    STREAM_SR_HELD = 34,
    STREAM_SR_SHOWN = 35,
    STREAM_SR_NOISE = 40,
    STREAM_SR_DEGRADE = 41,
    STREAM_DIFFUSION_WEIGHTS = 48,
    STREAM_DIFFUSION_TIME = 49,
    STREAM_DIFFUSION_TRAIN = 50,
    STREAM_DIFFUSION_HELD = 51,
    STREAM_DIFFUSION_LATENT = 52,
    STREAM_DIFFUSION_HELD_LATENT = 53,
    STREAM_DIFFUSION_NOISE = 56,
    STREAM_VAE_WEIGHTS = 64,
    STREAM_VAE_NOISE = 65,
    STREAM_FAULTS = 98,
    STREAM_TEST = 99,
};

/* Rounds on a 128-bit counter and a 64-bit key. */
enum { PHILOX_ROUNDS = 10 };
HOST_DEVICE static inline struct philox4 philox_round(struct philox4 counter, uint32_t key0,
                                                      uint32_t key1, int round)
{
    uint64_t product0 = (uint64_t)0xD2511F53u * counter.v[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * counter.v[2];
    struct philox4 next = {{
        (uint32_t)(product1 >> 32) ^ counter.v[1] ^ (key0 + (uint32_t)round * 0x9E3779B9u),
        (uint32_t)product1,
        (uint32_t)(product0 >> 32) ^ counter.v[3] ^ (key1 + (uint32_t)round * 0xBB67AE85u),
        (uint32_t)product0,
    }};
    return next;
}

HOST_DEVICE static inline struct philox4 random_philox4x32(struct philox4 counter, uint32_t key0,
                                                           uint32_t key1)
{
    for (int round = 0; round < PHILOX_ROUNDS; round++)
        counter = philox_round(counter, key0, key1, round);
    return counter;
}

/* What is counted for (seed, stream, step, index), whose key is the seed. */
HOST_DEVICE static inline struct philox4 philox_counter(uint32_t stream, uint64_t step,
                                                        uint64_t index)
{
    struct philox4 counter = {{(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)step,
                               stream ^ (uint32_t)(step >> 32) * 0x9E3779B9u}};
    return counter;
}

/* Four 32-bit random words for (seed, stream, step, index). step < 2^32 and stream < 2^32. */
HOST_DEVICE static inline struct philox4 philox_draw(uint64_t seed, uint32_t stream, uint64_t step,
                                                     uint64_t index)
{
    return random_philox4x32(philox_counter(stream, step, index), (uint32_t)seed,
                             (uint32_t)(seed >> 32));
}

/* Uniform in [0, 1) with 24 bits, exact in float. */
HOST_DEVICE static inline float philox_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#endif
