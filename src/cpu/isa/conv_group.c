/* Grouped 3x3 convolutions with 16 channels a group, by Winograd's F(2x2,3x3): 16 products where
 * the definition has 36. One group of one pixel is one AVX-512 vector. */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/winograd.h"
#include "cpu/nn/conv_kernels.h"

static const stored zeros[GROUP];

/* A tile at the image's edge: its 4x4 inputs with zeros around, [16][GROUP]. */
static void copy_edge(stored *inputs, const struct nn_conv *s, const stored *corner, int channels,
                      const struct tile *t)
{
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
            int inside = (unsigned)(t->y + r - 1) < (unsigned)s->h &&
                         (unsigned)(t->x + c - 1) < (unsigned)s->w;
            const stored *from = inside ? corner + (ptrdiff_t)(r * s->w + c) * channels : zeros;
            memcpy(inputs + (4 * r + c) * GROUP, from, GROUP * sizeof *from);
        }
}

/* Asks for the 2x2 pixels right of and below p's, which no earlier tile has brought. A group's
 * pixels lie too far apart for the machine to see the pattern. */
#define PREFETCH_PIXELS(p, row, next, write)                                                       \
    __builtin_prefetch(p, write), __builtin_prefetch((p) + (next), write),                         \
        __builtin_prefetch((p) + (row), write), __builtin_prefetch((p) + (row) + (next), write)

/* values[f][tile][16] of the tiles; the rest is zero */
static void group_gather_inputs(float *values, const struct nn_conv *s, const stored *in,
                                int channels, size_t first, int count)
{
    struct tile t = tile_at(s, first), ahead = tile_at(s, first + (size_t)count);
    for (int i = 0; i < count; i++, tile_next(&t, s), tile_next(&ahead, s)) {
        stored edge[16 * GROUP] __attribute__((aligned(64)));
        ptrdiff_t row = (ptrdiff_t)s->w * channels, next = channels;
        const stored *corner = in + (ptrdiff_t)t.pixel * channels - row - channels;
        PREFETCH_PIXELS(in + (ptrdiff_t)ahead.pixel * channels + row + channels, row, channels, 0);
        if (t.y == 0 || t.x == 0 || t.y + 3 > s->h || t.x + 3 > s->w) {
            copy_edge(edge, s, corner, channels, &t);
            corner = edge, row = 4 * GROUP, next = GROUP;
        }
        for (int v = 0; v < GROUP; v += VF) {
            const stored *const rows[4] = {corner + v, corner + row + v, corner + 2 * row + v,
                                           corner + 3 * row + v};
            transform_input(values + i * GROUP + v, GROUP_TILES * GROUP, rows, next);
        }
    }
    size_t rest = (size_t)(GROUP_TILES - count) * GROUP * sizeof *values;
    for (int f = 0; f < 16 && rest; f++)
        memset(values + (f * GROUP_TILES + count) * GROUP, 0, rest);
}

#define EACH_4(X) X(0) X(1) X(2) X(3)
#define EACH_6(X) EACH_4(X) X(4) X(5)
#define EACH_12(X) EACH_6(X) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH_16(X) EACH_12(X) X(12) X(13) X(14) X(15)

