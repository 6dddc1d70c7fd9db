/* ONNX models (https://onnx.ai, onnx.proto): operators of opset 13 between named values, float
 * weights, text metadata. Written as a whole; of others only the summary is read. */
#ifndef IMGTRAIN_STORE_ONNX_H
#define IMGTRAIN_STORE_ONNX_H

#include "store/protobuf.h"

#include <stdbool.h>
#include <stdint.h>

enum { ONNX_MOST_DIMS = 8 };

/* ---- writing ---- */

enum onnx_type { ONNX_FLOAT = 1, ONNX_INT64 = 7 };

/* A model in the making, zeroed at first. */
struct onnx_model {
    struct protobuf graph, metadata;
};

/* Sizes below 0 are free: the number of images, "N". */
void onnx_add_input(struct onnx_model *model, const char *name, enum onnx_type type, int dims,
                    const int64_t *shape);
void onnx_add_output(struct onnx_model *model, const char *name, int dims, const int64_t *shape);
void onnx_add_weights(struct onnx_model *model, const char *name, int dims, const int64_t *shape,
                      const float *values);
/* A one-dimensional constant of whole numbers. */
void onnx_add_numbers(struct onnx_model *model, const char *name, int count, const int64_t *values);

/* An operator, to which attributes are added before the model takes it. Inputs are names with
 * blanks between. */
struct protobuf onnx_node(const char *type, const char *inputs, const char *output);
void onnx_int_attribute(struct protobuf *node, const char *name, int64_t value);
void onnx_ints_attribute(struct protobuf *node, const char *name, int count, const int64_t *values);
void onnx_float_attribute(struct protobuf *node, const char *name, float value);
void onnx_add_node(struct onnx_model *model, struct protobuf *node);

void onnx_add_metadata(struct onnx_model *model, const char *key, const char *value);

/* Frees the model in any case. ERR_SYSTEM, ERR_DATA for more than the 2 GB that the format has,
 * errors of writing. */
int onnx_write(struct onnx_model *model, const char *graph_name, const char *path);
void onnx_free(struct onnx_model *model);

/* ---- reading ---- */

struct onnx_value {
    char *name;
    bool is_output;
    int64_t type; /* TensorProto.DataType */
    int dims;
    int64_t shape[ONNX_MOST_DIMS]; /* -1: free */
};

struct onnx_pair {
    char *key, *value;
};

struct onnx_summary {
    char *producer, *version, *graph;
    int64_t ir, opset, nodes, initializers;
    struct onnx_value *values;
    struct onnx_pair *pairs;
    int value_count, pair_count;
};

/* Whether the name ends in .onnx. */
bool onnx_is_named(const char *path);
/* ERR_DATA for what is no such model. */
int onnx_read_summary(struct onnx_summary *summary, const char *path);
void onnx_summary_free(struct onnx_summary *summary);

#endif
