/* Weight gradients of 1x1 convolutions: sums[piece][cout][cin] over the rows of a piece. */
#include "cuda/fragment.h"
#include "cuda/nn/conv_cuda.h"

enum {
    TILE = 64, /* channels either way */
    DEPTH = 32,
    PITCH = TILE + 8,
    THREADS = 128,
    DEPTH_F32 = 16,
    THREADS_F32 = 256,
};

/* What one block sums: a tile of the weights over the rows first ... last - 1. */
struct job {
    size_t first, last;
    int o, i;
    float *sums;
};

struct pieces {
    size_t rows;                /* of the batch */
    int chunk_rows, piece_rows; /* a chunk's last piece may be shorter */
    int pieces;                 /* of a chunk */
    int cin, cout;
    float *sums;
};

static __device__ inline struct job job_of_block(const struct pieces &p)
{
    int across = (p.cin + TILE - 1) / TILE, tiles = across * ((p.cout + TILE - 1) / TILE);
    int unit = (int)blockIdx.x / tiles, tile = (int)blockIdx.x % tiles;
    int chunk = unit / p.pieces, piece = unit % p.pieces;
    struct job job;
    size_t begin = (size_t)chunk * p.chunk_rows, end = begin + p.chunk_rows;
    job.first = begin + (size_t)piece * p.piece_rows;
    job.last = min(min(job.first + p.piece_rows, end), p.rows);
    job.o = tile / across * TILE;
    job.i = tile % across * TILE;
    job.sums = p.sums + (size_t)unit * p.cin * p.cout;
    return job;
}

/* Eight channels of a row, zeros outside. */
static __device__ inline uint4 cuda_conv_point_wgrad_load8(const uint16_t *from, size_t row,
                                                           size_t last, int c, int channels)
{
    uint4 none = make_uint4(0, 0, 0, 0);
    if (row >= last || c >= channels) return none;
    const uint16_t *at = from + row * channels + c;
    if (channels % 8 == 0) return *(const uint4 *)at;
    unsigned words[4] = {0, 0, 0, 0};
    UNROLL
    for (int j = 0; j < 8; j++)
        if (c + j < channels) words[j / 2] |= (unsigned)at[j] << 16 * (j % 2);
    return make_uint4(words[0], words[1], words[2], words[3]);
}

enum { LOADS = DEPTH * TILE / 8 / THREADS };

static __device__ inline void cuda_conv_point_wgrad_fetch(uint4 next[LOADS], const uint16_t *from,
                                                          size_t first, size_t last, int c,
                                                          int channels)
{
    UNROLL
    for (int i = 0; i < LOADS; i++) {
        int at = threadIdx.x + i * THREADS;
        next[i] = cuda_conv_point_wgrad_load8(from, first + at / (TILE / 8), last,
                                              c + at % (TILE / 8) * 8, channels);
    }
}

static __device__ inline void cuda_conv_point_wgrad_put(uint16_t to[DEPTH][PITCH],
                                                        const uint4 next[LOADS])
{
    UNROLL
    for (int i = 0; i < LOADS; i++) {
        int at = threadIdx.x + i * THREADS;
        *(uint4 *)&to[at / (TILE / 8)][at % (TILE / 8) * 8] = next[i];
    }
}

