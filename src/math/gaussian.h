/* One 2D Gaussian: from its parameters to the quadratic form of a pixel, and back.
 * A template over REAL: see math/real.h.
 *
 *   R = [[cos, -sin], [sin, cos]], cov = R diag(sx, sy)^2 R^T, conic = cov^-1 = R diag(u, v) R^T
 *   with u = 1/sx^2, v = 1/sy^2:
 *     a = cos^2 u + sin^2 v      b = cos sin (u - v)      d = sin^2 u + cos^2 v
 *   q(dx, dy) = a dx^2 + 2 b dx dy + d dy^2,  alpha = exp(-q / 2)
 * Zhang et al., "Image-GS: Content-Adaptive Image Representation via 2D Gaussians", SIGGRAPH 2025.
 */

/* Conic of inverse sigmas (ix, iy) and the rotation's cosine and sine. */
HOST_DEVICE static inline void FORMULA(gaussian_conic)(REAL ix, REAL iy, REAL cosine, REAL sine,
                                                       REAL *a, REAL *b, REAL *d)
{
    REAL u = ix * ix, v = iy * iy;
    *a = cosine * cosine * u + sine * sine * v;
    *b = cosine * sine * (u - v);
    *d = sine * sine * u + cosine * cosine * v;
}

/* Adjoint of gaussian_conic: from the loss's gradient by a, b, d to that by ix, iy and the angle
 * (da/dt = -2b, db/dt = (cos^2 - sin^2)(u - v), dd/dt = 2b). Overwrites. */
HOST_DEVICE static inline void FORMULA(gaussian_conic_adjoint)(REAL ix, REAL iy, REAL cosine,
                                                               REAL sine, REAL ga, REAL gb, REAL gd,
                                                               REAL *gix, REAL *giy, REAL *gtheta)
{
    REAL u = ix * ix, v = iy * iy, cs = cosine * sine;
    REAL gu = ga * cosine * cosine + gb * cs + gd * sine * sine;
    REAL gv = ga * sine * sine - gb * cs + gd * cosine * cosine;
    *gix = 2 * ix * gu;
    *giy = 2 * iy * gv;
    *gtheta = (u - v) * (gb * (cosine * cosine - sine * sine) + 2 * cs * (gd - ga));
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
