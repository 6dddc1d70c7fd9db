/* 1x1 convolutions: matrix products with few columns and very many rows. */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/nn/conv_kernels.h"

/* 6 rows x COLS vectors of sums, COLS columns and 1 broadcast in registers */
enum { COLS = CONV_GEMM_COLS, ROWS = 6, TALL = 12, PANEL = COLS * VF, BLOCK_BYTES = 128 * 1024 };

/* For each row r and column j of the sums c<r><j>, of which there are `cols` columns. */
#define COLUMN(X, j) X(0, j) X(1, j) X(2, j) X(3, j) X(4, j) X(5, j)
#define EACH_SUM(X)                                                                                \
    COLUMN(X, 0)                                                                                   \
    if (cols > 1) {                                                                                \
        COLUMN(X, 1)                                                                               \
    }                                                                                              \
    if (cols > 2) {                                                                                \
        COLUMN(X, 2)                                                                               \
    }                                                                                              \
    if (cols > 3) {                                                                                \
        COLUMN(X, 3)                                                                               \
    }
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* Where a tile of sums goes. */
struct target {
    stored *out;
    float *aside;      /* unless NULL: here instead, as they are */
    size_t at, stride; /* of its first element there, and from row to row */
    int column;        /* its first channel */
};

INLINE void conv_gemm_tile(int cols, int k, const stored *a, ptrdiff_t stride, const float *b,
                           const struct target *t, const struct nn_epilogue *e)
{
    const stored *a3 = a + 3 * stride, *residual = e->residual;
#define AT(r, j) (t->at + r * t->stride + j * VF)
#define ASK(r, j) __builtin_prefetch(residual + AT(r, j));
    if (residual) { /* its rows lie apart: they come while the products are summed */
        EACH_SUM(ASK)
    }
#define ZERO(r) vf c##r##0 = vf_set(0), c##r##1 = c##r##0, c##r##2 = c##r##0, c##r##3 = c##r##0;
    EACH_ROW(ZERO)
    for (int i = 0; i < k; i += DEPTH) {
        vf b0 = vf_load(b), b1 = b0, b2 = b0, b3 = b0;
        if (cols > 1) b1 = vf_load(b + VF);
        if (cols > 2) b2 = vf_load(b + 2 * VF);
        if (cols > 3) b3 = vf_load(b + 3 * VF);
#define STEP(r)                                                                                    \
    {                                                                                              \
        vf x = vs_each((r < 3 ? a : a3) + (r % 3) * stride + i);                                   \
        c##r##0 = vf_product(x, b0, c##r##0);                                                      \
        if (cols > 1) c##r##1 = vf_product(x, b1, c##r##1);                                        \
        if (cols > 2) c##r##2 = vf_product(x, b2, c##r##2);                                        \
        if (cols > 3) c##r##3 = vf_product(x, b3, c##r##3);                                        \
    }
        EACH_ROW(STEP)
        b += PANEL;
    }
#define KEEP(r, j) vf_store(t->aside + AT(r, j), c##r##j);
    if (t->aside) {
        EACH_SUM(KEEP)
        return;
    }
    /* The epilogue part by part, so that each is asked for once a tile and not once a vector. */
#define ADD_BIAS(r, j) c##r##j += vf_load(e->bias + t->column + j * VF);
#define ADD_RESIDUAL(r, j) c##r##j += vs_load(residual + AT(r, j));
#define MASK_OUT(r, j) vf_mask_store(e->mask_out, AT(r, j), c##r##j);
#define LRELU(r, j) c##r##j = vf_lrelu(c##r##j, slope);
#define MASK_IN(r, j) c##r##j = vf_mask_mul(e->mask_in, AT(r, j), c##r##j, mask_slope);
#define STORE(r, j) vs_store(t->out + AT(r, j), c##r##j);
    if (e->bias) {
        EACH_SUM(ADD_BIAS)
    }
    if (residual) {
        EACH_SUM(ADD_RESIDUAL)
    }
    if (e->mask_out) {
        EACH_SUM(MASK_OUT)
    }
    if (e->slope != 1) {
        const vf slope = vf_set(e->slope);
        EACH_SUM(LRELU)
    }
    if (e->mask_in) {
        const vf mask_slope = vf_set(e->mask_slope);
        EACH_SUM(MASK_IN)
    }
    EACH_SUM(STORE)
}

static void tile_any(int cols, int k, const stored *a, ptrdiff_t stride, const float *b,
                     const struct target *t, const struct nn_epilogue *e)
{
    if (cols == 1)
        conv_gemm_tile(1, k, a, stride, b, t, e);
    else if (cols == 2)
        conv_gemm_tile(2, k, a, stride, b, t, e);
    else if (cols == 3 && COLS > 2)
        conv_gemm_tile(3, k, a, stride, b, t, e);
    else if (COLS > 2)
        conv_gemm_tile(4, k, a, stride, b, t, e);
}

