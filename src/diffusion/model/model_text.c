/* The text encoders of a model folder, and their tokenizers. */
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "diffusion/model/model_folder_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LOOKED_AT = 4096 }; /* bytes of a tensor's end */

/* Configs are hashed whole, and bytes of padding could be any. */
_Static_assert(sizeof(struct qwen3_config) == 8 * sizeof(int) + 2 * sizeof(double), "no padding");
_Static_assert(sizeof(struct t5_config) == 8 * sizeof(int) + sizeof(double), "no padding");
_Static_assert(sizeof(struct clip_config) == 8 * sizeof(int) + sizeof(double), "no padding");

static const char *const encoder_stems[] = {"model", "pytorch_model", NULL};

/* A matrix beside the list of layers; by the first of these names that is there. */
struct encoder_matrix {
    const char *names[2];
    int64_t shape[2];
};

/* What is to be found in an encoder's folder. */
struct encoder_wanted {
    struct model_encoder *encoder;
    const struct block_list *list; /* of its layers; empty: rows of the table alone are read */
    const char *prefix; /* that all names begin with where the table's does: of larger models */
    struct encoder_matrix table, more;
    struct model_blocks blocks; /* named without the prefix */
    bool (*has_tensor)(const struct model_folder *model, const char *name);
};

/* ---- tensors ---- */

static const char *encoder_prefix(const struct encoder_wanted *wanted)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", wanted->prefix, wanted->table.names[0]);
    bool is_there = store_shards_find(wanted->encoder->shards, name, NULL) != NULL;
    return is_there ? wanted->prefix : "";
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

static int text_expect(struct model_folder *model, const struct encoder_wanted *wanted,
                       const char *name, int dims, const int64_t *shape,
                       const struct store_tensor **tensor)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", encoder_prefix(wanted), name);
    TRY(store_shards_expect(wanted->encoder->shards, full, dims, shape, tensor));
    model_checksum_tensor(&model->checksum, *tensor);
    text_checksum_tensor(&wanted->encoder->checksum, *tensor);
    return OK;
}

static int text_expect_matrix(struct model_folder *model, const struct encoder_wanted *wanted,
                              const struct encoder_matrix *matrix,
                              const struct store_tensor **tensor)
{
    const char *other = matrix->names[1];
    bool is_other = other && store_shards_find(wanted->encoder->shards, other, NULL);
    return text_expect(model, wanted, matrix->names[is_other], 2, matrix->shape, tensor);
}

struct text_names {
    const struct model_folder *model;
    const struct encoder_wanted *wanted;
};

static bool text_has(const void *context, const char *name)
{
    const struct text_names *names = context;
    const char *prefix = encoder_prefix(names->wanted);
    size_t skip = strlen(prefix);
    return strcmp(name, "lm_head.weight") == 0 ||
           (strncmp(name, prefix, skip) == 0 &&
            names->wanted->has_tensor(names->model, name + skip));
}

/* Some of those that are known are of no use: Qwen3's last layer and what comes after it. */
static void text_warn_unused(const struct model_folder *model, const struct encoder_wanted *wanted)
{
    const struct text_names names = {model, wanted};
    const struct store_shards *shards = wanted->encoder->shards;
    int known = 0;
    for (int f = 0; f < store_shards_count(shards); f++) {
        const struct store_file *file = store_shards_at(shards, f);
        for (int i = 0; i < store_count(file); i++)
            known += text_has(&names, store_at(file, i)->name);
    }
    store_shards_warn_unused(shards, known, text_has, &names);
}

