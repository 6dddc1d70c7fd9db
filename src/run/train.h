/* The training loop around any task: run folder, resume, frames, metrics, checkpoints, progress,
 * signals, and the files that a finished run leaves. */
#ifndef IMGTRAIN_RUN_TRAIN_H
#define IMGTRAIN_RUN_TRAIN_H

struct train_request; /* run/train_request.h */

/* The whole run. Signal handlers must have been installed (signals_install). 0: finished;
 * ERR_STOPPED: stopped on request, state saved; ERR_DIVERGED; ERR_OUTPUT: the folder exists, is no
 * run or is in use; ERR_CONFIG: resumed with a config that does not fit; ERR_DEVICE_MEMORY and
 * ERR_IO: what is needed is not there. */
int train_run(const struct train_request *request);

/* Whether train_run would begin: config, device, input, memory and the run folder are looked at,
 * and nothing is made. 0, or what train_run would end with. */
int train_look(const struct train_request *request);

#endif
