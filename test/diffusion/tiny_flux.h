/* A folder of FLUX.1 for tests, in the official layout: the networks of
 * scripts/reference/flux_pipeline_goldens.py, in any type of files, in shards. Prefixed: CLIP has
 * the names of older files, T5 its second name for the embedding. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_FLUX_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_FLUX_H

#include "diffusion/mmdit/mmdit_model.h"
#include "test/diffusion/flux_text_fixture.h"
#include "test/diffusion/tiny_zimage.h"

enum { FLUX_CLIP_WORDS = 664, FLUX_T5_WORDS = 224 };

/* Beside a list: a matrix. */
struct flux_more {
    const char *name;
    int64_t shape[2];
    const char *of; /* the name by which its numbers are drawn; NULL: its own */
};

static inline float *flux_formula(const char *name, int dims, const int64_t *shape)
{
    size_t count = (size_t)shape[0] * (dims == 2 ? (size_t)shape[1] : 1);
    float *numbers = formula_floats(count);
    bool is_bias = strlen(name) > 4 && strcmp(name + strlen(name) - 4, "bias") == 0;
    formula_fill(numbers, count, name, dims == 2 ? 1 / sqrt((double)shape[1]) : 0.3,
                 dims == 2 || is_bias ? 0 : 1);
    return numbers;
}

static inline void flux_write_component(const char *path, const char *component, const char *stem,
                                        const struct block_list *list, const struct flux_more *more,
                                        int more_count, const char *config, const char *prefix,
                                        const struct zimage_files *files)
{
    struct store_writer *writer = store_writer_create();
    int count = list->tensor_count + more_count;
    float **held = calloc((size_t)count, sizeof *held);
    char *to = string_format("%s/%s", path, component);
    char *whole = string_format("%s/%s.safetensors", to, stem);
    MUST(file_make_dirs(to));
    for (int t = 0; t < count; t++) {
        bool listed = t < list->tensor_count;
        const char *name = listed ? list->tensors[t].name : more[t - list->tensor_count].name;
        const int64_t *shape = listed ? list->tensors[t].shape : more[t - list->tensor_count].shape;
        int dims = listed ? list->tensors[t].dims : 2;
        bool renamed = !listed && more[t - list->tensor_count].of;
        held[t] = flux_formula(renamed ? more[t - list->tensor_count].of : name, dims, shape);
        MUST(store_add(writer, name, TENSOR_F32, dims, shape, held[t]));
    }
    MUST(store_write(writer, whole, false));
    tiny_file_write(to, "config.json", config, strlen(config));
    store_writer_free(writer);
    zimage_restore(to, stem, prefix, files);
    for (int t = 0; t < count; t++)
        free(held[t]);
    free(held);
    free(whole);
    free(to);
}

static inline void flux_write_clip(const char *path, const struct zimage_files *files)
{
    static const char config[] =
        "{\"architectures\": [\"CLIPTextModel\"], \"model_type\": \"clip_text_model\", "
        "\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 3, "
        "\"num_attention_heads\": 4, \"max_position_embeddings\": 77, \"vocab_size\": 664, "
        "\"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": 1e-05, \"eos_token_id\": 2}\n";
    struct clip_config small = clip_small();
    const struct flux_more tables[] = {{CLIP_TABLE, {FLUX_CLIP_WORDS, 32}, NULL},
                                       {CLIP_POSITIONS, {77, 32}, NULL}};
    struct clip_model clip;
    small.vocabulary = FLUX_CLIP_WORDS;
    small.end = 2;
    MUST(clip_model_create(&clip, &small));
    flux_write_component(path, "text_encoder", "model", &clip.list, tables, 2, config,
                         files->prefixed ? "text_model." : "", files);
    clip_model_free(&clip);
}

static inline void flux_write_t5(const char *path, const struct zimage_files *files)
{
    static const char config[] =
        "{\"architectures\": [\"T5EncoderModel\"], \"model_type\": \"t5\", \"d_model\": 32, "
        "\"d_kv\": 16, \"d_ff\": 64, \"num_layers\": 3, \"num_heads\": 4, \"vocab_size\": 224, "
        "\"feed_forward_proj\": \"gated-gelu\", \"layer_norm_epsilon\": 1e-06, "
        "\"relative_attention_num_buckets\": 32, \"relative_attention_max_distance\": 128}\n";
    struct t5_config small = t5_small();
    const struct flux_more tables[] = {
        {files->prefixed ? "encoder.embed_tokens.weight" : "shared.weight",
         {FLUX_T5_WORDS, 32},
         "shared.weight"},
        {T5_TABLE, {32, 4}, NULL}};
    struct t5_model t5;
    small.vocabulary = FLUX_T5_WORDS;
    MUST(t5_model_create(&t5, &small));
    flux_write_component(path, "text_encoder_2", "model", &t5.list, tables, 2, config, "", files);
    t5_model_free(&t5);
}

