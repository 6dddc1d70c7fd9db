/* What a device can do for neural networks: one struct of functions, filled with the portable
 * reference (cpu/nn/nn_ref.c) and overridden by what is faster.
 *
 * Pictures and activations are N H W C (channels innermost, no padding), fp32 unless
 * their `type` says otherwise; weights, biases and gradients are fp32 in the layout of their
 * checkpoint tensors (convolutions O I H W, I counted within the group). No function allocates:
 * `conv_workspace` says beforehand how much workspace to hand in. Results never depend on the
 * thread count.
 *
 * Sums over pictures: a parameter gradient is accumulated as if by `dw += sum(slice)` for one slice
 * of `slice` pictures after the other, each slice's sum starting from zero in an order that depends
 * on the shape alone. So a batch may be cut into several calls at slice boundaries and the bits
 * stay the same. Functions without a `slice` use slices of one picture.
 *
 * Operations run in the order of the calls, but perhaps later: device->synchronize waits for them
 * and returns what failed. All addresses are the device's.
 *
 * Masks: 1 bit an element, element i in bit i % 8 of byte i / 8; the channels of a masked tensor
 * are a multiple of 8. Set: the value was > 0. */
#ifndef IMGTRAIN_DEVICE_NN_OPS_H
#define IMGTRAIN_DEVICE_NN_OPS_H

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
 * The networks use: kernel 1, groups 1, any channels; kernel 3 with 16 channels a group, cin =
 * cout.
 */
struct nn_conv {
    int n, h, w;
    int cin, cout;
    int kernel, groups;
    int slice; /* pictures summed as one by wgrad; n is a multiple of it, or smaller */
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

struct nn_augment; /* the draws of DiffAugment for one picture: math/augment.h */
struct nn_adam;    /* the numbers of one of Adam's steps: math/optimiser.h */

/* What the losses of a step are summed to, in doubles. */
enum nn_sum {
    NN_SUM_LOSS,
    NN_SUM_REAL, /* scores */
    NN_SUM_FAKE,
    NN_SUM_SIGN, /* of score(real) - score(fake) */
    NN_SUM_R1,   /* |gradient|^2 at reals, at fakes */
    NN_SUM_R2,
    NN_SUM_ERROR, /* not a sum: the largest relative error of the penalty's identity */
    NN_SUMS
};

struct conv_library; /* device/conv_library.h */

struct nn_ops {
    const char *name;
    bool bf16;                               /* NN_BF16 pays here; elsewhere it works, but slowly */
    const struct conv_library *conv_library; /* NULL: there is one way to convolve only */

    /* Bytes of workspace that the three convolutions need at most (64-byte aligned when handed in).
     */
    size_t (*conv_workspace)(const struct nn_conv *shape);
    /* out[n,h,w,cout] = epilogue(in[n,h,w,cin] * weights). out and in do not overlap. */
    void (*conv_forward)(const struct nn_conv *shape, void *out, const void *in,
                         const float *weights, const struct nn_epilogue *epilogue, void *workspace);
    /* din[n,h,w,cin] = epilogue(adjoint of dout[n,h,w,cout]): bias, masks, residual are like din.
     */
    void (*conv_dgrad)(const struct nn_conv *shape, void *din, const void *dout,
                       const float *weights, const struct nn_epilogue *epilogue, void *workspace);
    /* dw += in x dout */
    void (*conv_wgrad)(const struct nn_conv *shape, float *dw, const void *in, const void *dout,
                       void *workspace);
    /* db[c] += sum over pictures and pixels of dout[n,h,w,c] */
    void (*bias_grad)(float *db, const void *dout, enum nn_type type, int n, int pixels, int c);

    /* FIR [1,3,3,1]/8 on both axes, zeros outside, times `scale`: up doubles the grid (y[2i] =
     * x[i-1]/8 + 3 x[i]/8, y[2i+1] = 3 x[i]/8 + x[i+1]/8), down halves it (h, w are its output's).
     * Either is the other's adjoint. up: out[n,2h,2w,c] of in[n,h,w,c]; down the reverse. */
    void (*fir_up)(void *out, enum nn_type out_type, const void *in, enum nn_type in_type, int n,
                   int h, int w, int c, float scale);
    void (*fir_down)(void *out, enum nn_type out_type, const void *in, enum nn_type in_type, int n,
                     int h, int w, int c, float scale);

