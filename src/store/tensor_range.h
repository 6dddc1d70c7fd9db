/* The numbers in a tensor, and their range. */
#ifndef IMGTRAIN_STORE_TENSOR_RANGE_H
#define IMGTRAIN_STORE_TENSOR_RANGE_H

#include "store/tensor.h"

struct tensor_range {
    int64_t count;     /* elements */
    int64_t nonfinite; /* of them NaN or infinite; left out of the two below */
    double min, max;   /* NaN when there is no finite element; of 64-bit integers rounded */
};

/* Number i of it. */
double tensor_number(const struct store_tensor *tensor, size_t i);

struct tensor_range tensor_range(const struct store_tensor *tensor);

#endif
