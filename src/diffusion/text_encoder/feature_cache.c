#include "diffusion/text_encoder/feature_cache.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "store/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* To be raised when features come out otherwise. */
enum { FEATURE_VERSION = 1 };

static char *feature_path(const char *folder, const struct feature_key *key)
{
    const int64_t numbers[] = {FEATURE_VERSION, key->count, key->width};
    uint64_t hash = hash_bytes(key->encoder, numbers, sizeof numbers);
    hash = hash_bytes(hash, key->how, strlen(key->how));
    hash = hash_bytes(hash, key->ids, (size_t)key->count * sizeof *key->ids);
    return string_format("%s/text-%016" PRIx64 ".safetensors", folder, hash);
}

/* A file without a CRC may hold anything, and what is kept was finite. */
static int feature_check_finite(const char *path, const struct feature_key *key,
                                const float *features)
{
    size_t count = (size_t)key->rows * (size_t)key->width;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(features[i])) return fail(ERR_DATA, "%s: features that are no numbers", path);
    return OK;
}

static int feature_read(const char *path, const struct feature_key *key, float *features)
{
    const int64_t shape[2] = {key->rows, key->width};
    struct store_file *file;
    TRY(store_open(&file, path));
    const struct store_tensor *ids = store_find(file, "ids");
    size_t bytes = (size_t)key->count * sizeof *key->ids;
    int code = OK;
    if (!ids || ids->type != TENSOR_I32 || ids->bytes != bytes ||
        memcmp(ids->data, key->ids, bytes) != 0)
        code = fail(ERR_DATA, "%s: features of another prompt", path);
    if (code == OK) code = store_read_f32(file, "features", 2, shape, features);
    if (code == OK) code = feature_check_finite(path, key, features);
    store_close(file);
    return code;
}

bool feature_cache_find(const char *folder, const struct feature_key *key, float *features)
{
    char *path = feature_path(folder, key);
    if (!path || !file_exists(path)) {
        free(path);
        return false;
    }
    int code = feature_read(path, key, features);
    if (code < 0) log_warning("%s: the prompt is encoded anew", error_message());
    free(path);
    return code == OK;
}

static int feature_write(const char *folder, const struct feature_key *key, const float *features)
{
    const int64_t ids[1] = {key->count}, shape[2] = {key->rows, key->width};
    struct store_writer *writer = store_writer_create();
    char *path = feature_path(folder, key);
    int code = writer && path ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = file_make_dirs(folder);
    if (code == OK) code = store_add(writer, "ids", TENSOR_I32, 1, ids, key->ids);
    if (code == OK) code = store_add(writer, "features", TENSOR_F32, 2, shape, features);
    if (code == OK) code = store_set(writer, "how", key->how);
    if (code == OK) code = store_write(writer, path, false);
    store_writer_free(writer);
    free(path);
    return code;
}

void feature_cache_keep(const char *folder, const struct feature_key *key, const float *features)
{
    if (feature_write(folder, key, features) < 0)
        log_info("the prompt's features are not kept: %s", error_message());
}
