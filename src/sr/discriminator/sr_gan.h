/* The discriminator in training, beside the network that enlarges: its buffers, its part of a step.
 *
 * One step of it: the weights are normalised, one step of power iteration; of every micro-batch D
 * judges the real images and learns, judges the made ones, and goes back twice: to the made images
 * for the generator, and to its own weights. One forward pass of the generator serves both, as do
 * D's of the made images. Real and made images sum their gradients apart, so that micro-batches
 * change no bit. */
#ifndef IMGTRAIN_SR_SR_GAN_H
#define IMGTRAIN_SR_SR_GAN_H

#include "math/score_loss.h"
#include "nn/passes.h"
#include "nn/trained_net.h"
#include "sr/discriminator/discriminator.h"

struct offload_stream;
struct plan;

struct sr_gan_choices {
    struct sr_d_design design; /* features 0: none, and no other field counts */
    enum score_kind kind;
    double weight;         /* of the generator's loss */
    double feature_weight; /* of the difference of D's activations */
    int every;             /* the generator learns every so many steps, */
    int64_t from;          /* after so many */
    double grad_clip;      /* largest norm of D's gradient; 0: any */
    bool own_images;       /* D sees other real images than the losses: sharpened or not */
};

const char *sr_gan_kind_name(enum score_kind kind); /* "vanilla" */
/* Whether the generator learns in this step (from 0). */
bool sr_gan_generator_learns(const struct sr_gan_choices *choices, int64_t step);

struct sr_gan_memory {
    int batch, micro;
    int side;     /* of an image, in pixels */
    bool parts;   /* activation checkpointing */
    bool offload; /* moments are host-resident */
    bool views;   /* the host cannot read the device's memory */
    int phase;    /* the first of sr_gan_phases() */
    int until;    /* the last in which the made images and the gradient at them are wanted */
    int end;      /* the last of the step */
};

struct sr_gan {
    struct device *device;
    struct sr_gan_choices choices;
    struct sr_gan_memory memory;
    int taps[SR_D_TAPS];
    struct trained_net net;
    struct net vectors_net;        /* names of u and v */
    float *vectors, *next_vectors; /* of this step, of the next one */
    float *vectors_host;           /* the host's copy; NULL: it reads the device's */
    float *sigmas;                 /* [SR_D_NORMS] */
    float *weights;                /* like net.parameters, normalised */
    float *made_gradients;         /* like net.gradients: of made images */
    struct network_pass judge;     /* forward; */
    struct network_pass push;      /* backward to the made images, */
    struct network_pass learn;     /* and to the weights */
    float *made;                   /* [micro] made images, */
    float *pulled;                 /* and the gradient of the generator's loss at them */
    float *scores;                 /* [micro] maps */
    float *features[SR_D_TAPS];    /* [micro] of real images, then gradients at made ones' */
    double *norm2;                 /* of the gradient, where it is clipped */
    double *sums;                  /* sr_gan_sum_count */
};

/* Means over the batch of one step. */
struct sr_gan_report {
    double loss;    /* the generator's, without its weight */
    double feature; /* likewise */
    double d_loss;
    double score_real, score_made;
};

/* 0 where there is none. */
int sr_gan_phases(const struct sr_gan_choices *choices, int *layers);
int sr_gan_sum_count(const struct sr_gan_choices *choices, int batch);

/* Builds the discriminator in an empty struct, which must stay where it is, and declares its
 * buffers; `sums` are the caller's. sr_gan_close takes it in any case. */
int sr_gan_declare(struct sr_gan *gan, const struct sr_gan_choices *choices,
                   const struct sr_gan_memory *memory, struct device *device, struct plan *plan);
void sr_gan_close(struct sr_gan *gan);
/* What its passes need of workspace, which is the caller's. */
size_t sr_gan_workspace(const struct sr_gan *gan);
/* After plan_commit. */
void sr_gan_connect(struct sr_gan *gan, void *workspace, double *sums);
void sr_gan_listen(struct sr_gan *gan, bool (*stop_requested)(void));

/* First weights and vectors. begin: what the host has written of them is the device's. */
void sr_gan_initialise(struct sr_gan *gan, uint64_t seed);
int sr_gan_begin(struct sr_gan *gan);
/* The vectors as the host sees them; pull fills them first. */
float *sr_gan_vectors_view(const struct sr_gan *gan);
int sr_gan_vectors_pull(const struct sr_gan *gan, float **view);

/* A step, in this order: once; of each micro-batch, patches first .. first + n - 1, with the images
 * that the generator made and those that they should be; the gradient at the made images, added to
 * that of other losses; once. */
int sr_gan_queue_begin(struct sr_gan *gan);
int sr_gan_queue(struct sr_gan *gan, int first, int n, const float *made, const float *real,
                 bool generator_learns);
int sr_gan_queue_gradient(struct sr_gan *gan, int n, float *gradient);
int sr_gan_queue_end(struct sr_gan *gan, struct offload_stream *offload, int range,
                     const struct adam_f32 *adam);
/* sums: as the host has them. */
void sr_gan_report(const struct sr_gan *gan, const double *sums, struct sr_gan_report *report);

#endif
