/* SPAN (Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution",
 * arXiv:2311.12770): conv_1, block_1 .. block_6, conv_2, conv_cat, upsampler. Most of its
 * convolutions are Conv3XC: trained in parts (nn/layers/conv3xc.c), or (`merged`) as the one 3x3
 * convolution NAME.eval_conv that the parts make. Files have both, and `no_norm` where the input is
 * taken as it is. */
#include "base/error.h"
#include "config/config.h"
#include "nn/layers.h"
#include "nn/weights_file.h"
#include "sr/sr_networks_internal.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 6, TAPS = 9, CENTRE = 4 };

/* Parameters of a layer in parts, in their order (nn_add_conv3xc). */
enum { SK, SK_BIAS, W0, B0, W1, B1, W2, B2, PARTS };

static int span_configure(struct sr_design *design, const struct config *config)
{
    design->features = (int)config->sr.num_feat;
    design->norm = config->sr.norm;
    design->merged = !config->sr.reparam;
    return OK;
}

static void span_sizes(const struct sr_design *design, char *text, size_t room)
{
    snprintf(text, room, "%d%s", design->features, design->norm ? " with norm" : "");
}

/* ---- the graph ---- */

static int add_span_conv(struct net *net, const struct sr_design *design, const char *name,
                         bool silu)
{
    char full[48];
    if (!design->merged) return nn_add_conv3xc(net, name, design->features, silu);
    snprintf(full, sizeof full, "%s.eval_conv", name);
    struct net_layer conv = net_next_layer(net, &layer_conv);
    conv.c = design->features;
    conv.kernel = 3;
    conv.silu = silu;
    return net_add_named_layer(net, full, conv);
}

/* Behind the last value. SiLU is done on the way into the second and the third convolution; *first:
 * what it makes of the first one, where that is asked for. */
static int add_span_block(struct net *net, const struct sr_design *design, int number, int group,
                          int *first)
{
    char name[32];
    int before = net->layer_count - 1;
    for (int i = 1; i <= 3; i++) {
        bool behind_layer = i == 2 && first;
        if (behind_layer) {
            *first = net_add_layer(net, net_next_layer(net, &layer_silu));
            TRY(*first);
        }
        snprintf(name, sizeof name, "block_%d.c%d_r", number, i);
        TRY(add_span_conv(net, design, name, i > 1 && !behind_layer));
    }
    int last = net_add_pair(net, &layer_gate, net->layer_count - 1, before);
    TRY(last);
    if (group > 0) net_mark_segment(net, before + 1, last);
    return last;
}

static int span_build(struct net *net, const struct sr_design *design, int group)
{
    int joined[4];
    if (design->norm) TRY(net_add_layer(net, net_next_layer(net, &layer_rgb_range)));
    TRY(joined[0] = add_span_conv(net, design, "conv_1", false));
    for (int i = 1; i <= BLOCKS; i++) {
        int block = add_span_block(net, design, i, group, i == BLOCKS ? &joined[3] : NULL);
        TRY(block);
        if (i == 1) joined[2] = block;
    }
    TRY(joined[1] = add_span_conv(net, design, "conv_2", false));
    struct net_layer join = net_next_layer(net, &layer_conv_gather);
    join.c = design->features;
    join.input_count = 4;
    memcpy(join.input, joined, sizeof joined);
    TRY(net_add_named_layer(net, "conv_cat", join));
    TRY(nn_add_conv(net, "upsampler.0", 3 * design->scale * design->scale, 3));
    struct net_layer shuffle = net_next_layer(net, &layer_pixel_shuffle);
    shuffle.factor = design->scale;
    return net_add_layer(net, shuffle);
}

static int span_radius(const struct sr_design *design)
{
    (void)design;
    return 3 * BLOCKS + 3;
}

/* ---- from one form to the other ---- */

/* The same network in the other form, of no particular size. */
static int build_form(struct net *net, const struct sr_design *design, bool merged)
{
    struct sr_design form = *design;
    form.merged = merged;
    return sr_network_build(net, &form, 1, 1, 0);
}

static const float *parameter_at(const struct net *net, const float *parameters, int number)
{
    return parameters + net->parameters[number].offset;
}

