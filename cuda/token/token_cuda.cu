/* The CUDA table of operations on rows of tokens. */
#include "cuda/token/token_cuda.h"

const struct token_ops *token_ops_cuda(void)
{
    static struct token_ops table;
    struct token_ops ops = {};
    ops.name = "cuda";
    token_cuda_install_linear(&ops);
    token_cuda_install_norms(&ops);
    token_cuda_install_rows(&ops);
    token_cuda_install_attention(&ops);
    token_cuda_install_embedding(&ops);
    table = ops; /* always the same bytes */
    return &table;
}
