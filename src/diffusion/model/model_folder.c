#include "diffusion/model/model_folder.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "diffusion/model/model_folder_internal.h"
#include "store/checkpoint.h"
#include "store/tensor_range.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_MAX = 1 << 20, LOOKED_AT = 4096 };
enum { TURBO_SHIFT = 3 };

#define GUIDANCE_BY_NUMBER 3.5 /* of FLUX.1-dev */

static const char *const denoiser_stems[] = {"diffusion_pytorch_model", "model", NULL};

char *model_path(const struct model_folder *model, const char *component, const char *file)
{
    if (!component) return path_join(model->path, file);
    return string_format("%s/%s/%s", model->path, component, file);
}

/* ---- model_index.json ---- */

/* [library, class] of a component: the class, NULL where the model goes without. */
static int index_class(const cJSON *index, const char *path, const char *component,
                       const char **class)
{
    const cJSON *pair = json_file_member(index, component);
    *class = NULL;
    if (!pair) return OK;
    const cJSON *second =
        cJSON_IsArray(pair) && cJSON_GetArraySize(pair) == 2 ? cJSON_GetArrayItem(pair, 1) : NULL;
    if (!second || !(cJSON_IsString(second) || cJSON_IsNull(second)))
        return fail(ERR_DATA, "%s: %s: [library, class] is expected", path, component);
    *class = cJSON_GetStringValue(second);
    return OK;
}

static int check_component(const cJSON *index, const char *path, const char *component,
                           const char *const *wanted)
{
    const char *class;
    TRY(index_class(index, path, component, &class));
    for (int i = 0; class && wanted[i]; i++)
        if (strcmp(class, wanted[i]) == 0) return OK;
    if (!class) return fail(ERR_DATA, "%s: %s is missing", path, component);
    return fail(ERR_DATA, "%s: %s is a %.60s; %s is computed here", path, component, class,
                wanted[0]);
}

struct known_component {
    const char *name, *classes[3]; /* of those the first is what messages name */
};
static const struct known_component zimage_components[] = {
    {"transformer", {"ZImageTransformer2DModel"}},
    {"scheduler", {"FlowMatchEulerDiscreteScheduler"}},
    {"text_encoder", {"Qwen3Model", "Qwen3ForCausalLM"}},
    {NULL, {NULL}},
};
static const struct known_component flux_components[] = {
    {"transformer", {"FluxTransformer2DModel"}},
    {"scheduler", {"FlowMatchEulerDiscreteScheduler"}},
    {"text_encoder", {"CLIPTextModel"}},
    {"text_encoder_2", {"T5EncoderModel"}},
    {"vae", {"AutoencoderKL"}},
    {NULL, {NULL}},
};

/* Pipelines that are read, by _class_name: components that they must have, and whose network. */
static const struct known_pipeline {
    const char *classes[4];
    const struct known_component *components;
    const struct denoiser_traits *network;
} known_pipelines[] = {
    {{"ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"},
     zimage_components,
     &denoiser_s3dit},
    {{"FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"},
     flux_components,
     &denoiser_mmdit},
};

static const struct known_pipeline *pipeline_of(const char *class)
{
    for (size_t i = 0; i < sizeof known_pipelines / sizeof *known_pipelines; i++)
        for (int c = 0; known_pipelines[i].classes[c]; c++)
            if (strcmp(class, known_pipelines[i].classes[c]) == 0) return &known_pipelines[i];
    return NULL;
}

static int check_index(struct model_folder *model, const cJSON *index, const char *path)
{
    static const char *const autoencoder[] = {"AutoencoderKL", NULL};
    const char *class = "none", *vae;
    TRY(json_file_string(index, path, "_class_name", &class));
    const struct known_pipeline *known = pipeline_of(class);
    if (!known)
        return fail(ERR_DATA, "%s: _class_name is %.60s; ZImagePipeline and FluxPipeline are read",
                    path, class);
    for (const struct known_component *c = known->components; c->name; c++)
        TRY(check_component(index, path, c->name, c->classes));
    TRY(index_class(index, path, "vae", &vae));
    model->network.traits = known->network;
    model->has_vae = vae != NULL;
    return vae ? check_component(index, path, "vae", autoencoder) : OK;
}

int model_read_config(struct model_folder *model, const char *path, cJSON **config)
{
    uint8_t *text;
    size_t bytes;
    TRY(file_read(path, CONFIG_MAX, &text, &bytes));
    model->checksum = hash_bytes(model->checksum, text, bytes);
    int code = json_file_parse(config, path, text, bytes);
    free(text);
    return code;
}