/* W and b of nn/layers/conv3xc.c, summed in double. */
static void merge_layer(const struct net *net, int layer, const float *parts, float *w, float *b)
{
    const struct net_layer *l = &net->layers[layer];
    const float *p[PARTS];
    for (int i = 0; i < PARTS; i++)
        p[i] = parameter_at(net, parts, l->weight + i);
    int in = net->layers[l->input[0]].c, out = l->c;
    int wide_in = (int)net->parameters[l->weight + W0].shape[0];
    int wide_out = (int)net->parameters[l->weight + W2].shape[1];
    for (int o = 0; o < out; o++) {
        const float *w2 = p[W2] + (size_t)o * (size_t)wide_out;
        double bias = (double)p[B2][o] + (double)p[SK_BIAS][o];
        for (int k = 0; k < wide_out; k++)
            bias += (double)w2[k] * (double)p[B1][k];
        for (int t = 0; t < TAPS; t++) {
            double sums[2 * SR_FEATURES_MOST] = {0}; /* by q: w2 w1 */
            for (int k = 0; k < wide_out; k++) {
                const float *w1 = p[W1] + (size_t)k * (size_t)wide_in * TAPS + t;
                for (int q = 0; q < wide_in; q++)
                    sums[q] += (double)w2[k] * (double)w1[(size_t)q * TAPS];
            }
            for (int i = 0; i < in; i++) {
                double sum = t == CENTRE ? (double)p[SK][(size_t)o * (size_t)in + (size_t)i] : 0;
                for (int q = 0; q < wide_in; q++)
                    sum += sums[q] * (double)p[W0][(size_t)q * (size_t)in + (size_t)i];
                w[((size_t)o * (size_t)in + (size_t)i) * TAPS + (size_t)t] = (float)sum;
            }
            for (int q = 0; q < wide_in; q++)
                bias += sums[q] * (double)p[B0][q];
        }
        b[o] = (float)bias;
    }
}

/* Parts that make W and b: w0 and w2 pass the channels on, w1 is W. */
static void expand_layer(const struct net *net, int layer, const float *w, const float *b,
                         float *parts)
{
    const struct net_layer *l = &net->layers[layer];
    float *p[PARTS];
    for (int i = 0; i < PARTS; i++) {
        const struct net_parameter *parameter = &net->parameters[l->weight + i];
        p[i] = parts + parameter->offset;
        memset(p[i], 0, parameter->count * sizeof(float));
    }
    size_t in = (size_t)net->layers[l->input[0]].c, out = (size_t)l->c;
    size_t wide_in = (size_t)net->parameters[l->weight + W0].shape[0];
    size_t wide_out = (size_t)net->parameters[l->weight + W2].shape[1];
    for (size_t i = 0; i < in; i++)
        p[W0][i * in + i] = 1;
    for (size_t o = 0; o < out; o++) {
        p[W2][o * wide_out + o] = 1;
        memcpy(p[W1] + o * wide_in * TAPS, w + o * in * TAPS, in * TAPS * sizeof(float));
    }
    memcpy(p[B2], b, out * sizeof(float));
}

/* All layers of `from` to those of `to`, which is the other form. */
static void change_form(const struct net *from, const float *parameters, const struct net *to,
                        float *out)
{
    for (int i = 0; i < from->layer_count; i++) {
        const struct net_layer *a = &from->layers[i], *b = &to->layers[i];
        if (a->weight < 0) continue;
        if (a->kind == b->kind) {
            const int pairs[][2] = {{a->weight, b->weight}, {a->bias, b->bias}};
            for (int k = 0; k < 2; k++)
                memcpy(out + to->parameters[pairs[k][1]].offset,
                       parameter_at(from, parameters, pairs[k][0]),
                       from->parameters[pairs[k][0]].count * sizeof(float));
        } else if (a->kind == &layer_conv3xc) {
            merge_layer(from, i, parameters, out + to->parameters[b->weight].offset,
                        out + to->parameters[b->bias].offset);
        } else {
            expand_layer(to, i, parameter_at(from, parameters, a->weight),
                         parameter_at(from, parameters, a->bias), out);
        }
    }
}

/* ---- first weights: those of the parts, also where they are trained as one ---- */

static void initialise_parts(const struct net *net, float *parameters, uint64_t seed)
{
    sr_default_initialise(net, parameters, seed);
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        for (int k = 0; l->kind == &layer_conv3xc && k < PARTS; k++) {
            const struct net_parameter *weight = &net->parameters[l->weight + k / 2 * 2];
            float bound = 1 / sqrtf((float)(weight->count / (size_t)weight->shape[0]));
            sr_fill_uniform(parameters, &net->parameters[l->weight + k], bound, seed);
        }
    }
}

static int span_initialise(const struct sr_design *design, const struct net *net, float *parameters,
                           uint64_t seed)
{
    struct net parts = {0};
    float *numbers = NULL;
    int code = OK;
    if (!design->merged) {
        initialise_parts(net, parameters, seed);
        return OK;
    }
    TRY_CLEANUP(build_form(&parts, design, false));
    numbers = malloc(parts.floats * sizeof *numbers);
    if (!numbers) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    initialise_parts(&parts, numbers, seed);
    memset(parameters, 0, net->floats * sizeof *parameters);
    change_form(&parts, numbers, net, parameters);
cleanup:
    free(numbers);
    net_free(&parts);
    return code;
}

/* ---- files ---- */

static int64_t span_conv_size(const struct store_file *file, const char *prefix, const char *name,
                              bool merged, int index)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s.weight", name, merged ? "eval_conv" : "sk");
    return sr_tensor_size(file, prefix, full, 4, index);
}

