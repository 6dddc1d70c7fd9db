/* The part of `imgtrain eval` that measures a generator against a folder of images. */
#ifndef IMGTRAIN_GAN_GAN_EVAL_H
#define IMGTRAIN_GAN_GAN_EVAL_H

struct task_evaluation; /* task/task.h */

/* Prints the metrics of at most so many samples of the model against the images of the input. */
int gan_eval(const struct task_evaluation *wanted);

#endif
