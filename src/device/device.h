/* The interface of a device: memory and the operations of the tasks. The CPU is always there; its
 * tables are filled with the portable reference first, then overridden by faster code. */
#ifndef IMGTRAIN_DEVICE_DEVICE_H
#define IMGTRAIN_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct faults;    /* device/faults.h */
struct splat_ops; /* device/splat_ops.h */
struct nn_ops;    /* device/nn_ops.h */
struct gan_ops;   /* device/gan_ops.h */
struct token_ops; /* device/token_ops.h */
struct device_graph;

/* Queues of a device that copies while it computes. Work that is asked of one queue is done in
 * order; between queues only marks make an order. All operations, uploads and downloads are in
 * QUEUE_WORK. */
enum device_queue { QUEUE_WORK, QUEUE_IN, QUEUE_OUT, DEVICE_QUEUES };
enum { DEVICE_MARKS = 32, DEVICE_OWN_MARKS = 16 }; /* from there on: the device's own */

struct device {
    char name[128];                     /* "cpu: AMD EPYC, 2 threads, avx512" */
    size_t limit_bytes;                 /* memory.limit: allocations past it fail; 0 = none */
    size_t used_bytes;                  /* allocated now */
    size_t peak_bytes;                  /* most that was ever allocated */
    size_t host_bytes, host_peak_bytes; /* of plans, outside the device: offloaded and host */
    const char *offload_dir; /* folder for the CPU's offload file, borrowed; NULL: the one for
                                temporary files */

    /* 64-byte aligned, zeroed; zero bytes give NULL. From one thread only. ERR_DEVICE_MEMORY when
     * it cannot be had or passes limit_bytes. */
    int (*alloc)(struct device *device, size_t bytes, void **memory);
    void (*free)(struct device *device, void *memory, size_t bytes);
    /* Memory other than the device's own, outside its limit, that its operations reach all the
     * same: pinned on the host; for the CPU a file in offload_dir without a name, mapped, which the
     * system may write out. Zeroed, page aligned. NULL: alloc_host does. */
    int (*alloc_offload)(struct device *device, size_t bytes, void **memory);
    void (*free_offload)(struct device *device, void *memory, size_t bytes);
    /* Memory that could still be allocated, limit_bytes considered; -1 if unknown. */
    int64_t (*free_bytes)(const struct device *device);
    /* How much of it is as fast as the device's own: beyond that the driver hands out the system's
     * memory instead of refusing. Takes all of it for a moment. NULL: it refuses. */
    int (*fast_bytes)(struct device *device, int64_t *bytes);

    /* The host may read and write the device's memory itself; where it may not, only operations
     * and copies do. */
    bool is_host;
    /* Copies between host and device, in order with the operations: `from` of an upload must stay,
     * and `to` of a download is not there, until synchronize. */
    int (*upload)(struct device *device, void *to, const void *from, size_t bytes);
    int (*download)(struct device *device, void *to, const void *from, size_t bytes);
    /* Waits for all that was asked for. A failure of any operation since the last call comes back
     * here: ERR_DEVICE, or ERR_DEVICE_MEMORY. */
    int (*synchronize)(struct device *device);
    /* A graph: work that is repeated with the same addresses and numbers. Operations that are asked
     * for between begin and end are recorded, not done; launch asks for all of them at once. Until
     * end, only operations that wait for nothing may be asked for: no allocation, no copy of memory
     * that is not pinned, no synchronize. When one of them failed, end fails: then there is no
     * graph, and the device is as before. free accepts NULL, and a graph that still runs. All are
     * NULL where a graph saves nothing. */
    int (*graph_begin)(struct device *device);
    int (*graph_end)(struct device *device, struct device_graph **graph);
    int (*graph_launch)(struct device *device, struct device_graph *graph);
    void (*graph_free)(struct device *device, struct device_graph *graph);
    /* Copies beside the operations; all NULL where operations reach the host's memory as fast as
     * the device's. A mark stands behind all that was asked of its queue when it was last set; what
     * a queue is asked for after `await` begins when what stands before the mark is done.
     * await_host: likewise for the host; failures come back as from synchronize. */
    int (*copy)(struct device *device, enum device_queue queue, void *to, const void *from,
                size_t bytes);
    int (*mark)(struct device *device, enum device_queue queue, int mark);
    int (*await)(struct device *device, enum device_queue queue, int mark);
    int (*await_host)(struct device *device, int mark);
    /* Host memory that copies are fastest with (pinned), zeroed; not counted in used_bytes. */
    int (*alloc_host)(struct device *device, size_t bytes, void **memory);
    void (*free_host)(struct device *device, void *memory);
    /* Prints the time that each kernel took since the last call (NULL: forgets it); NULL unless
     * IMGTRAIN_KERNELS=1 was in the environment when a device with kernels was opened. */
    void (*kernel_times)(struct device *device, FILE *to);
    void (*close)(struct device *device);

    /* What tells it, its driver and its libraries from any other, in one line: what was found of
     * one holds for the next of the same identity. Empty: nothing to find out. */
    char identity[320];
    /* Set by who opens a device to be trusted: ERR_DEVICE, saying how, where convolutions by its
     * library, which is open, are wrong; forgets the library's choices. NULL: not to be asked. */
    int (*check_library)(struct device *device);

    /* Where the host does the work: looked at by any of its threads within operations that take
     * long, which then end with ERR_STOPPED and leave parameters and optimiser as they were.
     * NULL: never. */
    bool (*stop_requested)(void);

    const struct splat_ops *splat;
    const struct nn_ops *nn;
    const struct gan_ops *gan;
    const struct token_ops *token; /* NULL: token_check_device */
    struct faults *faults;         /* NULL unless a test asked for some */
};

/* Closes a device that registry/devices.h opened; accepts NULL. */
void device_close(struct device *device);

/* Copies between host and device memory; nothing is copied where both are the same. upload: in
 * order with the operations, `from` must stay until synchronize. send and fetch are over when they
 * return, and so is all that was asked of the device before. */
int device_upload(struct device *device, void *to, const void *from, size_t bytes);
int device_send(struct device *device, void *to, const void *from, size_t bytes);
int device_fetch(struct device *device, void *host, const void *from, size_t bytes);

/* To be called before each training step, from 0: where faults.h takes memory away or lets the step
 * fail (ERR_DEVICE_MEMORY). */
int device_begin_step(struct device *device, int64_t step);
/* To be called with each step's loss: that one, or NaN where faults.h wants it. */
double device_loss_of_step(struct device *device, int64_t step, double loss);

/* For devices: does an allocation of `bytes` keep within limit_bytes (ERR_DEVICE_MEMORY), and what
 * remains of the limit (INT64_MAX without one). */
int device_check_limit(const struct device *device, size_t bytes);
int64_t device_limit_left(const struct device *device);
/* For devices: books an allocation that was made, or given back. */
void device_book(struct device *device, size_t bytes);
void device_unbook(struct device *device, size_t bytes);
void device_book_host(struct device *device, size_t bytes);
void device_unbook_host(struct device *device, size_t bytes);

#endif
