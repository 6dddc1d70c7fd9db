/* Convolutions by a library (cuDNN) on a device that may have one beside its own kernels. Which of
 * both takes a convolution, and which of the library's engines, is learnt before the first step by
 * running each on its own operands, and kept with the run's state: the engine decides the last bits
 * of the result.
 *
 * deterministic: whatever is asked for is done chunk by chunk (nn_ops.h), with engines that add in
 * one order, nothing fused, chosen by the library's first guess instead of by time: so neither
 * micro-batches nor the clock change a bit. Otherwise both may, in the last bits. */
#ifndef IMGTRAIN_DEVICE_CONV_LIBRARY_H
#define IMGTRAIN_DEVICE_CONV_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct device;

enum conv_use {
    CONV_AUTO,   /* where it is there and faster */
    CONV_ALWAYS, /* wherever it has an engine */
    CONV_NEVER
};

struct conv_library {
    /* "cuDNN 91000", once it was opened and is used. */
    void (*describe)(char *text, size_t room);
    /* To be called before anything else, as often as one likes: forgets all choices. *used: whether
     * the library may be called from now on; why not is logged. ERR_DEVICE: CONV_ALWAYS, and it is
     * not there. */
    int (*open)(struct device *device, enum conv_use use, bool deterministic, bool *used);
    /* From begin to end, a convolution that was not met before tries all engines when it is
     * called: its result is right, but a gradient may have been added to many times. Engines take
     * `workspace` bytes at most, from then on behind conv_workspace bytes of the workspace; what
     * was chosen for another size is forgotten. Outside, what was not met takes the device's own
     * kernels, and so does, unless deterministic, what is met after `seconds` or when `stop` (or
     * NULL) says so: the next begin goes on. end logs what was chosen. */
    int (*begin)(struct device *device, size_t workspace, double seconds, bool (*stop)(void));
    int (*end)(struct device *device);
    /* The choices as text, the caller's to free; and back, after begin: those that the library
     * cannot follow any more are learnt anew. */
    int (*store)(struct device *device, char **text);
    int (*restore)(struct device *device, const char *text);
};

/* The device's library, if it has one, as its open() does; CONV_AUTO: only where check_library of
 * the device, if there is one, finds nothing wrong. Why not is logged. ERR_DEVICE: CONV_ALWAYS, and
 * `key` (of the config, "conv: cudnn") says what cannot be had. */
int conv_library_open(struct device *device, enum conv_use use, bool deterministic, const char *key,
                      bool *used);

#endif
