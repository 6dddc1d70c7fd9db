#include "run/folder.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/temporary.h"
#include "store/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* MODEL_DEPTH: of RUN/model/transformer */
enum { MAX_RUN_NUMBER = 999999, HOLDER_BYTES = 320, MODEL_DEPTH = 2 };

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

/* The highest number of a run of this name below log_root; 0 when there is none. A folder that
 * cannot be read is an error: --resume would begin another run. */
static int newest_number(const char *log_root, const char *name, int *newest)
{
    *newest = 0;
    DIR *dir = file_open_folder(log_root, true);
    if (!dir && errno != ENOENT && errno != ENOTDIR)
        return fail_errno(ERR_OUTPUT, "open folder %s", log_root);
    const char *entry;
    int more = 0;
    while (dir && (more = file_next_name(dir, log_root, &entry)) > 0) {
        int number = run_number(entry, name);
        if (number > *newest) *newest = number;
    }
    if (dir) closedir(dir);
    return more;
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

int folder_plan(const struct folder_request *request, char **path)
{
    int newest = 0;
    *path = NULL;
    if (is_numbered(request)) TRY(newest_number(request->log_root, request->name, &newest));
    if (request->path)
        *path = string_format("%s", request->path);
    else if (request->exp_name[0])
        *path = path_join(request->log_root, request->exp_name);
    else
        *path = numbered_path(request, request->resume && newest > 0 ? newest : newest + 1);
    return *path ? OK : ERR_SYSTEM;
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
    code = file_make_dir(path, existed);
    return code < 0 ? fail_within(code, "run folder") : OK;
}

/* Entries of a folder in which nobody has put anything: of a mounted disk, of one that Git keeps.
 */
static bool is_of_nobody(const char *entry)
{
    static const char *const names[] = {".",          "..",    "lost+found", ".gitkeep",
                                        ".gitignore", ".keep", ".DS_Store",  ".snapshot"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(entry, names[i]) == 0) return true;
    return strncmp(entry, ".nfs", strlen(".nfs")) == 0; /* a file that is removed but still open */
}

/* A folder whose process died at once, at any moment before its config.yaml was there, has nothing
 * but these, and what was on its way to become one of them. */
static bool is_ours(const char *entry)
{
    static const char *const names[] = {"lock",        "log.txt",       "checkpoints",
                                        "frames",      "run-id",        "cache",
                                        "config.yaml", "reference.png", "metrics.jsonl",
                                        "metrics.csv", "memory.jsonl",  "processes.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t length = strlen(names[i]);
        if (strcmp(entry, names[i]) == 0) return true;
        if (strncmp(entry, names[i], length) == 0 && temporary_is_name(entry)) return true;
    }
    return is_of_nobody(entry);
}

struct contents {
    bool empty;   /* but for what nobody has put there */
    bool foreign; /* something that no run has */
    bool config;
};

/* locked: the lock is our own. */
static int look_into(const char *path, bool locked, struct contents *contents)
{
    *contents = (struct contents){.empty = true};
    DIR *dir = file_open_folder(path, true);
    if (!dir) return fail_errno(ERR_OUTPUT, "open run folder %s", path);
    const char *entry;
    int more;
    while ((more = file_next_name(dir, path, &entry)) > 0) {
        if (!is_of_nobody(entry) && !(locked && strcmp(entry, "lock") == 0))
            contents->empty = false;
        if (!is_ours(entry)) contents->foreign = true;
        if (strcmp(entry, "config.yaml") == 0) contents->config = true;
    }
    closedir(dir);
    return more;
}

bool folder_is_empty(const char *path)
{
    struct contents contents;
    return file_is_dir(path) && look_into(path, false, &contents) == OK && contents.empty;
}

static int fail_exists(const char *path)
{
    return fail(ERR_OUTPUT,
                "run folder %s exists: choose another with -o, or continue it with --resume", path);
}

/* Whether a folder without config.yaml is a run: its checkpoints hold the config, too. */
static bool has_checkpoints(const char *path)
{
    int64_t *steps = NULL;
    int count = 0;
    bool any = checkpoint_list(path, &steps, &count) == OK && count > 0;
    free(steps);
    return any;
}

/* --resume must not put a run into some other folder that holds somebody's files, and a new run
 * must not be put into a folder that holds anything. */
static int check_existing(const char *path, const struct folder_request *request, bool *empty)
{
    struct contents contents;
    *empty = false;
    if (!file_is_dir(path)) return fail(ERR_OUTPUT, "%s exists and is no folder", path);
    /* A numbered one is empty when another process has just made it. */
    if (!request->resume && is_numbered(request)) return fail_exists(path);
    TRY(look_into(path, false, &contents));
    *empty = contents.empty;
    if (*empty) return OK;
    if (!request->resume) return fail_exists(path);
    if (!contents.foreign || contents.config || has_checkpoints(path)) return OK;
    return fail(ERR_OUTPUT, "%s is no run folder (it has files but no config.yaml)", path);
}

/* Two processes may have found the folder empty: the later one finds here what the first has made.
 */
static int check_still_empty(const char *path)
{
    struct contents contents;
    TRY(look_into(path, true, &contents));
    return contents.empty ? OK : fail_exists(path);
}

/* Whoever looks whether a run trains (file_is_locked_in) holds the lock for some microseconds. */
static int folder_take_lock(int fd)
{
    enum { TRIES = 5 };
    const struct timespec wait = {.tv_nsec = 20000000};
    int code = retry_flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 1; i < TRIES && code != 0 && errno == EWOULDBLOCK; i++) {
        nanosleep(&wait, NULL);
        code = retry_flock(fd, LOCK_EX | LOCK_NB);
    }
    return code;
}

