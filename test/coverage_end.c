/* Linked where counters are kept (make coverage): a process that ends itself at once writes what it
 * has run, and one that becomes another program does not, as after vfork that would be the end of
 * its parent's counting. */
#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
_Noreturn void __real__exit(int status);
int __real_raise(int number);

_Noreturn void __wrap__exit(int status);
int __wrap_raise(int number);
int __wrap___gcov_execve(const char *path, char *const *words, char *const *environment);

/* Whoever writes counters takes it that there is memory, which test/torture/malloc_fails.c gives
 * back, and that files may grow: one that is cut loses the counts of all runs before. */
__attribute__((destructor)) static void give_room(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_FSIZE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* tests limit what is soft: ulimit -S */
        setrlimit(RLIMIT_FSIZE, &files);
    }
    void (*stop)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "malloc_fails_stop");
    if (stop) stop();
}

static void dump(void)
{
    give_room();
    __gcov_dump();
}

_Noreturn void __wrap__exit(int status)
{
    dump();
    __real__exit(status);
}

int __wrap_raise(int number)
{
    if (number != SIGSTOP) dump();
    __gcov_reset(); /* or nothing is written again where the signal ends nothing */
    return __real_raise(number);
}

int __wrap___gcov_execve(const char *path, char *const *words, char *const *environment)
{
    return execve(path, words, environment);
}
