/* ESRGAN (RRDBNet; Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial
 * Networks", ECCV Workshops 2018): conv_first, blocks of three dense blocks, conv_body,
 * enlargements by two, conv_hr, conv_last. Real-ESRGAN's of scales 1 and 2 take pixels of the input
 * as channels first
 * (`unshuffle`) and enlarge by four all the same. Files name their tensors in one of three ways. */
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "nn/layers.h"
#include "nn/net_init.h"
#include "sr/sr_networks_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DENSE_BLOCKS = 3, DENSE_CONVS = 5, USUAL_GROWTH = 32, MASKED_CHANNELS = 8, NAME_ROOM = 64 };
static const float first_weights_share = 0.1f; /* of what He et al. take, in dense blocks */

static int unshuffle_of(const struct sr_design *design)
{
    return design->unshuffle > 1 ? design->unshuffle : 1;
}

/* Enlargements by two. */
static int doublings_of(const struct sr_design *design)
{
    int doublings = 0;
    while (1 << doublings < design->scale * unshuffle_of(design))
        doublings++;
    return doublings;
}

static int esrgan_configure(struct sr_design *design, const struct config *config)
{
    int scale = design->scale;
    design->features = (int)config->sr.num_feat;
    design->blocks = (int)config->sr.num_block;
    design->growth = (int)config->sr.num_grow_ch;
    if (scale == 3) return fail(ERR_CONFIG, "sr.scale: esrgan enlarges 1, 2, 4 or 8 times, not 3");
    if (config->sr.use_pixel_unshuffle && scale < 4) design->unshuffle = 4 / scale;
    if (config->sr.lq_size % unshuffle_of(design))
        return fail(ERR_CONFIG,
                    "sr.lq_size: %d is no multiple of %d, of which pixels become channels",
                    (int)config->sr.lq_size, design->unshuffle);
    if (design->features % MASKED_CHANNELS || design->growth % MASKED_CHANNELS)
        return fail(ERR_CONFIG, "sr.%s: of esrgan a multiple of %d",
                    design->features % MASKED_CHANNELS ? "num_feat" : "num_grow_ch",
                    MASKED_CHANNELS);
    return OK;
}

static void esrgan_sizes(const struct sr_design *design, char *text, size_t room)
{
    int used = snprintf(text, room, "%d-%d", design->features, design->blocks);
    if (design->growth != USUAL_GROWTH && used > 0 && (size_t)used < room)
        snprintf(text + used, room - (size_t)used, "-%d", design->growth);
}

/* ---- the graph ---- */

/* A convolution of `count` values, each enlarged `factor` times. */
static int add_joined(struct net *net, const char *name, const int *inputs, int count, int factor,
                      int channels, bool leaky_relu)
{
    bool plain = count == 1 && factor == 1;
    struct net_layer conv = net_next_layer(net, plain ? &layer_conv : &layer_conv_gather);
    conv.c = channels;
    conv.kernel = 3;
    conv.factor = factor;
    conv.leaky_relu = leaky_relu;
    conv.input_count = count;
    memcpy(conv.input, inputs, (size_t)count * sizeof *inputs);
    return net_add_named_layer(net, name, conv);
}

static int add_after_last(struct net *net, const char *name, int factor, int channels,
                          bool leaky_relu)
{
    int last = net->layer_count - 1;
    return add_joined(net, name, &last, 1, factor, channels, leaky_relu);
}

/* x + a fifth of the last value. */
static int add_block_residual(struct net *net, int x)
{
    return net_add_pair(net, &layer_residual, net->layer_count - 1, x);
}

static int add_dense_block(struct net *net, const struct sr_design *design, int block, int dense)
{
    char name[NAME_ROOM];
    int values[DENSE_CONVS] = {net->layer_count - 1};
    for (int k = 1; k <= DENSE_CONVS; k++) {
        bool last = k == DENSE_CONVS;
        snprintf(name, sizeof name, "body.%d.rdb%d.conv%d", block, dense, k);
        int layer =
            add_joined(net, name, values, k, 1, last ? design->features : design->growth, !last);
        TRY(layer);
        if (!last) values[k] = layer;
    }
    return add_block_residual(net, values[0]);
}

static int esrgan_add_block(struct net *net, const struct sr_design *design, int block, int group)
{
    int x = net->layer_count - 1;
    for (int dense = 1; dense <= DENSE_BLOCKS; dense++)
        TRY(add_dense_block(net, design, block, dense));
    TRY(add_block_residual(net, x));
    if (group > 0) net_mark_segment(net, x + 1, net->layer_count - 1);
    return OK;
}

