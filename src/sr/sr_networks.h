/* The networks that enlarge images, by the names that their tensors have everywhere. Inputs and
 * outputs are RGB, 0..1, not clamped. One file a network in networks/, listed in sr_networks.c;
 * sr_networks_internal.h is what such a file defines. */
#ifndef IMGTRAIN_SR_SR_NETWORKS_H
#define IMGTRAIN_SR_SR_NETWORKS_H

#include "nn/graph.h"
#include "store/store_bounds.h"

struct config;
struct store_file;
struct store_writer;

/* A row of the table in sr_networks.c each. */
enum sr_network { SR_COMPACT, SR_SPAN, SR_ESRGAN, SR_NETWORKS };

/* Whatever makes one network another one; what a network does not have is 0. */
struct sr_design {
    enum sr_network network;
    int scale;
    int features;  /* nf: channels inside */
    int convs;     /* nc: convolutions between the first and the last */
    int blocks;    /* nb: blocks of several convolutions */
    int growth;    /* gc: channels that each convolution of a dense block adds */
    int unshuffle; /* the input's pixels become channels first, so many a side; 0: they do not */
    bool norm;     /* the input's mean is taken off first, and its range is 255 */
    bool merged;   /* no other network, but held in another form: convolutions that have parts are
                      held as the one that these make */
    bool mixed;    /* nor: what lies between the first and the last convolution is kept as bf16 */
};

enum { SR_SCALE_MOST = 8, SR_FEATURES_MOST = 512, SR_CONVS_MOST = 256, SR_BLOCKS_MOST = 256 };

const char *sr_network_name(enum sr_network network);
/* As in "compact 64-16". */
struct sr_design_text {
    char text[64];
};
struct sr_design_text sr_design_text(const struct sr_design *design);
bool sr_design_equal(const struct sr_design *a, const struct sr_design *b);
/* By sr.network, sr.scale and the keys that the network heeds. ERR_CONFIG, naming the key. */
int sr_design_configure(struct sr_design *design, const struct config *config);

/* The multiple of `unshuffle` that a side of LQ must be filled up to. */
int sr_network_side(const struct sr_design *design, int pixels);
/* For LQ of h x w pixels, each filled up to its sr_network_side. group: layers
 * that activation checkpointing makes again together; 0: none need be marked. ERR_CONFIG. */
int sr_network_build(struct net *net, const struct sr_design *design, int h, int w, int group);
/* How far, in pixels of LQ, an output pixel looks. */
int sr_network_radius(const struct sr_design *design);
/* Weights that training starts from, a function of the seed. */
int sr_network_initialise(const struct sr_design *design, const struct net *net, float *parameters,
                          uint64_t seed);

/* Which network a file holds, from its tensors (named PREFIX...): false when none of ours. */
bool sr_network_detect(struct sr_design *design, const struct store_file *file, const char *prefix);
/* What is not one of the networks that there are, in a line: ERR_DATA. */
int sr_network_require(struct sr_design *design, const struct store_file *file, const char *prefix);
/* ERR_DATA unless the file, in which `design` was detected, has all tensors of the network. */
int sr_network_expect(const struct sr_design *design, const struct net *net,
                      const struct store_file *file, const char *prefix);
/* Its parameters: ERR_DATA for numbers outside `allowed` too. */
int sr_network_load(const struct sr_design *design, const struct net *net,
                    const struct store_file *file, const char *prefix, struct store_range allowed,
                    float *parameters);
/* How many tensors the file has in the network's shape; and those, the others named in the log:
 * they stay as they are. */
int sr_network_count_fitting(const struct sr_design *design, const struct net *net,
                             const struct store_file *file, const char *prefix, int *count);
int sr_network_load_fitting(const struct sr_design *design, const struct net *net,
                            const struct store_file *file, const char *prefix,
                            struct store_range allowed, float *parameters);
/* The tensors of a model file. more: sr_network_stored_floats numbers, for what it has beyond the
 * parameters; both are borrowed until the writer is done. */
size_t sr_network_stored_floats(const struct sr_design *design);
int sr_network_store(const struct sr_design *design, const struct net *net, const float *parameters,
                     float *more, struct store_writer *writer);
/* Whether a file of this network may have this tensor. */
bool sr_network_knows(const struct sr_design *design, const struct net *net, const char *name);

#endif
