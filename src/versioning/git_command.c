#include "versioning/git_command.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { OUTPUT_MOST = 1 << 20 };

/* A hook that starts a training says by these which repository it is of; and what could ask. */
static const char *const left_out[] = {
    "GIT_DIR=",
    "GIT_WORK_TREE=",
    "GIT_INDEX_FILE=",
    "GIT_CONFIG=",
    "GIT_OBJECT_DIRECTORY=",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES=",
    "GIT_COMMON_DIR=",
    "GIT_NAMESPACE=",
    "GIT_PREFIX=",
    "GIT_QUARANTINE_PATH=",
    "GIT_SHALLOW_FILE=",
    "GIT_GRAFT_FILE=",
    "GIT_REPLACE_REF_BASE=",
    "GIT_DEFAULT_HASH=",
    "GIT_DEFAULT_REF_FORMAT=",
    "GIT_TERMINAL_PROMPT=",
    "GIT_ASKPASS=",
    "SSH_ASKPASS=",
    "SSH_ASKPASS_REQUIRE=",
    "GCM_INTERACTIVE=",
    "DISPLAY=",
    "WAYLAND_DISPLAY=",
    "LC_ALL=",
};
/* Refs as files, whatever the user's settings say: version_store.c takes locks and broken ones away
 * by their names. */
static const char *const put_in[] = {
    "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
    "GCM_INTERACTIVE=never", "LC_ALL=C",     "GIT_DEFAULT_REF_FORMAT=files",
};

/* No hook of the user's is run, nothing is collected behind our back, a connection that has gone
 * quiet ends, zlib takes little from the training, and what is stored is on the disk. */
static const char *const settings[] = {
    "core.hooksPath=/dev/null", "core.askPass=",  "gc.auto=0",
    "core.compression=1",       "pack.threads=1", "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",     "core.fsync=all",
};

enum {
    PUT_IN = sizeof put_in / sizeof put_in[0],
    SETTINGS = sizeof settings / sizeof settings[0],
    WORDS = 2 * (SETTINGS + 1) + 3 + GIT_MOST_ARGUMENTS,
};

static bool git_is_left_out(const char *variable)
{
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (strncmp(variable, left_out[i], strlen(left_out[i])) == 0) return true;
    return false;
}

/* The texts are borrowed, the list is the caller's. NULL without memory. */
static char **git_environment(void)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    char **list = calloc(count + PUT_IN + 1, sizeof *list);
    for (size_t i = 0; list && i < count; i++)
        if (!git_is_left_out(environ[i])) list[used++] = environ[i];
    for (size_t i = 0; list && i < PUT_IN; i++)
        list[used++] = (char *)(size_t)put_in[i];
    return list;
}

static void git_words(const struct git_command *command, const char *const *arguments,
                      const char *include, const char *words[WORDS])
{
    size_t used = 0;
    words[used++] = "git";
    if (include) words[used++] = "-c", words[used++] = include; /* what follows counts more */
    for (size_t i = 0; i < SETTINGS; i++)
        words[used++] = "-c", words[used++] = settings[i];
    if (command->git_dir) words[used++] = "--git-dir", words[used++] = command->git_dir;
    for (size_t i = 0; i < GIT_MOST_ARGUMENTS && arguments[i]; i++)
        words[used++] = arguments[i];
    words[used] = NULL;
}

/* A session of its own: no terminal to ask at, no Ctrl-C that was meant for the training, and one
 * group to end with all that git starts. The signals that this program's threads block or ignore
 * are as usual. */
static int git_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, usual;
    sigemptyset(&none);
    sigfillset(&usual);
    int failed = posix_spawnattr_init(attributes);
    if (failed) return failed;
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &usual);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETSID);
}

/* An errno, or 0. */
static int git_spawn(pid_t *pid, const struct git_command *command, const char *const *arguments,
                     const int fds[3])
{
    const char *words[WORDS];
    char *include = NULL, **variables = git_environment();
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    if (command->include) include = string_format("include.path=%s", command->include);
    if (!variables || (command->include && !include)) {
        free(variables);
        free(include);
        return ENOMEM;
    }
    git_words(command, arguments, include, words);
    int failed = git_attributes(&attributes);
    if (!failed) failed = posix_spawn_file_actions_init(&files);
    for (int i = 0; !failed && i < 3; i++)
        failed = posix_spawn_file_actions_adddup2(&files, fds[i], i);
    if (!failed)
        failed =
            posix_spawnp(pid, "git", &files, &attributes, (char *const *)(size_t)words, variables);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    free(variables);
    free(include);
    return failed;
}

