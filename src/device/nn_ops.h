/* What a device can do for neural networks: one struct of functions, filled with the portable
 * reference (cpu/nn/nn_ref.c) and overridden by what is faster.
 *
 * Pictures and activations are N H W C (channels innermost, no padding), fp32 unless
 * their `type` says otherwise; weights, biases and gradients are fp32 in the layout of their
 * checkpoint tensors (convolutions O I H W, I counted within the group). No function allocates:
 * `conv_workspace` says beforehand how much workspace to hand in. Results never depend on the
 * thread count.
 *
 * Reduction chunks: a parameter gradient is accumulated as if by `dw += sum(chunk)` for one chunk
 * of `chunk` images after the other, each chunk's sum starting from zero in an order that depends
 * on the shape alone. So a batch may be cut into several calls at chunk boundaries and the bits
 * stay the same. Functions without a `chunk` use chunks of one image.
 *
 * Operations run in the order of the calls, but perhaps later: each returns what is known to have
 * failed when it is called (ERR_USAGE: a shape that it does not take), device->synchronize waits
 * for them and returns what failed since. All addresses are the device's. The device is the one
 * whose table this is; the CPU's operations never look at it, so that what has no device (metrics)
 * may hand in NULL.
 *
 * Masks: 1 bit an element, element i in bit i % 8 of byte i / 8; the channels of a masked tensor
 * are a multiple of 8. Set: the value was > 0. */
#ifndef IMGTRAIN_DEVICE_NN_OPS_H
#define IMGTRAIN_DEVICE_NN_OPS_H

#include "device/nn_losses.h"
#include "math/label_columns.h"
#include "math/score_loss.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Storage of activations and their gradients: bf16 is rounded to nearest even. Sums are always
 * fp32; products of two bf16 tensors may round the weights to bf16 too. */
enum nn_type { NN_F32, NN_BF16 };

static inline size_t nn_type_bytes(enum nn_type type)
{
    return type == NN_BF16 ? 2 : 4;
}

/* A convolution without stride that keeps the size: kernel 1, or kernel 3 with zero padding 1.
 * groups divides cin and cout. kernel 1 with groups 1 and h = w = 1 is a fully connected layer.
 * Fast ones: kernel 1, groups 1, any channels; kernel 3 with 16 channels a group, cin = cout;
 * kernel 3 with groups 1, any channels.
 *
 * The bits of one output pixel depend on the pixels that the definition gives it (zeros outside)
 * and on whether its coordinates in its image are odd, on nothing else: not on where in the image
 * or in the batch it lies, nor on the image's size; but where a library computes it
 * (conv_library.h). So an image may be cut into tiles: each must begin at even coordinates and
 * reach over what is kept of it by one pixel a layer. */
struct nn_conv {
    int n, h, w;
    int cin, cout;
    int kernel, groups;
    int chunk; /* images summed as one by wgrad; n is a multiple of it, or smaller */
    enum nn_type in_type, out_type; /* of the tensors with cin and with cout channels */
};

/* What is done to a sum before it is stored, in this order; every part may be absent (zeroed struct
 * with slope = 1). "output" is what the function writes. */
struct nn_epilogue {
    const float *bias;    /* [channels of the output], added */
    const void *residual; /* like the output (may be the output), added */
    float slope;          /* leaky ReLU: what is not > 0 is multiplied by this; 1 = none */
    uint8_t *mask_out;    /* like the output: bits of the values before the leaky ReLU */
    const uint8_t
        *mask_in; /* like the output: where clear, the value is multiplied by mask_slope */
    float mask_slope;
};

/* A resampling by two. n, h, w, c are the smaller tensor's. */
struct nn_fir {
    void *out;
    const void *in;
    enum nn_type out_type, in_type;
    int n, h, w, c;
    float scale;
    bool repeat; /* outside, the edge is repeated; else zeros */
};

/* out[sum of i_k out_stride[k]] = in[sum of i_k in_stride[k]], or (add) +=, for all i_k from 0 to
 * count[k] - 1; strides in elements, axes that are not used have count 1. No two elements of out
 * are the same; out and in do not overlap. Its adjoint is the same with out and in changed over. */
enum { NN_STRIDED_AXES = 5 };
struct nn_strided {
    void *out;
    const void *in;
    enum nn_type out_type, in_type;
    int count[NN_STRIDED_AXES]; /* the last axis fastest */
    ptrdiff_t out_stride[NN_STRIDED_AXES], in_stride[NN_STRIDED_AXES];
    bool add;
};