static int esrgan_build(struct net *net, const struct sr_design *design, int group)
{
    char name[NAME_ROOM];
    if (1 << doublings_of(design) != design->scale * unshuffle_of(design))
        return fail(ERR_CONFIG, "esrgan enlarges 1, 2, 4 or 8 times, not %d", design->scale);
    if (design->unshuffle > 1) {
        struct net_layer unshuffle = net_next_layer(net, &layer_pixel_unshuffle);
        unshuffle.factor = design->unshuffle;
        TRY(net_add_layer(net, unshuffle));
    }
    int first = add_after_last(net, "conv_first", 1, design->features, false);
    TRY(first);
    for (int block = 0; block < design->blocks; block++)
        TRY(esrgan_add_block(net, design, block, group));
    TRY(add_after_last(net, "conv_body", 1, design->features, false));
    int body = net_add_pair(net, &layer_add, net->layer_count - 1, first);
    TRY(body);
    for (int k = 1; k <= doublings_of(design); k++) {
        snprintf(name, sizeof name, "conv_up%d", k);
        TRY(add_after_last(net, name, 2, design->features, true));
    }
    TRY(add_after_last(net, "conv_hr", 1, design->features, true));
    TRY(add_after_last(net, "conv_last", 1, 3, false));
    if (group > 0) net_mark_segment(net, body + 1, net->layer_count - 1);
    return OK;
}

static int esrgan_radius(const struct sr_design *design)
{
    return unshuffle_of(design) * (design->blocks * DENSE_BLOCKS * DENSE_CONVS + 4);
}

/* ---- first weights ---- */

/* In dense blocks normal numbers of a tenth of He's deviation, and no bias; PyTorch's elsewhere. */
static int esrgan_initialise(const struct sr_design *design, const struct net *net,
                             float *parameters, uint64_t seed)
{
    if (design->growth != USUAL_GROWTH)
        log_warning("sr.num_grow_ch: %d: spandrel, and what uses it, loads models with %d alone",
                    design->growth, USUAL_GROWTH);
    sr_default_initialise(net, parameters, seed);
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        float *to = parameters + p->offset;
        if (!strstr(p->name, ".rdb")) continue;
        if (p->dims == 1) {
            memset(to, 0, p->count * sizeof *to);
            continue;
        }
        float deviation = sqrtf(2 / (float)(p->count / (size_t)p->shape[0]));
        net_normal(to, p->count, seed, STREAM_SR_WEIGHTS, 0, p->offset);
        for (size_t k = 0; k < p->count; k++)
            to[k] *= first_weights_share * deviation;
    }
    return OK;
}

/* ---- files ---- */

/* How a file names its tensors: as Real-ESRGAN, as ESRGAN's first program and those after it, or as
 * ESRGAN's second one and BSRGAN. */
enum naming { NAMES_NEW, NAMES_OLD, NAMES_TRUNK, NAMINGS };

static const struct {
    const char *first, *body, *dense, *end, *up;
    int step; /* of the numbers behind `up` */
} words[NAMINGS] = {
    [NAMES_NEW] = {"conv_first", "body", "rdb", "", "conv_up", 1},
    [NAMES_OLD] = {"model.0", "model.1.sub", "RDB", ".0", "model.", 3},
    [NAMES_TRUNK] = {"conv_first", "RRDB_trunk", "RDB", "", "upconv", 1},
};

static void name_dense_conv(enum naming naming, int block, int dense, int conv, char *out,
                            size_t room)
{
    snprintf(out, room, "%s.%d.%s%d.conv%d%s", words[naming].body, block, words[naming].dense,
             dense, conv, words[naming].end);
}

static int64_t block_weight_size(const struct store_file *file, const char *prefix,
                                 enum naming naming, int block, int index)
{
    char stem[NAME_ROOM], name[NAME_ROOM + 8];
    name_dense_conv(naming, block, 1, 1, stem, sizeof stem);
    snprintf(name, sizeof name, "%s.weight", stem);
    return sr_tensor_size(file, prefix, name, 4, index);
}

static bool find_naming(const struct store_file *file, const char *prefix, enum naming *naming)
{
    for (int i = 0; i < NAMINGS; i++) {
        *naming = (enum naming)i;
        if (block_weight_size(file, prefix, *naming, 0, 0) > 0) return true;
    }
    return false;
}

