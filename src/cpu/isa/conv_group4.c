/* Gradients of grouped 3x3 convolutions with 16 channels a group, as conv_group.c but by Winograd's
 * F(4x4,3x3): 36 products where F(2x2) has 64. Forward passes decide the signs in masks and keep
 * F(2x2), whose errors are a sixth (src/cpu/README.md). */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_group.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/winograd4.h"
#include "cpu/nn/conv_kernels.h"

enum { STEP = GROUP4_TILES * GROUP }; /* floats from one product's values to the next one's */

static const stored zeros4[GROUP];

/* side x side pixels from (y, x) on, zeros where the image ends, [side][side][GROUP]. */
static void copy_edge4(stored *to, const struct nn_conv *s, const stored *corner, int channels,
                       int y, int x, int side)
{
    for (int r = 0; r < side; r++)
        for (int c = 0; c < side; c++, to += GROUP) {
            int inside = (unsigned)(y + r) < (unsigned)s->h && (unsigned)(x + c) < (unsigned)s->w;
            const stored *from = inside ? corner + (ptrdiff_t)(r * s->w + c) * channels : zeros4;
            memcpy(to, from, GROUP * sizeof *to);
        }
}

INLINE void tile4_next(struct tile4 *t, const struct nn_conv *s)
{
    t->x += TILE, t->pixel += TILE;
    if (t->x < s->w) return;
    t->pixel += (size_t)(s->w - t->x); /* the start of the row below this one */
    int rows = s->h - t->y < TILE ? s->h - t->y : TILE;
    t->pixel += (size_t)(rows - 1) * (size_t)s->w;
    t->x = 0, t->y = rows < TILE || t->y + TILE == s->h ? 0 : t->y + TILE;
}

/* Asks for a tile's 4x4 pixels, which lie too far apart for the machine to see the pattern. */
INLINE void ask_for_tile(const stored *tensor, const struct nn_conv *s, int channels,
                         const struct tile4 *t)
{
    const stored *p = tensor + t->pixel * (size_t)channels;
    for (int r = 0; r < TILE; r++)
        for (int c = 0; c < TILE; c++)
            __builtin_prefetch(p + (ptrdiff_t)(r * s->w + c) * channels);
}

static void clear_rest4(float *values, int count)
{
    size_t rest = (size_t)(GROUP4_TILES - count) * GROUP * sizeof *values;
    for (int f = 0; f < PRODUCTS && rest; f++)
        memset(values + f * STEP + count * GROUP, 0, rest);
}

/* values[f][tile][16] = B^T d B of each tile's 6x6 inputs d; the rest is zero */
static void gather_inputs4(float *values, const struct nn_conv *s, const stored *in, int channels,
                           size_t first, int count)
{
    struct tile4 t = tile4_at(s, first), ahead = tile4_at(s, first + (size_t)count);
    for (int i = 0; i < count; i++, tile4_next(&t, s), tile4_next(&ahead, s)) {
        stored edge[PRODUCTS * GROUP] __attribute__((aligned(64)));
        ptrdiff_t row = (ptrdiff_t)s->w * channels, next = channels;
        const stored *corner = in + (ptrdiff_t)t.pixel * channels - row - channels;
        ask_for_tile(in, s, channels, &ahead);
        if (t.y == 0 || t.x == 0 || t.y + 5 > s->h || t.x + 5 > s->w) {
            copy_edge4(edge, s, corner, channels, t.y - 1, t.x - 1, SIDE);
            corner = edge, row = SIDE * GROUP, next = GROUP;
        }
        for (int v = 0; v < GROUP; v += VF) {
            vf columns[PRODUCTS], all[SIDE];
            for (int c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (int r = 0; r < SIDE; r++)
                    d[r] = vs_load(corner + r * row + c * next + v);
                tile4_inputs(columns + c, SIDE, d, 1);
            }
            for (int r = 0; r < SIDE; r++) {
                tile4_inputs(all, 1, columns + SIDE * r, 1);
                for (int c = 0; c < SIDE; c++)
                    vf_store(values + (SIDE * r + c) * STEP + i * GROUP + v, all[c]);
            }
        }
    }
    clear_rest4(values, count);
}

/* values[f][tile][16] = A y A^T of the 4x4 gradients y */
static void gather_gradients4(float *values, const struct nn_conv *s, const stored *dout,
                              int channels, size_t first, int count)
{
    struct tile4 t = tile4_at(s, first), ahead = tile4_at(s, first + (size_t)count);
    for (int i = 0; i < count; i++, tile4_next(&t, s), tile4_next(&ahead, s)) {
        stored edge[TILE * TILE * GROUP] __attribute__((aligned(64)));
        ptrdiff_t row = (ptrdiff_t)s->w * channels, next = channels;
        const stored *corner = dout + (ptrdiff_t)t.pixel * channels;
        ask_for_tile(dout, s, channels, &ahead);
        if (t.y + TILE > s->h || t.x + TILE > s->w) {
            copy_edge4(edge, s, corner, channels, t.y, t.x, TILE);
            corner = edge, row = TILE * GROUP, next = GROUP;
        }
        for (int v = 0; v < GROUP; v += VF) {
            vf columns[SIDE * TILE], all[SIDE]; /* columns[SIDE][TILE] */
            for (int c = 0; c < TILE; c++) {
                vf y[TILE];
                for (int r = 0; r < TILE; r++)
                    y[r] = vs_load(corner + r * row + c * next + v);
                tile4_gradients(columns + c, TILE, y, 1);
            }
            for (int r = 0; r < SIDE; r++) {
                tile4_gradients(all, 1, columns + TILE * r, 1);
                for (int c = 0; c < SIDE; c++)
                    vf_store(values + (SIDE * r + c) * STEP + i * GROUP + v, all[c]);
            }
        }
    }
}

