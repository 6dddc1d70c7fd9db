#include "store/onnx.h"

#include "base/error.h"
#include "base/file_atomic.h"
#include "base/version.h"

#include <stdint.h>
#include <string.h>

/* Numbers of fields: onnx.proto. */
enum { MODEL_IR = 1, MODEL_PRODUCER, MODEL_VERSION, MODEL_GRAPH = 7, MODEL_OPSET, MODEL_META = 14 };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F, ATTRIBUTE_I, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 }; /* of an attribute */
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE, TENSOR_NAME = 8, TENSOR_RAW };
enum { VALUE_NAME = 1, VALUE_TYPE, TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME, OPSET_VERSION = 2, PAIR_KEY = 1, PAIR_VALUE };
enum { ONNX_IR = 8, ONNX_OPSET = 13 };

static void onnx_add_value(struct onnx_model *m, int field, const char *name, enum onnx_type type,
                           int dims, const int64_t *shape)
{
    struct protobuf value = {0}, kind = {0}, tensor = {0}, sides = {0};
    for (int i = 0; i < dims; i++) {
        struct protobuf dim = {0};
        if (shape[i] < 0)
            protobuf_add_text(&dim, DIM_NAME, "N");
        else
            protobuf_add_int(&dim, DIM_VALUE, shape[i]);
        protobuf_add_message(&sides, SHAPE_DIM, &dim);
    }
    protobuf_add_int(&tensor, TENSOR_ELEMENT, (int64_t)type);
    protobuf_add_message(&tensor, TENSOR_SHAPE, &sides);
    protobuf_add_message(&kind, TYPE_TENSOR, &tensor);
    protobuf_add_text(&value, VALUE_NAME, name);
    protobuf_add_message(&value, VALUE_TYPE, &kind);
    protobuf_add_message(&m->graph, field, &value);
}

void onnx_add_input(struct onnx_model *m, const char *name, enum onnx_type type, int dims,
                    const int64_t *shape)
{
    onnx_add_value(m, GRAPH_INPUT, name, type, dims, shape);
}

void onnx_add_output(struct onnx_model *m, const char *name, int dims, const int64_t *shape)
{
    onnx_add_value(m, GRAPH_OUTPUT, name, ONNX_FLOAT, dims, shape);
}

static void onnx_add_tensor(struct onnx_model *m, const char *name, enum onnx_type type, int dims,
                            const int64_t *shape, const void *values, size_t bytes)
{
    struct protobuf tensor = {0};
    for (int i = 0; i < dims; i++)
        protobuf_add_int(&tensor, TENSOR_DIMS, shape[i]);
    protobuf_add_int(&tensor, TENSOR_DATA_TYPE, (int64_t)type);
    protobuf_add_text(&tensor, TENSOR_NAME, name);
    protobuf_add_bytes(&tensor, TENSOR_RAW, values, bytes);
    protobuf_add_message(&m->graph, GRAPH_INITIALIZER, &tensor);
}

void onnx_add_weights(struct onnx_model *m, const char *name, int dims, const int64_t *shape,
                      const float *values)
{
    size_t count = 1;
    for (int i = 0; i < dims; i++)
        count *= (size_t)shape[i];
    onnx_add_tensor(m, name, ONNX_FLOAT, dims, shape, values, count * sizeof *values);
}

void onnx_add_numbers(struct onnx_model *m, const char *name, int count, const int64_t *values)
{
    onnx_add_tensor(m, name, ONNX_INT64, 1, (int64_t[]){count}, values,
                    (size_t)count * sizeof *values);
}

struct protobuf onnx_node(const char *type, const char *inputs, const char *output)
{
    struct protobuf node = {0};
    for (size_t length; *inputs; inputs += length + (inputs[length] == ' ')) {
        length = strcspn(inputs, " ");
        protobuf_add_bytes(&node, NODE_INPUT, inputs, length);
    }
    protobuf_add_text(&node, NODE_OUTPUT, output);
    protobuf_add_text(&node, NODE_NAME, output);
    protobuf_add_text(&node, NODE_OPERATOR, type);
    return node;
}