static inline void flux_write_transformer(const char *path, bool guided,
                                          const struct zimage_files *files)
{
    const struct mmdit_config small = {.channels = 16,
                                       .double_blocks = 2,
                                       .single_blocks = 2,
                                       .heads = 2,
                                       .head_dim = 24,
                                       .text_dim = 32,
                                       .pooled_dim = 32,
                                       .guidance = guided,
                                       .axes = {8, 8, 8}};
    char *config = string_format(
        "{\"_class_name\": \"FluxTransformer2DModel\", \"attention_head_dim\": 24, "
        "\"axes_dims_rope\": [8, 8, 8], \"guidance_embeds\": %s, \"in_channels\": 64, "
        "\"joint_attention_dim\": 32, \"num_attention_heads\": 2, \"num_layers\": 2, "
        "\"num_single_layers\": 2, \"out_channels\": null, \"patch_size\": 1, "
        "\"pooled_projection_dim\": 32}\n",
        guided ? "true" : "false");
    struct mmdit_model mmdit;
    MUST(mmdit_model_create(&mmdit, &small));
    flux_write_component(path, "transformer", "diffusion_pytorch_model", &mmdit.list, NULL, 0,
                         config, "", files);
    mmdit_model_free(&mmdit);
    free(config);
}

static inline void flux_write_tokenizer(const char *path, const char *component, const char *golden)
{
    uint8_t *text;
    size_t bytes;
    char *to = string_format("%s/%s", path, component);
    char *from = string_format("test/golden/%s", golden);
    MUST(file_make_dirs(to));
    MUST(file_read(from, 1 << 20, &text, &bytes));
    tiny_file_write(to, "tokenizer.json", (const char *)text, bytes);
    free(text);
    free(from);
    free(to);
}

/* guided: as FLUX.1-dev, else as FLUX.1-schnell. */
static inline void flux_write(const char *path, bool guided, const struct zimage_files *files)
{
    static const char index[] =
        "{\"_class_name\": \"FluxPipeline\", \"feature_extractor\": [null, null], "
        "\"scheduler\": [\"diffusers\", \"FlowMatchEulerDiscreteScheduler\"], "
        "\"text_encoder\": [\"transformers\", \"CLIPTextModel\"], "
        "\"text_encoder_2\": [\"transformers\", \"T5EncoderModel\"], "
        "\"tokenizer\": [\"transformers\", \"CLIPTokenizer\"], "
        "\"tokenizer_2\": [\"transformers\", \"T5TokenizerFast\"], "
        "\"transformer\": [\"diffusers\", \"FluxTransformer2DModel\"], "
        "\"vae\": [\"diffusers\", \"AutoencoderKL\"]}\n";
    const struct kl_config vae_config = zimage_vae();
    char *vae = string_format("%s/vae", path), *times = string_format("%s/scheduler", path);
    char *schedule = string_format(
        "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"base_image_seq_len\": 256, "
        "\"base_shift\": 0.5, \"max_image_seq_len\": 4096, \"max_shift\": 1.15, "
        "\"num_train_timesteps\": 1000, \"shift\": %s, \"use_dynamic_shifting\": %s}\n",
        guided ? "3.0" : "1.0", guided ? "true" : "false");
    MUST(file_make_dirs(times));
    tiny_file_write(times, "scheduler_config.json", schedule, strlen(schedule));
    tiny_vae_write(vae, &vae_config);
    zimage_restore(vae, "diffusion_pytorch_model", "", files);
    flux_write_clip(path, files);
    flux_write_t5(path, files);
    flux_write_transformer(path, guided, files);
    flux_write_tokenizer(path, "tokenizer", "tokenizer_clip.json");
    flux_write_tokenizer(path, "tokenizer_2", "tokenizer_t5.json");
    tiny_file_write(path, "model_index.json", index, sizeof index - 1);
    free(schedule);
    free(times);
    free(vae);
}

#endif
