/* The matrix product of one instruction set: a panel of B stays in the first-level cache while the
 * rows of A pass over it. */
#include "cpu/isa/gemm_isa.h"

/* Where a tile's sums go, and what is added to them: `from` (NULL: nothing), laid out like the
 * target, then `bias`. */
struct tile_target {
    float *to;
    const float *from, *bias;
    size_t stride;
};

/* 3 rows by one pointer and the stride, so that few registers hold addresses. */
#define TILE_ROW(r) (base[(r) / 3] + (size_t)((r) % 3) * stride)

INLINE void gemm_tile(int rows, int cols, size_t count, const float *a, size_t stride, size_t step,
                      const float *b, const struct tile_target *t)
{
    vf sum[TILE_ROWS][TILE_COLS];
    const float *base[(TILE_ROWS + 2) / 3];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        if (r % 3 == 0) base[r / 3] = a + (size_t)r * stride;
        if (t->from) __builtin_prefetch(t->from + (size_t)r * t->stride);
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sum[r][j] = vf_set(0);
    }
    for (size_t p = 0; p < count; p++, b += PANEL) {
        vf line[TILE_COLS];
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            line[j] = vf_load(b + j * VF);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            vf x = vf_set(*TILE_ROW(r));
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sum[r][j] = vf_fma(x, line[j], sum[r][j]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < (rows + 2) / 3; i++)
            base[i] += step;
    }
    if (t->from) {
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int j = 0; j < cols; j++)
                sum[r][j] = vf_load(t->from + (size_t)r * t->stride + j * VF) + sum[r][j];
    }
    if (t->bias) {
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++) {
            vf bias = vf_load(t->bias + j * VF);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++)
                sum[r][j] += bias;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            vf_store(t->to + (size_t)r * t->stride + j * VF, sum[r][j]);
}

#define TILE_CASE(rows)                                                                            \
    case rows:                                                                                     \
        if (cols == 1)                                                                             \
            gemm_tile(rows, 1, count, a, stride, step, b, t);                                      \
        else                                                                                       \
            gemm_tile(rows, 2, count, a, stride, step, b, t);                                      \
        break;

static void gemm_tile_any(size_t rows, size_t cols, size_t count, const float *a, size_t stride,
                          size_t step, const float *b, const struct tile_target *t)
{
    switch (rows) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
#if defined(ISA_avx512)
        TILE_CASE(7)
        TILE_CASE(8)
        TILE_CASE(9)
        TILE_CASE(10)
        TILE_CASE(11)
        TILE_CASE(12)
        TILE_CASE(13)
        TILE_CASE(14)
#endif
    default: break;
    }
}

INLINE vf vf_sigmoid(vf x)
{
    vf magnitude = vf_max(x, vf_set(0) - x);
    vf e = vf_exp2_negative(vf_min(magnitude * vf_set(1.44269504f), vf_set(120)));
    vf up = vf_set(1) / (vf_set(1) + e);
    return vf_select(vf_lt(x, vf_set(0)), e * up, up);
}

INLINE vf gemm_activate(enum gemm_activation activation, vf x)
{
    if (activation == GEMM_SILU) return x * vf_sigmoid(x);
    /* gelu_tanh: x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + .044715 x^3) */
    vf cube = x * x * x;
    return x * vf_sigmoid(vf_set(1.5957691216f) * vf_fma(vf_set(0.044715f), cube, x));
}

/* The end of a row's sums that lie aside: whole vectors of them, some of which are stored. */
INLINE void gemm_store_row(enum gemm_activation activation, float *to, const float *sums,
                           size_t columns)
{
    for (size_t j = 0; j < columns; j += VF) {
        vf v = vf_load(sums + j);
        if (activation != GEMM_PLAIN) v = gemm_activate(activation, v);
        if (columns - j >= VF)
            vf_store(to + j, v);
        else
            vf_store_some(to + j, v, (int)(columns - j));
    }
}

/* A tile that is not stored as it is summed: its columns are no whole vectors, or an activation
 * comes last. */
static void gemm_tile_aside(size_t rows, size_t columns, size_t count, const float *a,
                            size_t stride, size_t step, const float *b, const struct tile_target *t,
                            enum gemm_activation activation)
{
    float sums[TILE_ROWS * PANEL] __attribute__((aligned(64))), bias[PANEL];
    struct tile_target aside = {sums, NULL, NULL, PANEL};
    if (t->from) {
        memset(sums, 0, sizeof sums);
        for (size_t r = 0; r < rows; r++)
            memcpy(sums + r * PANEL, t->from + r * t->stride, columns * sizeof *sums);
        aside.from = sums;
    }
    if (t->bias) {
        memset(bias, 0, sizeof bias);
        memcpy(bias, t->bias, columns * sizeof *bias);
        aside.bias = bias;
    }
    gemm_tile_any(rows, (columns + VF - 1) / VF, count, a, stride, step, b, &aside);
    for (size_t r = 0; r < rows; r++) {
        float *to = t->to + r * t->stride;
        if (activation == GEMM_SILU)
            gemm_store_row(GEMM_SILU, to, sums + r * PANEL, columns);
        else if (activation == GEMM_GELU_TANH)
            gemm_store_row(GEMM_GELU_TANH, to, sums + r * PANEL, columns);
        else
            gemm_store_row(GEMM_PLAIN, to, sums + r * PANEL, columns);
    }
}

