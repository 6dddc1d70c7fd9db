#include "store/shards.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "store/json_file.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_MAX = 16 << 20, SHARDS_MOST = 1000, SHARD_SMALL = 64 << 20 };

struct store_shards {
    char *folder;
    struct store_file *file[SHARDS_MOST];
    int count;
};

/* A name that stays within the folder and fits into a message. */
static bool shard_name_is_plain(const char *name)
{
    if (!*name || *name == '.' || strchr(name, '/')) return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) return false;
    return true;
}

static int shards_add(struct store_shards *shards, const char *name)
{
    if (shards->count == SHARDS_MOST)
        return fail(ERR_DATA, "%s: more than %d shards", shards->folder, SHARDS_MOST);
    char *path = path_join(shards->folder, name);
    if (!path) return ERR_SYSTEM;
    int code = store_open_lazy(&shards->file[shards->count], path);
    if (code == OK) shards->count++;
    free(path);
    return code;
}

static const struct store_file *shards_named(const struct store_shards *shards, const char *name)
{
    for (int i = shards->count - 1; i >= 0; i--) {
        const char *path = store_path(shards->file[i]), *last = strrchr(path, '/');
        if (strcmp(last ? last + 1 : path, name) == 0) return shards->file[i];
    }
    return NULL;
}

static int shards_add_indexed(struct store_shards *shards, const cJSON *entry, const char *path)
{
    const char *name = entry->string, *file = cJSON_GetStringValue(entry);
    if (!file || !shard_name_is_plain(file))
        return fail(ERR_DATA, "%s: %.100s: the name of a file beside the index is expected", path,
                    shard_name_is_plain(name) ? name : "a tensor");
    if (!shards_named(shards, file)) TRY(shards_add(shards, file));
    const struct store_file *named = shards_named(shards, file);
    if (store_find(named, name)) return OK;
    return fail(ERR_DATA, "%s: tensor %.200s is not in it, as %s says", store_path(named),
                shard_name_is_plain(name) ? name : "of the index", path);
}

static int shards_check_twice(const struct store_shards *shards)
{
    for (int i = 0; i < shards->count; i++)
        for (int t = 0; t < store_count(shards->file[i]); t++) {
            const char *name = store_at(shards->file[i], t)->name;
            for (int j = i + 1; j < shards->count; j++)
                if (store_find(shards->file[j], name))
                    return fail(ERR_DATA, "%s: tensor %s stands in %s too",
                                store_path(shards->file[j]), name, store_path(shards->file[i]));
        }
    return OK;
}

static int shards_open_index(struct store_shards *shards, const char *path)
{
    cJSON *root = NULL;
    const cJSON *entry;
    int code = OK;
    TRY_CLEANUP(json_file_read(&root, path, INDEX_MAX));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    if (!cJSON_IsObject(map) || !map->child)
        TRY_CLEANUP(fail(ERR_DATA, "%s: weight_map is missing", path));
    cJSON_ArrayForEach(entry, map) TRY_CLEANUP(shards_add_indexed(shards, entry, path));
    TRY_CLEANUP(shards_check_twice(shards));
cleanup:
    cJSON_Delete(root);
    return code;
}

/* 1 when this stem is there. */
static int shards_open_stem(struct store_shards *shards, const char *stem)
{
    char *single = string_format("%s.safetensors", stem);
    char *path = string_format("%s/%s.safetensors.index.json", shards->folder, stem);
    char *whole = single ? path_join(shards->folder, single) : NULL;
    int code = OK;
    if (!single || !path || !whole)
        code = ERR_SYSTEM;
    else if (file_exists(path))
        code = shards_open_index(shards, path);
    else if (file_exists(whole))
        code = shards_add(shards, single);
    else
        goto cleanup;
    if (code == OK) code = 1;
cleanup:
    free(single);
    free(path);
    free(whole);
    return code;
}

int store_shards_open(struct store_shards **out, const char *folder, const char *const *stems)
{
    struct store_shards *shards = calloc(1, sizeof *shards);
    int code = OK;
    *out = NULL;
    if (!shards || !(shards->folder = strdup(folder))) code = fail(ERR_SYSTEM, "out of memory");
    for (const char *const *stem = stems; code == OK && *stem; stem++)
        code = shards_open_stem(shards, *stem);
    if (code == OK)
        code = fail(ERR_INPUT, "%s: no %s.safetensors and no index of shards", folder, stems[0]);
    if (code < 0) {
        store_shards_close(shards);
        return code;
    }
    *out = shards;
    return OK;
}

int store_shards_open_file(struct store_shards **out, const char *path)
{
    struct store_shards *shards = calloc(1, sizeof *shards);
    int code = OK;
    *out = NULL;
    if (!shards || !(shards->folder = strdup(path))) code = fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = store_open_lazy(&shards->file[0], path);
    if (code < 0) {
        store_shards_close(shards);
        return code;
    }
    shards->count = 1;
    *out = shards;
    return OK;
}

void store_shards_close(struct store_shards *shards)
{
    if (!shards) return;
    for (int i = 0; i < shards->count; i++)
        store_close(shards->file[i]);
    free(shards->folder);
    free(shards);
}

int store_shards_count(const struct store_shards *shards)
{
    return shards->count;
}

const struct store_file *store_shards_at(const struct store_shards *shards, int index)
{
    return shards->file[index];
}

int store_shards_tensor_count(const struct store_shards *shards)
{
    int count = 0;
    for (int i = 0; i < shards->count; i++)
        count += store_count(shards->file[i]);
    return count;
}

const struct store_tensor *store_shards_find(const struct store_shards *shards, const char *name,
                                             const struct store_file **file)
{
    for (int i = 0; i < shards->count; i++) {
        const struct store_tensor *tensor = store_find(shards->file[i], name);
        if (!tensor) continue;
        if (file) *file = shards->file[i];
        return tensor;
    }
    return NULL;
}

int store_shards_read(const struct store_shards *shards, const struct store_tensor *tensor,
                      void *to)
{
    const struct store_file *file;
    if (store_shards_find(shards, tensor->name, &file) != tensor)
        return fail(ERR_INTERNAL, "%s is of no shard", tensor->name);
    return store_read_bytes(file, tensor, to);
}

int store_shards_expect(const struct store_shards *shards, const char *name, int dims,
                        const int64_t *shape, const struct store_tensor **tensor)
{
    const struct store_file *file;
    *tensor = store_shards_find(shards, name, &file);
    if (!*tensor)
        return fail(ERR_DATA, "%s: tensor %s is missing",
                    shards->count == 1 ? store_path(shards->file[0]) : shards->folder, name);
    return store_expect_float(file, name, dims, shape);
}

int store_shards_check_small(const struct store_shards *shards)
{
    for (int i = 0; i < shards->count; i++) {
        const struct store_file *file = shards->file[i];
        if (store_has_crcs(file) && store_bytes(file) <= SHARD_SMALL) TRY(store_check_crcs(file));
    }
    return OK;
}

void store_shards_warn_unused(const struct store_shards *shards, int used,
                              bool (*is_used)(const void *context, const char *name),
                              const void *context)
{
    int count = store_shards_tensor_count(shards) - used;
    if (count <= 0) return;
    for (int f = 0; f < shards->count; f++)
        for (int i = 0; i < store_count(shards->file[f]); i++) {
            const char *name = store_at(shards->file[f], i)->name;
            if (is_used(context, name)) continue;
            log_warning("%s: %d tensors are of no use to this network, %s is the first",
                        store_path(shards->file[f]), count, name);
            return;
        }
}
