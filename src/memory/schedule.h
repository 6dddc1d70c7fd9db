/* memory.schedule: the work of each step as the user says it, in place of the governor's: numbers
 * in threes, from which step on, with which size and which batch. */
#ifndef IMGTRAIN_MEMORY_SCHEDULE_H
#define IMGTRAIN_MEMORY_SCHEDULE_H

#include "memory/mode.h"

struct memory_schedule {
    const int64_t *values; /* borrowed */
    int count;             /* of numbers; 0: there is no schedule */
};

/* ERR_CONFIG, in one line, for what is none: steps rise, sizes are even and at most size_most. */
int memory_schedule_check(const struct memory_schedule *schedule, int size_most, int batch_most);

/* Sets size and batch of *work to those of step `step`; before the first of the schedule's steps
 * *work stays. Whether there is a schedule. */
bool memory_schedule_at(const struct memory_schedule *schedule, int64_t step,
                        struct memory_work *work);

/* The largest size in it; 0 without one. */
int memory_schedule_largest_size(const struct memory_schedule *schedule);

#endif
