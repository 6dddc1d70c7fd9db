/* A folder of Z-Image for tests, in the official layout: the networks of
 * scripts/reference/zimage_goldens.py, in any type of files, in shards, with prefixed names. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_ZIMAGE_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_ZIMAGE_H

#include "store/shards.h"
#include "test/diffusion/qwen3_fixture.h"
#include "test/diffusion/small_dit.h"
#include "test/diffusion/tiny_model.h"
#include "test/diffusion/tiny_tokenizer.h"

#include <unistd.h>

struct zimage_files {
    enum tensor_type type; /* of all weights */
    bool widened;          /* rounded to it, but stored as F32 */
    int shards;            /* 1: one file, no index */
    bool prefixed;         /* the text encoder's names, as of Qwen3ForCausalLM */
};

static inline struct s3dit_config zimage_config(void)
{
    return (struct s3dit_config)SMALL_DIT(16, 2, 32, 256);
}

static inline struct kl_config zimage_vae(void)
{
    return (struct kl_config){.levels = 4,
                              .widths = {32, 32, 64, 64},
                              .resnets = 1,
                              .latent_channels = 16,
                              .groups = 32,
                              .attention = true,
                              .scaling = 0.3611,
                              .shift = 0.1159};
}

/* FOLDER/STEM.safetensors, of F32, as `files` says. */
static inline void zimage_restore(const char *path, const char *stem, const char *prefix,
                                  const struct zimage_files *files)
{
    char name[128], map[32768] = "";
    struct store_file *file;
    char *whole = string_format("%s/%s.safetensors", path, stem);
    MUST(store_open(&file, whole));
    int count = store_count(file), n = files->shards;
    void **held = calloc((size_t)count, sizeof *held);
    for (int shard = 0; shard < n; shard++) {
        struct store_writer *writer = store_writer_create();
        if (n > 1)
            snprintf(name, sizeof name, "%s-%05d-of-%05d.safetensors", stem, shard + 1, n);
        else
            snprintf(name, sizeof name, "new.safetensors");
        for (int t = shard; t < count; t += n) {
            const struct store_tensor *tensor = store_at(file, t);
            size_t numbers = tensor->bytes / sizeof(float);
            float *rounded = formula_floats(numbers + 1);
            memcpy(rounded, tensor->data, tensor->bytes);
            held[t] = text_stored(rounded, numbers,
                                  files->type == TENSOR_BF16  ? TOKEN_BF16
                                  : files->type == TENSOR_F16 ? TOKEN_F16
                                                              : TOKEN_F32);
            if (files->widened) memcpy(held[t], rounded, tensor->bytes);
            free(rounded);
            char full[160];
            snprintf(full, sizeof full, "%s%s",
                     strcmp(tensor->name, "lm_head.weight") ? prefix : "", tensor->name);
            MUST(store_add(writer, full, files->widened ? TENSOR_F32 : files->type, tensor->dims,
                           tensor->shape, held[t]));
            size_t used = strlen(map);
            snprintf(map + used, sizeof map - used, "%s\"%s\": \"%s\"", used ? ", " : "", full,
                     name);
        }
        char *to = string_format("%s/%s", path, name);
        MUST(store_write(writer, to, false));
        store_writer_free(writer);
        free(to);
    }
    store_close(file);
    for (int t = 0; t < count; t++)
        free(held[t]);
    free(held);
    ck_assert_int_eq(unlink(whole), 0);
    char *index = string_format("%s/%s.safetensors.index.json", path, stem);
    char *text = string_format("{\"metadata\": {}, \"weight_map\": {%s}}", map);
    char *one = string_format("%s/new.safetensors", path);
    if (n > 1)
        MUST(file_atomic_write_whole(index, text, strlen(text), false));
    else
        ck_assert_int_eq(rename(one, whole), 0);
    free(index);
    free(text);
    free(one);
    free(whole);
}

