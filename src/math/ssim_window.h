/* The window of SSIM: 11 taps of a Gaussian with sigma 1.5, normalised: one side and the centre. */
#ifndef IMGTRAIN_MATH_SSIM_WINDOW_H
#define IMGTRAIN_MATH_SSIM_WINDOW_H

enum { SSIM_RADIUS = 5, SSIM_TAPS = 2 * SSIM_RADIUS + 1 };
/* MS-SSIM: scales, and pixels of a side that are no window's centre. */
enum { MS_SSIM_SCALES = 5, MS_SSIM_MARGIN = 2 * SSIM_RADIUS };

/* ssim_window[k]: weight at distance k from the centre: exp(-k^2 / 4.5) / sum. */
#define SSIM_WINDOW                                                                                \
    {                                                                                              \
        0.2660117248617943f, 0.21300553771125366f, 0.1093606895097f, 0.03600077212843082f,         \
            0.007598758135239184f, 0.0010283800844791099f                                          \
    }
static const float ssim_window[SSIM_RADIUS + 1] = SSIM_WINDOW;

#endif
