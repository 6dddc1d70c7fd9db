/* A trained network in use: nothing of the optimiser is loaded. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_SAMPLER_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_SAMPLER_H

#include "diffusion/diffusion_draw.h"
#include "diffusion/diffusion_network.h"

struct device;
struct model_folder;

struct diffusion_sampler;

/* model: whatever model_open_any opens; it must outlive the sampler, and so must the device. micro:
 * images at a time. ERR_DATA, naming the model, before any memory is taken; ERR_DEVICE_MEMORY. */
int diffusion_sampler_open(struct diffusion_sampler **sampler, struct device *device,
                           const struct model_folder *model, int micro);
void diffusion_sampler_close(struct diffusion_sampler *sampler); /* accepts NULL */
/* Polled within: then ERR_STOPPED. */
void diffusion_sampler_listen(struct diffusion_sampler *sampler, bool (*stop_requested)(void));
const struct diffusion_design *diffusion_sampler_design(const struct diffusion_sampler *sampler);

/* n images as bytes [n][height][width][3], grey ones three times. ERR_DATA when one is not finite.
 */
int diffusion_sampler_make(struct diffusion_sampler *sampler, int steps, double guidance,
                           const struct diffusion_wish *wishes, int n, uint8_t *out);

#endif