/* The 4x4 outputs A^T m A of a tile, through the epilogue. */
static void scatter_outputs4(const struct nn_conv *s, stored *out, const float *products,
                             const struct nn_epilogue *e, int group, size_t first, int count)
{
    size_t channels = (size_t)s->cin;
    struct tile4 t = tile4_at(s, first);
    for (int i = 0; i < count; i++, tile4_next(&t, s)) {
        for (int v = 0; v < GROUP; v += VF) {
            const float *m = products + i * GROUP + v;
            vf columns[TILE * SIDE]; /* [TILE][SIDE] */
            for (int c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (int r = 0; r < SIDE; r++)
                    d[r] = vf_load(m + (SIDE * r + c) * STEP);
                tile4_outputs(columns + c, SIDE, d, 1);
            }
            int channel = group * GROUP + v;
            for (int r = 0; r < TILE && t.y + r < s->h; r++) {
                vf y[TILE];
                tile4_outputs(y, 1, columns + SIDE * r, 1);
                size_t at = (t.pixel + (size_t)(r * s->w)) * channels + (size_t)channel;
                for (int c = 0; c < TILE && t.x + c < s->w; c++, at += channels)
                    epilogue_store(out, at, channel, y[c], e);
            }
        }
    }
}

void ISA_NAME(conv_group4_conv)(const struct nn_conv *s, void *out, const void *in,
                                const void *packed, const struct nn_epilogue *e, int group,
                                size_t first, int count, float *workspace)
{
    gather_inputs4(workspace, s, (const stored *)in + group * GROUP, s->cin, first, count);
    for (int f = 0; f < PRODUCTS; f++)
        for (int t = 0; t < count; t += TILES_AT_ONCE)
            conv_group_product(workspace + f * STEP + t * GROUP,
                               (const float *)packed + f * GROUP * GROUP);
    scatter_outputs4(s, out, workspace, e, group, first, count);
}

void ISA_NAME(conv_group4_wgrad)(const struct nn_conv *s, float *sums, const void *in,
                                 const void *dout, int group, size_t first, int count,
                                 float *workspace)
{
    float *a = workspace, *b = workspace + GROUP_WORKSPACE;
    gather_inputs4(a, s, (const stored *)in + group * GROUP, s->cin, first, count);
    gather_gradients4(b, s, (const stored *)dout + group * GROUP, s->cout, first, count);
    for (int f = 0; f < PRODUCTS; f++)
        outer_product(sums + f * GROUP * GROUP, a + f * STEP, b + f * STEP, count);
}

void ISA_NAME(conv_group4_pack)(void *packed, const float *weights, int group, int adjoint)
{
    const float *w = weights + (ptrdiff_t)group * GROUP * GROUP * 9;
    float taps[9][GROUP] __attribute__((aligned(64)));
    for (int i = 0; i < GROUP; i++) { /* one input channel, all outputs */
        for (int o = 0; o < GROUP; o++)
            for (int k = 0; k < 9; k++)
                taps[k][o] = adjoint ? w[(i * GROUP + o) * 9 + 8 - k] : w[(o * GROUP + i) * 9 + k];
        for (int v = 0; v < GROUP; v += VF) {
            vf g[9], columns[3 * SIDE], u[SIDE]; /* columns[SIDE][3] */
            for (int k = 0; k < 9; k++)
                g[k] = vf_load(taps[k] + v);
            for (int c = 0; c < 3; c++)
                tile4_taps(columns + c, 3, g + c, 3);
            for (int r = 0; r < SIDE; r++) {
                tile4_taps(u, 1, columns + 3 * r, 1);
                for (int c = 0; c < SIDE; c++)
                    vf_store((float *)packed + ((SIDE * r + c) * GROUP + i) * GROUP + v, u[c]);
            }
        }
    }
}

void ISA_NAME(conv_group4_unpack)(float *dw, const float *sums, int group)
{
    float *w = dw + (ptrdiff_t)group * GROUP * GROUP * 9;
    float taps[9][GROUP] __attribute__((aligned(64)));
    for (int i = 0; i < GROUP; i++) {
        for (int v = 0; v < GROUP; v += VF) {
            vf columns[3 * SIDE], g[3]; /* columns[3][SIDE] */
            for (int c = 0; c < SIDE; c++) {
                vf d[SIDE];
                for (int r = 0; r < SIDE; r++)
                    d[r] = vf_load(sums + ((SIDE * r + c) * GROUP + i) * GROUP + v);
                tile4_sums(columns + c, SIDE, d, 1);
            }
            for (int r = 0; r < 3; r++) {
                tile4_sums(g, 1, columns + SIDE * r, 1);
                for (int c = 0; c < 3; c++)
                    vf_store(taps[3 * r + c] + v, g[c]);
            }
        }
        for (int o = 0; o < GROUP; o++)
            for (int k = 0; k < 9; k++)
                w[(o * GROUP + i) * 9 + k] += taps[k][o];
    }
}
