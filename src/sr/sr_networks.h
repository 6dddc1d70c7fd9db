/* The networks that enlarge images, by the names that their tensors have everywhere. Inputs and
 * outputs are RGB, 0..1, not clamped. */
#ifndef IMGTRAIN_SR_SR_NETWORKS_H
#define IMGTRAIN_SR_SR_NETWORKS_H

#include "nn/graph.h"

struct store_file;
struct store_writer;

/* A row of the table in sr_networks.c each. */
enum sr_network { SR_COMPACT, SR_NETWORKS };

struct sr_design {
    enum sr_network network;
    int scale;
    int features; /* nf: channels inside */
    int convs;    /* nc: convolutions between the first and the last */
};

enum { SR_SCALE_MOST = 8, SR_FEATURES_MOST = 512, SR_CONVS_MOST = 256 };

const char *sr_network_name(enum sr_network network);

/* For LQ of h x w pixels. group: layers that activation checkpointing makes again together; 0: none
 * need be marked. ERR_CONFIG. */
int sr_network_build(struct net *net, const struct sr_design *design, int h, int w, int group);
/* How far, in pixels of LQ, an output pixel looks. */
int sr_network_radius(const struct sr_design *design);
/* Weights that training starts from, a function of the seed. */
void sr_network_initialise(const struct net *net, float *parameters, uint64_t seed);

/* Which network a file holds, from its tensors (named PREFIX...): false when none of ours. */
bool sr_network_detect(struct sr_design *design, const struct store_file *file, const char *prefix);
/* What is not one of the networks that there are, in a line: ERR_DATA. */
int sr_network_require(struct sr_design *design, const struct store_file *file, const char *prefix);

#endif
