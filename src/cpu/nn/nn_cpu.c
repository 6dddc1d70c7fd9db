/* The CPU's table of network operations. */
#include "cpu/nn/nn_cpu.h"

const struct nn_ops *nn_ops_cpu(void)
{
    static struct nn_ops table;
    struct nn_ops ops = *nn_ops_reference();
    ops.name = "cpu";
    nn_install_conv(&ops);
    table = ops; /* always the same bytes for one IMGTRAIN_ISA */
    return &table;
}