static int text_find_layers(struct model_folder *model, const struct encoder_wanted *wanted)
{
    struct model_encoder *encoder = wanted->encoder;
    const struct block_list *list = wanted->list;
    char prefixed[128];
    struct model_blocks blocks[2] = {wanted->blocks, wanted->blocks};
    snprintf(prefixed, sizeof prefixed, "%s%s", wanted->prefix, wanted->blocks.prefix);
    blocks[1].prefix = prefixed;
    encoder->weights = calloc((size_t)list->tensor_count, sizeof *encoder->weights);
    if (!encoder->weights) return fail(ERR_SYSTEM, "out of memory");
    for (int t = 0; t < list->tensor_count; t++) {
        const struct block_tensor *tensor = &list->tensors[t];
        TRY(text_expect(model, wanted, tensor->name, tensor->dims, tensor->shape,
                        &encoder->weights[t]));
    }
    TRY(model_check_blocks(encoder->shards, blocks, 2));
    text_warn_unused(model, wanted);
    return OK;
}

static int text_find_tensors(struct model_folder *model, const char *component,
                             const struct encoder_wanted *wanted)
{
    struct model_encoder *encoder = wanted->encoder;
    char *folder = path_join(model->path, component);
    int code = folder ? store_shards_open(&encoder->shards, folder, encoder_stems) : ERR_SYSTEM;
    free(folder);
    TRY(code);
    TRY(text_expect_matrix(model, wanted, &wanted->table, &encoder->table));
    if (wanted->more.names[0])
        TRY(text_expect_matrix(model, wanted, &wanted->more, &encoder->more));
    if (wanted->list->block_count > 0) TRY(text_find_layers(model, wanted));
    return store_shards_check_small(encoder->shards);
}

void model_encoder_close(struct model_encoder *encoder)
{
    store_shards_close(encoder->shards);
    tokenizer_close(encoder->tokens);
    free(encoder->weights);
}

/* ---- tokenizers ---- */

/* Whether words, encoder and denoiser fit each other. */
struct encoder_fit {
    int width, vocabulary;
    const char *width_key;
    int network_width;
    const char *network_key;
};

static int text_check_fit(const struct model_encoder *encoder, const struct encoder_fit *fit,
                          const char *path)
{
    int words = tokenizer_rows(encoder->tokens);
    if (fit->vocabulary < words)
        return fail(ERR_DATA, "%s: vocab_size is %d, but its tokenizer has %d words", path,
                    fit->vocabulary, words);
    if (fit->width == fit->network_width) return OK;
    return fail(ERR_DATA, "%s: %s is %d, the transformer's %s %d", path, fit->width_key, fit->width,
                fit->network_key, fit->network_width);
}

/* A table is asked for the row that says nothing; an encoder reads an empty text. */
static int text_open_tokenizer(const struct model_folder *model, const char *component,
                               struct model_encoder *encoder)
{
    char *path = path_join(model->path, component);
    int code = path ? tokenizer_open(&encoder->tokens, path) : ERR_SYSTEM;
    if (code == OK && !encoder->layers.network && tokenizer_none(encoder->tokens) < 0)
        code = fail(ERR_DATA, "%s: no token says nothing: <|endoftext|> is missing", path);
    free(path);
    return code;
}

/* The same of an encoder whose tokens are of one kind, and end each text. With another's tokenizer,
 * which may have as few words, an image would be of other words. */
static int text_open_tokenizer_of(const struct model_folder *model, const char *component,
                                  struct model_encoder *encoder, const char *owner,
                                  enum tokenizer_kind kind)
{
    static const char *const names[] = {[TOKENIZER_LABELS] = "names of classes",
                                        [TOKENIZER_BYTES] = "bytes",
                                        [TOKENIZER_BPE] = "BPE",
                                        [TOKENIZER_UNIGRAM] = "Unigram"};
    struct tokens nothing;
    TRY(text_open_tokenizer(model, component, encoder));
    enum tokenizer_kind found = tokenizer_kind_of(encoder->tokens);
    if (found != kind)
        return fail(ERR_DATA, "%s/%s: a tokenizer of kind %s; %s has one of kind %s", model->path,
                    component, names[found], owner, names[kind]);
    TRY(tokenizer_encode(encoder->tokens, &nothing, "", 0, 0));
    int ending = nothing.count;
    tokens_free(&nothing);
    if (ending > 0) return OK;
    return fail(ERR_DATA, "%s/%s: no token ends a text, as its post_processor would say",
                model->path, component);
}

