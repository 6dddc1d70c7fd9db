/* All kinds of layers (struct nn_layer_kind in graph.h).
 *
 * To add one: write its file in nn/layers after the nearest neighbour, and its line here. Nothing
 * else in nn changes. A test may bring a kind of its own. */
#ifndef IMGTRAIN_NN_LAYERS_H
#define IMGTRAIN_NN_LAYERS_H

#include "nn/passes.h"

extern const struct nn_layer_kind layer_input;            /* h, w, c set */
extern const struct nn_layer_kind layer_embedded_input;   /* c, classes, embedding set */
extern const struct nn_layer_kind layer_conv;             /* c, kernel, groups set */
extern const struct nn_layer_kind layer_linear;           /* c set */
extern const struct nn_layer_kind layer_expand;           /* [n][c] -> [n][h][w][c]: h, w set */
extern const struct nn_layer_kind layer_contract;         /* [n][h][w][c] -> [n][c] */
extern const struct nn_layer_kind layer_fir_up;           /* [n][2h][2w][c] */
extern const struct nn_layer_kind layer_fir_down;         /* [n][h/2][w/2][c] */
extern const struct nn_layer_kind layer_bilinear_up;      /* [n][2h][2w][c] */
extern const struct nn_layer_kind layer_conv_down;        /* [n][h/2][w/2][c]: c set */
extern const struct nn_layer_kind layer_label_projection; /* [n][e] -> [n][1]: classes set */
extern const struct nn_layer_kind layer_pixel_shuffle;    /* [n][hf][wf][c/f^2]: factor set */
/* [n][hf][wf][c], of up to 5 values side by side, each enlarged `factor` times: c, kernel, factor
 * set */
extern const struct nn_layer_kind layer_conv_gather;
extern const struct nn_layer_kind layer_pixel_unshuffle; /* [n][h/f][w/f][c f^2]: factor set */
extern const struct nn_layer_kind layer_concat;          /* [n][h][w][sum of c] */
extern const struct nn_layer_kind layer_prelu;           /* its weight [c]: slopes, 0.25 at first */
extern const struct nn_layer_kind layer_conv3xc;         /* conv3xc.c: c set; see nn_add_conv3xc */
extern const struct nn_layer_kind layer_silu;
extern const struct nn_layer_kind layer_residual;   /* a fifth of input[0], and input[1] */
extern const struct nn_layer_kind layer_gate;       /* input[0] what changes input[1] */
extern const struct nn_layer_kind layer_rgb_range;  /* [n][h][w][3] -> (x - mean) * 255 */
extern const struct nn_layer_kind layer_prelu_conv; /* as layer_conv; reads a convolution's sum */
extern const struct nn_layer_kind layer_nearest_up; /* [n][hf][wf][c]: factor set */
extern const struct nn_layer_kind layer_max_pool;   /* [n][h/2][w/2][c]: the largest of 2 x 2 */
extern const struct nn_layer_kind layer_add;        /* the sum of two values of one shape */
extern const struct nn_layer_kind layer_group_norm; /* groups set; silu: a SiLU behind it */
extern const struct nn_layer_kind layer_conv_halve; /* [n][h/2][w/2][c], 3x3 stride 2: c set */
extern const struct nn_layer_kind
    layer_pixel_linear; /* layer_conv of 1x1, weights [c][in]: c set */
/* Of queries, keys and values, three of one shape: one head over all pixels. */
extern const struct nn_layer_kind layer_pixel_attention;
extern const struct nn_layer_kind layer_latent_sample; /* of moments and noise: nn_ops.h */

/* Adds the layer_input of a network without layers. */
int nn_add_input(struct net *net, int h, int w, int c);
/* Adds a layer_conv of the last value with NAME.weight and NAME.bias: its number. */
int nn_add_conv(struct net *net, const char *name, int channels, int kernel);
/* Adds a layer_conv3xc of the last value (silu: of what SiLU makes of it) with its eight
 * parameters, NAME.sk.weight and so on: its number. */
int nn_add_conv3xc(struct net *net, const char *name, int channels, bool silu);

#endif
