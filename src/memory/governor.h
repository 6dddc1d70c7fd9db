/* The governor: between steps it looks at the memory that is free and says how to go on: in another
 * mode (ladder.h) when others took memory or gave it back, and, where that is wanted, with more
 * work in each step. It knows bytes and times, nothing of what a task is. */
#ifndef IMGTRAIN_MEMORY_GOVERNOR_H
#define IMGTRAIN_MEMORY_GOVERNOR_H

#include "memory/ladder.h"

struct governor_settings {
    int64_t every;            /* steps between looks */
    bool grow;                /* the work too */
    int min_size, max_size;   /* pixels; 0: the task's */
    int min_batch, max_batch; /* likewise */
    double most_time;         /* of a step, in those of the work asked for, where growing takes
                                 time; 0: no bound */
};

/* Whether to look before step `step`. */
bool governor_due(const struct governor_settings *settings, int64_t step);

/* The mode to go on in; `at` when it is well where it is. Down when the present one takes more than
 * target_usage allows; up only to a mode that leaves safety_margin free too, so that it does not
 * move to and fro. Calls ladder_judge() on the modes, whose needs must be those of the present
 * work. `held`: bytes that the run has on the device. */
int governor_pick_mode(struct ladder *ladder, int at, const struct device *device, int64_t held);

struct governor {
    struct governor_settings settings;
    struct memory_growth growth; /* of the task at this moment */
    /* What a mode with its work takes. */
    int (*need)(void *context, const struct memory_mode *mode, struct memory_need *need);
    void *context;
};

/* The largest work that fits `budget` when run in `mode`: size first, with the batch that there is
 * (the one asked for, where that is larger), then the batch, which is smaller only where no size
 * fits; where nothing fits the least. It is predicted, not tried. A gain below an eighth is none. A
 * mode with less than the whole batch at a time keeps its batch. */
int governor_work(const struct governor *governor, int64_t budget, const struct memory_mode *mode,
                  struct memory_mode *next);

/* The fastest of the ladder's modes for `work` that takes `budget` bytes at most; where none does
 * *found is false, and *next the one that takes least. Needs a ladder that is not empty. */
int governor_pick_for(const struct governor *governor, const struct ladder *ladder, int64_t budget,
                      const struct memory_work *work, struct memory_mode *next, bool *found);

/* Where no mode fits: less work that does, the size first and in the fastest mode that has it, then
 * the batch. False: there is none. */
int governor_shrink(const struct governor *governor, struct ladder *ladder, int64_t budget,
                    struct memory_mode *next, bool *found);

/* All of it: *next is how to go on; mode `at` and the present work where nothing is to change. A
 * larger size comes before a faster mode (where growing takes time: up to the size asked for, and
 * what is larger only in the fastest); a larger batch is only given to the fastest, once the size
 * can be no larger; less work only when no mode fits. */
int governor_look(const struct governor *governor, struct ladder *ladder, int at,
                  const struct device *device, int64_t held, struct memory_mode *next);

#endif
