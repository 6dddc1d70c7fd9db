#include "registry/check_cache.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 8192 };
static const char head[] = "imgtrain self-check 1";

/* The folder (malloc), by the XDG Base Directory Specification: a relative path counts as none. */
static char *check_cache_folder(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') return string_format("%s/imgtrain/self-check", cache);
    if (home && home[0] == '/') return string_format("%s/.cache/imgtrain/self-check", home);
    return NULL;
}

static char *check_cache_path(const char *folder, const char *key)
{
    return string_format("%s/%016" PRIx64, folder, hash_bytes(0, key, strlen(key)));
}

/* What a file says, with a checksum in its last line. */
static char *check_cache_text(const char *key, bool passed, const char *why)
{
    char *text = string_format("%s\n%s\n%s\n%s\n", head, key, passed ? "passed" : "failed", why);
    char *all = NULL;
    if (text) all = string_format("%s%016" PRIx64 "\n", text, hash_bytes(0, text, strlen(text)));
    free(text);
    return all;
}

static bool check_cache_parse(const char *text, const char *key, bool *passed, char *why,
                              size_t room)
{
    const char *at = text, *end;
    size_t lengths[] = {strlen(head), strlen(key)};
    const char *lines[] = {head, key};
    for (int i = 0; i < 2; i++) {
        if (strncmp(at, lines[i], lengths[i]) != 0 || at[lengths[i]] != '\n') return false;
        at += lengths[i] + 1;
    }
    *passed = strncmp(at, "passed\n", 7) == 0;
    if (!*passed && strncmp(at, "failed\n", 7) != 0) return false;
    at += 7;
    end = strchr(at, '\n');
    if (!end || (size_t)(end - at) >= room) return false;
    snprintf(why, room, "%.*s", (int)(end - at), at);
    char *whole = check_cache_text(key, *passed, why);
    bool same = whole && strcmp(whole, text) == 0;
    free(whole);
    return same;
}

bool check_cache_read(const char *key, bool *passed, char *why, size_t room)
{
    char *folder = check_cache_folder(), *path = folder ? check_cache_path(folder, key) : NULL;
    uint8_t *text = NULL;
    size_t bytes;
    bool known = path && file_read(path, LARGEST, &text, &bytes) == OK &&
                 check_cache_parse((const char *)text, key, passed, why, room);
    free(text);
    free(path);
    free(folder);
    return known;
}

void check_cache_write(const char *key, bool passed, const char *why)
{
    char *folder = check_cache_folder(), *path = folder ? check_cache_path(folder, key) : NULL;
    char *text = path ? check_cache_text(key, passed, why) : NULL;
    if (text && file_make_dirs(folder) == OK)
        (void)!file_atomic_write_whole(path, text, strlen(text), false);
    free(text);
    free(path);
    free(folder);
}
