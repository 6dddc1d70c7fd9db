#include "cpu/host_memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 4352 };

/* The number behind `key` in a file of lines "KEY NUMBER ..."; -1 when it is not there. */
static int64_t read_keyed(const char *path, const char *key)
{
    char line[256];
    int64_t value = -1;
    size_t length = strlen(key);
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    while (value < 0 && fgets(line, sizeof line, file)) {
        long long number;
        if (strncmp(line, key, length) == 0 && sscanf(line + length, "%lld", &number) == 1)
            value = number;
    }
    fclose(file);
    return value;
}

static int64_t host_memory_meminfo(const char *key)
{
    int64_t kilobytes = read_keyed("/proc/meminfo", key);
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

/* The bytes that one control group allows (or has left, with `left`); INT64_MAX without a limit.
 * "max" reads as no number; version 1 says "no limit" by a number near 2^63. */
static int64_t group_allows(const char *dir, bool v2, bool left)
{
    char path[PATH_ROOM + 64];
    snprintf(path, sizeof path, "%s/%s", dir, v2 ? "memory.max" : "memory.limit_in_bytes");
    int64_t limit = read_keyed(path, "");
    if (limit < 0 || limit > (INT64_C(1) << 60)) return INT64_MAX;
    if (!left) return limit;
    snprintf(path, sizeof path, "%s/%s", dir, v2 ? "memory.current" : "memory.usage_in_bytes");
    int64_t used = read_keyed(path, "");
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    int64_t cache = read_keyed(path, v2 ? "inactive_file " : "total_inactive_file ");
    if (used < 0) return limit;
    if (cache > 0) used -= cache < used ? cache : used;
    return used < limit ? limit - used : 0;
}

/* The least over a group and all above it, `root` among them: a container sees its own as the root,
 * under a name that does not exist there. */
static int64_t hierarchy_allows(const char *root, const char *group, bool v2, bool left)
{
    char dir[PATH_ROOM];
    if ((size_t)snprintf(dir, sizeof dir, "%s%s", root, group) >= sizeof dir) return INT64_MAX;
    int64_t least = INT64_MAX;
    for (;;) {
        int64_t one = group_allows(dir, v2, left);
        if (one < least) least = one;
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < strlen(root)) return least;
        *slash = '\0';
    }
}

static int64_t groups_allow(bool left)
{
    char line[PATH_ROOM];
    int64_t least = INT64_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return least;
    while (fgets(line, sizeof line, file)) { /* "ID:CONTROLLERS:/PATH" */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        int64_t one = INT64_MAX;
        if (*controllers == '\0')
            one = hierarchy_allows("/sys/fs/cgroup", group, true, left);
        else if (strcmp(controllers, "memory") == 0)
            one = hierarchy_allows("/sys/fs/cgroup/memory", group, false, left);
        if (one < least) least = one;
    }
    fclose(file);
    return least;
}

static int64_t least_known(int64_t machine, int64_t groups)
{
    if (machine >= 0 && machine < groups) return machine;
    return groups == INT64_MAX ? -1 : groups;
}

int64_t host_memory_free(void)
{
    return least_known(host_memory_meminfo("MemAvailable:"), groups_allow(true));
}

int64_t host_memory_total(void)
{
    return least_known(host_memory_meminfo("MemTotal:"), groups_allow(false));
}
