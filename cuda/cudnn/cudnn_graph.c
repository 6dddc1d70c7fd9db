#include "cuda/cudnn/cudnn_graph.h"

#include "base/error.h"

#include <string.h>

/* ---- descriptors: the first failure is kept, what follows does nothing ---- */

struct maker {
    const struct cudnn_api *api;
    struct cudnn_graph *graph;
    int status;
    const char *what;
};

static void cuda_cudnn_graph_note(struct maker *m, int status, const char *what)
{
    if (m->status != DNN_STATUS_SUCCESS || status == DNN_STATUS_SUCCESS) return;
    m->status = status;
    m->what = what;
}

static dnn_descriptor cuda_cudnn_graph_make(struct maker *m, int type)
{
    dnn_descriptor descriptor = NULL;
    if (m->status != DNN_STATUS_SUCCESS) return NULL;
    if (m->graph->count == CUDNN_DESCRIPTORS)
        cuda_cudnn_graph_note(m, DNN_STATUS_INTERNAL_ERROR, "too many descriptors");
    else
        cuda_cudnn_graph_note(m, m->api->cudnnBackendCreateDescriptor(type, &descriptor),
                              "a descriptor");
    if (descriptor) m->graph->own[m->graph->count++] = descriptor;
    return descriptor;
}

static void cuda_cudnn_graph_set(struct maker *m, dnn_descriptor descriptor, int attribute,
                                 int type, int64_t count, const void *values)
{
    if (m->status != DNN_STATUS_SUCCESS) return;
    cuda_cudnn_graph_note(
        m, m->api->cudnnBackendSetAttribute(descriptor, attribute, type, count, values),
        "an attribute");
}

static void set_int(struct maker *m, dnn_descriptor d, int attribute, int type, int value)
{
    cuda_cudnn_graph_set(m, d, attribute, type, 1, &value);
}

static void set_int64(struct maker *m, dnn_descriptor d, int attribute, int64_t value)
{
    cuda_cudnn_graph_set(m, d, attribute, DNN_TYPE_INT64, 1, &value);
}

static void set_double(struct maker *m, dnn_descriptor d, int attribute, double value)
{
    cuda_cudnn_graph_set(m, d, attribute, DNN_TYPE_DOUBLE, 1, &value);
}

static void set_descriptor(struct maker *m, dnn_descriptor d, int attribute, dnn_descriptor value)
{
    cuda_cudnn_graph_set(m, d, attribute, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static dnn_descriptor cuda_cudnn_graph_done(struct maker *m, dnn_descriptor descriptor,
                                            const char *what)
{
    if (m->status == DNN_STATUS_SUCCESS)
        cuda_cudnn_graph_note(m, m->api->cudnnBackendFinalize(descriptor), what);
    return descriptor;
}

/* ---- tensors and operations ---- */

static int data_type(enum nn_type type)
{
    return type == NN_BF16 ? DNN_DATA_BFLOAT16 : DNN_DATA_FLOAT;
}

/* Pictures begin at multiples of their own bytes from an address aligned to 64. */
static int64_t cuda_cudnn_graph_alignment(const struct nn_conv *s)
{
    size_t bytes = nn_type_bytes(s->in_type);
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->cin * bytes;
    size_t out = (size_t)s->h * (size_t)s->w * (size_t)s->cout * bytes;
    for (int64_t a = 16; a > 4; a /= 2)
        if (in % (size_t)a == 0 && out % (size_t)a == 0) return a;
    return (int64_t)(bytes < 4 ? bytes : 4);
}

/* [n][c][h][w] as cuDNN counts, channels innermost as they lie. inside: fp32, never in memory. */
static dnn_descriptor cuda_cudnn_graph_tensor(struct maker *m, int64_t uid, int type, int64_t align,
                                              int n, int c, int h, int w)
{
    const int64_t size[4] = {n, c, h, w};
    const int64_t stride[4] = {(int64_t)h * w * c, 1, (int64_t)w * c, c};
    bool inside = uid >= UID_INSIDE;
    dnn_descriptor d = cuda_cudnn_graph_make(m, DNN_BACKEND_TENSOR_DESCRIPTOR);
    set_int64(m, d, DNN_ATTR_TENSOR_UNIQUE_ID, uid);
    set_int(m, d, DNN_ATTR_TENSOR_DATA_TYPE, DNN_TYPE_DATA_TYPE, inside ? DNN_DATA_FLOAT : type);
    set_int64(m, d, DNN_ATTR_TENSOR_BYTE_ALIGNMENT, inside ? 16 : align);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_TENSOR_DIMENSIONS, DNN_TYPE_INT64, 4, size);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_TENSOR_STRIDES, DNN_TYPE_INT64, 4, stride);
    if (inside)
        cuda_cudnn_graph_set(m, d, DNN_ATTR_TENSOR_IS_VIRTUAL, DNN_TYPE_BOOLEAN, 1, &inside);
    return cuda_cudnn_graph_done(m, d, "a tensor");
}

