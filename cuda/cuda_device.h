/* A CUDA device as the files of cuda/ see it. */
#ifndef IMGTRAIN_CUDA_DEVICE_H
#define IMGTRAIN_CUDA_DEVICE_H

#include "cuda/launch.h"

/* Bytes of workspace for the partial sums of reductions, on the device and in pinned host memory.
 */
enum { CUDA_WORKSPACE_BYTES = 64 << 10 };
/* Bytes of partial sums that stay on the device. */
enum { CUDA_PARTIALS = 4 << 20 };

struct cuda_device {
    struct device base;
    cudaStream_t stream;                /* all work goes through it, in order */
    cudaStream_t queues[DEVICE_QUEUES]; /* [QUEUE_WORK]: stream */
    cudaEvent_t marks[DEVICE_MARKS];
    int ordinal, multiprocessors, capability; /* capability: 75, 90, ... */
    size_t shared_bytes_most;                 /* what a block may have when it asks for it */
    void *workspace, *workspace_host;         /* CUDA_WORKSPACE_BYTES bytes each */
    void *partials;                           /* CUDA_PARTIALS bytes */
};

/* The device that an operation of its tables was handed. */
static inline struct cuda_device *cuda_of(struct device *device)
{
    return (struct cuda_device *)device;
}

static inline cudaStream_t cuda_stream(struct device *device)
{
    return cuda_of(device)->stream;
}

/* Can this GPU run what the build holds? Looks at one kernel (ceilings.cu); all are built alike. */
cudaError_t cuda_find_code(void);

/* Copies the workspace to workspace_host and waits. */
int cuda_fetch_scratch(struct cuda_device *device, size_t bytes);

void cuda_install_graphs(struct device *device); /* graph_cuda.cu */

/* The time of each kernel (kernel_clock.cu), where IMGTRAIN_KERNELS=1 asks for it when the device
 * is opened; of the graphs that are captured, kept, launched and dropped too. */
void cuda_clock_open(struct device *device);
void cuda_clock_close(struct device *device);
void cuda_clock_capture(bool begins);
void cuda_clock_keep(struct device_graph *graph);
void cuda_clock_launched(struct device_graph *graph, cudaStream_t stream);
void cuda_clock_drop(struct device_graph *graph);

#endif
