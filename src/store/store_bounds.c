#include "store/store_bounds.h"

#include "base/error.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct store_range store_finite(void)
{
    return (struct store_range){-DBL_MAX, DBL_MAX};
}

struct store_range store_not_negative(void)
{
    return (struct store_range){0, DBL_MAX};
}

static bool range_holds(struct store_range range, double value)
{
    return value >= range.low && value <= range.high; /* false of NaN */
}

int store_get_int_in(const struct store_file *file, const char *key, int64_t low, int64_t high,
                     int64_t *value)
{
    int64_t number = 0;
    TRY(store_get_int(file, key, &number));
    if (number < low || number > high)
        return fail(ERR_DATA, "%s: metadata %s: %" PRId64 " is outside %" PRId64 "..%" PRId64,
                    store_path(file), key, number, low, high);
    *value = number;
    return OK;
}

int store_get_int32_in(const struct store_file *file, const char *key, int low, int high,
                       int *value)
{
    int64_t number = 0;
    TRY(store_get_int_in(file, key, low, high, &number));
    *value = (int)number;
    return OK;
}

int store_get_bool(const struct store_file *file, const char *key, bool *value)
{
    int64_t number = 0;
    TRY(store_get_int_in(file, key, 0, 1, &number));
    *value = number == 1;
    return OK;
}

/* Fails for a number outside its range. A range that only keeps out numbers that are not finite
 * says so in words. */
static int store_bounds_outside(const struct store_file *file, const char *what, const char *name,
                                double value, struct store_range range)
{
    if (range.high < DBL_MAX)
        return fail(ERR_DATA, "%s: %s %s: %g is outside %g..%g", store_path(file), what, name,
                    value, range.low, range.high);
    return fail(ERR_DATA, "%s: %s %s: %g is not %s", store_path(file), what, name, value,
                range.low < 0 ? "finite" : "a finite number from 0 on");
}

int store_get_double_in(const struct store_file *file, const char *key, struct store_range range,
                        double *value)
{
    double number = 0;
    TRY(store_get_double(file, key, &number));
    if (!range_holds(range, number))
        return store_bounds_outside(file, "metadata", key, number, range);
    *value = number;
    return OK;
}

int store_get_double_or_nan(const struct store_file *file, const char *key,
                            struct store_range range, double *value)
{
    double number = 0;
    TRY(store_get_double(file, key, &number));
    if (!isnan(number)) return store_get_double_in(file, key, range, value);
    *value = (double)NAN;
    return OK;
}

static int check_numbers(const struct store_file *file, const char *name, struct store_range range,
                         const float *numbers)
{
    const struct store_tensor *tensor = store_find(file, name);
    size_t count = tensor->bytes / tensor_type_bytes(tensor->type);
    for (size_t i = 0; i < count; i++)
        if (!range_holds(range, (double)numbers[i]))
            return store_bounds_outside(file, "tensor", name, (double)numbers[i], range);
    return OK;
}

int store_read_f32_in(const struct store_file *file, const char *name, int dims,
                      const int64_t *shape, struct store_range range, float *out)
{
    TRY(store_read_f32(file, name, dims, shape, out));
    return check_numbers(file, name, range, out);
}

int store_read_float_in(const struct store_file *file, const char *name, int dims,
                        const int64_t *shape, struct store_range range, float *out)
{
    TRY(store_read_float(file, name, dims, shape, out));
    return check_numbers(file, name, range, out);
}

int store_read_i32_in(const struct store_file *file, const char *name, int64_t count, int32_t low,
                      int32_t high, int32_t *out)
{
    const struct store_tensor *tensor = store_find(file, name);
    if (!tensor) return fail(ERR_DATA, "%s: tensor %s is missing", store_path(file), name);
    if (tensor->type != TENSOR_I32 || tensor->dims != 1 || tensor->shape[0] != count)
        return fail(ERR_DATA, "%s: tensor %s is not I32 [%" PRId64 "]", store_path(file), name,
                    count);
    if (tensor->bytes) memcpy(out, tensor->data, tensor->bytes);
    for (int64_t i = 0; i < count; i++)
        if (out[i] < low || out[i] > high)
            return fail(ERR_DATA, "%s: tensor %s: value %" PRId64 ", %d, is outside %d..%d",
                        store_path(file), name, i, out[i], low, high);
    return OK;
}
