/* Functions of each number alone: see struct nn_pointwise in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/conv_kernels.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"
#include "math/formulas_f32.h"

#include <math.h>

struct pointwise_work {
    struct nn_pointwise p;
    int operand;
    void *to;       /* y, or a gradient */
    const void *dy; /* NULL: forward */
    bool add;
};

static float pointwise_value(const struct nn_pointwise *p, size_t i)
{
    float a = nn_get(p->a, p->a_type, i);
    switch (p->function) {
    case NN_SILU: return pointwise_silu_f32(a);
    case NN_GATE: return pointwise_gate_f32(a, nn_get(p->b, p->b_type, i));
    case NN_RESIDUAL: return pointwise_residual_f32(a, nn_get(p->b, p->b_type, i));
    default: return pointwise_rgb_range_f32(a, (int)(i % 3));
    }
}

static float pointwise_slope(const struct nn_pointwise *p, int operand, size_t i)
{
    if (p->function == NN_RGB_RANGE) return POINTWISE_RGB_RANGE;
    if (p->function == NN_RESIDUAL) return operand == 1 ? 1 : POINTWISE_RESIDUAL;
    float a = nn_get(p->a, p->a_type, i);
    if (p->function == NN_SILU) return pointwise_silu_slope_f32(a);
    if (operand == 1) return pointwise_gate_slope_of_x_f32(a);
    return pointwise_gate_slope_of_change_f32(a, nn_get(p->b, p->b_type, i));
}

static enum nn_type pointwise_to_type(const struct pointwise_work *w)
{
    if (!w->dy) return w->p.y_type;
    return w->operand == 1 ? w->p.b_type : w->p.a_type;
}

static void pointwise_numbers(void *context, int64_t begin, int64_t end)
{
    const struct pointwise_work *w = context;
    enum nn_type type = pointwise_to_type(w);
    for (size_t i = (size_t)begin; i < (size_t)end; i++) {
        float value = w->dy ? pointwise_slope(&w->p, w->operand, i) * nn_get(w->dy, w->p.y_type, i)
                            : pointwise_value(&w->p, i);
        if (w->add) value += nn_get(w->to, type, i);
        nn_put(w->to, type, i, value);
    }
}

static int reference_pointwise_forward(struct device *device, const struct nn_pointwise *p, void *y)
{
    struct pointwise_work work = {.p = *p, .to = y};
    (void)device;
    TRY(nn_check_pointwise(p, 0));
    threads_for((int64_t)p->count, threads_grain(32), pointwise_numbers, &work);
    return OK;
}

static int reference_pointwise_dgrad(struct device *device, const struct nn_pointwise *p,
                                     int operand, void *to, const void *dy, bool add)
{
    struct pointwise_work work = {.p = *p, .operand = operand, .to = to, .dy = dy, .add = add};
    (void)device;
    TRY(nn_check_pointwise(p, operand));
    threads_for((int64_t)p->count, threads_grain(32), pointwise_numbers, &work);
    return OK;
}

void nn_install_pointwise(struct nn_ops *ops)
{
    ops->pointwise_forward = reference_pointwise_forward;
    ops->pointwise_dgrad = reference_pointwise_dgrad;
}

/* ---- by kernels, where all tensors are of one type ---- */

static const struct conv_kernels *pointwise_f32, *pointwise_bf16;

static const struct conv_kernels *pointwise_kernels(const struct nn_pointwise *p)
{
    if (p->function == NN_RGB_RANGE || p->a_type != p->y_type) return NULL;
    if (nn_pointwise_operands(p->function) == 2 && p->b_type != p->y_type) return NULL;
    return p->y_type == NN_BF16 ? pointwise_bf16 : pointwise_f32;
}

static void pointwise_stretch(void *context, int64_t begin, int64_t end)
{
    const struct pointwise_work *w = context;
    const struct nn_pointwise *p = &w->p;
    const struct conv_kernels *k = pointwise_kernels(p);
    size_t at = (size_t)begin, count = (size_t)(end - begin);
    const void *a = nn_from(p->a, p->y_type, at);
    const void *b = p->b ? nn_from(p->b, p->y_type, at) : NULL;
    void *to = nn_to(w->to, p->y_type, at);
    if (!w->dy)
        k->pointwise_forward(p->function, to, a, b, count);
    else
        k->pointwise_dgrad(p->function, w->operand, to, nn_from(w->dy, p->y_type, at), a, b, count,
                           w->add);
}

static int cpu_pointwise_forward(struct device *device, const struct nn_pointwise *p, void *y)
{
    if (!pointwise_kernels(p)) return reference_pointwise_forward(device, p, y);
    struct pointwise_work work = {.p = *p, .to = y};
    TRY(nn_check_pointwise(p, 0));
    threads_for((int64_t)p->count, threads_grain(4), pointwise_stretch, &work);
    return OK;
}

static int cpu_pointwise_dgrad(struct device *device, const struct nn_pointwise *p, int operand,
                               void *to, const void *dy, bool add)
{
    if (!pointwise_kernels(p)) return reference_pointwise_dgrad(device, p, operand, to, dy, add);
    struct pointwise_work work = {.p = *p, .operand = operand, .to = to, .dy = dy, .add = add};
    TRY(nn_check_pointwise(p, operand));
    threads_for((int64_t)p->count, threads_grain(4), pointwise_stretch, &work);
    return OK;
}

void nn_install_pointwise_kernels(struct nn_ops *ops, const struct conv_kernels *f32,
                                  const struct conv_kernels *bf16)
{
    pointwise_f32 = f32;
    pointwise_bf16 = bf16;
    ops->pointwise_forward = cpu_pointwise_forward;
    ops->pointwise_dgrad = cpu_pointwise_dgrad;
}
