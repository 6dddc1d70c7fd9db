#include "cmd/named_model.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse_number.h"
#include "cmd/preset.h"
#include "diffusion/model/model_trained.h"
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool named_model_is(const char *operand)
{
    char *path = NULL;
    if (strchr(operand, '=')) return false;
    if (file_exists(operand) && !file_is_dir(operand)) return false; /* a config */
    if (!file_is_dir(operand) && preset_find(operand, &path) == OK) {
        free(path);
        return false;
    }
    bool is = model_folder_find(&path, operand) == OK;
    free(path);
    return is;
}

/* Of the longest text that it reads: no shorter one takes more. */
static int text_rows_of(const struct model_folder *folder)
{
    int most = folder->network.text_most;
    if (tokenizer_has_labels(folder->reader.tokens)) return 1;
    if (folder->network.text_rows > 0) return folder->network.text_rows;
    if (most > TEXT_MOST_ROWS) most = TEXT_MOST_ROWS;
    if (folder->reader.layers.network && folder->reader.layers.positions < most)
        most = folder->reader.layers.positions;
    return most;
}

static int pooled_rows_of(const struct model_folder *folder)
{
    int positions = folder->clip.config.positions; /* 0: there is no such encoder */
    return positions < TEXT_MOST_POOLED ? positions : TEXT_MOST_POOLED;
}

static int read_folder(struct named_model *model, const char *operand)
{
    char *path;
    TRY(model_folder_find(&path, operand));
    int code = model_open_any(&model->read, path);
    free(path);
    model->folder = &model->read;
    model->name = operand;
    TRY(code);
    const struct model_defaults *own = &model->read.defaults;
    model->side = own->width > own->height ? own->width : own->height;
    if (model->side == 0) model->side = 16 * pipeline_patch_side(&model->read);
    model->text_rows = text_rows_of(&model->read);
    return OK;
}

int named_model_open(struct named_model *model, const char *operand, const char *arch,
                     bool with_weights)
{
    memset(model, 0, sizeof *model);
    if (!arch) return read_folder(model, operand);
    TRY(model_arch_open(&model->arch, arch, with_weights));
    model->folder = &model->arch.folder;
    model->name = arch;
    model->side = model_arch_side(&model->arch);
    model->text_rows = model_arch_text_rows(&model->arch);
    return OK;
}

void named_model_close(struct named_model *model)
{
    if (model->folder == &model->read) model_folder_close(&model->read);
    if (model->arch.folder.path) model_arch_close(&model->arch);
    free(model->init);
    memset(model, 0, sizeof *model);
}

static size_t count_numbers(const struct store_tensor *const *weights, int tensors)
{
    size_t count = 0;
    for (int t = 0; t < tensors; t++)
        count += weights[t]->bytes / tensor_type_bytes(weights[t]->type);
    return count;
}

/* Of the layers that are computed. */
static size_t encoder_numbers(const struct model_encoder *encoder)
{
    return encoder->layers.network ? encoder->layers.list->parameter_total : 0;
}

struct named_model_text named_model_others(const struct named_model *model)
{
    struct named_model_text text = {""};
    const struct model_folder *folder = model->folder;
    size_t vae = count_numbers(folder->vae.weights, folder->vae.tensor_count);
    size_t encoder = encoder_numbers(&folder->reader), pooled = encoder_numbers(&folder->pooled);
    if (vae > 0) snprintf(text.text, sizeof text.text, ", %zu of its VAE", vae);
    size_t used = strlen(text.text);
    if (encoder > 0)
        snprintf(text.text + used, sizeof text.text - used, ", %zu of its text encoder%s",
                 encoder + pooled, pooled > 0 ? "s" : "");
    return text;
}

int named_model_weights(const char *dtype, enum pipeline_weights *weights)
{
    *weights = PIPELINE_AUTO;
    if (!dtype || pipeline_weights_find(dtype, weights)) return OK;
    return fail(ERR_USAGE, "--dtype %s is none of auto, f32, bf16, int8", dtype);
}

int named_model_size(const struct named_model *model, const char *size, int *width, int *height)
{
    int multiple = pipeline_patch_side(model->folder);
    const struct model_defaults *own = &model->folder->defaults;
    *width = own->width > 0 ? own->width : model->side;
    *height = own->width > 0 ? own->height : model->side;
    if (!size) return OK;
    if (!number_parse_sides(size, width, height) || *width < 1 || *height < 1 ||
        *width > IMAGE_MAX_SIDE || *height > IMAGE_MAX_SIDE)
        return fail(ERR_USAGE, "--size %s: WIDTHxHEIGHT in pixels is needed", size);
    if (*width % multiple == 0 && *height % multiple == 0) return OK;
    int w = (*width + multiple / 2) / multiple * multiple;
    int h = (*height + multiple / 2) / multiple * multiple;
    return fail(ERR_USAGE, "--size %s: multiples of %d are needed, %dx%d is the nearest", size,
                multiple, w ? w : multiple, h ? h : multiple);
}

void named_model_check_image(const struct named_model *model, bool from_image)
{
    if (from_image && !model->folder->has_vae)
        log_warning("--from-image has no effect: this model has no VAE to read an image by");
}

int named_model_request(struct named_model *model, int width, int height, int steps,
                        bool from_image, struct pipeline_request *request)
{
    free(model->init);
    model->init = NULL;
    if (from_image) {
        model->init = calloc((size_t)model_image_channels(model->folder) * (size_t)width,
                             (size_t)height * sizeof *model->init);
        if (!model->init) return fail(ERR_SYSTEM, "out of memory");
    }
    if (steps == 0) steps = model_usual_steps(model->folder);
    *request = (struct pipeline_request){.width = width,
                                         .height = height,
                                         .steps = steps,
                                         .row_count = model->text_rows,
                                         .pooled_count = pooled_rows_of(model->folder),
                                         .text_length = model->folder->network.text_rows,
                                         .guidance = model_usual_guidance(model->folder),
                                         .noise = NOISE_PHILOX,
                                         .init = model->init,
                                         .strength = 1,
                                         .at_once = 1};
    if (request->guidance == 0 || model->folder->network.guidance != DENOISER_GUIDED_BY_TEXT)
        return OK;
    return model_empty_rows(model->folder, request->without, &request->without_count);
}
