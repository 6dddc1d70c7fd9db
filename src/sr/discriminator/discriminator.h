/* The discriminator of enlarged images: a U-Net with spectral normalisation, which scores every
 * pixel (UNetDiscriminatorSN of Real-ESRGAN, BasicSR and traiNNer-redux; Wang et al.,
 * arXiv:2107.10833), by the names of its tensors. */
#ifndef IMGTRAIN_SR_DISCRIMINATOR_H
#define IMGTRAIN_SR_DISCRIMINATOR_H

#include "nn/graph.h"

struct store_file;

enum { SR_D_TAPS = 4, SR_D_NORMS = 8, SR_D_MULTIPLE = 8 };

struct sr_d_design {
    int features; /* channels of the first layer, a multiple of 8; 0: no discriminator */
    bool skips;   /* what goes down is added on the way up */
};

/* Images of side x side pixels, a multiple of SR_D_MULTIPLE. taps: the layers x0..x3, whose
 * activations are its features. segments: for activation checkpointing. ERR_CONFIG. */
int sr_d_build(struct net *net, const struct sr_d_design *design, int side, bool segments,
               int taps[SR_D_TAPS]);
/* A net without layers: the vectors u and v of its normalised weights, as in their files. */
int sr_d_vectors(struct net *vectors, const struct net *net);
/* A normalised weight and its vectors, by number: parameters of net and of vectors. */
struct sr_d_norm {
    const struct net_parameter *weight, *u, *v;
};
struct sr_d_norm sr_d_norm(const struct net *net, const struct net *vectors, int number);

/* Where training starts, a function of the seed: as PyTorch does. */
void sr_d_initialise(const struct net *net, float *parameters, const struct net *vectors,
                     float *vector_values, uint64_t seed);

/* Before the names of the tensors of a discriminator that the file holds ("d." in checkpoints), and
 * its design but for `skips`; NULL: there is none. */
const char *sr_d_detect(struct sr_d_design *design, const struct store_file *file);

#endif
