#include "base/thread_stack.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

/* The stack of threads on x86-64 where the limit is infinite. */
enum { STACK_BYTES = 2 << 20 };

struct stack_call {
    int (*function)(int argc, char **argv);
    int argc;
    char **argv;
    sigset_t signals;
    int result;
};

static void *stack_main(void *argument)
{
    struct stack_call *call = argument;
    pthread_sigmask(SIG_SETMASK, &call->signals, NULL);
    call->result = call->function(call->argc, call->argv);
    return NULL;
}

/* The waiting thread takes no signals, so that a call that blocks is interrupted by them where it
 * is. 0, or why there is no such thread. */
static int stack_call_on_thread(struct stack_call *call)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error) return error;
    error = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (error == 0) error = pthread_setattr_default_np(&attributes);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &call->signals);
    pthread_t thread;
    if (error == 0) error = pthread_create(&thread, &attributes, stack_main, call);
    if (error == 0) error = pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, &call->signals, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int stack_run(int (*function)(int argc, char **argv), int argc, char **argv)
{
    struct rlimit limit;
    struct stack_call call = {.function = function, .argc = argc, .argv = argv};
    bool small = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_BYTES;
    if (small && stack_call_on_thread(&call) == 0) return call.result;
    return function(argc, argv);
}
