#include "diffusion/text_encoder/clip_model.h"

#include "base/error.h"
#include "store/json_file.h"

#include <string.h>

enum { CLIP_MOST_WIDTH = 1 << 16, CLIP_MOST_LAYERS = 1000, CLIP_MOST_WORDS = 1 << 24 };

/* As old files say, whose texts end with the largest id. */
enum { CLIP_OLD_END = 2 };

/* ---- config.json ---- */

static int clip_refuse_others(const cJSON *config, const char *path)
{
    const char *type = "clip_text_model", *act = "quick_gelu";
    TRY(json_file_string(config, path, "model_type", &type));
    if (strcmp(type, "clip_text_model") != 0)
        return fail(ERR_DATA, "%s: model_type is %.40s; clip_text_model is computed here", path,
                    type);
    TRY(json_file_string(config, path, "hidden_act", &act));
    if (strcmp(act, "quick_gelu") != 0)
        return fail(ERR_DATA, "%s: hidden_act is %.40s; quick_gelu is computed here", path, act);
    return OK;
}

static int clip_check_config(const struct clip_config *c)
{
    if (c->hidden % c->heads != 0 || c->hidden / c->heads > TOKEN_HEAD_MOST)
        return fail(ERR_DATA,
                    "hidden_size is %d, num_attention_heads %d: heads of whole numbers to %d are "
                    "computed here",
                    c->hidden, c->heads, TOKEN_HEAD_MOST);
    return OK;
}

int clip_read_config(struct clip_config *c, const cJSON *config, const char *path)
{
    const struct {
        const char *key;
        int low, most, *value;
        bool expected;
    } rows[] = {{"hidden_size", 1, CLIP_MOST_WIDTH, &c->hidden, true},
                {"intermediate_size", 1, CLIP_MOST_WIDTH, &c->mlp, true},
                {"num_hidden_layers", 1, CLIP_MOST_LAYERS, &c->layers, true},
                {"num_attention_heads", 1, CLIP_MOST_WIDTH, &c->heads, true},
                {"vocab_size", 1, CLIP_MOST_WORDS, &c->vocabulary, true},
                {"max_position_embeddings", 1, 1 << 16, &c->positions, false},
                {"eos_token_id", 0, CLIP_MOST_WORDS, &c->end, false}};
    *c = (struct clip_config){.positions = 77, .end = 49407, .eps = 1e-5};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].expected) TRY(json_file_expect(config, path, rows[i].key));
        TRY(json_file_int(config, path, rows[i].key, rows[i].low, rows[i].most, rows[i].value));
    }
    TRY(json_file_double(config, path, "layer_norm_eps", 0, 1, &c->eps));
    TRY(clip_refuse_others(config, path));
    int code = clip_check_config(c);
    return code < 0 ? fail_within(code, "%s", path) : OK;
}

/* ---- tensors ---- */

#define CLIP_PAIR(slot, name, rows, columns)                                                       \
    [slot] = {name ".weight", rows, columns}, [(slot) + 1] = {name ".bias", rows, ' '}

static const struct text_row clip_rows[CLIP_SLOTS] = {
    CLIP_PAIR(CLIP_NORM_ATTENTION, "layer_norm1", 'h', ' '),
    CLIP_PAIR(CLIP_Q, "self_attn.q_proj", 'h', 'h'),
    CLIP_PAIR(CLIP_K, "self_attn.k_proj", 'h', 'h'),
    CLIP_PAIR(CLIP_V, "self_attn.v_proj", 'h', 'h'),
    CLIP_PAIR(CLIP_OUT, "self_attn.out_proj", 'h', 'h'),
    CLIP_PAIR(CLIP_NORM_FEED, "layer_norm2", 'h', ' '),
    CLIP_PAIR(CLIP_UP, "mlp.fc1", 'f', 'h'),
    CLIP_PAIR(CLIP_DOWN, "mlp.fc2", 'h', 'f'),
};

struct text_widths clip_widths(const struct clip_config *c)
{
    return (struct text_widths){.hidden = c->hidden,
                                .mlp = c->mlp,
                                .queries = c->hidden,
                                .keys = c->hidden,
                                .head = c->hidden / c->heads};
}

int clip_model_create(struct clip_model *model, const struct clip_config *config)
{
    static const struct text_row last[] = {CLIP_PAIR(0, "final_layer_norm", 'h', ' ')};
    static const struct text_layout layout = {.prefix = "encoder.layers.",
                                              .rows = clip_rows,
                                              .row_count = CLIP_SLOTS,
                                              .last = "final",
                                              .last_rows = last,
                                              .last_count = 2};
    *model = (struct clip_model){.config = *config};
    TRY(clip_check_config(config));
    const struct text_widths widths = clip_widths(config);
    return text_list_create(&model->list, &layout, config->layers, &widths);
}

void clip_model_free(struct clip_model *model)
{
    block_list_free(&model->list);
    *model = (struct clip_model){.config = {0}};
}

bool clip_has_tensor(const struct clip_model *model, const char *name)
{
    static const char *const others[] = {CLIP_TABLE, CLIP_POSITIONS, "embeddings.position_ids"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0) return true;
    return text_list_has(&model->list, name);
}

int clip_read_ids(const struct clip_config *config, const int *ids, int count)
{
    int largest = 0;
    for (int i = 0; i < count; i++) {
        if (config->end != CLIP_OLD_END && ids[i] == config->end) return i + 1;
        if (ids[i] > ids[largest]) largest = i;
    }
    return config->end == CLIP_OLD_END ? largest + 1 : count;
}
