/* Numbers out of a file, held against the range that they must lie in. A file may come from anybody
 * and its checksums prove only that nobody changed it since: every number that is loaded is read by
 * one of these. ERR_DATA names the file, the number and the range. */
#ifndef IMGTRAIN_STORE_STORE_BOUNDS_H
#define IMGTRAIN_STORE_STORE_BOUNDS_H

#include "store/safetensors.h"

/* The values that are allowed, both ends among them. NaN lies in no range. */
struct store_range {
    double low, high;
};

/* All finite numbers. */
struct store_range store_finite(void);
/* All finite numbers that are not below 0. */
struct store_range store_not_negative(void);

/* Metadata `key`. */
int store_get_int_in(const struct store_file *file, const char *key, int64_t low, int64_t high,
                     int64_t *value);
int store_get_int32_in(const struct store_file *file, const char *key, int low, int high,
                       int *value);
int store_get_bool(const struct store_file *file, const char *key, bool *value); /* "0" or "1" */
int store_get_double_in(const struct store_file *file, const char *key, struct store_range range,
                        double *value);
/* Likewise, but NaN is allowed: it means "not known yet". */
int store_get_double_or_nan(const struct store_file *file, const char *key,
                            struct store_range range, double *value);

/* store_read_f32(), and every element lies in the range. */
int store_read_f32_in(const struct store_file *file, const char *name, int dims,
                      const int64_t *shape, struct store_range range, float *out);
/* The same; numbers of half precision are widened. */
int store_read_float_in(const struct store_file *file, const char *name, int dims,
                        const int64_t *shape, struct store_range range, float *out);
/* The i32 tensor `name` of shape [count]. */
int store_read_i32_in(const struct store_file *file, const char *name, int64_t count, int32_t low,
                      int32_t high, int32_t *out);

#endif