/* Rows of A that stay in the second-level cache while the panels pass over them. */
enum { BLOCK_ROWS = 16 * TILE_ROWS };

/* Rows of tiles: as equal as can be, as short ones wait for their own sums. */
static size_t gemm_tile_rows(size_t left)
{
    size_t tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + tiles - 1) / tiles;
}

/* A block of rows and of the depth: `count` from `depth` on, in pieces of `piece`, each of which is
 * a sum from zero. */
struct gemm_block {
    size_t row, rows, depth, count, piece;
    const float *strips; /* of A, packed; NULL: as it lies */
};

static void gemm_panel(const struct gemm *g, const struct gemm_block *block, const float *b,
                       size_t column, size_t columns)
{
    for (size_t r = 0, rows; r < block->rows; r += rows) {
        rows = gemm_tile_rows(block->rows - r);
        const float *a = block->strips
                             ? block->strips + r * GEMM_DEPTH
                             : g->a + (block->row + r) * g->a_row + block->depth * g->a_depth;
        size_t stride = block->strips ? 1 : g->a_row, step = block->strips ? rows : g->a_depth;
        float *to = g->c + (block->row + r) * g->c_row + column;
        for (size_t p = 0, now; p < block->count; p += now) {
            now = block->count - p < block->piece ? block->count - p : block->piece;
            bool is_first = block->depth + p == 0, is_last = block->depth + p + now == g->k;
            enum gemm_activation activation = is_last ? g->activation : GEMM_PLAIN;
            struct tile_target t = {to, is_first && !g->add ? NULL : to,
                                    is_last && g->bias ? g->bias + column : NULL, g->c_row};
            if (columns % VF || activation != GEMM_PLAIN)
                gemm_tile_aside(rows, columns, now, a + p * step, stride, step, b + p * PANEL, &t,
                                activation);
            else
                gemm_tile_any(rows, columns / VF, now, a + p * step, stride, step, b + p * PANEL,
                              &t);
        }
    }
}

/* How much of the depth is packed at once from `depth` on: as many whole chunks as there is room
 * for, or a part of one. */
static size_t gemm_depth(const struct gemm *g, size_t depth)
{
    size_t chunk = g->chunk ? g->chunk : g->k;
    size_t most = chunk < GEMM_DEPTH ? GEMM_DEPTH / chunk * chunk : chunk - depth % chunk;
    if (most > GEMM_DEPTH) most = GEMM_DEPTH;
    return most < g->k - depth ? most : g->k - depth;
}

static void ISA_NAME(gemm_part)(const struct gemm *g, const struct gemm_part *part,
                                float *workspace)
{
    float *panels = workspace, *strips = workspace + (size_t)GEMM_DEPTH * GEMM_COLUMNS;
    bool has_strips = g->a_row == 1 && g->a_depth != 1;
    struct gemm_block block = {.piece = g->chunk && g->chunk < GEMM_DEPTH ? g->chunk : GEMM_DEPTH,
                               .strips = has_strips ? strips : NULL};
    for (; block.depth < g->k; block.depth += block.count) {
        block.count = gemm_depth(g, block.depth);
        for (size_t c = 0; c < part->columns; c += PANEL)
            ISA_NAME(gemm_pack_b)
        (panels + c * GEMM_DEPTH, g, block.depth, block.count, part->column + c);
        for (size_t r = 0; r < part->rows; r += block.rows) {
            block.row = part->row + r;
            block.rows = part->rows - r < BLOCK_ROWS ? part->rows - r : BLOCK_ROWS;
            for (size_t i = 0, now; has_strips && i < block.rows; i += now) {
                now = gemm_tile_rows(block.rows - i);
                ISA_NAME(gemm_pack_a)
                (strips + i * GEMM_DEPTH, g, block.depth, block.count, block.row + i, now);
            }
            for (size_t c = 0; c < part->columns; c += PANEL)
                gemm_panel(g, &block, panels + c * GEMM_DEPTH, part->column + c,
                           part->columns - c < PANEL ? part->columns - c : PANEL);
        }
    }
}

static void ISA_NAME(gemm_add_rows)(float *to, const float *from, size_t rows, size_t stride,
                                    size_t count)
{
    for (size_t j = 0; j < count; j += VF) {
        int some = count - j < VF ? (int)(count - j) : VF;
        vf sum = vf_set(0);
        for (size_t i = 0; i < rows; i++)
            sum += vf_load_some(from + i * stride + j, some);
        vf_store_some(to + j, vf_load_some(to + j, some) + sum, some);
    }
}

const struct gemm_kernels ISA_NAME(gemm_kernels) = {
    .rows = TILE_ROWS,
    .columns = PANEL,
    .part = ISA_NAME(gemm_part),
    .add_rows = ISA_NAME(gemm_add_rows),
};
