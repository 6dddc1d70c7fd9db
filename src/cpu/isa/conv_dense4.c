/* As conv_dense.c by Winograd's F(4x4,3x3): 36 products for 16 outputs, where F(2x2) has 64. Its
 * errors are some ten times as large, and an output's last bits depend on all 6x6 inputs of its
 * tile: so it serves gradients, and forward passes, which are cut into tiles, do not use it.
 * Points 0, 1, -1, 2, -2, as in Lavin and Gray, arXiv:1509.09308. */
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_prelu.h"
#include "cpu/nn/conv_kernels.h"

enum { TILE = 4, SIDE = 6, PRODUCTS = SIDE * SIDE };

struct tile4 {
    size_t pixel; /* its top left output pixel, counted over the whole batch */
    int y, x;
};

static struct tile4 tile4_at(const struct nn_conv *s, size_t t)
{
    size_t across = (size_t)(s->w + 3) / TILE, down = (size_t)(s->h + 3) / TILE;
    size_t x = TILE * (t % across), y = TILE * (t / across % down), n = t / across / down;
    return (struct tile4){(n * (size_t)s->h + y) * (size_t)s->w + x, (int)y, (int)x};
}

/* B^T d, A^T m, A y, G g, G^T m of vectors `in` apart from each other, to vectors `out` apart. */
INLINE void tile4_inputs(vf *to, ptrdiff_t out, const vf *d, ptrdiff_t in)
{
    vf four = vf_set(4), five = vf_set(5), two = vf_set(2);
    vf d1 = d[in], d2 = d[2 * in], d3 = d[3 * in], d4 = d[4 * in];
    vf even = vf_fma(-four, d2, d4), odd = vf_fma(-four, d1, d3);
    vf half = d4 - d2, twice = two * (d3 - d1);
    to[0] = vf_fma(four, d[0], vf_fma(-five, d2, d4));
    to[out] = even + odd, to[2 * out] = even - odd;
    to[3 * out] = half + twice, to[4 * out] = half - twice;
    to[5 * out] = vf_fma(four, d1, vf_fma(-five, d3, d[5 * in]));
}

INLINE void tile4_outputs(vf *to, ptrdiff_t out, const vf *m, ptrdiff_t in)
{
    vf s1 = m[in] + m[2 * in], d1 = m[in] - m[2 * in];
    vf s2 = m[3 * in] + m[4 * in], d2 = m[3 * in] - m[4 * in];
    to[0] = m[0] + s1 + s2;
    to[out] = vf_fma(vf_set(2), d2, d1);
    to[2 * out] = vf_fma(vf_set(4), s2, s1);
    to[3 * out] = vf_fma(vf_set(8), d2, d1) + m[5 * in];
}

INLINE void tile4_gradients(vf *to, ptrdiff_t out, const vf *y, ptrdiff_t in)
{
    vf y0 = y[0], y1 = y[in], y2 = y[2 * in], y3 = y[3 * in];
    vf even = y0 + y2, odd = y1 + y3;
    vf even2 = vf_fma(vf_set(4), y2, y0), odd2 = vf_fma(vf_set(8), y3, vf_set(2) * y1);
    to[0] = y0, to[5 * out] = y3;
    to[out] = even + odd, to[2 * out] = even - odd;
    to[3 * out] = even2 + odd2, to[4 * out] = even2 - odd2;
}

INLINE void tile4_taps(vf *to, ptrdiff_t out, const vf *g, ptrdiff_t in)
{
    vf g0 = g[0], g1 = g[in], g2 = g[2 * in];
    vf sum = (g0 + g2) * vf_set(-1.0F / 6), middle = g1 * vf_set(1.0F / 6);
    vf wide = vf_fma(vf_set(1.0F / 6), g2, g0 * vf_set(1.0F / 24)), step = g1 * vf_set(1.0F / 12);
    to[0] = g0 * vf_set(0.25F), to[5 * out] = g2;
    to[out] = sum - middle, to[2 * out] = sum + middle;
    to[3 * out] = wide + step, to[4 * out] = wide - step;
}

INLINE void tile4_sums(vf *to, ptrdiff_t out, const vf *m, ptrdiff_t in)
{
    vf s1 = m[in] + m[2 * in], d1 = m[2 * in] - m[in];
    vf s2 = m[3 * in] + m[4 * in], d2 = m[3 * in] - m[4 * in];
    vf sixth = vf_set(1.0F / 6);
    to[0] = vf_fma(vf_set(1.0F / 24), s2, vf_fma(-sixth, s1, m[0] * vf_set(0.25F)));
    to[out] = vf_fma(vf_set(1.0F / 12), d2, sixth * d1);
    to[2 * out] = vf_fma(sixth, s2 - s1, m[5 * in]);
}

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
