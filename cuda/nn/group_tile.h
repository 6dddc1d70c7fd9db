/* Tiles of pixels for the grouped 3x3 convolutions: where they lie, loading them with a border of
 * one pixel, storing them. */
#ifndef IMGTRAIN_CUDA_NN_GROUP_TILE_H
#define IMGTRAIN_CUDA_NN_GROUP_TILE_H

#include "cuda/nn/conv_cuda.h"

enum { GROUP_HEIGHT = 8, GROUP_THREADS = 128 };

/* Tiles are 8 high and `width` wide: 16, or 8 for narrow images. */
struct group_grid {
    int h, w, c;
    int across, down; /* tiles of an image */
    size_t tiles;     /* of all images */
};

struct group_place {
    size_t picture;
    int y, x;
};

static inline int group_width(const struct nn_conv *s)
{
    return s->w > 8 ? 16 : 8;
}

static inline struct group_grid group_grid_of(const struct nn_conv *s, int width)
{
    struct group_grid g = {
        s->h, s->w, s->cin, (s->w + width - 1) / width, (s->h + GROUP_HEIGHT - 1) / GROUP_HEIGHT,
        0};
    g.tiles = (size_t)s->n * g.across * g.down;
    return g;
}

static __device__ inline struct group_place group_place_of(const struct group_grid &g, size_t tile,
                                                           int width)
{
    int in_picture = (int)(tile % ((size_t)g.across * g.down));
    return {tile / ((size_t)g.across * g.down), in_picture / g.across * GROUP_HEIGHT,
            in_picture % g.across * width};
}

/* Eight channels, whatever they are stored as, for a tile in bf16 or fp32. */
static __device__ inline void group_put8(uint16_t *to, const uint16_t *from, size_t i)
{
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from + i);
}

template <typename F> static __device__ inline void group_put8(float *to, const F *from, size_t i)
{
    float v[8];
    element_load8(v, from, i);
    element_store8(to, 0, v);
}

static __device__ inline void group_zero8(uint16_t *to)
{
    *reinterpret_cast<uint4 *>(to) = make_uint4(0, 0, 0, 0);
}

static __device__ inline void group_zero8(float *to)
{
    const float none[8] = {};
    element_store8(to, 0, none);
}

/* The pixels from (y, x) on, `wide` x `high`, CHANNELS from `channel` on: tile[pixel][PITCH], zeros
 * outside the image. */
template <int CHANNELS, int PITCH, typename S, typename F>
static __device__ inline void group_load(S *tile, const F *in, const struct group_grid &g,
                                         size_t picture, int y, int x, int high, int wide,
                                         int channel)
{
    const F *from = in + picture * g.h * g.w * g.c + channel;
    for (int at = threadIdx.x; at < high * wide * (CHANNELS / 8); at += blockDim.x) {
        int p = at / (CHANNELS / 8), c = at % (CHANNELS / 8) * 8;
        int yy = y + p / wide, xx = x + p % wide;
        S *to = tile + p * PITCH + c;
        if (yy >= 0 && yy < g.h && xx >= 0 && xx < g.w)
            group_put8(to, from, ((size_t)yy * g.w + xx) * g.c + c);
        else
            group_zero8(to);
    }
}

template <int WIDTH, int CHANNELS, int PITCH, typename S, typename F>
static __device__ inline void group_load_halo(S *tile, const F *in, const struct group_grid &g,
                                              struct group_place place, int channel)
{
    group_load<CHANNELS, PITCH>(tile, in, g, place.picture, place.y - 1, place.x - 1,
                                GROUP_HEIGHT + 2, WIDTH + 2, channel);
}

template <typename T, int WIDTH, int CHANNELS, int PITCH>
static __device__ inline void group_store(T *out, const float *sums, const struct nn_epilogue &e,
                                          const struct group_grid &g, struct group_place place,
                                          int channel)
{
    const int lanes = CHANNELS / 8;
    for (int p = threadIdx.x / lanes; p < WIDTH * GROUP_HEIGHT; p += blockDim.x / lanes) {
        int y = place.y + p / WIDTH, x = place.x + p % WIDTH;
        if (y >= g.h || x >= g.w) continue;
        size_t row = (place.picture * g.h + y) * g.w + x;
        conv_store_row<T>(e, out, sums + p * PITCH, row, channel, CHANNELS, g.c,
                          threadIdx.x % lanes, lanes);
    }
}

#endif
