/* When a line about long work is due: after two seconds, then every ten. */
#ifndef IMGTRAIN_BASE_SELDOM_H
#define IMGTRAIN_BASE_SELDOM_H

#include "base/clock.h"

#include <stdbool.h>

struct seldom {
    double started, last;
};

static inline struct seldom seldom_begin(void)
{
    double now = clock_seconds();
    return (struct seldom){now, now};
}

/* True: a line is written now. *spent: seconds since the beginning. */
static inline bool seldom_is_due(struct seldom *seldom, double *spent)
{
    double now = clock_seconds(), wait = seldom->last > seldom->started ? 10 : 2;
    *spent = now - seldom->started;
    if (now - seldom->last < wait) return false;
    seldom->last = now;
    return true;
}

#endif
