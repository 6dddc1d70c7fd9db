/* Attention (token_ops.h) by the vector code of this machine: queries of a head over threads, in
 * the backward pass heads of keys. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/isa.h"
#include "cpu/token/attention_kernels.h"
#include "cpu/token/token_cpu.h"

#include <stdint.h>

static const struct attention_kernels *attention_kernels_get(void)
{
    switch (cpu_isa()) {
#ifdef __x86_64__
    case CPU_ISA_AMX:
    case CPU_ISA_AVX512_BF16:
    case CPU_ISA_AVX512: return &attention_kernels_avx512;
    case CPU_ISA_AVX2: return &attention_kernels_avx2;
#endif
    default: return &attention_kernels_base;
    }
}

struct attention_job {
    const struct attention_kernels *kernels;
    struct attention_operands operands;
    const struct token_attention_grads *grads;
    float *delta, *workspace;
};

static int attention_query_blocks(const struct token_attention *a)
{
    return (a->q_tokens + ATTENTION_QUERIES - 1) / ATTENTION_QUERIES;
}

static void attention_forward_parts(void *context, int64_t from, int64_t to)
{
    const struct attention_job *job = context;
    const struct token_attention *a = job->operands.a;
    int blocks = attention_query_blocks(a);
    for (int64_t i = from; i < to; i++) {
        int first = (int)(i % blocks) * ATTENTION_QUERIES, head = (int)(i / blocks % a->heads);
        int left = a->q_tokens - first;
        job->kernels->forward(&job->operands, (int)(i / blocks / a->heads), head, first,
                              left < ATTENTION_QUERIES ? left : ATTENTION_QUERIES);
    }
}

static int cpu_attention_forward(struct device *device, const struct token_attention *a, float *o,
                                 float *lse, const float *q, const float *k, const float *v)
{
    (void)device;
    TRY(token_check_attention(a));
    struct attention_job job = {.kernels = attention_kernels_get(),
                                .operands = {.a = a, .q = q, .k = k, .v = v, .o = o, .lse = lse}};
    int64_t each = (int64_t)ATTENTION_QUERIES * a->k_tokens * a->head_dim / 8;
    threads_for((int64_t)a->samples * a->heads * attention_query_blocks(a), threads_grain(each),
                attention_forward_parts, &job);
    return OK;
}

/* delta, then each thread's. */
static size_t attention_delta_floats(const struct token_attention *a)
{
    size_t rows = (size_t)a->samples * (size_t)a->heads * (size_t)a->q_tokens;
    return (rows + 15) / 16 * 16;
}

static size_t cpu_attention_workspace(const struct device *device, const struct token_attention *a)
{
    (void)device;
    size_t threads = (size_t)threads_count();
    return (attention_delta_floats(a) + threads * ATTENTION_WORKSPACE) * sizeof(float);
}

static void attention_backward_parts(void *context, int64_t from, int64_t to)
{
    const struct attention_job *job = context;
    const struct token_attention *a = job->operands.a;
    float *workspace = job->workspace + (size_t)threads_self() * ATTENTION_WORKSPACE;
    for (int64_t i = from; i < to; i++)
        job->kernels->backward(a, job->grads, (int)(i / a->kv_heads), (int)(i % a->kv_heads),
                               job->delta, workspace);
}

static int cpu_attention_backward(struct device *device, const struct token_attention *a,
                                  const struct token_attention_grads *grads)
{
    (void)device;
    TRY(token_check_attention_backward(a));
    struct attention_job job = {.kernels = attention_kernels_get(),
                                .operands = {.a = a},
                                .grads = grads,
                                .delta = grads->workspace};
    job.workspace = job.delta + attention_delta_floats(a);
    threads_for((int64_t)a->samples * a->kv_heads, 1, attention_backward_parts, &job);
    return OK;
}

void token_install_fast_attention(struct token_ops *ops)
{
    ops->attention_forward = cpu_attention_forward;
    ops->attention_workspace = cpu_attention_workspace;
    ops->attention_backward = cpu_attention_backward;
}
