/* The part of `imgtrain eval` that measures a generator against a folder of pictures. */
#ifndef IMGTRAIN_GAN_GAN_EVAL_H
#define IMGTRAIN_GAN_GAN_EVAL_H

struct task_evaluation; /* task/task.h */

/* Prints the metrics of at most so many samples of the model against the pictures of the input. */
int gan_eval(const struct task_evaluation *wanted);

#endif
