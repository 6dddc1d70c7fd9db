/* Products of rows with a matrix: see struct token_linear in device/token_ops.h. Sums of fp32, of
 * LINEAR_TERMS terms after one another in the order of k, added up in order, so that a tile's size
 * changes no bit. */
#include "cuda/token/column_sums.h"
#include "cuda/token/matrix_element.h"
#include "cuda/token/token_cuda.h"

enum {
    LINEAR_THREADS = 256, /* 16 x 16, each with TILE x TILE sums */
    LINEAR_DEPTH = 16,
    LINEAR_TERMS = 256,
    LINEAR_PAD = 4,
    LINEAR_MANY_TILES = 64, /* of so many larger ones a GPU has enough */
    LINEAR_FEW_TILES =
        256,            /* of 64 x 64, of a weight gradient: fewer are cut into pieces of rows */
    LINEAR_PIECE = 256, /* rows of a piece at least */
    LINEAR_PIECES = 8,  /* of a chunk at most */
    LINEAR_WAVE_BYTES = 8 << 20 /* of pieces at a time, if a chunk has no more */
};

/* c[m][n] = sum over k of a[m, k] b[k, n]; steps between neighbours in elements. */
struct linear_product {
    int m, n, k;
    const float *a;
    size_t a_m, a_k;
    const void *b;
    const float *b_scales; /* [n] or NULL: that b's columns are multiplied by */
    size_t b_k, b_n;
    float *c;
    size_t c_m;
    struct token_epilogue epilogue;
    int chunk; /* of k, each of which is added to c by itself; 0: all of k at once */
};

template <int TILE> struct linear_shared {
    float a[LINEAR_DEPTH][16 * TILE + LINEAR_PAD], b[LINEAR_DEPTH][16 * TILE + LINEAR_PAD];
};

/* Terms k .. k + LINEAR_DEPTH - 1 of one side, `lines` of them from `first` on; zeros outside.
 * Neighbours in memory go to neighbouring threads. */
template <int TILE, typename T>
static __device__ inline void linear_bring(float (*to)[16 * TILE + LINEAR_PAD], const T *from,
                                           size_t line_step, size_t k_step, int first, int lines,
                                           int k, int end)
{
    for (int at = threadIdx.x; at < 16 * TILE * LINEAR_DEPTH; at += LINEAR_THREADS) {
        int line = k_step == 1 ? at / LINEAR_DEPTH : at % (16 * TILE);
        int depth = k_step == 1 ? at % LINEAR_DEPTH : at / (16 * TILE);
        bool inside = first + line < lines && k + depth < end;
        to[depth][line] = inside ? token_element(from, (size_t)(first + line) * line_step +
                                                           (size_t)(k + depth) * k_step)
                                 : 0;
    }
}

/* d += the sum of terms from .. to - 1 of k. */
template <int TILE, typename T, typename A>
static __device__ inline void linear_sum(float (&d)[TILE][TILE], struct linear_shared<TILE> *s,
                                         const struct linear_product &p, int row, int column,
                                         int from, int to)
{
    int top = threadIdx.x / 16 * TILE, left = threadIdx.x % 16 * TILE;
    float sum[TILE][TILE] = {};
    for (int k = from; k < to; k += LINEAR_DEPTH) {
        linear_bring<TILE>(s->a, (const A *)p.a, p.a_m, p.a_k, row, p.m, k, to);
        linear_bring<TILE>(s->b, (const T *)p.b, p.b_n, p.b_k, column, p.n, k, to);
        __syncthreads();
#pragma unroll 4
        for (int depth = 0; depth < LINEAR_DEPTH; depth++)
            UNROLL
        for (int i = 0; i < TILE; i++)
            UNROLL
        for (int j = 0; j < TILE; j++)
            sum[i][j] = fmaf(s->a[depth][top + i], s->b[depth][left + j], sum[i][j]);
        __syncthreads();
    }
    UNROLL
    for (int i = 0; i < TILE; i++)
        UNROLL
    for (int j = 0; j < TILE; j++)
        d[i][j] += sum[i][j];
}

static __device__ inline float linear_finish(const struct token_epilogue &e, float sum, int column,
                                             float before)
{
    if (e.bias) sum += e.bias[column];
    if (e.activation == TOKEN_SILU) sum = pointwise_silu_f32(sum);
    if (e.activation == TOKEN_GELU_TANH) sum = pointwise_gelu_tanh_f32(sum);
    if (e.activation == TOKEN_GELU_QUICK) sum = pointwise_gelu_quick_f32(sum);
    return e.add ? before + sum : sum;
}

