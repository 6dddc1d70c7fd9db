#include "diffusion/vae/kl.h"

#include "base/error.h"
#include "nn/layers.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int kl_check(const struct kl_config *c)
{
    if (c->levels < 1 || c->levels > KL_LEVELS_MOST)
        return fail(ERR_CONFIG, "an autoencoder of %d levels, not 1..%d", c->levels,
                    KL_LEVELS_MOST);
    if (c->resnets < 1 || c->resnets > KL_RESNETS_MOST)
        return fail(ERR_CONFIG, "an autoencoder with %d blocks a level, not 1..%d", c->resnets,
                    KL_RESNETS_MOST);
    if (c->latent_channels < 1 || c->latent_channels > KL_LATENTS_MOST)
        return fail(ERR_CONFIG, "latents of %d channels, not 1..%d", c->latent_channels,
                    KL_LATENTS_MOST);
    for (int l = 0; l < c->levels; l++)
        if (c->groups < 1 || c->widths[l] < 1 || c->widths[l] > KL_WIDTH_MOST ||
            c->widths[l] % c->groups)
            return fail(ERR_CONFIG, "level %d of an autoencoder has %d channels in %d groups", l,
                        c->widths[l], c->groups);
    return OK;
}

int kl_factor(const struct kl_config *config)
{
    return 1 << (config->levels - 1);
}

/* ---- pieces: each reads the last value, and returns its own ---- */

/* Where its parameters stand: "encoder.mid_block." and what is behind it. */
struct kl_place {
    struct net *net;
    const struct kl_config *config;
    char name[64];
};

__attribute__((format(printf, 2, 3))) static struct kl_place kl_within(const struct kl_place *place,
                                                                       const char *format, ...)
{
    struct kl_place within = *place;
    size_t used = 0;
    while (within.name[used])
        used++;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(within.name + used, sizeof within.name - used, format, arguments);
    va_end(arguments);
    return within;
}

static int kl_add_named(const struct kl_place *place, const char *what, struct net_layer layer)
{
    struct kl_place named = kl_within(place, "%s", what);
    return net_add_named_layer(place->net, named.name, layer);
}

/* The last layer of a block whose input is added behind it. It starts at 0, so that an image goes
 * through the network unchanged by blocks at first: colours are learnt from the first steps on. */
static int kl_add_branch_end(const struct kl_place *place, const char *what, struct net_layer layer)
{
    int number = kl_add_named(place, what, layer);
    TRY(number);
    place->net->parameters[place->net->layers[number].weight].std = 0;
    return number;
}

static int kl_add_norm(const struct kl_place *place, const char *what, bool silu)
{
    struct net_layer norm = net_next_layer(place->net, &layer_group_norm);
    norm.groups = place->config->groups;
    norm.silu = silu;
    return kl_add_named(place, what, norm);
}

static int kl_add_conv(const struct kl_place *place, const char *what, int channels, int kernel)
{
    struct kl_place named = kl_within(place, "%s", what);
    return nn_add_conv(place->net, named.name, channels, kernel);
}

/* As `what`, of value `from`, with the value `residual` added; -1: none. */
static int kl_add_conv_of(const struct kl_place *place, const char *what, int channels, int kernel,
                          int from, int residual)
{
    struct net_layer conv = net_next_layer(place->net, &layer_conv);
    conv.c = channels;
    conv.kernel = kernel;
    conv.input[0] = from;
    if (residual < 0) return kl_add_named(place, what, conv);
    conv.input[conv.input_count++] = residual;
    return kl_add_branch_end(place, what, conv);
}

static int kl_last(const struct kl_place *place)
{
    return place->net->layer_count - 1;
}

static int kl_add_resnet(const struct kl_place *place, int channels)
{
    int input = kl_last(place), begin = input + 1, residual = input;
    TRY(kl_add_norm(place, "norm1", true));
    TRY(kl_add_conv(place, "conv1", channels, 3));
    TRY(kl_add_norm(place, "norm2", true));
    int inside = kl_last(place);
    if (place->net->layers[input].c != channels) {
        residual = kl_add_conv_of(place, "conv_shortcut", channels, 1, input, -1);
        TRY(residual);
    }
    TRY(kl_add_conv_of(place, "conv2", channels, 3, inside, residual));
    net_mark_segment(place->net, begin, kl_last(place));
    return kl_last(place);
}