static inline struct nn_strided nn_strided_adjoint(struct nn_strided copy)
{
    struct nn_strided adjoint = copy;
    adjoint.out_type = copy.in_type;
    adjoint.in_type = copy.out_type;
    for (int axis = 0; axis < NN_STRIDED_AXES; axis++) {
        adjoint.out_stride[axis] = copy.in_stride[axis];
        adjoint.in_stride[axis] = copy.out_stride[axis];
    }
    return adjoint;
}

/* A leaky ReLU with a slope for each channel, which is learnt (PReLU): y = z where z > 0, slope z
 * elsewhere. Tensors of n images of `pixels` and c channels. */
struct nn_prelu {
    const void *z;       /* what it reads */
    const float *slopes; /* [c] */
    enum nn_type z_type, y_type;
    int n, pixels, c;
};

/* A function of each number alone, or of the numbers of two tensors of one shape: math/pointwise.h.
 * silu: of a; gate: of a and b; rgb_range: of a, whose channels are RGB; residual: b and a share of
 * a. The gradient of a residual reads neither. */
enum nn_pointwise_function { NN_SILU, NN_GATE, NN_RGB_RANGE, NN_RESIDUAL };
static inline int nn_pointwise_operands(enum nn_pointwise_function function)
{
    return function == NN_GATE || function == NN_RESIDUAL ? 2 : 1;
}

struct nn_pointwise {
    enum nn_pointwise_function function;
    const void *a, *b; /* b: NULL where the function has one operand */
    enum nn_type a_type, b_type, y_type;
    size_t count;
};

/* A convolution of what a PReLU makes of `z`, which is kept nowhere. in_type is z's, cin are its
 * channels. */
struct nn_prelu_conv {
    struct nn_conv conv;
    const void *z;
    const float *slopes; /* [cin] */
};

/* Normalisation of groups of neighbouring channels, math/group_moments.h, with a SiLU behind it or
 * not. x and y are n images, or bands of so many rows of n images: sums over a whole image are made
 * row by row, so bands that are handed in from the top on make the same bits. */
enum { NN_GROUP_NORM_CHANNELS = 4096 }; /* at most */
struct nn_group_norm {
    const void *x;              /* [n][rows][width][c] */
    const float *weight, *bias; /* [c] */
    enum nn_type x_type, y_type;
    int n, rows, width, c, groups;
    double pixels; /* of a whole image */
    float eps;
    bool silu;
    const double *sums; /* [n][groups][2]: of x and of its squares, over the whole image */
};

/* What an autoencoder makes of an image, math/latent.h; fp32. */
struct nn_latent {
    const float *moments; /* [n][pixels][2 c]: means, then logarithms of variances */
    const float *noise;   /* [n][pixels][c]; NULL: means are meant */
    int n, pixels, c;
};

/* What an image is compared by with the one that it should be, and what each term counts:
 * math/image_loss.h. */
enum nn_loss_term { NN_LOSS_L1, NN_LOSS_CHARBONNIER, NN_LOSS_MSE, NN_LOSS_TERMS };
struct nn_image_loss {
    double *sums; /* [n][NN_LOSS_TERMS]: of each image, without weights; overwritten */
    float *grad;  /* [n][count]: of out; overwritten */
    const float *out, *target;
    int n;
    size_t count;                /* numbers of an image */
    float weight[NN_LOSS_TERMS]; /* of the terms' sums in what `grad` is the gradient of */
};

/* The losses of a discriminator's map of scores: math/score_loss.h. */
enum { NN_SCORE_SUMS = 2 }; /* of an image: the loss, the scores */
struct nn_score_loss {
    double *sums; /* [n][NN_SCORE_SUMS], overwritten */
    float *grad;  /* [n][count]: weight times the loss's derivative; overwritten */
    const float *scores;
    int n;
    size_t count; /* scores of an image */
    enum score_kind kind;
    enum score_role role;
    float weight;
};

/* Spectral normalisation of w [rows][cols] (Miyato et al., ICLR 2018), by one step of power
 * iteration from u: next_v = w' u / |w' u|, next_u = w next_v / |w next_v|, sigma = next_u' w
 * next_v, out = w / sigma. Lengths are at least SPECTRAL_LEAST (math/spectral.h). */
