/* The inner loops of Gaussian splats on the CPU, compiled once for each instruction set
 * (src/cpu/isa). A band is one row of tiles: 16 rows of pixels. */
#ifndef IMGTRAIN_CPU_SPLAT_SPLAT_KERNELS_H
#define IMGTRAIN_CPU_SPLAT_SPLAT_KERNELS_H

#include "device/splat_ops.h"
#include "math/gaussian_form.h"
#include "math/ssim_window.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    TILE = 16,      /* pixels: one AVX-512 vector */
    PITCH_PAD = 16, /* columns behind a row that vectors may touch */
    SSIM_BLOCK = 4, /* rows of SSIM worked on at once; divides TILE */
    SSIM_MOMENTS = 4,
    SSIM_WORKSPACE_ROWS = SSIM_MOMENTS * (SSIM_BLOCK + 1),
    SPLAT_GEOMETRY = GAUSSIAN_SUMS, /* sums a gradient record holds before its channels */
};

/* A Gaussian in the image at hand. */
struct splat_projected {
    struct gaussian_form form;
    float weight;
    float left, right;    /* columns it reaches, a little wider than the cut */
    int32_t band0, band1; /* bands it reaches; band0 > band1: none */
};

/* A Gaussian within one band. */
struct splat_item {
    int32_t id;
    int32_t left, right; /* columns of the band that it may reach, inclusive */
    int32_t record;      /* index of its gradient record; < 0: carry record ~record */
};

/* A band that has been rendered: where column `left` of its 16 rows lies. */
struct splat_shown {
    const float *const *color, *const *target; /* [row][channel] */
    const float *const *threshold;             /* NULL: none */
    const float *const *inverse;
    const float *const *counts; /* by how much a pixel counts: 0 behind the columns */
    int left;
};

/* What the backward pass reads of a band: rows of `pitch` numbers, one behind the other. With the
 * colour C = sum alpha c inverse and g = dL/dC inverse: dL/dalpha = sum_c g_c (c_c - C_c), where
 * inverse is 1 and C_c missing for additive ones. */
struct splat_slopes {
    const float *gradient;  /* [row][channel]: g */
    const float *blended;   /* [row]: -sum_c g_c C_c; not read for additive ones */
    const float *threshold; /* [row]; NULL: none */
    int64_t pitch;
    int left; /* the column that rows begin with */
};

struct splat_kernels {
    const char *isa;

    /* Fills the items' left and right for columns from.. to - 1 of the band whose first row is y0;
     * keeps those that touch them, in order; returns how many. */
    int (*spans)(const struct splat_projected *projected, float cut_power, int y0, int from, int to,
                 struct splat_item *items, int count);

    /* Renders one tile: columns [16 tile, +16) of the rows y0.. y0 + 15. list: indices of items.
     * color[c][r], threshold[r], inverse[r]: where column `left` of each row lies. */
    void (*render_tile)(const struct splat_projected *projected, const struct splat_item *items,
                        const int32_t *list, int count, const float *feat, int channels,
                        const struct splat_blend *blend, float cut_power, int y0, int tile,
                        int left, float *workspace, float *const *color, float *const *threshold,
                        float *const *inverse);

    /* Adds to `record` the sums over the band's pixels of v dx, v dy, v dx^2, v dx dy, v dy^2, v
     * with v = dL/dalpha alpha, and of w g_c (the colour's gradient). */
    void (*backward_item)(const struct splat_projected *projected, const struct splat_item *item,
                          const float *feat, int channels, bool additive, float cut_power, int y0,
                          const struct splat_slopes *slopes, float *record);

    /* By how much the band's squared error grows without the item (device/splat_ops.h). */
    float (*share_item)(const struct splat_projected *projected, const struct splat_item *item,
                        const float *feat, int channels, bool additive, float cut_power, int y0,
                        const struct splat_shown *shown);

    /* `rows` (1..SSIM_BLOCK) rows of SSIM, `step` (1, 2 or 4) rows of pixels apart: x, t: the
     * ssim_inputs(step) rows around them, zeros where there are none. Overwrites for each row S and
     * its sum over columns from.. to - 1, and in the workspace the ssim_slope_row's: the partial
     * derivatives of S by E[x], E[x^2]+E[t^2], E[x t], zero behind `width`. workspace:
     * SSIM_WORKSPACE_ROWS of ssim_row_pitch(width). */
    void (*ssim_rows)(const float *const *x, const float *const *t, int width, int from, int to,
                      int rows, int step, float *workspace, float *const *s, float *sums);

    /* The adjoint, first: the window across an ssim_slope_row. */
    void (*ssim_slopes_across)(const float *slopes, int width, float *out);

    /* Second: from ssim_inputs(1) rows of the first, second and third of them (one list) to the
     * derivative of the sum of S by x, multiplied by `weight`, into `rows` rows of out. Of the rows
     * in the list `first` and every `step`-th one behind it are S's. */
    void (*ssim_adjoint_rows)(const float *const *maps, const float *const *x,
                              const float *const *t, int width, int rows, int step, int first,
                              float weight, float *const *out);

    /* A row of interleaved bytes (math/shown_sample.h) from rows of each channel. */
    void (*show_row)(const float *const *color, int channels, int width, uint8_t *out);

    /* Samples of 8, 16 (0..1 as unsigned) or 32 bits (float) as floats. */
    void (*load_row)(const void *samples, int bits, int width, float *row);

    /* g = ((ssim or 0) + slope of the pixel terms, each times its factor: math/pixel_loss.h) times
     * inverse; blended -= g x. g is zero behind `width`. Adds to sums[PIXEL_SUMS]. ssim, inverse, g
     * and blended may be NULL. */
    void (*loss_row)(const float *x, const float *t, const float *ssim, const float *inverse,
                     int width, const float *factor, float *g, float *blended, double *sums);
};

enum { SSIM_INPUTS_MOST = 4 * (SSIM_BLOCK - 1) + SSIM_TAPS };

/* Rows of pixels that the windows of SSIM_BLOCK rows reach. */
static inline int ssim_inputs(int step)
{
    return step * (SSIM_BLOCK - 1) + SSIM_TAPS;
}

/* Floats of workspace for render_tile. */
size_t splat_tile_workspace(void);

/* Workspace rows of SSIM have zeros before and behind: TILE of them, where windows reach
 * SSIM_RADIUS. */
static inline ptrdiff_t ssim_row_pitch(int width)
{
    return (width + TILE - 1) / TILE * TILE + PITCH_PAD + 2 * TILE;
}

static inline float *ssim_workspace_row(float *workspace, int width, int row)
{
    return workspace + row * ssim_row_pitch(width) + TILE;
}

/* Rows of a block's slopes lie where the moments of the row above it were. */
static inline float *ssim_slope_row(float *workspace, int width, int row, int slope)
{
    return ssim_workspace_row(workspace, width, row * SSIM_MOMENTS + slope);
}

static inline float *ssim_moment_row(float *workspace, int width, int row, int moment)
{
    return ssim_workspace_row(workspace, width, (row + 1) * SSIM_MOMENTS + moment);
}

static inline void ssim_clear_margins(float *workspace, int width, int row)
{
    float *p = ssim_workspace_row(workspace, width, row);
    memset(p - TILE, 0, sizeof(float) * TILE);
    memset(p + width, 0, sizeof(float) * (size_t)(ssim_row_pitch(width) - TILE - width));
}

/* The best table for this CPU; IMGTRAIN_ISA=base|avx2|avx512 picks a lesser one. */
const struct splat_kernels *splat_kernels_get(void);

#endif
