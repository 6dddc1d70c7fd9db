/* Runs all suites, or those named on the command line: imgtrain-test [SUITE ...]. Each test in a
 * process of its own (Check forks), so that a crash or an exit() is a failure and not the end. */
#include "test_skip.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(int argc, char **argv)
{
    SRunner *runner = srunner_create(NULL);
#define SUITE(name)                                                                                \
    if (wanted(#name, argc, argv)) srunner_add_suite(runner, name##_suite());
#include "suites.h"
#undef SUITE
    srunner_run_all(runner, CK_NORMAL);
    int run = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    printf("unit tests: %d passed, %d failed, %d skipped\n", run - failed, failed, skipped);
    return failed || run + skipped == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
