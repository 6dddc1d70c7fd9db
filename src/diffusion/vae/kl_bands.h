/* An encoder or a decoder at work on bands of rows: the same bits as on the whole image, in less
 * memory. What a normalisation or an attention must have seen whole is kept whole: in a block its
 * input and the sum in its middle. All that lies between, normalised, enlarged and projected
 * values, is there for some rows at a time. Sums over an image are made row by row as the rows
 * come, so that they are the same; convolutions see two rows more above and one below.
 *
 * A convolution of a device's library may have other bits on bands: conv_library.h. */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_BANDS_H
#define IMGTRAIN_DIFFUSION_VAE_KL_BANDS_H

#include "nn/passes.h"

struct device;
struct plan;

/* Where weights come from, block by block (kl_list_blocks): each is acquired when its first layer
 * begins, alone, and released when the operations of its last one have been asked for. */
struct kl_source {
    /* at [parameter_count]: those of the block are set. */
    int (*acquire)(void *context, int block, const float **at);
    int (*release)(void *context, int block);
    void *context;
};

struct kl_bands {
    const struct net *net; /* of kl_build_encoder or kl_build_decoder */
    struct device *device;
    const float *parameters; /* of the device: set before running; or */
    const struct kl_source *source;
    const float **at;         /* [parameter_count] */
    int rows;                 /* of a band, of the output of each layer */
    float **value;            /* [layer_count]: what is kept whole; NULL: never there as a whole */
    double **sums;            /* [layer_count]: of what a normalisation reads */
    float *normal;            /* a band in front of a convolution, */
    float *made, *projected;  /* what it makes, and its residual */
    void *workspace, **whole; /* of convolutions; [layer_count]: of what works on whole values */
    bool (*stop_requested)(void); /* looked at before every layer; NULL: never */
};

/* Declares what one image takes from phase `phase` on in `plan`; value[0], image or latents, too.
 * rows: of a band, even; 0: all. Phases: net->layer_count. kl_bands_close takes it in any case. */
int kl_bands_declare(struct kl_bands *bands, const struct net *net, int rows, struct device *device,
                     int phase, struct plan *plan);
void kl_bands_close(struct kl_bands *bands);

/* From value[0] to the value of the last layer. ERR_STOPPED. */
int kl_bands_run(struct kl_bands *bands);
/* The same from and to the host; input, output: image and latents, or the other way round. */
int kl_bands_run_host(struct kl_bands *bands, const float *input, float *output);

#endif
