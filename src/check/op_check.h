/* Three things to ask of a device by the table of op_cases.h. */
#ifndef IMGTRAIN_CHECK_OP_CHECK_H
#define IMGTRAIN_CHECK_OP_CHECK_H

#include "check/op_cases.h"

/* For tests: marks bytes as never written, which MemorySanitizer then follows through copies. */
extern void (*op_check_forget)(void *bytes, size_t count);

/* A case's operands before it and its right results, to hold against any number of devices. */
struct op_truth {
    const struct op_case *c;
    struct op_data before, after;
};

int op_truth_make(struct op_truth *truth, const struct op_case *c);
void op_truth_free(struct op_truth *truth);

/* Runs the case. ERR_DATA, naming the number, where the device's is further from the right one than
 * the case allows, or where something was written outside the operands. *bits: a checksum of all
 * results; NULL: not wanted. more_workspace: bytes beyond what the operation asks for. */
int op_truth_check(const struct op_truth *truth, struct device *device, size_t more_workspace,
                   uint64_t *bits);

/* How far a number is from the right one, and how far it may be: of all numbers the one that is
 * furthest in units of what it may. */
struct op_error {
    double error, bound;
};
/* The same check, which keeps in *worst (NULL: not wanted) the greater of it and what it finds. */
int op_truth_measure(const struct op_truth *truth, struct device *device, size_t more_workspace,
                     uint64_t *bits, struct op_error *worst);

/* The device has the operation: some are NULL in the CPU's tables. */
bool op_kind_is_there(const struct op_kind *kind, const struct device *device);

/* Numbers of bf16 are among its operands. */
bool op_case_is_half(const struct op_case *c);

/* Holds an adjoint against differences of its forward operation, both on this device: ERR_DATA. OK
 * where the case is no adjoint; *checked: it is one. */
int op_gradient_check(const struct op_case *c, struct device *device, bool *checked);

/* Seconds of one call: the fastest of a few rounds of at least `least` seconds each. */
int op_speed(const struct op_case *c, struct device *device, double least, double *seconds);
/* A line of a table: operation, shape, seconds, GB/s, Gmac/s; NULL: its head. Returns text. */
char *op_speed_line(char *text, size_t room, const struct op_case *c, double seconds);

#endif
