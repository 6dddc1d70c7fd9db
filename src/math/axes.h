/* Adam in axes of its own for each row of parameters: those in which its gradients do not go
 * together, as in SOAP (Vyas et al. 2024), with the whole matrix of a row's second moments. A
 * template over REAL: see math/real.h.
 *
 *   C <- b2 C + (1 - b2) g g',  Q: about its eigenvectors, one a row of `axes`,  a = Q g
 *   m <- b1 m + (1 - b1) a,  v <- b2 v + (1 - b2) a^2,  change = Q' (m step / (sqrt(v) root + eps))
 *
 * Axes are renewed now and then by one power iteration. m is turned with them, and v comes from C:
 * it is what v would be, had the new axes stood from the beginning. */
#include "base/host_device.h"

#include <math.h>
#include <stdint.h>

#ifndef IMGTRAIN_MATH_AXES_MOST
#define IMGTRAIN_MATH_AXES_MOST
/* Loops over columns are unrolled where their number is a constant: by half as fast. */
#define AXES_INLINE HOST_DEVICE static inline __attribute__((always_inline))
enum {
    AXES_MOST = 10,  /* columns of a row */
    AXES_EVERY = 10, /* updates of a row between renewals */
    AXES_FIRST = 20, /* update of a row with the first one */
};

/* Numbers of C of a row of n columns: the lower triangle, row by row. */
HOST_DEVICE static inline int axes_moments(int n)
{
    return n * (n + 1) / 2;
}
#endif

/* Of a row that begins. */
AXES_INLINE void FORMULA(axes_begin)(int n, REAL *moments, REAL *axes, REAL *mean, REAL *square)
{
    for (int i = 0; i < axes_moments(n); i++)
        moments[i] = 0;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++)
            axes[i * n + k] = i == k;
        mean[i] = square[i] = 0;
    }
}

/* out = C x */
AXES_INLINE void FORMULA(axes_times)(int n, const REAL *moments, const REAL *x, REAL *out)
{
    for (int i = 0; i < n; i++)
        out[i] = 0;
    for (int i = 0; i < n; i++) {
        const REAL *row = moments + axes_moments(i);
        REAL sum = row[i] * x[i];
        for (int k = 0; k < i; k++) {
            sum = REAL_FMA(row[k], x[k], sum);
            out[k] = REAL_FMA(row[k], x[i], out[k]);
        }
        out[i] += sum;
    }
}

AXES_INLINE REAL FORMULA(axes_dot)(int n, const REAL *a, const REAL *b)
{
    REAL sum = 0;
    for (int i = 0; i < n; i++)
        sum = REAL_FMA(a[i], b[i], sum);
    return sum;
}

/* next <- (C + ridge I) Q, orthonormal by Gram and Schmidt, twice; false: no basis. */
AXES_INLINE int FORMULA(axes_turn)(int n, const REAL *moments, const REAL *axes, REAL *next)
{
    REAL trace = 0;
    for (int i = 0; i < n; i++)
        trace += moments[axes_moments(i) + i];
    REAL ridge = trace * (REAL)1e-4 / (REAL)n;
    for (int i = 0; i < n; i++) {
        REAL *to = next + i * n;
        FORMULA(axes_times)(n, moments, axes + i * n, to);
        for (int k = 0; k < n; k++)
            to[k] = REAL_FMA(ridge, axes[i * n + k], to[k]);
        for (int turn = 0; turn < 2; turn++) {
            for (int j = 0; j < i; j++) {
                REAL along = FORMULA(axes_dot)(n, to, next + j * n);
                for (int k = 0; k < n; k++)
                    to[k] = REAL_FMA(-along, next[j * n + k], to[k]);
            }
            REAL length = FORMULA(axes_dot)(n, to, to);
            if (!(length > (REAL)1e-30)) return 0;
            length = 1 / REAL_SQRT(length);
            for (int k = 0; k < n; k++)
                to[k] *= length;
        }
    }
    return 1;
}

AXES_INLINE void FORMULA(axes_renew)(int n, const REAL *moments, REAL *axes, REAL *mean,
                                     REAL *square)
{
    REAL next[AXES_MOST * AXES_MOST], before[AXES_MOST], product[AXES_MOST];
    if (!FORMULA(axes_turn)(n, moments, axes, next)) return;
    for (int k = 0; k < n; k++)
        before[k] = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            before[k] = REAL_FMA(mean[i], axes[i * n + k], before[k]);
    for (int i = 0; i < n; i++) {
        const REAL *axis = next + i * n;
        mean[i] = FORMULA(axes_dot)(n, axis, before);
        FORMULA(axes_times)(n, moments, axis, product);
        REAL v = FORMULA(axes_dot)(n, axis, product);
        square[i] = v > 0 ? v : 0;
        for (int k = 0; k < n; k++)
            axes[i * n + k] = axis[k];
    }
}

/* A row's update by its gradient; `updates` it has seen, this one included. change: to be taken
 * from the parameters, each times its rate. */
AXES_INLINE void FORMULA(axes_update)(const struct FORMULA(adam) * a, int n, int64_t updates,
                                      const REAL *gradient, REAL *moments, REAL *axes, REAL *mean,
                                      REAL *square, REAL *change)
{
    if (updates >= AXES_FIRST && updates % AXES_EVERY == 0)
        FORMULA(axes_renew)(n, moments, axes, mean, square);
    for (int i = 0; i < n; i++) {
        REAL share = (1 - a->b2) * gradient[i], *row = moments + axes_moments(i);
        for (int k = 0; k <= i; k++)
            row[k] = REAL_FMA(share, gradient[k], a->b2 * row[k]);
        change[i] = 0;
    }
    for (int i = 0; i < n; i++) {
        const REAL *axis = axes + i * n;
        REAL along = FORMULA(axes_dot)(n, axis, gradient);
        REAL by = FORMULA(adam_update)(a, ADAM_SQUARE_LAST, 0, along, &mean[i], &square[i]);
        for (int k = 0; k < n; k++)
            change[k] = REAL_FMA(-by, axis[k], change[k]);
    }
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SQRT
