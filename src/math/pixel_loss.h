/* The terms of a fit's loss that look at one sample alone: d = render - target. All that knows a
 * term stands here: its number, what it adds to the sums, and its slope. The loss is the sum of
 * weight x mean, and of SSIM's part (device/splat_ops.h). A new term is an entry of the enum, a
 * line in each of the two functions, a key in default.yaml and its weight in splat/splat_step.c. It
 * must be 0 at d = 0: vectors count columns behind the image as that. A template over REAL: see
 * math/real.h. It also needs REAL_ABS(x), REAL_SQRT(x) and REAL_SIGN(x), which is -1, 0 or 1. */
#ifndef IMGTRAIN_MATH_PIXEL_LOSS_H
#define IMGTRAIN_MATH_PIXEL_LOSS_H
enum pixel_sum {
    PIXEL_L1,                 /* |d| */
    PIXEL_L2,                 /* d^2 */
    PIXEL_LOSSES,             /* those above are terms of the loss; this one is only measured: */
    PIXEL_MSE = PIXEL_LOSSES, /* (clamp(render) - target)^2 */
    PIXEL_SUMS
};
#endif

#ifdef REAL

/* Adds each term of one sample to its sum. */
HOST_DEVICE static inline void FORMULA(pixel_loss_add)(REAL d, REAL *sums)
{
    sums[PIXEL_L1] = sums[PIXEL_L1] + REAL_ABS(d);
    sums[PIXEL_L2] = REAL_FMA(d, d, sums[PIXEL_L2]);
}

/* The derivative by d of the terms' sum, each multiplied by its factor. */
HOST_DEVICE static inline REAL FORMULA(pixel_loss_slope)(REAL d, const float *factor)
{
    return REAL_FMA(REAL_SET(factor[PIXEL_L1]), REAL_SIGN(d), REAL_SET(2 * factor[PIXEL_L2]) * d);
}

#undef REAL
#undef FORMULA
#undef REAL_FMA
#undef REAL_SET
#undef REAL_ABS
#undef REAL_SQRT
#undef REAL_SIGN
#endif
