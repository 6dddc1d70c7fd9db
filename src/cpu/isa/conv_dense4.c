/* As conv_dense.c by Winograd's F(4x4,3x3): 36 products for 16 outputs, where F(2x2) has 64. Its
 * errors are some ten times as large, and an output's last bits depend on all 6x6 inputs of its
 * tile: so it serves gradients, and forward passes, which are cut into tiles, do not use it. */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_prelu.h"
#include "cpu/isa/winograd4.h"
#include "cpu/nn/conv_kernels.h"

/* Stores what `values` hold, VF channels for each product, or what fits the row's end. */
INLINE void tile4_put(float *to, size_t step, const vf values[PRODUCTS], int room)
{
    if (room >= VF)
        for (size_t f = 0; f < PRODUCTS; f++)
            vf_store(to + f * step, values[f]);
    else
        for (size_t f = 0; f < PRODUCTS; f++)
            vf_store_some(to + f * step, values[f], room);
}

/* One pixel's channels from p on: VF or `count` of them. */
INLINE vf tile4_load(const stored *p, int count)
{
    if (count >= VF) return vs_load(p);
    return count > 0 ? vs_load_some(p, count) : vf_set(0);
}

static void tile4_clear_rest(float *values, const struct dense_block *b, int pitch)
{
    size_t rest = (size_t)(b->rows - b->count) * (size_t)pitch * sizeof *values;
    for (int f = 0; f < PRODUCTS && rest; f++)
        memset(values + (size_t)(f * b->rows + b->count) * (size_t)pitch, 0, rest);
}

void ISA_NAME(conv_dense4_inputs)(float *values, const struct nn_conv *s, const void *tensor,
                                  const float *slopes, int channels, int pitch,
                                  const struct dense_block *b)
{
    size_t step = (size_t)b->rows * (size_t)pitch;
    ptrdiff_t row = (ptrdiff_t)s->w * channels;
    for (int i = 0; i < b->count; i++) {
        struct tile4 t = tile4_at(s, b->first + (size_t)i);
        const stored *corner =
            (const stored *)tensor + (ptrdiff_t)t.pixel * channels - row - channels;
        bool is_edge = t.y == 0 || t.x == 0 || t.y + 5 > s->h || t.x + 5 > s->w;
        for (int v = 0; v < pitch; v += VF) {
            vf columns[PRODUCTS], all[PRODUCTS], slope = vf_set(0);
            if (slopes) slope = prelu_slopes(slopes + v, channels - v);
            for (int c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (int r = 0; r < SIDE; r++) {
                    bool outside = is_edge && ((unsigned)(t.y + r - 1) >= (unsigned)s->h ||
                                               (unsigned)(t.x + c - 1) >= (unsigned)s->w);
                    d[r] = outside ? vf_set(0)
                                   : tile4_load(corner + r * row + (ptrdiff_t)c * channels + v,
                                                channels - v);
                    if (slopes) d[r] = prelu_apply(d[r], slope);
                }
                tile4_inputs(columns + c, SIDE, d, 1);
            }
            for (int r = 0; r < SIDE; r++)
                tile4_inputs(all + SIDE * r, 1, columns + SIDE * r, 1);
            tile4_put(values + (size_t)i * (size_t)pitch + (size_t)v, step, all, pitch - v);
        }
    }
    tile4_clear_rest(values, b, pitch);
}

void ISA_NAME(conv_dense4_gradients)(float *values, const struct nn_conv *s, const void *tensor,
                                     int channels, int pitch, const struct dense_block *b)
{
    size_t step = (size_t)b->rows * (size_t)pitch;
    ptrdiff_t row = (ptrdiff_t)s->w * channels;
    for (int i = 0; i < b->count; i++) {
        struct tile4 t = tile4_at(s, b->first + (size_t)i);
        const stored *corner = (const stored *)tensor + (ptrdiff_t)t.pixel * channels;
        for (int v = 0; v < pitch; v += VF) {
            vf columns[SIDE * TILE], all[PRODUCTS]; /* columns[SIDE][TILE] */
            for (int c = 0; c < TILE; c++) {
                vf y[TILE];
                for (int r = 0; r < TILE; r++)
                    y[r] = t.y + r < s->h && t.x + c < s->w
                               ? tile4_load(corner + r * row + (ptrdiff_t)c * channels + v,
                                            channels - v)
                               : vf_set(0);
                tile4_gradients(columns + c, TILE, y, 1);
            }
            for (int r = 0; r < SIDE; r++)
                tile4_gradients(all + SIDE * r, 1, columns + TILE * r, 1);
            tile4_put(values + (size_t)i * (size_t)pitch + (size_t)v, step, all, pitch - v);
        }
    }
    tile4_clear_rest(values, b, pitch);
}

