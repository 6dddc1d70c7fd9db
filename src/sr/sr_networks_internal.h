/* What a network that enlarges images defines: a const table in its file in networks/, entered in
 * sr_networks.c. */
#ifndef IMGTRAIN_SR_SR_NETWORKS_INTERNAL_H
#define IMGTRAIN_SR_SR_NETWORKS_INTERNAL_H

#include "sr/sr_networks.h"

struct sr_network_kind {
    const char *name;
    /* The design's sizes, but for network and scale, from the keys of the config. ERR_CONFIG. */
    int (*configure)(struct sr_design *design, const struct config *config);
    /* Its sizes in a few characters ("64-16"). */
    void (*sizes)(const struct sr_design *design, char *text, size_t room);
    /* Adds the layers behind layer 0, which is the input, and marks the segments that activation
     * checkpointing makes again: of `group` layers or a block of its own, none where group is 0. */
    int (*build)(struct net *net, const struct sr_design *design, int group);
    int (*radius)(const struct sr_design *design);
    /* Where weights begin; NULL: sr_default_initialise. */
    int (*initialise)(const struct sr_design *design, const struct net *net, float *parameters,
                      uint64_t seed);
    bool (*detect)(struct sr_design *design, const struct store_file *file, const char *prefix);

    /* What the tensor of a parameter is called in a file that may name it in another way; NULL: as
     * the parameter. */
    void (*file_name)(const struct sr_design *design, const struct store_file *file,
                      const char *prefix, const char *name, char *out, size_t room);
    /* Where files do not hold each parameter as a tensor of its name; NULL: they do. */
    int (*expect)(const struct sr_design *design, const struct net *net,
                  const struct store_file *file, const char *prefix);
    int (*load)(const struct sr_design *design, const struct net *net,
                const struct store_file *file, const char *prefix, struct store_range allowed,
                float *parameters);
    size_t (*stored_floats)(const struct sr_design *design);
    int (*store)(const struct sr_design *design, const struct net *net, const float *parameters,
                 float *more, struct store_writer *writer);
    bool (*knows)(const struct sr_design *design, const struct net *net, const char *name);
};

extern const struct sr_network_kind sr_kind_compact, sr_kind_span, sr_kind_esrgan;

/* As PyTorch does: convolutions and their biases uniform in +-1 / sqrt(fan-in), PReLU .25. */
void sr_default_initialise(const struct net *net, float *parameters, uint64_t seed);
/* Uniform numbers in +-bound for a parameter. */
void sr_fill_uniform(float *parameters, const struct net_parameter *parameter, float bound,
                     uint64_t seed);
/* The size `index` of the tensor PREFIXname; 0 when there is none of `dims` dimensions. */
int64_t sr_tensor_size(const struct store_file *file, const char *prefix, const char *name,
                       int dims, int index);
/* The scale at which `channels` are the 3 r r that a pixel shuffle takes; 0: none. */
int sr_scale_of_channels(int64_t channels);

#endif
