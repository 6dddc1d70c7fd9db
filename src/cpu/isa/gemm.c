/* The matrix product of one instruction set: a panel of B stays in the first-level cache while the
 * rows of A pass over it. */
#include "cpu/isa/gemm_isa.h"
#include "cpu/isa/pointwise_simd.h"

/* 3 rows by one pointer and the stride, so that few registers hold addresses. */
#define TILE_ROW(r) (base[(r) / 3] + (size_t)((r) % 3) * stride)

/* Steps of the depth from one row of sums that is fetched to the next: all at once would fill the
 * buffers that loads of A wait for. */
enum { FETCH_STEPS = 8 };

INLINE void gemm_fetch(const float *row, int cols)
{
#pragma GCC unroll 4
    for (int j = 0; j < cols * VF; j += LINE)
        __builtin_prefetch(row + j);
    __builtin_prefetch(row + cols * VF - 1);
}

INLINE void gemm_tile(int rows, int cols, size_t count, const struct tile_source *s, const float *b,
                      const struct tile_target *t)
{
    const size_t stride = s->stride, step = s->step;
    vf sum[TILE_ROWS][TILE_COLS];
    const float *base[(TILE_ROWS + 2) / 3], *fetched = t->to;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        if (r % 3 == 0) base[r / 3] = s->a + (size_t)r * stride;
#pragma GCC unroll 4
        for (int j = 0; j < cols; j++)
            sum[r][j] = vf_set(0);
    }
    for (size_t p = 0; p < count; p++, b += PANEL) {
        if (p % FETCH_STEPS == 0 && p < FETCH_STEPS * (size_t)rows) {
            gemm_fetch(fetched, cols);
            fetched += t->stride;
        }
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
            gemm_tile(rows, 1, count, s, b, t);                                                    \
        else                                                                                       \
            gemm_tile(rows, 2, count, s, b, t);                                                    \
        break;

static void gemm_tile_any(size_t rows, size_t cols, size_t count, const struct tile_source *s,
                          const float *b, const struct tile_target *t)
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

/* The end of a row's sums that lie aside: whole vectors of them, some of which are stored. */
INLINE void gemm_store_row(enum gemm_activation activation, float *to, const float *sums,
                           size_t columns)
{
    for (size_t j = 0; j < columns; j += VF) {
        vf v = vf_load(sums + j);
        if (activation == GEMM_SILU) v = pointwise_silu_vf(v);
        if (activation == GEMM_GELU_TANH) v = pointwise_gelu_tanh_vf(v);
        if (activation == GEMM_GELU_QUICK) v = pointwise_gelu_quick_vf(v);
        if (columns - j >= VF)
            vf_store(to + j, v);
        else
            vf_store_some(to + j, v, (int)(columns - j));
    }
}

/* A tile that is not stored as it is summed: its columns are no whole vectors, or an activation
 * comes last. */
static void gemm_tile_aside(size_t rows, size_t columns, size_t count, const struct tile_source *s,
                            const float *b, const struct tile_target *t,
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
    gemm_tile_any(rows, (columns + VF - 1) / VF, count, s, b, &aside);
    for (size_t r = 0; r < rows; r++) {
        float *to = t->to + r * t->stride;
        if (activation == GEMM_SILU)
            gemm_store_row(GEMM_SILU, to, sums + r * PANEL, columns);
        else if (activation == GEMM_GELU_TANH)
            gemm_store_row(GEMM_GELU_TANH, to, sums + r * PANEL, columns);
        else if (activation == GEMM_GELU_QUICK)
            gemm_store_row(GEMM_GELU_QUICK, to, sums + r * PANEL, columns);
        else
            gemm_store_row(GEMM_PLAIN, to, sums + r * PANEL, columns);
    }
}

void gemm_tile_sum(size_t rows, size_t columns, size_t count, const struct tile_source *s,
                   const float *b, const struct tile_target *t)
{
    if (columns % VF)
        gemm_tile_aside(rows, columns, count, s, b, t, GEMM_PLAIN);
    else
        gemm_tile_any(rows, columns / VF, count, s, b, t);
}

/* How A is read: packed in strips where rows are its columns, and B wide enough to pay for it;
 * copied where its rows lie so far apart that they share few sets of the caches; as it lies. */
enum gemm_rows { GEMM_STRIPS, GEMM_COPIES, GEMM_IN_PLACE };
enum { FAR_APART = 1024, NARROW = 64 };

static enum gemm_rows gemm_rows_of(const struct gemm *g)
{
    if (g->a_depth != 1) return g->n > NARROW ? GEMM_STRIPS : GEMM_IN_PLACE;
    return g->a_row >= FAR_APART && g->n >= 2 * PANEL ? GEMM_COPIES : GEMM_IN_PLACE;
}

/* A block of rows and of the depth: `count` from `depth` on, in pieces of `piece`, each of which is
 * a sum from zero. */
struct gemm_block {
    size_t row, rows, depth, count, piece;
    enum gemm_rows kind;
    const float *packed; /* of A */
};

/* The tile of `rows` rows from the block's row `r` on, the `tile`th. */
static struct tile_source gemm_source(const struct gemm *g, const struct gemm_block *block,
                                      size_t r, size_t rows, size_t tile)
{
    if (block->kind == GEMM_STRIPS)
        return (struct tile_source){block->packed + tile * STRIP, 1, rows};
    if (block->kind == GEMM_COPIES) return (struct tile_source){block->packed + r * COPY, COPY, 1};
    return (struct tile_source){g->a + (block->row + r) * g->a_row + block->depth * g->a_depth,
                                g->a_row, g->a_depth};
}

static void gemm_panel(const struct gemm *g, const struct gemm_block *block, const float *b,
                       size_t column, size_t columns)
{
    for (size_t r = 0, rows, tile = 0; r < block->rows; r += rows, tile++) {
        rows = gemm_tile_rows(block->rows - r);
        struct tile_source s = gemm_source(g, block, r, rows, tile);
        float *to = g->c + (block->row + r) * g->c_row + column;
        for (size_t p = 0, now; p < block->count; p += now) {
            now = block->count - p < block->piece ? block->count - p : block->piece;
            bool is_first = block->depth + p == 0, is_last = block->depth + p + now == g->k;
            enum gemm_activation activation = is_last ? g->activation : GEMM_PLAIN;
            struct tile_target t = {to, is_first && !g->add ? NULL : to,
                                    is_last && g->bias ? g->bias + column : NULL, g->c_row};
            if (activation != GEMM_PLAIN)
                gemm_tile_aside(rows, columns, now, &s, b + p * PANEL, &t, activation);
            else
                gemm_tile_sum(rows, columns, now, &s, b + p * PANEL, &t);
            s.a += now * s.step;
        }
    }
}

/* How much of the depth is summed at once from `depth` on: as many whole chunks as there is room
 * for, or a part of one. Parts are about equal, as a short one reads and writes all sums for
 * little. */
static size_t gemm_depth(const struct gemm *g, size_t depth)
{
    size_t chunk = g->chunk ? g->chunk : g->k;
    size_t parts = (chunk + GEMM_DEPTH - 1) / GEMM_DEPTH;
    size_t part = ((chunk + parts - 1) / parts + LINE - 1) / LINE * LINE;
    size_t most = chunk < GEMM_DEPTH ? GEMM_DEPTH / chunk * chunk : chunk - depth % chunk;
    if (chunk >= GEMM_DEPTH && most > part) most = part;
    return most < g->k - depth ? most : g->k - depth;
}

/* One block of rows and of the depth of a part, whose share of B is packed. */
static void gemm_rows(const struct gemm *g, const struct gemm_part *part,
                      const struct gemm_block *block, const float *panels, float *packed)
{
    if (block->kind == GEMM_STRIPS)
        gemm_pack_strips(packed, g, block->depth, block->count, block->row, block->rows);
    else if (block->kind == GEMM_COPIES)
        gemm_pack_copies(packed, g, block->depth, block->count, block->row, block->rows);
    for (size_t c = 0; c < part->columns; c += PANEL)
        gemm_panel(g, block, panels + c * GEMM_DEPTH, part->column + c,
                   part->columns - c < PANEL ? part->columns - c : PANEL);
}

static void ISA_NAME(gemm_part)(const struct gemm *g, const struct gemm_part *part,
                                float *workspace)
{
    enum { BLOCK_ROWS = GEMM_ROWS / TILE_ROWS * TILE_ROWS };
    float *panels = workspace, *packed = workspace + (size_t)GEMM_DEPTH * GEMM_COLUMNS;
    struct gemm_block block = {.piece = g->chunk && g->chunk < GEMM_DEPTH ? g->chunk : GEMM_DEPTH,
                               .kind = gemm_rows_of(g),
                               .packed = packed};
    for (; block.depth < g->k; block.depth += block.count) {
        block.count = gemm_depth(g, block.depth);
        gemm_pack_panels(panels, GEMM_DEPTH, g, block.depth, block.count, part->column,
                         part->columns);
        for (size_t r = 0; r < part->rows; r += block.rows) {
            block.row = part->row + r;
            block.rows = part->rows - r < BLOCK_ROWS ? part->rows - r : BLOCK_ROWS;
            gemm_rows(g, part, &block, panels, packed);
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
    .part_rows = GEMM_PART_ROWS,
    .part_columns = GEMM_COLUMNS,
    .few_columns = GEMM_COLUMNS,
    .part = ISA_NAME(gemm_part),
    .add_rows = ISA_NAME(gemm_add_rows),
};
