/* One network in training: its graph, and the flat ranges of numbers that go with it. */
#ifndef IMGTRAIN_NN_TRAINED_NET_H
#define IMGTRAIN_NN_TRAINED_NET_H

#include "device/offload_stream.h"
#include "nn/graph.h"

struct device;
struct adam_f32;
struct adam_rates;
struct plan;

/* The ranges of a network that a checkpoint holds. */
enum trained_range {
    TRAINED_PARAMETERS,
    TRAINED_MOMENTS, /* second moments */
    TRAINED_EMA,
    TRAINED_MEANS, /* first moments */
    TRAINED_RANGES
};

/* Each range has net.floats numbers, of the device; those that are offloaded lie beside it, and
 * reach its operations by an offload stream. */
struct trained_net {
    struct net net;
    float *parameters, *gradients;
    float *v;         /* second moments */
    float *m;         /* first moments; NULL: none */
    float *ema;       /* NULL: none */
    double v_missing; /* product of all b2 so far: Adam's correction is 1 - this */
    double m_missing; /* product of all b1 so far */
    bool has[TRAINED_RANGES];
    float *host; /* the host's copies of the ranges that it has, one behind the other; else NULL */
};

/* What a network in training takes besides its passes. */
struct trained_memory {
    bool offload;    /* moments and averages are host-resident */
    bool means;      /* first moments too */
    bool views;      /* copies of all ranges for the host: where it cannot read the device's */
    const char *ema; /* what the plan calls the averaged parameters; NULL: none */
    int first, last; /* phases with gradients: those of an idle network take no memory */
};
/* Declares parameters, gradients, moments and views as NAME.parameters ... */
int trained_net_declare(struct trained_net *network, const char *name,
                        const struct trained_memory *memory, struct plan *plan);
void trained_net_free(struct trained_net *network);

/* The host's view of a range: the device's memory itself where the host can read it. Pull fills the
 * view with the device's numbers; it stays until the next pull of the same range. Push is the way
 * back. Both are over when they return, and so is all that was asked of the device before. */
float *trained_net_view(const struct trained_net *network, enum trained_range range);
int trained_net_pull(const struct trained_net *network, struct device *device,
                     enum trained_range range, float **view);
int trained_net_push(const struct trained_net *network, struct device *device,
                     enum trained_range range);

/* A range as an offload stream carries it; moments with the first ones where there are any. */
struct offload_range trained_net_offload(const struct trained_net *network,
                                         enum trained_range range);
/* Adam on all parameters, with the moments as range `number` of the stream; the numbers of the step
 * are read at `adam` when the operations run. */
int trained_net_update(const struct trained_net *network, struct device *device,
                       struct offload_stream *stream, int number, const struct adam_f32 *adam);
/* ema = beta ema + (1 - beta) parameters, likewise. */
int trained_net_average(const struct trained_net *network, struct device *device,
                        struct offload_stream *stream, int number, const float *beta);
/* Between steps: the average where operations read it. An offloaded one (`staged`: that they do not
 * reach) is copied to where gradients are, which are free then. */
int trained_net_reach_average(const struct trained_net *network, struct device *device, bool staged,
                              const float **average);
/* Counts a step with these rates, and returns the numbers of its Adam. */
struct adam_f32 trained_net_advance(struct trained_net *network, const struct adam_rates *rates);

#endif
