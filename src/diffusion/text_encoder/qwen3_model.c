#include "diffusion/text_encoder/qwen3_model.h"

#include "base/error.h"
#include "device/token_ops.h"
#include "store/json_file.h"

#include <stdio.h>
#include <string.h>

enum { MOST_HIDDEN = 1 << 16, MOST_MLP = 1 << 18, MOST_LAYERS = 1000, MOST_WORDS = 1 << 24 };

/* ---- config.json ---- */

static int refuse_setting(const cJSON *config, const char *path, const char *key)
{
    bool set = false;
    TRY(json_file_bool(config, path, key, &set));
    return set ? fail(ERR_DATA, "%s: %s is not computed here", path, key) : OK;
}

/* Newer files have both in rope_parameters, older ones the one and rope_scaling. */
static int read_rope(struct qwen3_config *c, const cJSON *config, const char *path)
{
    static const char *const keys[] = {"rope_parameters", "rope_scaling"};
    TRY(json_file_double(config, path, "rope_theta", 1, 1e12, &c->rope_theta));
    for (int i = 0; i < 2; i++) {
        const cJSON *object = json_file_member(config, keys[i]);
        const char *type = "default";
        if (!object) continue;
        TRY(json_file_string(object, path, "type", &type));
        TRY(json_file_string(object, path, "rope_type", &type));
        if (!cJSON_IsObject(object) || strcmp(type, "default") != 0)
            return fail(ERR_DATA, "%s: %s: rope_type %.40s; default is computed here", path,
                        keys[i], type);
        TRY(json_file_double(object, path, "rope_theta", 1, 1e12, &c->rope_theta));
    }
    return OK;
}

/* What would make another network of it. */
static int refuse_others(const cJSON *config, const char *path)
{
    const char *type = "qwen3", *act = "silu";
    const cJSON *kind, *kinds = cJSON_GetObjectItemCaseSensitive(config, "layer_types");
    TRY(json_file_string(config, path, "model_type", &type));
    if (strcmp(type, "qwen3") != 0)
        return fail(ERR_DATA, "%s: model_type is %.40s; qwen3 is computed here", path, type);
    TRY(json_file_string(config, path, "hidden_act", &act));
    if (strcmp(act, "silu") != 0)
        return fail(ERR_DATA, "%s: hidden_act is %.40s; silu is computed here", path, act);
    cJSON_ArrayForEach(kind, kinds)
    {
        const char *name = cJSON_GetStringValue(kind);
        if (!name || strcmp(name, "full_attention") != 0)
            return fail(ERR_DATA, "%s: layer_types: %.40s; full_attention is computed here", path,
                        name ? name : "no name");
    }
    TRY(refuse_setting(config, path, "attention_bias"));
    return refuse_setting(config, path, "use_sliding_window");
}

static int qwen3_check_config(const struct qwen3_config *c)
{
    if (c->heads % c->kv_heads != 0)
        return fail(ERR_DATA, "num_attention_heads is %d, no multiple of num_key_value_heads %d",
                    c->heads, c->kv_heads);
    if (c->head_dim % 2 != 0 || c->head_dim > TOKEN_HEAD_MOST)
        return fail(ERR_DATA, "head_dim is %d: an even number to %d is computed here", c->head_dim,
                    TOKEN_HEAD_MOST);
    if (c->heads * c->head_dim > MOST_HIDDEN)
        return fail(ERR_DATA, "%d heads of %d are more than is computed here", c->heads,
                    c->head_dim);
    return OK;
}

int qwen3_read_config(struct qwen3_config *c, const cJSON *config, const char *path)
{
    const struct {
        const char *key;
        int most, *value;
    } rows[] = {{"hidden_size", MOST_HIDDEN, &c->hidden},
                {"intermediate_size", MOST_MLP, &c->mlp},
                {"num_hidden_layers", MOST_LAYERS, &c->layers},
                {"num_attention_heads", MOST_HIDDEN, &c->heads},
                {"num_key_value_heads", MOST_HIDDEN, &c->kv_heads},
                {"head_dim", MOST_HIDDEN, &c->head_dim},
                {"vocab_size", MOST_WORDS, &c->vocabulary}};
    *c = (struct qwen3_config){.positions = 32768, .rope_theta = 1e4, .eps = 1e-6};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TRY(json_file_expect(config, path, rows[i].key));
        TRY(json_file_int(config, path, rows[i].key, 1, rows[i].most, rows[i].value));
    }
    TRY(json_file_int(config, path, "max_position_embeddings", 1, 1 << 24, &c->positions));
    TRY(json_file_double(config, path, "rms_norm_eps", 0, 1, &c->eps));
    TRY(refuse_others(config, path));
    TRY(read_rope(c, config, path));
    int code = qwen3_check_config(c);
    return code < 0 ? fail_within(code, "%s", path) : OK;
}

/* ---- tensors ---- */

static const struct text_row qwen3_rows[QWEN3_SLOTS] = {
    [QWEN3_NORM_ATTENTION] = {"input_layernorm.weight", 'h', ' '},
    [QWEN3_Q] = {"self_attn.q_proj.weight", 'q', 'h'},
    [QWEN3_K] = {"self_attn.k_proj.weight", 'k', 'h'},
    [QWEN3_V] = {"self_attn.v_proj.weight", 'k', 'h'},
    [QWEN3_OUT] = {"self_attn.o_proj.weight", 'h', 'q'},
    [QWEN3_NORM_Q] = {"self_attn.q_norm.weight", 'd', ' '},
    [QWEN3_NORM_K] = {"self_attn.k_norm.weight", 'd', ' '},
    [QWEN3_NORM_FEED] = {"post_attention_layernorm.weight", 'h', ' '},
    [QWEN3_GATE] = {"mlp.gate_proj.weight", 'f', 'h'},
    [QWEN3_UP] = {"mlp.up_proj.weight", 'f', 'h'},
    [QWEN3_DOWN] = {"mlp.down_proj.weight", 'h', 'f'},
};

struct text_widths qwen3_widths(const struct qwen3_config *c)
{
    return (struct text_widths){.hidden = c->hidden,
                                .mlp = c->mlp,
                                .queries = c->heads * c->head_dim,
                                .keys = c->kv_heads * c->head_dim,
                                .head = c->head_dim};
}

int qwen3_model_create(struct qwen3_model *model, const struct qwen3_config *config)
{
    static const struct text_layout layout = {
        .prefix = "layers.", .rows = qwen3_rows, .row_count = QWEN3_SLOTS};
    const struct text_widths widths = qwen3_widths(config);
    *model = (struct qwen3_model){.config = *config};
    TRY(qwen3_check_config(config));
    return text_list_create(&model->list, &layout, config->layers - 1, &widths);
}

void qwen3_model_free(struct qwen3_model *model)
{
    block_list_free(&model->list);
    *model = (struct qwen3_model){.config = {0}};
}

bool qwen3_has_tensor(const struct qwen3_model *model, const char *name)
{
    static const char *const others[] = {"embed_tokens.weight", "norm.weight", "lm_head.weight"};
    char last[64];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0) return true;
    if (text_list_has(&model->list, name)) return true;
    for (int slot = 0; slot < QWEN3_SLOTS; slot++) {
        snprintf(last, sizeof last, "layers.%d.%s", model->list.block_count, qwen3_rows[slot].name);
        if (strcmp(name, last) == 0) return true;
    }
    return false;
}