/* Its status as of waitpid; ended with all its group after the time or by `stop`. */
static int git_wait(pid_t pid, const struct git_command *command, int *status)
{
    double end = clock_seconds() + command->seconds;
    long pause = 500000;
    for (;;) {
        pid_t ended = waitpid(pid, status, WNOHANG);
        if (ended == pid) return OK;
        if (ended < 0 && errno != EINTR) return fail_errno(ERR_SYSTEM, "wait for git");
        bool stopped = command->stop && atomic_load(command->stop);
        if (stopped || clock_seconds() >= end) {
            kill(-pid, SIGKILL);
            while (waitpid(pid, status, 0) < 0 && errno == EINTR) {
            }
            return stopped ? fail(ERR_STOPPED, "git was ended, as the run ends")
                           : fail(ERR_IO, "git took longer than %.9g s", command->seconds);
        }
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        if (pause < 50000000) pause += pause / 2;
    }
}

void git_hide_secrets(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
    for (char *url = text; (url = strstr(url, "://")) != NULL;) {
        url += 3;
        char *at = url + strcspn(url, "/@ '");
        if (*at == '@') memmove(url, at + 1, strlen(at + 1) + 1);
    }
}

/* How much a line of git's says of why it failed; -1: nothing. */
static int git_weigh_line(const char *line)
{
    static const char *const marks[] = {"", "error: ", "fatal: ", " ! ["};
    int weight = -1;
    if (!*line) return -1;
    if (strcmp(line, "fatal: Could not read from remote repository.") == 0) return -1;
    if (strcmp(line, "Please make sure you have the correct access rights") == 0) return -1;
    if (strcmp(line, "and the repository exists.") == 0) return -1;
    for (int i = 0; i < 4; i++)
        if (strncmp(line, marks[i], strlen(marks[i])) == 0) weight = i;
    return weight;
}

/* The first of the lines that say most. */
static int git_fail(const char *const *arguments, int status, char *words)
{
    char *best = NULL, *rest = NULL;
    int most = -1;
    for (char *line = strtok_r(words, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int weight = git_weigh_line(line);
        if (weight <= most) continue;
        most = weight;
        best = line;
    }
    if (best) git_hide_secrets(best);
    if (best) return fail(ERR_IO, "git %s: %s", arguments[0], best + strspn(best, " "));
    if (WIFSIGNALED(status))
        return fail(ERR_IO, "git %s: ended by signal %d", arguments[0], WTERMSIG(status));
    return fail(ERR_IO, "git %s: exit status %d", arguments[0], WEXITSTATUS(status));
}

/* What was written to `fd` (malloc); NULL with the message set. */
static char *git_read_all(int fd)
{
    uint8_t *text = NULL;
    size_t bytes;
    if (lseek(fd, 0, SEEK_SET) < 0) return NULL;
    if (file_read_open(fd, "what git printed", OUTPUT_MOST, &text, &bytes) < 0) return NULL;
    if (bytes > 0 && text[bytes - 1] == '\n') text[bytes - 1] = '\0';
    return (char *)text;
}

static int git_run_open(const struct git_command *command, const char *const *arguments,
                        const int fds[3], char **output)
{
    pid_t pid;
    signal(SIGCHLD, SIG_DFL); /* its end is waited for, whoever ignored it before */
    int status = 0, failed = git_spawn(&pid, command, arguments, fds);
    if (failed == ENOENT || failed == ENOTDIR || failed == EACCES)
        return fail(ERR_INPUT, "the program git is not installed, or not in PATH");
    if (failed) return fail(ERR_SYSTEM, "start git: %s", strerror(failed));
    int code = git_wait(pid, command, &status);
    if (code < 0) return fail_within(code, "git %s", arguments[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        if (!output) return OK;
        *output = git_read_all(fds[1]);
        return *output ? OK : ERR_IO;
    }
    char *words = git_read_all(fds[2]);
    code = words ? git_fail(arguments, status, words) : ERR_IO;
    free(words);
    return code;
}

int git_run(const struct git_command *command, const char *const *arguments, char **output)
{
    /* Without names on any disk: a root that is read-only has no place for them. */
    int out = memfd_create("git-out", MFD_CLOEXEC), err = memfd_create("git-err", MFD_CLOEXEC);
    int in = command->input_fd;
    if (command->input) in = memfd_create("git-in", MFD_CLOEXEC);
    if (!command->input && in == 0) in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int code = OK;
    if (out < 0 || err < 0 || in < 0) code = fail_errno(ERR_SYSTEM, "start git");
    if (code == OK && command->input)
        code = file_write_all(in, command->input, strlen(command->input), "input of git");
    if (code == OK && command->input && lseek(in, 0, SEEK_SET) < 0)
        code = fail_errno(ERR_SYSTEM, "start git");
    if (code == OK) code = git_run_open(command, arguments, (const int[]){in, out, err}, output);
    if (out >= 0) close(out);
    if (err >= 0) close(err);
    if (in >= 0 && in != command->input_fd) close(in);
    return code;
}
