#include "run/own_process.h"

#include "base/error.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- its beginning ---- */

/* The environment but for what the config has already. Borrowed words in an owned list. */
static char **own_process_environment(void)
{
    size_t count = 0, used = 0;
    while (environ && environ[count])
        count++;
    char **kept = calloc(count + 1, sizeof *kept);
    if (!kept) fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; kept && i < count; i++)
        if (!config_is_variable(environ[i]) && strncmp(environ[i], "IMGTRAIN_TESTING=", 17) != 0)
            kept[used++] = environ[i];
    return kept;
}

/* Our handlers would set our flags, as the child has our memory until it is another program. */
static void forget_handlers(void)
{
    struct sigaction action, usual = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN &&
            action.sa_handler != SIG_DFL)
            sigaction(number, &usual, NULL);
    signal(SIGTERM, SIG_DFL); /* from us alone: nobody else's wish to ignore it counts */
}

/* In the child: only what is safe there. `held`: signals that wait until the program listens to
 * them. */
_Noreturn static void become(const struct own_process_request *request, char *const *environment,
                             int messages, int nowhere, pid_t parent, const sigset_t *held)
{
    forget_handlers();
    pthread_sigmask(SIG_SETMASK, held, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, request->when_orphaned);
    if (getppid() != parent) _exit(75);
    if (dup2(messages, STDERR_FILENO) < 0) _exit(71);
    if (nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) < 0) _exit(71);
    execve("/proc/self/exe", request->words, environment);
    _exit(71);
}

/* What is asked of a process that has just begun must neither end it nor be lost. vfork: fork would
 * need as many page tables again as this process has, of a training's gigabytes. */
static pid_t own_process_fork(const struct own_process_request *request, char *const *environment,
                              int messages, int nowhere)
{
    sigset_t all, before, held;
    pid_t parent = getpid();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    held = before;
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGUSR2);
    pid_t pid = vfork();
    if (pid == 0) become(request, environment, messages, nowhere, parent, &held);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

int own_process_start(struct own_process *process, const struct own_process_request *request)
{
    char **environment = own_process_environment();
    int ends[2] = {-1, -1}, nowhere = -1, code = environment ? OK : ERR_SYSTEM;
    if (code == OK && pipe2(ends, O_CLOEXEC) != 0) code = fail_errno(ERR_SYSTEM, "pipe");
    if (code == OK && request->silent) nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    *process = (struct own_process){.messages = ends[0]};
    if (code == OK) {
        signal(SIGCHLD, SIG_DFL); /* its end is waited for, as process 1 too */
        process->pid = own_process_fork(request, environment, ends[1], nowhere);
        if (process->pid < 0) code = fail_errno(ERR_SYSTEM, "start a process");
    }
    if (ends[1] >= 0) close(ends[1]);
    if (nowhere >= 0) close(nowhere);
    free(environment);
    if (code == OK) return OK;
    if (ends[0] >= 0) close(ends[0]);
    *process = (struct own_process){.messages = -1};
    return code;
}

/* ---- what it says ---- */

void own_process_listen(struct own_process *process,
                        void (*say)(void *context, bool is_warning, const char *line),
                        void *context)
{
    static const char own[] = "imgtrain: ", warning[] = "warning: ";
    char *line = process->line, *end;
    ssize_t got =
        read(process->messages, line + process->used, sizeof process->line - 1 - process->used);
    if (got < 0 && errno == EINTR) return;
    if (got > 0) process->used += (size_t)got;
    line[process->used] = '\0';
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        bool warns = strncmp(line, warning, sizeof warning - 1) == 0;
        if (strncmp(line, own, sizeof own - 1) == 0)
            snprintf(process->last, sizeof process->last, "%s", line + sizeof own - 1);
        else
            say(context, warns, line + (warns ? sizeof warning - 1 : 0));
        process->used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, process->used + 1);
    }
    if (process->used == sizeof process->line - 1) process->used = 0; /* longer than any line */
    if (got > 0) return;
    close(process->messages);
    process->messages = -1;
}

bool own_process_works(struct own_process *process)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(process->pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return true; /* nothing is known of it */
    double before = process->seconds;
    process->seconds = (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
    return process->seconds > before;
}

/* ---- its end ---- */

static int code_of_status(int status)
{
    for (int code = OK; code >= ERR_DEVICE_MEMORY; code--)
        if (error_exit_status(code) == status) return code;
    return ERR_INTERNAL;
}

int own_process_end(struct own_process *process)
{
    int status = SIGKILL;
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR) {
    }
    process->pid = 0;
    if (process->messages >= 0) close(process->messages);
    process->messages = -1;
    if (!WIFEXITED(status))
        return fail(ERR_INTERNAL, "the process was ended by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 0) return OK;
    return fail(code_of_status(WEXITSTATUS(status)), "%s",
                *process->last ? process->last : "its process ended early");
}
