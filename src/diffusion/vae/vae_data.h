/* The images of the task vae. Pure functions of (seed, step, place in the batch). */
#ifndef IMGTRAIN_DIFFUSION_VAE_VAE_DATA_H
#define IMGTRAIN_DIFFUSION_VAE_VAE_DATA_H

#include <stdbool.h>
#include <stdint.h>

struct dataset;
struct task_input;
struct task_setup;

/* The images that an earlier open has read, or read now, as setup->input says; else into *own,
 * which vae_free_input frees. *set stays NULL without_input. ERR_CONFIG, ERR_INPUT, ERR_DATA. */
int vae_data_open(const struct dataset **set, struct task_input **own,
                  const struct task_setup *setup);
void vae_free_input(struct task_input *input);

/* Samples first .. first + n - 1 of step `step` of `batch` images: images [side][side][3] in -1..1,
 * and `noise_floats` normal numbers each. */
struct vae_feed {
    const struct dataset *set;
    uint64_t seed;
    int side, batch, noise_floats;
};
void vae_feed_fill(const struct vae_feed *feed, uint64_t step, int first, int n, float *images,
                   float *noise);

#endif
