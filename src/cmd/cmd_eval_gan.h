/* The part of `imgtrain eval` that measures a generator against a folder of pictures. */
#ifndef IMGTRAIN_CMD_CMD_EVAL_GAN_H
#define IMGTRAIN_CMD_CMD_EVAL_GAN_H

#include <stdbool.h>

/* Whether `path` is a model, checkpoint or run of task gan. Says nothing where it is not. */
int eval_gan_is(const char *path, bool *is);

/* Prints the metrics of at most `samples` samples of `model` against the pictures of `folder`. */
int eval_gan(const char *model, const char *folder, const char *device, int samples, bool json);

#endif
