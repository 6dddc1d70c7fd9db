/* Every kind of device, by its name. */
#ifndef IMGTRAIN_REGISTRY_DEVICES_H
#define IMGTRAIN_REGISTRY_DEVICES_H

struct device;

/* spec: "cpu", "auto", "cuda" or "cuda:N". auto falls back to the CPU with one line that says why.
 * threads: 0 = all that are available. ERR_DEVICE when a named device is absent. To be closed by
 * device_close (device/device.h). */
int device_open(struct device **device, const char *spec, int threads);

#endif
