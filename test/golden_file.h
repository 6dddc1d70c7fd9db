/* What the metadata of a golden file say. */
#ifndef IMGTRAIN_TEST_GOLDEN_FILE_H
#define IMGTRAIN_TEST_GOLDEN_FILE_H

#include "store/safetensors.h"
#include "test/support.h"

static inline int golden_int(const struct store_file *file, const char *key)
{
    int64_t value;
    MUST(store_get_int(file, key, &value));
    return (int)value;
}

/* "1,2,3": how many. */
static inline int golden_list(const struct store_file *file, const char *key, int *values, int most)
{
    const char *text = store_get(file, key);
    int count = 0;
    ck_assert_ptr_nonnull(text);
    for (char *end; *text && count < most; text = *end ? end + 1 : end)
        values[count++] = (int)strtol(text, &end, 10);
    return count;
}

#endif
