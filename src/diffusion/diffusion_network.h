/* The network of the task: S3-DiT (diffusion/dit) behind a table of conditions, whose rows stand
 * where the features of a text stand in a model with a text encoder. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_NETWORK_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_NETWORK_H

#include "diffusion/diffusion_data.h"
#include "diffusion/dit/s3dit.h"
#include "nn/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct device;
struct kl_folder;
struct plan;
struct store_file;
struct store_writer;

struct diffusion_design {
    struct s3dit_config dit;
    int width, height; /* in the network's pixels, of dit.channels numbers */
    int factor;   /* pixels of the image along a side of one of those: latents; 0: they are it */
    uint64_t vae; /* which autoencoder makes latents: kl_folder_identity */
    struct diffusion_conditions conditions;
};

/* Numbers of an image. */
static inline size_t diffusion_image_floats(const struct diffusion_design *design)
{
    return (size_t)design->width * (size_t)design->height * (size_t)design->dit.channels;
}

/* Of the images that are shown, in pixels. */
static inline int diffusion_shown_width(const struct diffusion_design *design)
{
    return design->factor ? design->width * design->factor : design->width;
}

static inline int diffusion_shown_height(const struct diffusion_design *design)
{
    return design->factor ? design->height * design->factor : design->height;
}

static inline bool diffusion_is_grey(const struct diffusion_design *design)
{
    return design->factor == 0 && design->dit.channels == 1;
}

/* Sets what all networks of the task have in common; colours and patches of 2 x 2 where it does not
 * say. */
void diffusion_design_complete(struct diffusion_design *design);
/* vae: that it works on the latents of; NULL: on pixels. ERR_CONFIG, naming the key. */
int diffusion_design_configure(struct diffusion_design *design, const struct config *config,
                               const struct diffusion_conditions *conditions,
                               const struct kl_folder *vae);
int diffusion_design_store(const struct diffusion_design *design, struct store_writer *writer);
/* The autoencoder that a checkpoint or a model is of, by its checksum; 0: it names none. */
int diffusion_store_vae(uint64_t vae, struct store_writer *writer);
uint64_t diffusion_load_vae(const struct store_file *file);
/* latent/latent_find.h, of a file of this design. */
int diffusion_find_vae(struct kl_folder *vae, const struct diffusion_design *design,
                       const struct store_file *file, const char *other);
/* ERR_DATA. */
int diffusion_design_load(struct diffusion_design *design, const struct store_file *file);

/* The network and the passes of up to `micro` images at a time. The struct must stay where it is;
 * diffusion_network_close takes it in any case. */
struct diffusion_network {
    struct device *device;
    struct diffusion_design design;
    struct s3dit_model model;
    struct s3dit dit;
    int micro;
    size_t table; /* where the table begins in the flat range: behind S3-DiT's parameters */
    float *text;  /* [micro][rows_most][text_dim] */
    float *text_gradient;
};

int diffusion_network_open(struct diffusion_network *network,
                           const struct diffusion_design *design);
void diffusion_network_close(struct diffusion_network *network);
/* All parameters, as a net that computes nothing: those of S3-DiT, then `condition.table`. */
int diffusion_network_list(struct diffusion_network *network, struct net *net);
/* First weights of the flat range. */
void diffusion_network_initialise(const struct diffusion_network *network, float *parameters,
                                  uint64_t seed);
/* Multiplications of one image's forward pass. */
double diffusion_network_macs(const struct diffusion_network *network);

/* Images whose gradients are summed as one: micro-batches are multiples, so that none changes a
 * bit. */
int diffusion_chunk(const struct diffusion_design *design);

/* Declares the buffers of passes, over the phases 0 .. *phases - 1. */
int diffusion_network_declare(struct diffusion_network *network, int micro, enum s3dit_use use,
                              struct device *device, struct plan *plan, int *phases);
/* After plan_commit and plan_replace. */
int diffusion_network_connect(struct diffusion_network *network);

/* n images, all of the device. */
struct diffusion_pass {
    const float *parameters;
    float *gradients; /* of the backward pass */
    int n;
    const float *image;           /* [n][height][width][3] with noise */
    const float *time;            /* [n][S3DIT_TIME_FEATURES], of 1 - the share of noise */
    const int *condition;         /* [n][rows_most]: rows of the table */
    const int *length;            /* [n]: how many of them count; host memory */
    bool (*stop_requested)(void); /* looked at before each block: ERR_STOPPED; NULL: never */
};

/* out: like image. */
int diffusion_network_forward(struct diffusion_network *network, const struct diffusion_pass *pass,
                              float *out);
/* After the forward pass of the same: adds to the gradients what `gradient`, at `out`, makes. */
int diffusion_network_backward(struct diffusion_network *network, const struct diffusion_pass *pass,
                               const float *gradient);

#endif
