#include "nn/trained_net.h"

#include "base/error.h"
#include "device/device.h"
#include "math/optimiser.h"
#include "memory/plan.h"

#include <stdio.h>

/* How many of the ranges that the network has come before this one. */
static size_t ranges_before(const struct trained_net *network, enum trained_range range)
{
    size_t count = 0;
    for (int i = 0; i < (int)range; i++)
        count += network->has[i];
    return count;
}

int trained_net_declare(struct trained_net *network, const char *name,
                        const struct trained_memory *memory, struct plan *plan)
{
    enum plan_kind moments = memory->offload ? PLAN_OFFLOAD : PLAN_OPTIMISER;
    const struct {
        const char *name;
        enum plan_kind kind;
        int first, last;
        float **slot;
    } ranges[] = {
        {"parameters", PLAN_PARAMETERS, PLAN_ALWAYS, &network->parameters},
        {"gradients", PLAN_GRADIENTS, memory->first, memory->last, &network->gradients},
        {"optimiser", moments, PLAN_ALWAYS, &network->v},
        {"means", moments, PLAN_ALWAYS, memory->means ? &network->m : NULL},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (!ranges[i].slot) continue;
        char label[32];
        snprintf(label, sizeof label, "%s.%s", name, ranges[i].name);
        TRY(plan_declare(plan, label, ranges[i].kind, network->net.floats * sizeof(float),
                         ranges[i].first, ranges[i].last, (void **)ranges[i].slot));
    }
    network->has[TRAINED_PARAMETERS] = network->has[TRAINED_MOMENTS] = true;
    network->has[TRAINED_MEANS] = memory->means;
    network->has[TRAINED_EMA] = memory->ema != NULL;
    network->v_missing = network->m_missing = 1;
    if (memory->ema)
        TRY(plan_declare(plan, memory->ema, memory->offload ? PLAN_OFFLOAD : PLAN_EMA,
                         network->net.floats * sizeof(float), PLAN_ALWAYS, (void **)&network->ema));
    if (!memory->views) return OK;
    char label[32];
    snprintf(label, sizeof label, "%s.states.host", name);
    return plan_declare(plan, label, PLAN_HOST,
                        ranges_before(network, TRAINED_RANGES) * network->net.floats *
                            sizeof(float),
                        PLAN_ALWAYS, (void **)&network->host);
}

void trained_net_free(struct trained_net *network)
{
    net_free(&network->net);
}

static float *trained_net_range(const struct trained_net *network, enum trained_range range)
{
    float *const ranges[TRAINED_RANGES] = {network->parameters, network->v, network->ema,
                                           network->m};
    return ranges[range];
}

float *trained_net_view(const struct trained_net *network, enum trained_range range)
{
    return network->host ? network->host + ranges_before(network, range) * network->net.floats
                         : trained_net_range(network, range);
}

int trained_net_pull(const struct trained_net *network, struct device *device,
                     enum trained_range range, float **view)
{
    *view = trained_net_view(network, range);
    return device_fetch(device, *view, trained_net_range(network, range),
                        network->net.floats * sizeof(float));
}

int trained_net_push(const struct trained_net *network, struct device *device,
                     enum trained_range range)
{
    return device_send(device, trained_net_range(network, range), trained_net_view(network, range),
                       network->net.floats * sizeof(float));
}

struct offload_range trained_net_offload(const struct trained_net *network,
                                         enum trained_range range)
{
    struct offload_range all = {.array_count = 1, .rows = network->net.floats};
    all.arrays[0].host = trained_net_range(network, range);
    all.arrays[0].row = sizeof(float);
    if (range != TRAINED_MOMENTS || !network->m) return all;
    all.arrays[1] = (struct offload_array){.host = network->m, .row = sizeof(float)};
    all.array_count = 2;
    return all;
}

int trained_net_update(const struct trained_net *network, struct device *device,
                       struct offload_stream *stream, int number, const struct adam_f32 *adam)
{
    struct offload_chunk v;
    TRY(offload_stream_start(stream, number));
    for (;;) {
        TRY(offload_stream_acquire(stream, &v));
        if (v.rows == 0) return OK;
        TRY(device->nn->adam(device, network->parameters + v.first, network->m ? v.at[1] : NULL,
                             v.at[0], network->gradients + v.first, v.rows, adam));
    }
}

int trained_net_average(const struct trained_net *network, struct device *device,
                        struct offload_stream *stream, int number, const float *beta)
{
    struct offload_chunk ema;
    TRY(offload_stream_start(stream, number));
    for (;;) {
        TRY(offload_stream_acquire(stream, &ema));
        if (ema.rows == 0) return OK;
        TRY(device->nn->ema(device, ema.at[0], network->parameters + ema.first, ema.rows, beta));
    }
}

int trained_net_reach_average(const struct trained_net *network, struct device *device, bool staged,
                              const float **average)
{
    *average = staged ? network->gradients : network->ema;
    return staged ? device_upload(device, network->gradients, network->ema,
                                  network->net.floats * sizeof(float))
                  : OK;
}

struct adam_f32 trained_net_advance(struct trained_net *network, const struct adam_rates *rates)
{
    network->v_missing *= rates->b2;
    network->m_missing *= rates->b1;
    return adam_of_network(rates, network->m_missing, network->v_missing);
}
