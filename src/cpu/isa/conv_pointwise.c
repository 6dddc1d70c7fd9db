/* Functions of each number alone, on tensors of one type: see struct nn_pointwise in
 * device/nn_ops.h. */
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_stored.h"
#include "cpu/isa/pointwise_simd.h"
#include "cpu/nn/conv_kernels.h"

/* `count` numbers from p on, at most VF of them. */
INLINE vf pointwise_load(const stored *p, size_t count)
{
    return count >= VF ? vs_load(p) : vs_load_some(p, (int)count);
}

INLINE void pointwise_store(stored *p, vf v, size_t count)
{
    if (count >= VF)
        vs_store(p, v);
    else
        vs_store_some(p, v, (int)count);
}

void ISA_NAME(conv_pointwise_forward)(enum nn_pointwise_function function, void *y, const void *a,
                                      const void *b, size_t count)
{
    stored *to = y;
    const stored *first = a, *second = b;
    for (size_t i = 0; i < count; i += VF) {
        vf x = pointwise_load(first + i, count - i);
        vf other = function == NN_SILU ? vf_set(0) : pointwise_load(second + i, count - i);
        vf value = function == NN_SILU   ? pointwise_silu_vf(x)
                   : function == NN_GATE ? pointwise_gate_vf(x, other)
                                         : pointwise_residual_vf(x, other);
        pointwise_store(to + i, value, count - i);
    }
}

void ISA_NAME(conv_pointwise_dgrad)(enum nn_pointwise_function function, int operand, void *to,
                                    const void *dy, const void *a, const void *b, size_t count,
                                    int add)
{
    stored *out = to;
    const stored *first = a, *second = b, *from = dy;
    for (size_t i = 0; i < count; i += VF) {
        if (function == NN_RESIDUAL) {
            vf part =
                vf_set(operand == 1 ? 1 : POINTWISE_RESIDUAL) * pointwise_load(from + i, count - i);
            if (add) part += pointwise_load(out + i, count - i);
            pointwise_store(out + i, part, count - i);
            continue;
        }
        vf x = pointwise_load(first + i, count - i), slope;
        if (function == NN_SILU)
            slope = pointwise_silu_slope_vf(x);
        else if (operand == 1)
            slope = pointwise_gate_slope_of_x_vf(x);
        else
            slope = pointwise_gate_slope_of_change_vf(x, pointwise_load(second + i, count - i));
        vf value = slope * pointwise_load(from + i, count - i);
        if (add) value += pointwise_load(out + i, count - i);
        pointwise_store(out + i, value, count - i);
    }
}
