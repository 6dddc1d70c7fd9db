/* `imgtrain eval MODEL FOLDER` of a model that enlarges. */
#ifndef IMGTRAIN_SR_SR_EVAL_H
#define IMGTRAIN_SR_SR_EVAL_H

struct task_evaluation;

/* As in struct task. The images of the folder are reduced by bicubic. */
int sr_eval(const struct task_evaluation *wanted);

#endif
