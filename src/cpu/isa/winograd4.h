/* The transforms of Winograd's F(4x4,3x3), points 0, 1, -1, 2, -2 (Lavin and Gray,
 * arXiv:1509.09308), that gradients of grouped and dense 3x3 convolutions share. */
#ifndef IMGTRAIN_CPU_ISA_WINOGRAD4_H
#define IMGTRAIN_CPU_ISA_WINOGRAD4_H

#include "cpu/isa/conv_simd.h"
#include "device/nn_ops.h"

enum { TILE = 4, SIDE = 6, PRODUCTS = SIDE * SIDE };

struct tile4 {
    size_t pixel; /* its top left output pixel, counted over the whole batch */
    int y, x;
};

static inline struct tile4 tile4_at(const struct nn_conv *s, size_t t)
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

#endif
