/* Every kind of device, by its name. */
#ifndef IMGTRAIN_REGISTRY_DEVICES_H
#define IMGTRAIN_REGISTRY_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct task;

/* spec: "cpu", "auto", "cuda" or "cuda:N". auto falls back to the CPU with one line that says why.
 * threads: 0 = all that are available. ERR_DEVICE when a named device is absent. To be closed by
 * device_close (device/device.h). */
int device_open(struct device **device, const char *spec, int threads);

/* A device to be relied on: what for. */
struct device_use {
    const struct task *task; /* whose operations are checked; NULL: none */
    const char *spec;        /* as of device_open */
    int threads;
    bool half;      /* in mixed precision, where the device has it */
    uint64_t limit; /* bytes of device memory; 0: none. It stays set. */
};

/* The same, of a device whose operations have been held against their right results, now or
 * earlier by the same build with the same device and driver (registry/device_check.h). One that
 * fails is ERR_DEVICE, or, with auto, the CPU in its place: either way a line says which operation
 * was off, and by how much. */
int device_open_for(struct device **device, const struct device_use *use);

#endif