static struct protobuf onnx_attribute(const char *name, int type)
{
    struct protobuf attribute = {0};
    protobuf_add_text(&attribute, ATTRIBUTE_NAME, name);
    protobuf_add_int(&attribute, ATTRIBUTE_TYPE, type);
    return attribute;
}

void onnx_int_attribute(struct protobuf *node, const char *name, int64_t value)
{
    struct protobuf attribute = onnx_attribute(name, TYPE_INT);
    protobuf_add_int(&attribute, ATTRIBUTE_I, value);
    protobuf_add_message(node, NODE_ATTRIBUTE, &attribute);
}

void onnx_ints_attribute(struct protobuf *node, const char *name, int count, const int64_t *values)
{
    struct protobuf attribute = onnx_attribute(name, TYPE_INTS);
    for (int i = 0; i < count; i++)
        protobuf_add_int(&attribute, ATTRIBUTE_INTS, values[i]);
    protobuf_add_message(node, NODE_ATTRIBUTE, &attribute);
}

void onnx_float_attribute(struct protobuf *node, const char *name, float value)
{
    struct protobuf attribute = onnx_attribute(name, TYPE_FLOAT);
    protobuf_add_float(&attribute, ATTRIBUTE_F, value);
    protobuf_add_message(node, NODE_ATTRIBUTE, &attribute);
}

void onnx_add_node(struct onnx_model *m, struct protobuf *node)
{
    protobuf_add_message(&m->graph, GRAPH_NODE, node);
}

void onnx_add_metadata(struct onnx_model *m, const char *key, const char *value)
{
    struct protobuf pair = {0};
    protobuf_add_text(&pair, PAIR_KEY, key);
    protobuf_add_text(&pair, PAIR_VALUE, value);
    protobuf_add_message(&m->metadata, MODEL_META, &pair);
}

void onnx_free(struct onnx_model *m)
{
    protobuf_free(&m->graph);
    protobuf_free(&m->metadata);
}

/* The model's own fields; the graph's and the metadata's bytes follow one another. */
static struct protobuf onnx_head(struct onnx_model *m, const char *graph_name)
{
    struct protobuf head = {0}, opset = {0};
    protobuf_add_text(&m->graph, GRAPH_NAME, graph_name);
    protobuf_add_int(&head, MODEL_IR, ONNX_IR);
    protobuf_add_text(&head, MODEL_PRODUCER, "imgtrain");
    protobuf_add_text(&head, MODEL_VERSION, IMGTRAIN_VERSION);
    protobuf_add_int(&opset, OPSET_VERSION, ONNX_OPSET);
    protobuf_add_message(&head, MODEL_OPSET, &opset);
    protobuf_add_message(&head, MODEL_GRAPH, &m->graph);
    return head;
}

int onnx_write(struct onnx_model *m, const char *graph_name, const char *path)
{
    struct protobuf head = onnx_head(m, graph_name);
    struct file_atomic file;
    size_t bytes = head.count + m->metadata.count;
    int code = OK;
    if (head.failed || m->metadata.failed) code = fail(ERR_SYSTEM, "out of memory");
    if (code == OK && bytes > INT32_MAX)
        code = fail(ERR_DATA, "%s: an ONNX file holds 2 GB at most", path);
    if (code == OK) code = file_atomic_open(&file, path, bytes);
    if (code == OK) {
        code = file_atomic_write(&file, head.bytes, head.count);
        if (code == OK) code = file_atomic_write(&file, m->metadata.bytes, m->metadata.count);
        if (code == OK)
            code = file_atomic_commit(&file, true);
        else
            file_atomic_abort(&file);
    }
    protobuf_free(&head);
    onnx_free(m);
    return code;
}
