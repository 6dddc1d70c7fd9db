/* A network as a graph of ONNX operators: images [N][c][h][w], where passes have them [N][h][w][c].
 */
#ifndef IMGTRAIN_NN_NET_ONNX_H
#define IMGTRAIN_NN_NET_ONNX_H

#include "nn/graph.h"

struct onnx_model;

/* Adds inputs, weights (`parameters`: the net's flat range), operators and the output, which is
 * called `output`. A generator with classes has the inputs "z" and "label", with tags "z" and
 * "tags" (1 for each that an image has, else 0), any other network one called `input`. ERR_USAGE,
 * naming the layer's kind, for one that has no form in ONNX here. */
int net_onnx_add(struct onnx_model *model, const struct net *net, const float *parameters,
                 bool tags, const char *input, const char *output);

#endif
