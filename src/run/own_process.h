/* This program once more, as a process of its own: the runs of a batch, and the video of a run. */
#ifndef IMGTRAIN_RUN_OWN_PROCESS_H
#define IMGTRAIN_RUN_OWN_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { OWN_PROCESS_LINE_BYTES = 4096 };

struct own_process {
    pid_t pid;                         /* 0: none */
    int messages;                      /* where its stderr comes from; -1: it is closed */
    char line[OWN_PROCESS_LINE_BYTES]; /* what of a line is there */
    size_t used;
    double seconds;                    /* of processor time, as last looked at */
    char last[OWN_PROCESS_LINE_BYTES]; /* the last line of the program itself: why it failed */
};

struct own_process_request {
    char *const *words; /* "imgtrain", the command, its arguments, NULL */
    int when_orphaned;  /* the signal that it gets when this process has ended */
    bool silent;        /* its stdout goes nowhere */
};

/* Starts it with this process's environment but for what a config holds, in a process group of its
 * own: a Ctrl-C comes from its parent alone. It costs no copy of this process's memory, and from
 * here on SIGCHLD is not ignored. ERR_SYSTEM. */
int own_process_start(struct own_process *process, const struct own_process_request *request);

/* Reads what it has said, or waits for it to say something, and hands each line, without "warning:
 * " where it has that, to `say`. `messages` is -1 when there will be no more. */
void own_process_listen(struct own_process *process,
                        void (*say)(void *context, bool is_warning, const char *line),
                        void *context);

/* Whether it has used processor time since this was asked last. */
bool own_process_works(struct own_process *process);

/* Waits for its end: OK, or the error that its exit status stands for, with its own message, or
 * ERR_INTERNAL where a signal has ended it. */
int own_process_end(struct own_process *process);

#endif
