/* The reference of operations on rows of tokens, and the CPU's table. */
#include "cpu/token/token_cpu.h"

const struct token_ops *token_ops_reference(void)
{
    static struct token_ops table;
    struct token_ops ops = {.name = "reference"};
    token_install_linear(&ops);
    token_install_norms(&ops);
    token_install_rows(&ops);
    token_install_attention(&ops);
    token_install_embedding(&ops);
    table = ops; /* always the same bytes */
    return &table;
}

const struct token_ops *token_ops_cpu(void)
{
    static struct token_ops table;
    struct token_ops ops = *token_ops_reference();
    ops.name = "cpu";
    token_install_gemm(&ops);
    token_install_fast_attention(&ops);
    token_install_row_vectors(&ops);
    table = ops; /* always the same bytes for one IMGTRAIN_ISA */
    return &table;
}
