#include "check/op_cases.h"

#include "base/random.h"

#include <string.h>

void op_case_make(struct op_case *c, const struct op_kind *kind, int index)
{
    *c = (struct op_case){.kind = kind, .index = index};
    kind->describe(c);
}

struct op_operand *op_add(struct op_case *c, const char *name, enum op_role role, enum op_type type,
                          size_t count)
{
    struct op_operand *o = &c->operands[c->count++];
    *o = (struct op_operand){
        .name = name, .role = role, .type = type, .count = count, .low = -1, .high = 1};
    return o;
}

static enum op_type type_of(enum nn_type type)
{
    return type == NN_BF16 ? OP_BF16 : OP_F32;
}

struct op_operand *op_add_in(struct op_case *c, const char *name, enum nn_type type, size_t count)
{
    return op_add(c, name, OP_IN, type_of(type), count);
}

struct op_operand *op_add_out(struct op_case *c, const char *name, enum nn_type type, size_t count,
                              double tolerance)
{
    struct op_operand *o = op_add(c, name, OP_OUT, type_of(type), count);
    o->tolerance = tolerance;
    return o;
}

struct op_operand *op_add_sum(struct op_case *c, const char *name, size_t count, double tolerance)
{
    struct op_operand *o = op_add(c, name, OP_INOUT, OP_F32, count);
    o->tolerance = tolerance;
    return o;
}

const char *op_type_name(enum nn_type type)
{
    return type == NN_BF16 ? "bf16" : "fp32";
}

int op_find(const struct op_case *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->operands[i].name, name) == 0) return i;
    return -1;
}

void *op_memory(const struct op_call *call, const char *name)
{
    int i = op_find(call->c, name);
    return i < 0 ? NULL : call->memory[i];
}

double *op_values(const struct op_data *data, const char *name)
{
    int i = op_find(data->c, name);
    return i < 0 ? NULL : data->values[i];
}

/* The name's hash (FNV-1a) takes the place of a step. */
double op_uniform(const char *name, uint64_t index)
{
    uint64_t hash = 1469598103934665603u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    return (double)philox_uniform(philox_draw(5, STREAM_TEST, hash >> 20, index).v[0]);
}
