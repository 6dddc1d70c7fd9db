/* Weight gradients of grouped 3x3 convolutions: sums[piece][group][tap][cout][cin] over the tiles
 * of a piece. */
#include "cuda/fragment.h"
#include "cuda/nn/conv_cuda.h"
#include "cuda/nn/group_tile.h"

enum { SUMS = 9 * CONV_GROUP * CONV_GROUP }; /* of a group */

/* The tiles first ... last - 1 of a block's piece. */
struct span {
    size_t first, last;
};

static __device__ inline struct span span_of_block(const struct group_grid &g, int chunk_tiles,
                                                   int piece_tiles, int pieces)
{
    size_t begin = (size_t)(blockIdx.x / pieces) * chunk_tiles;
    size_t first = begin + (size_t)(blockIdx.x % pieces) * piece_tiles;
    return {first, min(min(first + piece_tiles, begin + chunk_tiles), g.tiles)};
}

/* A warp's share of the tile in shared memory: pixels 16 at a time, all nine taps. */
template <int WIDTH, int PITCH>
static __device__ inline void tile_products(struct fragment_d d[9][2], const uint16_t *halo,
                                            const uint16_t *middle, int part, int parts)
{
    for (int first = part * 16; first < WIDTH * GROUP_HEIGHT; first += parts * 16) {
        struct fragment_a a = load_a_columns([&](int r) { return middle + (first + r) * PITCH; });
        UNROLL
        for (int tap = 0; tap < 9; tap++) {
            int shift = (tap / 3 * (WIDTH + 2) + tap % 3) * PITCH;
            UNROLL
            for (int half = 0; half < 2; half++) {
                struct fragment_b b = load_b([&](int r) {
                    int p = first + r;
                    return halo + (p / WIDTH * (WIDTH + 2) + p % WIDTH) * PITCH + shift + 8 * half;
                });
                cuda_fragment_mma(&d[tap][half], &a, &b);
            }
        }
    }
}

/* Element k of a lane's sums of a tap, in [cout][cin]. */
static __device__ inline int sum_at(int half, int k)
{
    return mma_row(k) * CONV_GROUP + 8 * half + mma_column(k);
}

template <int WIDTH, int GROUPS>
static __global__ void __launch_bounds__(GROUP_THREADS)
    group_wgrad_bf16(float *sums, const uint16_t *in, const uint16_t *dout, struct group_grid grid,
                     int chunk_tiles, int piece_tiles, int pieces)
{
    enum {
        PARTS = GROUP_THREADS / 32 / GROUPS,
        CHANNELS = GROUPS * CONV_GROUP,
        PITCH = CHANNELS + 8
    };
    DYNAMIC_SHARED(uint16_t, halo);
    uint16_t *middle = halo + (WIDTH + 2) * (GROUP_HEIGHT + 2) * PITCH;
    float *shared = (float *)(void *)halo; /* afterwards: sums of all groups */
    struct span span = span_of_block(grid, chunk_tiles, piece_tiles, pieces);
    int warp = threadIdx.x / 32, group = warp % GROUPS, part = warp / GROUPS;
    int channel = blockIdx.y * CHANNELS;
    struct fragment_d d[9][2] = {};
    for (size_t tile = span.first; tile < span.last; tile++) {
        struct group_place place = group_place_of(grid, tile, WIDTH);
        group_load_halo<WIDTH, CHANNELS, PITCH>(halo, in, grid, place, channel);
        group_load<CHANNELS, PITCH>(middle, dout, grid, place.picture, place.y, place.x,
                                    GROUP_HEIGHT, WIDTH, channel);
        __syncthreads();
        tile_products<WIDTH, PITCH>(d, halo + group * CONV_GROUP, middle + group * CONV_GROUP, part,
                                    PARTS);
        __syncthreads();
    }
    float *mine = shared + group * SUMS;
    for (int turn = 0; turn < PARTS; turn++) { /* one after the other: a fixed order */
        if (part == turn)
            for (int i = 0; i < 9 * 8; i++) {
                float *to = mine + i / 8 * CONV_GROUP * CONV_GROUP + sum_at(i / 4 % 2, i % 4);
                float more = d[i / 8][i / 4 % 2].x[i % 4];
                *to = turn ? *to + more : more;
            }
        __syncthreads();
    }
    sums += ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * GROUPS * SUMS;
    for (int i = threadIdx.x; i < GROUPS * SUMS; i += GROUP_THREADS)
        sums[i] = shared[i];
}