/* A run of another task says so in its result, or in its newest checkpoint. */
static int refuse_other_task(const char *path)
{
    struct store_file *file = NULL;
    if (checkpoint_open(path, &file) < 0) return OK;
    const char *task = store_get(file, "task");
    int code = task && strcmp(task, "diffusion") != 0
                   ? fail(ERR_DATA, "%s: task is %.40s, expected diffusion", path, task)
                   : OK;
    store_close(file);
    return code;
}

/* What a path is that is no model folder. */
static int refuse_path(const char *path)
{
    if (!file_is_dir(path)) {
        struct file_kind kind = file_kind_of_path(path);
        if (kind.class == FILE_MODEL)
            return fail(ERR_DATA,
                        "%s: a single file of weights; a folder with model_index.json "
                        "and its components is needed",
                        path);
        return file_kind_fail(ERR_DATA, path, kind, "a model folder");
    }
    TRY(refuse_other_task(path));
    static const char *const known[][2] = {
        {"model.safetensors", "a run whose folder model/ is gone"},
        {"checkpoints", "a run without a checkpoint that can be read"},
        {"config.json", "one component; the folder above it, with model_index.json, is the model"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (file_exists_in(path, known[i][0]))
            return fail(ERR_INPUT, "%s: no model_index.json: %s", path, known[i][1]);
    return fail(ERR_INPUT, "%s: no model_index.json in it, so no model folder", path);
}

static int read_index(struct model_folder *model)
{
    cJSON *index = NULL;
    int code = OK;
    char *path = model_path(model, NULL, "model_index.json");
    if (!path) return ERR_SYSTEM;
    if (!file_is_dir(model->path) || !file_exists(path)) TRY_CLEANUP(refuse_path(model->path));
    TRY_CLEANUP(model_read_config(model, path, &index));
    TRY_CLEANUP(check_index(model, index, path));
cleanup:
    cJSON_Delete(index);
    free(path);
    return code;
}

static int read_scheduler(struct model_folder *model)
{
    cJSON *config = NULL;
    char *path = model_path(model, "scheduler", "scheduler_config.json");
    int code = path ? model_read_config(model, path, &config) : ERR_SYSTEM;
    if (code == OK) code = model_read_scheduler(&model->schedule, config, path);
    cJSON_Delete(config);
    free(path);
    return code;
}

/* ---- weights ---- */

void model_checksum_tensor(uint64_t *checksum, const struct store_tensor *tensor)
{
    size_t some = tensor->bytes < LOOKED_AT ? tensor->bytes : LOOKED_AT;
    *checksum = hash_bytes(*checksum, tensor->name, strlen(tensor->name));
    *checksum = hash_bytes(*checksum, &tensor->bytes, sizeof tensor->bytes);
    *checksum = hash_bytes(*checksum, tensor->data, some);
}

static bool list_has(const void *context, const char *name)
{
    const struct block_list *list = context;
    for (int i = 0; i < list->tensor_count; i++)
        if (strcmp(list->tensors[i].name, name) == 0) return true;
    return false;
}

int model_check_blocks(const struct store_shards *shards, const struct model_blocks *blocks,
                       int count)
{
    for (int f = 0; f < store_shards_count(shards); f++) {
        const struct store_file *file = store_shards_at(shards, f);
        for (int i = 0; i < store_count(file); i++)
            for (int b = 0; b < count; b++) {
                const char *name = store_at(file, i)->name;
                size_t length = strlen(blocks[b].prefix);
                if (strncmp(name, blocks[b].prefix, length) != 0) continue;
                if (atol(name + length) < blocks[b].count) continue;
                return fail(ERR_DATA, "%s: tensor %s is there, but %s is %d in config.json",
                            store_path(file), name, blocks[b].key, blocks[b].count);
            }
    }
    return OK;
}

static int check_no_more_blocks(const struct model_folder *model)
{
    struct model_blocks lists[DENOISER_BLOCK_LISTS];
    int count = model->network.traits->list_blocks(model, lists);
    return model_check_blocks(model->denoiser, lists, count);
}

static int find_weights(struct model_folder *model)
{
    const struct block_list *list = model_tensors(model);
    model->weights = calloc((size_t)list->tensor_count, sizeof *model->weights);
    if (!model->weights) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < list->tensor_count; i++) {
        const struct block_tensor *t = &list->tensors[i];
        TRY(store_shards_expect(model->denoiser, t->name, t->dims, t->shape, &model->weights[i]));
        model_checksum_tensor(&model->checksum, model->weights[i]);
    }
    TRY(store_shards_check_small(model->denoiser));
    TRY(check_no_more_blocks(model));
    store_shards_warn_unused(model->denoiser, list->tensor_count, list_has, list);
    return OK;
}

static int read_denoiser(struct model_folder *model)
{
    cJSON *config = NULL;
    char *path = model_path(model, "transformer", "config.json");
    char *folder = path_join(model->path, "transformer");
    int code = path && folder ? model_read_config(model, path, &config) : ERR_SYSTEM;
    if (code == OK) code = model->network.traits->read(model, config, path);
    if (code == OK) code = store_shards_open(&model->denoiser, folder, denoiser_stems);
    if (code == OK) code = find_weights(model);
    cJSON_Delete(config);
    free(path);
    free(folder);
    return code;
}

static int read_vae(struct model_folder *model)
{
    char *path = path_join(model->path, "vae");
    int code = path ? kl_folder_open(&model->vae, path) : ERR_SYSTEM;
    free(path);
    TRY(code);
    model->checksum = hash_bytes(model->checksum, &model->vae.checksum, sizeof model->vae.checksum);
    if (model->vae.config.latent_channels == model->network.channels) return OK;
    return fail(ERR_DATA, "%s: latent_channels is %d, the transformer's %s %d", model->vae.path,
                model->vae.config.latent_channels, model->network.traits->channels_key,
                model->network.channels);
}

/* It may be missing: other programs do not write it. */
static int read_defaults(struct model_folder *model)
{
    struct model_defaults *d = &model->defaults;
    cJSON *root = NULL;
    char *path = model_path(model, NULL, "imgtrain.json");
    int code = path ? OK : ERR_SYSTEM;
    d->guidance = d->seed = -1.0;
    if (code == OK && file_exists(path)) {
        code = json_file_read(&root, path, CONFIG_MAX);
        if (code == OK) code = json_file_int(root, path, "width", 0, 1 << 17, &d->width);
        if (code == OK) code = json_file_int(root, path, "height", 0, 1 << 17, &d->height);
        if (code == OK) code = json_file_int(root, path, "steps", 0, SIGMAS_MOST_STEPS, &d->steps);
        if (code == OK) code = json_file_double(root, path, "guidance", 0, 100, &d->guidance);
        if (code == OK) code = json_file_double(root, path, "seed", 0, 0x1p53, &d->seed);
        if (code == OK && (d->width == 0) != (d->height == 0))
            code =
                fail(ERR_DATA, "%s: width %d, height %d: both or none", path, d->width, d->height);
    }
    cJSON_Delete(root);
    free(path);
    return code;
}

int model_folder_open(struct model_folder *model, const char *path)
{
    *model = (struct model_folder){.path = string_format("%s", path)};
    if (!model->path) return ERR_SYSTEM;
    TRY(read_index(model));
    TRY(read_defaults(model));
    TRY(read_scheduler(model));
    TRY(read_denoiser(model));
    if (model->has_vae) TRY(read_vae(model));
    return model->network.traits->read_text(model);
}

void model_folder_close(struct model_folder *model)
{
    store_shards_close(model->denoiser);
    kl_folder_close(&model->vae);
    s3dit_model_free(&model->dit);
    mmdit_model_free(&model->mmdit);
    model_encoder_close(&model->reader);
    model_encoder_close(&model->pooled);
    qwen3_model_free(&model->qwen3);
    t5_model_free(&model->t5);
    clip_model_free(&model->clip);
    free(model->weights);
    free(model->path);
    *model = (struct model_folder){0};
}

int model_scale(const struct model_folder *model)
{
    return model->has_vae ? kl_factor(&model->vae.config) : 1;
}

int model_image_channels(const struct model_folder *model)
{
    return model->has_vae ? KL_IMAGE_CHANNELS : model->network.channels;
}

bool model_is_turbo(const struct model_folder *model)
{
    return model->network.traits == &denoiser_s3dit && model->schedule.kind == SIGMA_SHIFT_STATIC &&
           model->schedule.shift == TURBO_SHIFT;
}

int model_usual_steps(const struct model_folder *model)
{
    if (model->defaults.steps > 0) return model->defaults.steps;
    return model->network.traits->usual_steps(model);
}

double model_usual_guidance(const struct model_folder *model)
{
    if (model->network.guidance == DENOISER_UNGUIDED) return 0;
    if (model->defaults.guidance >= 0) return model->defaults.guidance;
    return model->network.guidance == DENOISER_GUIDED_BY_NUMBER ? GUIDANCE_BY_NUMBER : 0;
}

int model_tensor_row(const struct model_folder *model, const struct store_tensor *matrix, int row,
                     float *numbers)
{
    size_t width = (size_t)matrix->shape[1], bytes = width * tensor_type_bytes(matrix->type);
    if (!matrix->is_copy &&
        !file_pages_are_there((const char *)matrix->data + (size_t)row * bytes, bytes))
        return fail(ERR_IO,
                    "%s: the text encoder's %s cannot be read any more: its file got smaller, or "
                    "its disk failed",
                    model->path, matrix->name);
    for (size_t i = 0; i < width; i++)
        numbers[i] = (float)tensor_number(matrix, (size_t)row * width + i);
    return OK;
}
