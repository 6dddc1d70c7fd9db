/* What a device does for Gaussian splats. Every operation works on one image: height x width
 * pixels, `channels` samples each; pixel (row i, column j) has its centre at (j + 0.5, i + 0.5). */
#ifndef IMGTRAIN_DEVICE_SPLAT_OPS_H
#define IMGTRAIN_DEVICE_SPLAT_OPS_H

#include "base/host_device.h"
#include "math/pixel_loss.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;

/* The structs that a device compares whole (splat_training and all in it, splat_workspace) have no
 * padding: the compiler makes sure of it, and flags are ints. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

/* Borrowed parameters of `count` Gaussians, each array contiguous. */
struct splat_view {
    const float *xy;    /* [count][2] centre, 0..1 of the image's width and height */
    const float *scale; /* [count][2] 1 / sigma in pixels, or sigma with sigma_scale */
    const float *rot;   /* [count] radians */
    const float *feat;  /* [count][channels] colour */
    int64_t count;
    int channels;
    int sigma_scale;     /* a flag */
    int width, height;   /* the image that sigma's pixels belong to */
    const float *weight; /* [count] 0..SPLAT_MOST_WEIGHT: alpha is 2^-weight as large; NULL: 0 */
};

/* How Gaussians make a pixel, with alpha = 2^-weight exp(-q / 2): additive: sum of alpha c.
 * Otherwise (sum alpha c) / (sum alpha + 1e-4) over the topk largest alphas, or over all when topk
 * is 0. */
struct splat_blend {
    int topk;     /* 0..SPLAT_MAX_TOPK */
    int additive; /* a flag */
};

enum { SPLAT_MAX_TOPK = 32, SPLAT_MAX_CHANNELS = 64, SPLAT_MAX_SHRINK = 8, SPLAT_MOST_WEIGHT = 12 };

/* A Gaussian ends at this many sigmas. Normalised: alpha is then equal to the 1e-4 below the
 * fraction bar, so that a lone Gaussian fades to half there; a cut at 3 leaves holes.
 * Additive: alpha is .0022 there, half of an 8-bit step for a colour of 1. */
#define SPLAT_CUT_NORMALISED 4.3f
#define SPLAT_CUT_ADDITIVE 3.5f
#define SPLAT_DENOMINATOR 1e-4f

HOST_DEVICE static inline float splat_cut(const struct splat_blend *blend)
{
    return blend->additive ? SPLAT_CUT_ADDITIVE : SPLAT_CUT_NORMALISED;
}

/* The image to be fitted: [height][channels][width], so that each channel's row is contiguous. */
struct splat_target {
    int width, height, channels;
    int sample_bits;   /* 8, 16 (0..1 as unsigned) or 32 (float) */
    const void *data;  /* device memory, or host memory with `host_resident` */
    int host_resident; /* a flag: it comes in bands, see splat_storage.streamed_pixel */
    int first_row;     /* that data and weights begin with */
    /* [height][width], where data is; NULL: all count alike. A pixel's part of a mean is weight x
     * unit, whose mean is 1; of one over windows that lie inside the image weight x inner_unit. */
    const uint8_t *weights;
    float unit, inner_unit;
};

/* A pixel's weight, 0..1. */
HOST_DEVICE static inline float splat_target_weight(const struct splat_target *t, int y, int x)
{
    return t->weights
               ? (float)t->weights[(int64_t)(y - t->first_row) * t->width + x] * (1.0f / 255.0f)
               : 1;
}

/* A pixel's part of means over all of them. */
HOST_DEVICE static inline float splat_target_part(const struct splat_target *t, int y, int x)
{
    return t->weights ? (float)t->weights[(int64_t)(y - t->first_row) * t->width + x] * t->unit : 1;
}

/* Row y of channel c. */
HOST_DEVICE static inline const void *splat_target_row(const struct splat_target *t, int y, int c)
{
    int64_t bytes = (int64_t)t->width * (t->sample_bits / 8);
    return (const char *)t->data + ((int64_t)(y - t->first_row) * t->channels + c) * bytes;
}

HOST_DEVICE static inline float splat_target_sample(const struct splat_target *t, int y, int x,
                                                    int c)
{
    const void *row = splat_target_row(t, y, c);
    if (t->sample_bits == 8) return (float)((const uint8_t *)row)[x] * (1.0f / 255.0f);
    if (t->sample_bits == 16) return (float)((const uint16_t *)row)[x] * (1.0f / 65535.0f);
    return ((const float *)row)[x];
}

