/* Whether a device may be trusted with a task: the self-check of check/self_check.h, done once for
 * each build, device, driver and set of operations, and kept (registry/check_cache.h).
 * IMGTRAIN_SELF_CHECK=0 leaves it out, IMGTRAIN_SELF_CHECK=all gives it all the time it takes. */
#ifndef IMGTRAIN_REGISTRY_DEVICE_CHECK_H
#define IMGTRAIN_REGISTRY_DEVICE_CHECK_H

#include <stdbool.h>

struct device;
struct self_check; /* check/self_check.h */
struct task;

/* half: in mixed precision, too. OK also where there was no memory for the check. ERR_DEVICE: an
 * operation failed, now or when it was checked. Also sets device->check_library. */
int device_check(struct device *device, const struct task *task, bool half);

/* Checks all operations of all tables anew, `row` called behind each; keeps what it found of
 * every task. ERR_DEVICE with the first failure. */
int device_check_all(struct device *device, const struct self_check *check);
/* The same of convolutions by the device's library, which is to be open with CONV_ALWAYS. */
int device_check_library_all(struct device *device, const struct self_check *check);

#endif
