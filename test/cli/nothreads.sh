#!/bin/sh
# Threads and memory that the system does not give: a run goes on with fewer threads, or ends with 71
# and what is wrong. Calls are made to fail by a library that stands before the C library's.
. "$(dirname "$0")/lib.sh"

if ldd "$program" | grep -qE 'lib(asan|tsan|ubsan)'; then
    skip "calls that fail: not with a sanitizer"
    finish
fi
cat >failing.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
static atomic_int memories, threads, started;
/* CUDA's runtime allocates before main, where nothing has begun, and crashes without. */
static int (*main_of)(int, char **, char **);
static int started_main(int count, char **words, char **environment)
{
    started = 1;
    return main_of(count, words, environment);
}
typedef int start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                       void (*)(void), void *);
int __libc_start_main(int (*run)(int, char **, char **), int count, char **words, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack)
{
    main_of = run;
    return ((start_main *)dlsym(RTLD_NEXT, "__libc_start_main"))(started_main, count, words, init, fini,
                                                                loader_fini, stack);
}
/* N: the N-th call fails; -N: from the N-th on all do. */
static int fails(const char *name, atomic_int *calls)
{
    if (!started) return 0;
    const char *text = getenv(name);
    int at = text ? atoi(text) : 0, now = atomic_fetch_add(calls, 1) + 1;
    return at < 0 ? now >= -at : at == now;
}
static int no_memory(void)
{
    if (!fails("FAIL_MEMORY", &memories)) return 0;
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t n) { return no_memory() ? NULL : __libc_malloc(n); }
void *calloc(size_t a, size_t b) { return no_memory() ? NULL : __libc_calloc(a, b); }
void *realloc(void *p, size_t n) { return no_memory() ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { return no_memory() ? NULL : __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n)
{
    if (no_memory() || !(*p = __libc_memalign(a, n))) return ENOMEM;
    return 0;
}
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    return fails("FAIL_THREAD", &threads) ? EAGAIN : real(t, a, f, x);
}
__attribute__((destructor)) static void tell(void)
{
    if (getenv("TELL")) dprintf(2, "calls %d %d\n", memories, threads);
}
END
if ! cc -shared -fPIC failing.c -o failing.so -ldl 2>"$err"; then
    skip "calls that fail: no compiler"
    finish
fi
printf 'P6\n48 32\n255\n' >picture.ppm
head -c 4608 /dev/zero | tr '\0' 'z' >>picture.ppm
train() {
    rm -rf run
    env LD_PRELOAD="$PWD/failing.so" "$@" "$program" train input_path=picture.ppm num_gaussians=30 \
        max_steps=4 device=cpu threads=3 video.enabled=false -o run >"$out" 2>"$err" </dev/null
    status=$?
    last="train with $*"
}

train TELL=1
calls=$(sed -n 's/^calls \([0-9]*\) .*/\1/p' "$err")
threads=$(sed -n 's/^calls .* //p' "$err")
if [ "$status" = 0 ] && [ "$calls" -gt 100 ] && [ "$threads" -ge 3 ]; then pass; else flunk "$status"; fi
cp run/model.safetensors whole

# ---- threads ----
at=1
while [ $at -le "$threads" ]; do
    for fail in $at -$at; do
        train FAIL_THREAD=$fail
        if [ "$status" = 0 ]; then pass; else flunk "status $status"; fi
        if cmp -s run/model.safetensors whole; then pass; else flunk "another model"; fi
    done
    at=$((at + 1))
done
train FAIL_THREAD=-1
err_has "warning: 1 of 3 threads could be made"

# ---- memory: some calls of all phases ----
at=1
while [ $at -lt "$calls" ]; do
    train FAIL_MEMORY=$at
    if [ "$status" = 0 ] || [ "$status" = 71 ]; then pass; else flunk "status $status"; fi
    at=$((at + calls / 40))
done
finish