struct nn_spectral {
    const float *w, *u;             /* u [rows] */
    float *out;                     /* like w */
    float *next_u, *next_v, *sigma; /* [rows], [cols], [1] */
    int rows, cols;
};

struct adam_f32; /* the numbers of one of Adam's steps: math/optimiser.h */

struct device;
struct conv_library; /* device/conv_library.h */

struct nn_ops {
    const char *name;
    bool bf16;                               /* NN_BF16 pays here; elsewhere it works, but slowly */
    const struct conv_library *conv_library; /* NULL: there is one way to convolve only */

    /* Bytes of workspace that the three convolutions need at most (64-byte aligned when handed in);
     * of shapes with chunk 0, for forward and dgrad alone. */
    size_t (*conv_workspace)(const struct device *device, const struct nn_conv *shape);
    /* out[n,h,w,cout] = epilogue(in[n,h,w,cin] * weights). out and in do not overlap. */
    int (*conv_forward)(struct device *device, const struct nn_conv *shape, void *out,
                        const void *in, const float *weights, const struct nn_epilogue *epilogue,
                        void *workspace);
    /* din[n,h,w,cin] = epilogue(adjoint of dout[n,h,w,cout]): bias, masks, residual are like din.
     */
    int (*conv_dgrad)(struct device *device, const struct nn_conv *shape, void *din,
                      const void *dout, const float *weights, const struct nn_epilogue *epilogue,
                      void *workspace);
    /* dw += in x dout */
    int (*conv_wgrad)(struct device *device, const struct nn_conv *shape, float *dw, const void *in,
                      const void *dout, void *workspace);
    /* db[c] += sum over images and pixels of dout[n,h,w,c] */
    int (*bias_grad)(struct device *device, float *db, const void *dout, enum nn_type type, int n,
                     int pixels, int c);

    /* FIR [1,3,3,1]/8 on both axes, zeros outside (or the edge), times `scale`: up doubles the grid
     * (y[2i] = x[i-1]/8 + 3 x[i]/8, y[2i+1] = 3 x[i]/8 + x[i+1]/8), down halves it. Either is the
     * other's adjoint. up: out[n,2h,2w,c] of in[n,h,w,c]; down the reverse. */
    int (*fir_up)(struct device *device, const struct nn_fir *fir);
    int (*fir_down)(struct device *device, const struct nn_fir *fir);

    /* Products with one weight for each channel and pixel, table [c][pixels]; `type` is that of the
     * tensor with pixels:
     * expand out[n,p,c] = table[c,p] s[n,c]; contract out[n,c] = sum_p table[c,p] x[n,p,c];
     * grad dtable[c,p] += sum_n s[n,c] x[n,p,c]. expand and contract are each other's adjoints. */
    int (*spatial_map_expand)(struct device *device, void *out, enum nn_type type, const float *s,
                              const float *table, int n, int pixels, int c);
    int (*spatial_map_contract)(struct device *device, float *out, const void *x, enum nn_type type,
                                const float *table, int n, int pixels, int c);
    int (*spatial_map_grad)(struct device *device, float *dtable, const float *s, const void *x,
                            enum nn_type type, int n, int pixels, int c);

    /* Embeddings, table [e][k], labels of n images: rows of `stride` floats. With V[n,i] =
     * label_entry of row i, which is table[i, label] without sets (math/label_columns.h), and dV
     * added to dtable by its adjoint:
     * gather out[n*stride + i] = V[n,i]; grad dV[n,i] = d[n*stride + i];
     * project out[n] = sum_i f[n,i] V[n,i]; project_dgrad df[n,i] = dout[n] V[n,i];
     * project_grad dV[n,i] = dout[n] f[n,i]. */
    int (*embed_gather)(struct device *device, float *out, const float *table,
                        struct nn_labels labels, int n, int e, int k, int stride);
    int (*embed_grad)(struct device *device, float *dtable, const float *d, struct nn_labels labels,
                      int n, int e, int k, int stride);
    int (*project)(struct device *device, float *out, const float *f, const float *table,
                   struct nn_labels labels, int n, int e, int k);
    int (*project_dgrad)(struct device *device, float *df, const float *dout, const float *table,
                         struct nn_labels labels, int n, int e, int k);
    int (*project_grad)(struct device *device, float *dtable, const float *dout, const float *f,
                        struct nn_labels labels, int n, int e, int k);