/* The rows of pixels that SSIM's windows lie around in a step. Windows of neighbouring rows differ
 * little: every second or fourth row, by turns, is half or a quarter of the work, and the same
 * gradient in the mean. Row `first` and every `step`-th one behind it: the number is step - 1 +
 * first. */
enum splat_ssim_rows {
    SPLAT_SSIM_ALL,
    SPLAT_SSIM_EVEN,
    SPLAT_SSIM_ODD,
    SPLAT_SSIM_FOURTH_0,
    SPLAT_SSIM_FOURTH_1,
    SPLAT_SSIM_FOURTH_2,
    SPLAT_SSIM_FOURTH_3,
};

HOST_DEVICE static inline int splat_ssim_step(enum splat_ssim_rows rows)
{
    return rows == SPLAT_SSIM_ALL ? 1 : rows < SPLAT_SSIM_FOURTH_0 ? 2 : 4;
}

HOST_DEVICE static inline int splat_ssim_first(enum splat_ssim_rows rows)
{
    return (int)rows - (splat_ssim_step(rows) - 1);
}

HOST_DEVICE static inline bool splat_ssim_has_row(enum splat_ssim_rows rows, int y)
{
    return (y & (splat_ssim_step(rows) - 1)) == splat_ssim_first(rows);
}

/* How many of `height` rows they are; 1 at least. */
HOST_DEVICE static inline int splat_ssim_row_count(enum splat_ssim_rows rows, int height)
{
    int step = splat_ssim_step(rows), count = (height - splat_ssim_first(rows) + step - 1) / step;
    return count < 1 ? 1 : count;
}

/* Weights: loss = sum of pixel[k] x mean of term k (math/pixel_loss.h) + ssim (1 - mean SSIM), the
 * latter of windows around ssim_rows. */
struct splat_loss {
    double pixel[PIXEL_LOSSES], ssim;
    enum splat_ssim_rows ssim_rows;
    int unused; /* so that there is no padding */
};

/* Means over pixels and channels. ssim_inner is over the windows that lie inside the image (all
 * windows when a side is below 11). */
struct splat_sums {
    double pixel[PIXEL_SUMS], ssim, ssim_inner;
};

HOST_DEVICE static inline double splat_loss_of(const struct splat_loss *loss,
                                               const struct splat_sums *sums)
{
    double value = 0;
    for (int k = 0; k < PIXEL_LOSSES; k++)
        value += loss->pixel[k] * sums->pixel[k];
    return loss->ssim > 0 ? value + loss->ssim * (1 - sums->ssim) : value;
}

/* What a term's slope is multiplied by in the gradient of a mean over `samples`. The weight is
 * rounded first: devices hold it as a float. */
HOST_DEVICE static inline float splat_loss_factor(double weight, double samples)
{
    return (float)((double)(float)weight / samples);
}

/* A gradient for every parameter, same shapes as the view's arrays; overwritten. */
struct splat_gradients {
    float *xy, *scale, *rot, *feat, *weight; /* weight: NULL where the view's is */
};

/* The groups of parameters, in the order of a model file. A group that a model does not have has no
 * columns. */
enum splat_group { SPLAT_XY, SPLAT_SCALE, SPLAT_ROT, SPLAT_FEAT, SPLAT_WEIGHT, SPLAT_GROUPS };

/* One group of parameters for Adam. */
struct splat_adam {
    float *parameter, *first, *second; /* [count][columns] */
    const float *gradient;
    int columns;
    int in_axes; /* a flag: with splat_rows.axes this group is updated in them */
    float rate;
    float low[2], high[2]; /* clamp after the update; column c uses [c & 1] */
    float unit;            /* in axes: what gradients are multiplied by, so that all are alike */
};

/* What Adam keeps of rows besides the moments of each number. With axes (math/axes.h) `first` and
 * `second` of the groups in them hold moments along the axes. */
struct splat_rows {
    const int32_t *born;   /* [count]: number of updates after which a row was added */
    float *axes, *moments; /* [count][n][n], [count][n (n + 1) / 2] of n = splat_axes_columns; NULL:
                              numbers by themselves. Set at a row's first update */
};

/* Columns that are updated in axes: all, or without the colours, where that were too many. */
static inline bool splat_axes_have_colours(int channels)
{
    return channels <= 4;
}
static inline int splat_axes_columns(int channels, int weighted)
{
    return 5 + weighted + (splat_axes_have_colours(channels) ? channels : 0);
}

/* Columns of an update that is in axes; 0: none of it is. */
static inline int splat_axes_used(const struct splat_adam *groups, int group_count,
                                  const struct splat_rows *rows)
{
    int columns = 0;
    for (int k = 0; k < group_count && rows->axes; k++)
        if (groups[k].in_axes) columns += groups[k].columns;
    return columns;
}

