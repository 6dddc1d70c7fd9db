/* The matrix product of bf16 by AMX: A is rounded while it is packed, B lies in bf16, sums are
 * fp32. A tile is 16 lines of 64 bytes: 16 rows of A times 32 of the depth, 16 pairs of the depth
 * times 16 columns of B, 16 x 16 sums; four of the last are summed at once. */
#include "cpu/isa/gemm_isa.h"
#include "cpu/isa/pointwise_simd.h"

enum {
    AMX_LINES = 16, /* of a tile */
    AMX_STEP = 32,  /* of the depth */
    AMX_TILE = AMX_LINES * AMX_STEP,
    AMX_SIDE = GEMM_AMX_SIDE, /* of the sums: two tiles */
    AMX_SUMS = AMX_SIDE * AMX_SIDE
};

/* As LDTILECFG wants it. */
struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

/* What compilers do not know: that tiles read memory. */
#define AMX_BARRIER() __asm__ volatile("" ::: "memory")

static void amx_begin(void)
{
    struct amx_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.bytes[t] = 64;
        config.rows[t] = AMX_LINES;
    }
    /* GCC's intrinsic says that it reads the first 8 bytes, as a pointer. */
    __asm__ volatile("" ::"m"(config) : "memory");
    _tile_loadconfig(&config);
}

/* ---- packing: tile after tile down the depth ---- */

static size_t amx_steps(size_t depth)
{
    return (depth + AMX_STEP - 1) / AMX_STEP;
}

INLINE size_t amx_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

INLINE vf amx_load(const float *from, size_t count)
{
    if (count >= VF) return vf_load(from);
    return count ? vf_load_some(from, (int)count) : vf_set(0);
}

/* Rows past the last are left as they are: they make sums that are never stored. */
static void amx_pack_rows(uint16_t *packed, const struct gemm *g, size_t depth, size_t count,
                          size_t row, size_t rows)
{
    size_t steps = amx_steps(count);
    for (size_t r = 0; r < rows; r++) {
        const float *from = g->a + (row + r) * g->a_row + depth;
        uint16_t *to = packed + r / AMX_LINES * steps * AMX_TILE + r % AMX_LINES * AMX_STEP;
        for (size_t p = 0; p < count; p += AMX_STEP, to += AMX_TILE) {
            size_t left = count - p;
            __builtin_prefetch(from + p + AMX_LINES * g->a_row);
            __builtin_prefetch(from + p + AMX_LINES * g->a_row + VF);
            __m512bh line =
                _mm512_cvtne2ps_pbh(left > VF ? amx_load(from + p + VF, left - VF) : vf_set(0),
                                    amx_load(from + p, left));
            memcpy(to, &line, sizeof line);
        }
    }
}

/* 32 of the depth of a column, or the first `count` and zeros. */
INLINE vf amx_column(const uint16_t *from, size_t count)
{
    __mmask32 mask = count >= AMX_STEP ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1;
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, from));
}

static void amx_pack_columns(uint16_t *packed, const struct gemm *g, size_t depth, size_t count,
                             size_t column, size_t columns)
{
    for (size_t j = 0; j < columns; j += AMX_LINES)
        for (size_t p = 0; p < count; p += AMX_STEP, packed += AMX_TILE) {
            const uint16_t *from = (const uint16_t *)g->b + (column + j) * g->b_column + depth + p;
            vf x[VF];
#pragma GCC unroll 16
            for (size_t i = 0; i < VF; i++, from += g->b_column) {
                __builtin_prefetch(from + AMX_LINES * g->b_column);
                x[i] = column + j + i < g->n ? amx_column(from, count - p) : vf_set(0);
            }
            gemm_transpose(x); /* of pairs */
            memcpy(packed, x, sizeof x);
        }
}

/* ---- sums ---- */

/* sums [rows of 16][AMX_SIDE] of A's tiles a (and the next, `steps` on) with B's b likewise. */
static void amx_sum_two(float *sums, const uint16_t *a, const uint16_t *b, size_t steps)
{
    const uint16_t *a_next = a + steps * AMX_TILE, *b_next = b + steps * AMX_TILE;
    AMX_BARRIER();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t p = 0; p < steps * AMX_TILE; p += AMX_TILE) {
        _tile_loadd(4, a + p, 64);
        _tile_loadd(6, b + p, 64);
        _tile_loadd(5, a_next + p, 64);
        _tile_loadd(7, b_next + p, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, AMX_SIDE * sizeof *sums);
    _tile_stored(1, sums + AMX_LINES, AMX_SIDE * sizeof *sums);
    _tile_stored(2, sums + AMX_LINES * AMX_SIDE, AMX_SIDE * sizeof *sums);
    _tile_stored(3, sums + AMX_LINES * AMX_SIDE + AMX_LINES, AMX_SIDE * sizeof *sums);
    AMX_BARRIER();
}

