/* Work that is asked for again and again, as a CUDA graph: one launch in place of hundreds. */
#include "cuda/cuda_device.h"

static cudaGraphExec_t cuda_graph_cuda_executable(struct device_graph *graph)
{
    return (cudaGraphExec_t)graph;
}

/* Errors from before belong to no graph. */
static int graph_begin(struct device *device)
{
    TRY(cuda_take_error());
    cuda_check(cudaStreamBeginCapture(cuda_stream(device), cudaStreamCaptureModeThreadLocal));
    cuda_clock_capture(true);
    return OK;
}

static int graph_end(struct device *device, struct device_graph **out)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    *out = NULL;
    cuda_clock_capture(false);
    cudaError_t ended = cudaStreamEndCapture(cuda_stream(device), &graph);
    int code = cuda_take_error(); /* of a launch: nearer to the cause */
    if (code == OK) code = cuda_result(ended, "cudaStreamEndCapture");
    if (code == OK)
        code = cuda_result(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
    if (graph) cudaGraphDestroy(graph);
    if (code < 0) cudaGetLastError(); /* the device is as good as before */
    if (code == OK) *out = (struct device_graph *)exec;
    if (code == OK && cuda_clock_on) cuda_clock_keep(*out);
    return code;
}

static int graph_launch(struct device *device, struct device_graph *graph)
{
    cuda_check(cudaGraphLaunch(cuda_graph_cuda_executable(graph), cuda_stream(device)));
    if (cuda_clock_on) cuda_clock_launched(graph, cuda_stream(device));
    return OK;
}

/* A graph that still runs is freed when it ends. */
static void graph_free(struct device *device, struct device_graph *graph)
{
    (void)device;
    if (!graph) return;
    cuda_keep_error(cudaGraphExecDestroy(cuda_graph_cuda_executable(graph)),
                    "cudaGraphExecDestroy");
    cuda_clock_drop(graph);
}

void cuda_install_graphs(struct device *device)
{
    device->graph_begin = graph_begin;
    device->graph_end = graph_end;
    device->graph_launch = graph_launch;
    device->graph_free = graph_free;
}
