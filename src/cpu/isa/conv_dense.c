/* What surrounds the products of dense 3x3 convolutions of any width, by Winograd's F(2x2,3x3):
 * tensors become 16 matrices [tiles][channels] and back. The products are gemm's and wgrad's. */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/winograd.h"
#include "cpu/nn/conv_kernels.h"

INLINE int dense_least(int a, int b)
{
    return a < b ? a : b;
}

/* VF or fewer channels from `v` on of the 4x4 inputs of a tile, zeros around, as floats [16][VF].
 */
static void dense_copy_edge(stored *inputs, const struct nn_conv *s, const stored *corner,
                            int channels, int v, const struct tile *t)
{
    int count = dense_least(channels - v, VF);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
            int inside = (unsigned)(t->y + r - 1) < (unsigned)s->h &&
                         (unsigned)(t->x + c - 1) < (unsigned)s->w;
            stored *to = inputs + (4 * r + c) * VF;
            memset(to, 0, VF * sizeof *to);
            if (inside && count > 0)
                memcpy(to, corner + (ptrdiff_t)(r * s->w + c) * channels + v,
                       (size_t)count * sizeof *to);
        }
}

/* VF values for each of 16 matrices: whole, or what fits the row's end. */
INLINE void dense_put(float *to, size_t step, const float *aside, int room)
{
    for (int f = 0; f < 16; f++)
        vf_store_some(to + (size_t)f * step, vf_load(aside + f * VF), room);
}

static void dense_clear_rest(float *values, const struct dense_block *b, int pitch)
{
    size_t rest = (size_t)(b->rows - b->count) * (size_t)pitch * sizeof *values;
    for (int f = 0; f < 16 && rest; f++)
        memset(values + (size_t)(f * b->rows + b->count) * (size_t)pitch, 0, rest);
}

void ISA_NAME(conv_dense_inputs)(float *values, const struct nn_conv *s, const void *tensor,
                                 const float *slopes, int channels, int pitch,
                                 const struct dense_block *b)
{
    const stored *in = tensor;
    size_t step = (size_t)b->rows * (size_t)pitch;
    struct tile t = tile_at(s, b->first);
    for (int i = 0; i < b->count; i++, tile_next(&t, s)) {
        ptrdiff_t row = (ptrdiff_t)s->w * channels;
        const stored *corner = in + (ptrdiff_t)t.pixel * channels - row - channels;
        bool is_edge = t.y == 0 || t.x == 0 || t.y + 3 > s->h || t.x + 3 > s->w;
        for (int v = 0; v < pitch; v += VF) {
            stored edge[16 * VF] __attribute__((aligned(64)));
            float aside[16 * VF] __attribute__((aligned(64)));
            float *to = values + (size_t)i * (size_t)pitch + (size_t)v;
            bool is_whole = v + VF <= pitch;
            const stored *at = corner + v;
            ptrdiff_t down = row, next = channels;
            if (is_edge || v + VF > channels) {
                dense_copy_edge(edge, s, corner, channels, v, &t);
                at = edge, down = 4 * VF, next = VF;
            }
            const stored *const rows[4] = {at, at + down, at + 2 * down, at + 3 * down};
            float *target = is_whole ? to : aside;
            if (slopes)
                transform_prelu(target, is_whole ? step : VF, rows, next,
                                prelu_slopes(slopes + v, channels - v));
            else
                transform_input(target, is_whole ? step : VF, rows, next);
            if (!is_whole) dense_put(to, step, aside, pitch - v);
        }
    }
    dense_clear_rest(values, b, pitch);
}

