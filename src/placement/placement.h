/* Placement of weights: components (text encoder, denoiser, decoder) that do not fit into a device
 * together pass through it under a budget of bytes that is known before the first of them is read.
 *
 * A component has blocks, a block has tensors. A stage walks the blocks of one component, in an
 * order that it declares, `passes` times: acquire, compute, release. What a stage takes and moves
 * follows from that alone, to the byte, so it is predicted by the same code that does it.
 *
 *   way         on the device at once                     moved
 *   none        all components from their first use on   each weight once
 *   model       one component                             each component once a stage
 *   sequential  the first blocks, as many as fit, and     the other blocks once a pass
 *               a window of two (or one) of the others
 *
 * Weights are only read, so nothing is ever copied back. Where the device is the host and a tensor
 * is stored in the type that is wanted, pointers lead into the mapped file and nothing is placed,
 * unless `place` asks for it. It knows bytes and names, no model. */
#ifndef IMGTRAIN_PLACEMENT_PLACEMENT_H
#define IMGTRAIN_PLACEMENT_PLACEMENT_H

#include "store/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device;
struct placement;
struct plan;

enum placement_way {
    PLACEMENT_NONE,
    PLACEMENT_MODEL,
    PLACEMENT_SEQUENTIAL,
    PLACEMENT_AUTO, /* the first of them that fits */
    PLACEMENT_WAYS = PLACEMENT_AUTO
};

enum { PLACEMENT_COMPONENTS = 8, PLACEMENT_ALIGNMENT = 256 };

const char *placement_way_name(enum placement_way way);
bool placement_way_find(const char *name, enum placement_way *way);

struct placement_options {
    enum placement_way way;
    int64_t budget;    /* bytes of the device, used to the last; 0: `usage` of what is free */
    double usage;      /* share of free memory; 0: .9 */
    bool prefetch;     /* bring the next block while one is worked on */
    bool place;        /* also where operations could read the mapping: the budget is to be felt */
    bool by_reading;   /* place by reading files instead of out of their mapping */
    bool without_data; /* for forecasts alone: no component is ever opened */
    double work_rate, copy_rate; /* operations and bytes a second, for estimates; 0: unknown */
};

/* ---- what there is ---- */

struct placement_tensor {
    const char *name;
    enum tensor_type stored, wanted; /* wanted: stored, F32, BF16 or I8 */
    size_t count;                    /* numbers */
    size_t row;                      /* of them, in a row; of I8 alone, whose rows have scales: they
                                        lie with it, token_scales_at() bytes from it */
    bool in_memory;                  /* its data is no page of a file, whatever is_file says */
    bool stays_mapped;               /* rows are gathered from the mapping: never placed */
};

struct placement_block {
    const char *name;
    int first, count; /* tensors */
    bool always;      /* resident in every way: the small rest that each pass comes back to */
};

/* A component; all that it points to is borrowed until placement_close. */
struct placement_source {
    const char *name; /* "denoiser" */
    const char *key;  /* its files and what of them: sources of one key, and of the same types and
                         blocks, are one component */
    const struct placement_tensor *tensors;
    int tensor_count;
    const struct placement_block *blocks;
    int block_count;
    bool is_file; /* the data is a mapped file, whose pages may be dropped and read again */
    /* Finds the data of each tensor, when the component is used first, and gives it back. */
    int (*open)(void *context, const void **data);
    void (*close)(void *context); /* may be NULL */
    /* For `by_reading`: the bytes of a tensor as they are stored. NULL: they are only mapped. */
    int (*read)(void *context, int tensor, void *to);
    void *context;
};

/* A stage of a pipeline: what it does with one component. */
struct placement_stage {
    const char *name; /* "denoise" */
    int component;
    const int *walk; /* the blocks of one pass in their order; NULL: all, each once */
    int walk_count;
    int64_t passes;
    double work; /* operations of a pass, for estimates; 0: unknown */
    /* Declares activations and workspace. `chunking` 0 .. chunkings - 1: each takes less than the
     * one before and changes no bit of the result. NULL: there are none. */
    int (*declare)(void *context, int chunking, struct plan *plan);
    int chunkings;
    void *context;
};

/* ---- what it takes ---- */

struct placement_forecast {
    enum placement_way way;
    int chunking, residents, slots;                 /* blocks that stay, and room for others */
    int blocks;                                     /* of the component */
    size_t weight_bytes, kept_bytes, working_bytes; /* its own, other components', the rest */
    size_t device_bytes;                            /* the sum */
    size_t host_bytes;                              /* staging */
    int64_t copies;                                 /* blocks moved to the device, */
    uint64_t copied_bytes;
    double seconds; /* estimated: work, and copies beside it or between; 0: unknown */
    int64_t budget; /* that it was held against */
    bool fits;
};

struct placement_report {
    const char *stage, *component;
    struct placement_forecast predicted;
    size_t device_bytes, host_bytes; /* at most, measured */
    int64_t copies;
    uint64_t copied_bytes;
    double load_seconds, compute_seconds, wait_seconds;
    int falls;     /* ways that memory failed for */
    bool complete; /* it came to its end */
};

struct placement_counts {
    int64_t opened, acquired, released, copies, evictions;
    uint64_t opened_bytes, copied_bytes;
};

/* ---- setting up ---- */

int placement_open(struct placement **placement, struct device *device,
                   const struct placement_options *options);
void placement_close(struct placement *placement); /* accepts NULL */

/* *component is its number for stages: that of an earlier one of the same key, types and blocks, if
 * there is one. Nothing is opened yet. */
int placement_add(struct placement *placement, const struct placement_source *source,
                  int *component);

/* ---- predicting ---- */

/* What each of the stages would take if they began now, one behind the other, in this way (each
 * with the largest chunks that fit; where none do, the smallest). */
int placement_forecast(const struct placement *placement, const struct placement_stage *stages,
                       int count, enum placement_way way, struct placement_forecast *forecasts);

/* The way of the options, or with PLACEMENT_AUTO the first whose stages all fit; kept for the
 * stages to come. ERR_DEVICE_MEMORY, naming the stage and what is missing, where it does not fit.
 */
int placement_choose(struct placement *placement, const struct placement_stage *stages, int count,
                     enum placement_way *way);

/* ---- doing ---- */

/* Makes room for a stage: gives up what its way does not keep, allocates all that it will need.
 * Where that fails, it goes on in the next way down, which is said in a line; ERR_DEVICE_MEMORY
 * after the last. To be ended in any case but a failure. */
int placement_begin(struct placement *placement, const struct placement_stage *stage);

/* The next block of the walk, for operations that are asked for from here on: a pointer for each of
 * its tensors, valid until it is released. Several may be held where they stay. */
int placement_acquire(struct placement *placement, int block, const void *const **tensors);
int placement_release(struct placement *placement, int block);

/* Waits for the device, frees activations and workspace, and reports. After a failure too. */
int placement_end(struct placement *placement);

/* ---- answers ---- */

enum placement_state { PLACEMENT_ABSENT, PLACEMENT_MAPPED, PLACEMENT_STAGED, PLACEMENT_PLACED };

enum placement_state placement_state_of(const struct placement *placement, int component,
                                        int block);
enum placement_way placement_way_of(const struct placement *placement);
const struct placement_counts *placement_counts(const struct placement *placement);
int placement_report_count(const struct placement *placement);
const struct placement_report *placement_report_at(const struct placement *placement, int index);

#endif
