/* 1x1 convolutions where one side has few channels (at most CONV_THIN), as from and to colours:
 * nothing to share in a tile, the wide side is moved once, and products are made in fp32 from
 * weights in registers. Lanes that are neighbours have channels that are neighbours. */
#include "cuda/nn/conv_cuda.h"

enum {
    THREADS = 128,
    EXPAND_ROWS = 8,   /* of a thread, with the same weights */
    CONTRACT_ROWS = 4, /* likewise */
};

/* Lanes that share a row of `parts` parts: a power of two, by the shape alone. */
static int thin_lanes(int parts)
{
    int lanes = 1;
    while (lanes < parts && lanes < 32)
        lanes *= 2;
    return lanes;
}

/* weights as b[k][n]: element (i, j) lies at i * row + j * column */
struct thin_matrix {
    const float *at;
    int k, n, row, column;
};

/* Colours have no masks, which want channels that are a multiple of 8. */
template <typename T>
static __device__ inline float thin_finish(const struct nn_epilogue &e, float v, size_t i, int c)
{
    if (e.bias) v += e.bias[c];
    if (e.residual) v += cuda_element_element((const T *)e.residual, i);
    return v > 0 ? v : v * e.slope;
}

/* ---- few channels to many: a thread has V channels of EXPAND_ROWS rows ---- */

template <int V, typename T, typename F>
static __global__ void __launch_bounds__(THREADS)
    thin_expand(T *out, const F *from, struct thin_matrix m, struct nn_epilogue e, size_t rows,
                size_t threads)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= threads) return;
    unsigned parts = (unsigned)m.n / V;
    size_t step = threads / parts;
    int column = (int)(i % parts) * V;
    float w[CONV_THIN][V];
    UNROLL
    for (int k = 0; k < CONV_THIN; k++)
        UNROLL
    for (int j = 0; j < V; j++)
        w[k][j] = k < m.k ? m.at[k * m.row + (column + j) * m.column] : 0;
    for (size_t row = i / parts; row < rows; row += step) {
        float v[V] = {};
        UNROLL
        for (int k = 0; k < CONV_THIN; k++) {
            float x = k < m.k ? cuda_element_element(from, row * m.k + k) : 0;
            UNROLL
            for (int j = 0; j < V; j++)
                v[j] += x * w[k][j];
        }
        size_t at = row * m.n + column;
        if constexpr (V == 8)
            conv_finish_values8(e, out, v, at, column);
        else
            element_set(out, at, thin_finish<T>(e, v[0], at, column));
    }
}

template <int V, typename T, typename F>
static void launch_expand(const struct conv_pass *p, const struct thin_matrix &m, size_t rows)
{
    size_t threads = (rows + EXPAND_ROWS - 1) / EXPAND_ROWS * (size_t)(m.n / V);
    LAUNCH((thin_expand<V, T, F>), cuda_blocks(threads, THREADS), THREADS, 0, p->device->stream,
           (T *)p->to, (const F *)p->from, m, p->epilogue, rows, threads);
}

/* ---- many channels to N: `lanes` threads share a row, V channels at a time each ---- */

