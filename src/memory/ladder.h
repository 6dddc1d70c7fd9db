/* The ladder: which of a task's memory modes fits, and the next mode when memory failed after all.
 * It knows bytes and times, nothing of what a task is. */
#ifndef IMGTRAIN_MEMORY_LADDER_H
#define IMGTRAIN_MEMORY_LADDER_H

#include "memory/mode.h"

struct device;

struct ladder_settings {
    int level;                          /* the only one to start with; -1: any */
    int64_t budget;                     /* memory.budget; 0: by what is free */
    double target_usage, safety_margin; /* shares of what is free */
};

struct ladder_mode {
    struct memory_mode mode;
    struct memory_need need;
    bool fits;
};

enum { LADDER_MAX_MODES = 96 };

struct ladder {
    struct ladder_settings settings;
    struct ladder_mode modes[LADDER_MAX_MODES];
    int count;
    int least_level; /* modes below it are out when a run begins again; the governor lets it climb
                      */
};

/* Adds a mode; what is beyond LADDER_MAX_MODES is dropped. */
void ladder_add(struct ladder *ladder, const struct memory_mode *mode,
                const struct memory_need *need);

/* Bytes that may be used. memory.budget where it is set; else free memory x (target_usage -
 * safety_margin). `held`: what the run holds already and may use again. Never more than
 * memory.limit, which needs no margin, as plans are exact. INT64_MAX when nothing is known. */
int64_t ladder_budget(const struct ladder_settings *settings, const struct device *device,
                      int64_t held);

/* Notes for each mode whether it fits. */
void ladder_judge(struct ladder *ladder, int64_t budget);

/* The fastest mode that fits, of the wanted level (or the nearest below it that there is) and not
 * below least_level, modes of another precision than the first one's last; -1: none does, and
 * *least is the mode that comes closest. ladder_judge() comes first. */
int ladder_pick(const struct ladder *ladder, int *least);

/* After memory failed in mode `at`: the fastest one that takes less of the device and fits; -1
 * after the last one. The wanted level no longer counts. */
int ladder_down(const struct ladder *ladder, int at);

/* Two modes are the same but for `work`. */
bool ladder_same_mode(const struct memory_mode *a, const struct memory_mode *b);

/* The index of the mode that is the same but for `work`; -1: none. */
int ladder_find(const struct ladder *ladder, const struct memory_mode *mode);

/* The same for a batch that has no such number at a time: the mode with the next smaller one, or
 * else the smallest. */
int ladder_find_near(const struct ladder *ladder, const struct memory_mode *mode);

/* "level 2, recomputing, 16 at a time, optimiser beside the device": for log lines. Returns text.
 */
char *ladder_describe(char *text, size_t room, const struct memory_mode *mode);

#endif