/* Of 16 rows: the same sums. */
static void amx_sum_one(float *sums, const uint16_t *a, const uint16_t *b, size_t steps)
{
    const uint16_t *b_next = b + steps * AMX_TILE;
    AMX_BARRIER();
    _tile_zero(0);
    _tile_zero(1);
    for (size_t p = 0; p < steps * AMX_TILE; p += AMX_TILE) {
        _tile_loadd(4, a + p, 64);
        _tile_loadd(6, b + p, 64);
        _tile_loadd(7, b_next + p, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
    }
    _tile_stored(0, sums, AMX_SIDE * sizeof *sums);
    _tile_stored(1, sums + AMX_LINES, AMX_SIDE * sizeof *sums);
    AMX_BARRIER();
}

/* ---- what is stored ---- */

struct amx_target {
    float *to;
    size_t stride, rows, columns;
    const float *bias; /* NULL: none */
    bool add;
    enum gemm_activation activation;
};

INLINE void amx_store_all(enum gemm_activation activation, const struct amx_target *t,
                          const float *sums)
{
    for (size_t j = 0; j < t->columns; j += VF) {
        const float *from = sums + j;
        float *to = t->to + j;
        int count = (int)amx_least(t->columns - j, VF);
        vf bias = t->bias ? vf_load_some(t->bias + j, count) : vf_set(0);
        for (size_t r = 0; r < t->rows; r++, from += AMX_SIDE, to += t->stride) {
            vf v = vf_load(from);
            if (t->add) v = vf_load_some(to, count) + v;
            v += bias;
            if (activation == GEMM_SILU) v = pointwise_silu_vf(v);
            if (activation == GEMM_GELU_TANH) v = pointwise_gelu_tanh_vf(v);
            if (activation == GEMM_GELU_QUICK) v = pointwise_gelu_quick_vf(v);
            vf_store_some(to, v, count);
        }
    }
}

static void amx_store(const struct amx_target *t, const float *sums)
{
    if (t->activation == GEMM_SILU)
        amx_store_all(GEMM_SILU, t, sums);
    else if (t->activation == GEMM_GELU_TANH)
        amx_store_all(GEMM_GELU_TANH, t, sums);
    else if (t->activation == GEMM_GELU_QUICK)
        amx_store_all(GEMM_GELU_QUICK, t, sums);
    else
        amx_store_all(GEMM_PLAIN, t, sums);
}

/* ---- a part ---- */

struct amx_block {
    size_t row, rows, depth, count;
    const uint16_t *a, *b;
    float *sums; /* [AMX_SUMS] */
};

/* Columns [column, column + columns), AMX_SIDE of them at most, whose tiles lie at b. */
static void amx_panel(const struct gemm *g, const struct amx_block *block, const uint16_t *b,
                      size_t column, size_t columns)
{
    bool is_first = block->depth == 0, is_last = block->depth + block->count == g->k;
    size_t steps = amx_steps(block->count);
    struct amx_target t = {.stride = g->c_row,
                           .columns = columns,
                           .bias = is_last && g->bias ? g->bias + column : NULL,
                           .add = g->add || !is_first,
                           .activation = is_last ? g->activation : GEMM_PLAIN};
    for (size_t r = 0; r < block->rows; r += AMX_SIDE) {
        const uint16_t *a = block->a + r * steps * AMX_STEP;
        t.to = g->c + (block->row + r) * g->c_row + column;
        t.rows = amx_least(block->rows - r, AMX_SIDE);
        if (t.rows > AMX_LINES)
            amx_sum_two(block->sums, a, b, steps);
        else
            amx_sum_one(block->sums, a, b, steps);
        amx_store(&t, block->sums);
    }
}

static void gemm_part_amx(const struct gemm *g, const struct gemm_part *part, float *workspace)
{
    size_t blocks = (g->k + GEMM_AMX_DEPTH - 1) / GEMM_AMX_DEPTH;
    size_t depth = (amx_steps(g->k) + blocks - 1) / blocks * AMX_STEP;
    size_t columns = gemm_amx_whole(part->columns, GEMM_AMX_COLUMNS);
    uint16_t *b = (uint16_t *)(void *)(workspace + AMX_SUMS), *a = b + depth * columns;
    struct amx_block block = {.a = a, .b = b, .sums = workspace};
    amx_begin();
    for (; block.depth < g->k; block.depth += block.count) {
        block.count = amx_least(depth, g->k - block.depth);
        amx_pack_columns(b, g, block.depth, block.count, part->column, columns);
        for (size_t r = 0; r < part->rows; r += block.rows) {
            block.row = part->row + r;
            block.rows = amx_least(part->rows - r, GEMM_AMX_ROWS);
            amx_pack_rows(a, g, block.depth, block.count, block.row, block.rows);
            for (size_t c = 0; c < part->columns; c += AMX_SIDE)
                amx_panel(g, &block, b + c * amx_steps(block.count) * AMX_STEP, part->column + c,
                          amx_least(part->columns - c, AMX_SIDE));
        }
    }
    _tile_release();
}

const struct gemm_kernels gemm_kernels_amx = {
    .rows = AMX_SIDE,
    .columns = AMX_SIDE,
    .part_rows = GEMM_PART_ROWS,
    .part_columns = GEMM_AMX_COLUMNS,
    .few_columns = GEMM_AMX_FEW_COLUMNS,
    .part = gemm_part_amx,
};
