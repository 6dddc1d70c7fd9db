#include "sr/sr_networks.h"

#include "base/error.h"
#include "base/random.h"
#include "config/config.h"
#include "nn/layers.h"
#include "nn/weights_file.h"
#include "sr/sr_networks_internal.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By the key sr.network too. */
static const struct {
    const struct sr_network_kind *kind;
    int key;
} networks[SR_NETWORKS] = {
    [SR_COMPACT] = {&sr_kind_compact, CONFIG_SR_NETWORK_COMPACT},
    [SR_SPAN] = {&sr_kind_span, CONFIG_SR_NETWORK_SPAN},
    [SR_ESRGAN] = {&sr_kind_esrgan, CONFIG_SR_NETWORK_ESRGAN},
};

static const struct sr_network_kind *kind_of(const struct sr_design *design)
{
    return networks[design->network].kind;
}

/* ---- designs ---- */

const char *sr_network_name(enum sr_network network)
{
    return networks[network].kind->name;
}

struct sr_design_text sr_design_text(const struct sr_design *design)
{
    struct sr_design_text text;
    char sizes[40];
    kind_of(design)->sizes(design, sizes, sizeof sizes);
    snprintf(text.text, sizeof text.text, "%s %s", sr_network_name(design->network), sizes);
    return text;
}

bool sr_design_equal(const struct sr_design *a, const struct sr_design *b)
{
    return a->network == b->network && a->scale == b->scale && a->features == b->features &&
           a->convs == b->convs && a->blocks == b->blocks && a->growth == b->growth &&
           a->unshuffle == b->unshuffle && a->norm == b->norm;
}

int sr_design_configure(struct sr_design *design, const struct config *config)
{
    *design = (struct sr_design){.scale = (int)config->sr.scale};
    for (int i = 0; i < SR_NETWORKS; i++)
        if (networks[i].key == (int)config->sr.network) design->network = (enum sr_network)i;
    if (design->scale > 4 && design->scale != 8)
        return fail(ERR_CONFIG, "sr.scale: %d is none of 1, 2, 3, 4 and 8", design->scale);
    return kind_of(design)->configure(design, config);
}

/* ---- graphs ---- */

int sr_network_side(const struct sr_design *design, int pixels)
{
    int multiple = design->unshuffle > 1 ? design->unshuffle : 1;
    return (pixels + multiple - 1) / multiple * multiple;
}

/* Pictures, and whatever is added to them, stay floats. */
static void mix_between(struct net *net)
{
    int first = 0, last = net->layer_count - 1;
    while (first < last && net->layers[first].weight < 0)
        first++;
    while (last > first && net->layers[last].weight < 0)
        last--;
    for (int i = first; i < last; i++)
        net->layers[i].type = NN_BF16;
}

int sr_network_build(struct net *net, const struct sr_design *design, int h, int w, int group)
{
    *net = (struct net){.layer_count = 0};
    TRY(nn_add_input(net, sr_network_side(design, h), sr_network_side(design, w), 3));
    TRY(kind_of(design)->build(net, design, group));
    if (design->mixed) mix_between(net);
    return net_finish(net);
}

int sr_network_radius(const struct sr_design *design)
{
    return kind_of(design)->radius(design);
}

/* ---- first weights ---- */

/* Offsets in the range are what is drawn by, so each number is its own. */
void sr_fill_uniform(float *parameters, const struct net_parameter *p, float bound, uint64_t seed)
{
    float *to = parameters + p->offset;
    for (size_t i = 0; i < p->count; i++) {
        struct philox4 draw = philox_draw(seed, STREAM_SR_WEIGHTS, 0, (p->offset + i) / 4);
        to[i] = bound * (2 * philox_uniform(draw.v[(p->offset + i) % 4]) - 1);
    }
}

static void fill_slopes(float *parameters, const struct net_parameter *slopes)
{
    for (size_t i = 0; i < slopes->count; i++)
        parameters[slopes->offset + i] = 0.25f;
}

void sr_default_initialise(const struct net *net, float *parameters, uint64_t seed)
{
    memset(parameters, 0, net->floats * sizeof *parameters);
    for (int i = 0; i < net->layer_count; i++) {
        const struct net_layer *l = &net->layers[i];
        if (l->slopes >= 0) fill_slopes(parameters, &net->parameters[l->slopes]);
        if (l->weight < 0) continue;
        const struct net_parameter *w = &net->parameters[l->weight];
        if (l->kind == &layer_prelu) {
            fill_slopes(parameters, w);
            continue;
        }
        float bound = 1 / sqrtf((float)(w->count / (size_t)w->shape[0]));
        sr_fill_uniform(parameters, w, bound, seed);
        if (l->bias >= 0) sr_fill_uniform(parameters, &net->parameters[l->bias], bound, seed);
    }
}

