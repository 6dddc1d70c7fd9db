/* The files that fill the CUDA table of network operations. */
#ifndef IMGTRAIN_CUDA_NN_CUDA_H
#define IMGTRAIN_CUDA_NN_CUDA_H

#include "cuda/launch.h"

const struct nn_ops *nn_ops_cuda(void);

void nn_cuda_install_optimiser(struct nn_ops *ops); /* nn_optimiser.cu: flat ranges */

#endif
