/* One tensor of a safetensors file: its type, shape and place. */
#ifndef IMGTRAIN_STORE_TENSOR_H
#define IMGTRAIN_STORE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tensor_type {
    TENSOR_F32,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_F64,
    TENSOR_I32,
    TENSOR_I64,
    TENSOR_U8,
    TENSOR_U16,
    TENSOR_U32,
    TENSOR_I8,
    TENSOR_I16,
    TENSOR_U64,
    TENSOR_BOOL
};

enum { TENSOR_MAX_DIMS = 8 };

struct store_tensor {
    const char *name; /* borrowed from the file */
    enum tensor_type type;
    int dims;
    int64_t shape[TENSOR_MAX_DIMS];
    const void *data; /* borrowed: mapped, aligned to the element size */
    size_t bytes;
    bool is_copy; /* data is memory of this process, as the file does not align it: no page of it */
};

size_t tensor_type_bytes(enum tensor_type type);
const char *tensor_type_name(enum tensor_type type); /* as files have it: "F32" */
/* The type that files call `name`; false: none. */
bool tensor_type_find(const char *name, enum tensor_type *type);

#endif