    /* out = (u - 128) / 128 for n images of `c` channels, mirrored left to right where flip[i]
     * (flip may be NULL) */
    int (*from_u8)(struct device *device, float *out, const uint8_t *pictures, const uint8_t *flip,
                   int n, int h, int w, int c);
    /* x[i] += factor[i] * y[i] for n images of `count` floats */
    int (*scale_add)(struct device *device, float *x, const float *y, const float *factor, int n,
                     size_t count);

    int (*strided_copy)(struct device *device, const struct nn_strided *copy);

    /* y is of y_type. dgrad: dz (z_type) = or, with `add`, += dy times 1 or the slope; dz may be dy
     * where types are equal. grad: dslopes[c] += sum over images and pixels of dy z where z is
     * not > 0. */
    int (*prelu_forward)(struct device *device, const struct nn_prelu *prelu, void *y);
    int (*prelu_dgrad)(struct device *device, const struct nn_prelu *prelu, void *dz,
                       const void *dy, bool add);
    int (*prelu_grad)(struct device *device, const struct nn_prelu *prelu, float *dslopes,
                      const void *dy);

    /* dx[i] *= slope where bit i of `mask` is clear; count is a multiple of 8. */
    int (*mask_slope)(struct device *device, void *dx, enum nn_type type, const uint8_t *mask,
                      float slope, size_t count);

    /* y is of y_type. dgrad: the gradient of operand 0 (a) or 1 (b) from y's, into `to` of its
     * type, or (add) added to it. */
    int (*pointwise_forward)(struct device *device, const struct nn_pointwise *pointwise, void *y);
    int (*pointwise_dgrad)(struct device *device, const struct nn_pointwise *pointwise, int operand,
                           void *to, const void *dy, bool add);

    /* As prelu_forward, prelu_dgrad and prelu_grad with the convolutions above, one after the
     * other; to the bit where in_type is fp32. dgrad: dz = what comes out of both, and dslopes +=
     * as prelu_grad, unless it is NULL. dz and z do not overlap. */
    size_t (*prelu_conv_workspace)(const struct device *device, const struct nn_conv *conv);
    int (*prelu_conv_forward)(struct device *device, const struct nn_prelu_conv *conv, void *out,
                              const float *weights, const struct nn_epilogue *epilogue,
                              void *workspace);
    int (*prelu_conv_dgrad)(struct device *device, const struct nn_prelu_conv *conv, void *dz,
                            const void *dout, const float *weights, float *dslopes,
                            void *workspace);
    int (*prelu_conv_wgrad)(struct device *device, const struct nn_prelu_conv *conv, float *dw,
                            const void *dout, void *workspace);

    /* Each image's sums are added in an order that depends on `count` alone. */
    int (*image_loss)(struct device *device, const struct nn_image_loss *loss);
    int (*reduced_loss)(struct device *device, const struct nn_reduced_loss *loss);
    int (*ssim_loss)(struct device *device, const struct nn_ssim_loss *loss);
    int (*fft_loss)(struct device *device, const struct nn_fft_loss *loss);
    int (*hsluv_loss)(struct device *device, const struct nn_hsluv_loss *loss);
    /* out[n][h / 2][w / 2][c]: the largest of 2 x 2, NaN where one is. dgrad: adds dout to the
     * first of those that are largest; fp32. n, h, w, c: of `in`. */
    int (*max_pool_forward)(struct device *device, float *out, const float *in, int n, int h, int w,
                            int c);
    int (*max_pool_dgrad)(struct device *device, float *din, const float *dout, const float *in,
                          int n, int h, int w, int c);
    int (*score_loss)(struct device *device, const struct nn_score_loss *loss);

    /* sums (like norm->sums, which is not read): adds those of these rows. y is of y_type. slopes
     * [n][c][2]: adds the sums over these rows of g and of g times the normalised x, g being dy
     * behind the SiLU. dgrad: dx (x_type) = or, with `add`, +=; slopes: over the whole image. grad:
     * what these make the gradients of weight and bias, added. */
    int (*group_norm_sums)(struct device *device, const struct nn_group_norm *norm, double *sums);
    int (*group_norm_forward)(struct device *device, const struct nn_group_norm *norm, void *y);
    int (*group_norm_slopes)(struct device *device, const struct nn_group_norm *norm,
                             double *slopes, const void *dy);
    int (*group_norm_dgrad)(struct device *device, const struct nn_group_norm *norm, void *dx,
                            const void *dy, const double *slopes, bool add);
    int (*group_norm_grad)(struct device *device, float *dweight, float *dbias,
                           const double *slopes, int n, int c);

