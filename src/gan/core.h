/* The two networks in training: buffers by the memory plan, one D step, one G step, the updates.
 * Knows nothing of files: the pictures and draws of a batch come from a callback. */
#ifndef IMGTRAIN_GAN_CORE_H
#define IMGTRAIN_GAN_CORE_H

#include "device/gan_ops.h"
#include "device/offload_stream.h"
#include "gan/inputs.h"
#include "nn/passes.h"

struct device;
struct device_graph;
struct plan;

/* A: in the D step the gradients of all layers stay from the backward pass to the second forward
 * pass, in the G step all values. C: only those where groups of layers end (graph.h), and masks;
 * what is inside exists for a part of the pictures at a time and is made again: a quarter of the
 * memory or less, a fifth slower at most, the same bits. */
enum gan_scheme { GAN_SCHEME_A, GAN_SCHEME_C };

struct gan_mode {
    int batch; /* pairs of a real and a fake picture in a step */
    int micro; /* pairs at a time; a multiple of gan_slice(), or the whole batch */
    enum gan_scheme scheme;
    bool amp; /* mixed precision: see net_mix_precision; the only one that changes the results */
    bool offload;         /* second moments and EMA are host-resident */
    bool conv_library;    /* device/conv_library.h is open, */
    size_t workspace_cap; /* and its engines may have a workspace of this size */
};

/* Means over the batch of one step. */
struct gan_report {
    double loss;   /* adversarial */
    double r1, r2; /* |gradient|^2 at reals and fakes (D step) */
    double score_real, score_fake;
    double sign;      /* mean sign(D(x) - D(G(z))) */
    double units;     /* forward units of D for each of its pictures */
    double invariant; /* largest relative error of the penalty's identity */
};

/* A step that was stopped between its updates: D has had its own, G not yet. What the report says
 * of D's part. */
struct gan_half {
    bool done;
    double sums[GAN_SUMS], macs;
};

/* Parameters, gradients and the optimiser's second moment of one network. */
struct gan_network {
    struct net net;
    float *parameters, *gradients, *v;
    double v_missing; /* product of all b2 so far: Adam's correction is 1 - this */
};

/* What the offload stream carries, in the order of a step. */
enum { GAN_OFFLOAD_D, GAN_OFFLOAD_G, GAN_OFFLOAD_EMA, GAN_OFFLOAD_RANGES };

struct gan_core {
    bool (*stop_requested)(void); /* gan_core_listen */
    struct gan_half *half; /* borrowed, kept by the caller from step to step; NULL: likewise */
    struct device *device;
    const struct nn_ops *ops;
    struct net_design design;
    struct gan_mode choices;
    int h, w, c, slice;
    struct gan_network g, d;
    float *ema; /* of g's parameters */
    struct offload_stream
        offload;   /* brings second moments and EMA to the operations, wherever they are */
    void *staging; /* of the offload stream */
    size_t staging_bytes;

    /* the uses of the networks within a step */
    struct network_pass g_make, d_first, d_second, g_learn, d_score, g_back;
    bool ahead;                    /* the device has memory of its own: see gan_step_inputs */
    struct gan_step_inputs inputs; /* the device's */
    struct gan_step_inputs
        host[2]; /* the host's, by turns: one is filled while the other is copied */
    char *inputs_memory, *host_memory[2];
    struct gan_block at; /* the present micro-batch of the device's, */
    int n;               /* of so many pairs */
    gan_fill *fill;      /* of the present step */
    void *fill_context;
    int turn;                   /* of the next step: which of the host's */
    struct device_graph *graph; /* the whole step; NULL: not yet, or there are none */
    bool warm;                  /* a step was done without one */
    bool no_graph;              /* making one failed */
    float *host_states;         /* all ranges of a checkpoint */
    float *real;                /* [micro] pictures */
    float *factors;             /* [2 micro] */
    double *squares;            /* [2 micro] */
    float *scores;              /* [2 micro] */
    double *sums[2];            /* [GAN_SUMS] of a D step, and right behind it of a G step */
    double *host_sums[2];       /* both, of the last two steps */
    float *pulled, *pushed;     /* T' v and T T' v, [2 micro] pictures */
};

