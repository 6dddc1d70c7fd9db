/* `imgtrain eval` of a model of this task. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_EVAL_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_EVAL_H

struct task_evaluation;

/* Compares samples with the training images of a folder, and asks of each which class it looks
 * like.
 */
int diffusion_eval(const struct task_evaluation *wanted);

#endif
