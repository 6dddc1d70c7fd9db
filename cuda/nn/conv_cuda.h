/* What the files of the convolutions share. Their operands: `in` has cin channels, `out` cout; with
 * `adjoint` the product goes from out to in. */
#ifndef IMGTRAIN_CUDA_NN_CONV_CUDA_H
#define IMGTRAIN_CUDA_NN_CONV_CUDA_H

#include "cuda/cuda_device.h"
#include "cuda/element.h"

extern "C" {
#include "cuda/cudnn/cudnn_graph.h"
}

enum {
    CONV_GROUP = 16, /* channels a group of the fast grouped convolution */
    CONV_THIN = 4,   /* channels at most that are too few for tiles of a matrix product */
};

/* One convolution or its adjoint: from the tensor `from` to `to`. */
struct conv_pass {
    struct cuda_device *device;
    struct nn_conv shape;
    bool adjoint;
    void *to;
    const void *from;
    const float *weights;
    struct nn_epilogue epilogue;
    void *workspace;
};

/* Any convolution, as nn_ops was asked for it. */
struct conv_call {
    struct cuda_device *device;
    enum cudnn_direction direction;
    struct nn_conv shape;
    void *to;         /* out, din or dw */
    const void *from; /* in, or dout of the gradient by the input */
    const void *with; /* dout of the gradient by the weights */
    const float *weights;
    struct nn_epilogue epilogue;
    void *workspace;
};

/* conv_ops.cu: by our own kernels. conv_library.cu: by cuDNN's where that was chosen. */
int conv_native(const struct conv_call *call);
int conv_by_library(const struct conv_call *call);
size_t conv_library_workspace(const struct nn_conv *s);

static inline bool conv_is_point(const struct nn_conv *s)
{
    return s->kernel == 1 && s->groups == 1;
}

/* A matrix product with one side of few channels. */
static inline bool conv_is_thin(const struct nn_conv *s)
{
    return conv_is_point(s) && (s->cin <= CONV_THIN || s->cout <= CONV_THIN);
}

static inline bool conv_is_group(const struct nn_conv *s)
{
    return s->kernel == 3 && s->cin == s->cout && s->cin == CONV_GROUP * s->groups &&
           s->in_type == s->out_type;
}

static inline bool conv_is_dense(const struct nn_conv *s)
{
    return s->kernel == 3 && s->groups == 1 && !conv_is_group(s);
}

/* bf16 products: both sides rounded, sums fp32. */
static inline bool conv_on_tensor_cores(enum nn_type type, int capability)
{
    return type == NN_BF16 && capability >= 80;
}

/* How the sums of wgrad are cut: each chunk into pieces, by the shape alone (not by n), so that a
 * batch may be cut at chunks. Units are rows (1x1) or tiles of pixels (3x3). */
struct conv_cut {
    int chunk_units, piece_units, pieces;
    size_t floats; /* of a piece's sums */
    int wave;      /* chunks at a time */
};

/* conv_point.cu: 1x1, a matrix product. conv_thin.cu: one of few channels. conv_group.cu: 3x3 with
 * 16 channels a group. conv_dense.cu: 3x3 of one group, any channels. conv_any.cu: what the
 * networks do not use. */
void conv_point(const struct conv_pass *pass);
void conv_thin(const struct conv_pass *pass);
void conv_group(const struct conv_pass *pass);
void conv_dense(const struct conv_pass *pass);
void conv_any(const struct conv_pass *pass);
void conv_any_wgrad(struct cuda_device *device, const struct nn_conv *s, float *dw, const void *in,
                    const void *dout);
size_t conv_point_workspace(const struct nn_conv *s); /* of a bf16 product, either way */
size_t conv_group_workspace(const struct nn_conv *s);

/* sums[chunk][piece][floats] of the first `chunks` chunks: every sum is written, in an order of its
 * own. */
void conv_point_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, size_t rows, const struct conv_cut *cut,
                       int chunks);
void conv_thin_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                      const void *in, const void *dout, size_t rows, const struct conv_cut *cut,
                      int chunks);
void conv_group_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, const struct conv_cut *cut, int chunks);
void conv_dense_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, const struct conv_cut *cut, int chunks);
int conv_dense_tiles(const struct nn_conv *s);                                   /* of an image */
int conv_group_tiles(const struct cuda_device *device, const struct nn_conv *s); /* of an image */

/* ---- the epilogue ---- */

template <typename T>
static __device__ inline float conv_finish(const struct nn_epilogue &e, float v, size_t i, int c)
{
    if (e.bias) v += e.bias[c];
    if (e.residual) v += cuda_element_element((const T *)e.residual, i);
    if (!(v > 0)) v *= e.slope;
    if (e.mask_in && !(e.mask_in[i / 8] >> i % 8 & 1)) v *= e.mask_slope;
    return v;
}

/* Where a row of sums in shared memory has column c: from 32 on the halves of every eight change
 * places, so that eight threads that read eight columns each, four at a time, meet all banks. */
static __device__ inline int conv_sum_at(int c)
{
    return c ^ (c >> 3 & 4);
}

/* Eight channels from element i, a multiple of 8, and channel c on; v: their sums, changed. */
template <typename T>
static __device__ inline void conv_finish_values8(const struct nn_epilogue &e, T *out, float v[8],
                                                  size_t i, int c)
{
    float residual[8];
    unsigned above = 0, kept = e.mask_in ? e.mask_in[i / 8] : 0xffu;
    if (e.residual) element_load8(residual, (const T *)e.residual, i);
    UNROLL
    for (int j = 0; j < 8; j++) {
        if (e.bias) v[j] += e.bias[c + j];
        if (e.residual) v[j] += residual[j];
        if (v[j] > 0) above |= 1u << j;
        if (!(v[j] > 0)) v[j] *= e.slope;
        if (!(kept >> j & 1)) v[j] *= e.mask_slope;
    }
    if (e.mask_out) e.mask_out[i / 8] = (uint8_t)above;
    element_store8(out, i, v);
}

/* Eight channels from element i and channel c on, whose sums begin at column k; i and k are
 * multiples of 8, `sums` is 16-byte aligned. */
template <typename T>
static __device__ inline void conv_finish8(const struct nn_epilogue &e, T *out, const float *sums,
                                           int k, size_t i, int c)
{
    float v[8];
    float4 low = *reinterpret_cast<const float4 *>(sums + conv_sum_at(k));
    float4 high = *reinterpret_cast<const float4 *>(sums + conv_sum_at(k + 4));
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
    conv_finish_values8(e, out, v, i, c);
}

/* Stores channels first .. first + columns of one row (pixel) of `channels`, from `sums`
 * (conv_sum_at). Called with `lane` of `lanes` threads for the row. Masks need channels that are a
 * multiple of 8. */
template <typename T>
static __device__ inline void conv_store_row(const struct nn_epilogue &e, T *out, const float *sums,
                                             size_t row, int first, int columns, int channels,
                                             int lane, int lanes)
{
    int there = min(columns, channels - first);
    size_t at = row * channels + first;
    if (channels % 8 == 0) {
        for (int k = 8 * lane; k < there; k += 8 * lanes)
            conv_finish8(e, out, sums, k, at + k, first + k);
    } else {
        for (int k = lane; k < there; k += lanes)
            element_set(out, at + k, conv_finish<T>(e, sums[conv_sum_at(k)], at + k, first + k));
    }
}

#endif
