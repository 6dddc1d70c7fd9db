/* A convolution in cuDNN's words: an operation graph, the engines that can compute it, and the plan
 * of one of them. Nothing here knows why an engine is taken: that is cudnn_choice.c. */
#ifndef IMGTRAIN_CUDA_CUDNN_CUDNN_GRAPH_H
#define IMGTRAIN_CUDA_CUDNN_CUDNN_GRAPH_H

#include "cuda/cudnn/cudnn_api.h"
#include "device/nn_ops.h"

struct cudnn_library {
    struct cudnn_api api;
    dnn_handle handle; /* NULL: graphs are built for `device`, and cannot run */
    dnn_descriptor device;
    bool deterministic; /* refuse engines that do not give the same bits every time */
};

enum cudnn_direction { CUDNN_FORWARD, CUDNN_DGRAD, CUDNN_WGRAD };

/* What is asked for. Tensors are N H W C of one type, weights [cout][k][k][cin / groups] of the
 * same type, but the gradient of weights is fp32. What is fused to the sum, in this order: bias
 * (fp32), residual, leaky ReLU. */
struct cudnn_problem {
    enum cudnn_direction direction;
    struct nn_conv shape; /* in_type = out_type */
    bool bias, residual;
    float slope; /* 1 = no leaky ReLU */
};

static inline bool cudnn_problem_is_fused(const struct cudnn_problem *p)
{
    return p->bias || p->residual || p->slope < 1;
}

/* An engine and its settings: with the same cuDNN and GPU the same arithmetic. */
enum { CUDNN_KNOBS = 24 };
struct cudnn_engine {
    int64_t index;
    int knob_count;
    struct {
        int type;
        int64_t value;
    } knobs[CUDNN_KNOBS];
};

/* Names of tensors: members of cudnn_operands in their order, then those within a graph only. */
enum cudnn_uid { UID_TO = 1, UID_FROM, UID_WITH, UID_BIAS, UID_RESIDUAL, UID_INSIDE };

enum { CUDNN_DESCRIPTORS = 40, CUDNN_CONFIGS = 64 };

/* The descriptors that belong together, in the order in which they were made. */
struct cudnn_graph {
    dnn_descriptor own[CUDNN_DESCRIPTORS];
    int count;
    dnn_descriptor operations; /* the operation graph: one of `own` */
    enum nn_type type;
};

struct cudnn_plan {
    struct cudnn_engine engine;
    dnn_descriptor plan, config;
    size_t workspace;
};

/* Where the tensors lie; NULL for those that the problem has not. */
struct cudnn_operands {
    void *to;         /* y, dx, or dw */
    const void *from; /* x, or dy */
    const void *with; /* w, or dy of wgrad */
    const void *bias, *residual;
};

/* Makes the handle for `stream`, and the reverse. */
int cudnn_library_start(struct cudnn_library *library, void *stream);
void cudnn_library_stop(struct cudnn_library *library);

int cudnn_graph_build(const struct cudnn_library *library, const struct cudnn_problem *problem,
                      struct cudnn_graph *graph);
void cudnn_graph_free(const struct cudnn_library *library, struct cudnn_graph *graph);

/* At most `room` plans of engines that keep to the precision asked for, whose workspace is at most
 * `workspace`, best first by cuDNN's own guess. None is no error. */
int cudnn_plans(const struct cudnn_library *library, const struct cudnn_graph *graph,
                size_t workspace, struct cudnn_plan *plans, int room, int *count);
/* The plan of a given engine; the same refusals are errors. */
int cudnn_plan_of(const struct cudnn_library *library, const struct cudnn_graph *graph,
                  size_t workspace, const struct cudnn_engine *engine, struct cudnn_plan *plan);
void cudnn_plan_free(const struct cudnn_library *library, struct cudnn_plan *plan);

/* Queues it. */
int cudnn_plan_run(const struct cudnn_library *library, const struct cudnn_plan *plan,
                   const struct cudnn_operands *operands, void *workspace);

#endif
