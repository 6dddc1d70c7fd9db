/* Calls into libc that fail in a test, as without memory, with a full or a broken disk: those that
 * FAILING_CALLS of scripts/mk/test.mk names, where src, cuda or a test makes them. (What libc and
 * other libraries do within stays as it is: for whole runs see torture/malloc_fails.c and
 * torture/inject.c.) A test lets one after the other fail until there is none left:
 *
 *     for (int turn = 1;; turn++) {
 *         CALL_FAILS(.turn = turn);
 *         int code = what_is_tested();
 *         if (!call_that_failed()) break;
 *         ... an orderly end?
 *     }
 */
#ifndef IMGTRAIN_TEST_FAILING_CALLS_H
#define IMGTRAIN_TEST_FAILING_CALLS_H

struct failing_call {
    int turn;         /* which of this thread's calls from now on, from 1 */
    int every;        /* and then each so many further on: 1 is all of them; 0 none */
    const char *name; /* of the calls of this name; NULL: of all */
    int error;        /* its errno; 0: ENOMEM of an allocation, EIO of any other */
};

/* From here on this thread's call fails. A call that fails does nothing, but close() closes. */
void call_fails(struct failing_call which);
#define CALL_FAILS(...) call_fails((struct failing_call){__VA_ARGS__})

/* From here on fsync() asks nothing of the disk, for which hundreds of saves would wait. */
void fsync_is_instant(void);

/* From here on none fails. The name of the call that has; NULL: there was none, all have had their
 * turn. */
const char *call_that_failed(void);

/* The turn behind `turn` where there are thousands of calls: all of the first `all`, and then fewer
 * and fewer. */
static inline int turn_behind(int turn, int all)
{
    return turn + 1 + turn / all;
}

#endif
