/* 1x1 convolutions: to[rows][n] = epilogue(from[rows][k] weights[k][n]). Weights lie as
 * [cout][cin] in fp32; where the product is bf16 they are rounded once a call, into the workspace.
 */
#include "cuda/fragment.h"
#include "cuda/nn/conv_cuda.h"

enum {
    ROWS = 128,
    COLUMNS = 64, /* of a tile at most */
    DEPTH = 32,
    THREADS = 256,
    PITCH = DEPTH + 8, /* bf16: rows of ldmatrix lie in different banks */
    ROWS_F32 = 64,
    DEPTH_F32 = 16,
};

/* Blocks that share rows follow each other, so that these come from the cache. */
struct tile {
    size_t row;
    int column;
};

static __device__ inline struct tile tile_of_block(int rows, int columns, int n)
{
    int across = (n + columns - 1) / columns;
    return {(size_t)(blockIdx.x / across) * rows, (int)(blockIdx.x % across) * columns};
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

/* Of fp32 sums of a tile: without bank conflicts in store_d. */
template <int WIDTH> struct point_pitch {
    enum { SUMS = WIDTH + 8 };
};

/* The tile's sums, row by row, through the epilogue: a thread stores eight columns. */
template <int WIDTH, typename T>
static __device__ inline void store_tile(T *out, const float *sums, const struct nn_epilogue &e,
                                         struct tile tile, int count, size_t rows, int n)
{
    constexpr int LANES = WIDTH / 8;
    for (int r = threadIdx.x / LANES; r < count && tile.row + r < rows; r += THREADS / LANES)
        conv_store_row<T>(e, out, sums + r * point_pitch<WIDTH>::SUMS, tile.row + r, tile.column,
                          WIDTH, n, threadIdx.x % LANES, LANES);
}

/* ---- bf16 on tensor cores: 8 warps ---- */

/* The weights as the product takes them: packed[column][depth], zeros outside. */
struct point_packed {
    int columns, depths; /* multiples of COLUMNS and DEPTH */
};

static struct point_packed point_packed_of(int k, int n)
{
    return {(n + COLUMNS - 1) / COLUMNS * COLUMNS, (k + DEPTH - 1) / DEPTH * DEPTH};
}

/* A thread has eight depths of a column. Neighbours in memory go to neighbouring threads. */
static __global__ void point_pack(uint16_t *packed, struct matrix m, struct point_packed p)
{
    int at = blockIdx.x * blockDim.x + threadIdx.x, parts = p.depths / 8;
    if (at >= p.columns * parts) return;
    bool by_depth = m.row == 1;
    int c = by_depth ? at / parts : at % p.columns;
    int d = (by_depth ? at % parts : at / p.columns) * 8;
    unsigned words[4];
    UNROLL
    for (int i = 0; i < 4; i++)
        words[i] = bf16_pair(matrix_at(m, d + 2 * i, c), matrix_at(m, d + 2 * i + 1, c));
    *(uint4 *)(packed + (size_t)c * p.depths + d) =
        make_uint4(words[0], words[1], words[2], words[3]);
}

/* Few columns have narrow tiles, so that no product is wasted; sums are added in one order. */
template <int WIDTH> struct point_tile {
    enum {
        ACROSS = WIDTH > 16 ? 2 : 1,                /* warps beside each other */
        SETS = ROWS / 16 / (THREADS / 32 / ACROSS), /* of 16 rows, of a warp */
        PARTS = WIDTH / 8 / ACROSS,                 /* of 8 columns, of a warp */
    };
    union {
        struct {
            uint16_t a[ROWS][PITCH], b[WIDTH][PITCH]; /* b[column][depth] */
        } in;
        float sums[ROWS * point_pitch<WIDTH>::SUMS];
    };
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
    uint4 a[ROWS * DEPTH / 8 / THREADS], b;
};

/* weights: those of the tile's columns */
template <int WIDTH>
static __device__ inline void point_fetch(struct point_next *next, const uint16_t *from,
                                          const uint16_t *weights, int depths, size_t row,
                                          size_t rows, int depth, int k)
{
    int at = threadIdx.x, r = at / (DEPTH / 8), c = at % (DEPTH / 8) * 8;
    UNROLL
    for (int i = 0; i < ROWS * DEPTH / 8 / THREADS; i++)
        next->a[i] =
            cuda_conv_point_load8(from, row + r + i * (THREADS / (DEPTH / 8)), rows, depth + c, k);
    if (r < WIDTH) next->b = *(const uint4 *)(weights + (size_t)r * depths + depth + c);
}

template <int WIDTH>
static __device__ inline void point_put(struct point_tile<WIDTH> *s, const struct point_next *next)
{
    int at = threadIdx.x, r = at / (DEPTH / 8), c = at % (DEPTH / 8) * 8;
    UNROLL
    for (int i = 0; i < ROWS * DEPTH / 8 / THREADS; i++)
        *(uint4 *)&s->in.a[r + i * (THREADS / (DEPTH / 8))][c] = next->a[i];
    if (r < WIDTH) *(uint4 *)&s->in.b[r][c] = next->b;
}

template <int WIDTH, typename T>
static __global__ void __launch_bounds__(THREADS, WIDTH > 32 ? 3 : 4)
    point_bf16(T *out, const uint16_t *from, const uint16_t *packed, int depths, int k, int n,
               struct nn_epilogue e, size_t rows)
{
    typedef struct point_tile<WIDTH> shape;
    DYNAMIC_SHARED(shape, s);
    int warp = threadIdx.x / 32, top = warp / shape::ACROSS * shape::SETS * 16;
    int left = warp % shape::ACROSS * shape::PARTS * 8;
    struct fragment_d d[shape::SETS][shape::PARTS] = {};
    struct tile tile = tile_of_block(ROWS, WIDTH, n);
    struct point_next next;
    packed += (size_t)tile.column * depths;
    point_fetch<WIDTH>(&next, from, packed, depths, tile.row, rows, 0, k);
    for (int depth = 0; depth < k; depth += DEPTH) {
        point_put(s, &next);
        __syncthreads();
        if (depth + DEPTH < k)
            point_fetch<WIDTH>(&next, from, packed, depths, tile.row, rows, depth + DEPTH, k);
        UNROLL
        for (int i = 0; i < DEPTH; i += 16) {
            struct fragment_a a[shape::SETS];
            UNROLL
            for (int set = 0; set < shape::SETS; set++)
                a[set] = load_a([&](int r) { return &s->in.a[top + 16 * set + r][i]; });
            UNROLL
            for (int j = 0; j < shape::PARTS; j++) {
                struct fragment_b b =
                    load_b_columns([&](int c) { return &s->in.b[left + 8 * j + c][i]; });
                UNROLL
                for (int set = 0; set < shape::SETS; set++)
                    cuda_fragment_mma(&d[set][j], &a[set], &b);
            }
        }
        __syncthreads();
    }
    UNROLL
    for (int set = 0; set < shape::SETS; set++)
        UNROLL
    for (int j = 0; j < shape::PARTS; j++)
        store_d(s->sums + (top + 16 * set) * point_pitch<WIDTH>::SUMS, point_pitch<WIDTH>::SUMS,
                left + 8 * j, conv_sum_at, &d[set][j]);
    __syncthreads();
    store_tile<WIDTH, T>(out, s->sums, e, tile, ROWS, rows, n);
}

template <int WIDTH>
static void launch_point(const struct conv_pass *p, const struct matrix &m, enum nn_type to,
                         size_t rows)
{
    unsigned grid = cuda_blocks((size_t)m.n, WIDTH) * cuda_blocks(rows, ROWS);
    WITH_TYPE(to, T,
              LAUNCH((point_bf16<WIDTH, T>), grid, THREADS, sizeof(struct point_tile<WIDTH>),
                     p->device->stream, (T *)p->to, (const uint16_t *)p->from,
                     (const uint16_t *)p->workspace, point_packed_of(m.k, m.n).depths, m.k, m.n,
                     p->epilogue, rows));
}

static void conv_point_bf16(const struct conv_pass *p, const struct matrix &m, enum nn_type to,
                            size_t rows)
{
    struct point_packed packed = point_packed_of(m.k, m.n);
    LAUNCH(point_pack, cuda_blocks((size_t)packed.columns * (packed.depths / 8), 128), 128, 0,
           p->device->stream, (uint16_t *)p->workspace, m, packed);
    if (m.n <= 16)
        launch_point<16>(p, m, to, rows);
    else if (m.n <= 32)
        launch_point<32>(p, m, to, rows);
    else
        launch_point<COLUMNS>(p, m, to, rows);
}

/* ---- fp32: 4 x 4 sums a thread ---- */

template <typename T, typename F>
static __global__ void __launch_bounds__(THREADS)
    point_f32(T *out, const F *from, struct matrix m, struct nn_epilogue e, size_t rows)
{
    constexpr int SUM_PITCH = point_pitch<COLUMNS>::SUMS;
    __shared__ float a[DEPTH_F32][ROWS_F32 + 4], b[DEPTH_F32][COLUMNS + 4];
    __shared__ __align__(16) float sums[ROWS_F32 * SUM_PITCH];
    int top = threadIdx.x / 16 * 4, left = threadIdx.x % 16 * 4;
    struct tile tile = tile_of_block(ROWS_F32, COLUMNS, m.n);
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
    store_tile<COLUMNS, T>(out, sums, e, tile, ROWS_F32, rows, m.n);
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
    if (conv_on_tensor_cores(from, d->capability)) {
        conv_point_bf16(p, m, to, rows);
        return;
    }
    unsigned grid = cuda_blocks((size_t)m.n, COLUMNS) * cuda_blocks(rows, ROWS_F32);
    WITH_TYPE(to, T,
              WITH_TYPE(from, F,
                        LAUNCH((point_f32<T, F>), grid, THREADS, 0, d->stream, (T *)p->to,
                               (const F *)p->from, m, p->epilogue, rows)));
}

size_t conv_point_workspace(const struct nn_conv *s)
{
    struct point_packed forward = point_packed_of(s->cin, s->cout);
    struct point_packed adjoint = point_packed_of(s->cout, s->cin);
    size_t one = (size_t)forward.columns * forward.depths;
    size_t other = (size_t)adjoint.columns * adjoint.depths;
    return (one > other ? one : other) * sizeof(uint16_t);
}
