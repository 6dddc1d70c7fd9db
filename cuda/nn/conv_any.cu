/* Convolutions of any shape, a thread for each output: what the networks do not use. */
#include "cuda/nn/conv_cuda.h"

enum { BLOCK = 128 };

/* The sum of output element i. */
template <typename F>
static __device__ float any_sum(const F *in, const float *weights, const struct nn_conv &s,
                                bool adjoint, size_t i)
{
    int ci = s.cin / s.groups, co = s.cout / s.groups, k = s.kernel, r = k / 2;
    int from = adjoint ? co : ci, to = adjoint ? ci : co;
    int channels = adjoint ? s.cin : s.cout, channels_in = adjoint ? s.cout : s.cin;
    int c = (int)(i % channels), x = (int)(i / channels % s.w), y = (int)(i / channels / s.w % s.h);
    const F *picture = in + i / channels / s.w / s.h * s.h * s.w * channels_in;
    float sum = 0;
    for (int ky = 0; ky < k; ky++)
        for (int kx = 0; kx < k; kx++) {
            int yy = y + (adjoint ? r - ky : ky - r), xx = x + (adjoint ? r - kx : kx - r);
            if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
            size_t pixel = ((size_t)yy * s.w + xx) * channels_in + c / to * from;
            for (int j = 0; j < from; j++) {
                int o = adjoint ? c / to * co + j : c, inner = adjoint ? c % ci : j;
                sum += cuda_element_element(picture, pixel + j) *
                       weights[((size_t)o * ci + inner) * k * k + ky * k + kx];
            }
        }
    return sum;
}

template <typename T, typename F>
static __global__ void any_kernel(T *out, const F *in, const float *weights, struct nn_conv s,
                                  bool adjoint, struct nn_epilogue e, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    bool inside = i < count;
    int c = (int)(i % (adjoint ? s.cin : s.cout)), lane = threadIdx.x % 32;
    float sum = inside ? any_sum(in, weights, s, adjoint, i) : 0;
    if (e.mask_out) { /* eight lanes make a byte */
        float v = sum;
        if (inside && e.bias) v += e.bias[c];
        if (inside && e.residual) v += cuda_element_element((const T *)e.residual, i);
        unsigned above = __ballot_sync(0xffffffffu, inside && v > 0);
        if (inside && lane % 8 == 0) e.mask_out[i / 8] = (uint8_t)(above >> lane);
    }
    if (inside) element_set(out, i, conv_finish<T>(e, sum, i, c));
}

void conv_any(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    enum nn_type from = p->adjoint ? s->out_type : s->in_type;
    enum nn_type to = p->adjoint ? s->in_type : s->out_type;
    size_t count = (size_t)s->n * s->h * s->w * (p->adjoint ? s->cin : s->cout);
    cudaStream_t stream = p->device->stream;
    WITH_TYPE(to, T,
              WITH_TYPE(from, F,
                        LAUNCH((any_kernel<T, F>), cuda_blocks(count, BLOCK), BLOCK, 0, stream,
                               (T *)p->to, (const F *)p->from, p->weights, *s, p->adjoint,
                               p->epilogue, count)));
}

/* A thread for each weight. */
template <typename I, typename O>
static __global__ void any_wgrad_kernel(float *dw, const I *in, const O *dout, struct nn_conv s,
                                        int count)
{
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count) return;
    int ci = s.cin / s.groups, co = s.cout / s.groups, k = s.kernel, r = k / 2;
    int kx = at % k, ky = at / k % k, o = at / k / k / ci, c = o / co * ci + at / k / k % ci;
    float total = dw[at];
    for (int first = 0; first < s.n; first += s.chunk) {
        float sum = 0;
        for (int p = first; p < min(first + s.chunk, s.n); p++)
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++) {
                    int yy = y + ky - r, xx = x + kx - r;
                    if (yy < 0 || yy >= s.h || xx < 0 || xx >= s.w) continue;
                    size_t picture = (size_t)p * s.h;
                    sum += cuda_element_element(in, ((picture + yy) * s.w + xx) * s.cin + c) *
                           cuda_element_element(dout, ((picture + y) * s.w + x) * s.cout + o);
                }
        total += sum;
    }
    dw[at] = total;
}

void conv_any_wgrad(struct cuda_device *device, const struct nn_conv *s, float *dw, const void *in,
                    const void *dout)
{
    int count = s->cout * (s->cin / s->groups) * s->kernel * s->kernel;
    WITH_TYPE(s->in_type, I,
              WITH_TYPE(s->out_type, O,
                        LAUNCH((any_wgrad_kernel<I, O>), cuda_blocks((size_t)count, BLOCK), BLOCK,
                               0, device->stream, dw, (const I *)in, (const O *)dout, *s, count)));
}