template <int N, int V, typename T, typename F>
static __global__ void __launch_bounds__(THREADS)
    thin_contract(T *out, const F *from, struct thin_matrix m, struct nn_epilogue e, size_t rows,
                  int lanes)
{
    int lane = threadIdx.x & (lanes - 1);
    size_t step = (size_t)gridDim.x * (THREADS / lanes);
    size_t first = (size_t)blockIdx.x * (THREADS / lanes) + threadIdx.x / lanes;
    float sum[CONTRACT_ROWS][N] = {};
    for (int k = lane * V; k < m.k; k += lanes * V) {
        float w[N][V];
        UNROLL
        for (int j = 0; j < N; j++)
            UNROLL
        for (int i = 0; i < V; i++)
            w[j][i] = N < CONV_THIN || j < m.n ? m.at[(k + i) * m.row + j * m.column] : 0;
        UNROLL
        for (int r = 0; r < CONTRACT_ROWS; r++) {
            float x[V];
            if (first + r * step >= rows) continue;
            element_load<V>(x, from, (first + r * step) * m.k + k);
            UNROLL
            for (int j = 0; j < N; j++)
                UNROLL
            for (int i = 0; i < V; i++)
                sum[r][j] += x[i] * w[j][i];
        }
    }
    for (int other = lanes / 2; other > 0; other /= 2)
        UNROLL
    for (int r = 0; r < CONTRACT_ROWS; r++)
        UNROLL
    for (int j = 0; j < N; j++)
        sum[r][j] += __shfl_xor_sync(0xffffffffu, sum[r][j], other);
    UNROLL
    for (int r = 0; r < CONTRACT_ROWS; r++) {
        size_t row = first + r * step;
        if (row >= rows) return;
        UNROLL
        for (int j = 0; j < N; j++)
            if ((N < CONV_THIN || j < m.n) && (j & (lanes - 1)) == lane)
                element_set(out, row * m.n + j, thin_finish<T>(e, sum[r][j], row * m.n + j, j));
    }
}

template <int N, int V, typename T, typename F>
static void launch_contract(const struct conv_pass *p, const struct thin_matrix &m, size_t rows)
{
    int lanes = thin_lanes(m.k / V);
    unsigned blocks = cuda_blocks(rows, (unsigned)(THREADS / lanes * CONTRACT_ROWS));
    LAUNCH((thin_contract<N, V, T, F>), blocks, THREADS, 0, p->device->stream, (T *)p->to,
           (const F *)p->from, m, p->epilogue, rows, lanes);
}

template <typename T, typename F>
static void run_thin(const struct conv_pass *p, const struct thin_matrix &m, size_t rows)
{
    if (m.k <= CONV_THIN && m.n % 8 == 0)
        launch_expand<8, T, F>(p, m, rows);
    else if (m.k <= CONV_THIN)
        launch_expand<1, T, F>(p, m, rows);
    else if (m.k % 8 == 0 && m.n == 3)
        launch_contract<3, 8, T, F>(p, m, rows);
    else if (m.k % 8 == 0)
        launch_contract<CONV_THIN, 8, T, F>(p, m, rows);
    else
        launch_contract<CONV_THIN, 1, T, F>(p, m, rows);
}

void conv_thin(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    size_t rows = (size_t)s->n * s->h * s->w;
    struct thin_matrix m = {p->weights, s->cin, s->cout, 1, s->cin};
    if (p->adjoint) m = {p->weights, s->cout, s->cin, s->cin, 1};
    enum nn_type from = p->adjoint ? s->out_type : s->in_type;
    enum nn_type to = p->adjoint ? s->in_type : s->out_type;
    WITH_TYPE(to, T, WITH_TYPE(from, F, run_thin<T, F>(p, m, rows)));
}

/* ---- gradients of weights ---- */

/* Rows of a batch: chunks of chunk_rows in `pieces` pieces of piece_rows. at(few, wide) of a
 * piece's sums lies at few * few_step + wide * wide_step. */
struct thin_sums {
    size_t rows;
    int chunk_rows, piece_rows, pieces;
    int few, wide, few_step, wide_step;
    int lanes;
    float *at;
};

/* A block has a piece's rows and lanes * V of the wide side's channels: `lanes` threads share a
 * row. Their sums are added over the rows of a warp, then warp by warp: one order. */