static inline void zimage_write_encoder(const char *path, const struct zimage_files *files)
{
    const struct qwen3_config c = qwen3_small();
    struct qwen3_config more = c;
    struct qwen3_model model;
    struct store_writer *writer = store_writer_create();
    const int64_t table[2] = {c.vocabulary, c.hidden};
    float *held[64];
    int count = 0;
    more.layers++; /* the last layer's tensors are listed too */
    MUST(qwen3_model_create(&model, &more));
    ck_assert_int_lt(model.list.tensor_count, 60);
    for (int t = 0; t < model.list.tensor_count + 3; t++) {
        static const char *const others[] = {"embed_tokens.weight", "lm_head.weight",
                                             "norm.weight"};
        int other = t - model.list.tensor_count, dims = other < 0 ? model.list.tensors[t].dims : 1;
        const int64_t *shape = other < 0    ? model.list.tensors[t].shape
                               : other == 2 ? table + 1
                                            : table;
        const char *name = other < 0 ? model.list.tensors[t].name : others[other];
        if (other == 1 && !files->prefixed) continue;
        if (other == 0 || other == 1) dims = 2;
        size_t numbers = (size_t)shape[0] * (dims == 2 ? (size_t)shape[1] : 1);
        held[count] = formula_floats(numbers);
        for (size_t i = 0; i < numbers; i++)
            held[count][i] = text_formula(name, shape, dims, i);
        MUST(store_add(writer, name, TENSOR_F32, dims, shape, held[count++]));
    }
    char *to = string_format("%s/model.safetensors", path);
    char *config = string_format("%s/config.json", path);
    char *text = string_format(
        "{\"architectures\": [\"Qwen3Model\"], \"model_type\": \"qwen3\", \"hidden_size\": %d, "
        "\"intermediate_size\": %d, \"num_hidden_layers\": %d, \"num_attention_heads\": %d, "
        "\"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
        "\"max_position_embeddings\": %d, \"rope_theta\": 1000000.0, \"rms_norm_eps\": 1e-06, "
        "\"hidden_act\": \"silu\", \"attention_bias\": false, \"rope_scaling\": null}\n",
        c.hidden, c.mlp, c.layers, c.heads, c.kv_heads, c.head_dim, c.vocabulary, c.positions);
    MUST(store_write(writer, to, false));
    MUST(file_atomic_write_whole(config, text, strlen(text), false));
    store_writer_free(writer);
    for (int i = 0; i < count; i++)
        free(held[i]);
    qwen3_model_free(&model);
    free(to);
    free(config);
    free(text);
    zimage_restore(path, "model", files->prefixed ? "model." : "", files);
}

static inline void zimage_write(const char *path, const struct zimage_files *files)
{
    struct s3dit_config config = zimage_config();
    const struct kl_config vae_config = zimage_vae();
    struct s3dit_model dit;
    struct tokenizer *text;
    char *encoder = string_format("%s/text_encoder", path);
    char *transformer = string_format("%s/transformer", path);
    char *vae = string_format("%s/vae", path);
    char *tokenizer = string_format("%s/tokenizer", path);
    char *index = string_format("%s/model_index.json", path);
    char *own = string_format("%s/imgtrain.json", path);
    static const char with_vae[] =
        "{\"_class_name\": \"ZImagePipeline\", \"scheduler\": [\"diffusers\", "
        "\"FlowMatchEulerDiscreteScheduler\"], \"text_encoder\": [\"transformers\", "
        "\"Qwen3Model\"], \"tokenizer\": [\"transformers\", \"Qwen2Tokenizer\"], "
        "\"transformer\": [\"diffusers\", \"ZImageTransformer2DModel\"], \"vae\": "
        "[\"diffusers\", \"AutoencoderKL\"]}";
    MUST(s3dit_model_create(&dit, &config));
    MUST(tokenizer_of_bytes(&text));
    float *flat = tiny_weights(&dit), *table = formula_floats((size_t)tokenizer_rows(text) * 32);
    const struct model_writing writing = {&dit, flat, table, text, 3.0, {.steps = 8}, NULL};
    MUST(model_folder_write(path, &writing));
    free(flat);
    free(table);
    tokenizer_close(text);
    s3dit_model_free(&dit);
    ck_assert_int_eq(unlink(own), 0); /* nobody else writes it */
    tiny_vae_write(vae, &vae_config);
    zimage_write_encoder(encoder, files);
    tiny_tokenizer_write(tokenizer);
    zimage_restore(transformer, "diffusion_pytorch_model", "", files);
    zimage_restore(vae, "diffusion_pytorch_model", "", files);
    MUST(file_atomic_write_whole(index, with_vae, strlen(with_vae), false));
    free(encoder);
    free(transformer);
    free(vae);
    free(tokenizer);
    free(index);
    free(own);
}

#endif
