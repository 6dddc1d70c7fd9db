#include "diffusion/model/model_write.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/parse_number.h"
#include "base/version.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/vae/kl_folder_write.h"
#include "store/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Which of diffusers' releases these files were compared with. */
#define DIFFUSERS "0.42.1"

static int model_write_text(const char *folder, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int model_write_text(const char *folder, const char *name, const char *format, ...)
{
    char *text = NULL, *path = path_join(folder, name);
    va_list args;
    va_start(args, format);
    int bytes = vasprintf(&text, format, args);
    va_end(args);
    int code = path && bytes >= 0 ? file_atomic_write_whole(path, text, (size_t)bytes, false)
                                  : fail(ERR_SYSTEM, "out of memory");
    if (bytes >= 0) free(text);
    free(path);
    return code;
}

/* FOLDER/COMPONENT, made (malloc). */
static int make_component(char **path, const char *folder, const char *component)
{
    *path = path_join(folder, component);
    return *path ? file_make_dirs(*path) : ERR_SYSTEM;
}

static int write_weights(struct store_writer *writer, const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    const char *broken = store_find_nonfinite(writer);
    int code = OK;
    if (!path) code = ERR_SYSTEM;
    if (code == OK && broken)
        code = fail(ERR_DIVERGED, "%s: tensor %s holds a NaN or an infinity", path, broken);
    /* Loaders of PyTorch's ask for this key. */
    if (code == OK) code = store_set(writer, "format", "pt");
    if (code == OK) code = store_write(writer, path, false);
    free(path);
    return code;
}

static int write_scheduler(const char *folder, double shift)
{
    char *path, text[NUMBER_TEXT_BYTES];
    int code = make_component(&path, folder, "scheduler");
    if (code == OK)
        code = model_write_text(path, "scheduler_config.json",
                                "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\",\n"
                                "\"_diffusers_version\": \"%s\",\n\"num_train_timesteps\": 1000, "
                                "\"shift\": %s, \"use_dynamic_shifting\": false}\n",
                                DIFFUSERS, number_format(text, shift));
    free(path);
    return code;
}

static int write_s3dit_config(const char *folder, const struct s3dit_config *c)
{
    return model_write_text(
        folder, "config.json",
        "{\"_class_name\": \"ZImageTransformer2DModel\",\n\"_diffusers_version\": "
        "\"%s\",\n\"all_f_patch_size\": [1], \"all_patch_size\": [%d],\n"
        "\"axes_dims\": [%d, %d, %d], \"axes_lens\": [%d, %d, %d],\n"
        "\"cap_feat_dim\": %d, \"dim\": %d, \"in_channels\": %d,\n\"n_heads\": %d, "
        "\"n_kv_heads\": %d, \"n_layers\": %d, \"n_refiner_layers\": %d,\n"
        "\"norm_eps\": %.9g, \"qk_norm\": true, \"rope_theta\": %.9g, "
        "\"siglip_feat_dim\": null, \"t_scale\": %.9g}\n",
        DIFFUSERS, c->patch, c->axes[0], c->axes[1], c->axes[2], c->axes_lens[0], c->axes_lens[1],
        c->axes_lens[2], c->text_dim, c->dim, c->channels, c->heads, c->heads, c->layers,
        c->refiner_layers, c->norm_eps, c->rope_theta, c->t_scale);
}

static int write_denoiser(const char *folder, const struct model_writing *writing)
{
    char *path = NULL;
    struct store_writer *writer = store_writer_create();
    int code =
        writer ? make_component(&path, folder, "transformer") : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; code == OK && i < writing->dit->list.tensor_count; i++) {
        const struct block_tensor *t = &writing->dit->list.tensors[i];
        code = store_add(writer, t->name, TENSOR_F32, t->dims, t->shape,
                         writing->parameters + t->offset);
    }
    if (code == OK) code = write_s3dit_config(path, &writing->dit->config);
    if (code == OK) code = write_weights(writer, path, "diffusion_pytorch_model.safetensors");
    store_writer_free(writer);
    free(path);
    return code;
}

/* ---- the table, as the least Qwen3 around it ---- */