/* 256 threads: one for each pair of channels. */
template <typename T>
static __global__ void __launch_bounds__(256)
    group_wgrad_f32(float *sums, const T *in, const T *dout, struct group_grid grid,
                    int chunk_tiles, int piece_tiles, int pieces)
{
    constexpr int WIDTH = 8, PITCH = CONV_GROUP;
    __shared__ __align__(16) float halo[(WIDTH + 2) * (GROUP_HEIGHT + 2) * PITCH];
    __shared__ __align__(16) float middle[WIDTH * GROUP_HEIGHT * PITCH];
    struct span span = span_of_block(grid, chunk_tiles, piece_tiles, pieces);
    int o = threadIdx.x / CONV_GROUP, c = threadIdx.x % CONV_GROUP;
    int channel = blockIdx.y * CONV_GROUP;
    float d[9] = {};
    for (size_t tile = span.first; tile < span.last; tile++) {
        struct group_place place = group_place_of(grid, tile, WIDTH);
        group_load_halo<WIDTH, CONV_GROUP, PITCH>(halo, in, grid, place, channel);
        group_load<CONV_GROUP, PITCH>(middle, dout, grid, place.picture, place.y, place.x,
                                      GROUP_HEIGHT, WIDTH, channel);
        __syncthreads();
        for (int p = 0; p < WIDTH * GROUP_HEIGHT; p++) {
            float y = middle[p * PITCH + o];
            const float *pixel = halo + (p / WIDTH * (WIDTH + 2) + p % WIDTH) * PITCH + c;
            UNROLL
            for (int tap = 0; tap < 9; tap++)
                d[tap] += y * pixel[(tap / 3 * (WIDTH + 2) + tap % 3) * PITCH];
        }
        __syncthreads();
    }
    sums += ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * SUMS;
    UNROLL
    for (int tap = 0; tap < 9; tap++)
        sums[tap * CONV_GROUP * CONV_GROUP + threadIdx.x] = d[tap];
}

/* What a launch needs besides its template. */
struct wgrad_call {
    struct cuda_device *device;
    const struct nn_conv *s;
    float *sums;
    const void *in, *dout;
    const struct conv_cut *cut;
    int chunks;
};

template <int WIDTH, int GROUPS> static void launch_bf16(const struct wgrad_call *call)
{
    const int pitch = GROUPS * CONV_GROUP + 8, tile = WIDTH * GROUP_HEIGHT;
    const size_t tiles = sizeof(uint16_t) * pitch * ((WIDTH + 2) * (GROUP_HEIGHT + 2) + tile);
    const size_t sums = sizeof(float) * GROUPS * SUMS;
    const struct conv_cut *cut = call->cut;
    dim3 blocks((unsigned)(cut->pieces * call->chunks), (unsigned)(call->s->groups / GROUPS));
    LAUNCH((group_wgrad_bf16<WIDTH, GROUPS>), blocks, GROUP_THREADS, tiles > sums ? tiles : sums,
           call->device->stream, call->sums, (const uint16_t *)call->in,
           (const uint16_t *)call->dout, group_grid_of(call->s, WIDTH), cut->chunk_units,
           cut->piece_units, cut->pieces);
}

template <int WIDTH> static void choose_groups(const struct wgrad_call *call)
{
    if (call->s->groups % 4 == 0)
        launch_bf16<WIDTH, 4>(call);
    else if (call->s->groups % 2 == 0)
        launch_bf16<WIDTH, 2>(call);
    else
        launch_bf16<WIDTH, 1>(call);
}

static bool on_tensor_cores(const struct cuda_device *device, const struct nn_conv *s)
{
    return conv_on_tensor_cores(s->in_type, device->capability);
}

int conv_group_tiles(const struct cuda_device *device, const struct nn_conv *s)
{
    struct nn_conv one = *s;
    one.n = 1;
    return (int)group_grid_of(&one, on_tensor_cores(device, s) ? group_width(s) : 8).tiles;
}

void conv_group_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, const struct conv_cut *cut, int chunks)
{
    struct wgrad_call call = {device, s, sums, in, dout, cut, chunks};
    if (on_tensor_cores(device, s)) {
        if (group_width(s) == 16)
            choose_groups<16>(&call);
        else
            choose_groups<8>(&call);
        return;
    }
    dim3 blocks((unsigned)(cut->pieces * chunks), (unsigned)s->groups);
    WITH_TYPE(s->in_type, T,
              LAUNCH((group_wgrad_f32<T>), blocks, 256, 0, device->stream, sums, (const T *)in,
                     (const T *)dout, group_grid_of(s, 8), cut->chunk_units, cut->piece_units,
                     cut->pieces));
}