static int lock_folder(struct folder *folder)
{
    char *name = path_join(folder->path, "lock");
    if (!name) return ERR_SYSTEM;
    int code = file_open_own(name, O_RDWR | O_CREAT, ERR_OUTPUT, &folder->lock_fd);
    free(name);
    if (code < 0) return fail_within(code, "lock run folder");
    char holder[HOLDER_BYTES];
    if (folder_take_lock(folder->lock_fd) != 0) {
        if (errno != EWOULDBLOCK) {
            log_warning("%s: this file system has no locks (%s): make sure that only one process "
                        "trains here",
                        folder->path, strerror(errno));
            return OK;
        }
        ssize_t got = retry_pread(folder->lock_fd, holder, sizeof holder - 1, 0);
        holder[got > 0 ? got : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        return fail(ERR_OUTPUT, "run folder %s is in use by %s", folder->path,
                    holder[0] ? holder : "another process");
    }
    char host[256] = "?";
    gethostname(host, sizeof host - 1);
    int bytes = snprintf(holder, sizeof holder, "process %ld on %s\n", (long)getpid(), host);
    if (retry_ftruncate(folder->lock_fd, 0) != 0 ||
        retry_pwrite(folder->lock_fd, holder, (size_t)bytes, 0) != bytes)
        log_debug("%s: the lock does not name its holder: %s", folder->path, strerror(errno));
    return OK;
}

static int open_log(struct folder *folder)
{
    char *name = path_join(folder->path, "log.txt");
    if (!name) return ERR_SYSTEM;
    int code = file_open_own(name, O_WRONLY | O_CREAT | O_APPEND, ERR_OUTPUT, &folder->log_fd);
    free(name);
    if (code == OK) log_set_file(folder->log_fd);
    return code;
}

int folder_check(const struct folder_request *request, const char *path)
{
    bool empty;
    return check_existing(path, request, &empty);
}

/* Files that a killed process was writing, in the folder and in those of models below it. Whoever
 * writes checkpoints and frames removes them there. */
static void clean_what_was_left(const char *path, int depth)
{
    temporary_clean(path, NULL);
    DIR *stream = depth > 0 ? file_open_folder(path, false) : NULL;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        const char *name = entry->d_name;
        if (name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
            strcmp(name, "checkpoints") == 0 || strcmp(name, "frames") == 0)
            continue;
        char *below = path_join(path, name);
        if (below) clean_what_was_left(below, depth - 1);
        free(below);
    }
    if (stream) closedir(stream);
}

static int folder_enter(struct folder *folder, const struct folder_request *request, int number)
{
    if (is_numbered(request))
        folder->path = numbered_path(request, number);
    else
        TRY(folder_plan(request, &folder->path));
    if (!folder->path) return ERR_SYSTEM;
    bool empty = false;
    TRY(make_exclusive(folder->path, &folder->resumed));
    if (folder->resumed) TRY(check_existing(folder->path, request, &empty));
    folder->checkpoints = path_join(folder->path, "checkpoints");
    folder->frames = path_join(folder->path, "frames");
    if (!folder->checkpoints || !folder->frames) return ERR_SYSTEM;
    TRY(lock_folder(folder));
    if (empty && !request->resume) TRY(check_still_empty(folder->path));
    folder->resumed = folder->resumed && !empty;
    clean_what_was_left(folder->path, MODEL_DEPTH);
    TRY(open_log(folder));
    TRY(file_make_dirs(folder->checkpoints));
    TRY(file_check_own_folder(folder->checkpoints));
    TRY(file_make_dirs(folder->frames));
    return file_check_own_folder(folder->frames);
}

int folder_open(struct folder *folder, const struct folder_request *request)
{
    *folder = (struct folder){.lock_fd = -1, .log_fd = -1};
    int number = 0;
    if (is_numbered(request)) {
        TRY(newest_number(request->log_root, request->name, &number));
        if (!request->resume || number == 0) number++;
    }
    for (;;) {
        int code = folder_enter(folder, request, number);
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
    if (folder->path && folder->log_fd >= 0) retry_close(folder->log_fd);
    if (folder->path && folder->lock_fd >= 0) retry_close(folder->lock_fd); /* unlocks */
    free(folder->path);
    free(folder->checkpoints);
    free(folder->frames);
    *folder = (struct folder){.lock_fd = -1, .log_fd = -1};
}
