#include "run/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RUN_NUMBER = 999999, HOLDER_BYTES = 320 };

/* The number of "NAME-NNN" or -1. */
static int run_number(const char *entry, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(entry, name, n) != 0 || entry[n] != '-') return -1;
    const char *digits = entry + n + 1;
    size_t count = strspn(digits, "0123456789");
    if (count < 3 || count > 6 || digits[count] != '\0') return -1;
    return atoi(digits);
}

/* The highest number of a run of this name below log_root; 0 when there is none. */
static int newest_number(const char *log_root, const char *name)
{
    int newest = 0;
    DIR *dir = opendir(log_root);
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int number = run_number(entry->d_name, name);
        if (number > newest) newest = number;
    }
    closedir(dir);
    return newest;
}

static char *numbered_path(const struct folder_request *request, int number)
{
    char *leaf = string_format("%s-%03d", request->name, number);
    char *path = leaf ? path_join(request->log_root, leaf) : NULL;
    free(leaf);
    return path;
}

static bool is_numbered(const struct folder_request *request)
{
    return !request->path && !request->exp_name[0];
}

char *folder_plan(const struct folder_request *request)
{
    if (request->path) return string_format("%s", request->path);
    if (request->exp_name[0]) return path_join(request->log_root, request->exp_name);
    int newest = newest_number(request->log_root, request->name);
    return numbered_path(request, request->resume && newest > 0 ? newest : newest + 1);
}

/* Creates the parents, then the folder itself: exactly one process succeeds. */
static int make_exclusive(const char *path, bool *existed)
{
    *existed = false;
    char *parent = string_format("%s", path);
    if (!parent) return ERR_SYSTEM;
    size_t n = strlen(parent);
    while (n > 1 && parent[n - 1] == '/')
        parent[--n] = '\0';
    char *slash = strrchr(parent, '/');
    int code = OK;
    if (slash && slash != parent) {
        *slash = '\0';
        code = file_make_dirs(parent);
    }
    free(parent);
    TRY(code);
    if (mkdir(path, 0777) == 0) return OK;
    if (errno != EEXIST) return fail_errno(ERR_OUTPUT, "create run folder %s", path);
    *existed = true;
    return OK;
}

/* A folder whose process died at once has nothing but these. */
static bool is_ours(const char *entry)
{
    static const char *const names[] = {".", "..", "lock", "log.txt", "checkpoints", "frames"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(entry, names[i]) == 0) return true;
    return strncmp(entry, "config.yaml", strlen("config.yaml")) == 0;
}

/* --resume must not put a run into some other folder that holds somebody's files. */
static int check_is_run(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return fail_errno(ERR_OUTPUT, "open run folder %s", path);
    bool foreign = false, config = false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!is_ours(entry->d_name)) foreign = true;
        if (strcmp(entry->d_name, "config.yaml") == 0) config = true;
    }
    closedir(dir);
    if (foreign && !config)
        return fail(ERR_OUTPUT, "%s is no run folder (it has files but no config.yaml)", path);
    return OK;
}

static int lock_folder(struct folder *folder)
{
    char *name = path_join(folder->path, "lock");
    if (!name) return ERR_SYSTEM;
    folder->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    free(name);
    if (folder->lock_fd < 0) return fail_errno(ERR_OUTPUT, "lock run folder %s", folder->path);
    char holder[HOLDER_BYTES];
    if (flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            log_warning("%s: this file system has no locks (%s): make sure that only one process "
                        "trains here",
                        folder->path, strerror(errno));
            return OK;
        }
        ssize_t got = pread(folder->lock_fd, holder, sizeof holder - 1, 0);
        holder[got > 0 ? got : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        return fail(ERR_OUTPUT, "run folder %s is in use by %s", folder->path,
                    holder[0] ? holder : "another process");
    }
    char host[256] = "?";
    gethostname(host, sizeof host - 1);
    int bytes = snprintf(holder, sizeof holder, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(folder->lock_fd, 0) != 0 ||
        pwrite(folder->lock_fd, holder, (size_t)bytes, 0) != bytes)
        log_debug("%s: the lock does not name its holder: %s", folder->path, strerror(errno));
    return OK;
}

/* What a killed process left of unfinished writes: NAME.tmpPID. */
static void remove_leftovers(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *suffix = strstr(entry->d_name, ".tmp");
        if (!suffix || !suffix[4] || suffix[4 + strspn(suffix + 4, "0123456789")]) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            log_debug("%s/%s stays: %s", path, entry->d_name, strerror(errno));
    }
    closedir(dir);
}

static int open_log(struct folder *folder)
{
    char *name = path_join(folder->path, "log.txt");
    if (!name) return ERR_SYSTEM;
    folder->log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int code = folder->log_fd < 0 ? fail_errno(ERR_OUTPUT, "create %s", name) : OK;
    free(name);
    if (code == OK) log_set_file(folder->log_fd);
    return code;
}

static int enter(struct folder *folder, const struct folder_request *request, int number)
{
    folder->path = is_numbered(request) ? numbered_path(request, number) : folder_plan(request);
    if (!folder->path) return ERR_SYSTEM;
    TRY(make_exclusive(folder->path, &folder->resumed));
    if (folder->resumed) {
        if (!file_is_dir(folder->path))
            return fail(ERR_OUTPUT, "%s exists and is no folder", folder->path);
        if (!request->resume)
            return fail(ERR_OUTPUT,
                        "run folder %s exists: choose another with -o, or continue it with "
                        "--resume",
                        folder->path);
        TRY(check_is_run(folder->path));
    }
    folder->checkpoints = path_join(folder->path, "checkpoints");
    folder->frames = path_join(folder->path, "frames");
    if (!folder->checkpoints || !folder->frames) return ERR_SYSTEM;
    TRY(lock_folder(folder));
    remove_leftovers(folder->path);
    TRY(open_log(folder));
    TRY(file_make_dirs(folder->checkpoints));
    return file_make_dirs(folder->frames);
}

int folder_open(struct folder *folder, const struct folder_request *request)
{
    *folder = (struct folder){.lock_fd = -1, .log_fd = -1};
    int number = 0;
    if (is_numbered(request)) {
        number = newest_number(request->log_root, request->name);
        if (!request->resume || number == 0) number++;
    }
    for (;;) {
        int code = enter(folder, request, number);
        /* Another process may have taken the number in between: the next one is as good. */
        bool taken = code == ERR_OUTPUT && folder->resumed && is_numbered(request) &&
                     !request->resume && number < MAX_RUN_NUMBER;
        if (code < 0) folder_close(folder);
        if (!taken) return code;
        number++;
    }
}

void folder_close(struct folder *folder)
{
    if (folder->path) log_set_file(-1);
    if (folder->path && folder->log_fd >= 0) close(folder->log_fd);
    if (folder->path && folder->lock_fd >= 0) close(folder->lock_fd); /* unlocks */
    free(folder->path);
    free(folder->checkpoints);
    free(folder->frames);
    *folder = (struct folder){.lock_fd = -1, .log_fd = -1};
}
