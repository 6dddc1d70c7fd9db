/* The operations of a step, asked for one after the other. */
#ifndef IMGTRAIN_GAN_GAN_STEP_H
#define IMGTRAIN_GAN_GAN_STEP_H

#include "gan/inputs.h"

struct gan_core;

/* A D step or a G step: leaves the gradients, and sums of the losses. Errors are the callback's. */
int gan_queue(struct gan_core *core, enum gan_which which);
/* Both with their updates, and EMA. */
int gan_queue_all(void *core);

#endif
