/* Runs all suites, or those named on the command line: imgtrain-test [SUITE ...]. Each test in a
 * process of its own (Check forks), so that a crash or an exit() is a failure and not the end.
 *
 * With TEST_TIMES=FILE, a line "SECONDS TEST" for each test is added to the file: processor time,
 * its threads and its own children included, which other work on the machine hardly changes. */
#include "base/clock.h"
#include "test/support.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The limit of one test, in seconds. It ends what hangs; a machine may be as slow as it likes: no
 * test takes more than 20 s of processor time, but those that say so with tcase_set_timeout(). */
#define TEST_LIMIT "600"

/* Asked by LeakSanitizer: libx265 3.5 keeps 1168 bytes of an encoder that was closed. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libx265.so\n";
}

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static int skipped;

void test_skip(const char *suite, const char *reason)
{
    printf("skipped: %s: %s\n", suite, reason);
    skipped++;
}

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return 1;
    return argc < 2;
}

/* Whether the thread of this number, of /proc, waits in the kernel; 1 when it has ended. */
static int thread_sleeps(const char *number)
{
    static char path[300], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", number);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 1;
    ssize_t bytes = read(file, text, sizeof text - 1);
    close(file);
    if (bytes <= 0) return 1;
    text[bytes] = 0;
    const char *end = strrchr(text, ')'); /* of the thread's name; its state follows */
    return end && end[1] == ' ' && end[2] == 'S';
}

/* Whether every thread but this one waits in the kernel. Nothing is allocated here: a sanitizer may
 * have locked its allocator for the fork. */
static int others_sleep(void)
{
    static char entries[8192] __attribute__((aligned(16)));
    int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), sleep = 1;
    for (ssize_t bytes; tasks >= 0 && (bytes = getdents64(tasks, entries, sizeof entries)) > 0;)
        for (ssize_t at = 0; at < bytes;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            at += entry->d_reclen;
            if (entry->d_name[0] != '.' && atoi(entry->d_name) != (int)gettid())
                sleep &= thread_sleeps(entry->d_name);
        }
    if (tasks >= 0) close(tasks);
    return sleep;
}

/* Before every fork. The child has a copy of every lock, and nobody gives back there what another
 * thread held: libc takes its own locks first, AddressSanitizer those of its allocator not. A
 * thread that was just starting held one now and then, and the first thread that the child made
 * waited for it for ever. A thread that waits for such a lock sleeps too, but then its owner does
 * not: hence two looks. The limit is for threads that never sleep. */
static void wait_until_others_sleep(void)
{
    double limit = clock_seconds() + 10;
    for (int looks = 0; looks < 2 && clock_seconds() < limit;) {
        looks = others_sleep() ? looks + 1 : 0;
        if (!looks) usleep(200);
    }
}

/* used[i]: what all tests before the i-th have used, noted just before Check forks for it. */
static double used[8192];
static int used_count;

static void note_used(void)
{
    struct rusage all;
    if (getrusage(RUSAGE_CHILDREN, &all) != 0) return;
    if (used_count < (int)(sizeof used / sizeof *used))
        used[used_count++] = (double)(all.ru_utime.tv_sec + all.ru_stime.tv_sec) +
                             (double)(all.ru_utime.tv_usec + all.ru_stime.tv_usec) * 1e-6;
}

/* Check gives names in its TAP log alone: "ok 1 - test/base/base.c:cases:name: Passed", in order.
 */
static void write_times(const char *path, const char *tap)
{
    FILE *names = fopen(tap, "r"), *times = fopen(path, "a");
    char line[1024], name[256], last[256] = "";
    int number, turn = 0;
    while (names && times && fgets(line, sizeof line, names)) {
        if (sscanf(line, "%*[a-z ] %d - %*[^:]:%*[^:]:%255[^:]", &number, name) != 2) continue;
        turn = strcmp(name, last) == 0 ? turn + 1 : 0;
        memcpy(last, name, sizeof last);
        if (number < 1 || number >= used_count) continue;
        fprintf(times, turn ? "%.2f %s(%d)\n" : "%.2f %s\n", used[number] - used[number - 1], name,
                turn);
    }
    if (times) fclose(times);
    if (names) fclose(names);
}

/* test/device/op_cases.c, where that is linked */
__attribute__((weak)) int op_cases_speed(const char *device_name);

int main(int argc, char **argv)
{
    const char *times = getenv("TEST_TIMES");
    char tap[4096];
    if (op_cases_speed && argc > 1 && strcmp(argv[1], "op_speed") == 0)
        return op_cases_speed(argc > 2 ? argv[2] : "cpu") < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    setenv("CK_DEFAULT_TIMEOUT", TEST_LIMIT, 0);
    pthread_atfork(wait_until_others_sleep, NULL, NULL);
    SRunner *runner = srunner_create(NULL);
#define SUITE(name)                                                                                \
    if (wanted(#name, argc, argv)) srunner_add_suite(runner, name##_suite());
#include "suites.h"
#undef SUITE
    if (times) {
        snprintf(tap, sizeof tap, "%s.tap", times);
        srunner_set_tap(runner, tap);
        pthread_atfork(note_used, NULL, NULL);
    }
    srunner_run_all(runner, CK_NORMAL);
    if (times) {
        note_used();
        write_times(times, tap);
        unlink(tap);
    }
    int run = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    printf("unit tests: %d passed, %d failed, %d skipped\n", run - failed, failed, skipped);
    return failed || run + skipped == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