/* A tile of c; with pieces > 0 of one piece of k: c[piece][m][n]. A: how a's floats are read. */
template <int TILE, typename T, typename A>
static __global__ void __launch_bounds__(LINEAR_THREADS, 1)
    linear_kernel(struct linear_product p, int piece, int pieces)
{
    DYNAMIC_SHARED(struct linear_shared<TILE>, s);
    int across = (p.n + 16 * TILE - 1) / (16 * TILE);
    int row = blockIdx.x / across * 16 * TILE, column = blockIdx.x % across * 16 * TILE;
    int top = row + threadIdx.x / 16 * TILE, left = column + threadIdx.x % 16 * TILE;
    int chunk = p.chunk ? p.chunk : p.k, first = 0, end = p.k;
    if (pieces > 0) { /* a chunk's pieces: the last may have no rows */
        first = blockIdx.y / pieces * p.chunk + blockIdx.y % pieces * piece;
        end = min(min(first + piece, (int)(blockIdx.y / pieces + 1) * p.chunk), p.k);
        chunk = piece;
        p.c += (size_t)blockIdx.y * p.m * p.n;
    }
    int k = first;
    do {
        float d[TILE][TILE] = {};
        for (int from = k; from < min(k + chunk, end); from += LINEAR_TERMS)
            linear_sum<TILE, T, A>(d, s, p, row, column, from,
                                   min(from + LINEAR_TERMS, min(k + chunk, end)));
        UNROLL
        for (int i = 0; i < TILE; i++)
            UNROLL
        for (int j = 0; j < TILE; j++)
            if (top + i < p.m && left + j < p.n) {
                float *c = p.c + (size_t)(top + i) * p.c_m + left + j;
                if (p.b_scales) d[i][j] *= p.b_scales[left + j];
                *c = linear_finish(p.epilogue, d[i][j], left + j, p.epilogue.add ? *c : 0);
            }
        k += chunk;
    } while (k < end);
}

template <int TILE> static int64_t linear_tiles(const struct linear_product *p)
{
    int64_t side = 16 * TILE;
    return (p->m + side - 1) / side * ((p->n + side - 1) / side);
}

template <int TILE, typename T, typename A = float>
static void linear_launch(cudaStream_t stream, const struct linear_product *p, int piece,
                          int pieces, int all_pieces)
{
    dim3 grid((unsigned)linear_tiles<TILE>(p), (unsigned)all_pieces);
    LAUNCH((linear_kernel<TILE, T, A>), grid, LINEAR_THREADS, sizeof(struct linear_shared<TILE>),
           stream, *p, piece, pieces);
}

/* Tiles by what is there to do: the bits are the same. */
template <typename T, typename A = float>
static void linear_compute(cudaStream_t stream, const struct linear_product *p)
{
    if (linear_tiles<8>(p) >= LINEAR_MANY_TILES)
        linear_launch<8, T, A>(stream, p, 0, 0, 1);
    else
        linear_launch<4, T, A>(stream, p, 0, 0, 1);
}

static void linear_by_type(struct device *device, enum token_type type,
                           const struct linear_product *p)
{
    cudaStream_t stream = cuda_stream(device);
    if (type == TOKEN_F32)
        linear_compute<float>(stream, p);
    else if (type == TOKEN_BF16)
        linear_compute<struct token_bf16>(stream, p);
    else if (type == TOKEN_I8)
        linear_compute<int8_t>(stream, p);
    else
        linear_compute<struct token_f16>(stream, p);
}

static int cuda_linear_forward(struct device *device, const struct token_linear *l, float *y,
                               const float *x, const struct token_epilogue *epilogue,
                               void *workspace)
{
    (void)workspace;
    TRY(token_check_linear(l));
    struct linear_product p = {};
    p.m = l->rows, p.n = l->out, p.k = l->in;
    p.a = x, p.a_m = token_stride(l->x_stride, l->in), p.a_k = 1;
    p.b = l->weight, p.b_k = 1, p.b_n = (size_t)l->in;
    if (l->weight_type == TOKEN_I8) p.b_scales = l->weight_scales;
    p.c = y, p.c_m = token_stride(l->y_stride, l->out);
    if (epilogue) p.epilogue = *epilogue;
    if (l->bf16)
        linear_compute<struct token_bf16, struct token_rounded>(cuda_stream(device), &p);
    else
        linear_by_type(device, l->weight_type, &p);
    return cuda_take_error();
}

static int cuda_linear_dgrad(struct device *device, const struct token_linear *l, float *dx,
                             const float *dy, bool add, void *workspace)
{
    (void)workspace;
    TRY(token_check_linear_dgrad(l));
    struct linear_product p = {};
    p.m = l->rows, p.n = l->in, p.k = l->out;
    p.a = dy, p.a_m = token_stride(l->y_stride, l->out), p.a_k = 1;
    p.b = l->weight, p.b_k = (size_t)l->in, p.b_n = 1;
    p.c = dx, p.c_m = token_stride(l->x_stride, l->in);
    p.epilogue.add = add;
    linear_by_type(device, l->weight_type, &p);
    return cuda_take_error();
}

/* ---- the weight gradient: chunks of rows, cut into pieces where a GPU had too few tiles ---- */

/* By the shape alone, not by `rows`. pieces 0: a tile sums all rows. */
struct linear_cut {
    int piece, pieces; /* rows; of a chunk */
    int wave;          /* chunks at a time */
};

