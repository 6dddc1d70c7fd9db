/* 1x1 convolutions: to[rows][n] = epilogue(from[rows][k] weights[k][n]), and pieces of their weight
 * gradients. Weights are read as they lie, [cout][cin], and rounded where the product is bf16. */
#include "cuda/fragment.h"
#include "cuda/nn/conv_cuda.h"

enum {
    ROWS = 128,
    COLUMNS = 64,
    DEPTH = 32,
    THREADS = 256,
    PITCH = DEPTH + 8,       /* bf16: rows of ldmatrix lie in different banks */
    SUM_PITCH = COLUMNS + 8, /* fp32 sums of a tile: store_d */
    ROWS_F32 = 64,
    DEPTH_F32 = 16,
    LANES = 8, /* that store a row */
};

/* Blocks that share rows follow each other, so that these come from the cache. */
struct tile {
    size_t row;
    int column;
};

static __device__ inline struct tile tile_of_block(int rows, int n)
{
    int across = (n + COLUMNS - 1) / COLUMNS;
    return {(size_t)(blockIdx.x / across) * rows, (int)(blockIdx.x % across) * COLUMNS};
}

/* weights as b[k][n]: element (i, j) lies at i * row + j * column */
struct matrix {
    const float *at;
    int k, n, row, column;
};

static __device__ inline float matrix_at(const struct matrix &m, int i, int j)
{
    return i < m.k && j < m.n ? m.at[(size_t)i * m.row + (size_t)j * m.column] : 0;
}

/* The tile's sums, row by row, through the epilogue. */
template <typename T>
static __device__ inline void store_tile(T *out, const float *sums, const struct nn_epilogue &e,
                                         struct tile tile, int count, size_t rows, int n)
{
    for (int r = threadIdx.x / LANES; r < count && tile.row + r < rows; r += THREADS / LANES)
        conv_store_row<T>(e, out, sums + r * SUM_PITCH, tile.row + r, tile.column, COLUMNS, n,
                          threadIdx.x % LANES, LANES);
}

/* ---- bf16 on tensor cores: 8 warps, 32 x 32 sums each ---- */

union point_shared {
    struct {
        uint16_t a[ROWS][PITCH], b[COLUMNS][PITCH]; /* b[column][depth] */
    } in;
    float sums[ROWS * SUM_PITCH];
};