#if defined(ISA_avx512)
enum { TILES_AT_ONCE = 12 };
/* values[12][16] = values w[16][16], in place: 16 weights and 12 sums in registers */
INLINE void conv_group_product(float *values, const float *w)
{
#define LOAD(i) vf w##i = vf_load(w + i * GROUP);
    EACH_16(LOAD)
#define FIRST(t) vf c##t = vf_set(values[t * GROUP]) * w0;
    EACH_12(FIRST)
#define MUL(t, i) c##t = vf_fma(vf_set(values[t * GROUP + i]), w##i, c##t);
#define STEPS(i)                                                                                   \
    MUL(0, i)                                                                                      \
    MUL(1, i)                                                                                      \
    MUL(2, i)                                                                                      \
    MUL(3, i) MUL(4, i) MUL(5, i) MUL(6, i) MUL(7, i) MUL(8, i) MUL(9, i) MUL(10, i) MUL(11, i)
    STEPS(1);
    STEPS(2);
    STEPS(3);
    STEPS(4);
    STEPS(5);
    STEPS(6);
    STEPS(7);
    STEPS(8);
    STEPS(9);
    STEPS(10);
    STEPS(11);
    STEPS(12);
    STEPS(13);
    STEPS(14);
    STEPS(15);
#define STORE(t) vf_store(values + t * GROUP, c##t);
    EACH_12(STORE)
}
#else
enum { TILES_AT_ONCE = 6 }; /* 12 sums, 2 weights and a value in 16 registers */
INLINE void conv_group_product(float *values, const float *w)
{
    float aside[TILES_AT_ONCE * GROUP] __attribute__((aligned(64)));
    float *out = 2 * VF == GROUP ? values : aside; /* one pass reads all before it stores */
    for (int v = 0; v < GROUP; v += 2 * VF) {
#define ZERO(t) vf c##t = vf_set(0), e##t = c##t;
        EACH_6(ZERO)
        for (int i = 0; i < GROUP; i++) {
            vf w0 = vf_load(w + i * GROUP + v), w1 = vf_load(w + i * GROUP + v + VF);
#define STEP(t)                                                                                    \
    {                                                                                              \
        vf x = vf_set(values[t * GROUP + i]);                                                      \
        c##t = vf_fma(x, w0, c##t), e##t = vf_fma(x, w1, e##t);                                    \
    }
            EACH_6(STEP)
        }
#define STORE(t) vf_store(out + t * GROUP + v, c##t), vf_store(out + t * GROUP + v + VF, e##t);
        EACH_6(STORE)
    }
    if (out == aside) memcpy(values, aside, sizeof aside);
}
#endif

/* The 2x2 outputs A^T m A of a tile, through the epilogue. */
static void scatter_outputs(const struct nn_conv *s, stored *out, const float *products,
                            const struct nn_epilogue *e, int channels, int group, size_t first,
                            int count)
{
    const size_t step = GROUP_TILES * GROUP;
    struct tile t = tile_at(s, first), ahead = tile_at(s, first + (size_t)count);
    for (int i = 0; i < count; i++, tile_next(&t, s), tile_next(&ahead, s)) {
        PREFETCH_PIXELS(out + ahead.pixel * (size_t)channels + group * GROUP,
                        (ptrdiff_t)s->w * channels, channels, 1);
        int right = t.x + 1 < s->w, below = t.y + 1 < s->h;
        for (int v = 0; v < GROUP; v += VF) {
            const float *m = products + i * GROUP + v;
            vf a[4], b[4];
            for (size_t c = 0; c < 4; c++) {
                vf m0 = vf_load(m + c * step), m1 = vf_load(m + (4 + c) * step);
                vf m2 = vf_load(m + (8 + c) * step), m3 = vf_load(m + (12 + c) * step);
                a[c] = m0 + m1 + m2, b[c] = m1 - m2 - m3;
            }
            int channel = group * GROUP + v;
            size_t at = t.pixel * (size_t)channels + (size_t)channel;
            size_t next = at + (size_t)s->w * (size_t)channels;
            epilogue_store(out, at, channel, a[0] + a[1] + a[2], e);
            if (right) epilogue_store(out, at + (size_t)channels, channel, a[1] - a[2] - a[3], e);
            if (!below) continue;
            epilogue_store(out, next, channel, b[0] + b[1] + b[2], e);
            if (right) epilogue_store(out, next + (size_t)channels, channel, b[1] - b[2] - b[3], e);
        }
    }
}

