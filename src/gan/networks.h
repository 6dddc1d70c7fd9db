/* Generator and discriminator, with the topology of R3GAN (Huang et al., "The GAN is dead; long
 * live the GAN!", NeurIPS 2024): piecewise linear, no normalisation. Names and layouts of the
 * parameters are those of scripts/reference/GAN_TENSORS.md. */
#ifndef IMGTRAIN_GAN_NETWORKS_H
#define IMGTRAIN_GAN_NETWORKS_H

#include "nn/graph.h"

struct device;
struct plan;
struct tag_sets;

enum { NET_MAX_STAGES = 10 };

/* What both networks are made from: stages by rising resolution; stage s has width[s] channels,
 * blocks[s] residual blocks and images of (base_h << s) x (base_w << s). */
struct net_design {
    int stages, base_h, base_w;
    int width[NET_MAX_STAGES], blocks[NET_MAX_STAGES];
    int z, classes, embedding;   /* classes 0: unconditional, and embedding 0 */
    const struct tag_sets *tags; /* borrowed: labels are sets of tags, which are the classes; NULL:
                                    labels are classes */
    int channels;                /* of images: 1, 3 or 4 */
};

/* How many labels there are: classes, or sets of tags. */
int net_labels(const struct net_design *design);
/* Where they are sets of tags, memory in the plan for nn_labels.sets, and, once that is committed,
 * its numbers; else *sets stays as it is. */
int net_declare_label_sets(const struct net_design *design, struct plan *plan, int **sets);
int net_send_label_sets(const struct net_design *design, struct device *device, int *sets);

/* Into an empty `net`, which the caller frees in any case. amp: mixed precision, see
 * net_mix_precision. ERR_CONFIG for widths that are no multiple of 8. */
int net_generator(struct net *net, const struct net_design *design, bool amp);
int net_discriminator(struct net *net, const struct net_design *design, bool amp);

#endif
