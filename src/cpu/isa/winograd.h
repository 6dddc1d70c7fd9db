/* The transforms of Winograd's F(2x2,3x3) (Lavin and Gray, arXiv:1509.09308) that grouped and dense
 * 3x3 convolutions share: tiles of 2x2 outputs and their 4x4 inputs. Output (r, c) of a tile takes
 * nothing from inputs that the definition does not give it: a sum of products of differences, none
 * of which has another input. So its bits depend on the 3x3 around it and on whether its
 * coordinates are odd, and on nothing else. */
#ifndef IMGTRAIN_CPU_ISA_WINOGRAD_H
#define IMGTRAIN_CPU_ISA_WINOGRAD_H

#include "cpu/isa/conv_prelu.h"
#include "cpu/isa/conv_stored.h"
#include "device/nn_ops.h"

struct tile {
    size_t pixel; /* its top left output pixel, counted over the whole batch */
    int y, x;     /* the same in its image */
};

static inline struct tile tile_at(const struct nn_conv *s, size_t t)
{
    size_t across = (size_t)(s->w + 1) / 2, down = (size_t)(s->h + 1) / 2;
    size_t x = 2 * (t % across), y = 2 * (t / across % down), n = t / across / down;
    return (struct tile){(n * (size_t)s->h + y) * (size_t)s->w + x, (int)y, (int)x};
}

INLINE void tile_next(struct tile *t, const struct nn_conv *s)
{
    t->x += 2, t->pixel += 2;
    if (t->x < s->w) return;
    t->pixel += (size_t)(s->w - t->x), t->x = 0; /* the start of the row below this one */
    t->y += 2;
    if (t->y < s->h)
        t->pixel += (size_t)s->w;
    else
        t->pixel += (size_t)(s->h + 1 - t->y) * (size_t)s->w, t->y = 0;
}

/* One column of B^T d: of four rows, from pointers to them. */
#define INPUT_COLUMN(load, c, p0, p1, p2, p3)                                                      \
    {                                                                                              \
        vf r0 = load(p0), r1 = load(p1), r2 = load(p2), r3 = load(p3);                             \
        d0##c = r0 - r2, d1##c = r1 + r2, d2##c = r2 - r1, d3##c = r1 - r3;                        \
    }
#define INPUT_ROW(r)                                                                               \
    {                                                                                              \
        vf_store(out + (4 * r) * step, d##r##0 - d##r##2);                                         \
        vf_store(out + (4 * r + 1) * step, d##r##1 + d##r##2);                                     \
        vf_store(out + (4 * r + 2) * step, d##r##2 - d##r##1);                                     \
        vf_store(out + (4 * r + 3) * step, d##r##1 - d##r##3);                                     \
    }

#define TRANSFORM_INPUT(load)                                                                      \
    vf d00, d01, d02, d03, d10, d11, d12, d13, d20, d21, d22, d23, d30, d31, d32, d33;             \
    const stored *p0 = rows[0], *p1 = rows[1], *p2 = rows[2], *p3 = rows[3];                       \
    INPUT_COLUMN(load, 0, p0, p1, p2, p3)                                                          \
    INPUT_COLUMN(load, 1, p0 + next, p1 + next, p2 + next, p3 + next)                              \
    INPUT_COLUMN(load, 2, p0 + 2 * next, p1 + 2 * next, p2 + 2 * next, p3 + 2 * next)              \
    INPUT_COLUMN(load, 3, p0 + 3 * next, p1 + 3 * next, p2 + 3 * next, p3 + 3 * next)              \
    INPUT_ROW(0)                                                                                   \
    INPUT_ROW(1)                                                                                   \
    INPUT_ROW(2)                                                                                   \
    INPUT_ROW(3)

/* out[f * step] = (B^T d B)[f] for VF channels of the 4x4 d: rows[r] + c * next. */
INLINE void transform_input(float *out, size_t step, const stored *const rows[4],
                            ptrdiff_t next){TRANSFORM_INPUT(vs_load)}

/* The same of what a PReLU with these slopes makes of d. */
INLINE void transform_prelu(float *out, size_t step, const stored *const rows[4], ptrdiff_t next,
                            vf slopes){
#define LOAD_PRELU(p) prelu_apply(vs_load(p), slopes)
    TRANSFORM_INPUT(LOAD_PRELU)
#undef LOAD_PRELU
}

/* y[2 r + c] = (A^T m A)[r][c] of the 16 products at m + f * step. */
INLINE void transform_products(vf y[4], const float *m, size_t step)
{
    vf a[4], b[4];
    for (size_t c = 0; c < 4; c++) {
        vf m0 = vf_load(m + c * step), m1 = vf_load(m + (4 + c) * step);
        vf m2 = vf_load(m + (8 + c) * step), m3 = vf_load(m + (12 + c) * step);
        a[c] = m0 + m1 + m2, b[c] = m1 - m2 - m3;
    }
    y[0] = a[0] + a[1] + a[2], y[1] = a[1] - a[2] - a[3];
    y[2] = b[0] + b[1] + b[2], y[3] = b[1] - b[2] - b[3];
}

/* out[f * step] = (A y A^T)[f] of the 2x2 outputs y. */
INLINE void transform_outputs(float *out, size_t step, const vf y[4])
{
    vf l[4] = {y[0], y[0] + y[2], y[0] - y[2], -y[2]};
    vf r[4] = {y[1], y[1] + y[3], y[1] - y[3], -y[3]};
    for (size_t k = 0; k < 4; k++, out += 4 * step) {
        vf_store(out, l[k]);
        vf_store(out + step, l[k] + r[k]);
        vf_store(out + 2 * step, l[k] - r[k]);
        vf_store(out + 3 * step, -r[k]);
    }
}

/* u[4 r + c] = (G g G^T)[r][c] of the kernel's nine taps. */
INLINE void transform_taps(vf u[16], const vf g[9])
{
    vf t[4][3], half = vf_set(0.5F);
    for (int c = 0; c < 3; c++) {
        vf sum = g[c] + g[6 + c];
        t[0][c] = g[c], t[1][c] = (sum + g[3 + c]) * half, t[2][c] = (sum - g[3 + c]) * half;
        t[3][c] = g[6 + c];
    }
    for (int r = 0; r < 4; r++) {
        vf sum = t[r][0] + t[r][2];
        u[4 * r] = t[r][0], u[4 * r + 1] = (sum + t[r][1]) * half;
        u[4 * r + 2] = (sum - t[r][1]) * half, u[4 * r + 3] = t[r][2];
    }
}

/* g = G^T m G of the 16 sums at m + f * step: a kernel's gradient. */
INLINE void transform_sums(vf g[9], const float *m, size_t step)
{
    vf u[3][4], half = vf_set(0.5F);
    for (size_t c = 0; c < 4; c++) {
        vf m0 = vf_load(m + c * step), m1 = vf_load(m + (4 + c) * step);
        vf m2 = vf_load(m + (8 + c) * step), m3 = vf_load(m + (12 + c) * step);
        vf sum = (m1 + m2) * half;
        u[0][c] = m0 + sum, u[1][c] = (m1 - m2) * half, u[2][c] = sum + m3;
    }
    for (int r = 0; r < 3; r++) {
        vf sum = (u[r][1] + u[r][2]) * half;
        g[3 * r] = u[r][0] + sum, g[3 * r + 1] = (u[r][1] - u[r][2]) * half;
        g[3 * r + 2] = sum + u[r][3];
    }
}

#endif
