/* All that compares an image that the network made with the one that it should be: the terms of the
 * loss, what each counts, their gradients, and the buffers that they take. */
#ifndef IMGTRAIN_SR_SR_LOSSES_H
#define IMGTRAIN_SR_SR_LOSSES_H

#include "sr/discriminator/sr_gan.h"
#include "sr/perceptual.h"

struct config;
struct plan;
struct task_report;

/* The first ones are those of nn_ops.image_loss, in its order. A new term is an entry here, a row
 * of the table in sr_losses.c with its key, and its part of sr_losses_queue. */
enum sr_term {
    SR_TERM_L1,
    SR_TERM_CHARBONNIER,
    SR_TERM_MSE,
    SR_TERM_CONSISTENCY,
    SR_TERM_COLOUR,
    SR_TERM_LUMA,
    SR_TERM_HSLUV,
    SR_TERM_MS_SSIM,
    SR_TERM_FFT,
    SR_TERM_PERCEPTUAL,
    SR_TERMS
};

struct sr_loss_choices {
    double weight[SR_TERMS]; /* 0: off */
    double grad_clip;        /* largest norm of the gradient; 0: any */
    struct sr_gan_choices gan;
    const char *perceptual_file;
    double perceptual_layers[PERCEPTUAL_TAPS];
    bool other_images;     /* there are two forms of each target: sharpened and not */
    bool perceptual_other; /* VGG19 sees the other one than pixel losses do */
    bool box;              /* consistency is that of means, not of bicubic reductions */
};

/* Patches as the loss sees them. */
struct sr_loss_shape {
    int batch; /* of a step */
    int micro; /* at a time, at most */
    int side;  /* pixels of a patch's side, in GT */
    int scale;
    int other_sums; /* numbers of somebody else, behind those of the losses */
};

struct sr_losses {
    struct device *device;
    struct sr_loss_choices choices;
    struct sr_loss_shape shape;
    int part;         /* patches that terms of whole images take at a time */
    double *sums;     /* of the device: what each term of each patch sums up to */
    float *workspace; /* of one term */
    float *turns;     /* nn_fft_turns */
    struct perceptual perceptual;
};

/* Means over the batch of one step. Terms that are off may be 0. */
struct sr_report {
    double term[SR_TERMS]; /* without weights */
    double loss;           /* with them */
    double grad_norm;      /* before it is clipped; 0 where it is not */
    struct sr_gan_report gan;
};

/* "l1": as the column of metrics and in checkpoints. */
const char *sr_term_name(enum sr_term term);
/* Whether a run with these choices reports the term. */
bool sr_term_is_shown(const struct sr_loss_choices *choices, int term);
/* What cannot be: ERR_CONFIG. */
int sr_losses_check(const struct config *config);
struct sr_loss_choices sr_losses_of(const struct config *config);
/* The least lq_size, a multiple of `multiple`, that every term can be had of. */
int sr_losses_least_side(const struct sr_loss_choices *choices, int scale, int multiple);
/* "1 charbonnier + 0.1 msssim", cut to size. */
void sr_losses_describe(const struct sr_loss_choices *choices, char *text, size_t size);

/* How many phases of the plan the losses take, behind the forward pass and before the backward one.
 */
int sr_losses_phases(const struct sr_loss_choices *choices);
/* Declares buffers from `phase` on; the struct must stay where it is until sr_losses_close, which
 * takes it in any case. */
int sr_losses_declare(struct sr_losses *losses, const struct sr_loss_choices *choices,
                      const struct sr_loss_shape *shape, struct device *device, int phase,
                      struct plan *plan);
void sr_losses_close(struct sr_losses *losses);
/* Numbers in `sums`, those of others included; and where these begin. */
int sr_losses_sum_count(const struct sr_losses *losses);
int sr_losses_other_sums(const struct sr_losses *losses);

/* After the plan's commit: whenever buffers have moved. */
void sr_losses_connect(struct sr_losses *losses);
/* What does not change from step to step: after sr_losses_connect. `read`: for the first time, when
 * nothing is there yet. */
int sr_losses_begin(struct sr_losses *losses, bool read);
/* Patches first .. first + n - 1 of the batch: out and target [n][side][side][3]; other: the other
 * form of the target, where there is one. grad, likewise, is overwritten with the gradient of the
 * batch's loss; !learns: with anything, as nobody reads it. */
int sr_losses_queue(struct sr_losses *losses, int first, int n, const float *out,
                    const float *target, const float *other, float *grad, bool learns);
/* The gradient of the parameters, when it is complete: clipped where that is asked for. count: 0
 * where the step has none, so that its norm is 0. */
int sr_losses_clip(struct sr_losses *losses, float *gradients, size_t count);
/* sums: as the host has them. */
void sr_losses_report(const struct sr_losses *losses, const double *sums, struct sr_report *report);

#endif