    /* Products with one weight for each channel and pixel, table [c][pixels]; `type` is that of the
     * tensor with pixels:
     * expand out[n,p,c] = table[c,p] s[n,c]; contract out[n,c] = sum_p table[c,p] x[n,p,c];
     * grad dtable[c,p] += sum_n s[n,c] x[n,p,c]. expand and contract are each other's adjoints. */
    void (*spatial_map_expand)(void *out, enum nn_type type, const float *s, const float *table,
                               int n, int pixels, int c);
    void (*spatial_map_contract)(float *out, const void *x, enum nn_type type, const float *table,
                                 int n, int pixels, int c);
    void (*spatial_map_grad)(float *dtable, const float *s, const void *x, enum nn_type type, int n,
                             int pixels, int c);

    /* Embeddings, table [e][k], labels [n] in [0, k): rows of `stride` floats.
     * gather out[n*stride + i] = table[i, label]; grad dtable[i, label] += d[n*stride + i];
     * project out[n] = sum_i f[n,i] table[i, label]; project_dgrad df[n,i] = dout[n] table[i,
     * label]; project_grad dtable[i, label] += dout[n] f[n,i]. */
    void (*embed_gather)(float *out, const float *table, const int *labels, int n, int e, int k,
                         int stride);
    void (*embed_grad)(float *dtable, const float *d, const int *labels, int n, int e, int k,
                       int stride);
    void (*project)(float *out, const float *f, const float *table, const int *labels, int n, int e,
                    int k);
    void (*project_dgrad)(float *df, const float *dout, const float *table, const int *labels,
                          int n, int e, int k);
    void (*project_grad)(float *dtable, const float *dout, const float *f, const int *labels, int n,
                         int e, int k);

    /* Pictures of `c` channels, fp32. Picture i of `in` lies at in + i * in_stride floats; so for
     * out. augment: T; linear 1 leaves the offset (brightness) out. augment_adjoint: its transpose.
     * in and out do not overlap. */
    void (*augment)(float *out, ptrdiff_t out_stride, const float *in, ptrdiff_t in_stride,
                    const struct nn_augment *draws, int n, int h, int w, int c, int linear);
    void (*augment_adjoint)(float *out, ptrdiff_t out_stride, const float *in, ptrdiff_t in_stride,
                            const struct nn_augment *draws, int n, int h, int w, int c);
    /* out = (u - 128) / 128, mirrored left to right where flip[i] (flip may be NULL) */
    void (*from_u8)(float *out, const uint8_t *pictures, const uint8_t *flip, int n, int h, int w,
                    int c);
    /* x[i] += factor[i] * y[i] for n pictures of `count` floats */
    void (*scale_add)(float *x, const float *y, const float *factor, int n, size_t count);
    /* out[i] = sum of squares of picture i */
    void (*square_sums)(double *out, const float *x, int n, size_t count);

    /* The relativistic loss over pairs (math/gan_loss.h): adds to sums (means over `batch` pairs)
     * and writes dL/dscore. generator 0: scores and seeds [2n], real and fake alternating; 1:
     * scores of n fakes, then of n reals, seeds [n] of the fakes. */
    void (*pair_loss)(double *sums, float *seed, const float *scores, int n, int batch,
                      int generator);
    /* For n pictures, real and fake alternating, with seeds c: squares (of c times D's gradient)
     * become those of the gradient, sums get R1 and R2, factors what scale_add multiplies the
     * tangent by. *gamma: the penalty's weight. */
    void (*penalty)(double *sums, float *factors, double *squares, const float *seed,
                    const double *gamma, int n, int batch);
    /* Compares the second pass's scores `got` with what they must be. */
    void (*penalty_check)(double *sums, const float *got, const float *scores,
                          const double *squares, const float *seed, const double *gamma, int n,
                          int batch);

    /* Flat ranges. adam: math/optimiser.h. ema = beta ema + (1 - beta) p. What changes from step to
     * step is read where it lies, so that the same calls can be asked for again. */
    void (*zero)(void *x, size_t bytes);
    void (*copy)(void *out, const void *in, size_t bytes);
    void (*adam)(float *p, float *v, const float *g, size_t count, const struct nn_adam *rates);
    void (*ema)(float *e, const float *p, size_t count, const float *beta);
    /* sum of squares of a flat range, in a fixed order; inf or NaN where one is */
    double (*norm2)(const float *x, size_t count);
};

/* The CPU's table: the reference everywhere, overridden for this CPU's instruction set. */
const struct nn_ops *nn_ops_cpu(void);
/* The plain reference. */
const struct nn_ops *nn_ops_reference(void);

#endif
