/* The one loop of all that may run out of device memory: a run's steps and pictures, render,
 * sample, eval. */
#ifndef IMGTRAIN_MEMORY_MEMORY_RETRY_H
#define IMGTRAIN_MEMORY_MEMORY_RETRY_H

/* Calls attempt(attempt_context) until it ends with anything but ERR_DEVICE_MEMORY, and returns
 * that. After each attempt that memory failed relieve(relieve_context) finds a mode that takes
 * less; its error ends the loop and is returned. */
int memory_retry(int (*attempt)(void *context), void *attempt_context,
                 int (*relieve)(void *context), void *relieve_context);

#endif
