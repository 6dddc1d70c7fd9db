/* What an operation graph of the stand-in for cuDNN means, and its computation in plain loops. */
#include "fake_cudnn.h"
#include "math/bf16.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Engine 3 rounds what is fp32, as TF32 does. 9 adds from the other end at every second run, so its
 * bits change. 5 wants much scratch, 6 little; both spoil all of it. */
const struct fake_engine fake_engines[FAKE_ENGINES] = {
    {3, DNN_NUMERICAL_NOTE_TENSOR_CORE, 0, true},
    {9, DNN_NUMERICAL_NOTE_NONDETERMINISTIC, 0, false},
    {5, -1, 40000, true},
    {6, -1, 64, true},
    {11, DNN_NUMERICAL_NOTE_WINOGRAD, 0, true},
};

/* ---- reading ---- */

static bool read_tensor(const struct descriptor *operation, int name, struct fake_tensor *t)
{
    const struct attribute *a = fake_find(operation, name);
    struct descriptor *d;
    if (!a) return false;
    memcpy(&d, a->values, sizeof d);
    memset(t, 0, sizeof *t);
    memcpy(&t->uid, fake_find(d, DNN_ATTR_TENSOR_UNIQUE_ID)->values, sizeof t->uid);
    memcpy(&t->type, fake_find(d, DNN_ATTR_TENSOR_DATA_TYPE)->values, sizeof t->type);
    memcpy(t->size, fake_find(d, DNN_ATTR_TENSOR_DIMENSIONS)->values, sizeof t->size);
    memcpy(t->stride, fake_find(d, DNN_ATTR_TENSOR_STRIDES)->values, sizeof t->stride);
    const struct attribute *inside = fake_find(d, DNN_ATTR_TENSOR_IS_VIRTUAL);
    t->is_virtual = inside && inside->values[0];
    return true;
}

static double read_double(const struct descriptor *d, int name, double otherwise)
{
    const struct attribute *a = fake_find(d, name);
    double value = otherwise;
    if (a) memcpy(&value, a->values, sizeof value);
    return value;
}

static const struct descriptor *read_descriptor(const struct descriptor *d, int name)
{
    const struct attribute *a = fake_find(d, name);
    const struct descriptor *other = NULL;
    if (a) memcpy(&other, a->values, sizeof other);
    return other;
}

static bool is_channels_last(const struct fake_tensor *t)
{
    return t->stride[1] == 1 && t->stride[3] == t->size[1] &&
           t->stride[2] == t->size[3] * t->size[1] &&
           t->stride[0] == t->size[2] * t->size[3] * t->size[1];
}

