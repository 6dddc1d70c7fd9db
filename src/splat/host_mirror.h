/* The host's side of a fit: where it reads and writes the parameters and the optimiser's state. On
 * a device whose memory the host may use they are the fit's own arrays, else copies beside them. */
#ifndef IMGTRAIN_SPLAT_HOST_MIRROR_H
#define IMGTRAIN_SPLAT_HOST_MIRROR_H

#include "splat/fit.h"

/* Brings model.count rows of all arrays of fit->host, the parameters out of `groups` (NULL: the
 * model's). They stay until the next pull. */
int splat_host_pull(struct splat_fit *fit, float *const *groups);

/* Sends rows [from, to) of all arrays to the device. */
int splat_host_push(struct splat_fit *fit, int64_t from, int64_t to);

#endif