/* Whether the file has no parts, as checkpoints of runs that train W itself. */
static bool is_merged_file(const struct store_file *file, const char *prefix)
{
    return span_conv_size(file, prefix, "conv_1", false, 0) == 0;
}

/* Files say by `no_norm` that there is none; our checkpoints hold parameters alone, and say in
 * their metadata that there is one. */
static bool has_norm(const struct store_file *file, const char *prefix)
{
    char name[64];
    const char *kind = store_get(file, "kind");
    if (store_get(file, "sr.norm")) return true;
    snprintf(name, sizeof name, "%sno_norm", prefix);
    return !(kind && strcmp(kind, "checkpoint") == 0) && !store_find(file, name);
}

static bool span_detect(struct sr_design *design, const struct store_file *file, const char *prefix)
{
    bool merged = is_merged_file(file, prefix);
    int64_t features = span_conv_size(file, prefix, "conv_1", merged, 0);
    int scale = sr_scale_of_channels(sr_tensor_size(file, prefix, "upsampler.0.bias", 1, 0));
    if (features < 1 || features > SR_FEATURES_MOST || scale == 0 ||
        span_conv_size(file, prefix, "conv_1", merged, 1) != 3 ||
        span_conv_size(file, prefix, "block_6.c3_r", merged, 0) != features ||
        sr_tensor_size(file, prefix, "conv_cat.weight", 4, 0) != features ||
        sr_tensor_size(file, prefix, "conv_cat.weight", 4, 1) != 4 * features)
        return false;
    *design = (struct sr_design){.network = SR_SPAN,
                                 .scale = scale,
                                 .features = (int)features,
                                 .norm = has_norm(file, prefix),
                                 .merged = merged};
    return true;
}

static int span_expect(const struct sr_design *design, const struct net *net,
                       const struct store_file *file, const char *prefix)
{
    struct net other = {0};
    bool merged = is_merged_file(file, prefix);
    if (merged == design->merged) return weights_expect(file, prefix, net);
    int code = build_form(&other, design, merged);
    if (code == OK) code = weights_expect(file, prefix, &other);
    net_free(&other);
    return code;
}

static int span_load(const struct sr_design *design, const struct net *net,
                     const struct store_file *file, const char *prefix, struct store_range allowed,
                     float *parameters)
{
    struct net other = {0};
    float *numbers = NULL;
    bool merged = is_merged_file(file, prefix);
    int code = OK;
    if (merged == design->merged) return weights_load(file, prefix, net, allowed, parameters);
    TRY_CLEANUP(build_form(&other, design, merged));
    numbers = malloc(other.floats * sizeof *numbers);
    if (!numbers) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(weights_load(file, prefix, &other, allowed, numbers));
    change_form(&other, numbers, net, parameters);
cleanup:
    free(numbers);
    net_free(&other);
    return code;
}

static bool has_parameter(const struct net *net, const char *name)
{
    for (int i = 0; i < net->parameter_count; i++)
        if (strcmp(net->parameters[i].name, name) == 0) return true;
    return false;
}

static bool span_knows(const struct sr_design *design, const struct net *net, const char *name)
{
    struct net other = {0};
    bool known = strcmp(name, "no_norm") == 0 || has_parameter(net, name);
    if (!known && build_form(&other, design, !design->merged) == OK)
        known = has_parameter(&other, name);
    net_free(&other);
    return known;
}

/* How much the other form takes, which a file holds too. */
static size_t span_stored_floats(const struct sr_design *design)
{
    struct net other = {0};
    size_t floats = build_form(&other, design, !design->merged) == OK ? other.floats : 0;
    net_free(&other);
    return floats;
}

/* Both forms: convolutions that are alike in both stand in them once. */
static int span_store(const struct sr_design *design, const struct net *net,
                      const float *parameters, float *more, struct store_writer *writer)
{
    static const float none[1] = {0};
    struct net other = {0};
    int code = OK;
    TRY_CLEANUP(build_form(&other, design, !design->merged));
    change_form(net, parameters, &other, more);
    TRY_CLEANUP(weights_store(writer, "", net, parameters));
    for (int i = 0; i < other.parameter_count; i++) {
        const struct net_parameter *p = &other.parameters[i];
        if (has_parameter(net, p->name)) continue;
        TRY_CLEANUP(store_add(writer, p->name, TENSOR_F32, p->dims, p->shape, more + p->offset));
    }
    if (!design->norm)
        TRY_CLEANUP(store_add(writer, "no_norm", TENSOR_F32, 1, (int64_t[]){1}, none));
cleanup:
    net_free(&other);
    return code;
}

const struct sr_network_kind sr_kind_span = {
    .name = "span",
    .configure = span_configure,
    .sizes = span_sizes,
    .build = span_build,
    .radius = span_radius,
    .initialise = span_initialise,
    .detect = span_detect,
    .expect = span_expect,
    .load = span_load,
    .knows = span_knows,
    .stored_floats = span_stored_floats,
    .store = span_store,
};
