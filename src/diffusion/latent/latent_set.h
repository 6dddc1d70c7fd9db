/* What an autoencoder makes of a data set's images: computed once into the set's cache folder, then
 * mapped, so that no step of a training asks the encoder.
 *
 * The file: a header of 4096 bytes, then for each image the mean, and behind all of them for each
 * image the deviation of its latents [height][width][channels], F32 or F16; images in the order of
 * the set, and (mirrors) once more, mirrored; last a checksum of each image's numbers. Numbers are
 * as the encoder has them, in the machine's order. */
#ifndef IMGTRAIN_DIFFUSION_LATENT_LATENT_SET_H
#define IMGTRAIN_DIFFUSION_LATENT_LATENT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_places;
struct dataset;
struct latent_set;

struct latent_options {
    const struct dataset *images;
    uint64_t vae;                /* which autoencoder: kl_folder_identity */
    int height, width, channels; /* of an image's latents */
    bool mirrors;                /* mirrored images are shown too */
    bool halves;                 /* F16 */
    float scaling, shift;        /* what is handed out is (latent - shift) scaling */
    /* Of an image as dataset_item_values has it. */
    int (*encode)(void *context, const float *image, float *means, float *deviations);
    void *context;
    size_t image_floats;
    bool (*stop_requested)(void); /* polled; may be NULL */
};

/* ERR_DATA for latents that are no finite numbers, also of F16; ERR_STOPPED. */
int latent_set_open(struct latent_set **set, const struct latent_options *options,
                    const struct cache_places *places);
void latent_set_close(struct latent_set *set); /* accepts NULL */

/* Normal numbers `noise` become a sample of the latents of image `index`, in their place. */
void latent_set_sample(const struct latent_set *set, int index, bool mirrored, float *noise);

#endif
