/* The task `sr`: a network learns to enlarge images. */
#ifndef IMGTRAIN_SR_SR_H
#define IMGTRAIN_SR_SR_H

#include "task/task.h"

extern const struct task task_sr;

#endif