    /* z [n][pixels][c]: a sample of each. dgrad: the gradient of moments from z's; overwritten. kl:
     * sums[n], overwritten: how far each image's latents are from standard normal ones; and what
     * `weight` times that adds to the gradient of moments. */
    int (*latent_sample)(struct device *device, const struct nn_latent *latent, float *z);
    int (*latent_dgrad)(struct device *device, const struct nn_latent *latent, float *dmoments,
                        const float *dz);
    int (*latent_kl)(struct device *device, const struct nn_latent *latent, double *sums,
                     float *dmoments, float weight);

    /* Of each row of `count` numbers, in its place. forward: exp(scale x) by its sum. dgrad: dy,
     * the gradient at y = what forward made, becomes that of x. */
    int (*softmax_forward)(struct device *device, float *x, int rows, int count, float scale);
    int (*softmax_dgrad)(struct device *device, float *dy, const float *y, int rows, int count,
                         float scale);

    /* spectral_grad: what g [rows][cols], the gradient at `out`, makes the gradient at `w`, the
     * vectors held fixed: g = (g - <g, out> next_u next_v') / sigma. */
    int (*spectral_norm)(struct device *device, const struct nn_spectral *spectral);
    int (*spectral_grad)(struct device *device, const struct nn_spectral *spectral, float *g);

    /* Flat ranges. adam: math/optimiser.h; m is NULL where b1 is 0. ema = beta ema + (1 - beta) p.
     * What changes from step to step is read where it lies, so that the same calls can be asked for
     * again. */
    int (*zero)(struct device *device, void *x, size_t bytes);
    int (*copy)(struct device *device, void *out, const void *in, size_t bytes);
    int (*adam)(struct device *device, float *p, float *m, float *v, const float *g, size_t count,
                const struct adam_f32 *rates);
    int (*ema)(struct device *device, float *e, const float *p, size_t count, const float *beta);
    /* *sum: of squares of a flat range, in a fixed order; inf or NaN where one is. Host memory, and
     * there when the call returns. */
    int (*norm2)(struct device *device, double *sum, const float *x, size_t count);
    /* x is multiplied by math/clip.h's factor; *norm2 (device memory): the squares' sum before. */
    int (*clip_norm)(struct device *device, float *x, size_t count, double most, double *norm2);
};

/* The operations with nn_prelu_conv out of the others of `ops`, with a buffer for what the PReLU
 * makes in the workspace: for devices that have no kernels of their own for it. */
size_t nn_composed_workspace(const struct nn_ops *ops, const struct device *device,
                             const struct nn_conv *conv);
int nn_composed_forward(const struct nn_ops *ops, struct device *device,
                        const struct nn_prelu_conv *conv, void *out, const float *weights,
                        const struct nn_epilogue *epilogue, void *workspace);
int nn_composed_dgrad(const struct nn_ops *ops, struct device *device,
                      const struct nn_prelu_conv *conv, void *dz, const void *dout,
                      const float *weights, float *dslopes, void *workspace);
int nn_composed_wgrad(const struct nn_ops *ops, struct device *device,
                      const struct nn_prelu_conv *conv, float *dw, const void *dout,
                      void *workspace);

/* ERR_USAGE unless operations take this shape; `what` names the operation. */
int nn_check_conv(const struct nn_conv *shape, const struct nn_epilogue *epilogue, bool adjoint);
int nn_check_conv_wgrad(const struct nn_conv *shape);
int nn_check_fir(const struct nn_fir *fir);
int nn_check_strided(const struct nn_strided *copy);
int nn_check_image_loss(const struct nn_image_loss *loss);
int nn_check_score_loss(const struct nn_score_loss *loss);
int nn_check_spectral(const struct nn_spectral *spectral);
int nn_check_pointwise(const struct nn_pointwise *pointwise, int operand);
int nn_check_group_norm(const struct nn_group_norm *norm);
int nn_check_sizes(const char *what, int n, int pixels, int c);
int nn_check_embedding(const char *what, int n, int e, int k, int stride);

/* The CPU's table: the reference everywhere, overridden for this CPU's instruction set. */
const struct nn_ops *nn_ops_cpu(void);
/* The plain reference. */
const struct nn_ops *nn_ops_reference(void);

#endif