template <int N, int V, typename W, typename F>
static __global__ void __launch_bounds__(THREADS)
    thin_wgrad(struct thin_sums s, const W *wide, const F *few)
{
    __shared__ float warps[THREADS / 32][32 * V * N];
    int lanes = s.lanes, lane = threadIdx.x & (lanes - 1), across = lanes * V;
    int tiles = (s.wide + across - 1) / across, unit = (int)blockIdx.x / tiles;
    int left = (int)blockIdx.x % tiles * across, c = left + lane * V;
    size_t begin = (size_t)(unit / s.pieces) * s.chunk_rows;
    size_t first = begin + (size_t)(unit % s.pieces) * s.piece_rows;
    size_t last = min(min(first + s.piece_rows, begin + s.chunk_rows), s.rows);
    float sum[N][V] = {};
    if (c < s.wide)
        for (size_t row = first + threadIdx.x / lanes; row < last; row += THREADS / lanes) {
            float x[V];
            element_load<V>(x, wide, row * s.wide + c);
            UNROLL
            for (int j = 0; j < N; j++) {
                float y = j < s.few ? cuda_element_element(few, row * s.few + j) : 0;
                UNROLL
                for (int i = 0; i < V; i++)
                    sum[j][i] += y * x[i];
            }
        }
    UNROLL
    for (int j = 0; j < N; j++)
        UNROLL
    for (int i = 0; i < V; i++) {
        for (int other = 16; other >= lanes; other /= 2)
            sum[j][i] += __shfl_xor_sync(0xffffffffu, sum[j][i], other);
        if ((int)threadIdx.x % 32 < lanes)
            warps[threadIdx.x / 32][j * across + lane * V + i] = sum[j][i];
    }
    __syncthreads();
    float *to = s.at + (size_t)unit * s.few * s.wide;
    for (int at = threadIdx.x; at < s.few * across; at += THREADS) {
        int j = at / across, i = left + at % across;
        float total = warps[0][at];
        UNROLL
        for (int w = 1; w < THREADS / 32; w++)
            total += warps[w][at];
        if (i < s.wide) to[(size_t)j * s.few_step + (size_t)i * s.wide_step] = total;
    }
}

template <int N, int V, typename W, typename F>
static void launch_wgrad(const struct cuda_device *d, struct thin_sums s, const void *wide,
                         const void *few, int units)
{
    s.lanes = thin_lanes(s.wide / V);
    int across = s.lanes * V, tiles = (s.wide + across - 1) / across;
    LAUNCH((thin_wgrad<N, V, W, F>), (unsigned)(units * tiles), THREADS, 0, d->stream, s,
           (const W *)wide, (const F *)few);
}

template <typename W, typename F>
static void run_wgrad(const struct cuda_device *d, const struct thin_sums &s, const void *wide,
                      const void *few, int units)
{
    if (s.wide % 8 == 0 && s.few == 3)
        launch_wgrad<3, 8, W, F>(d, s, wide, few, units);
    else if (s.wide % 8 == 0)
        launch_wgrad<CONV_THIN, 8, W, F>(d, s, wide, few, units);
    else
        launch_wgrad<CONV_THIN, 1, W, F>(d, s, wide, few, units);
}

void conv_thin_pieces(struct cuda_device *d, const struct nn_conv *s, float *sums, const void *in,
                      const void *dout, size_t rows, const struct conv_cut *cut, int chunks)
{
    bool few_in = s->cin <= CONV_THIN;
    struct thin_sums t = {};
    t.rows = rows, t.at = sums;
    t.chunk_rows = cut->chunk_units, t.piece_rows = cut->piece_units, t.pieces = cut->pieces;
    t.few = few_in ? s->cin : s->cout, t.wide = few_in ? s->cout : s->cin;
    t.few_step = few_in ? 1 : s->cin, t.wide_step = few_in ? s->cin : 1;
    enum nn_type wide_type = few_in ? s->out_type : s->in_type;
    enum nn_type few_type = few_in ? s->in_type : s->out_type;
    const void *wide = few_in ? dout : in, *few = few_in ? in : dout;
    WITH_TYPE(wide_type, W,
              WITH_TYPE(few_type, F, (run_wgrad<W, F>(d, t, wide, few, cut->pieces * chunks))));
}