/* The weight by which splat_ops.sample draws pixels. */
enum splat_sampling {
    SPLAT_SAMPLE_GRADIENT, /* squared Sobel gradient of the target */
    SPLAT_SAMPLE_ERROR,    /* (mean over channels of |blurred target - render|)^2 */
};

/* What a workspace is for, and how a device may store what is as large as the image; one that
 * stores nothing of the kind (the CPU) ignores half and bands. */
struct splat_storage {
    int half;    /* a flag, use_amp: in half precision */
    int bands;   /* a flag, use_gradient_checkpointing: some rows at a time, those at their edges
                    made twice */
    int forward; /* a flag: for evaluate and render alone: a device may leave out what gradients
                    take */
    int rows;    /* for render alone, at most so many rows at a time: a device may leave out what
                    comparing takes, and threads that would have no rows; 0: for all */
    int streamed_pixel; /* bytes of a pixel of host-resident targets, with its weight; 0: none */
    int offload;        /* a flag: Adam's state is host-resident */
    int weighted, axes; /* flags: such state is of Gaussians with weights, updated in axes */
};

/* Used by one call at a time. */
struct splat_workspace {
    void *memory;
    size_t bytes;     /* at least workspace_bytes for the call's image and the capacity */
    int64_t capacity; /* Gaussians it was made for */
    struct splat_storage storage;
    void *staging; /* from alloc_host: for host-resident targets, and for images that are shown */
    size_t staging_bytes; /* 0: show allocates for the call */
};

/* One step of training. A device keeps what it has prepared for as long as all of it stays the same
 * but `t`, `b2`, the rows of SSIM's windows and the groups' rates and bounds
 * (splat_training_key). */
struct splat_training {
    struct splat_view view; /* what is rendered: the quantised parameters where bits are set */
    struct splat_blend blend;
    struct splat_target target;
    struct splat_loss loss;
    struct splat_gradients gradients;
    struct splat_adam groups[SPLAT_GROUPS];
    float *quantized[SPLAT_GROUPS]; /* written where bits[g] > 0 */
    int bits[SPLAT_GROUPS];         /* 0: not quantised */
    int unused;                     /* so that there is no padding */
    struct splat_rows rows;
    double b2; /* of Adam */
    int64_t t; /* updates including this one */
};

#pragma GCC diagnostic pop

/* What does not change from step to step, to be compared by memcmp: all but what kernels read anew
 * at each step. What is forgotten here costs time, never a wrong result. */
static inline struct splat_training splat_training_key(const struct splat_training *training)
{
    struct splat_training key = *training;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        key.groups[g].rate = key.groups[g].unit = 0;
        for (int k = 0; k < 2; k++)
            key.groups[g].low[k] = key.groups[g].high[k] = 0;
    }
    key.loss.ssim_rows = SPLAT_SSIM_ALL;
    key.b2 = 0;
    key.t = 0;
    return key;
}

/* Draws `count` different pixels with probabilities proportional to the weight; writes their
 * centres to xy [count][2] (0..1) and to color [count][channels] the target there, minus the render
 * for `residual`. Random numbers: (seed, stream, step, draw). */
struct splat_sample {
    enum splat_sampling weight;
    bool residual;
    uint64_t seed, step;
    uint32_t stream;
    int64_t count;
    float *xy, *color;
};

/* The importance of a Gaussian: by how much the image's squared error would grow without it, the
 * others as they are (one that would come into the top K in its place is not counted). Below 0: the
 * image would gain. Devices add up whole numbers of SPLAT_SHARE_UNIT, so that the order is free. A
 * pixel's share is cut at SPLAT_SHARE_MOST, far beyond any that matters; one that is NaN counts as
 * the least. */
#define SPLAT_SHARE_MOST 1024.0f
#define SPLAT_SHARE_UNIT 0x1p-24

/* Rows [y, y + height) and columns [x, x + width) of the image shown at full_width x full_height.
 */
struct splat_window {
    int full_width, full_height;
    int x, y, width, height;
};

/* How a rendered window is shown: [height][width][channels] samples. 8, 16 bits: clamped to 0..1
 * and rounded; 32: floats as they are. */
struct splat_display {
    int width, height; /* the window's; less: means over the area of a pixel, of samples shown */
    int sample_bits;
    bool alpha;    /* colours are divided by the last channel */
    bool weighted; /* means weigh colours by the last channel */
    float power;   /* that colours are raised to; negative: as they are */
};

