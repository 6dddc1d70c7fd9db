/* The convolution kernels of one instruction set and one type of tensors, N H W C. Each output
 * element is one sum in one order, so results do not depend on how the callers cut the work over
 * threads. */
#ifndef IMGTRAIN_CPU_NN_CONV_KERNELS_H
#define IMGTRAIN_CPU_NN_CONV_KERNELS_H

#include "device/nn_ops.h"

#include <stddef.h>

enum {
    CONV_WGRAD_CHUNK = 192,                     /* most rows of one call of wgrad */
    CONV_WGRAD_ALIGN = 32,                      /* k and n of its workspace: multiples of this */
    CONV_PRELU_SUMS = 64,                       /* most channels of one call of prelu_sums */
    GROUP = 16,                                 /* channels a group, in and out */
    GROUP_TILES = 24,                           /* most 2x2 output tiles of one call of group_* */
    GROUP_WEIGHTS = 16 * GROUP * GROUP,         /* floats of one group's transformed weights */
    GROUP_WORKSPACE = 16 * GROUP_TILES * GROUP, /* floats of one transformed operand */
};

/* Tiles of a dense 3x3 convolution that are worked on at once. */
struct dense_block {
    size_t first;    /* tile, counted over all images */
    int count, rows; /* rows >= count: of the matrices; what is past count is zero */
};

/* One of its products: [rows][depth] x [depth][columns]. Both are channels rounded up. */
struct dense_product {
    int depth, columns;
    size_t packed; /* floats from one product's packed weights to the next one's */
};

/* Dense 3x3 convolutions by Winograd's transforms of tiles of tile x tile outputs: `products` =
 * (tile + 2)^2 matrix products. These are gemm's and wgrad's of the table for floats; `tensor` is
 * of this table's type. */
struct dense_transforms {
    int tile, products;
    /* Weights of depth first .. last - 1, transformed, as gemm takes them. */
    void (*pack)(float *packed, const float *weights, const struct nn_conv *shape, int adjoint,
                 const struct dense_product *product, int first, int last);
    /* values[products][rows][pitch] of the inputs of each tile; pitch: channels rounded up, a
     * multiple of 8, the rest zeros. slopes: of a PReLU that the inputs go through; NULL: none. */
    void (*inputs)(float *values, const struct nn_conv *shape, const void *tensor,
                   const float *slopes, int channels, int pitch, const struct dense_block *block);
    /* The same of the gradients of its outputs, for wgrad. */
    void (*gradients)(float *values, const struct nn_conv *shape, const void *tensor, int channels,
                      int pitch, const struct dense_block *block);
    /* tensor = epilogue(outputs) from products[products][rows][pitch]; pitch: a multiple of 16. */
    void (*outputs)(void *tensor, const struct nn_conv *shape, const float *products, int channels,
                    int pitch, const struct dense_block *block, const struct nn_epilogue *epilogue);
    /* dw += what transformed sums[products][..][pitch], `step` floats apart, mean for the input
     * channels first .. last - 1. */
    void (*unpack)(float *dw, const float *sums, const struct nn_conv *shape, int pitch,
                   size_t step, int first, int last);
};

struct conv_kernels {
    enum nn_type type; /* of in and out, of the packed weights and of what is counted in `values` */
    int panel;         /* columns of a packed panel of gemm */

    /* packed: ceil(n / panel) panels of [k][panel], zero filled, values; b[i][j] is b[i row + j
     * column]; k is even with bf16.
     * Packs the panels first <= p < last. */
    void (*gemm_pack)(void *packed, const float *b, int k, int n, ptrdiff_t row, ptrdiff_t column,
                      int first, int last);
    /* out[m][n] = epilogue(a[m][k] b[k][n]) for the rows first <= m < last; out, a and the
     * epilogue's pointers stand at row 0. */
    void (*gemm)(void *out, const void *a, const void *packed, size_t first, size_t last, int n,
                 int k, const struct nn_epilogue *epilogue);
    /* dw[k][n] += sum over `rows` <= CONV_WGRAD_CHUNK of a[row][k] b[row][n], for the columns first
     * <= c < last (first: a multiple of CONV_WGRAD_ALIGN). workspace: CONV_WGRAD_CHUNK *
     * (k + CONV_WGRAD_ALIGN) floats, k rounded up to CONV_WGRAD_ALIGN. */
    void (*wgrad)(float *dw, const void *a, const void *b, int rows, int n, int k, int first,
                  int last, float *workspace);

    /* Grouped 3x3, padding 1, by Winograd's F(2x2,3x3) (Lavin and Gray, arXiv:1509.09308): the grid
     * of n h w is cut into n * ceil(h/2) * ceil(w/2) tiles; 4x4 inputs of a tile become 16 matrix
     * products of 16 x 16 channels, in fp32 whatever the type. */
    /* Transforms group g of weights [c][16][3][3]; adjoint: for dgrad. */
    void (*group_pack)(void *packed, const float *weights, int group, int adjoint);
    /* out = epilogue(in * weights) for one group's tiles first <= t < first + count. */
    void (*group_conv)(const struct nn_conv *shape, void *out, const void *in, const void *packed,
                       const struct nn_epilogue *epilogue, int group, size_t first, int count,
                       float *workspace);
    /* sums (GROUP_WEIGHTS) += in x dout over these tiles; workspace: 2 * GROUP_WORKSPACE floats. */
    void (*group_wgrad)(const struct nn_conv *shape, float *sums, const void *in, const void *dout,
                        int group, size_t first, int count, float *workspace);
    /* dw[c][16][3][3] += what transformed sums mean for group g. */
    void (*group_unpack)(float *dw, const float *sums, int group);

    /* Dense 3x3, padding 1, any channels: forward by F(2x2,3x3), gradients by F(4x4,3x3). */
    struct dense_transforms dense[2];

    /* struct nn_prelu of device/nn_ops.h for `rows` pixels of c channels, all tensors of this type.
     * sums[count] = sum of dy z where z is not > 0, of the first `count` channels. */
    void (*prelu_forward)(void *y, const void *z, const float *slopes, size_t rows, int c);
    void (*prelu_dgrad)(void *dz, const void *dy, const void *z, const float *slopes, size_t rows,
                        int c, int add);
    void (*prelu_sums)(float *sums, const void *dy, const void *z, size_t rows, int c, int count);

    /* struct nn_pointwise but for rgb_range, `count` numbers, all tensors of this type. */
    void (*pointwise_forward)(enum nn_pointwise_function function, void *y, const void *a,
                              const void *b, size_t count);
    void (*pointwise_dgrad)(enum nn_pointwise_function function, int operand, void *to,
                            const void *dy, const void *a, const void *b, size_t count, int add);
    /* Both of these, of the first `count` channels: dz may be dy. */
    void (*prelu_both)(void *dz, float *sums, const void *dy, const void *z, const float *slopes,
                       size_t rows, int c, int count);
};

extern const struct conv_kernels conv_kernels_base;
#if defined(__x86_64__)
extern const struct conv_kernels conv_kernels_avx2, conv_kernels_avx512, conv_kernels_bf16;
#endif

#endif
