/* Elements of a tensor in another order: see struct nn_strided in device/nn_ops.h. */
#include "cuda/cuda_device.h"
#include "cuda/element.h"
#include "cuda/nn/nn_cuda.h"

enum { BLOCK = 256 };

/* The same copy without axes of one element, and with neighbours that lie alike in both tensors as
 * one: most have three axes left. */
struct strided_axes {
    int axes;
    unsigned count[NN_STRIDED_AXES]; /* the last axis fastest */
    ptrdiff_t out[NN_STRIDED_AXES], in[NN_STRIDED_AXES];
    size_t total;
};

static struct strided_axes strided_join(const struct nn_strided *s)
{
    struct strided_axes a;
    memset(&a, 0, sizeof a);
    a.total = 1;
    for (int axis = 0; axis < NN_STRIDED_AXES; axis++) {
        size_t count = (size_t)s->count[axis];
        ptrdiff_t out = s->out_stride[axis], in = s->in_stride[axis];
        int last = a.axes - 1;
        a.total *= count;
        if (count == 1) continue;
        bool alike = last >= 0 && a.out[last] == out * (ptrdiff_t)count &&
                     a.in[last] == in * (ptrdiff_t)count && a.count[last] * count <= INT32_MAX;
        if (!alike) last = a.axes++;
        a.count[last] = (unsigned)(alike ? a.count[last] * count : count);
        a.out[last] = out;
        a.in[last] = in;
    }
    return a;
}

/* N neighbouring elements a thread, 8 or 1: `total` of them, below 2^31. */
template <int N, typename O, typename I>
static __global__ void strided_copy_kernel(O *out, const I *in, struct strided_axes a,
                                           unsigned total, bool add)
{
    unsigned rest = blockIdx.x * blockDim.x + threadIdx.x;
    if (rest >= total) return;
    ptrdiff_t o = 0, i = 0;
    float v[N], before[N];
    for (int axis = a.axes - 1; axis >= 0; axis--) {
        unsigned next = axis > 0 ? rest / a.count[axis] : 0, at = rest - next * a.count[axis];
        rest = next;
        o += at * a.out[axis];
        i += at * a.in[axis];
    }
    element_load<N>(v, in, i);
    if (add) {
        element_load<N>(before, out, o);
        UNROLL
        for (int k = 0; k < N; k++)
            v[k] += before[k];
    }
    element_store<N>(out, o, v);
}

template <int N, typename O, typename I>
static void strided_launch(cudaStream_t stream, const struct nn_strided *s,
                           const struct strided_axes *axes)
{
    struct strided_axes a = *axes;
    int first = 0; /* axis of more than one element */
    while (first < a.axes - 1 && a.count[first] == 1)
        first++;
    if (a.total > cuda_launch_most && first < a.axes - 1) { /* in halves */
        struct strided_axes half = a;
        struct nn_strided rest = *s;
        half.count[first] /= 2;
        half.total = a.total / a.count[first] * half.count[first];
        rest.out = (O *)s->out + half.count[first] * a.out[first];
        rest.in = (const I *)s->in + half.count[first] * a.in[first];
        a.count[first] -= half.count[first];
        a.total -= half.total;
        strided_launch<N, O, I>(stream, s, &half);
        strided_launch<N, O, I>(stream, &rest, &a);
        return;
    }
    if (N > 1) { /* counted by N */
        a.count[a.axes - 1] /= N;
        a.out[a.axes - 1] *= N;
        a.in[a.axes - 1] *= N;
        a.total /= N;
    }
    LAUNCH((strided_copy_kernel<N, O, I>), cuda_blocks(a.total, BLOCK), BLOCK, 0, stream,
           (O *)s->out, (const I *)s->in, a, (unsigned)a.total, s->add);
}

/* Whether eight elements may move as one. */
static bool strided_is_wide(const struct nn_strided *s, const struct strided_axes *a)
{
    int last = a->axes - 1;
    bool wide = last >= 0 && a->out[last] == 1 && a->in[last] == 1 && a->count[last] % 8 == 0 &&
                (uintptr_t)s->out % 16 == 0 && (uintptr_t)s->in % 16 == 0;
    for (int axis = 0; axis < last; axis++)
        wide = wide && a->out[axis] % 8 == 0 && a->in[axis] % 8 == 0;
    return wide;
}

static int cuda_strided_copy(struct device *device, const struct nn_strided *s)
{
    TRY(nn_check_strided(s));
    struct strided_axes a = strided_join(s);
    WITH_TYPE(s->out_type, O, WITH_TYPE(s->in_type, I, {
                  if (strided_is_wide(s, &a))
                      strided_launch<8, O, I>(cuda_stream(device), s, &a);
                  else
                      strided_launch<1, O, I>(cuda_stream(device), s, &a);
              }));
    return cuda_take_error();
}

void nn_cuda_install_strided(struct nn_ops *ops)
{
    ops->strided_copy = cuda_strided_copy;
}