/* Takes rows [y, y + count), in order. They are borrowed for the call. */
struct splat_receiver {
    int (*put)(void *argument, const void *rows, int y, int count);
    void *argument;
};

struct splat_ops {
    /* Bytes of workspace for images up to this size, this many Gaussians and `threads`. */
    size_t (*workspace_bytes)(const struct device *device, int width, int height, int channels,
                              int64_t capacity, const struct splat_storage *storage);
    /* Bytes of a workspace's staging for images of this size. NULL: none. */
    size_t (*staging_bytes)(const struct device *device, int width, int height, int channels,
                            const struct splat_storage *storage);

    /* Renders `view`, compares it with the target and writes the gradient of the loss by every
     * parameter. The same bits for any number of threads. `sums` is overwritten, but for
     * ssim_inner. */
    int (*step)(struct device *device, const struct splat_workspace *workspace,
                const struct splat_view *view, const struct splat_blend *blend,
                const struct splat_target *target, const struct splat_loss *loss,
                const struct splat_gradients *gradients, struct splat_sums *sums);

    /* Compares as a viewer would see it: render and target clamped to 0..1 and raised to `power`.
     * Overwrites `sums` (ssim is that of the clamped image, too). Sizes may differ: the view is
     * enlarged to the target. */
    int (*evaluate)(struct device *device, const struct splat_workspace *workspace,
                    const struct splat_view *view, const struct splat_blend *blend,
                    const struct splat_target *target, float power, struct splat_sums *sums);

    /* Renders the window of the image enlarged to its full size into out
     * [height][width][channels] floats of host memory, not clamped. */
    int (*render)(struct device *device, const struct splat_workspace *workspace,
                  const struct splat_view *view, const struct splat_blend *blend,
                  const struct splat_window *window, float *out);

    /* The same, but clamped to 0..1 and rounded to bytes (math/shown_sample.h): floats of a whole
     * image take longer to write and to read than to compute. NULL: the host makes them. */
    int (*render_bytes)(struct device *device, const struct splat_workspace *workspace,
                        const struct splat_view *view, const struct splat_blend *blend,
                        const struct splat_window *window, uint8_t *out);

    /* Renders the window and makes of it what is shown, so that only that comes to the host.
     * Nothing is allocated where the workspace has staging. A pixel covers at most SPLAT_MAX_SHRINK
     * of the window's a side. NULL: the host does it (splat/render.c). */
    int (*show)(struct device *device, const struct splat_workspace *workspace,
                const struct splat_view *view, const struct splat_blend *blend,
                const struct splat_window *window, const struct splat_display *display,
                const struct splat_receiver *to);

    /* Adam for `count` rows; `t`: number of updates including this one, b2: decay of the second
     * moments. Rows with a non-finite gradient are left alone; their number is returned through
     * *skipped. */
    int (*adam)(struct device *device, const struct splat_adam *groups, int group_count,
                int64_t count, const struct splat_rows *rows, int32_t t, double b2,
                int64_t *skipped);

    /* fake_quantize, step and adam in one, without adam when the loss is not finite. With `wait`,
     * *sums and *skipped are this step's. Without it a device may work ahead: then they are those
     * of the last step that was waited for, and once a loss is not finite the parameters stay as
     * they are until a call with `wait` has shown that loss. */
    int (*train)(struct device *device, const struct splat_workspace *workspace,
                 const struct splat_training *training, bool wait, struct splat_sums *sums,
                 int64_t *skipped);

    /* Draws pixels of the target. view may be NULL for SPLAT_SAMPLE_GRADIENT. */
    int (*sample)(struct device *device, const struct splat_workspace *workspace,
                  const struct splat_view *view, const struct splat_blend *blend,
                  const struct splat_target *target, const struct splat_sample *sample);

    /* Overwrites importance[view->count], in host memory; the target has the view's size. The same
     * bits for any number of threads. */
    int (*importance)(struct device *device, const struct splat_workspace *workspace,
                      const struct splat_view *view, const struct splat_blend *blend,
                      const struct splat_target *target, double *importance);

    /* out = values rounded to 2^bits - 1 steps between their least and greatest (Image-GS's
     * quantisation-aware training; the gradient passes straight through). */
    int (*fake_quantize)(struct device *device, const float *values, int64_t count, int bits,
                         float *out);

    /* *pairs of (Gaussian, pixel) within the cut: for figures of speed. */
    int (*count_pairs)(struct device *device, const struct splat_view *view,
                       const struct splat_blend *blend, int64_t *pairs);
};

#endif
