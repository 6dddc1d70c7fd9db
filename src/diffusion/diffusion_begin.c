#include "diffusion/diffusion_begin.h"

#include "base/error.h"
#include "base/log.h"
#include "data/dataset.h"
#include "diffusion/diffusion_task.h"
#include "diffusion/model/model_trained.h"
#include "diffusion/text/token_tables.h"
#include "store/tensor_range.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- its shape ---- */

static int begin_compare(const struct s3dit_config *own, const struct s3dit_config *its,
                         const char *path)
{
    const struct {
        const char *key;
        int own, its;
    } list[] = {
        {"channels", own->channels, its->channels},
        {"patch", own->patch, its->patch},
        {"dim", own->dim, its->dim},
        {"layers", own->layers, its->layers},
        {"refiner_layers", own->refiner_layers, its->refiner_layers},
        {"heads", own->heads, its->heads},
        {"axes, the first", own->axes[0], its->axes[0]},
        {"axes, the second", own->axes[1], its->axes[1]},
        {"axes, the third", own->axes[2], its->axes[2]},
        {"text_dim", own->text_dim, its->text_dim},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].own != list[i].its)
            return fail(ERR_CONFIG,
                        "diffusion.init_from: %s has %d for diffusion.%s, this config %d: no "
                        "weights of one network are those of another",
                        path, list[i].its, list[i].key, list[i].own);
    return OK;
}

/* A user's name for it. */
static int begin_open(struct model_folder *model, const struct diffusion_design *design,
                      const char *name)
{
    char *path;
    *model = (struct model_folder){0};
    int code = model_folder_find(&path, name);
    if (code == OK) code = model_open_any(model, path);
    if (code == OK) code = model_expect_s3dit(model);
    free(path);
    if (code < 0) return fail_within(code, "diffusion.init_from");
    if ((model->has_vae ? kl_folder_identity(&model->vae) : 0) != design->vae)
        return fail(ERR_CONFIG,
                    "diffusion.init_from: %s is of %s, this config of %s: what it learnt is of no "
                    "use",
                    name, model->has_vae ? "latents" : "pixels",
                    !design->vae     ? "pixels"
                    : model->has_vae ? "those of another autoencoder"
                                     : "latents");
    return begin_compare(&design->dit, &model->dit.config, name);
}

int diffusion_begin_check(const struct diffusion_design *design, const char *path)
{
    struct model_folder model;
    int code = begin_open(&model, design, path);
    model_folder_close(&model);
    return code;
}

/* ---- its weights ---- */

static int begin_read(const struct store_tensor *tensor, size_t first, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)tensor_number(tensor, first + i);
        if (!isfinite(to[i]))
            return fail(ERR_DATA, "diffusion.init_from: tensor %s holds a NaN or an infinity",
                        tensor->name);
    }
    return OK;
}

/* Row of the model's table for row `row` of this training's; -1: it has none. */
static int begin_row(const struct task_state *s, const struct tokenizer *text, int row)
{
    const struct diffusion_conditions *own = &s->design.conditions;
    if (row == own->count - 1) return tokenizer_none(text);
    if (own->captions) return tokenizer_byte(text, row);
    return tokenizer_find_label(text, dataset_class_name(s->data.set, row));
}

static int begin_read_table(const struct task_state *s, const struct model_folder *model,
                            float *table, int *missing)
{
    size_t width = (size_t)s->design.dit.text_dim;
    for (int row = 0; row < s->design.conditions.count; row++) {
        int its = begin_row(s, model->reader.tokens, row);
        if (its < 0)
            ++*missing;
        else
            TRY(begin_read(model->reader.table, (size_t)its * width, width,
                           table + (size_t)row * width));
    }
    return OK;
}

static int begin_read_all(const struct task_state *s, const struct model_folder *model,
                          const char *path, float *parameters)
{
    const struct s3dit_model *dit = &s->core->network.model;
    int missing = 0, count = s->design.conditions.count - 1;
    for (int i = 0; i < dit->list.tensor_count; i++)
        TRY(begin_read(model->weights[i], 0, dit->list.tensors[i].count,
                       parameters + dit->list.tensors[i].offset));
    TRY(begin_read_table(s, model, parameters + s->core->network.table, &missing));
    if (missing > 0)
        log_warning("diffusion.init_from: %d of %d %s are not in %s and are learnt anew", missing,
                    count, s->design.conditions.captions ? "bytes of texts" : "classes", path);
    log_info("diffusion.init_from: the weights of %s", path);
    return OK;
}

int diffusion_begin_with(struct task_state *s, const char *path)
{
    struct trained_net *net = &s->core->net;
    float *parameters = trained_net_view(net, TRAINED_PARAMETERS);
    struct model_folder model;
    int code = begin_open(&model, &s->design, path);
    if (code == OK) code = begin_read_all(s, &model, path, parameters);
    model_folder_close(&model);
    TRY(code);
    memcpy(trained_net_view(net, TRAINED_EMA), parameters, net->net.floats * sizeof(float));
    TRY(trained_net_push(net, s->device, TRAINED_PARAMETERS));
    return trained_net_push(net, s->device, TRAINED_EMA);
}
