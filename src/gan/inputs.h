/* What a step gets from the host: images, draws, latents, and the numbers that schedules change.
 * A callback fills them in; one copy brings them to the device. */
#ifndef IMGTRAIN_GAN_INPUTS_H
#define IMGTRAIN_GAN_INPUTS_H

#include "device/nn_ops.h"
#include "math/optimiser.h"

enum gan_which { GAN_D, GAN_G };

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
typedef int gan_fill(void *context, enum gan_which step, struct gan_inputs *inputs);

/* What schedules say of a step. */
struct gan_rates {
    double gamma; /* weight of the penalty */
    struct adam_rates adam;
    double ema; /* EMA's beta */
};

/* The same as operations read it. */
struct gan_numbers {
    double gamma;
    struct adam_f32 adam[2]; /* D's, G's */
    float ema;
};

/* What the sizes of a step's inputs follow from. */
struct gan_input_shape {
    int h, w, c;     /* of an image */
    int z, z_stride; /* numbers of a latent; floats of a row of G's input */
    int span;        /* pairs whose inputs are there at a time */
    bool ahead;      /* the device has memory of its own: see gan_step_inputs */
};

/* The inputs of `span` pairs of a D step or of a G step. */
struct gan_block {
    struct nn_augment *real_draws, *fake_draws; /* [span] */
    struct nn_augment *pair_draws;              /* [2 span] as D sees them */
    int *labels, *pair_labels;                  /* [span], [2 span] */
    float *z;                                   /* [span] rows of G's input */
    uint8_t *flips, *pixels;                    /* [span], [span] images */
};

/* All of it, one array behind the other. A device with memory of its own gets the whole step before
 * it begins (ahead), so that nothing in the step waits for the host: span is the batch. Where the
 * device is the host, span is a micro-batch, filled in when its turn comes, and D and G step share
 * it. */
struct gan_step_inputs {
    char *memory;
    struct gan_numbers *numbers;
    struct gan_block step[2];
};

/* Lays the inputs of a step out from `memory` on; returns their bytes. inputs NULL: only those. */
size_t gan_step_inputs_layout(const struct gan_input_shape *shape, struct gan_step_inputs *inputs,
                              char *memory);
/* A block's inputs from pair `first` of the block on. */
struct gan_block gan_block_from(const struct gan_input_shape *shape, const struct gan_block *block,
                                int first);
/* Asks `fill` for pairs first .. first + n - 1 into a block of the host, and arranges them for
 * micro-batches of `micro` pairs. */
int gan_block_fill(const struct gan_input_shape *shape, const struct gan_block *block,
                   enum gan_which which, int first, int n, int micro, gan_fill *fill,
                   void *context);

#endif
