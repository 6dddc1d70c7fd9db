/* inject CALL error|signal NUMBER K PROGRAM WORDS...: runs a program, of which the K-th call of
 * this name fails with an errno, or is reached with a signal; K+: and all behind it. Each thread
 * counts its own calls from the program's start, as strace -f does, which stops at every call where
 * this stops at those alone. Ends as the program did. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name)                                                                                 \
    {                                                                                              \
#name, SYS_##name                                                                          \
    }
static const struct {
    const char *name;
    int number;
} calls[] = {
    CALL(openat),     CALL(write), CALL(pwrite64),  CALL(writev),     CALL(ftruncate),
    CALL(fallocate),  CALL(fsync), CALL(fdatasync), CALL(rename),     CALL(link),
    CALL(unlink),     CALL(mkdir), CALL(rmdir),     CALL(read),       CALL(pread64),
    CALL(newfstatat), CALL(lseek), CALL(flock),     CALL(getdents64), CALL(mmap),
    CALL(close),
};

static struct {
    int call, is_signal, number, ever;
    long at;
} plan;

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void read_plan(char **words)
{
    plan.call = -1;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(words[0], calls[i].name) == 0) plan.call = calls[i].number;
    plan.is_signal = strcmp(words[1], "signal") == 0;
    plan.number = atoi(words[2]);
    plan.at = atol(words[3]);
    plan.ever = strchr(words[3], '+') != NULL;
    if (plan.call < 0) errno = EINVAL, give_up(words[0]);
}

/* The system stops this process at that call alone. */
static void become(char **words)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)plan.call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) give_up("ptrace");
    raise(SIGSTOP);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        give_up("seccomp");
    execv(words[0], words);
    give_up(words[0]);
}

/* How many such calls this thread has made, this one among them. */
static long count_call(pid_t thread)
{
    enum { MOST = 256 }; /* threads and processes of one run */
    static struct {
        pid_t thread;
        long count;
    } seen[MOST];
    for (int i = 0; i < MOST; i++) {
        if (seen[i].thread && seen[i].thread != thread) continue;
        seen[i].thread = thread;
        return ++seen[i].count;
    }
    return 0;
}

static void at_call(pid_t thread)
{
    long count = count_call(thread);
    if (plan.ever ? count < plan.at : count != plan.at) return;
    if (plan.is_signal) {
        syscall(SYS_tkill, thread, plan.number);
        return;
    }
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, NULL, &registers) != 0) return; /* killed meanwhile */
    registers.orig_rax = (unsigned long long)-1;                       /* is not made */
    registers.rax = (unsigned long long)-(long long)plan.number;
    ptrace(PTRACE_SETREGS, thread, NULL, &registers);
}

/* Goes on with a thread that has stopped. */
static void go_on(pid_t thread, int status)
{
    int event = status >> 16, number = WSTOPSIG(status);
    if (event == PTRACE_EVENT_SECCOMP) at_call(thread);
    /* A new thread or process stops once, with this signal. */
    if (event || number == SIGSTOP || number == SIGTRAP) number = 0;
    ptrace(PTRACE_CONT, thread, NULL, number);
}

static void end_as(int status)
{
    if (!WIFSIGNALED(status)) exit(WEXITSTATUS(status));
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    exit(1);
}

int main(int count, char **words)
{
    if (count < 6) return 2;
    read_plan(words + 1);
    pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) become(words + 5);
    int status, ended = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return 1;
    if (ptrace(PTRACE_SETOPTIONS, child, NULL,
               PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) != 0)
        give_up("ptrace");
    ptrace(PTRACE_CONT, child, NULL, 0);
    for (pid_t thread; (thread = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFSTOPPED(status))
            go_on(thread, status);
        else if (thread == child)
            ended = status;
    }
    end_as(ended);
}
