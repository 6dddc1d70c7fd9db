/* Grouped 3x3 convolutions with 16 channels a group, straight from their definition: a tile of
 * pixels with its border in shared memory, nine taps of a [pixels][16] x [16][16] product each. */
#include "cuda/fragment.h"
#include "cuda/nn/conv_cuda.h"
#include "cuda/nn/group_tile.h"

/* ---- bf16 on tensor cores ---- */

/* The weights as lanes hold them: packed[group][tap][lane] = both halves of b for columns 0..7,
 * then for 8..15. */
static __global__ void group_pack(uint4 *packed, const float *weights, int count, bool adjoint)
{
    int at = blockIdx.x * blockDim.x + threadIdx.x, lane = at % 32, tap = at / 32 % 9;
    if (at >= count) return;
    const float *w = weights + (size_t)(at / 32 / 9) * CONV_GROUP * CONV_GROUP * 9;
    unsigned words[4];
    for (int i = 0; i < 4; i++) {
        float pair[2];
        for (int j = 0; j < 2; j++) {
            int k = lane % 4 * 2 + i % 2 * 8 + j, n = lane / 4 + i / 2 * 8;
            pair[j] =
                adjoint ? w[(k * CONV_GROUP + n) * 9 + 8 - tap] : w[(n * CONV_GROUP + k) * 9 + tap];
        }
        words[i] = bf16_pair(pair[0], pair[1]);
    }
    packed[at] = make_uint4(words[0], words[1], words[2], words[3]);
}

/* A block: a tile of pixels, GROUPS groups. Its warps take turns at the groups, then at the tile's
 * sets of 16 pixels. */
template <int WIDTH, int GROUPS>
static __global__ void __launch_bounds__(GROUP_THREADS)
    group_bf16(uint16_t *out, const uint16_t *in, const uint4 *packed, struct nn_epilogue e,
               struct group_grid grid)
{
    enum {
        PIXELS = WIDTH * GROUP_HEIGHT,
        PARTS = GROUP_THREADS / 32 / GROUPS,
        SETS = PIXELS / 16 / PARTS, /* of a warp */
        CHANNELS = GROUPS * CONV_GROUP,
        PITCH = CHANNELS + 8,
        SUM_PITCH = CHANNELS + 8 /* store_d */
    };
    DYNAMIC_SHARED(unsigned char, shared);
    uint16_t *halo = (uint16_t *)shared;
    float *sums = (float *)shared; /* afterwards */
    struct group_place place = group_place_of(grid, blockIdx.x, WIDTH);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int group = warp % GROUPS, part = warp / GROUPS, channel = blockIdx.y * CHANNELS;
    group_load_halo<WIDTH, CHANNELS, PITCH>(halo, in, grid, place, channel);
    __syncthreads();
    struct fragment_d d[SETS][2] = {};
    packed += ((size_t)blockIdx.y * GROUPS + group) * 9 * 32 + lane;
    for (int tap = 0; tap < 9; tap++) {
        uint4 words = packed[tap * 32];
        struct fragment_b left = {{words.x, words.y}}, right = {{words.z, words.w}};
        int shift = (tap / 3 * (WIDTH + 2) + tap % 3) * PITCH + group * CONV_GROUP;
        UNROLL
        for (int i = 0; i < SETS; i++) {
            int first = (part * SETS + i) * 16;
            struct fragment_a a = load_a([&](int r) {
                int p = first + r;
                return halo + (p / WIDTH * (WIDTH + 2) + p % WIDTH) * PITCH + shift;
            });
            cuda_fragment_mma(&d[i][0], &a, &left);
            cuda_fragment_mma(&d[i][1], &a, &right);
        }
    }
    __syncthreads();
    UNROLL
    for (int i = 0; i < SETS; i++)
        UNROLL
    for (int half = 0; half < 2; half++)
        store_d(sums + (part * SETS + i) * 16 * SUM_PITCH, SUM_PITCH, group * CONV_GROUP + half * 8,
                conv_sum_at, &d[i][half]);
    __syncthreads();
    group_store<uint16_t, WIDTH, CHANNELS, SUM_PITCH>(out, sums, e, grid, place, channel);
}

