/* What commands that use a model do when the device's memory does not suffice: everything at a
 * time, then half as much with each try, then the CPU. Every move is a line for the user; none
 * changes a bit of an image. */
#ifndef IMGTRAIN_CMD_FALLBACK_H
#define IMGTRAIN_CMD_FALLBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct task;

struct fallback {
    const struct task *task; /* whose operations `attempt` calls */
    struct device *device;   /* owned */
    int at_once;             /* how many of `unit` at a time */
    int whole, least;        /* its first value, and what all others are multiples of */
    const char *unit;        /* "images" */

    /* Begins anew each time, and holds nothing of the device after an error; ERR_DEVICE_MEMORY:
     * again with less. */
    int (*attempt)(void *context, struct device *device, int at_once);
    void *context;

    /* For a process that does more with the device: it is used instead of one that is opened, and
     * stays open. NULL: none. */
    struct device *lent;
    /* Gives back what else of it can be done without; then as much at a time as before is tried
     * once more. False: there was nothing. NULL: there never is. */
    bool (*relieve)(void *context);
};

/* Opens `device`, or the CPU where there is no memory left to open it, and calls `attempt` with
 * ever less at a time until one does not end with ERR_DEVICE_MEMORY. limit: most bytes that the
 * device may allocate; 0 = none. It is the limit of the device that was named: the CPU that takes
 * over has none. The device is closed afterwards. */
int fallback_run(struct fallback *fallback, const char *device, uint64_t limit);

/* The same in parts, for several calls: each goes on with what the last one came down to. */
int fallback_open(struct fallback *fallback, const char *device, uint64_t limit);
int fallback_call(struct fallback *fallback);
void fallback_close(struct fallback *fallback); /* accepts one that is not open */

#endif