static int linear_chunks(const struct token_linear *l)
{
    return (l->rows + l->chunk - 1) / l->chunk;
}

static bool linear_is_cut(const struct token_linear *l)
{
    struct linear_product p = {};
    p.m = l->out, p.n = l->in;
    return linear_tiles<4>(&p) < LINEAR_FEW_TILES;
}

/* Pieces that the workspace has room for: those of a chunk at least. */
static size_t linear_room(const struct token_linear *l)
{
    size_t most = LINEAR_WAVE_BYTES / sizeof(float) / ((size_t)l->in * (size_t)l->out);
    if (most > (size_t)l->rows) most = (size_t)l->rows;
    return most < LINEAR_PIECES ? (size_t)LINEAR_PIECES : most;
}

static size_t cuda_linear_workspace(const struct device *device, const struct token_linear *l)
{
    (void)device;
    if (l->chunk < 1 || !linear_is_cut(l)) return 0;
    return linear_room(l) * (size_t)l->in * (size_t)l->out * sizeof(float);
}

static struct linear_cut linear_cut_of(const struct token_linear *l)
{
    struct linear_cut cut = {0, 0, 0};
    if (!linear_is_cut(l)) return cut;
    int64_t piece = ((int64_t)l->chunk + LINEAR_PIECES - 1) / LINEAR_PIECES;
    piece = (piece + LINEAR_PIECE - 1) / LINEAR_PIECE * LINEAR_PIECE;
    cut.piece = (int)(piece < l->chunk ? piece : l->chunk);
    cut.pieces = (int)(((int64_t)l->chunk + cut.piece - 1) / cut.piece);
    size_t most = linear_room(l);
    if (most > 65535) most = 65535; /* blocks in a grid's second dimension */
    cut.wave = (int)(most / (size_t)cut.pieces);
    return cut;
}

/* dw += each chunk's sum of pieces, chunk by chunk. */
static __global__ void linear_add_pieces(float *dw, const float *sums, size_t count, int chunks,
                                         int pieces)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float total = dw[i];
    for (int chunk = 0; chunk < chunks; chunk++) {
        float sum = 0;
        for (int piece = 0; piece < pieces; piece++)
            sum += sums[((size_t)chunk * pieces + piece) * count + i];
        total += sum;
    }
    dw[i] = total;
}

/* Of a column: sum of dy. */
struct linear_bias {
    const float *dy;
    size_t stride;
    float *db;

    __device__ void column_terms(float term[1], int row, int sample, int column) const
    {
        (void)sample;
        term[0] = dy[(size_t)row * stride + column];
    }
    __device__ void column_add(int i, int sample, int column, float sum) const
    {
        (void)i, (void)sample;
        db[column] += sum;
    }
};

static int cuda_linear_wgrad(struct device *device, const struct token_linear *l, float *dw,
                             float *db, const float *x, const float *dy, void *workspace)
{
    TRY(token_check_linear_wgrad(l));
    size_t x_stride = token_stride(l->x_stride, l->in),
           y_stride = token_stride(l->y_stride, l->out);
    size_t count = (size_t)l->in * (size_t)l->out;
    struct linear_cut cut = linear_cut_of(l);
    struct linear_bias bias = {dy, y_stride, db};
    if (db)
        TRY(column_sums<1>(device, "linear_wgrad", bias, column_rows_of(l->rows, l->rows, l->chunk),
                           l->out));
    struct linear_product p = {};
    p.m = l->out, p.n = l->in, p.k = l->rows;
    p.a_m = 1, p.a_k = y_stride, p.b_k = x_stride, p.b_n = 1;
    p.a = dy, p.b = x, p.c = dw, p.c_m = (size_t)l->in, p.chunk = l->chunk;
    if (cut.pieces == 0) {
        p.epilogue.add = true;
        linear_compute<float>(cuda_stream(device), &p);
        return cuda_take_error();
    }
    for (int first = 0; first < linear_chunks(l); first += cut.wave) {
        int some = linear_chunks(l) - first < cut.wave ? linear_chunks(l) - first : cut.wave;
        size_t skip = (size_t)first * (size_t)l->chunk;
        int64_t rows = (int64_t)some * l->chunk, left = l->rows - (int64_t)skip;
        p.k = (int)(rows < left ? rows : left);
        p.a = dy + skip * y_stride, p.b = x + skip * x_stride, p.c = (float *)workspace;
        linear_launch<4, float>(cuda_stream(device), &p, cut.piece, cut.pieces, some * cut.pieces);
        LAUNCH(linear_add_pieces, cuda_blocks(count, 256), 256, 0, cuda_stream(device), dw,
               (const float *)workspace, count, some, cut.pieces);
    }
    return cuda_take_error();
}

void token_cuda_install_linear(struct token_ops *ops)
{
    ops->linear_workspace = cuda_linear_workspace;
    ops->linear_forward = cuda_linear_forward;
    ops->linear_dgrad = cuda_linear_dgrad;
    ops->linear_wgrad = cuda_linear_wgrad;
}
