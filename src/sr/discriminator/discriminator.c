#include "sr/discriminator/discriminator.h"

#include "base/error.h"
#include "base/random.h"
#include "nn/layers.h"
#include "nn/net_init.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the graph ---- */

enum { D_WITH_BIAS = 1, D_LEAKY = 2 };

/* conv0 and conv9 have biases; the others are normalised. */
static int d_add_conv(struct net *net, const struct nn_layer_kind *kind, int number, int channels,
                      int flags)
{
    char name[32];
    struct net_layer conv = net_next_layer(net, kind);
    conv.c = channels;
    conv.kernel = 3;
    conv.leaky_relu = flags & D_LEAKY;
    int layer = net_add_layer(net, conv);
    TRY(layer);
    snprintf(name, sizeof name, "conv%d.weight%s", number, flags & D_WITH_BIAS ? "" : "_orig");
    TRY(net_add_weight(net, layer, name, 1));
    snprintf(name, sizeof name, "conv%d.bias", number);
    if (flags & D_WITH_BIAS) TRY(net_add_bias(net, layer, name));
    return layer;
}

/* Twice the size, a convolution, and what had this size on the way down. A segment: all but its end
 * can be made again from the small value before it. */
static int d_add_up(struct net *net, int number, int channels, int beside, bool segments)
{
    int up = net_add_layer(net, net_next_layer(net, &layer_bilinear_up));
    TRY(up);
    int last = d_add_conv(net, &layer_conv, number, channels, D_LEAKY);
    TRY(last);
    if (beside >= 0) TRY(last = net_add_pair(net, &layer_add, last, beside));
    if (segments) net_mark_segment(net, up, last);
    return last;
}

int sr_d_build(struct net *net, const struct sr_d_design *design, int side, bool segments,
               int taps[SR_D_TAPS])
{
    int f = design->features;
    *net = (struct net){.layer_count = 0};
    if (side % SR_D_MULTIPLE)
        return fail(ERR_CONFIG,
                    "sr.discriminator unet takes patches of multiples of %d pixels, and lq_size x "
                    "scale is %d",
                    SR_D_MULTIPLE, side);
    TRY(nn_add_input(net, side, side, 3));
    TRY(taps[0] = d_add_conv(net, &layer_conv, 0, f, D_WITH_BIAS | D_LEAKY));
    for (int k = 1; k < SR_D_TAPS; k++)
        TRY(taps[k] = d_add_conv(net, &layer_conv_down, k, f << k, D_LEAKY));
    for (int k = SR_D_TAPS - 2; k >= 0; k--)
        TRY(d_add_up(net, 6 - k, f << k, design->skips ? taps[k] : -1, segments));
    int seventh = d_add_conv(net, &layer_conv, 7, f, D_LEAKY);
    TRY(seventh);
    TRY(d_add_conv(net, &layer_conv, 8, f, D_LEAKY));
    int last = d_add_conv(net, &layer_conv, 9, 1, D_WITH_BIAS);
    TRY(last);
    if (segments) net_mark_segment(net, seventh, last);
    return net_finish(net);
}

/* ---- vectors of the normalisation ---- */

static bool is_normalised(const struct net_parameter *p)
{
    const char *dot = strrchr(p->name, '.');
    return strcmp(dot, ".weight_orig") == 0;
}

int sr_d_vectors(struct net *vectors, const struct net *net)
{
    *vectors = (struct net){.layer_count = 0};
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        char name[sizeof p->name];
        int stem = (int)(strrchr(p->name, '.') - p->name);
        int64_t rows = p->shape[0], cols = (int64_t)p->count / rows;
        if (!is_normalised(p)) continue;
        snprintf(name, sizeof name, "%.*s.weight_u", stem, p->name);
        TRY(net_add_parameter(vectors, name, 1, &rows));
        snprintf(name, sizeof name, "%.*s.weight_v", stem, p->name);
        TRY(net_add_parameter(vectors, name, 1, &cols));
    }
    return OK;
}

struct sr_d_norm sr_d_norm(const struct net *net, const struct net *vectors, int number)
{
    int i = 0;
    for (int left = number; !is_normalised(&net->parameters[i]) || left-- > 0;)
        i++;
    return (struct sr_d_norm){&net->parameters[i], &vectors->parameters[2 * number],
                              &vectors->parameters[2 * number + 1]};
}

/* ---- where training starts ---- */

enum { D_DRAWS = 1 }; /* in the place of a step of STREAM_SR_WEIGHTS; the generator has 0 */

static void d_fill_uniform(float *parameters, const struct net_parameter *p, float bound,
                           uint64_t seed)
{
    for (size_t i = p->offset; i < p->offset + p->count; i++) {
        struct philox4 draw = philox_draw(seed, STREAM_SR_WEIGHTS, D_DRAWS, i / 4);
        parameters[i] = bound * (2 * philox_uniform(draw.v[i % 4]) - 1);
    }
}

void sr_d_initialise(const struct net *net, float *parameters, const struct net *vectors,
                     float *vector_values, uint64_t seed)
{
    memset(parameters, 0, net->floats * sizeof *parameters);
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        if (l->weight < 0) continue;
        const struct net_parameter *w = &net->parameters[l->weight];
        float bound = 1 / sqrtf((float)(w->count / (size_t)w->shape[0]));
        d_fill_uniform(parameters, w, bound, seed);
        if (l->bias >= 0) d_fill_uniform(parameters, &net->parameters[l->bias], bound, seed);
    }
    memset(vector_values, 0, vectors->floats * sizeof *vector_values);
    for (int i = 0; i < vectors->parameter_count; i++) {
        const struct net_parameter *p = &vectors->parameters[i];
        float *x = vector_values + p->offset;
        double squares = 0;
        net_normal(x, p->count, seed, STREAM_SR_WEIGHTS, D_DRAWS + 1, p->offset);
        for (size_t k = 0; k < p->count; k++)
            squares += (double)x[k] * (double)x[k];
        for (size_t k = 0; k < p->count; k++)
            x[k] = (float)((double)x[k] / sqrt(squares));
    }
}

/* ---- files ---- */

const char *sr_d_detect(struct sr_d_design *design, const struct store_file *file)
{
    static const char *const prefixes[] = {"d.", ""};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char name[32];
        snprintf(name, sizeof name, "%sconv1.weight_orig", prefixes[i]);
        const struct store_tensor *tensor = store_find(file, name);
        if (!tensor || tensor->dims != 4 || tensor->shape[1] < 1 || tensor->shape[1] > 4096)
            continue;
        *design = (struct sr_d_design){.features = (int)tensor->shape[1]};
        return prefixes[i];
    }
    return NULL;
}