void ISA_NAME(conv_dense4_outputs)(void *tensor, const struct nn_conv *s, const float *products,
                                   int channels, int pitch, const struct dense_block *b,
                                   const struct nn_epilogue *e)
{
    size_t step = (size_t)b->rows * (size_t)pitch, wide = (size_t)channels;
    for (int i = 0; i < b->count; i++) {
        struct tile4 t = tile4_at(s, b->first + (size_t)i);
        for (int v = 0; v < channels; v += VF) {
            const float *m = products + (size_t)i * (size_t)pitch + (size_t)v;
            int count = channels - v < VF ? channels - v : VF;
            vf columns[TILE * SIDE]; /* [TILE][SIDE] */
            for (size_t c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (size_t r = 0; r < SIDE; r++)
                    d[r] = vf_load(m + (SIDE * r + c) * step);
                tile4_outputs(columns + c, SIDE, d, 1);
            }
            for (int r = 0; r < TILE && t.y + r < s->h; r++) {
                vf y[TILE];
                tile4_outputs(y, 1, columns + SIDE * r, 1);
                size_t at = (t.pixel + (size_t)r * (size_t)s->w) * wide + (size_t)v;
                for (int c = 0; c < TILE && t.x + c < s->w; c++)
                    epilogue_store_some((stored *)tensor, at + (size_t)c * wide, v, y[c], count, e);
            }
        }
    }
}

void ISA_NAME(conv_dense4_pack)(float *packed, const float *weights, const struct nn_conv *s,
                                int adjoint, const struct dense_product *p, int first, int last)
{
    enum { PANEL = CONV_GEMM_COLS * VF };
    int depth = adjoint ? s->cout : s->cin, width = adjoint ? s->cin : s->cout;
    for (int i = first; i < last; i++)
        for (int o = 0; o < p->columns; o += VF) {
            float taps[9][VF] __attribute__((aligned(64))) = {{0}};
            vf g[9], columns[3 * SIDE], u[PRODUCTS]; /* columns[SIDE][3] */
            for (int j = 0; i < depth && j < VF && o + j < width; j++) {
                const float *w =
                    weights +
                    (adjoint ? (ptrdiff_t)i * s->cin + o + j : (ptrdiff_t)(o + j) * s->cin + i) * 9;
                for (int k = 0; k < 9; k++)
                    taps[k][j] = w[adjoint ? 8 - k : k];
            }
            for (int k = 0; k < 9; k++)
                g[k] = vf_load(taps[k]);
            for (int c = 0; c < 3; c++)
                tile4_taps(columns + c, 3, g + c, 3);
            for (int r = 0; r < SIDE; r++)
                tile4_taps(u + SIDE * r, 1, columns + 3 * r, 1);
            float *to = packed + (ptrdiff_t)(o / PANEL) * PANEL * p->depth + i * PANEL + o % PANEL;
            for (size_t f = 0; f < PRODUCTS; f++)
                vf_store(to + f * p->packed, u[f]);
        }
}

void ISA_NAME(conv_dense4_unpack)(float *dw, const float *sums, const struct nn_conv *s, int pitch,
                                  size_t step, int first, int last)
{
    for (int i = first; i < last; i++)
        for (int o = 0; o < s->cout; o += VF) {
            float taps[9][VF] __attribute__((aligned(64)));
            const float *m = sums + (ptrdiff_t)i * pitch + o;
            vf columns[3 * SIDE]; /* [3][SIDE] */
            for (size_t c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (size_t r = 0; r < SIDE; r++)
                    d[r] = vf_load(m + (SIDE * r + c) * step);
                tile4_sums(columns + c, SIDE, d, 1);
            }
            for (int r = 0; r < 3; r++) {
                vf g[3];
                tile4_sums(g, 1, columns + SIDE * r, 1);
                for (int c = 0; c < 3; c++)
                    vf_store(taps[3 * r + c], g[c]);
            }
            for (int j = 0; j < VF && o + j < s->cout; j++) {
                float *w = dw + ((ptrdiff_t)(o + j) * s->cin + i) * 9;
                for (int k = 0; k < 9; k++)
                    w[k] += taps[k][j];
            }
        }
}
