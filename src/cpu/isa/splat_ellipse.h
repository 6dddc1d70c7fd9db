/* A Gaussian's ellipse in a band: the rows and pixels it reaches, and alpha there. */
#ifndef IMGTRAIN_CPU_ISA_SPLAT_ELLIPSE_H
#define IMGTRAIN_CPU_ISA_SPLAT_ELLIPSE_H

#include "cpu/isa/simd.h"
#include "cpu/splat/splat_kernels.h"
#include "math/real.h"

#define REAL vf
#define FORMULA(name) name##_vf
#define REAL_FMA(a, b, c) vf_fma(a, b, c)
#include "math/gaussian_power.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Where a Gaussian's ellipse begins and ends in each of a band's 16 rows, in pixel coordinates, a
 * little wider than the cut (the exact test is the power); lo > hi: not in the row. Cheaper to find
 * again for every tile than to keep for every Gaussian of a band. */
struct ellipse_rows {
    vf lo[TILE / LANES], hi[TILE / LANES];
    float dy[TILE], dy_square[TILE], power[TILE]; /* of each row: gaussian_power's row_square */
};

ALWAYS_INLINE void find_rows(const struct gaussian_form *g, float cut_power, int y0,
                             struct ellipse_rows *rows)
{
    for (int r = 0; r < TILE; r += LANES) {
        vf dy = (vf_set((float)(y0 + r) + 0.5f) + vf_iota()) - vf_set(g->my);
        vf room = vf_set(cut_power) - vf_set(g->row_power) * dy * dy;
        vf_store(rows->dy + r, dy);
        vf_store(rows->dy_square + r, dy * dy);
        vf_store(rows->power + r, vf_set(g->C) * dy * dy);
        vm reached = vf_lt(vf_set(0), room);
        vf half = vf_sqrt(vf_max(room * vf_set(g->inverse_A), vf_set(0)));
        /* A thousandth wider than the ellipse: rounding must not lose a pixel of it. */
        half = vf_fma(half, vf_set(1.0001f), vf_set(0.001f));
        half = vf_select(reached, half, vf_set(-1e30f));
        vf centre = vf_fma(vf_set(g->slope), dy, vf_set(g->mx));
        rows->lo[r / LANES] = centre - half;
        rows->hi[r / LANES] = centre + half;
    }
}

/* Rows first..last of `columns` columns from x0 that the ellipse reaches (they are neighbours: it
 * is convex); false if none. */
ALWAYS_INLINE bool rows_reached(const struct ellipse_rows *ellipse, float x0, int columns,
                                int *first, int *last)
{
    vf left = vf_set(x0 + 0.5f), right = vf_set(x0 + (float)columns - 0.5f);
    unsigned rows = 0;
    for (int r = 0; r < TILE; r += LANES) {
        int v = r / LANES;
        vm hit = vm_and(vf_le(ellipse->lo[v], right), vf_le(left, ellipse->hi[v]));
        rows |= vm_bits(hit) << r;
    }
    if (!rows) return false;
    *first = __builtin_ctz(rows);
    *last = 31 - __builtin_clz(rows);
    return true;
}

/* Alpha in row r where the pixel lies within the cut, else 0. All passes call the same function
 * with the same numbers, so that they agree on every bit of alpha. */
ALWAYS_INLINE vf alpha_within(vf column_square, vf column_linear, const struct ellipse_rows *rows,
                              int r, vf weight, vf cut_power)
{
    vf power = gaussian_power_vf(column_square, column_linear, vf_set(rows->dy[r]),
                                 vf_set(rows->power[r]));
    power = vf_max(power, vf_set(0)); /* rounding of a form that is never negative */
    vm within = vf_le(power, cut_power);
    return vf_keep(within, vf_exp2_negative(power + weight));
}

/* Distance of the 16 or fewer pixels from column x to the Gaussian's centre. */
ALWAYS_INLINE vf column_distance(const struct gaussian_form *g, int x)
{
    return (vf_set((float)x + 0.5f) + vf_iota()) - vf_set(g->mx);
}

#endif