int sr_network_initialise(const struct sr_design *design, const struct net *net, float *parameters,
                          uint64_t seed)
{
    if (kind_of(design)->initialise)
        return kind_of(design)->initialise(design, net, parameters, seed);
    sr_default_initialise(net, parameters, seed);
    return OK;
}

/* ---- files ---- */

int64_t sr_tensor_size(const struct store_file *file, const char *prefix, const char *name,
                       int dims, int index)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct store_tensor *tensor = store_find(file, full);
    return tensor && tensor->dims == dims ? tensor->shape[index] : 0;
}

int sr_scale_of_channels(int64_t channels)
{
    for (int scale = 1; scale <= SR_SCALE_MOST; scale++)
        if (channels == 3 * scale * scale) return scale;
    return 0;
}

bool sr_network_detect(struct sr_design *design, const struct store_file *file, const char *prefix)
{
    for (int i = 0; i < SR_NETWORKS; i++)
        if (networks[i].kind->detect(design, file, prefix)) return true;
    return false;
}

int sr_network_require(struct sr_design *design, const struct store_file *file, const char *prefix)
{
    if (sr_network_detect(design, file, prefix)) return OK;
    char names[128] = "";
    for (int i = 0; i < SR_NETWORKS; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                 networks[i].kind->name);
    }
    return fail(ERR_DATA, "%s: it holds none of the networks that enlarge images here (%s)",
                store_path(file), names);
}

/* The network with its parameters named as the file names them: all but these is `net`'s own. */
static int named_as_in_file(struct net *named, const struct sr_design *design,
                            const struct net *net, const struct store_file *file,
                            const char *prefix)
{
    const struct sr_network_kind *kind = kind_of(design);
    size_t count = (size_t)net->parameter_count;
    *named = *net;
    named->parameters = malloc(count * sizeof *named->parameters);
    if (!named->parameters) return fail(ERR_SYSTEM, "out of memory");
    memcpy(named->parameters, net->parameters, count * sizeof *named->parameters);
    for (size_t i = 0; kind->file_name && i < count; i++)
        kind->file_name(design, file, prefix, net->parameters[i].name, named->parameters[i].name,
                        sizeof named->parameters[i].name);
    return OK;
}

int sr_network_expect(const struct sr_design *design, const struct net *net,
                      const struct store_file *file, const char *prefix)
{
    const struct sr_network_kind *kind = kind_of(design);
    struct net named;
    if (kind->expect) return kind->expect(design, net, file, prefix);
    TRY(named_as_in_file(&named, design, net, file, prefix));
    int code = weights_expect(file, prefix, &named);
    free(named.parameters);
    return code;
}

int sr_network_load(const struct sr_design *design, const struct net *net,
                    const struct store_file *file, const char *prefix, struct store_range allowed,
                    float *parameters)
{
    const struct sr_network_kind *kind = kind_of(design);
    struct net named;
    if (kind->load) return kind->load(design, net, file, prefix, allowed, parameters);
    TRY(named_as_in_file(&named, design, net, file, prefix));
    int code = weights_load(file, prefix, &named, allowed, parameters);
    free(named.parameters);
    return code;
}

int sr_network_count_fitting(const struct sr_design *design, const struct net *net,
                             const struct store_file *file, const char *prefix, int *count)
{
    struct net named;
    TRY(named_as_in_file(&named, design, net, file, prefix));
    *count = weights_count_fitting(file, prefix, &named);
    free(named.parameters);
    return OK;
}

int sr_network_load_fitting(const struct sr_design *design, const struct net *net,
                            const struct store_file *file, const char *prefix,
                            struct store_range allowed, float *parameters)
{
    struct net named;
    TRY(named_as_in_file(&named, design, net, file, prefix));
    int code = weights_load_fitting(file, prefix, &named, allowed, parameters);
    free(named.parameters);
    return code;
}

size_t sr_network_stored_floats(const struct sr_design *design)
{
    const struct sr_network_kind *kind = kind_of(design);
    return kind->stored_floats ? kind->stored_floats(design) : 0;
}

int sr_network_store(const struct sr_design *design, const struct net *net, const float *parameters,
                     float *more, struct store_writer *writer)
{
    const struct sr_network_kind *kind = kind_of(design);
    return kind->store ? kind->store(design, net, parameters, more, writer)
                       : weights_store(writer, "", net, parameters);
}

bool sr_network_knows(const struct sr_design *design, const struct net *net, const char *name)
{
    const struct sr_network_kind *kind = kind_of(design);
    if (kind->knows) return kind->knows(design, net, name);
    for (int p = 0; p < net->parameter_count; p++)
        if (strcmp(net->parameters[p].name, name) == 0) return true;
    return false;
}
