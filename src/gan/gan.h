/* task gan: a generator learns the images of a folder against a discriminator. */
#ifndef IMGTRAIN_GAN_GAN_H
#define IMGTRAIN_GAN_GAN_H

#include "task/task.h"

extern const struct task task_gan;

#endif