static int is_plain(const struct nn_epilogue *e)
{
    return !e->bias && !e->residual && !e->mask_out && e->slope == 1 && !e->mask_in;
}

/* Up to one vector of columns: twice the rows, as six sums would wait for one another. Less than a
 * vector (colours) has no epilogue. */
static void tile_tall(int columns, int k, const stored *a, ptrdiff_t stride, const float *b,
                      const struct target *t, const struct nn_epilogue *e)
{
    const stored *base[4] = {a, a + 3 * stride, a + 6 * stride, a + 9 * stride};
#define EACH_TALL(X) EACH_ROW(X) X(6) X(7) X(8) X(9) X(10) X(11)
#define ZERO1(r) vf c##r = vf_set(0);
    EACH_TALL(ZERO1)
    for (int i = 0; i < k; i += DEPTH, b += PANEL) {
        vf weights = vf_load(b);
#define STEP1(r) c##r = vf_product(vs_each(base[r / 3] + (r % 3) * stride + i), weights, c##r);
        EACH_TALL(STEP1)
    }
#define SOME(r) vs_store_some(t->out + t->at + r * t->stride, c##r, columns);
#define WHOLE(r) vs_store(t->out + t->at + r * t->stride, c##r);
#define FINISH(r) epilogue_store(t->out, t->at + r * t->stride, t->column, c##r, e);
    if (columns < VF) {
        EACH_TALL(SOME)
    } else if (is_plain(e)) {
        EACH_TALL(WHOLE)
    } else {
        EACH_TALL(FINISH)
    }
}

/* A tile at the edge: its sums are computed aside, whole vectors of them. */
static void conv_gemm_tile_edge(int rows, int columns, int k, const stored *a, const float *b,
                                const struct target *t, const struct nn_epilogue *e)
{
    static const struct nn_epilogue plain = {.slope = 1};
    float sums[ROWS * PANEL] __attribute__((aligned(64)));
    int cols = (columns + VF - 1) / VF;
    for (int r = 0; r < rows; r++) {
        /* a short tile has stride 0: six times the same row */
        struct target aside = {NULL, sums, (size_t)(r * PANEL), rows == ROWS ? PANEL : 0, 0};
        if (rows < ROWS || r == 0)
            tile_any(cols, k, a + (ptrdiff_t)r * k, rows == ROWS ? k : 0, b, &aside, &plain);
        for (int c = 0; c < columns; c++)
            epilogue_store_one(t->out, t->at + (size_t)r * t->stride + (size_t)c, t->column + c,
                               sums[r * PANEL + c], e);
    }
}

void ISA_NAME(conv_gemm_pack)(void *packed, const float *b, int k, int n, ptrdiff_t row,
                              ptrdiff_t column, int first, int last)
{
    stored *to = (stored *)packed + (size_t)first * (size_t)(PANEL * k);
    for (int c = first * PANEL; c < last * PANEL; c += PANEL)
        for (int i = 0; i < k; i += DEPTH)
            for (int j = 0; j < PANEL; j++)
                for (int d = 0; d < DEPTH; d++)
                    *to++ = stored_round(c + j < n ? b[(i + d) * row + (c + j) * column] : 0);
}

void ISA_NAME(conv_gemm)(void *out, const void *a, const void *packed, size_t first, size_t last,
                         int n, int k, const struct nn_epilogue *epilogue)
{
    /* A block of rows that stays in the second-level cache while the panels pass over it. */
    size_t block = BLOCK_BYTES / sizeof(stored) / (size_t)(k > n ? k : n) / ROWS * ROWS;
    if (block < ROWS) block = ROWS;
    for (size_t begin = first; begin < last; begin += block) {
        size_t end = begin + block < last ? begin + block : last;
        for (int c = 0; c < n; c += PANEL) {
            const float *b = (const float *)packed + (size_t)c * (size_t)(k / DEPTH);
            int columns = n - c < PANEL ? n - c : PANEL;
            int tall = columns == VF || (columns < VF && is_plain(epilogue));
            for (size_t r = begin, rows = 0; r < end; r += rows) {
                struct target t = {out, NULL, r * (size_t)n + (size_t)c, (size_t)n, c};
                const stored *from = (const stored *)a + r * (size_t)k;
                rows = end - r < ROWS ? end - r : tall && end - r >= TALL ? TALL : ROWS;
                if (rows == TALL)
                    tile_tall(columns, k, from, k, b, &t, epilogue);
                else if (rows == ROWS && columns % VF == 0)
                    tile_any(columns / VF, k, from, k, b, &t, epilogue);
                else
                    conv_gemm_tile_edge((int)rows, columns, k, from, b, &t, epilogue);
            }
        }
    }
}
