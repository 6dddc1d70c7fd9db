#include "diffusion/model/model_trained.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "config/config.h"
#include "diffusion/diffusion_network.h"
#include "diffusion/text/token_tables.h"
#include "store/checkpoint.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char averaged[] = "ema.", table_name[] = "condition.table";

/* Whether `path` is a file of this task, or a run's folder with one: opened. Else *file is NULL,
 * and those who read model folders say what is wrong. */
static void trained_open_file(const char *path, struct store_file **file)
{
    *file = NULL;
    if (!file_exists(path) || file_exists_in(path, "model_index.json")) return;
    if (checkpoint_open(path, file) < 0) return;
    if (checkpoint_expect(*file, "diffusion", NULL) == OK) return;
    store_close(*file);
    *file = NULL;
}

/* ---- what the metadata say ---- */

static int trained_read_classes(struct model_folder *model, const struct store_file *file,
                                const struct diffusion_conditions *conditions)
{
    int count = conditions->count - 1;
    char key[40];
    if (conditions->captions) return tokenizer_of_bytes(&model->reader.tokens);
    const char **names = calloc((size_t)count + 1, sizeof *names);
    if (!names) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "diffusion.class.%d", i);
        names[i] = store_get(file, key);
    }
    bool named = count > 0 && names[0];
    for (int i = 0; i < count && named; i++)
        named = names[i] != NULL;
    int code = tokenizer_of_labels(&model->reader.tokens, count, named ? names : NULL);
    free(names);
    return code < 0 ? fail_within(code, "%s", store_path(file)) : OK;
}

/* How images were drawn in the run's frames. */
static int trained_read_config(struct model_folder *model, const struct store_file *file,
                               const struct diffusion_design *design)
{
    const char *text = store_get(file, "config");
    struct config *config;
    TRY(config_load_text(&config, store_path(file), text ? text : "", text ? strlen(text) : 0, 0,
                         NULL));
    model->defaults = (struct model_defaults){
        .width = diffusion_shown_width(design),
        .height = diffusion_shown_height(design),
        .steps = (int)config->diffusion.sample_steps,
        .guidance = design->conditions.count > 1 ? config->diffusion.guidance : 0,
        .seed = (double)(uint64_t)config->seed};
    int code = OK;
    model->has_vae = design->factor != 0;
    if (model->has_vae) code = diffusion_find_vae(&model->vae, design, file, config->diffusion.vae);
    config_free(config);
    if (model->has_vae)
        model->checksum =
            hash_bytes(model->checksum, &model->vae.checksum, sizeof model->vae.checksum);
    return code;
}

static int trained_read_shape(struct model_folder *model, const struct store_file *file)
{
    const struct store_range shifts = {0.001, 1000};
    struct diffusion_design design;
    double shift;
    if (!store_get(file, "diffusion.dim"))
        return fail(ERR_DATA,
                    "%s: a checkpoint of an earlier version, which does not say its network's "
                    "shape: go on with the run (train --resume) and its next one does",
                    store_path(file));
    TRY(diffusion_design_load(&design, file));
    TRY(store_get_double_in(file, "diffusion.shift", shifts, &shift));
    model->schedule = sigma_schedule_of_shift(shift);
    TRY(s3dit_model_create(&model->dit, &design.dit));
    denoiser_describe_s3dit(model);
    TRY(trained_read_config(model, file, &design));
    return trained_read_classes(model, file, &design.conditions);
}

/* ---- weights ---- */

static void trained_add_checksum(struct model_folder *model, const struct store_tensor *tensor)
{
    enum { LOOKED_AT = 4096 };
    size_t some = tensor->bytes < LOOKED_AT ? tensor->bytes : LOOKED_AT;
    model->checksum = hash_bytes(model->checksum, tensor->data, some);
}

static int trained_find_weights(struct model_folder *model, const char *prefix)
{
    const struct s3dit_model *dit = &model->dit;
    const int64_t table[2] = {tokenizer_rows(model->reader.tokens), dit->config.text_dim};
    char name[96];
    model->weights = calloc((size_t)dit->list.tensor_count, sizeof *model->weights);
    if (!model->weights) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < dit->list.tensor_count; i++) {
        const struct block_tensor *t = &dit->list.tensors[i];
        snprintf(name, sizeof name, "%s%s", prefix, t->name);
        TRY(store_shards_expect(model->denoiser, name, t->dims, t->shape, &model->weights[i]));
        trained_add_checksum(model, model->weights[i]);
    }
    snprintf(name, sizeof name, "%s%s", prefix, table_name);
    TRY(store_shards_expect(model->denoiser, name, 2, table, &model->reader.table));
    trained_add_checksum(model, model->reader.table);
    return store_shards_check_small(model->denoiser);
}

static int trained_open(struct model_folder *model, const struct store_file *file, const char *path)
{
    const char *kind = store_get(file, "kind");
    bool is_checkpoint = kind && strcmp(kind, "checkpoint") == 0;
    int64_t step = 0;
    *model = (struct model_folder){.path = string_format("%s", store_path(file))};
    if (!model->path) return ERR_SYSTEM;
    TRY(trained_read_shape(model, file));
    TRY(store_shards_open_file(&model->denoiser, store_path(file)));
    TRY(trained_find_weights(model, is_checkpoint ? averaged : ""));
    if (is_checkpoint && store_get_int(file, "step", &step) == OK)
        log_info("%s: the averaged network of a checkpoint, after %" PRId64 " steps", path, step);
    return OK;
}

int model_open_any(struct model_folder *model, const char *path)
{
    struct store_file *file;
    trained_open_file(path, &file);
    if (!file) return model_folder_open(model, path);
    int code = trained_open(model, file, path);
    store_close(file);
    return code;
}