static int kl_add_attention(const struct kl_place *place)
{
    static const char *const names[] = {"to_q", "to_k", "to_v"};
    int input = kl_last(place), begin = input + 1, channels = place->net->layers[input].c;
    int norm = kl_add_norm(place, "group_norm", false);
    TRY(norm);
    struct net_layer matrix = net_next_layer(place->net, &layer_pixel_linear);
    struct net_layer attention = {.kind = NULL};
    int made[3];
    matrix.c = channels;
    for (int k = 0; k < 3; k++) {
        made[k] = kl_add_named(place, names[k], matrix);
        TRY(made[k]);
    }
    attention = net_next_layer(place->net, &layer_pixel_attention);
    attention.input_count = 3;
    for (int k = 0; k < 3; k++)
        attention.input[k] = made[k];
    matrix.input[0] = net_add_layer(place->net, attention);
    TRY(matrix.input[0]);
    matrix.input[1] = input;
    matrix.input_count = 2;
    TRY(kl_add_branch_end(place, "to_out.0", matrix));
    net_mark_segment(place->net, begin, kl_last(place));
    return kl_last(place);
}

static int kl_add_middle(const struct kl_place *place)
{
    int channels = place->config->widths[place->config->levels - 1];
    struct kl_place resnet = kl_within(place, "mid_block.resnets.0.");
    TRY(kl_add_resnet(&resnet, channels));
    if (place->config->attention) {
        struct kl_place attention = kl_within(place, "mid_block.attentions.0.");
        TRY(kl_add_attention(&attention));
    }
    resnet = kl_within(place, "mid_block.resnets.1.");
    return kl_add_resnet(&resnet, channels);
}

/* Normalisation and the last convolution. */
static int kl_add_end(const struct kl_place *place, int channels)
{
    int begin = place->net->layer_count;
    TRY(kl_add_norm(place, "conv_norm_out", true));
    TRY(kl_add_conv(place, "conv_out", channels, 3));
    net_mark_segment(place->net, begin, kl_last(place));
    return kl_last(place);
}

/* ---- the networks ---- */

int kl_add_encoder(struct net *net, const struct kl_config *c, int input)
{
    const struct kl_place place = {.net = net, .config = c, .name = "encoder."};
    TRY(kl_check(c));
    TRY(kl_add_conv_of(&place, "conv_in", c->widths[0], 3, input, -1));
    for (int level = 0; level < c->levels; level++) {
        struct kl_place block = kl_within(&place, "down_blocks.%d.", level);
        for (int r = 0; r < c->resnets; r++) {
            struct kl_place resnet = kl_within(&block, "resnets.%d.", r);
            TRY(kl_add_resnet(&resnet, c->widths[level]));
        }
        if (level + 1 == c->levels) continue;
        struct net_layer halve = net_next_layer(net, &layer_conv_halve);
        halve.c = c->widths[level];
        TRY(kl_add_named(&block, "downsamplers.0.conv", halve));
    }
    TRY(kl_add_middle(&place));
    int last = kl_add_end(&place, 2 * c->latent_channels);
    const struct kl_place outside = {.net = net, .config = c};
    return last < 0 || !c->quant_conv
               ? last
               : kl_add_conv(&outside, "quant_conv", 2 * c->latent_channels, 1);
}

int kl_add_decoder(struct net *net, const struct kl_config *c, int input)
{
    const struct kl_place place = {.net = net, .config = c, .name = "decoder."};
    const struct kl_place outside = {.net = net, .config = c};
    TRY(kl_check(c));
    if (c->post_quant_conv) {
        input = kl_add_conv_of(&outside, "post_quant_conv", c->latent_channels, 1, input, -1);
        TRY(input);
    }
    TRY(kl_add_conv_of(&place, "conv_in", c->widths[c->levels - 1], 3, input, -1));
    TRY(kl_add_middle(&place));
    for (int level = 0; level < c->levels; level++) {
        int channels = c->widths[c->levels - 1 - level];
        struct kl_place block = kl_within(&place, "up_blocks.%d.", level);
        for (int r = 0; r <= c->resnets; r++) {
            struct kl_place resnet = kl_within(&block, "resnets.%d.", r);
            TRY(kl_add_resnet(&resnet, channels));
        }
        if (level + 1 == c->levels) continue;
        struct net_layer enlarge = net_next_layer(net, &layer_conv_gather);
        enlarge.c = channels;
        enlarge.kernel = 3;
        enlarge.factor = 2;
        TRY(kl_add_named(&block, "upsamplers.0.conv", enlarge));
    }
    return kl_add_end(&place, KL_IMAGE_CHANNELS);
}

