/* A suite that cannot run here says so, and is counted as skipped. */
#ifndef IMGTRAIN_TEST_SKIP_H
#define IMGTRAIN_TEST_SKIP_H

void test_skip(const char *suite, const char *reason);

#endif