/* ---- each encoder ---- */

static bool text_has_qwen3(const struct model_folder *model, const char *name)
{
    return qwen3_has_tensor(&model->qwen3, name);
}

static bool text_has_t5(const struct model_folder *model, const char *name)
{
    return t5_has_tensor(&model->t5, name);
}

static bool text_has_clip(const struct model_folder *model, const char *name)
{
    return clip_has_tensor(&model->clip, name);
}

static int text_create_qwen3(struct model_folder *model, const cJSON *object, const char *path)
{
    struct model_encoder *reader = &model->reader;
    struct qwen3_config config;
    TRY(qwen3_read_config(&config, object, path));
    TRY(qwen3_model_create(&model->qwen3, &config));
    if (model->qwen3.list.block_count > 0) reader->layers = qwen3_encoder(&model->qwen3);
    reader->checksum = hash_bytes(0, &config, sizeof config);
    const struct encoder_fit fit = {config.hidden, config.vocabulary, "hidden_size",
                                    model->network.text_dim, model->network.traits->text_key};
    const struct encoder_wanted wanted = {
        .encoder = reader,
        .list = &model->qwen3.list,
        .prefix = "model.", /* of a Qwen3ForCausalLM */
        .table = {{"embed_tokens.weight"}, {config.vocabulary, config.hidden}},
        .blocks = {"layers.", "num_hidden_layers", config.layers},
        .has_tensor = text_has_qwen3};
    TRY(text_open_tokenizer(model, "tokenizer", reader));
    TRY(text_check_fit(reader, &fit, path));
    return text_find_tensors(model, "text_encoder", &wanted);
}

static int text_create_t5(struct model_folder *model, const cJSON *object, const char *path)
{
    struct model_encoder *reader = &model->reader;
    struct t5_config config;
    TRY(t5_read_config(&config, object, path));
    TRY(t5_model_create(&model->t5, &config));
    reader->layers = t5_encoder(&model->t5);
    reader->checksum = hash_bytes(0, &config, sizeof config);
    const struct encoder_fit fit = {config.hidden, config.vocabulary, "d_model",
                                    model->network.text_dim, model->network.traits->text_key};
    const struct encoder_wanted wanted = {
        .encoder = reader,
        .list = &model->t5.list,
        .prefix = "",
        .table = {{"shared.weight", "encoder.embed_tokens.weight"},
                  {config.vocabulary, config.hidden}},
        .more = {{T5_TABLE}, {config.buckets, config.heads}},
        .blocks = {"encoder.block.", "num_layers", config.layers},
        .has_tensor = text_has_t5};
    TRY(text_open_tokenizer_of(model, "tokenizer_2", reader, "T5", TOKENIZER_UNIGRAM));
    TRY(text_check_fit(reader, &fit, path));
    return text_find_tensors(model, "text_encoder_2", &wanted);
}

static int text_create_clip(struct model_folder *model, const cJSON *object, const char *path)
{
    struct model_encoder *pooled = &model->pooled;
    struct clip_config config;
    TRY(clip_read_config(&config, object, path));
    TRY(clip_model_create(&model->clip, &config));
    pooled->layers = clip_encoder(&model->clip);
    pooled->checksum = hash_bytes(0, &config, sizeof config);
    const struct encoder_fit fit = {config.hidden, config.vocabulary, "hidden_size",
                                    model->network.pooled_dim, "pooled_projection_dim"};
    const struct encoder_wanted wanted = {
        .encoder = pooled,
        .list = &model->clip.list,
        .prefix = "text_model.", /* of files that are older */
        .table = {{CLIP_TABLE}, {config.vocabulary, config.hidden}},
        .more = {{CLIP_POSITIONS}, {config.positions, config.hidden}},
        .blocks = {"encoder.layers.", "num_hidden_layers", config.layers},
        .has_tensor = text_has_clip};
    TRY(text_open_tokenizer_of(model, "tokenizer", pooled, "CLIP", TOKENIZER_BPE));
    TRY(text_check_fit(pooled, &fit, path));
    return text_find_tensors(model, "text_encoder", &wanted);
}