static int kl_check_size(const struct kl_config *config, int h, int w)
{
    int factor = kl_factor(config);
    if (h > 0 && w > 0 && h % factor == 0 && w % factor == 0) return OK;
    return fail(ERR_CONFIG,
                "an autoencoder of %d levels takes images whose sides are multiples of "
                "%d, not %d x %d",
                config->levels, factor, w, h);
}

int kl_build_encoder(struct net *net, const struct kl_config *config, int h, int w)
{
    TRY(kl_check(config));
    TRY(kl_check_size(config, h, w));
    TRY(nn_add_input(net, h, w, KL_IMAGE_CHANNELS));
    TRY(kl_add_encoder(net, config, 0));
    return net_finish(net);
}

int kl_build_decoder(struct net *net, const struct kl_config *config, int h, int w)
{
    TRY(kl_check(config));
    TRY(nn_add_input(net, h, w, config->latent_channels));
    TRY(kl_add_decoder(net, config, 0));
    return net_finish(net);
}

bool kl_is_of_encoder(const char *parameter)
{
    return strncmp(parameter, "encoder.", 8) == 0 || strncmp(parameter, "quant_conv.", 11) == 0;
}

/* "up_blocks.0" of "decoder.up_blocks.0.resnets.1.conv1.weight"; the ends' norm is of their
 * convolution's; "quant_conv" stands outside. */
static void kl_block_name(const char *parameter, char *name, size_t room)
{
    bool outside = strstr(parameter, "quant_conv") != NULL;
    const char *from = outside ? parameter : strchr(parameter, '.') + 1, *end = strchr(from, '.');
    if (strncmp(from, "conv_norm_out", 13) == 0) {
        snprintf(name, room, "conv_out");
        return;
    }
    if (end[1] >= '0' && end[1] <= '9') end = strchr(end + 1, '.');
    snprintf(name, room, "%.*s", (int)(end - from), from);
}

int kl_list_blocks(const struct net *net, struct kl_block blocks[KL_BLOCKS_MOST])
{
    int count = 0;
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        struct kl_block block = {.parameter = l->weight, .layer = i};
        if (l->weight >= 0)
            kl_block_name(net->parameters[l->weight].name, block.name, sizeof block.name);
        if (l->weight >= 0 && (count == 0 || strcmp(block.name, blocks[count - 1].name) != 0))
            blocks[count++] = block;
        if (count == 0) continue; /* the input */
        blocks[count - 1].layers = i + 1 - blocks[count - 1].layer;
        if (l->weight >= 0) blocks[count - 1].parameters += 1 + (l->bias >= 0);
    }
    return count;
}

int kl_build_training(struct net *net, const struct kl_config *config, int h, int w, int *moments)
{
    TRY(kl_check(config));
    TRY(kl_check_size(config, h, w));
    int factor = kl_factor(config);
    TRY(nn_add_input(net, h, w, KL_IMAGE_CHANNELS));
    struct net_layer noise = net_next_layer(net, &layer_input);
    noise.input_count = 0;
    noise.h = h / factor;
    noise.w = w / factor;
    noise.c = config->latent_channels;
    TRY(net_add_layer(net, noise));
    *moments = kl_add_encoder(net, config, KL_IMAGE);
    TRY(*moments);
    int sample = net_add_pair(net, &layer_latent_sample, *moments, KL_NOISE);
    TRY(sample);
    TRY(kl_add_decoder(net, config, sample));
    TRY(net_finish(net));
    net->layers[KL_NOISE].first_writer = net->layers[KL_NOISE].last_writer = -1; /* no gradient */
    return OK;
}
