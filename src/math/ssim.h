/* SSIM of one pixel out of its window's moments, and its derivatives.
 * Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
 * A template over REAL: see math/real.h.
 *
 * mx, my = E[x], E[y]; ss = E[x^2] + E[y^2]; xy = E[x y]. With
 *   A1 = 2 mx my + C1, A2 = 2 (xy - mx my) + C2, B1 = mx^2 + my^2 + C1, B2 = ss - mx^2 - my^2 + C2:
 *   S = A1 A2 / (B1 B2)
 * S needs the two variances only as their sum, so four moments do, not five. */
#define SSIM_C1 0.0001 /* (0.01)^2 for samples in 0..1 */
#define SSIM_C2 0.0009 /* (0.03)^2 */

/* Returns S. Overwrites the derivatives of S by mx (my, y fixed), ss and xy. */
HOST_DEVICE static inline REAL FORMULA(ssim_pixel)(REAL mx, REAL my, REAL ss, REAL xy, REAL *d_mx,
                                                   REAL *d_ss, REAL *d_xy)
{
    REAL product = mx * my, squares = mx * mx + my * my;
    REAL a1 = product + product + REAL_SET(SSIM_C1);
    REAL covariance = xy - product;
    REAL a2 = covariance + covariance + REAL_SET(SSIM_C2);
    REAL b1 = squares + REAL_SET(SSIM_C1);
    REAL b2 = ss - squares + REAL_SET(SSIM_C2);
    REAL inverse = REAL_SET(1) / (b1 * b2);
    REAL s = a1 * a2 * inverse;
    REAL inverse_b2 = inverse * b1;
    *d_xy = (a1 + a1) * inverse;
    *d_ss = REAL_SET(0) - s * inverse_b2;
    REAL half = my * (a2 - a1) * inverse - mx * s * (inverse * b2 - inverse_b2);
    *d_mx = half + half;
    return s;
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
