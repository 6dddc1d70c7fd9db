/* Cases of operations: for every operation of nn_ops.h, gan_ops.h, token_ops.h and splat_ops.h
 * the shapes and types that it is tried with, made once and read by three modes (op_check.h):
 * truth, gradients, speed. Tests and the self-check of a device read the same table, whatever the
 * device.
 *
 * A case is a list of named operands. Numbers come from a fixed generator that knows an operand by
 * its name, so operands of one name are alike in an operation and in its adjoint. */
#ifndef IMGTRAIN_CHECK_OP_CASES_H
#define IMGTRAIN_CHECK_OP_CASES_H

#include "device/device.h"
#include "device/gan_ops.h"
#include "device/nn_ops.h"
#include "device/splat_ops.h"
#include "device/token_ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OP_OPERANDS = 24 };

enum op_role {
    OP_IN,
    OP_OUT,      /* all of it is written: NaN before */
    OP_INOUT,    /* added to, or written in part */
    OP_WORKSPACE /* NaN before, not compared */
};

enum op_type { OP_F32, OP_BF16, OP_F16, OP_F64, OP_I32, OP_I64, OP_U8, OP_I8, OP_MASK, OP_RAW };

enum op_fill {
    OP_UNIFORM, /* low..high */
    OP_WHOLE,   /* whole numbers low..high: sums of their products are exact */
    OP_OWN      /* the kind's fill */
};

struct op_operand {
    const char *name;
    enum op_role role;
    enum op_type type;
    enum op_fill fill;
    size_t count; /* of numbers; of bits (OP_MASK) or bytes (OP_RAW) */
    double low, high;
    bool coarse;      /* bf16 holds each number exactly */
    bool host;        /* host memory, whatever the device */
    double tolerance; /* largest error of a result, in units of the largest right value; of a mask:
                         bits of values nearer to 0 are free */
};

struct op_case {
    const struct op_kind *kind;
    int index;                  /* among the kind's */
    char text[72];              /* shape, types, variant */
    bool large;                 /* for figures of speed alone */
    bool halves;                /* the device may store in half precision */
    int n, h, w, c, k, variant; /* as the kind means them */
    enum nn_type in_type, out_type;
    struct nn_conv conv;
    double bytes, macs; /* that the operation must move and multiply at least */
    struct op_operand operands[OP_OPERANDS];
    int count;
};

/* What an operation is handed: addresses in the order of the operands. */
struct op_call {
    struct device *device;
    const struct op_case *c;
    void *memory[OP_OPERANDS];
    size_t workspace_bytes;
};

/* The operands on the host: as they are stored, and as doubles (NULL of OP_RAW and workspaces). */
struct op_data {
    const struct op_case *c;
    void *bytes[OP_OPERANDS];
    double *values[OP_OPERANDS];
};

/* All cases of one operation. */
struct op_kind {
    const char *table, *name; /* "nn", "conv_forward" */
    size_t offset;            /* of the function in its table */
    int cases;
    void (*describe)(struct op_case *c); /* by c->index */
    int (*run)(const struct op_call *call);
    /* From the operands before to all results after, by definition, in double. */
    void (*truth)(struct op_data *data);
    size_t (*workspace)(const struct device *device, const struct op_case *c);
    void (*fill)(const struct op_case *c, const struct op_operand *operand, void *bytes);
    /* Whether a check in a hurry takes the case, too; NULL: all that are not large. */
    bool (*is_quick)(const struct op_case *c);

    /* Gradients. result = d <seed, outputs of the case `forward` of adjoint_of> / d varied: names
     * of operands, seed and result of this kind's, varied of the other's, where it is linear.
     * forward NULL: the case of the same index; negative: none. */
    const char *adjoint_of, *varied, *seed, *result;
    int (*forward)(int index);
    /* With adjoint_of, where the forward operation is not linear: "varied", "its gradient", ...,
     * NULL, in place of the two names; operands that the case lacks are passed over. Right results
     * are then held against differences of the right results of the forward operation. */
    const char *const *slopes;
    /* Where the gradient is that of a sum of doubles: its value after a run, with slopes.
     * `forward`, if any, is negative for cases where the sum jumps. */
    double (*loss)(const struct op_data *after);
    double slope_step, slope_tolerance;
};

/* The case of this index. */
void op_case_make(struct op_case *c, const struct op_kind *kind, int index);

/* ---- for kinds ---- */

/* Where an operation stands, and its functions: OP_KIND(gan, penalty) names describe_penalty. */
#define OP_KIND(set, op)                                                                           \
    .table = #set, .name = #op, .offset = offsetof(struct set##_ops, op),                          \
    .describe = describe_##op, .run = run_##op, .truth = truth_##op

struct op_operand *op_add(struct op_case *c, const char *name, enum op_role role, enum op_type type,
                          size_t count);
struct op_operand *op_add_in(struct op_case *c, const char *name, enum nn_type type, size_t count);
struct op_operand *op_add_out(struct op_case *c, const char *name, enum nn_type type, size_t count,
                              double tolerance);
struct op_operand *op_add_sum(struct op_case *c, const char *name, size_t count, double tolerance);
/* NULL where the case has no such operand. */
void *op_memory(const struct op_call *call, const char *name);
double *op_values(const struct op_data *data, const char *name);
int op_find(const struct op_case *c, const char *name); /* -1: none */
const char *op_type_name(enum nn_type type);            /* "fp32" */
double op_uniform(const char *name, uint64_t index);    /* 0..1 */

#endif
