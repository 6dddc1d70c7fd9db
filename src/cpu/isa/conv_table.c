/* The convolution kernels of one instruction set. */
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_stored.h"

const struct conv_kernels ISA_NAME(conv_kernels) = {
    .type = sizeof(stored) == 2 ? NN_BF16 : NN_F32,
    .panel = CONV_GEMM_COLS * VF,
    .gemm_pack = ISA_NAME(conv_gemm_pack),
    .gemm = ISA_NAME(conv_gemm),
    .wgrad = ISA_NAME(conv_wgrad),
    .group_pack = ISA_NAME(conv_group_pack),
    .group_conv = ISA_NAME(conv_group_conv),
    .group_wgrad = ISA_NAME(conv_group_wgrad),
    .group_unpack = ISA_NAME(conv_group_unpack),
    .dense = {{.tile = 2,
               .products = 16,
               .pack = ISA_NAME(conv_dense_pack),
               .inputs = ISA_NAME(conv_dense_inputs),
               .gradients = ISA_NAME(conv_dense_gradients),
               .outputs = ISA_NAME(conv_dense_outputs),
               .unpack = ISA_NAME(conv_dense_unpack)},
              {.tile = 4,
               .products = 36,
               .pack = ISA_NAME(conv_dense4_pack),
               .inputs = ISA_NAME(conv_dense4_inputs),
               .gradients = ISA_NAME(conv_dense4_gradients),
               .outputs = ISA_NAME(conv_dense4_outputs),
               .unpack = ISA_NAME(conv_dense4_unpack)}},
    .prelu_forward = ISA_NAME(conv_prelu_forward),
    .prelu_dgrad = ISA_NAME(conv_prelu_dgrad),
    .prelu_sums = ISA_NAME(conv_prelu_sums),
    .pointwise_forward = ISA_NAME(conv_pointwise_forward),
    .pointwise_dgrad = ISA_NAME(conv_pointwise_dgrad),
};