/* Its one layer is never asked: the features are what goes into it. */
static int model_add_layer(struct store_writer *writer, int width, const float *zeros,
                           const float *ones)
{
    enum { HEAD = 2 };
    const struct {
        const char *name;
        int rows, columns; /* columns 0: a vector of ones */
    } tensors[] = {
        {"layers.0.self_attn.q_proj.weight", HEAD, width},
        {"layers.0.self_attn.k_proj.weight", HEAD, width},
        {"layers.0.self_attn.v_proj.weight", HEAD, width},
        {"layers.0.self_attn.o_proj.weight", width, HEAD},
        {"layers.0.self_attn.q_norm.weight", HEAD, 0},
        {"layers.0.self_attn.k_norm.weight", HEAD, 0},
        {"layers.0.mlp.gate_proj.weight", HEAD, width},
        {"layers.0.mlp.up_proj.weight", HEAD, width},
        {"layers.0.mlp.down_proj.weight", width, HEAD},
        {"layers.0.input_layernorm.weight", width, 0},
        {"layers.0.post_attention_layernorm.weight", width, 0},
        {"norm.weight", width, 0},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const int64_t shape[2] = {tensors[i].rows, tensors[i].columns};
        bool vector = tensors[i].columns == 0;
        TRY(store_add(writer, tensors[i].name, TENSOR_F32, vector ? 1 : 2, shape,
                      vector ? ones : zeros));
    }
    return OK;
}

static int write_table(const char *folder, const struct model_writing *writing)
{
    char *path = NULL;
    int width = writing->dit->config.text_dim, rows = tokenizer_rows(writing->text), code = OK;
    float *numbers = calloc((size_t)width * 3 + 6, sizeof *numbers), *ones;
    struct store_writer *writer = store_writer_create();
    if (!numbers || !writer) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    ones = numbers + width * 2 + 4;
    for (int i = 0; i < width + 2; i++)
        ones[i] = 1.0f;
    TRY_CLEANUP(make_component(&path, folder, "text_encoder"));
    TRY_CLEANUP(store_add_f32(writer, "embed_tokens.weight", rows, width, writing->table));
    TRY_CLEANUP(model_add_layer(writer, width, numbers, ones));
    TRY_CLEANUP(model_write_text(
        path, "config.json",
        "{\"architectures\": [\"Qwen3Model\"], \"model_type\": \"qwen3\", \"dtype\": "
        "\"float32\",\n\"vocab_size\": %d, \"hidden_size\": %d, \"intermediate_size\": 2,\n"
        "\"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"num_key_value_heads\": 1, "
        "\"head_dim\": 2,\n\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-06, "
        "\"attention_bias\": false, \"tie_word_embeddings\": false}\n",
        rows, width));
    TRY_CLEANUP(write_weights(writer, path, "model.safetensors"));
cleanup:
    store_writer_free(writer);
    free(numbers);
    free(path);
    return code;
}

static int write_tokenizer_folder(const char *folder, const struct tokenizer *text)
{
    char *path;
    int code = make_component(&path, folder, "tokenizer");
    if (code == OK) code = tokenizer_write(text, path);
    free(path);
    return code;
}

static int write_vae(const char *folder, const struct model_writing *writing)
{
    char *path = path_join(folder, "vae");
    int code = path ? kl_folder_write(writing->vae, writing->defaults.width, path) : ERR_SYSTEM;
    free(path);
    return code;
}

int model_folder_write(const char *folder, const struct model_writing *writing)
{
    char guidance[NUMBER_TEXT_BYTES];
    TRY(file_make_dirs(folder));
    TRY(write_scheduler(folder, writing->shift));
    TRY(write_tokenizer_folder(folder, writing->text));
    TRY(write_table(folder, writing));
    TRY(write_denoiser(folder, writing));
    if (writing->vae) TRY(write_vae(folder, writing));
    TRY(model_write_text(folder, "imgtrain.json",
                         "{\"version\": \"%s\", \"width\": %d, \"height\": %d, \"steps\": %d, "
                         "\"guidance\": %s, \"seed\": %.17g}\n",
                         IMGTRAIN_VERSION, writing->defaults.width, writing->defaults.height,
                         writing->defaults.steps,
                         number_format(guidance, writing->defaults.guidance),
                         writing->defaults.seed));
    return model_write_text(
        folder, "model_index.json",
        "{\"_class_name\": \"ZImagePipeline\",\n\"_diffusers_version\": \"%s\",\n"
        "\"scheduler\": [\"diffusers\", \"FlowMatchEulerDiscreteScheduler\"],\n"
        "\"text_encoder\": [\"transformers\", \"Qwen3Model\"],\n"
        "\"tokenizer\": [\"transformers\", \"PreTrainedTokenizerFast\"],\n"
        "\"transformer\": [\"diffusers\", \"ZImageTransformer2DModel\"],\n"
        "\"vae\": [%s]}\n",
        DIFFUSERS, writing->vae ? "\"diffusers\", \"AutoencoderKL\"" : "null, null");
}