/* 4 warps, 32 x 32 sums each: dout turned round times in. */
static __global__ void __launch_bounds__(THREADS)
    point_wgrad_bf16(struct pieces p, const uint16_t *in, const uint16_t *dout)
{
    __shared__ __align__(16) uint16_t a[DEPTH][PITCH], b[DEPTH][PITCH];
    struct job job = job_of_block(p);
    int warp = threadIdx.x / 32, top = warp / 2 * 32, left = warp % 2 * 32;
    struct fragment_d d[2][4] = {};
    uint4 next_a[LOADS], next_b[LOADS];
    cuda_conv_point_wgrad_fetch(next_a, dout, job.first, job.last, job.o, p.cout);
    cuda_conv_point_wgrad_fetch(next_b, in, job.first, job.last, job.i, p.cin);
    for (size_t row = job.first; row < job.last; row += DEPTH) {
        cuda_conv_point_wgrad_put(a, next_a);
        cuda_conv_point_wgrad_put(b, next_b);
        __syncthreads();
        cuda_conv_point_wgrad_fetch(next_a, dout, row + DEPTH, job.last, job.o, p.cout);
        cuda_conv_point_wgrad_fetch(next_b, in, row + DEPTH, job.last, job.i, p.cin);
        UNROLL
        for (int k = 0; k < DEPTH; k += 16) {
            struct fragment_a turned[2];
            UNROLL
            for (int i = 0; i < 2; i++)
                turned[i] = load_a_columns([&](int r) { return &a[k + r][top + 16 * i]; });
            UNROLL
            for (int j = 0; j < 4; j++) {
                struct fragment_b right = load_b([&](int r) { return &b[k + r][left + 8 * j]; });
                cuda_fragment_mma(&d[0][j], &turned[0], &right);
                cuda_fragment_mma(&d[1][j], &turned[1], &right);
            }
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < 2; i++)
        UNROLL
    for (int j = 0; j < 4; j++)
        UNROLL
    for (int k = 0; k < 4; k++) {
        int o = job.o + top + 16 * i + mma_row(k);
        int c = job.i + left + 8 * j + mma_column(k);
        if (o < p.cout && c < p.cin) job.sums[(size_t)o * p.cin + c] = d[i][j].x[k];
    }
}

/* 4 x 4 sums a thread */
template <typename I, typename O>
static __global__ void __launch_bounds__(THREADS_F32)
    point_wgrad_f32(struct pieces p, const I *in, const O *dout)
{
    __shared__ float a[DEPTH_F32][TILE], b[DEPTH_F32][TILE];
    struct job job = job_of_block(p);
    int top = threadIdx.x / 16 * 4, left = threadIdx.x % 16 * 4;
    float d[4][4] = {};
    for (size_t row = job.first; row < job.last; row += DEPTH_F32) {
        for (int at = threadIdx.x; at < DEPTH_F32 * TILE; at += THREADS_F32) {
            int k = at / TILE, c = at % TILE;
            bool inside = row + k < job.last;
            a[k][c] = inside && job.o + c < p.cout
                          ? cuda_element_element(dout, (row + k) * p.cout + job.o + c)
                          : 0;
            b[k][c] = inside && job.i + c < p.cin
                          ? cuda_element_element(in, (row + k) * p.cin + job.i + c)
                          : 0;
        }
        __syncthreads();
        multiply_f32(d, a, b, top, left);
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < 4; i++)
        UNROLL
    for (int j = 0; j < 4; j++) {
        int o = job.o + top + i, c = job.i + left + j;
        if (o < p.cout && c < p.cin) job.sums[(size_t)o * p.cin + c] = d[i][j];
    }
}

void conv_point_pieces(struct cuda_device *d, const struct nn_conv *s, float *sums, const void *in,
                       const void *dout, size_t rows, const struct conv_cut *cut, int chunks)
{
    struct pieces p = {rows, cut->chunk_units, cut->piece_units, cut->pieces, s->cin, s->cout,
                       sums};
    /* one dimension: a batch of large images has more pieces than the others may have blocks;
     * tiles of the same rows follow each other, so that these come from the cache */
    unsigned grid = cuda_blocks((size_t)s->cin, TILE) * cuda_blocks((size_t)s->cout, TILE) *
                    (unsigned)(cut->pieces * chunks);
    if (s->in_type == NN_BF16 && conv_on_tensor_cores(s->out_type, d->capability))
        LAUNCH(point_wgrad_bf16, grid, THREADS, 0, d->stream, p, (const uint16_t *)in,
               (const uint16_t *)dout);
    else
        WITH_TYPE(s->in_type, I,
                  WITH_TYPE(s->out_type, O,
                            LAUNCH((point_wgrad_f32<I, O>), grid, THREADS_F32, 0, d->stream, p,
                                   (const I *)in, (const O *)dout)));
}
