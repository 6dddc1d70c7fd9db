#include "store/tensor.h"

#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [TENSOR_F32] = {"F32", 4},   [TENSOR_F16] = {"F16", 2}, [TENSOR_BF16] = {"BF16", 2},
    [TENSOR_F64] = {"F64", 8},   [TENSOR_I32] = {"I32", 4}, [TENSOR_I64] = {"I64", 8},
    [TENSOR_U8] = {"U8", 1},     [TENSOR_U16] = {"U16", 2}, [TENSOR_U32] = {"U32", 4},
    [TENSOR_I8] = {"I8", 1},     [TENSOR_I16] = {"I16", 2}, [TENSOR_U64] = {"U64", 8},
    [TENSOR_BOOL] = {"BOOL", 1},
};

enum { TYPE_COUNT = sizeof types / sizeof types[0] };

size_t tensor_type_bytes(enum tensor_type type)
{
    return types[type].bytes;
}

const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

bool tensor_type_find(const char *name, enum tensor_type *type)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(types[i].name, name) != 0) continue;
        *type = (enum tensor_type)i;
        return true;
    }
    return false;
}
