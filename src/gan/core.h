/* The two networks in training: buffers by the memory plan, one D step, one G step, the updates.
 * Knows nothing of files: the images and draws of a batch come from a callback. */
#ifndef IMGTRAIN_GAN_CORE_H
#define IMGTRAIN_GAN_CORE_H

#include "device/gan_ops.h"
#include "gan/inputs.h"
#include "gan/networks.h"
#include "nn/passes.h"
#include "nn/stepper.h"
#include "nn/trained_net.h"

struct device;
struct plan;

/* Activation checkpointing. None: in the D step the gradients of all layers stay from the backward
 * pass to the tangent pass, in the G step all values. Block: only those where checkpoint segments
 * end (graph.h), and masks; what is inside exists for a part of the images at a time and is made
 * again: a quarter of the memory or less, a fifth slower at most, the same bits. */
enum gan_scheme { GAN_SCHEME_NONE, GAN_SCHEME_BLOCK };

struct gan_mode {
    int batch; /* pairs of a real and a fake image in a step */
    int micro; /* pairs at a time; a multiple of gan_chunk(), or the whole batch */
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
    double units;     /* forward units of D for each of its images */
    double invariant; /* largest relative error of the penalty's identity */
};

/* A step that was stopped between its updates: D has had its own, G not yet. What the report says
 * of D's part. */
struct gan_half {
    bool done;
    double sums[GAN_SUMS], macs;
};

/* What the offload stream carries, in the order of a step. */
enum { GAN_OFFLOAD_D, GAN_OFFLOAD_G, GAN_OFFLOAD_EMA, GAN_OFFLOAD_RANGES };

/* A D step, pass by pass (rows) and phase by phase of the memory plan (columns; a pass has a phase
 * for each layer, make has G's). `=` a buffer lives, `>` it is made, `x` it is read for the last
 * time. With checkpointing what is inside a segment lives for a part of the images only.
 *
 *                    make      mix  first      backward     penalty  second
 *   g_make.value     >=======x======x
 *   d_first.value[0]             >===|=============|============|>====x       u_0 = x + f t_0
 *   d_first.value[i]                 >==x
 *   d_first.mask[i]                  >=============|============|=====x
 *   d_first.grad[i]                            >===|============|=====x       delta
 *   pulled, pushed                                     >========x             T' v', T T' v'
 *   d_second.value[i]                                                 >==x
 *   d.gradients      ========================================================  sum over `second`
 *
 * A G step likewise: learn (G, values kept), show, score (D), score_backward, back, learn_backward.
 */
struct gan_core {
    bool (*stop_requested)(void); /* gan_core_listen */
    struct gan_half *half; /* borrowed, kept by the caller from step to step; NULL: likewise */
    struct device *device;
    struct net_design design;
    struct gan_mode mode;
    int chunk;
    struct trained_net g, d; /* g with its EMA */
    struct stepper stepper;

    /* the uses of the networks within a step */
    struct network_pass g_make, d_first, d_second, g_learn, d_score, g_back;
    void *workspace;               /* of any of them */
    struct gan_input_shape shape;  /* of a step's inputs */
    struct gan_step_inputs inputs; /* the device's */
    struct gan_step_inputs
        host[2]; /* the host's, by turns: one is filled while the other is copied */
    char *inputs_memory;
    int *label_sets;     /* where labels are sets of tags */
    struct gan_block at; /* the present micro-batch of the device's, */
    int n;               /* of so many pairs */
    gan_fill *fill;      /* of the present step */
    void *fill_context;
    float *real;            /* [micro] images */
    float *factors;         /* [2 micro] */
    double *squares;        /* [2 micro] */
    float *scores;          /* [2 micro] */
    double *sums[2];        /* [GAN_SUMS] of a D step, and right behind it of a G step */
    float *pulled, *pushed; /* T' v and T T' v, [2 micro] images */
};

/* Pairs that are summed as one, whatever the micro-batch: by the image's size alone. */
int gan_chunk(int h, int w);

static inline size_t gan_picture_floats(const struct gan_core *core)
{
    return (size_t)(core->shape.h * core->shape.w * core->shape.c);
}

/* Builds both networks in an empty core and declares every buffer in `plan`. The core must stay
 * where it is; gan_core_close takes it in any case. */
int gan_core_declare(struct gan_core *core, const struct net_design *design,
                     const struct gan_mode *mode, struct device *device, struct plan *plan);
void gan_core_close(struct gan_core *core);
/* After plan_commit: connects the passes, and sends the tags of labels. */
int gan_core_connect(struct gan_core *core);
/* What passes look at before every layer, from now on; NULL: they are not stopped. */
void gan_core_listen(struct gan_core *core, bool (*stop_requested)(void));
/* Lets the convolutions' library learn what it does not know yet, by a trial of both steps:
 * parameters and optimiser stay as they are, all else is overwritten. known: what a checkpoint
 * says; may be NULL. stop: polled; may be NULL. */
int gan_core_autotune(struct gan_core *core, const char *known, bool (*stop)(void));
/* First weights; EMA = G. */
int gan_core_initialise(struct gan_core *core, uint64_t seed);

/* The ranges that a checkpoint holds; view, pull and push as in trained_net.h. */
enum gan_range {
    GAN_RANGE_G,
    GAN_RANGE_D,
    GAN_RANGE_G_V,
    GAN_RANGE_D_V,
    GAN_RANGE_EMA,
    GAN_RANGES
};
const struct trained_net *gan_core_network(const struct gan_core *core, enum gan_range range);
int gan_core_pull(struct gan_core *core, enum gan_range range, float **view);
float *gan_core_view(struct gan_core *core, enum gan_range range);
int gan_core_push(struct gan_core *core, enum gan_range range);

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

/* Between steps: images of latents (rows of design.z floats) made with `parameters` (of the
 * device) into out [n][h][w][c]; and D's scores of images. All else is host memory; labels NULL
 * without classes. */
int gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                 int n, float *out);
int gan_score(struct gan_core *core, const uint8_t *const *pictures, const int *labels, int n,
              float *scores);

#endif