static int read_convolution(const struct descriptor *op, struct computation *c)
{
    static const int names[3][6] = {
        {DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
         DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
        {DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    };
    const int *name = names[op->type - DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR];
    const struct descriptor *conv = read_descriptor(op, name[3]);
    int64_t padding[2];
    c->direction = op->type;
    if (!conv || !read_tensor(op, name[0], &c->x) || !read_tensor(op, name[1], &c->w) ||
        !read_tensor(op, name[2], &c->y))
        return DNN_STATUS_BAD_PARAM;
    if (!(read_double(op, name[4], 0) == 1) || !(read_double(op, name[5], 1) == 0))
        return DNN_STATUS_NOT_SUPPORTED;
    memcpy(padding, fake_find(conv, DNN_ATTR_CONVOLUTION_PRE_PADDINGS)->values, sizeof padding);
    const struct fake_tensor *x = &c->x, *w = &c->w, *y = &c->y;
    c->kernel = (int)w->size[2];
    c->padding = (int)padding[0];
    bool fits = x->size[0] == y->size[0] && y->size[1] == w->size[0] &&
                x->size[1] % w->size[1] == 0 && w->size[0] % (x->size[1] / w->size[1]) == 0 &&
                w->size[2] == w->size[3] &&
                x->size[2] + 2 * padding[0] - c->kernel + 1 == y->size[2] &&
                x->size[3] + 2 * padding[1] - c->kernel + 1 == y->size[3];
    if (!fits) return DNN_STATUS_BAD_PARAM;
    bool last = is_channels_last(x) && is_channels_last(w) && is_channels_last(y);
    c->result = op->type == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR         ? *y
                : op->type == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? *x
                                                                                         : *w;
    return last ? DNN_STATUS_SUCCESS : DNN_STATUS_NOT_SUPPORTED;
}

static int read_pointwise(const struct descriptor *op, struct computation *c)
{
    const struct descriptor *p = read_descriptor(op, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    struct fake_tensor x, b, y;
    int mode;
    if (!p || !read_tensor(op, DNN_ATTR_OPERATION_POINTWISE_XDESC, &x) ||
        !read_tensor(op, DNN_ATTR_OPERATION_POINTWISE_YDESC, &y))
        return DNN_STATUS_BAD_PARAM;
    if (x.uid != c->result.uid || !x.is_virtual) return DNN_STATUS_NOT_SUPPORTED; /* a chain */
    memcpy(&mode, fake_find(p, DNN_ATTR_POINTWISE_MODE)->values, sizeof mode);
    bool has_b = read_tensor(op, DNN_ATTR_OPERATION_POINTWISE_BDESC, &b);
    if (memcmp(x.size, y.size, sizeof x.size) != 0 || has_b != (mode == DNN_POINTWISE_ADD))
        return DNN_STATUS_BAD_PARAM;
    if (mode == DNN_POINTWISE_RELU_FWD) {
        c->slope = read_double(p, DNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0);
    } else if (b.size[0] == 1 && b.size[2] == 1 && b.size[3] == 1 && !c->residual && !c->bias &&
               b.type == DNN_DATA_FLOAT && b.size[1] == x.size[1]) {
        c->bias = true;
        c->bias_uid = b.uid;
    } else if (memcmp(b.size, x.size, sizeof x.size) == 0 && !c->residual) {
        c->residual = true;
        c->residual_uid = b.uid;
    } else {
        return DNN_STATUS_BAD_PARAM;
    }
    c->result = y;
    return DNN_STATUS_SUCCESS;
}

int fake_read_graph(const struct descriptor *graph, struct computation **out)
{
    const struct attribute *ops = fake_find(graph, DNN_ATTR_OPERATIONGRAPH_OPS);
    struct computation *c = calloc(1, sizeof *c);
    if (!c) return DNN_STATUS_INTERNAL_ERROR;
    c->references = 1;
    c->slope = 1;
    c->operations = (int)ops->count;
    int status = DNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < ops->count && status == DNN_STATUS_SUCCESS; i++) {
        struct descriptor *op;
        memcpy(&op, ops->values + (size_t)i * sizeof(struct descriptor *), sizeof op);
        bool pointwise = op->type == DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
        if (pointwise == (i == 0))
            status = DNN_STATUS_NOT_SUPPORTED;
        else
            status = pointwise ? read_pointwise(op, c) : read_convolution(op, c);
    }
    if (status == DNN_STATUS_SUCCESS && c->result.is_virtual) status = DNN_STATUS_BAD_PARAM;
    if (status == DNN_STATUS_SUCCESS) *out = c;
    if (status != DNN_STATUS_SUCCESS) free(c);
    return status;
}

bool fake_engine_supports(const struct fake_engine *engine, const struct computation *c)
{
    if (fake_settings.none || (c->operations > 1 && (fake_settings.no_fusion || !engine->fuses)))
        return false;
    int from = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
                   ? c->y.type
                   : c->x.type;
    bool wgrad = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
    return wgrad ? c->y.type == from && c->w.type == DNN_DATA_FLOAT
                 : c->w.type == from && c->result.type == from;
}

/* ---- computing ---- */

static size_t at(const struct fake_tensor *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (size_t)(n * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3]);
}

static float load(const void *memory, int type, size_t i)
{
    return type == DNN_DATA_FLOAT ? ((const float *)memory)[i]
                                  : bf16_value(((const uint16_t *)memory)[i]);
}

static void *pointer(const struct fake_run *r, int64_t uid)
{
    for (int i = 0; i < r->count; i++)
        if (r->uids[i] == uid) return r->pointers[i];
    fprintf(stderr, "fake cuDNN: no pointer for tensor %lld\n", (long long)uid);
    abort();
}

/* One term of a sum: picture n, output pixel (p, q), tap (r, s), channels o of y and i of w. */
struct term {
    int64_t n, o, i, p, q, r, s;
};

static bool term_factors(const struct fake_run *run, const struct term *t, size_t *x, size_t *w,
                         size_t *y)
{
    const struct computation *c = &run->c;
    int64_t h = t->p + t->r - c->padding, v = t->q + t->s - c->padding;
    int64_t per_group = c->y.size[1] / (c->x.size[1] / c->w.size[1]);
    if (h < 0 || h >= c->x.size[2] || v < 0 || v >= c->x.size[3]) return false;
    *x = at(&c->x, t->n, t->o / per_group * c->w.size[1] + t->i, h, v);
    *w = at(&c->w, t->o, t->i, t->r, t->s);
    *y = at(&c->y, t->n, t->o, t->p, t->q);
    return true;
}

static void add_all(const struct fake_run *run, float *sums, const void *a, int a_type,
                    const void *b, int b_type)
{
    static unsigned runs;
    const struct computation *c = &run->c;
    bool forward = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool data = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    bool coarse = run->engine.note == DNN_NUMERICAL_NOTE_TENSOR_CORE;
    bool reverse = run->engine.note == DNN_NUMERICAL_NOTE_NONDETERMINISTIC && runs++ % 2 == 1;
    struct term t;
    size_t x, w, y;
    for (int64_t n = 0; n < c->y.size[0]; n++)
        for (t.p = 0; t.p < c->y.size[2]; t.p++)
            for (t.q = 0; t.q < c->y.size[3]; t.q++)
                for (t.o = 0; t.o < c->y.size[1]; t.o++)
                    for (t.r = 0; t.r < c->kernel; t.r++)
                        for (t.s = 0; t.s < c->kernel; t.s++)
                            for (int64_t i = 0; i < c->w.size[1]; i++) {
                                t.n = reverse ? c->y.size[0] - 1 - n : n;
                                t.i = reverse ? c->w.size[1] - 1 - i : i;
                                if (!term_factors(run, &t, &x, &w, &y)) continue;
                                size_t to = forward ? y : data ? x : w;
                                float f = load(a, a_type, forward ? x : data ? y : x);
                                float g = load(b, b_type, forward ? w : data ? w : y);
                                if (coarse && a_type == DNN_DATA_FLOAT)
                                    f = bf16_value(bf16_round(f));
                                sums[to] += f * g;
                            }
}

static void store_all(const struct fake_run *run, const float *sums, size_t count)
{
    const struct computation *c = &run->c;
    const float *bias = c->bias ? pointer(run, c->bias_uid) : NULL;
    const void *residual = c->residual ? pointer(run, c->residual_uid) : NULL;
    void *to = pointer(run, c->result.uid);
    for (size_t i = 0; i < count; i++) {
        float v = sums[i];
        if (bias) v += bias[i % (size_t)c->result.size[1]];
        if (residual) v += load(residual, c->result.type, i);
        if (v < 0) v *= (float)c->slope;
        if (c->result.type == DNN_DATA_FLOAT)
            ((float *)to)[i] = v;
        else
            ((uint16_t *)to)[i] = bf16_round(v);
    }
}

void fake_execute(void *data)
{
    const struct fake_run *run = data;
    const struct computation *c = &run->c;
    bool forward = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool backward = c->direction == DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    const struct fake_tensor *first = backward ? &c->y : &c->x, *second = &c->w;
    if (!forward && !backward) second = &c->y;
    const struct timespec pause = {.tv_nsec = 30000000};
    size_t count = 1;
    for (int i = 0; i < 4; i++)
        count *= (size_t)c->result.size[i];
    float *sums = calloc(count, sizeof *sums);
    if (!sums) abort();
    if (run->engine.workspace) memset(run->workspace, 0xff, run->engine.workspace);
    if (fake_settings.slow) nanosleep(&pause, NULL);
    add_all(run, sums, pointer(run, first->uid), first->type, pointer(run, second->uid),
            second->type);
    if (fake_settings.wrong) sums[count / 2] += 1;
    store_all(run, sums, count);
    free(sums);
}
