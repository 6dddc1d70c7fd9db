/* Elements of a tensor in another order: see struct nn_strided in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"

#include <string.h>

/* The innermost line: count[4] elements from `o` and `i` on. */
static void copy_line(const struct nn_strided *s, ptrdiff_t o, ptrdiff_t i)
{
    int count = s->count[4];
    ptrdiff_t out_step = s->out_stride[4], in_step = s->in_stride[4];
    if (out_step == 1 && in_step == 1 && s->out_type == s->in_type && !s->add) {
        memcpy(nn_to(s->out, s->out_type, (size_t)o), nn_from(s->in, s->in_type, (size_t)i),
               (size_t)count * nn_type_bytes(s->in_type));
        return;
    }
    if (s->out_type == NN_F32 && s->in_type == NN_F32) {
        float *out = (float *)s->out + o;
        const float *in = (const float *)s->in + i;
        if (s->add)
            for (int k = 0; k < count; k++)
                out[k * out_step] += in[k * in_step];
        else
            for (int k = 0; k < count; k++)
                out[k * out_step] = in[k * in_step];
        return;
    }
    for (int k = 0; k < count; k++, o += out_step, i += in_step) {
        float value = nn_get(s->in, s->in_type, (size_t)i);
        if (s->add) value += nn_get(s->out, s->out_type, (size_t)o);
        nn_put(s->out, s->out_type, (size_t)o, value);
    }
}

/* Lines begin .. end - 1 of the four outer axes: their places are counted on, as lines may be as
 * short as a pixel's colours. */
static void copy_lines(void *context, int64_t begin, int64_t end)
{
    const struct nn_strided s = *(const struct nn_strided *)context;
    ptrdiff_t o = 0, i = 0;
    int at[4];
    for (int64_t axis = 3, rest = begin; axis >= 0; axis--) {
        at[axis] = (int)(rest % s.count[axis]);
        rest /= s.count[axis];
        o += at[axis] * s.out_stride[axis];
        i += at[axis] * s.in_stride[axis];
    }
    for (int64_t line = begin; line < end; line++) {
        copy_line(&s, o, i);
        for (int axis = 3; axis >= 0; axis--) {
            o += s.out_stride[axis];
            i += s.in_stride[axis];
            if (++at[axis] < s.count[axis]) break;
            at[axis] = 0;
            o -= s.count[axis] * s.out_stride[axis];
            i -= s.count[axis] * s.in_stride[axis];
        }
    }
}

static int cpu_strided_copy(struct device *device, const struct nn_strided *s)
{
    struct nn_strided own = *s;
    int64_t lines = 1;
    (void)device;
    TRY(nn_check_strided(s));
    for (int axis = 0; axis < 4; axis++)
        lines *= s->count[axis];
    threads_for(lines, threads_grain(s->count[4]), copy_lines, &own);
    return OK;
}

void nn_install_strided(struct nn_ops *ops)
{
    ops->strided_copy = cpu_strided_copy;
}