static int text_read(struct model_folder *model, const char *component,
                     int (*create)(struct model_folder *model, const cJSON *object,
                                   const char *path))
{
    cJSON *object = NULL;
    char *path = model_path(model, component, "config.json");
    int code = path ? model_read_config(model, path, &object) : ERR_SYSTEM;
    if (code == OK) code = create(model, object, path);
    cJSON_Delete(object);
    free(path);
    return code;
}

int model_read_qwen3(struct model_folder *model)
{
    return text_read(model, "text_encoder", text_create_qwen3);
}

int model_read_t5_and_clip(struct model_folder *model)
{
    TRY(text_read(model, "text_encoder_2", text_create_t5));
    return text_read(model, "text_encoder", text_create_clip);
}

/* ---- texts ---- */

/* Pads take part in attention, as they did in the model's training. */
static int text_fill_rows(const struct model_folder *model, const char *name, const char *text,
                          size_t bytes, int length, int *rows)
{
    struct tokens tokens;
    int pad = tokenizer_pad(model->reader.tokens);
    int code = tokenizer_encode(model->reader.tokens, &tokens, text, bytes, length);
    if (code < 0) return fail_within(code, "%s", name);
    tokens_warn(&tokens, name);
    for (int i = 0; i < length; i++)
        rows[i] = i < tokens.count ? tokens.ids[i] : pad > 0 ? pad : 0;
    tokens_free(&tokens);
    return OK;
}

int model_text_rows(const struct model_folder *model, const char *name, const char *text,
                    size_t bytes, int length, int *rows, int *count)
{
    struct tokens tokens;
    if (model->network.text_rows > 0) {
        *count = length;
        return text_fill_rows(model, name, text, bytes, length, rows);
    }
    int code = tokenizer_encode_chat(model->reader.tokens, &tokens, text, bytes, TEXT_MOST_ROWS);
    if (code < 0) return fail_within(code, "%s", name);
    tokens_warn(&tokens, name);
    rows[0] = tokenizer_none(model->reader.tokens);
    for (int i = 0; i < tokens.count; i++)
        rows[i] = tokens.ids[i];
    *count = tokens.count > 0 ? tokens.count : 1;
    tokens_free(&tokens);
    return OK;
}

int model_pooled_rows(const struct model_folder *model, const char *name, const char *text,
                      size_t bytes, int *rows, int *count)
{
    const struct clip_config *config = &model->clip.config;
    int most = config->positions < TEXT_MOST_POOLED ? config->positions : TEXT_MOST_POOLED;
    struct tokens tokens;
    *count = 0;
    if (!model->pooled.layers.network) return OK;
    int code = tokenizer_encode(model->pooled.tokens, &tokens, text, bytes, most);
    if (code < 0) return fail_within(code, "%s", name);
    if (tokens.lost_text)
        log_info("%s: CLIP, which says in one vector what the image is about, reads its first %d "
                 "tokens alone; T5 reads more",
                 name, tokens.count);
    *count = clip_read_ids(config, tokens.ids, tokens.count);
    memcpy(rows, tokens.ids, (size_t)*count * sizeof *rows);
    tokens_free(&tokens);
    return OK;
}

int model_empty_rows(const struct model_folder *model, int *rows, int *count)
{
    if (!tokenizer_has_labels(model->reader.tokens))
        return model_text_rows(model, "an empty prompt", "", 0, model->network.text_rows, rows,
                               count);
    rows[0] = tokenizer_none(model->reader.tokens);
    *count = 1;
    return OK;
}
