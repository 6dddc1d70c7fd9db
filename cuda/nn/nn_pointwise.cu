/* Functions of each number alone: see struct nn_pointwise in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/nn_cuda.h"
#include "math/formulas_f32.h"

enum { BLOCK = 256 };

template <typename A, typename B, typename Y>
static __global__ void pointwise_forward_kernel(enum nn_pointwise_function function, Y *y,
                                                const A *a, const B *b, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float x = cuda_element_element(a, i), value;
    if (function == NN_SILU)
        value = pointwise_silu_f32(x);
    else if (function == NN_GATE)
        value = pointwise_gate_f32(x, cuda_element_element(b, i));
    else if (function == NN_RESIDUAL)
        value = pointwise_residual_f32(x, cuda_element_element(b, i));
    else
        value = pointwise_rgb_range_f32(x, (int)(i % 3));
    element_set(y, i, value);
}

static int cuda_pointwise_forward(struct device *device, const struct nn_pointwise *p, void *y)
{
    TRY(nn_check_pointwise(p, 0));
    WITH_TYPE(p->y_type, Y, WITH_TYPE(p->a_type, A, WITH_TYPE(p->b_type, B, {
                                          LAUNCH((pointwise_forward_kernel<A, B, Y>),
                                                 cuda_blocks(p->count, BLOCK), BLOCK, 0,
                                                 cuda_stream(device), p->function, (Y *)y,
                                                 (const A *)p->a, (const B *)p->b, p->count);
                                      })));
    return cuda_take_error();
}

/* T: of the operand whose gradient this is. */
template <typename A, typename B, typename Y, typename T>
static __global__ void pointwise_dgrad_kernel(enum nn_pointwise_function function, int operand,
                                              T *to, const Y *dy, const A *a, const B *b,
                                              size_t count, bool add)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float x = function == NN_RESIDUAL ? 0 : cuda_element_element(a, i), slope;
    if (function == NN_RESIDUAL)
        slope = operand == 1 ? 1 : POINTWISE_RESIDUAL;
    else if (function == NN_SILU)
        slope = pointwise_silu_slope_f32(x);
    else if (function == NN_RGB_RANGE)
        slope = POINTWISE_RGB_RANGE;
    else if (operand == 1)
        slope = pointwise_gate_slope_of_x_f32(x);
    else
        slope = pointwise_gate_slope_of_change_f32(x, cuda_element_element(b, i));
    float value = slope * cuda_element_element(dy, i);
    if (add) value += cuda_element_element(to, i);
    element_set(to, i, value);
}

static int cuda_pointwise_dgrad(struct device *device, const struct nn_pointwise *p, int operand,
                                void *to, const void *dy, bool add)
{
    TRY(nn_check_pointwise(p, operand));
    unsigned blocks = cuda_blocks(p->count, BLOCK);
    WITH_TYPE(
        p->y_type, Y,
        WITH_TYPE(p->a_type, A, WITH_TYPE(p->b_type, B, {
                      if (operand == 1)
                          LAUNCH((pointwise_dgrad_kernel<A, B, Y, B>), blocks, BLOCK, 0,
                                 cuda_stream(device), p->function, operand, (B *)to, (const Y *)dy,
                                 (const A *)p->a, (const B *)p->b, p->count, add);
                      else
                          LAUNCH((pointwise_dgrad_kernel<A, B, Y, A>), blocks, BLOCK, 0,
                                 cuda_stream(device), p->function, operand, (A *)to, (const Y *)dy,
                                 (const A *)p->a, (const B *)p->b, p->count, add);
                  })));
    return cuda_take_error();
}

void nn_cuda_install_pointwise(struct nn_ops *ops)
{
    ops->pointwise_forward = cuda_pointwise_forward;
    ops->pointwise_dgrad = cuda_pointwise_dgrad;
}