template <int WIDTH, int GROUPS> static void launch_bf16(const struct conv_pass *p)
{
    enum { CHANNELS = GROUPS * CONV_GROUP };
    const size_t halo = sizeof(uint16_t) * (WIDTH + 2) * (GROUP_HEIGHT + 2) * (CHANNELS + 8);
    const size_t sums = sizeof(float) * WIDTH * GROUP_HEIGHT * (CHANNELS + 8);
    struct group_grid grid = group_grid_of(&p->shape, WIDTH);
    dim3 blocks((unsigned)grid.tiles, (unsigned)(p->shape.groups / GROUPS));
    LAUNCH((group_bf16<WIDTH, GROUPS>), blocks, GROUP_THREADS, halo > sums ? halo : sums,
           p->device->stream, (uint16_t *)p->to, (const uint16_t *)p->from,
           (const uint4 *)p->workspace, p->epilogue, grid);
}

template <int WIDTH> static void choose_groups(const struct conv_pass *p)
{
    if (p->shape.groups % 4 == 0)
        launch_bf16<WIDTH, 4>(p);
    else if (p->shape.groups % 2 == 0)
        launch_bf16<WIDTH, 2>(p);
    else
        launch_bf16<WIDTH, 1>(p);
}

static void conv_group_bf16(const struct conv_pass *p)
{
    int count = p->shape.groups * 9 * 32;
    LAUNCH(group_pack, cuda_blocks((size_t)count, 128), 128, 0, p->device->stream,
           (uint4 *)p->workspace, p->weights, count, p->adjoint);
    if (group_width(&p->shape) == 16)
        choose_groups<16>(p);
    else
        choose_groups<8>(p);
}

/* ---- fp32: a tile of 8 x 8 pixels and one group; a thread has a pixel and four channels ---- */

template <typename T>
static __global__ void __launch_bounds__(256)
    group_f32(T *out, const T *in, const float *weights, bool adjoint, struct nn_epilogue e,
              struct group_grid grid)
{
    constexpr int WIDTH = 8, PITCH = CONV_GROUP, SUM_PITCH = CONV_GROUP + 4;
    __shared__ __align__(16) float halo[(WIDTH + 2) * (GROUP_HEIGHT + 2) * PITCH];
    __shared__ float w[9][CONV_GROUP][CONV_GROUP]; /* [tap][from][to] */
    __shared__ __align__(16) float sums[WIDTH * GROUP_HEIGHT * SUM_PITCH];
    struct group_place place = group_place_of(grid, blockIdx.x, WIDTH);
    int channel = blockIdx.y * CONV_GROUP;
    group_load_halo<WIDTH, CONV_GROUP, PITCH>(halo, in, grid, place, channel);
    weights += (size_t)blockIdx.y * CONV_GROUP * CONV_GROUP * 9;
    for (int at = threadIdx.x; at < 9 * CONV_GROUP * CONV_GROUP; at += blockDim.x) {
        int tap = at % 9, inner = at / 9 % CONV_GROUP, outer = at / 9 / CONV_GROUP;
        if (adjoint)
            w[8 - tap][outer][inner] = weights[at];
        else
            w[tap][inner][outer] = weights[at];
    }
    __syncthreads();
    int p = threadIdx.x / 4, first = threadIdx.x % 4 * 4;
    float d[4] = {};
    for (int tap = 0; tap < 9; tap++) {
        int y = p / WIDTH + tap / 3, x = p % WIDTH + tap % 3;
        const float *pixel = halo + (y * (WIDTH + 2) + x) * PITCH;
        for (int k = 0; k < CONV_GROUP; k++)
            UNROLL
        for (int j = 0; j < 4; j++)
            d[j] += pixel[k] * w[tap][k][first + j];
    }
    UNROLL
    for (int j = 0; j < 4; j++)
        sums[p * SUM_PITCH + first + j] = d[j];
    __syncthreads();
    group_store<T, WIDTH, CONV_GROUP, SUM_PITCH>(out, sums, e, grid, place, channel);
}

void conv_group(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    if (conv_on_tensor_cores(s->in_type, p->device->capability)) {
        conv_group_bf16(p);
        return;
    }
    struct group_grid grid = group_grid_of(s, 8);
    dim3 blocks((unsigned)grid.tiles, (unsigned)s->groups);
    WITH_TYPE(s->in_type, T,
              LAUNCH((group_f32<T>), blocks, 256, 0, p->device->stream, (T *)p->to,
                     (const T *)p->from, p->weights, p->adjoint, p->epilogue, grid));
}

size_t conv_group_workspace(const struct nn_conv *s)
{
    return (size_t)s->groups * 9 * 32 * sizeof(uint4);
}
