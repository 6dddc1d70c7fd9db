/* Steps of a training, asked for one after the other: the host's memory in two turns, so that it
 * prepares one step while the device is at the one before; a step kept as a CUDA graph; and the
 * sums that a step reports. */
#ifndef IMGTRAIN_NN_STEPPER_H
#define IMGTRAIN_NN_STEPPER_H

#include "device/offload_stream.h"

struct device;
struct device_graph;
struct plan;

/* Steps that ask for other operations than others do are of another kind. */
enum { STEPPER_KINDS = 2 };

struct stepper {
    struct device *device;
    int turn;                                  /* of the next step: which of the host's two */
    int kind;                                  /* likewise; set by the caller */
    struct device_graph *graph[STEPPER_KINDS]; /* a whole step; NULL: not yet, or there are none */
    bool warm[STEPPER_KINDS];                  /* one was done without */
    bool no_graph;                             /* making one failed */
    void *arrival;                             /* where inputs arrive; NULL: where they belong */
    bool sent;                                 /* some have */
    struct offload_stream offload;
    void *staging; /* of the offload stream; NULL: none */
    size_t staging_bytes;
    double *sums;         /* [sum_count] of the device, */
    double *host_sums[2]; /* and of the host by turns; the same memory where the host reads it */
    int sum_count;
    char *host_inputs[2]; /* likewise: where the host prepares what a step reads */
};

/* Inputs that go to the device while the step before runs take as much of its memory once more.
 * Declares that as `name`, unless `tight` says that memory is dearer than the time of a copy. */
int stepper_declare_arrival(struct stepper *stepper, const char *name, size_t bytes, bool tight,
                            struct plan *plan);

/* What the host reads and writes beside a device with memory of its own. */
int stepper_declare_host(struct stepper *stepper, size_t input_bytes, int sum_count,
                         struct plan *plan);
/* The window through which offloaded ranges reach the device. */
int stepper_declare_offload(struct stepper *stepper, const struct offload_range *ranges, int count,
                            struct plan *plan);
/* After plan_commit: the device's inputs and sums, and all that is offloaded. */
void stepper_connect(struct stepper *stepper, char *inputs, double *sums, int sum_count,
                     const struct offload_range *ranges, int count);

/* Waits until the step that had this turn last is done. Failures of its operations come back. */
int stepper_await(const struct stepper *stepper, int turn);
/* The inputs of the next step, as many as were declared or fewer: beside the operations of the step
 * before where there is an arrival. `from` is the host's of this turn. */
int stepper_send(struct stepper *stepper, void *to, const void *from, size_t bytes);
/* Does a step whose operations `queue` asks for: from its kind's second on as a graph where the
 * device has graphs, asked for again with the same addresses. Without a graph every step is asked
 * for anew: the same result, slower. */
int stepper_run(struct stepper *stepper, int (*queue)(void *context), void *context);
/* Asks for the step's sums and takes the next turn. */
int stepper_end(struct stepper *stepper);
/* The sums of the last step (back 0) or of the one before it (back 1), when it is done. */
int stepper_sums(const struct stepper *stepper, int back, const double **sums);
/* Waits for all steps and forgets the graphs: before buffers move or go. */
int stepper_rest(struct stepper *stepper);

#endif
