#include "nn/stepper.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "memory/plan.h"

/* Marks (device.h) behind the steps of each turn, and behind inputs that have arrived, and that
 * were taken from there. */
enum { MARK_STEP = DEVICE_MARKS - 2, MARK_ARRIVED = MARK_STEP - 2, MARK_TAKEN };

int stepper_await(const struct stepper *s, int turn)
{
    struct device *device = s->device;
    return device->await_host ? device->await_host(device, MARK_STEP + turn) : OK;
}

int stepper_declare_arrival(struct stepper *s, const char *name, size_t bytes, bool tight,
                            struct plan *plan)
{
    if (s->device->is_host || !s->device->copy || tight) return OK;
    return plan_declare(plan, name, PLAN_DATA, bytes, PLAN_ALWAYS, &s->arrival);
}

int stepper_declare_host(struct stepper *s, size_t input_bytes, int sum_count, struct plan *plan)
{
    for (int i = 0; !s->device->is_host && i < 2; i++) {
        TRY(plan_declare(plan, i ? "odd.inputs.host" : "even.inputs.host", PLAN_HOST, input_bytes,
                         PLAN_ALWAYS, (void **)&s->host_inputs[i]));
        TRY(plan_declare(plan, i ? "odd.sums.host" : "even.sums.host", PLAN_HOST,
                         (size_t)sum_count * sizeof(double), PLAN_ALWAYS,
                         (void **)&s->host_sums[i]));
    }
    return OK;
}

int stepper_declare_offload(struct stepper *s, const struct offload_range *ranges, int count,
                            struct plan *plan)
{
    s->staging_bytes = offload_stream_staging_bytes(s->device, ranges, count);
    return plan_declare(plan, "offload.window", PLAN_WORKSPACE, s->staging_bytes, PLAN_ALWAYS,
                        &s->staging);
}

void stepper_connect(struct stepper *s, char *inputs, double *sums, int sum_count,
                     const struct offload_range *ranges, int count)
{
    s->sums = sums;
    s->sum_count = sum_count;
    for (int i = 0; s->device->is_host && i < 2; i++) {
        s->host_inputs[i] = inputs;
        s->host_sums[i] = sums;
    }
    offload_stream_describe(&s->offload, s->device, s->staging, s->staging_bytes, ranges, count);
}

/* Outside of graphs, as these would have to name the host's turn. */
int stepper_send(struct stepper *s, void *to, const void *from, size_t bytes)
{
    struct device *device = s->device;
    if (!s->arrival) return device_upload(device, to, from, bytes);
    if (!s->sent)
        TRY(device->mark(device, QUEUE_WORK, MARK_TAKEN)); /* behind what made the memory */
    s->sent = true;
    TRY(device->await(device, QUEUE_IN, MARK_TAKEN));
    TRY(device->copy(device, QUEUE_IN, s->arrival, from, bytes));
    TRY(device->mark(device, QUEUE_IN, MARK_ARRIVED));
    TRY(device->await(device, QUEUE_WORK, MARK_ARRIVED));
    TRY(device->nn->copy(device, to, s->arrival, bytes));
    return device->mark(device, QUEUE_WORK, MARK_TAKEN);
}

/* Keeps a step as a graph while its operations are asked for; they run when it is launched. */
static int stepper_capture(struct stepper *s, int (*queue)(void *context), void *context)
{
    struct device *device = s->device;
    struct device_graph **graph = &s->graph[s->kind];
    TRY(device->graph_begin(device));
    int asked = queue(context), ended = device->graph_end(device, graph);
    if (asked == OK) return ended;
    device->graph_free(device, *graph);
    *graph = NULL;
    return asked;
}

/* The first step of a kind is done without a graph: what is loaded or measured when an operation is
 * used for the first time cannot be captured. */
int stepper_run(struct stepper *s, int (*queue)(void *context), void *context)
{
    struct device *device = s->device;
    bool *warm = &s->warm[s->kind];
    if (device->graph_begin && *warm && !s->graph[s->kind] && !s->no_graph) {
        s->no_graph = stepper_capture(s, queue, context) < 0;
        if (s->no_graph) log_warning("steps go on without a graph: %s", error_message());
    }
    *warm = true;
    struct device_graph *graph = s->graph[s->kind];
    return graph ? device->graph_launch(device, graph) : queue(context);
}

int stepper_end(struct stepper *s)
{
    struct device *device = s->device;
    double *to = s->host_sums[s->turn];
    if (to != s->sums)
        TRY(device->download(device, to, s->sums, (size_t)s->sum_count * sizeof *to));
    if (device->mark) TRY(device->mark(device, QUEUE_WORK, MARK_STEP + s->turn));
    s->turn = 1 - s->turn;
    return OK;
}

int stepper_sums(const struct stepper *s, int back, const double **sums)
{
    int turn = back ? s->turn : 1 - s->turn;
    *sums = s->host_sums[turn];
    return stepper_await(s, turn);
}

int stepper_rest(struct stepper *s)
{
    struct device *device = s->device;
    if (!device) return OK;
    int code = device->synchronize(device);
    s->sent = false;
    for (int kind = 0; kind < STEPPER_KINDS; kind++) {
        if (s->graph[kind]) device->graph_free(device, s->graph[kind]);
        s->graph[kind] = NULL;
    }
    return code;
}
