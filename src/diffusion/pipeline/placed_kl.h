/* The encoder or the decoder of an autoencoder as a component of a placement: its blocks are the
 * network's (kl_list_blocks), its chunks bands of rows, which change no bit. */
#ifndef IMGTRAIN_DIFFUSION_PIPELINE_PLACED_KL_H
#define IMGTRAIN_DIFFUSION_PIPELINE_PLACED_KL_H

#include "diffusion/pipeline/placed_weights.h"
#include "diffusion/vae/kl.h"
#include "diffusion/vae/kl_bands.h"
#include "placement/placement.h"

enum kl_tiling {
    KL_TILING_AUTO,  /* the whole, or bands as high as memory allows */
    KL_TILING_OFF,   /* the whole */
    KL_TILING_BANDS, /* bands in any case */
    KL_TILING_BLEND  /* overlapping tiles, blended, as diffusers does it: other pixels */
};

enum { PLACED_KL_CHUNKINGS = 10, PLACED_KL_TILES = 9 };

/* Networks of one size of a tile; without tiles there is one. */
struct placed_tile {
    int h, w; /* of the input */
    struct net net;
    struct kl_bands bands;
};

struct placed_kl {
    const struct kl_config *config;
    bool is_decoder;
    struct placement *placement;
    struct device *device;
    int component, block_count;
    struct kl_block list[KL_BLOCKS_MOST];
    struct placement_block blocks[KL_BLOCKS_MOST];
    struct placement_tensor *tensors;
    struct placed_weights weights;
    char *key;
    struct net names; /* its parameters at some size */

    /* a stage: */
    int h, w;              /* of the input */
    int tile_side, stride; /* of its tiles; 0: there is one */
    int rows[PLACED_KL_CHUNKINGS];
    struct placed_tile tiles[PLACED_KL_TILES];
    int tile_count;
};

/* weights: of the network's parameters, in their order, mapped while this is open; NULL (with
 * `stored`, the type of all) where forecasts alone are wanted. key: which files they are. */
struct placed_kl_setup {
    const struct kl_config *config;
    bool is_decoder;
    const struct store_tensor *const *weights;
    enum tensor_type stored;
    const char *key;
    const struct store_shards *shards; /* as in placed_dit.h */
};

/* Adds the component; placed_kl_close, after placement_close, takes it in any case. The struct must
 * stay where it is. */
int placed_kl_open(struct placed_kl *placed, struct placement *placement, struct device *device,
                   const struct placed_kl_setup *setup);
void placed_kl_close(struct placed_kl *placed);

/* Whether tiles of this side (of images; 0: unknown) cut an image of this size. */
bool placed_kl_has_tiles(const struct kl_config *config, int tile_side, int height, int width);

/* Whether an image of this height is cut by bands. */
bool placed_kl_has_bands(int height);

/* *stage: `images` inputs of h x w through the network. tile_side: of an image, for KL_TILING_BLEND
 * alone. ERR_CONFIG for sizes that the network does not take. */
int placed_kl_stage(struct placed_kl *placed, int h, int w, enum kl_tiling tiling, int tile_side,
                    int images, struct placement_stage *stage);

/* Within placement_begin and placement_end of the stage: image [h][w][3] to moments
 * [h/f][w/f][2 latent_channels], or latents to an image. stop_requested: polled; NULL: never. */
int placed_kl_run(struct placed_kl *placed, const float *input, float *output,
                  bool (*stop_requested)(void));

#endif