/* Pairs that are summed as one, whatever the micro-batch: by the picture's size alone. */
int gan_slice(int h, int w);

/* Pairs whose inputs are there at a time; floats of a row of G's input and of a picture. */
static inline int gan_span(const struct gan_core *core)
{
    return core->ahead ? core->choices.batch : core->choices.micro;
}

static inline int gan_z_stride(const struct gan_core *core)
{
    return core->design.z + core->design.embedding;
}

static inline size_t gan_picture_floats(const struct gan_core *core)
{
    return (size_t)(core->h * core->w * core->c);
}

/* Builds both networks and declares every buffer in `plan`. The core must stay where it is. */
int gan_core_declare(struct gan_core *core, const struct net_design *design,
                     const struct gan_mode *choices, struct device *device, struct plan *plan);
/* After plan_commit: connects the passes. */
void gan_core_connect(struct gan_core *core);
/* What passes look at before every layer, from now on; NULL: they are not stopped. */
void gan_core_listen(struct gan_core *core, bool (*stop_requested)(void));
/* Lets the convolutions' library learn what it does not know yet, by a trial of both steps:
 * parameters and optimiser stay as they are, all else is overwritten. known: what a checkpoint
 * says; may be NULL. stop: polled; may be NULL. */
int gan_core_autotune(struct gan_core *core, const char *known, bool (*stop)(void));
/* First weights; EMA = G. */
int gan_core_initialise(struct gan_core *core, uint64_t seed);

/* The ranges that a checkpoint holds. A view is the host's copy of one: the device's memory itself
 * where the host can read it. Pull fills the view with the device's numbers; it stays until the
 * next pull of the same range. Push is the way back. */
enum gan_range {
    GAN_RANGE_G,
    GAN_RANGE_D,
    GAN_RANGE_G_V,
    GAN_RANGE_D_V,
    GAN_RANGE_EMA,
    GAN_RANGES
};
int gan_core_pull(struct gan_core *core, enum gan_range range, float **view);
float *gan_core_view(struct gan_core *core, enum gan_range range);
int gan_core_push(struct gan_core *core, enum gan_range range);

/* Copies that are over when they return, and so is all that was asked of the device before. */
int gan_core_fetch(struct gan_core *core, void *host, const void *device, size_t bytes);
int gan_core_send(struct gan_core *core, void *device, const void *host, size_t bytes);

/* One step of training: D step, Adam on D, G step, Adam on G, EMA. The device may still be at it
 * when this returns, and at the step before: gan_report waits. Its inputs are asked for before that
 * (fill), so they cannot depend on the last step's report where the device works ahead. Errors are
 * the callback's and the device's. */
int gan_train_step(struct gan_core *core, const struct gan_rates *rates, gan_fill *fill,
                   void *context);
/* The report of the last step (back 0) or of the one before it (back 1), when it is done; d, g
 * NULL: not wanted. */
int gan_report(struct gan_core *core, int back, struct gan_report *d, struct gan_report *g);

/* A D step or a G step alone, without updates: leaves the gradients in d.gradients or g.gradients,
 * which are the same memory. */
int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report);
int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report);

/* Waits for all steps, and forgets the graph: before buffers move or go. */
int gan_core_rest(struct gan_core *core);

/* Between steps: pictures of latents (rows of design.z floats) made with `parameters` (of the
 * device) into out [n][h][w][c]; and D's scores of pictures. All else is host memory; labels NULL
 * without classes. */
int gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                 int n, float *out);
int gan_score(struct gan_core *core, const uint8_t *const *pictures, const int *labels, int n,
              float *scores);

#endif
