/* The KL autoencoder of latent diffusion (diffusers' AutoencoderKL): a config, and its two networks
 * as graphs of layers whose parameters are named as the tensors of such a folder.
 *
 * encoder: image [h][w][3] in -1..1 -> moments [h/f][w/f][2 latent_channels], f = 2^(levels - 1)
 * decoder: latents [h/f][w/f][latent_channels] -> image */
#ifndef IMGTRAIN_DIFFUSION_VAE_KL_H
#define IMGTRAIN_DIFFUSION_VAE_KL_H

#include "nn/graph.h"

#include <stdbool.h>

enum { KL_IMAGE_CHANNELS = 3, KL_LEVELS_MOST = 6, KL_RESNETS_MOST = 8 };
enum { KL_WIDTH_MOST = 4096, KL_LATENTS_MOST = 256 };

struct kl_config {
    int levels, widths[KL_LEVELS_MOST]; /* channels of each level, the finest first */
    int resnets;                        /* of a level of the encoder; the decoder has one more */
    int latent_channels, groups;
    bool attention;        /* between the two blocks in the middle */
    bool quant_conv;       /* a 1x1 convolution behind the encoder, as older ones have it, */
    bool post_quant_conv;  /* and in front of the decoder */
    double scaling, shift; /* a latent is handed on as (z - shift) scaling */
};

/* ERR_CONFIG for what cannot be built. */
int kl_check(const struct kl_config *config);
/* Pixels of the image along a side for one of the latents. */
int kl_factor(const struct kl_config *config);

/* Adds the layers that read layer `input`, an image or latents. Each block, and what is in front of
 * the ends, is a checkpoint segment. Returns the number of the last layer. */
int kl_add_encoder(struct net *net, const struct kl_config *config, int input);
int kl_add_decoder(struct net *net, const struct kl_config *config, int input);
/* Either alone, with an input of h x w pixels (of its own input), finished. */
int kl_build_encoder(struct net *net, const struct kl_config *config, int h, int w);
int kl_build_decoder(struct net *net, const struct kl_config *config, int h, int w);

/* The blocks of an encoder or a decoder that stands alone, in the order that they work in: weights
 * may pass through a device by them. */
enum { KL_BLOCKS_MOST = KL_LEVELS_MOST + 4 };
struct kl_block {
    char name[24];          /* "mid_block", "up_blocks.0" */
    int parameter, layer;   /* the first of each, */
    int parameters, layers; /* how many */
};
/* Whether a parameter of that name is the encoder's. */
bool kl_is_of_encoder(const char *parameter);
int kl_list_blocks(const struct net *net, struct kl_block blocks[KL_BLOCKS_MOST]);

/* In training: image, noise, encoder, a sample of the latents, decoder, finished. `moments` is the
 * encoder's last layer; layer KL_NOISE the noise [h/f][w/f][latent_channels]. */
enum { KL_IMAGE, KL_NOISE };
int kl_build_training(struct net *net, const struct kl_config *config, int h, int w, int *moments);

#endif