void ISA_NAME(conv_group_conv)(const struct nn_conv *s, void *out, const void *in,
                               const void *packed, const struct nn_epilogue *e, int group,
                               size_t first, int count, float *workspace)
{
    group_gather_inputs(workspace, s, (const stored *)in + group * GROUP, s->cin, first, count);
    for (int f = 0; f < 16; f++)
        for (int t = 0; t < count; t += TILES_AT_ONCE)
            conv_group_product(workspace + (f * GROUP_TILES + t) * GROUP,
                               (const float *)packed + f * GROUP * GROUP);
    scatter_outputs(s, out, workspace, e, s->cin, group, first, count);
}

/* values[f][tile][16] = A y A^T of the 2x2 outputs y */
static void gather_outputs(float *values, const struct nn_conv *s, const stored *dout, int channels,
                           size_t first, int count)
{
    const size_t step = GROUP_TILES * GROUP;
    struct tile t = tile_at(s, first), ahead = tile_at(s, first + (size_t)count);
    for (int i = 0; i < count; i++, tile_next(&t, s), tile_next(&ahead, s)) {
        PREFETCH_PIXELS(dout + (ptrdiff_t)ahead.pixel * channels, (ptrdiff_t)s->w * channels,
                        channels, 0);
        int right = t.x + 1 < s->w, below = t.y + 1 < s->h;
        const stored *y = dout + t.pixel * (size_t)channels;
        const stored *p[4] = {y, right ? y + channels : zeros,
                              below ? y + (ptrdiff_t)s->w * channels : zeros,
                              right && below ? y + (ptrdiff_t)(s->w + 1) * channels : zeros};
        for (int v = 0; v < GROUP; v += VF) {
            vf l[4], r[4];
            l[0] = vs_load(p[0] + v), l[3] = vs_load(p[2] + v);
            r[0] = vs_load(p[1] + v), r[3] = vs_load(p[3] + v);
            l[1] = l[0] + l[3], l[2] = l[0] - l[3], l[3] = -l[3];
            r[1] = r[0] + r[3], r[2] = r[0] - r[3], r[3] = -r[3];
            for (size_t k = 0; k < 4; k++) {
                float *to = values + 4 * k * step + (size_t)(i * GROUP + v);
                vf_store(to, l[k]);
                vf_store(to + step, l[k] + r[k]);
                vf_store(to + 2 * step, l[k] - r[k]);
                vf_store(to + 3 * step, -r[k]);
            }
        }
    }
}

