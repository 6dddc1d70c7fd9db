#include "cmd/train/train_inputs.h"

#include "base/error.h"
#include "base/file.h"
#include "config/config.h"
#include "image/image.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

struct inputs {
    bool each, any;
    const char *root; /* that names are relative to; "": the current folder */
    char **texts;     /* [count] */
    int count;
};

static int train_add_input(struct inputs *inputs, const char *path)
{
    char **more = realloc(inputs->texts, (size_t)(inputs->count + 1) * sizeof *more);
    if (!more) return fail(ERR_SYSTEM, "out of memory");
    inputs->texts = more;
    more[inputs->count] = string_format("%s", path);
    if (!more[inputs->count]) return ERR_SYSTEM;
    inputs->count++;
    return OK;
}

/* In the order of their names. from: how much of a path is the root. */
static int train_add_matches(struct inputs *inputs, const char *pattern, size_t from)
{
    glob_t matches = {0};
    int code = OK, failure = glob(pattern, 0, NULL, &matches);
    if (failure == GLOB_NOMATCH) code = fail(ERR_INPUT, "%s matches nothing", pattern);
    if (failure == GLOB_NOSPACE) code = fail(ERR_SYSTEM, "out of memory");
    if (failure == GLOB_ABORTED) code = fail_errno(ERR_IO, "%s", pattern);
    for (size_t i = 0; i < matches.gl_pathc && code == OK; i++)
        code = train_add_input(inputs, matches.gl_pathv[i] + from);
    globfree(&matches);
    return code;
}

static int train_add_images(struct inputs *inputs, const char *folder, size_t from)
{
    const char *name;
    int code = OK, more = 0;
    DIR *stream = file_open_folder(folder, true);
    if (!stream) return fail_errno(ERR_INPUT, "open folder %s", folder);
    while (code == OK && (more = file_next_name(stream, folder, &name)) > 0) {
        if (name[0] == '.' || !image_name_is_readable(name)) continue;
        char *path = path_join(folder, name);
        code = path ? train_add_input(inputs, path + from) : ERR_SYSTEM;
        free(path);
    }
    closedir(stream);
    if (code == OK) code = more;
    if (code == OK && inputs->count == 0) code = fail(ERR_INPUT, "%s holds no image", folder);
    if (inputs->count > 1)
        qsort(inputs->texts, (size_t)inputs->count, sizeof *inputs->texts, string_compare);
    return code;
}

static int train_expand_one(void *context, const char *key, const char *value, char ***texts,
                            int *count)
{
    struct inputs *inputs = context;
    bool is_image = strcmp(key, "splat.input_path") == 0;
    bool rooted = is_image && *inputs->root && value[0] != '/';
    char *path = rooted ? path_join(inputs->root, value) : string_format("%s", value);
    int code = path ? OK : ERR_SYSTEM;
    size_t from = rooted && path ? strlen(path) - strlen(value) : 0;
    inputs->texts = NULL;
    inputs->count = 0;
    bool several = strchr(value, ';'); /* folders of one run */
    if (code == OK && strpbrk(value, "*?[") && !several && !file_exists(path))
        code = train_add_matches(inputs, path, from);
    else if (code == OK && is_image && inputs->each && file_is_dir(path))
        code = train_add_images(inputs, path, from);
    free(path);
    *texts = inputs->texts;
    *count = inputs->count;
    inputs->any = inputs->any || inputs->count > 0;
    return code;
}

int train_expand_inputs(struct config *config, bool each, bool *any)
{
    struct inputs inputs = {.each = each, .root = config->splat.data_root};
    int code = config_expand_inputs(config, train_expand_one, &inputs);
    *any = inputs.any;
    return code;
}
