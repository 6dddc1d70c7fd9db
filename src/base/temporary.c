#include "base/temporary.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LISTED = 64, TRIES = 100, HOST_BYTES = 24, SUFFIX_BYTES = 80, NAME_BYTES = 255 };

/* ---- those of this process, for the moment in which a signal ends it ---- */

static _Atomic(const char *) listed[LISTED];

void temporary_remove_all(void)
{
    for (int i = 0; i < LISTED; i++) {
        const char *name = atomic_exchange(&listed[i], NULL);
        if (name) unlink(name);
    }
}

/* The handler was reset to the default action when it was called, which now ends the process. */
static void remove_all_and_end(int number)
{
    temporary_remove_all();
    raise(number);
}

/* Handles the signals that would end the process; a signal that has a handler, or is ignored, keeps
 * that. */
static void handle_ending_signals(void)
{
    static const int numbers[] = {SIGHUP,  SIGINT,    SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2,
                                  SIGPIPE, SIGVTALRM, SIGPROF, SIGXCPU, SIGABRT, SIGBUS,  SIGSEGV,
                                  SIGFPE,  SIGILL,    SIGSYS,  SIGTRAP, SIGPOLL};
    struct sigaction action, now;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        action.sa_handler = remove_all_and_end;
        action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
            sigaction(numbers[i], &action, NULL);
    }
    action.sa_handler = SIG_IGN; /* a file that is too large is an error of write() */
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        sigaction(SIGXFSZ, &action, NULL);
}

static void list_name(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, handle_ending_signals);
    for (int i = 0; i < LISTED; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&listed[i], &none, name)) return;
    }
}

void temporary_forget(const char *name)
{
    for (int i = 0; i < LISTED; i++) {
        const char *expected = name;
        if (atomic_compare_exchange_strong(&listed[i], &expected, NULL)) return;
    }
}

/* ---- names ---- */

static uint64_t random_bits(void)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == (ssize_t)sizeof bits) return bits;
    static atomic_uint_fast64_t counter;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 16 ^
           atomic_fetch_add(&counter, 1);
}

/* Letters and digits of the host's name. */
static void host_name(char *out)
{
    char host[256] = "";
    size_t used = 0;
    gethostname(host, sizeof host - 1);
    for (const char *c = host; *c && used + 1 < HOST_BYTES; c++) {
        bool kept =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        out[used++] = kept ? *c : '_';
    }
    out[used] = '\0';
}

/* A long name is cut, between two characters of UTF-8: the whole must stay a possible one. */
static char *make_name(const char *path)
{
    char host[HOST_BYTES], suffix[SUFFIX_BYTES];
    host_name(host);
    int bytes = snprintf(suffix, sizeof suffix, ".tmp-%s-%ld-%012llx", host, (long)getpid(),
                         (unsigned long long)(random_bits() & 0xFFFFFFFFFFFF));
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0, base = strlen(path) - folder;
    size_t room = (size_t)(NAME_BYTES - bytes);
    if (base > room) base = utf8_cut(path + folder, room);
    return string_format("%.*s%s", (int)(folder + base), path, suffix);
}

/* The suffix of a temporary name, NULL for any other: behind the last ".tmp" digits alone, or
 * -HOST-PID-RANDOM. */
static const char *suffix_of(const char *name)
{
    static const char digits[] = "0123456789", hex[] = "0123456789abcdef";
    const char *suffix = NULL;
    for (const char *at = name; (at = strstr(at, ".tmp")); at++)
        suffix = at;
    if (!suffix) return NULL;
    const char *rest = suffix + 4;
    if (*rest != '-') return *rest && !rest[strspn(rest, digits)] ? suffix : NULL;
    rest++;
    rest += strcspn(rest, "-");
    if (*rest != '-') return NULL;
    size_t pid = strspn(rest + 1, digits);
    rest += 1 + pid;
    if (pid == 0 || *rest != '-') return NULL;
    return strspn(rest + 1, hex) == 12 && !rest[13] ? suffix : NULL;
}

bool temporary_is_name(const char *name)
{
    return suffix_of(name) != NULL;
}

/* ---- making one ---- */

/* Locks a new file; false when it is gone, as between its creation and the lock a cleaning process
 * may take it. A file system without locks is no obstacle. */
static bool lock_new(int fd, const char *name)
{
    struct stat info;
    if (retry_flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    return lstat(name, &info) == 0 || errno != ENOENT;
}

int temporary_create(const char *path, char **name, int *fd)
{
    *fd = -1;
    for (int i = 0; i < TRIES; i++) {
        *name = make_name(path);
        if (!*name) return ERR_SYSTEM;
        list_name(*name); /* before it exists: no moment in which it could stay */
        *fd = retry_open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int error = errno;
        if (*fd >= 0 && lock_new(*fd, *name)) return OK;
        if (*fd >= 0) retry_close(*fd); /* the one that locked it removes it */
        bool taken = *fd >= 0 || error == EEXIST;
        *fd = -1;
        temporary_forget(*name);
        free(*name);
        *name = NULL;
        errno = error;
        if (!taken) return fail_errno(ERR_OUTPUT, "create %s", path);
    }
    return fail(ERR_OUTPUT, "create %s: no name for a temporary file is free", path);
}

int temporary_link(const char *path, int fd, char **name)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    retry_flock(fd, LOCK_EX | LOCK_NB);
    *name = make_name(path);
    if (!*name) return ERR_SYSTEM;
    list_name(*name);
    if (linkat(AT_FDCWD, from, AT_FDCWD, *name, AT_SYMLINK_FOLLOW) == 0) return OK;
    int code = fail_errno(ERR_OUTPUT, "create %s", path);
    temporary_forget(*name);
    free(*name);
    *name = NULL;
    return code;
}

/* ---- cleaning ---- */

/* Removes a temporary file unless a process is writing it. */
static void remove_if_dead(int folder, const char *name)
{
    static const double OLD_SECONDS = 24.0 * 3600;
    struct stat info;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    bool regular = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    bool dead = false;
    if (regular && retry_flock(fd, LOCK_EX | LOCK_NB) == 0)
        dead = true;
    else if (regular && errno != EWOULDBLOCK)
        dead = difftime(time(NULL), info.st_mtim.tv_sec) > OLD_SECONDS;
    else if (fd < 0 && errno == EACCES) /* written without permission to read: by nobody of us */
        dead = fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
               difftime(time(NULL), info.st_mtim.tv_sec) > OLD_SECONDS;
    if (dead && unlinkat(folder, name, 0) != 0 && errno != ENOENT)
        log_debug("%s stays: %s", name, strerror(errno));
    if (fd >= 0) retry_close(fd); /* the lock is held until the name is gone */
}

static void temporary_clean_dead(const char *dir, const char *prefix, size_t length)
{
    DIR *stream = file_open_folder(dir, false);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        const char *name = entry->d_name;
        if (strncmp(name, prefix, length) == 0 && temporary_is_name(name))
            remove_if_dead(dirfd(stream), name);
    }
    if (stream) closedir(stream);
}

void temporary_clean(const char *dir, const char *prefix)
{
    temporary_clean_dead(dir, prefix ? prefix : "", prefix ? strlen(prefix) : 0);
}

void temporary_clean_beside(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *dir = slash ? string_format("%.*s", (int)(slash + 1 - path), path) : string_format(".");
    char *prefix = string_format("%s.tmp", base);
    if (dir && prefix && strlen(base) < NAME_BYTES - SUFFIX_BYTES)
        temporary_clean_dead(dir, prefix, strlen(prefix));
    free(dir);
    free(prefix);
}
