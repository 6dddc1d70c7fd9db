/* What commands that make pictures do when the device's memory does not suffice: everything at a
 * time, then slices half as large each time, then the CPU. Every move is a line for the user; no
 * slice changes a bit of a picture. */
#ifndef IMGTRAIN_CMD_FALLBACK_H
#define IMGTRAIN_CMD_FALLBACK_H

#include <stddef.h>
#include <stdint.h>

struct fallback {
    struct device *device; /* owned */
    int slice;             /* how many of `unit` at a time */
    int whole, least;      /* the first, and what slices are multiples of */
    const char *unit;      /* "pictures" */
};

/* Opens the device, or the CPU where there is no memory left to open it. limit: most bytes it may
 * allocate; 0 = none. It is the limit of the device that was named: the CPU that takes over has
 * none. */
int fallback_open(struct fallback *fallback, const char *device, uint64_t limit);

/* Calls attempt(context, device, slice) with ever less at a time until one does not end with
 * ERR_DEVICE_MEMORY. Each attempt begins anew. */
int fallback_run(struct fallback *fallback,
                 int (*attempt)(void *context, struct device *device, int slice), void *context);

void fallback_close(struct fallback *fallback); /* accepts a zeroed struct */

#endif