void ISA_NAME(conv_dense_gradients)(float *values, const struct nn_conv *s, const void *tensor,
                                    int channels, int pitch, const struct dense_block *b)
{
    size_t step = (size_t)b->rows * (size_t)pitch;
    struct tile t = tile_at(s, b->first);
    for (int i = 0; i < b->count; i++, tile_next(&t, s)) {
        const stored *y = (const stored *)tensor + t.pixel * (size_t)channels;
        ptrdiff_t row = (ptrdiff_t)s->w * channels;
        bool right = t.x + 1 < s->w, below = t.y + 1 < s->h;
        for (int v = 0; v < pitch; v += VF) {
            float aside[16 * VF] __attribute__((aligned(64)));
            float *to = values + (size_t)i * (size_t)pitch + (size_t)v;
            int count = dense_least(channels - v, VF);
            vf d[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
            if (count == VF) {
                d[0] = vs_load(y + v);
                if (right) d[1] = vs_load(y + channels + v);
                if (below) d[2] = vs_load(y + row + v);
                if (right && below) d[3] = vs_load(y + row + channels + v);
            } else if (count > 0) {
                d[0] = vs_load_some(y + v, count);
                if (right) d[1] = vs_load_some(y + channels + v, count);
                if (below) d[2] = vs_load_some(y + row + v, count);
                if (right && below) d[3] = vs_load_some(y + row + channels + v, count);
            }
            if (v + VF <= pitch) {
                transform_outputs(to, step, d);
                continue;
            }
            transform_outputs(aside, VF, d);
            dense_put(to, step, aside, pitch - v);
        }
    }
    dense_clear_rest(values, b, pitch);
}

void ISA_NAME(conv_dense_outputs)(void *tensor, const struct nn_conv *s, const float *products,
                                  int channels, int pitch, const struct dense_block *b,
                                  const struct nn_epilogue *e)
{
    stored *out = tensor;
    size_t step = (size_t)b->rows * (size_t)pitch, wide = (size_t)channels;
    struct tile t = tile_at(s, b->first);
    for (int i = 0; i < b->count; i++, tile_next(&t, s)) {
        bool right = t.x + 1 < s->w, below = t.y + 1 < s->h;
        for (int v = 0; v < channels; v += VF) {
            int count = dense_least(channels - v, VF);
            size_t at = t.pixel * wide + (size_t)v, next = at + (size_t)s->w * wide;
            vf y[4];
            transform_products(y, products + (size_t)i * (size_t)pitch + (size_t)v, step);
            epilogue_store_some(out, at, v, y[0], count, e);
            if (right) epilogue_store_some(out, at + wide, v, y[1], count, e);
            if (below) epilogue_store_some(out, next, v, y[2], count, e);
            if (right && below) epilogue_store_some(out, next + wide, v, y[3], count, e);
        }
    }
}

void ISA_NAME(conv_dense_pack)(float *packed, const float *weights, const struct nn_conv *s,
                               int adjoint, const struct dense_product *p, int first, int last)
{
    int depth = adjoint ? s->cout : s->cin, columns = adjoint ? s->cin : s->cout;
    for (int i = first; i < last; i++)
        for (int o = 0; o < p->columns; o += VF) {
            float taps[9][VF] __attribute__((aligned(64))) = {{0}};
            vf g[9], u[16];
            for (int j = 0; i < depth && j < VF && o + j < columns; j++) {
                const float *w =
                    weights +
                    (adjoint ? (ptrdiff_t)i * s->cin + o + j : (ptrdiff_t)(o + j) * s->cin + i) * 9;
                for (int k = 0; k < 9; k++)
                    taps[k][j] = w[adjoint ? 8 - k : k];
            }
            for (int k = 0; k < 9; k++)
                g[k] = vf_load(taps[k]);
            transform_taps(u, g);
            enum { PANEL = CONV_GEMM_COLS * VF };
            float *to = packed + (ptrdiff_t)(o / PANEL) * PANEL * p->depth + i * PANEL + o % PANEL;
            for (int f = 0; f < 16; f++)
                vf_store(to + (size_t)f * p->packed, u[f]);
        }
}

void ISA_NAME(conv_dense_unpack)(float *dw, const float *sums, const struct nn_conv *s, int pitch,
                                 size_t step, int first, int last)
{
    for (int i = first; i < last; i++)
        for (int o = 0; o < s->cout; o += VF) {
            float taps[9][VF] __attribute__((aligned(64)));
            vf g[9];
            transform_sums(g, sums + (ptrdiff_t)i * pitch + o, step);
            for (int k = 0; k < 9; k++)
                vf_store(taps[k], g[k]);
            for (int j = 0; j < VF && o + j < s->cout; j++) {
                float *w = dw + ((ptrdiff_t)(o + j) * s->cin + i) * 9;
                for (int k = 0; k < 9; k++)
                    w[k] += taps[k][j];
            }
        }
}
