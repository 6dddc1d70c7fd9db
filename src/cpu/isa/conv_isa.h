/* The kernels of this folder in the variant for ISA; conv_kernels.h says what they do. */
#ifndef IMGTRAIN_CPU_ISA_CONV_ISA_H
#define IMGTRAIN_CPU_ISA_CONV_ISA_H

#include "cpu/isa/conv_simd.h"
#include "cpu/nn/conv_kernels.h"

enum { CONV_GEMM_COLS = VF == 16 ? 4 : 2 }; /* vectors of a panel: AVX-512 has 32 registers */

void ISA_NAME(conv_gemm_pack)(void *packed, const float *b, int k, int n, ptrdiff_t row,
                              ptrdiff_t column, int first, int last);
void ISA_NAME(conv_gemm)(void *out, const void *a, const void *packed, size_t first, size_t last,
                         int n, int k, const struct nn_epilogue *epilogue);
void ISA_NAME(conv_wgrad)(float *dw, const void *a, const void *b, int rows, int n, int k,
                          int first, int last, float *workspace);
void ISA_NAME(conv_group_pack)(void *packed, const float *weights, int group, int adjoint);
void ISA_NAME(conv_group_conv)(const struct nn_conv *shape, void *out, const void *in,
                               const void *packed, const struct nn_epilogue *epilogue, int group,
                               size_t first, int count, float *workspace);
void ISA_NAME(conv_group_wgrad)(const struct nn_conv *shape, float *sums, const void *in,
                                const void *dout, int group, size_t first, int count,
                                float *workspace);
void ISA_NAME(conv_group_unpack)(float *dw, const float *sums, int group);
void ISA_NAME(conv_dense_pack)(float *packed, const float *weights, const struct nn_conv *shape,
                               int adjoint, const struct dense_product *product, int first,
                               int last);
void ISA_NAME(conv_dense_inputs)(float *values, const struct nn_conv *shape, const void *tensor,
                                 const float *slopes, int channels, int pitch,
                                 const struct dense_block *block);
void ISA_NAME(conv_dense_gradients)(float *values, const struct nn_conv *shape, const void *tensor,
                                    int channels, int pitch, const struct dense_block *block);
void ISA_NAME(conv_dense_outputs)(void *tensor, const struct nn_conv *shape, const float *products,
                                  int channels, int pitch, const struct dense_block *block,
                                  const struct nn_epilogue *epilogue);
void ISA_NAME(conv_dense_unpack)(float *dw, const float *sums, const struct nn_conv *shape,
                                 int pitch, size_t step, int first, int last);
void ISA_NAME(conv_dense4_pack)(float *packed, const float *weights, const struct nn_conv *shape,
                                int adjoint, const struct dense_product *product, int first,
                                int last);
void ISA_NAME(conv_dense4_inputs)(float *values, const struct nn_conv *shape, const void *tensor,
                                  const float *slopes, int channels, int pitch,
                                  const struct dense_block *block);
void ISA_NAME(conv_dense4_gradients)(float *values, const struct nn_conv *shape, const void *tensor,
                                     int channels, int pitch, const struct dense_block *block);
void ISA_NAME(conv_dense4_outputs)(void *tensor, const struct nn_conv *shape, const float *products,
                                   int channels, int pitch, const struct dense_block *block,
                                   const struct nn_epilogue *epilogue);
void ISA_NAME(conv_dense4_unpack)(float *dw, const float *sums, const struct nn_conv *shape,
                                  int pitch, size_t step, int first, int last);
void ISA_NAME(conv_prelu_forward)(void *y, const void *z, const float *slopes, size_t rows, int c);
void ISA_NAME(conv_prelu_dgrad)(void *dz, const void *dy, const void *z, const float *slopes,
                                size_t rows, int c, int add);
void ISA_NAME(conv_prelu_sums)(float *sums, const void *dy, const void *z, size_t rows, int c,
                               int count);
void ISA_NAME(conv_pointwise_forward)(enum nn_pointwise_function function, void *y, const void *a,
                                      const void *b, size_t count);
void ISA_NAME(conv_pointwise_dgrad)(enum nn_pointwise_function function, int operand, void *to,
                                    const void *dy, const void *a, const void *b, size_t count,
                                    int add);
void ISA_NAME(conv_prelu_both)(void *dz, float *sums, const void *dy, const void *z,
                               const float *slopes, size_t rows, int c, int count);

#endif
