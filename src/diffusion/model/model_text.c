/* The text encoder of a model folder, and its tokenizer. */
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "diffusion/model/model_folder_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LOOKED_AT = 4096 }; /* bytes of a tensor's end */

static const char *const encoder_stems[] = {"model", "pytorch_model", NULL};

/* How names of tensors begin: those of a Qwen3ForCausalLM with this. */
static const char causal_prefix[] = "model.";

static const char *text_prefix(const struct model_folder *model)
{
    bool causal = store_shards_find(model->text_encoder, "model.embed_tokens.weight", NULL) != NULL;
    return causal ? causal_prefix : "";
}

/* More of it than the model's checksum has, as features that are kept go by it: the same bytes of
 * another type are other numbers, and the end of a matrix may be all that was changed. */
static void text_checksum_tensor(uint64_t *checksum, const struct store_tensor *tensor)
{
    size_t some = tensor->bytes < TEXT_LOOKED_AT ? tensor->bytes : TEXT_LOOKED_AT;
    int type = (int)tensor->type;
    model_checksum_tensor(checksum, tensor);
    *checksum = hash_bytes(*checksum, &type, sizeof type);
    *checksum = hash_bytes(*checksum, (const char *)tensor->data + tensor->bytes - some, some);
}

static int text_expect(struct model_folder *model, const char *name, int dims, const int64_t *shape,
                       const struct store_tensor **tensor)
{
    char full[96];
    snprintf(full, sizeof full, "%s%s", text_prefix(model), name);
    TRY(store_shards_expect(model->text_encoder, full, dims, shape, tensor));
    model_checksum_tensor(&model->checksum, *tensor);
    text_checksum_tensor(&model->text_checksum, *tensor);
    return OK;
}

static bool text_has(const void *context, const char *name)
{
    const struct model_folder *model = context;
    size_t skip = strlen(text_prefix(model));
    return strcmp(name, "lm_head.weight") == 0 || (strncmp(name, causal_prefix, skip) == 0 &&
                                                   qwen3_has_tensor(&model->encoder, name + skip));
}

/* The last layer and what comes after it are known, and of no use. */
static void text_warn_unused(const struct model_folder *model)
{
    int known = 0;
    for (int f = 0; f < store_shards_count(model->text_encoder); f++) {
        const struct store_file *file = store_shards_at(model->text_encoder, f);
        for (int i = 0; i < store_count(file); i++)
            known += text_has(model, store_at(file, i)->name);
    }
    store_shards_warn_unused(model->text_encoder, known, text_has, model);
}

static int text_find_layers(struct model_folder *model)
{
    const struct block_list *list = model->reader.list;
    const struct model_blocks blocks[] = {
        {"layers.", "num_hidden_layers", model->encoder.config.layers},
        {"model.layers.", "num_hidden_layers", model->encoder.config.layers}};
    model->text_weights = calloc((size_t)list->tensor_count, sizeof *model->text_weights);
    if (!model->text_weights) return fail(ERR_SYSTEM, "out of memory");
    for (int t = 0; t < list->tensor_count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        TRY(text_expect(model, tensor->name, tensor->dims, tensor->shape, &model->text_weights[t]));
    }
    TRY(model_check_blocks(model->text_encoder, blocks, 2));
    text_warn_unused(model);
    return OK;
}

static int text_find_tensors(struct model_folder *model)
{
    const int64_t table[2] = {model->encoder.config.vocabulary, model->network.text_dim};
    TRY(text_expect(model, "embed_tokens.weight", 2, table, &model->table));
    if (model->reader.network) TRY(text_find_layers(model));
    return store_shards_check_small(model->text_encoder);
}

/* Whether words, encoder and denoiser fit each other. */
static int text_check(const struct model_folder *model, const char *path)
{
    const struct qwen3_config *config = &model->encoder.config;
    int words = tokenizer_rows(model->text);
    if (config->vocabulary < words)
        return fail(ERR_DATA, "%s: vocab_size is %d, but its tokenizer has %d words", path,
                    config->vocabulary, words);
    if (config->hidden == model->network.text_dim) return OK;
    return fail(ERR_DATA, "%s: hidden_size is %d, the transformer's %s %d", path, config->hidden,
                model->network.traits->text_key, model->network.text_dim);
}

/* A table is asked for the row that says nothing; an encoder reads an empty text. */
static int text_open_tokenizer(struct model_folder *model)
{
    char *path = path_join(model->path, "tokenizer");
    int code = path ? tokenizer_open(&model->text, path) : ERR_SYSTEM;
    if (code == OK && !model->reader.network && tokenizer_none(model->text) < 0)
        code = fail(ERR_DATA, "%s: no token says nothing: <|endoftext|> is missing", path);
    free(path);
    return code;
}

int model_read_text(struct model_folder *model)
{
    struct qwen3_config config;
    cJSON *object = NULL;
    char *path = model_path(model, "text_encoder", "config.json");
    char *folder = path_join(model->path, "text_encoder");
    int code = path && folder ? OK : ERR_SYSTEM;
    TRY_CLEANUP(code);
    TRY_CLEANUP(model_read_config(model, path, &object));
    TRY_CLEANUP(qwen3_read_config(&config, object, path));
    TRY_CLEANUP(qwen3_model_create(&model->encoder, &config));
    if (model->encoder.list.block_count > 0) model->reader = qwen3_encoder(&model->encoder);
    model->text_checksum = hash_bytes(0, &config, sizeof config);
    TRY_CLEANUP(text_open_tokenizer(model));
    TRY_CLEANUP(text_check(model, path));
    TRY_CLEANUP(store_shards_open(&model->text_encoder, folder, encoder_stems));
    TRY_CLEANUP(text_find_tensors(model));
cleanup:
    cJSON_Delete(object);
    free(path);
    free(folder);
    return code;
}

/* ---- texts ---- */

int model_text_rows(const struct model_folder *model, const char *name, const char *text,
                    size_t bytes, int *rows, int *count)
{
    struct tokens tokens;
    int code = tokenizer_encode_chat(model->text, &tokens, text, bytes, TEXT_MOST_ROWS);
    if (code < 0) return fail_within(code, "%s", name);
    tokens_warn(&tokens, name);
    rows[0] = tokenizer_none(model->text);
    for (int i = 0; i < tokens.count; i++)
        rows[i] = tokens.ids[i];
    *count = tokens.count > 0 ? tokens.count : 1;
    tokens_free(&tokens);
    return OK;
}

int model_empty_rows(const struct model_folder *model, int *rows, int *count)
{
    if (!tokenizer_has_labels(model->text))
        return model_text_rows(model, "an empty prompt", "", 0, rows, count);
    rows[0] = tokenizer_none(model->text);
    *count = 1;
    return OK;
}
