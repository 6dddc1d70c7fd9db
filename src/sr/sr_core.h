/* The network in training: buffers by the memory plan, one step, the update. Knows nothing of
 * files: the patches of a batch come from a callback. */
#ifndef IMGTRAIN_SR_SR_CORE_H
#define IMGTRAIN_SR_SR_CORE_H

#include "device/nn_ops.h"
#include "math/optimiser.h"
#include "nn/stepper.h"
#include "nn/trained_net.h"
#include "sr/sr_losses.h"
#include "sr/tiles.h"

struct device;
struct plan;

struct sr_mode {
    int batch;          /* patches of a step */
    int micro;          /* patches at a time */
    int lq_size;        /* pixels of a patch's side, in LQ */
    bool mixed;         /* bf16 between the first and the last convolution: changes the result */
    bool checkpointing; /* groups of layers are made again in the backward pass */
    bool offload;       /* moments and EMA are host-resident */
};

/* What schedules say of a step. */
struct sr_rates {
    struct adam_rates adam;
    double ema;
    struct adam_rates d;  /* of the discriminator */
    bool generator_rests; /* the discriminator learns alone */
};

/* Fills patches first .. first + n - 1 of the step's batch: lq [n][side][side][3] and gt, scale
 * times as large: host memory, 0..1. */
typedef int sr_fill(void *context, int first, int n, float *lq, float *gt);

/* What a step gets from the host; a device with memory of its own gets it in one copy. */
struct sr_inputs {
    char *memory;
    struct sr_numbers *numbers;
    float *lq, *gt; /* [span] patches: of a micro-batch, or (ahead) of the batch; behind those of
                       gt their other form, if there is one: sr_core_other */
};
struct sr_numbers {
    struct adam_f32 adam, d;
    float ema;
};

/* What the offload stream carries, in the order of a step. */
enum { SR_OFFLOAD_MOMENTS, SR_OFFLOAD_EMA, SR_OFFLOAD_D, SR_OFFLOAD_RANGES };

struct sr_core {
    struct device *device;
    struct sr_design design;
    struct sr_mode mode;
    struct trained_net net;
    struct network_pass learn, back;    /* the two passes of a step */
    float *derived, *derived_gradients; /* of a network that has such weights: nn/passes.h */
    struct sr_losses losses;
    struct sr_gan gan;     /* where the losses' choices have one */
    bool generator_rests;  /* in the present step */
    struct sr_tiles tiles; /* the averaged network on whole images, between steps */
    struct stepper stepper;
    bool ahead;              /* the device has memory of its own */
    int span;                /* patches whose inputs are there at a time */
    struct sr_inputs inputs; /* the device's */
    struct sr_inputs host[2];
    char *inputs_memory;
    void *workspace;
    sr_fill *fill; /* of the present step */
    void *fill_context;
};

static inline bool sr_core_has_gan(const struct sr_core *core)
{
    return core->losses.choices.gan.design.features > 0;
}

/* Behind the targets `gt` that a fill is asked for: where their other form goes, sharpened or not,
 * which the discriminator or VGG19 sees in their place. NULL: nobody does. */
float *sr_core_other(const struct sr_core *core, float *gt);

/* Layers that activation checkpointing makes again together: two convolutions and what follows. */
enum { SR_GROUP = 4 };

/* Builds the network in an empty core and declares every buffer in `plan`. The core must stay where
 * it is; sr_core_close takes it in any case. */
int sr_core_declare(struct sr_core *core, const struct sr_design *design,
                    const struct sr_loss_choices *choices, const struct sr_mode *mode,
                    struct device *device, struct plan *plan);
void sr_core_close(struct sr_core *core);
/* After plan_commit: connects the passes. */
void sr_core_connect(struct sr_core *core);
/* What passes look at before every layer; NULL: they are not stopped. */
void sr_core_listen(struct sr_core *core, bool (*stop_requested)(void));

/* First weights; EMA = they. */
int sr_core_initialise(struct sr_core *core, uint64_t seed);
/* What the host has written of parameters and averages is what the device begins with. */
int sr_core_begin(struct sr_core *core);

/* One step: forward, loss, backward, AdamW, EMA. The device may still be at it when this returns. A
 * step that fails has changed nothing where the device is the host. */
int sr_train_step(struct sr_core *core, const struct sr_rates *rates, sr_fill *fill, void *context);
/* The report of the last step (back 0) or of the one before it (back 1), when it is done. */
int sr_core_report(struct sr_core *core, int back, struct sr_report *report);

/* Between steps: the averaged network on a part of an image (sr_tiles_enlarge). */
int sr_core_enlarge(struct sr_core *core, const struct sr_rows *in, int x, int y, int w, int h,
                    float *out, bool (*stop_requested)(void));

#endif
