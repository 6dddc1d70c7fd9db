/* The weights that a training starts from, and the normal numbers they are made of. */
#ifndef IMGTRAIN_NN_NET_INIT_H
#define IMGTRAIN_NN_NET_INIT_H

#include "nn/graph.h"

/* Each parameter of the flat range: normal numbers of its std, by (seed, stream, which, its
 * offset). which: the network's number within its task. */
void net_initialise(const struct net *net, float *parameters, uint64_t seed, uint32_t stream,
                    int which);

/* Normal numbers; four of them are one draw: index first, first + 1, ... */
void net_normal(float *out, size_t count, uint64_t seed, uint32_t stream, uint64_t step,
                uint64_t first);

#endif
