/* For LD_PRELOAD: the K-th allocation of the process fails, whoever asks for it. MALLOC_FAILS=K:
 * that one (from 1, when main begins); K+: and all behind it. MALLOC_COUNT=FILE: how many there
 * were, when the process ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static atomic_long allocations;
static long fails_at;
static int fails_on;

/* Libraries' constructors are over when main begins: those of CUDA check
 * nothing. */
static int (*program_main)(int, char **, char **);

static int main_that_counts(int count, char **words, char **environment)
{
    const char *text = getenv("MALLOC_FAILS");
    fails_on = text && strchr(text, '+');
    allocations = 0;
    fails_at = text ? atol(text) : 0;
    return program_main(count, words, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int count, char **words,
                      void (*init)(void), void (*fini)(void), void (*loader_fini)(void),
                      void *stack)
{
    int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                void (*)(void), void *) =
        (int (*)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                 void (*)(void), void *))dlsym(RTLD_NEXT, "__libc_start_main");
    program_main = main;
    return real(main_that_counts, count, words, init, fini, loader_fini, stack);
}

/* The most of all processes of a run: the one that makes its video counts anew. */
__attribute__((destructor)) static void malloc_fails_end(void)
{
    char text[32] = "";
    const char *path = getenv("MALLOC_COUNT");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (file < 0) return;
    if (read(file, text, sizeof text - 1) < 0 || atol(text) < allocations) {
        int bytes = snprintf(text, sizeof text, "%ld\n", (long)allocations);
        if (pwrite(file, text, (size_t)bytes, 0) != bytes) unlink(path);
    }
    close(file);
}

/* From here on none fails. */
void malloc_fails_stop(void);
void malloc_fails_stop(void)
{
    fails_at = 0;
}

static int malloc_must_fail(void)
{
    long number = atomic_fetch_add(&allocations, 1) + 1;
    if (fails_at <= 0 || (fails_on ? number < fails_at : number != fails_at)) return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t bytes)
{
    return malloc_must_fail() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return malloc_must_fail() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return malloc_must_fail() ? NULL : __libc_realloc(old, bytes);
}

void *reallocarray(void *old, size_t count, size_t bytes)
{
    if (bytes && count > (size_t)-1 / bytes) return NULL;
    return realloc(old, count * bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return malloc_must_fail() ? NULL : __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    return aligned_alloc(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    int before = errno;
    void *found = aligned_alloc(alignment, bytes);
    errno = before;
    if (!found) return ENOMEM;
    *memory = found;
    return 0;
}
