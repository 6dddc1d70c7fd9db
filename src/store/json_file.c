#include "store/json_file.h"

#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

cJSON *json_parse(const char *text, size_t bytes, size_t *at)
{
    const char *end = NULL;
    /* cJSON takes zeros for blanks */
    const char *zero = memchr(text, 0, bytes);
    errno = 0;
    cJSON *root = zero ? NULL : cJSON_ParseWithLengthOpts(text, bytes + 1, &end, true);
    if (zero) end = zero;
    *at = end ? (size_t)(end - text) : 0;
    return root;
}

int json_file_parse(cJSON **object, const char *path, const uint8_t *text, size_t bytes)
{
    size_t at;
    *object = NULL;
    cJSON *root = json_parse((const char *)text, bytes, &at);
    if (!root && errno == ENOMEM) return fail(ERR_SYSTEM, "%s: out of memory", path);
    if (!root) return fail(ERR_DATA, "%s: no JSON, or damaged: at byte %zu", path, at);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return fail(ERR_DATA, "%s: no JSON object", path);
    }
    *object = root;
    return OK;
}

int json_file_read(cJSON **object, const char *path, size_t limit)
{
    uint8_t *text;
    size_t bytes;
    *object = NULL;
    TRY(file_read(path, limit, &text, &bytes));
    int code = json_file_parse(object, path, text, bytes);
    free(text);
    return code;
}

const cJSON *json_file_member(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return item && !cJSON_IsNull(item) ? item : NULL;
}

int json_file_expect(const cJSON *object, const char *path, const char *key)
{
    return json_file_member(object, key) ? OK : fail(ERR_DATA, "%s: %s is missing", path, key);
}

static int json_to_int(const cJSON *item, const char *path, const char *key, int64_t low,
                       int64_t high, int *value)
{
    double number = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    if (!(number >= (double)low && number <= (double)high && number == floor(number)))
        return fail(ERR_DATA, "%s: %s: a whole number from %" PRId64 " to %" PRId64 " is expected",
                    path, key, low, high);
    *value = (int)number;
    return OK;
}

int json_file_int(const cJSON *object, const char *path, const char *key, int64_t low, int64_t high,
                  int *value)
{
    const cJSON *item = json_file_member(object, key);
    return item ? json_to_int(item, path, key, low, high, value) : OK;
}

int json_file_double(const cJSON *object, const char *path, const char *key, double low,
                     double high, double *value)
{
    const cJSON *item = json_file_member(object, key);
    if (!item) return OK;
    double number = cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
    if (!(number >= low && number <= high))
        return fail(ERR_DATA, "%s: %s: a number from %g to %g is expected", path, key, low, high);
    *value = number;
    return OK;
}

int json_file_bool(const cJSON *object, const char *path, const char *key, bool *value)
{
    const cJSON *item = json_file_member(object, key);
    if (!item) return OK;
    if (!cJSON_IsBool(item)) return fail(ERR_DATA, "%s: %s: true or false is expected", path, key);
    *value = cJSON_IsTrue(item);
    return OK;
}

int json_file_string(const cJSON *object, const char *path, const char *key, const char **value)
{
    const cJSON *item = json_file_member(object, key);
    if (!item) return OK;
    if (!cJSON_IsString(item)) return fail(ERR_DATA, "%s: %s: a string is expected", path, key);
    *value = item->valuestring;
    return OK;
}

int json_file_ints(const cJSON *object, const char *path, const char *key, int64_t low,
                   int64_t high, int count, int *values)
{
    const cJSON *list = json_file_member(object, key), *item;
    if (!list) return OK;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count)
        return fail(ERR_DATA, "%s: %s: a list of %d numbers is expected", path, key, count);
    int i = 0;
    cJSON_ArrayForEach(item, list) TRY(json_to_int(item, path, key, low, high, &values[i++]));
    return OK;
}
