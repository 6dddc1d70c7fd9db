/* The two networks in training: buffers by the memory plan, one D step, one G step, the updates.
 * Knows nothing of files: the pictures and draws of a batch come from a callback. */
#ifndef IMGTRAIN_GAN_CORE_H
#define IMGTRAIN_GAN_CORE_H

#include "device/conveyor.h"
#include "gan/sweep.h"

struct device;
struct plan;

/* A: in the D step the gradients of all layers stay from the adjoint sweep to the second forward
 * sweep, in the G step all values. C: only those where groups of layers end (net.h), and masks;
 * what is inside exists for a part of the pictures at a time and is made again: a quarter of the
 * memory or less, a fifth slower at most, the same bits. */
enum gan_scheme { GAN_SCHEME_A, GAN_SCHEME_C };

struct gan_choices {
    int batch; /* pairs of a real and a fake picture in a step */
    int micro; /* pairs at a time; a multiple of gan_slice(), or the whole batch */
    enum gan_scheme scheme;
    bool amp; /* mixed precision: see net_mix_precision; the only one that changes the results */
    bool offload; /* second moments and EMA beside the device */
};

/* What the callback fills in for `n` pairs, from pair `first` of the batch on: host memory. */
struct gan_inputs {
    int first, n;
    uint8_t *pixels; /* [n][h][w][c] */
    uint8_t *flips;  /* [n]: not 0 = the real is shown mirrored */
    float *z;        /* row i begins at z + i * z_stride */
    int z_count, z_stride;
    int *labels;                                /* [n], of the real and of the fake */
    struct nn_augment *real_draws, *fake_draws; /* [n] */
};

/* What a micro-batch needs from the host, one behind the other in one block: one copy brings it to
 * the device. One is the device's, one for each step the host's; all the same memory where the
 * device is the host. */
struct gan_block {
    double *gamma;
    struct nn_augment *real_draws, *fake_draws; /* [micro] */
    struct nn_augment *pair_draws;              /* [2 micro] as D sees them */
    int *labels, *pair_labels;                  /* [micro], [2 micro] */
    uint8_t *flips, *pixels;                    /* [micro], [micro] pictures */
};

enum gan_which { GAN_D, GAN_G };
typedef int gan_fill(void *context, enum gan_which step, struct gan_inputs *inputs);

/* Means over the batch of one step. */
struct gan_report {
    double loss;   /* adversarial */
    double r1, r2; /* |gradient|^2 at reals and fakes (D step) */
    double score_real, score_fake;
    double sign;      /* mean sign(D(x) - D(G(z))) */
    double units;     /* forward units of D for each of its pictures */
    double invariant; /* largest relative error of the penalty's identity */
};

/* Parameters, gradients and the optimiser's second moment of one network. */
struct gan_network {
    struct net net;
    float *parameters, *gradients, *v;
    double v_missing; /* product of all b2 so far: Adam's correction is 1 - this */
};

/* What the belt carries, in the order of a step. */
enum { GAN_BELT_D, GAN_BELT_G, GAN_BELT_EMA, GAN_BELT_RANGES };

struct gan_core {
    struct device *device;
    const struct nn_ops *ops;
    struct net_design design;
    struct gan_choices choices;
    int h, w, c, slice;
    struct gan_network g, d;
    float *ema;           /* of g's parameters */
    struct conveyor belt; /* brings second moments and EMA to the operations, wherever they are */
    void *window;         /* of the belt */
    size_t window_bytes;

    /* the uses of the networks within a step */
    struct sweep g_make, d_first, d_second, g_learn, d_judge, g_back;
    struct gan_inputs inputs;
    char *block_memory, *host_memory[2]; /* host: only beside a device with memory of its own */
    struct gan_block block, host[2];     /* host: of the D step, of the G step */
    float *host_z[2];                    /* [micro] rows of G's input */
    float *host_states;                  /* all ranges of a checkpoint */
    bool in_flight[2];                   /* a copy from host[i] or host_z[i] may not be done */
    float *real;                         /* [micro] pictures */
    float *factors;                      /* [2 micro] */
    double *squares;                     /* [2 micro] */
    float *scores;                       /* [2 micro] */
    double *d_sums, *g_sums;             /* [NN_SUMS] of a step */
    float *pulled, *pushed;              /* T' v and T T' v, [2 micro] pictures */
};

/* Pairs that are summed as one, whatever the micro-batch: by the picture's size alone. */
int gan_slice(int h, int w);

/* Builds both networks and declares every buffer in `plan`. The core must stay where it is. */
int gan_core_declare(struct gan_core *core, const struct net_design *design,
                     const struct gan_choices *choices, struct device *device, struct plan *plan);
/* After plan_commit: connects the sweeps. */
void gan_core_connect(struct gan_core *core);
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

/* Leaves the gradients in d.gradients / g.gradients, which are the same memory. gamma: weight of
 * the penalty. report may be NULL: nothing waits for the device then, and gan_reports tells it
 * later. Errors are the callback's and the device's. */
int gan_d_step(struct gan_core *core, gan_fill *fill, void *context, double gamma,
               struct gan_report *report);
int gan_g_step(struct gan_core *core, gan_fill *fill, void *context, struct gan_report *report);
/* The reports of the last D and the last G step; NULL: not wanted. */
int gan_reports(struct gan_core *core, struct gan_report *d, struct gan_report *g);

/* Adam (b1 = 0) on one network, the gradients of which come from its step; advances v_missing. */
int gan_update(struct gan_core *core, struct gan_network *network, double lr, double b2);
/* EMA of G's parameters; the last thing in a step. */
int gan_average(struct gan_core *core, double beta);

/* Between steps: pictures of latents (rows of design.z floats) made with `parameters` (of the
 * device) into out [n][h][w][c]; and D's scores of pictures. All else is host memory; labels NULL
 * without classes. */
int gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                 int n, float *out);
int gan_judge(struct gan_core *core, const uint8_t *const *pictures, const int *labels, int n,
              float *scores);

#endif
