/* The perceptual loss: what VGG19 makes of two images, compared before five of its ReLUs (Johnson
 * et al., arXiv:1603.08155; layers as Real-ESRGAN has them). Its weights come from a
 * file of the user's, with torchvision's names. */
#ifndef IMGTRAIN_SR_PERCEPTUAL_H
#define IMGTRAIN_SR_PERCEPTUAL_H

#include "nn/passes.h"

struct plan;

enum { PERCEPTUAL_TAPS = 5, PERCEPTUAL_LEAST_SIDE = 16, PERCEPTUAL_PHASES = 3 * 37 };

struct perceptual {
    struct device *device;
    struct net net;
    struct network_pass of_target, of_out;
    double weight[PERCEPTUAL_TAPS]; /* what a tap's mean counts for */
    int side, part;                 /* pixels of a patch's side; patches at a time, at most */
    int layer[PERCEPTUAL_TAPS];     /* whose values are compared */
    float *tap[PERCEPTUAL_TAPS];    /* of the target; then the gradient there */
    float *parameters;
    void *workspace;
};

/* Numbers of a patch that it is the mean of. */
size_t perceptual_tap_count(const struct perceptual *p, int tap);

/* Whether the file has all that is wanted: ERR_DATA. */
int perceptual_check(const char *path);

/* Declares buffers from `phase` on, PERCEPTUAL_PHASES of them. The struct must stay where it is
 * until perceptual_close, which takes it in any case. */
int perceptual_declare(struct perceptual *p, int side, int part,
                       const double weight[PERCEPTUAL_TAPS], struct device *device, int phase,
                       struct plan *plan);
void perceptual_close(struct perceptual *p);
/* After the plan's commit. */
void perceptual_connect(struct perceptual *p);
int perceptual_load(struct perceptual *p, const char *path);

/* n patches [n][side][side][3]: adds the gradient of weight times the loss's mean over the batch to
 * `grad` (NULL: it is not wanted); sums: those of these patches,
 * [PERCEPTUAL_TAPS][batch][NN_LOSS_TERMS]. */
int perceptual_queue(struct perceptual *p, int n, const float *out, const float *target,
                     float *grad, double weight, double *sums, int batch);

#endif
