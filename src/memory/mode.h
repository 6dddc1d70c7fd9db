/* What can be traded between memory and time, without a word about what a task is. */
#ifndef IMGTRAIN_MEMORY_MODE_H
#define IMGTRAIN_MEMORY_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The levels of the ladder: each may also do what those before it do. */
enum {
    MEMORY_RESIDENT = 0,      /* everything stays */
    MEMORY_CHECKPOINTING = 1, /* made again in the backward pass */
    MEMORY_MICRO_BATCHES = 2, /* less at a time */
    MEMORY_MIXED = 3,         /* mixed precision where it was off */
    MEMORY_OFFLOAD = 4,       /* optimiser, EMA, idle nets host-resident; bands of the image */
    MEMORY_LEVELS
};

/* How much work a step does; 0: as it is. The governor changes size and batch. */
struct memory_work {
    int size;      /* pixels: longest side that is trained at, the picture's or less; a patch's */
    int batch;     /* pictures or patches of a step */
    int64_t count; /* elements of the model: Gaussians */
    int picture;   /* pixels: longest side of the picture itself */
};

/* What can be asked of one part of the work: `least` (but where the user wants less, not below
 * `floor`) to `most` in steps of `multiple`, and `most` itself; most 0: nothing. */
struct memory_range {
    int now, least, most, multiple, floor;
};

struct memory_growth {
    struct memory_range size, batch;
    bool takes_time; /* a larger size makes a step longer, and `least` is what the config asks for:
                        beyond that it grows in the fastest mode only, and within bounds of time */
};

/* A memory mode of a task. What a task does not have stays 0. */
struct memory_mode {
    int level; /* 0 .. MEMORY_LEVELS - 1 */
    bool amp, checkpointing;
    int micro_batch;      /* pictures at a time, the batch's size kept */
    int bands;            /* the image lies on the device in so many pieces; 0: whole */
    bool offload;         /* optimiser, EMA and idle networks are host-resident */
    size_t workspace_cap; /* most bytes of workspace; 0: no cap */
    struct memory_work work;
};

/* What a mode takes, predicted to the byte. */
struct memory_need {
    size_t device_bytes, host_bytes;
    double relative_time; /* of a step; 1: the fastest that the task knows, with the work that the
                             config asks for */
};

#endif
