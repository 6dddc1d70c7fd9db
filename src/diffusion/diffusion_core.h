/* The network in training: buffers by the memory plan, one step, the update, and what it says
 * between steps. Knows nothing of files: the samples of a batch come from a callback. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_CORE_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_CORE_H

#include "diffusion/diffusion_data.h"
#include "diffusion/diffusion_network.h"
#include "math/optimiser.h"
#include "nn/stepper.h"
#include "nn/trained_net.h"

struct device;
struct plan;

struct diffusion_mode {
    int batch;          /* images of a step */
    int micro;          /* images at a time */
    bool checkpointing; /* blocks are made again in the backward pass */
    bool halves;        /* what blocks keep is bf16: other bits */
    bool offload;       /* moments and EMA are host-resident */
};

/* Fills samples first .. first + n - 1 of the step's batch: host memory. */
typedef int diffusion_fill(void *context, int first, int n, const struct diffusion_samples *out);

/* What a step gets from the host; a device with memory of its own gets it in one copy. */
struct diffusion_inputs {
    char *memory;
    struct diffusion_numbers *numbers;
    struct diffusion_samples samples; /* [span]: of a micro-batch, or (ahead) of the batch */
    float *time;                      /* [span][S3DIT_TIME_FEATURES] */
};
struct diffusion_numbers {
    struct adam_f32 matrices, others; /* which differ in their decay */
    float ema;
};

/* What the offload stream carries, in the order of a step. */
enum { DIFFUSION_OFFLOAD_MOMENTS, DIFFUSION_OFFLOAD_EMA, DIFFUSION_OFFLOAD_RANGES };

/* The report of a step. */
struct diffusion_report {
    double loss;      /* mean of (velocity - what it should be)^2 */
    double grad_norm; /* before it is clipped; 0 where nothing is */
};

struct diffusion_core {
    struct device *device;
    struct diffusion_design design;
    struct diffusion_mode mode;
    double clip;
    struct trained_net net;
    struct diffusion_network network; /* its passes */
    struct stepper stepper;
    bool ahead;                     /* the device has memory of its own */
    int phases;                     /* of a step */
    int span;                       /* samples whose inputs are there at a time */
    struct diffusion_inputs inputs; /* the device's */
    struct diffusion_inputs host[2];
    char *inputs_memory;
    float *out, *gradient; /* [micro] images: what the network says; of the loss */
    double *sums;
    diffusion_fill *fill; /* of the present step */
    void *fill_context;
    bool (*stop_requested)(void); /* looked at before each block; NULL: never */
};

/* Builds the network in an empty core and declares every buffer in `plan`. The core must stay where
 * it is; diffusion_core_close takes it in any case. */
int diffusion_core_declare(struct diffusion_core *core, const struct diffusion_design *design,
                           const struct diffusion_mode *mode, double clip, struct device *device,
                           struct plan *plan);
void diffusion_core_close(struct diffusion_core *core);
/* After plan_commit. */
int diffusion_core_connect(struct diffusion_core *core);

/* First weights; EMA = they. */
int diffusion_core_initialise(struct diffusion_core *core, uint64_t seed);

/* One step: forward, loss, backward, AdamW, EMA. The device may still be at it when this returns. A
 * step that fails has changed nothing where the device is the host. */
int diffusion_train_step(struct diffusion_core *core, const struct diffusion_rates *rates,
                         diffusion_fill *fill, void *context);
/* The report of the last step (back 0) or of the one before it (back 1), when it is done. */
int diffusion_core_report(struct diffusion_core *core, int back, struct diffusion_report *report);

/* Between steps: what the averaged network says to `n` images with noise, at most `micro`; host
 * memory, of which the caller has filled the core's own samples (diffusion_core_samples). */
struct diffusion_samples diffusion_core_samples(const struct diffusion_core *core);
int diffusion_core_predict(struct diffusion_core *core, int n, float *out);

#endif
