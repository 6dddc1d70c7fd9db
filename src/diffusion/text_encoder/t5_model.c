#include "diffusion/text_encoder/t5_model.h"

#include "base/error.h"
#include "math/portable.h"
#include "store/json_file.h"

#include <stdlib.h>
#include <string.h>

enum { T5_MOST_WIDTH = 1 << 18, T5_MOST_LAYERS = 1000, T5_MOST_WORDS = 1 << 24 };

/* ---- config.json ---- */

/* What would make another network of it. Newer files say the activation twice. */
static int t5_refuse_others(const cJSON *config, const char *path)
{
    const char *type = "t5", *feed = "relu";
    TRY(json_file_string(config, path, "model_type", &type));
    if (strcmp(type, "t5") != 0)
        return fail(ERR_DATA, "%s: model_type is %.40s; t5 is computed here", path, type);
    TRY(json_file_string(config, path, "feed_forward_proj", &feed));
    if (strcmp(feed, "gated-gelu") != 0)
        return fail(ERR_DATA, "%s: feed_forward_proj is %.40s; gated-gelu is computed here", path,
                    feed);
    return OK;
}

static int t5_check_config(const struct t5_config *c)
{
    if (c->head_dim > TOKEN_HEAD_MOST)
        return fail(ERR_DATA, "d_kv is %d: numbers to %d are computed here", c->head_dim,
                    TOKEN_HEAD_MOST);
    if ((int64_t)c->heads * c->head_dim > T5_MOST_WIDTH)
        return fail(ERR_DATA, "%d heads of %d are more than is computed here", c->heads,
                    c->head_dim);
    if (c->buckets % 4 != 0 || c->distance <= c->buckets / 4)
        return fail(ERR_DATA,
                    "relative_attention_num_buckets is %d, relative_attention_max_distance %d: a "
                    "multiple of 4 and more than a fourth of it are computed here",
                    c->buckets, c->distance);
    return OK;
}

int t5_read_config(struct t5_config *c, const cJSON *config, const char *path)
{
    const struct {
        const char *key;
        int most, *value;
        bool expected;
    } rows[] = {{"d_model", T5_MOST_WIDTH, &c->hidden, true},
                {"d_ff", T5_MOST_WIDTH, &c->mlp, true},
                {"num_layers", T5_MOST_LAYERS, &c->layers, true},
                {"num_heads", T5_MOST_WIDTH, &c->heads, true},
                {"d_kv", T5_MOST_WIDTH, &c->head_dim, true},
                {"vocab_size", T5_MOST_WORDS, &c->vocabulary, true},
                {"relative_attention_num_buckets", 1 << 16, &c->buckets, false},
                {"relative_attention_max_distance", 1 << 20, &c->distance, false}};
    *c = (struct t5_config){.buckets = 32, .distance = 128, .eps = 1e-6};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].expected) TRY(json_file_expect(config, path, rows[i].key));
        TRY(json_file_int(config, path, rows[i].key, 1, rows[i].most, rows[i].value));
    }
    TRY(json_file_double(config, path, "layer_norm_epsilon", 0, 1, &c->eps));
    TRY(t5_refuse_others(config, path));
    int code = t5_check_config(c);
    return code < 0 ? fail_within(code, "%s", path) : OK;
}

/* ---- tensors ---- */

static const struct text_row t5_rows[T5_SLOTS] = {
    [T5_NORM_ATTENTION] = {"layer.0.layer_norm.weight", 'h', ' '},
    [T5_Q] = {"layer.0.SelfAttention.q.weight", 'q', 'h'},
    [T5_K] = {"layer.0.SelfAttention.k.weight", 'q', 'h'},
    [T5_V] = {"layer.0.SelfAttention.v.weight", 'q', 'h'},
    [T5_OUT] = {"layer.0.SelfAttention.o.weight", 'h', 'q'},
    [T5_NORM_FEED] = {"layer.1.layer_norm.weight", 'h', ' '},
    [T5_GATE] = {"layer.1.DenseReluDense.wi_0.weight", 'f', 'h'},
    [T5_UP] = {"layer.1.DenseReluDense.wi_1.weight", 'f', 'h'},
    [T5_DOWN] = {"layer.1.DenseReluDense.wo.weight", 'h', 'f'},
};

struct text_widths t5_widths(const struct t5_config *c)
{
    int all = c->heads * c->head_dim;
    return (struct text_widths){
        .hidden = c->hidden, .mlp = c->mlp, .queries = all, .keys = all, .head = c->head_dim};
}

int t5_model_create(struct t5_model *model, const struct t5_config *config)
{
    static const struct text_row last[] = {{"encoder.final_layer_norm.weight", 'h', ' '}};
    static const struct text_layout layout = {.prefix = "encoder.block.",
                                              .rows = t5_rows,
                                              .row_count = T5_SLOTS,
                                              .last = "encoder.final",
                                              .last_rows = last,
                                              .last_count = 1};
    const struct text_widths widths = t5_widths(config);
    *model = (struct t5_model){.config = *config};
    TRY(t5_check_config(config));
    return text_list_create(&model->list, &layout, config->layers, &widths);
}

void t5_model_free(struct t5_model *model)
{
    block_list_free(&model->list);
    *model = (struct t5_model){.config = {0}};
}

bool t5_has_tensor(const struct t5_model *model, const char *name)
{
    static const char *const others[] = {"shared.weight", "encoder.embed_tokens.weight", T5_TABLE};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0) return true;
    return text_list_has(&model->list, name);
}

/* In the roundings of the reference, which takes the logarithm in float. */
int t5_bucket(const struct t5_config *config, int distance)
{
    int side = config->buckets / 2, near = side / 2, n = abs(distance);
    int first = distance > 0 ? side : 0;
    if (n < near) return first + n;
    float log = (float)portable_log((double)((float)n / (float)near));
    float all = (float)portable_log((double)config->distance / near);
    int bucket = near + (int)(log / all * (float)(side - near));
    return first + (bucket < side ? bucket : side - 1);
}
