/* Elements of a tensor in another order: see struct nn_strided in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/nn_cuda.h"

enum { BLOCK = 256 };

/* One element a thread. */
template <typename O, typename I>
static __global__ void strided_copy_kernel(struct nn_strided s, size_t total)
{
    size_t rest = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    ptrdiff_t o = 0, i = 0;
    if (rest >= total) return;
    for (int axis = NN_STRIDED_AXES - 1; axis >= 0; axis--) {
        ptrdiff_t at = (ptrdiff_t)(rest % s.count[axis]);
        rest /= s.count[axis];
        o += at * s.out_stride[axis];
        i += at * s.in_stride[axis];
    }
    float value = cuda_element_element((const I *)s.in, i);
    if (s.add) value += cuda_element_element((const O *)s.out, o);
    element_set((O *)s.out, o, value);
}

static int cuda_strided_copy(struct device *device, const struct nn_strided *s)
{
    TRY(nn_check_strided(s));
    size_t total = 1;
    for (int axis = 0; axis < NN_STRIDED_AXES; axis++)
        total *= (size_t)s->count[axis];
    WITH_TYPE(s->out_type, O, WITH_TYPE(s->in_type, I, {
                  LAUNCH((strided_copy_kernel<O, I>), cuda_blocks(total, BLOCK), BLOCK, 0,
                         cuda_stream(device), *s, total);
              }));
    return cuda_take_error();
}

void nn_cuda_install_strided(struct nn_ops *ops)
{
    ops->strided_copy = cuda_strided_copy;
}
