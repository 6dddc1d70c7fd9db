#include "run/identity.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/retry.h"
#include "store/safetensors.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FILE_LIMIT = 4096 };

static bool identity_is_valid(const char *text)
{
    return strlen(text) == IDENTITY_DIGITS && strspn(text, "0123456789abcdef") == IDENTITY_DIGITS;
}

/* Reads the file; id is empty when it is missing or holds something else, as it may after a power
 * cut. */
static int read_identity(char id[IDENTITY_BYTES], const char *path)
{
    uint8_t *text = NULL;
    size_t bytes;
    id[0] = '\0';
    int fd, code = file_open_own(path, O_RDONLY, ERR_INPUT, &fd);
    if (code == ERR_INPUT) return OK;
    TRY(code);
    code = file_read_open(fd, path, FILE_LIMIT, &text, &bytes);
    retry_close(fd);
    TRY(code);
    char *line = (char *)text;
    line[strcspn(line, "\n")] = '\0';
    if (identity_is_valid(line)) memcpy(id, line, IDENTITY_BYTES);
    free(text);
    return OK;
}

static int draw_identity(char id[IDENTITY_BYTES])
{
    uint8_t bytes[IDENTITY_DIGITS / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return fail_errno(ERR_SYSTEM, "random numbers");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return OK;
}

int identity_settle(char id[IDENTITY_BYTES], const char *run_dir, const struct store_file *file)
{
    const char *inside = file ? store_get(file, "run") : NULL;
    if (inside && !identity_is_valid(inside))
        return fail(ERR_DATA, "%s: metadata run is no identity of a run", store_path(file));
    char *path = path_join(run_dir, "run-id");
    if (!path) return ERR_SYSTEM;
    int code;
    TRY_CLEANUP(read_identity(id, path));
    if (id[0] && inside && strcmp(id, inside) != 0)
        TRY_CLEANUP(fail(ERR_CONFIG,
                         "%s is of another run (%s) than this folder (%s, in %s): take it away, or "
                         "resume that run in its own folder",
                         store_path(file), inside, id, path));
    if (id[0]) goto cleanup;
    if (inside)
        memcpy(id, inside, IDENTITY_BYTES);
    else
        TRY_CLEANUP(draw_identity(id));
    char line[IDENTITY_BYTES + 1];
    int bytes = snprintf(line, sizeof line, "%s\n", id);
    TRY_CLEANUP(file_atomic_write_whole(path, line, (size_t)bytes, true));
cleanup:
    free(path);
    return code;
}
