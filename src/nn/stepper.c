#include "nn/stepper.h"

#include "base/error.h"
#include "base/log.h"
#include "device/device.h"

/* Marks (device.h) behind the steps of each turn. */
enum { MARK_STEP = DEVICE_MARKS - 2 };

int stepper_await(const struct stepper *s, int turn)
{
    struct device *device = s->device;
    return device->await_host ? device->await_host(device, MARK_STEP + turn) : OK;
}

/* Keeps a step as a graph while its operations are asked for; they run when it is launched. */
static int stepper_capture(struct stepper *s, int (*queue)(void *context), void *context)
{
    struct device *device = s->device;
    TRY(device->graph_begin(device));
    int asked = queue(context), ended = device->graph_end(device, &s->graph);
    if (asked == OK) return ended;
    device->graph_free(device, s->graph);
    s->graph = NULL;
    return asked;
}

/* The first step is done without a graph: what is loaded or measured when an operation is used for
 * the first time cannot be captured. */
int stepper_run(struct stepper *s, int (*queue)(void *context), void *context)
{
    struct device *device = s->device;
    if (device->graph_begin && s->warm && !s->graph && !s->no_graph) {
        s->no_graph = stepper_capture(s, queue, context) < 0;
        if (s->no_graph) log_warning("steps go on without a graph: %s", error_message());
    }
    s->warm = true;
    return s->graph ? device->graph_launch(device, s->graph) : queue(context);
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
    if (s->graph) device->graph_free(device, s->graph);
    s->graph = NULL;
    return code;
}
