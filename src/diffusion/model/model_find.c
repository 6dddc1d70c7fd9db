/* Where a model's name leads. */
#include "base/error.h"
#include "base/file.h"
#include "diffusion/model/model_folder.h"

#include <stdlib.h>
#include <string.h>

/* Whether FOLDER/model_index.json is there; takes `folder` (malloc) and gives it back in *path. */
static bool is_model(char *folder, char **path)
{
    bool there = folder && file_exists_in(folder, "model_index.json");
    if (there)
        *path = folder;
    else
        free(folder);
    return there;
}

/* The snapshot that refs/main names, of FOLDER/models--owner--name. */
static char *hub_snapshot(const char *cache, const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash || strchr(slash + 1, '/')) return NULL;
    char *folder =
        string_format("%s/models--%.*s--%s", cache, (int)(slash - name), name, slash + 1);
    char *ref = folder ? path_join(folder, "refs/main") : NULL, *snapshot = NULL;
    uint8_t *text = NULL;
    size_t bytes;
    if (ref && file_exists(ref) && file_read(ref, 256, &text, &bytes) == OK) {
        size_t length = strcspn((const char *)text, "\r\n/");
        snapshot = string_format("%s/snapshots/%.*s", folder, (int)length, (const char *)text);
    }
    free(text);
    free(ref);
    free(folder);
    return snapshot;
}

static bool is_in_hub(const char *name, char **path)
{
    const char *home = getenv("HF_HOME"), *other = getenv("TRANSFORMERS_CACHE");
    char *cache = home && *home ? path_join(home, "hub") : NULL;
    char *snapshot = cache ? hub_snapshot(cache, name) : NULL;
    free(cache);
    if (is_model(snapshot, path)) return true;
    return other && *other && is_model(hub_snapshot(other, name), path);
}

int model_folder_find(char **path, const char *name)
{
    const char *models = getenv("IMGTRAIN_MODELS");
    *path = NULL;
    if (!models || !*models) models = "models";
    if (is_model(string_format("%s", name), path)) return OK;
    if (is_model(path_join(name, "model"), path)) return OK;
    /* What is there under this very name is meant, and says itself what is wrong with it. */
    if (!file_exists(name)) {
        if (*name != '/' && !strstr(name, "..") && is_model(path_join(models, name), path))
            return OK;
        if (is_in_hub(name, path)) return OK;
        return fail(ERR_INPUT, "%s: no such model, neither here nor in %s (IMGTRAIN_MODELS)", name,
                    models);
    }
    *path = string_format("%s", name);
    return *path ? OK : ERR_SYSTEM;
}