/* What stands in a file for the parameter `name` of the network, "STEM.weight" or "STEM.bias". */
static void name_in_file(const struct sr_design *design, enum naming naming, const char *name,
                         char *out, size_t room)
{
    static const char *const trunk[][2] = {{"conv_body", "trunk_conv"}, {"conv_hr", "HRconv"}};
    const char *end = strrchr(name, '.');
    int stem = (int)(end - name), block, dense, conv, doublings = doublings_of(design), up;
    char begin[NAME_ROOM];
    snprintf(begin, sizeof begin, "%.*s", stem, name);
    if (sscanf(name, "body.%d.rdb%d.conv%d", &block, &dense, &conv) == 3)
        name_dense_conv(naming, block, dense, conv, begin, sizeof begin);
    if (sscanf(name, "conv_up%d", &up) == 1)
        snprintf(begin, sizeof begin, "%s%d", words[naming].up, words[naming].step * up);
    for (size_t i = 0; naming == NAMES_TRUNK && i < sizeof trunk / sizeof *trunk; i++)
        if (strcmp(begin, trunk[i][0]) == 0) snprintf(begin, sizeof begin, "%s", trunk[i][1]);
    if (naming == NAMES_OLD) {
        if (strncmp(name, "conv_first.", 11) == 0) snprintf(begin, sizeof begin, "model.0");
        if (strncmp(name, "conv_body.", 10) == 0)
            snprintf(begin, sizeof begin, "model.1.sub.%d", design->blocks);
        if (strncmp(name, "conv_hr.", 8) == 0)
            snprintf(begin, sizeof begin, "model.%d", 3 * doublings + 2);
        if (strncmp(name, "conv_last.", 10) == 0)
            snprintf(begin, sizeof begin, "model.%d", 3 * doublings + 4);
    }
    snprintf(out, room, "%s%s", begin, end);
}

static void esrgan_file_name(const struct sr_design *design, const struct store_file *file,
                             const char *prefix, const char *name, char *out, size_t room)
{
    enum naming naming;
    if (find_naming(file, prefix, &naming))
        name_in_file(design, naming, name, out, room);
    else
        snprintf(out, room, "%s", name);
}

static int count_doublings(const struct store_file *file, const char *prefix, enum naming naming)
{
    char name[NAME_ROOM];
    for (int k = 1;; k++) {
        snprintf(name, sizeof name, "%s%d.weight", words[naming].up, words[naming].step * k);
        if (k > 5 || sr_tensor_size(file, prefix, name, 4, 0) == 0) return k - 1;
    }
}

static bool esrgan_detect(struct sr_design *design, const struct store_file *file,
                          const char *prefix)
{
    enum naming naming;
    int blocks = 0, unshuffle = 0;
    if (!find_naming(file, prefix, &naming)) return false;
    char first[NAME_ROOM];
    snprintf(first, sizeof first, "%s.weight", words[naming].first);
    int64_t features = sr_tensor_size(file, prefix, first, 4, 0);
    int64_t channels = sr_tensor_size(file, prefix, first, 4, 1);
    int64_t growth = block_weight_size(file, prefix, naming, 0, 0);
    while (blocks < SR_BLOCKS_MOST && block_weight_size(file, prefix, naming, blocks, 0) > 0)
        blocks++;
    if (channels == 12 || channels == 48) unshuffle = channels == 12 ? 2 : 4;
    int enlarged = 1 << count_doublings(file, prefix, naming);
    int divisor = unshuffle ? unshuffle : 1;
    if ((channels != 3 && unshuffle == 0) || features < 1 || features > SR_FEATURES_MOST ||
        features % MASKED_CHANNELS || growth > SR_FEATURES_MOST || growth % MASKED_CHANNELS ||
        enlarged < divisor || enlarged / divisor > SR_SCALE_MOST)
        return false;
    *design = (struct sr_design){.network = SR_ESRGAN,
                                 .scale = enlarged / divisor,
                                 .features = (int)features,
                                 .blocks = blocks,
                                 .growth = (int)growth,
                                 .unshuffle = unshuffle};
    return true;
}

static bool esrgan_knows(const struct sr_design *design, const struct net *net, const char *name)
{
    char known[2 * NAME_ROOM];
    for (int p = 0; p < net->parameter_count; p++)
        for (int i = 0; i < NAMINGS; i++) {
            name_in_file(design, (enum naming)i, net->parameters[p].name, known, sizeof known);
            if (strcmp(known, name) == 0) return true;
        }
    return false;
}

const struct sr_network_kind sr_kind_esrgan = {
    .name = "esrgan",
    .configure = esrgan_configure,
    .sizes = esrgan_sizes,
    .build = esrgan_build,
    .radius = esrgan_radius,
    .initialise = esrgan_initialise,
    .detect = esrgan_detect,
    .file_name = esrgan_file_name,
    .knows = esrgan_knows,
};
