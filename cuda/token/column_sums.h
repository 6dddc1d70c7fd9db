/* Sums over rows, a sum for each column: gradients of biases, norms, gates and pads. Chunks of rows
 * are cut into pieces, whose sums are made side by side and added in order; how, depends on the
 * chunk alone, so that rows may come in several calls. */
#ifndef IMGTRAIN_CUDA_TOKEN_COLUMN_SUMS_H
#define IMGTRAIN_CUDA_TOKEN_COLUMN_SUMS_H

#include "cuda/cuda_device.h"

enum { COLUMN_LANES = 8, COLUMN_PIECE = 64, COLUMN_PIECES = 32, COLUMN_WAVE = 65535 };

/* rows of samples, which are cut into chunks, which are cut into pieces. */
struct column_rows {
    int rows, per_sample, chunk, piece;
    int chunks, pieces; /* of a sample, of a chunk */
};

static inline struct column_rows column_rows_of(int rows, int per_sample, int chunk)
{
    struct column_rows r = {rows, per_sample, chunk < per_sample ? chunk : per_sample, 0, 0, 0};
    /* of a whole chunk, though there are fewer rows: the last call may have a part of one */
    int64_t piece = ((int64_t)chunk + COLUMN_PIECES - 1) / COLUMN_PIECES;
    if (piece < COLUMN_PIECE) piece = COLUMN_PIECE;
    r.piece = (int)(piece < r.chunk ? piece : r.chunk);
    r.chunks = (per_sample + r.chunk - 1) / r.chunk;
    r.pieces = (r.chunk + r.piece - 1) / r.piece;
    return r;
}

/* The terms of a row and column: void F::column_terms(float term[N], int row, int sample, int
 * column). pieces[blockIdx.y][N][width], from chunk `first` of all on. */
template <int N, typename F>
static __global__ void __launch_bounds__(32 * COLUMN_LANES)
    column_pieces(float *pieces, F f, struct column_rows r, int first, int width)
{
    __shared__ float lanes[COLUMN_LANES][N][32];
    int x = threadIdx.x, lane = threadIdx.y, column = blockIdx.x * 32 + x;
    int chunk = first + blockIdx.y / r.pieces, sample = chunk / r.chunks;
    int in_sample = chunk % r.chunks * r.chunk, in_chunk = blockIdx.y % r.pieces * r.piece;
    int from = in_sample + in_chunk;
    int to = min(min(from + r.piece, in_sample + r.chunk), r.per_sample);
    float sum[N] = {};
    for (int row = from + lane; column < width && row < to; row += COLUMN_LANES) {
        float term[N];
        f.column_terms(term, sample * r.per_sample + row, sample, column);
        UNROLL
        for (int i = 0; i < N; i++)
            sum[i] += term[i];
    }
    UNROLL
    for (int i = 0; i < N; i++)
        lanes[lane][i][x] = sum[i];
    __syncthreads();
    if (lane > 0 || column >= width) return;
    UNROLL
    for (int i = 0; i < N; i++) {
        for (int other = 1; other < COLUMN_LANES; other++)
            sum[i] += lanes[other][i][x];
        pieces[((size_t)blockIdx.y * N + i) * width + column] = sum[i];
    }
}

/* Hands on the sums of `count` chunks: void F::column_add(int i, int sample, int column, float
 * sum). */
template <int N, typename F>
static __global__ void column_chunks(const float *pieces, F f, struct column_rows r, int first,
                                     int count, int width)
{
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    for (int chunk = 0; chunk < count; chunk++)
        UNROLL
    for (int i = 0; i < N; i++) {
        float sum = 0;
        for (int piece = 0; piece < r.pieces; piece++)
            sum += pieces[(((size_t)chunk * r.pieces + piece) * N + i) * width + column];
        f.column_add(i, (first + chunk) / r.chunks, column, sum);
    }
}

/* As many chunks at a time as the device has room for. */
template <int N, typename F>
static int column_sums(struct device *device, const char *what, F f, struct column_rows r,
                       int width)
{
    struct cuda_device *d = cuda_of(device);
    int chunks = r.rows / r.per_sample * r.chunks;
    size_t most = CUDA_PARTIALS / sizeof(float) / N / (size_t)width;
    if (most > COLUMN_WAVE) most = COLUMN_WAVE;
    int wave = (int)(most / (size_t)r.pieces);
    if (wave < 1) return fail(ERR_USAGE, "%s: rows of %d are too wide", what, width);
    for (int first = 0; first < chunks; first += wave) {
        int some = chunks - first < wave ? chunks - first : wave;
        dim3 grid(cuda_blocks((size_t)width, 32), (unsigned)(some * r.pieces));
        LAUNCH((column_pieces<N, F>), grid, dim3(32, COLUMN_LANES), 0, d->stream,
               (float *)d->partials, f, r, first, width);
        LAUNCH((column_chunks<N, F>), cuda_blocks((size_t)width, 64), 64, 0, d->stream,
               (const float *)d->partials, f, r, first, some, width);
    }
    return cuda_take_error();
}

#endif
