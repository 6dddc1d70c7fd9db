/* Faults for tests: a device whose allocations fail when the environment says so, and another
 * process that takes device memory between steps. IMGTRAIN_FAULTS holds clauses with commas
 * between:
 *
 *   alloc=K            the K-th device allocation of the process (from 1) fails, once
 *   alloc=K+           that one and all behind it fail
 *   step=N:fail        step N (from 0) fails for want of memory before it changes anything, once
 *   step=N:kill        the process ends before step N as by kill -9
 *   step=N:term        SIGTERM comes before step N
 *   step=N:nan         the loss of step N is not a number, once (nan+: each time that step is made)
 *   step=N:take=200MB  before step N another process takes that much of what is free
 *   step=N:give        ... and gives all back
 *   cotenant=S:200MB   before each step it holds 0 to 200MB instead, by the seed S and the step
 *
 * Taken memory is only booked: it is missing from free_bytes and to allocations. */
#ifndef IMGTRAIN_DEVICE_FAULTS_H
#define IMGTRAIN_DEVICE_FAULTS_H

struct device;

/* Does nothing unless IMGTRAIN_FAULTS is set; goes when the device is closed. ERR_CONFIG when it
 * cannot be read: the device is to be closed all the same. */
int faults_install(struct device *device);

#endif