static dnn_descriptor cuda_cudnn_graph_convolution(struct maker *m, int kernel)
{
    const int64_t ones[2] = {1, 1}, padding[2] = {kernel / 2, kernel / 2};
    dnn_descriptor d = cuda_cudnn_graph_make(m, DNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set_int64(m, d, DNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    set_int(m, d, DNN_ATTR_CONVOLUTION_COMP_TYPE, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT);
    set_int(m, d, DNN_ATTR_CONVOLUTION_CONV_MODE, DNN_TYPE_CONVOLUTION_MODE, DNN_CROSS_CORRELATION);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_CONVOLUTION_DILATIONS, DNN_TYPE_INT64, 2, ones);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_CONVOLUTION_FILTER_STRIDES, DNN_TYPE_INT64, 2, ones);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_CONVOLUTION_PRE_PADDINGS, DNN_TYPE_INT64, 2, padding);
    cuda_cudnn_graph_set(m, d, DNN_ATTR_CONVOLUTION_POST_PADDINGS, DNN_TYPE_INT64, 2, padding);
    return cuda_cudnn_graph_done(m, d, "a convolution");
}

/* Attributes of the three directions: x (cin channels), w, y (cout channels). */
static const struct {
    int operation, conv, alpha, beta, x, w, y;
} directions[] = {
    [CUDNN_FORWARD] = {DNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                       DNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [CUDNN_DGRAD] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
    [CUDNN_WGRAD] = {DNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                     DNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
};

static dnn_descriptor cuda_cudnn_graph_operation(struct maker *m, enum cudnn_direction direction,
                                                 int kernel, dnn_descriptor x, dnn_descriptor w,
                                                 dnn_descriptor y)
{
    dnn_descriptor conv = cuda_cudnn_graph_convolution(m, kernel);
    dnn_descriptor d = cuda_cudnn_graph_make(m, directions[direction].operation);
    set_descriptor(m, d, directions[direction].conv, conv);
    set_descriptor(m, d, directions[direction].x, x);
    set_descriptor(m, d, directions[direction].w, w);
    set_descriptor(m, d, directions[direction].y, y);
    set_double(m, d, directions[direction].alpha, 1);
    set_double(m, d, directions[direction].beta, 0);
    return cuda_cudnn_graph_done(m, d, "an operation");
}

/* y = x + b, or leaky ReLU of x where b is NULL. */
static dnn_descriptor cuda_cudnn_graph_pointwise(struct maker *m, dnn_descriptor x,
                                                 dnn_descriptor b, double slope, dnn_descriptor y)
{
    dnn_descriptor p = cuda_cudnn_graph_make(m, DNN_BACKEND_POINTWISE_DESCRIPTOR);
    set_int(m, p, DNN_ATTR_POINTWISE_MODE, DNN_TYPE_POINTWISE_MODE,
            b ? DNN_POINTWISE_ADD : DNN_POINTWISE_RELU_FWD);
    set_int(m, p, DNN_ATTR_POINTWISE_MATH_PREC, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT);
    if (!b) set_double(m, p, DNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, slope);
    cuda_cudnn_graph_done(m, p, "a pointwise operation");
    dnn_descriptor d = cuda_cudnn_graph_make(m, DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_descriptor(m, d, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, p);
    set_descriptor(m, d, DNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) set_descriptor(m, d, DNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_descriptor(m, d, DNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return cuda_cudnn_graph_done(m, d, "a pointwise operation");
}

/* The operations: the convolution, and what is fused to it. Returns how many. */
static int cuda_cudnn_graph_operations(struct maker *m, const struct cudnn_problem *p,
                                       dnn_descriptor *list)
{
    const struct nn_conv *s = &p->shape;
    enum { X, W, Y };
    int type = data_type(s->in_type), count = 0, left = p->bias + p->residual + (p->slope < 1);
    int64_t align = cuda_cudnn_graph_alignment(s), inside = UID_INSIDE;
    bool forward = p->direction == CUDNN_FORWARD, wgrad = p->direction == CUDNN_WGRAD;
    int channels = forward ? s->cout : s->cin; /* of what is computed, but for wgrad */
    int64_t result = left ? inside++ : UID_TO;
    const int64_t uids[3][3] = {[CUDNN_FORWARD] = {UID_FROM, UID_WITH, result},
                                [CUDNN_DGRAD] = {result, UID_WITH, UID_FROM},
                                [CUDNN_WGRAD] = {UID_FROM, UID_TO, UID_WITH}};
    const int64_t *uid = uids[p->direction];
    dnn_descriptor x = cuda_cudnn_graph_tensor(m, uid[X], type, align, s->n, s->cin, s->h, s->w);
    dnn_descriptor w = cuda_cudnn_graph_tensor(m, uid[W], wgrad ? DNN_DATA_FLOAT : type, 16,
                                               s->cout, s->cin / s->groups, s->kernel, s->kernel);
    dnn_descriptor y = cuda_cudnn_graph_tensor(m, uid[Y], type, align, s->n, s->cout, s->h, s->w);
    dnn_descriptor at = forward ? y : x;
    list[count++] = cuda_cudnn_graph_operation(m, p->direction, s->kernel, x, w, y);
    for (int part = 0; part < 3; part++) {
        const bool wanted[3] = {p->bias, p->residual, p->slope < 1};
        dnn_descriptor b = NULL;
        if (!wanted[part]) continue;
        if (part == 0)
            b = cuda_cudnn_graph_tensor(m, UID_BIAS, DNN_DATA_FLOAT, 16, 1, channels, 1, 1);
        if (part == 1)
            b = cuda_cudnn_graph_tensor(m, UID_RESIDUAL, type, align, s->n, channels, s->h, s->w);
        dnn_descriptor next = cuda_cudnn_graph_tensor(m, --left ? inside++ : UID_TO, type, align,
                                                      s->n, channels, s->h, s->w);
        list[count++] = cuda_cudnn_graph_pointwise(m, at, b, (double)p->slope, next);
        at = next;
    }
    return count;
}

/* ---- graphs ---- */

int cudnn_library_start(struct cudnn_library *library, void *stream)
{
    const struct cudnn_api *api = &library->api;
    if (library->handle) return OK;
    int code = cudnn_result(api, api->cudnnCreate(&library->handle), "cuDNN");
    if (code < 0)
        library->handle = NULL;
    else
        code = cudnn_result(api, api->cudnnSetStream(library->handle, stream), "cuDNN's stream");
    if (code < 0) cudnn_library_stop(library);
    return code;
}

void cudnn_library_stop(struct cudnn_library *library)
{
    if (library->handle) library->api.cudnnDestroy(library->handle);
    library->handle = NULL;
}

int cudnn_graph_build(const struct cudnn_library *library, const struct cudnn_problem *problem,
                      struct cudnn_graph *graph)
{
    struct maker m = {.api = &library->api, .graph = graph};
    dnn_descriptor list[4];
    memset(graph, 0, sizeof *graph);
    graph->type = problem->shape.in_type;
    int count = cuda_cudnn_graph_operations(&m, problem, list);
    dnn_descriptor d = cuda_cudnn_graph_make(&m, DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (library->handle)
        cuda_cudnn_graph_set(&m, d, DNN_ATTR_OPERATIONGRAPH_HANDLE, DNN_TYPE_HANDLE, 1,
                             &library->handle);
    cuda_cudnn_graph_set(&m, d, DNN_ATTR_OPERATIONGRAPH_OPS, DNN_TYPE_BACKEND_DESCRIPTOR, count,
                         list);
    graph->operations = cuda_cudnn_graph_done(&m, d, "a graph");
    if (m.status == DNN_STATUS_SUCCESS) return OK;
    int code = cudnn_result(m.api, m.status, m.what);
    cudnn_graph_free(library, graph);
    return code;
}

void cudnn_graph_free(const struct cudnn_library *library, struct cudnn_graph *graph)
{
    while (graph->count > 0)
        library->api.cudnnBackendDestroyDescriptor(graph->own[--graph->count]);
}
