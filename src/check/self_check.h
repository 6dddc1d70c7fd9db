/* A device holds its operations against their right results, before anybody trusts it. */
#ifndef IMGTRAIN_CHECK_SELF_CHECK_H
#define IMGTRAIN_CHECK_SELF_CHECK_H

#include "check/op_check.h"

/* What was found of one operation. */
struct self_check_row {
    const struct op_kind *kind;
    int cases;             /* tried */
    struct op_error worst; /* of all numbers; bound 0: none was compared */
    double seconds;
    int code;        /* ERR_DEVICE: it failed; ERR_DEVICE_MEMORY: there was no room for it */
    const char *why; /* the first failure's text; "": none */
};

struct self_check {
    const char *tables; /* of operations, blanks between: "nn gan"; NULL: all */
    bool half;      /* mixed precision, too: cases in bf16, where the device has it, or halves */
    bool whole;     /* all cases but large ones, instead of some by what they cost; and on after
                       a failure, unless the device is lost */
    double seconds; /* not whole: a quarter of the cases, spread over all operations, then as
                       many as this leaves time for; 0: no limit */
    void (*row)(void *context, const struct self_check_row *row); /* behind each; may be NULL */
    void *context;
};

/* The part of a check, from 0, that has the case of this index: 0 is made however slow the GPU is.
 */
enum { SELF_CHECK_PARTS = 4 };
int self_check_part(int index);

/* Whether `tables`, as above, has this one. */
bool self_check_has_table(const char *tables, const char *table);

/* ERR_DEVICE with the first failure: operation, shape, by how much; an operation that ends with an
 * error, or after which the device answers no more, has failed. ERR_DEVICE_MEMORY: none has failed,
 * but there was no room for some. Whatever was allocated is given back and not counted in peaks. */
int self_check_run(const struct self_check *check, struct device *device);

/* The same of convolutions by the device's library, which is to be open (device/conv_library.h)
 * with CONV_ALWAYS; it is forgotten afterwards. */
int self_check_library(const struct self_check *check, struct device *device);

#endif
