#include "cmd/preset.h"

#include "base/error.h"
#include "base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where presets may be, as seen from the program's folder: beside it, of a program in PREFIX/bin,
 * of one in build/FLAGS. */
static const char *const preset_folders[] = {"cfgs", "../share/imgtrain/cfgs", "../../cfgs"};
enum { FOLDERS = sizeof preset_folders / sizeof preset_folders[0] };

/* "photo" of "cfgs/photo.yaml", "photo.yaml" and "photo"; *length 0 for any other path. */
static const char *preset_name(const char *path, int *length)
{
    const char *name = strncmp(path, "cfgs/", 5) == 0 ? path + 5 : path;
    const char *end = strstr(name, ".yaml");
    size_t n = end && !end[5] ? (size_t)(end - name) : strlen(name);
    *length = strchr(name, '/') ? 0 : (int)n;
    return name;
}

/* The folder that the program is in, whatever link it was started by. */
static int preset_program_folder(char folder[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (n < 0) return fail_errno(ERR_SYSTEM, "find the program's folder");
    folder[n] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    return OK;
}

int preset_find(const char *path, char **found)
{
    char program[PATH_MAX];
    int length;
    const char *name = preset_name(path, &length);
    *found = NULL;
    bool there = file_exists(path) && !(length > 0 && file_is_dir(path));
    if (!there && length > 0 && preset_program_folder(program) == OK) {
        for (int i = 0; i < FOLDERS; i++) {
            char *file = string_format("%s/%s/%.*s.yaml", program, preset_folders[i], length, name);
            if (!file) return ERR_SYSTEM;
            *found = realpath(file, NULL);
            free(file);
            if (*found) return OK;
        }
    }
    if (!there && length > 0 && (size_t)length == strlen(path) && !file_exists(path))
        return fail(ERR_INPUT, "%s: no such file, and no preset of this name", path);
    *found = string_format("%s", path);
    return *found ? OK : ERR_SYSTEM;
}