/* Eight elements of a row, zeros outside. */
static __device__ inline uint4 cuda_conv_point_load8(const uint16_t *from, size_t row, size_t rows,
                                                     int i, int k)
{
    uint4 none = make_uint4(0, 0, 0, 0);
    if (row >= rows || i >= k) return none;
    const uint16_t *at = from + row * k + i;
    if (k % 8 == 0) return *(const uint4 *)at;
    unsigned words[4] = {0, 0, 0, 0};
    UNROLL
    for (int j = 0; j < 8; j++)
        if (i + j < k) words[j / 2] |= (unsigned)at[j] << 16 * (j % 2);
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* What a thread brings of the next tile: kept in registers while the current one is multiplied. */
struct point_next {
    uint4 a[ROWS * DEPTH / 8 / THREADS];
    unsigned b[COLUMNS * DEPTH / 2 / THREADS];
};

static __device__ inline void point_fetch(struct point_next *next, const uint16_t *from,
                                          const struct matrix &m, struct tile tile, size_t rows,
                                          int depth)
{
    UNROLL
    for (int i = 0; i < ROWS * DEPTH / 8 / THREADS; i++) {
        int at = threadIdx.x + i * THREADS, r = at / (DEPTH / 8), c = at % (DEPTH / 8) * 8;
        next->a[i] = cuda_conv_point_load8(from, tile.row + r, rows, depth + c, m.k);
    }
    UNROLL
    for (int i = 0; i < COLUMNS * DEPTH / 2 / THREADS; i++) {
        int at = threadIdx.x + i * THREADS;
        bool by_depth = m.row == 1; /* neighbours in memory go to neighbouring threads */
        int c = by_depth ? at / (DEPTH / 2) : at % COLUMNS;
        int d = depth + (by_depth ? at % (DEPTH / 2) : at / COLUMNS) * 2;
        int column = tile.column + c;
        next->b[i] = bf16_pair(matrix_at(m, d, column), matrix_at(m, d + 1, column));
    }
}

static __device__ inline void point_put(union point_shared *s, const struct point_next *next,
                                        bool by_depth)
{
    UNROLL
    for (int i = 0; i < ROWS * DEPTH / 8 / THREADS; i++) {
        int at = threadIdx.x + i * THREADS, r = at / (DEPTH / 8), c = at % (DEPTH / 8) * 8;
        *(uint4 *)&s->in.a[r][c] = next->a[i];
    }
    UNROLL
    for (int i = 0; i < COLUMNS * DEPTH / 2 / THREADS; i++) {
        int at = threadIdx.x + i * THREADS;
        int c = by_depth ? at / (DEPTH / 2) : at % COLUMNS;
        int d = (by_depth ? at % (DEPTH / 2) : at / COLUMNS) * 2;
        *(unsigned *)&s->in.b[c][d] = next->b[i];
    }
}

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    point_bf16(T *out, const uint16_t *from, struct matrix m, struct nn_epilogue e, size_t rows)
{
    DYNAMIC_SHARED(union point_shared, s);
    int warp = threadIdx.x / 32, top = warp / 2 * 32, left = warp % 2 * 32;
    struct fragment_d d[2][4] = {};
    struct tile tile = tile_of_block(ROWS, m.n);
    struct point_next next;
    point_fetch(&next, from, m, tile, rows, 0);
    for (int depth = 0; depth < m.k; depth += DEPTH) {
        point_put(s, &next, m.row == 1);
        __syncthreads();
        if (depth + DEPTH < m.k) point_fetch(&next, from, m, tile, rows, depth + DEPTH);
        UNROLL
        for (int k = 0; k < DEPTH; k += 16) {
            struct fragment_a a[2];
            UNROLL
            for (int i = 0; i < 2; i++)
                a[i] = load_a([&](int r) { return &s->in.a[top + 16 * i + r][k]; });
            UNROLL
            for (int j = 0; j < 4; j++) {
                struct fragment_b b =
                    load_b_columns([&](int c) { return &s->in.b[left + 8 * j + c][k]; });
                cuda_fragment_mma(&d[0][j], &a[0], &b);
                cuda_fragment_mma(&d[1][j], &a[1], &b);
            }
        }
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < 2; i++)
        UNROLL
    for (int j = 0; j < 4; j++)
        store_d(s->sums + (top + 16 * i) * SUM_PITCH, SUM_PITCH, left + 8 * j, conv_sum_at,
                &d[i][j]);
    __syncthreads();
    store_tile<T>(out, s->sums, e, tile, ROWS, rows, m.n);
}

/* ---- fp32: 4 x 4 sums a thread ---- */

template <typename T, typename F>
static __global__ void __launch_bounds__(THREADS)
    point_f32(T *out, const F *from, struct matrix m, struct nn_epilogue e, size_t rows)
{
    __shared__ float a[DEPTH_F32][ROWS_F32 + 4], b[DEPTH_F32][COLUMNS + 4];
    __shared__ __align__(16) float sums[ROWS_F32 * SUM_PITCH];
    int top = threadIdx.x / 16 * 4, left = threadIdx.x % 16 * 4;
    struct tile tile = tile_of_block(ROWS_F32, m.n);
    float d[4][4] = {};
    for (int depth = 0; depth < m.k; depth += DEPTH_F32) {
        for (int at = threadIdx.x; at < ROWS_F32 * DEPTH_F32; at += THREADS) {
            int r = at / DEPTH_F32, k = at % DEPTH_F32;
            bool inside = tile.row + r < rows && depth + k < m.k;
            a[k][r] = inside ? cuda_element_element(from, (tile.row + r) * m.k + depth + k) : 0;
            int c = m.row == 1 ? at / DEPTH_F32 : at % COLUMNS;
            int i = m.row == 1 ? at % DEPTH_F32 : at / COLUMNS;
            b[i][c] = matrix_at(m, depth + i, tile.column + c);
        }
        __syncthreads();
        multiply_f32(d, a, b, top, left);
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < 4; i++)
        UNROLL
    for (int j = 0; j < 4; j++)
        sums[(top + i) * SUM_PITCH + conv_sum_at(left + j)] = d[i][j];
    __syncthreads();
    store_tile<T>(out, sums, e, tile, ROWS_F32, rows, m.n);
}

void conv_point(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    size_t rows = (size_t)s->n * s->h * s->w;
    struct matrix m = {p->weights, s->cin, s->cout, 1, s->cin};
    if (p->adjoint) m = {p->weights, s->cout, s->cin, s->cin, 1};
    enum nn_type from = p->adjoint ? s->out_type : s->in_type;
    enum nn_type to = p->adjoint ? s->in_type : s->out_type;
    const struct cuda_device *d = p->device;
    bool tensor = conv_on_tensor_cores(from, d->capability);
    unsigned grid =
        cuda_blocks((size_t)m.n, COLUMNS) * cuda_blocks(rows, (unsigned)(tensor ? ROWS : ROWS_F32));
    if (tensor)
        WITH_TYPE(to, T,
                  LAUNCH((point_bf16<T>), grid, THREADS, sizeof(union point_shared), d->stream,
                         (T *)p->to, (const uint16_t *)p->from, m, p->epilogue, rows));
    else
        WITH_TYPE(to, T,
                  WITH_TYPE(from, F,
                            LAUNCH((point_f32<T, F>), grid, THREADS, 0, d->stream, (T *)p->to,
                                   (const F *)p->from, m, p->epilogue, rows)));
}
