/* Every kind of device, by its name. */
#ifndef IMGTRAIN_REGISTRY_DEVICES_H
#define IMGTRAIN_REGISTRY_DEVICES_H

struct device;
struct task;

/* spec: "cpu", "auto", "cuda" or "cuda:N". auto falls back to the CPU with one line that says why.
 * threads: 0 = all that are available. ERR_DEVICE when a named device is absent. To be closed by
 * device_close (device/device.h). */
int device_open(struct device **device, const char *spec, int threads);

/* `spec` as a task has it: "cpu" in place of "auto" where the task runs on the CPU alone so far. */
const char *device_spec_for(const struct task *task, const char *spec);

#endif
