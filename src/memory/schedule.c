#include "memory/schedule.h"

#include "base/error.h"

#include <inttypes.h>

int memory_schedule_check(const struct memory_schedule *schedule, int size_most, int batch_most)
{
    const int64_t *v = schedule->values;
    if (schedule->count % 3)
        return fail(ERR_CONFIG,
                    "memory.schedule: %d numbers are not in threes: step, size, batch, and so on",
                    schedule->count);
    for (int i = 0; i < schedule->count; i += 3) {
        if (i > 0 && v[i] <= v[i - 3])
            return fail(ERR_CONFIG,
                        "memory.schedule: step %" PRId64 " comes after step %" PRId64
                        ": steps have to rise",
                        v[i], v[i - 3]);
        if (v[i + 1] < 2 || v[i + 1] > size_most || v[i + 1] % 2)
            return fail(ERR_CONFIG,
                        "memory.schedule: from step %" PRId64 " on size %" PRId64
                        ": it is even, 2 to %d",
                        v[i], v[i + 1], size_most);
        if (v[i + 2] < 1 || v[i + 2] > batch_most)
            return fail(ERR_CONFIG,
                        "memory.schedule: from step %" PRId64 " on batch %" PRId64
                        ": it is 1 to %d",
                        v[i], v[i + 2], batch_most);
    }
    return OK;
}

bool memory_schedule_at(const struct memory_schedule *schedule, int64_t step,
                        struct memory_work *work)
{
    const int64_t *v = schedule->values;
    for (int i = 0; i + 2 < schedule->count && v[i] <= step; i += 3) {
        work->size = (int)v[i + 1];
        work->batch = (int)v[i + 2];
    }
    return schedule->count > 0;
}

int memory_schedule_largest_size(const struct memory_schedule *schedule)
{
    int largest = 0;
    for (int i = 1; i < schedule->count; i += 3)
        if (schedule->values[i] > largest) largest = (int)schedule->values[i];
    return largest;
}