/* sums[16][16] += sum over the tiles of a[16] b[16] */
INLINE void outer_product(float *sums, const float *a, const float *b, int count)
{
#if defined(ISA_avx512)
#define SUM(i) vf s##i = vf_load(sums + i * GROUP);
    EACH_16(SUM)
    for (int t = 0; t < count; t++, a += GROUP, b += GROUP) {
        vf y = vf_load(b);
#define ADD(i) s##i = vf_fma(vf_set(a[i]), y, s##i);
        EACH_16(ADD)
    }
#define KEEP(i) vf_store(sums + i * GROUP, s##i);
    EACH_16(KEEP)
#else
    for (int v = 0; v < GROUP; v += 2 * VF)
        for (int i = 0; i < GROUP; i += 4) {
#define SUM(j)                                                                                     \
    vf s##j = vf_load(sums + (i + j) * GROUP + v), u##j = vf_load(sums + (i + j) * GROUP + v + VF);
            EACH_4(SUM)
            for (int t = 0; t < count; t++) {
                vf y0 = vf_load(b + t * GROUP + v), y1 = vf_load(b + t * GROUP + v + VF);
#define ADD(j)                                                                                     \
    s##j = vf_fma(vf_set(a[t * GROUP + i + j]), y0, s##j);                                         \
    u##j = vf_fma(vf_set(a[t * GROUP + i + j]), y1, u##j);
                EACH_4(ADD)
            }
#define KEEP(j)                                                                                    \
    vf_store(sums + (i + j) * GROUP + v, s##j), vf_store(sums + (i + j) * GROUP + v + VF, u##j);
            EACH_4(KEEP)
        }
#endif
}

void ISA_NAME(conv_group_wgrad)(const struct nn_conv *s, float *sums, const void *in,
                                const void *dout, int group, size_t first, int count,
                                float *workspace)
{
    float *a = workspace, *b = workspace + GROUP_WORKSPACE;
    group_gather_inputs(a, s, (const stored *)in + group * GROUP, s->cin, first, count);
    gather_outputs(b, s, (const stored *)dout + group * GROUP, s->cout, first, count);
    for (int f = 0; f < 16; f++)
        outer_product(sums + f * GROUP * GROUP, a + f * GROUP_TILES * GROUP,
                      b + f * GROUP_TILES * GROUP, count);
}

void ISA_NAME(conv_group_pack)(void *packed, const float *weights, int group, int adjoint)
{
    const float *w = weights + (ptrdiff_t)group * GROUP * GROUP * 9;
    float taps[9][GROUP] __attribute__((aligned(64)));
    for (int i = 0; i < GROUP; i++) { /* one input channel, all outputs */
        for (int o = 0; o < GROUP; o++)
            for (int k = 0; k < 9; k++)
                taps[k][o] = adjoint ? w[(i * GROUP + o) * 9 + 8 - k] : w[(o * GROUP + i) * 9 + k];
        for (int v = 0; v < GROUP; v += VF) {
            vf u[4][3], half = vf_set(0.5F);
            for (int c = 0; c < 3; c++) {
                vf g0 = vf_load(taps[c] + v), g1 = vf_load(taps[3 + c] + v);
                vf g2 = vf_load(taps[6 + c] + v), sum = g0 + g2;
                u[0][c] = g0, u[1][c] = (sum + g1) * half, u[2][c] = (sum - g1) * half;
                u[3][c] = g2;
            }
            for (int r = 0; r < 4; r++) {
                float *to = (float *)packed + (4 * r * GROUP + i) * GROUP + v;
                vf sum = u[r][0] + u[r][2];
                vf_store(to, u[r][0]);
                vf_store(to + GROUP * GROUP, (sum + u[r][1]) * half);
                vf_store(to + 2 * GROUP * GROUP, (sum - u[r][1]) * half);
                vf_store(to + 3 * GROUP * GROUP, u[r][2]);
            }
        }
    }
}

void ISA_NAME(conv_group_unpack)(float *dw, const float *sums, int group)
{
    float *w = dw + (ptrdiff_t)group * GROUP * GROUP * 9;
    float taps[9][GROUP] __attribute__((aligned(64)));
    for (int i = 0; i < GROUP; i++) {
        for (int v = 0; v < GROUP; v += VF) {
            vf u[3][4], half = vf_set(0.5F);
            for (int c = 0; c < 4; c++) {
                const float *from = sums + (c * GROUP + i) * GROUP + v;
                vf m0 = vf_load(from), m1 = vf_load(from + 4 * GROUP * GROUP);
                vf m2 = vf_load(from + 8 * GROUP * GROUP), m3 = vf_load(from + 12 * GROUP * GROUP);
                vf sum = (m1 + m2) * half;
                u[0][c] = m0 + sum, u[1][c] = (m1 - m2) * half, u[2][c] = sum + m3;
            }
            for (int r = 0; r < 3; r++) {
                vf sum = (u[r][1] + u[r][2]) * half;
                vf_store(taps[3 * r] + v, u[r][0] + sum);
                vf_store(taps[3 * r + 1] + v, (u[r][1] - u[r][2]) * half);
                vf_store(taps[3 * r + 2] + v, sum + u[r][3]);
            }
        }
        for (int o = 0; o < GROUP; o++)
            for (int k = 0; k < 9; k++)
                w[(o * GROUP + i) * 9 + k] += taps[k][o];
    }
}
