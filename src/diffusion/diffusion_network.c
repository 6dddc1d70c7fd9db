#include "diffusion/diffusion_network.h"

#include "base/error.h"
#include "base/random.h"
#include "config/config.h"
#include "device/device.h"
#include "diffusion/latent/latent_find.h"
#include "diffusion/noise.h"
#include "diffusion/text/token_kind.h"
#include "diffusion/vae/kl_folder.h"
#include "memory/plan.h"
#include "nn/net_init.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the design ---- */

static const char table_name[] = "condition.table";

/* Positions on the condition's axis, and on those of the image: others that load the model can then
 * ask for larger images. */
enum { AXIS_TEXT = 1024, AXIS_IMAGE = 512 };

void diffusion_design_complete(struct diffusion_design *design)
{
    struct s3dit_config *dit = &design->dit;
    if (dit->channels == 0) dit->channels = 3;
    if (dit->patch == 0) dit->patch = 2;
    dit->axes_lens[0] = AXIS_TEXT;
    dit->axes_lens[1] = dit->axes_lens[2] = AXIS_IMAGE;
    dit->rope_theta = 256;
    dit->t_scale = 1000;
    dit->norm_eps = 1e-5;
}

int diffusion_design_configure(struct diffusion_design *design, const struct config *config,
                               const struct diffusion_conditions *conditions,
                               const struct kl_folder *vae)
{
    int w = diffusion_width(config), h = diffusion_height(config);
    int factor = vae ? kl_factor(&vae->config) : 0, pixels = vae ? factor : 1;
    const struct config_list *axes = &config->diffusion.axes;
    *design = (struct diffusion_design){
        .dit = {.channels = vae ? vae->config.latent_channels : (int)config->diffusion.channels,
                .patch = (int)config->diffusion.patch,
                .dim = (int)config->diffusion.dim,
                .layers = (int)config->diffusion.layers,
                .refiner_layers = (int)config->diffusion.refiner_layers,
                .heads = (int)config->diffusion.heads,
                .text_dim = (int)config->diffusion.text_dim},
        .width = w / pixels,
        .height = h / pixels,
        .factor = factor,
        .vae = vae ? kl_folder_identity(vae) : 0,
        .conditions = *conditions,
    };
    diffusion_design_complete(design);
    int step = noise_side_step(design->dit.patch, design->dit.channels) * pixels;
    if (!vae && design->dit.channels != 1 && design->dit.channels != 3)
        return fail(ERR_CONFIG, "diffusion.channels: %d: images have 1 (grey) or 3 (colours)",
                    design->dit.channels);
    if (w % step || h % step)
        return fail(ERR_CONFIG, "diffusion.size: %d x %d: sides are multiples of %d: %d x %d is", w,
                    h, step, (w + step - 1) / step * step, (h + step - 1) / step * step);
    if (axes->count != S3DIT_AXES)
        return fail(ERR_CONFIG, "diffusion.axes: %d values, but positions have %d axes",
                    axes->count, S3DIT_AXES);
    for (int i = 0; i < S3DIT_AXES; i++)
        design->dit.axes[i] = (int)axes->values[i];
    if (s3dit_check_config(&design->dit) < 0) /* no fault of a file's */
        return fail_within(ERR_CONFIG, "diffusion.dim, heads, axes");
    if (s3dit_check_size(&design->dit, design->height, design->width, conditions->rows_most) < 0)
        return fail_within(ERR_CONFIG, "diffusion.size");
    return OK;
}

int diffusion_chunk(const struct diffusion_design *design)
{
    enum { ROWS = 512, MOST = 16 };
    int patch = design->dit.patch, chunk = 1;
    int tokens = s3dit_padded(design->width / patch * (design->height / patch)) +
                 s3dit_padded(design->conditions.rows_most);
    while (chunk < MOST && 2 * chunk * tokens <= ROWS)
        chunk *= 2;
    return chunk;
}

/* Numbers of a design in a file. */
static int design_numbers(struct diffusion_design *design, const char **names, int **numbers,
                          int *most)
{
    struct s3dit_config *dit = &design->dit;
    const struct {
        const char *name;
        int *number, most;
    } list[] = {
        {"diffusion.width", &design->width, 4096},
        {"diffusion.height", &design->height, 4096},
        {"diffusion.conditions", &design->conditions.count, 1 << 20},
        {"diffusion.text_rows", &design->conditions.rows_most, 4096},
        {"diffusion.dim", &dit->dim, 65536},
        {"diffusion.layers", &dit->layers, 1024},
        {"diffusion.refiner_layers", &dit->refiner_layers, 1024},
        {"diffusion.heads", &dit->heads, 4096},
        {"diffusion.text_dim", &dit->text_dim, 65536},
        {"diffusion.axis_0", &dit->axes[0], 4096},
        {"diffusion.axis_1", &dit->axes[1], 4096},
        {"diffusion.axis_2", &dit->axes[2], 4096},
        {"diffusion.channels", &dit->channels, 65536},
        {"diffusion.patch", &dit->patch, 64},
    };
    int count = (int)(sizeof list / sizeof *list);
    for (int i = 0; i < count; i++) {
        names[i] = list[i].name;
        numbers[i] = list[i].number;
        most[i] = list[i].most;
    }
    return count;
}

enum { DESIGN_NUMBERS = 16 };

int diffusion_design_store(const struct diffusion_design *design, struct store_writer *writer)
{
    struct diffusion_design copy = *design;
    const char *names[DESIGN_NUMBERS];
    int *numbers[DESIGN_NUMBERS], most[DESIGN_NUMBERS];
    int count = design_numbers(&copy, names, numbers, most);
    for (int i = 0; i < count; i++)
        TRY(store_set_int(writer, names[i], *numbers[i]));
    TRY(store_set_int(writer, "diffusion.captions", design->conditions.captions));
    if (design->factor == 0) return OK;
    TRY(store_set_int(writer, "diffusion.factor", design->factor));
    return diffusion_store_vae(design->vae, writer);
}

int diffusion_store_vae(uint64_t vae, struct store_writer *writer)
{
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, vae);
    return store_set(writer, "diffusion.vae", text);
}

uint64_t diffusion_load_vae(const struct store_file *file)
{
    const char *text = store_get(file, "diffusion.vae");
    return text ? strtoull(text, NULL, 16) : 0;
}

int diffusion_find_vae(struct kl_folder *vae, const struct diffusion_design *design,
                       const struct store_file *file, const char *other)
{
    const struct latent_wanted wanted = {
        .identity = design->vae, .channels = design->dit.channels, .factor = design->factor};
    return latent_find_vae(vae, file, &wanted, other);
}

int diffusion_design_load(struct diffusion_design *design, const struct store_file *file)
{
    const char *names[DESIGN_NUMBERS];
    int *numbers[DESIGN_NUMBERS], most[DESIGN_NUMBERS];
    struct s3dit_config *dit = &design->dit;
    *design = (struct diffusion_design){.width = 0};
    diffusion_design_complete(design);
    int count = design_numbers(design, names, numbers, most);
    for (int i = 0; i < count; i++) {
        /* Files of earlier versions say nothing of these two. */
        bool said = store_get(file, names[i]) != NULL;
        if (said || (numbers[i] != &dit->channels && numbers[i] != &dit->patch))
            TRY(store_get_int32_in(file, names[i], 1, most[i], numbers[i]));
    }
    TRY(store_get_bool(file, "diffusion.captions", &design->conditions.captions));
    if (store_get(file, "diffusion.factor")) {
        TRY(store_get_int32_in(file, "diffusion.factor", 1, 1 << (KL_LEVELS_MOST - 1),
                               &design->factor));
        design->vae = diffusion_load_vae(file);
    }
    if (s3dit_check_config(dit) < 0) return fail_within(ERR_DATA, "%s", store_path(file));
    if (design->conditions.captions && design->conditions.count != TEXT_BYTE_ROWS)
        return fail(ERR_DATA, "%s: diffusion.conditions is %d; bytes of texts have %d rows",
                    store_path(file), design->conditions.count, TEXT_BYTE_ROWS);
    if (s3dit_check_size(dit, design->height, design->width, design->conditions.rows_most) < 0)
        return fail_within(ERR_DATA, "%s", store_path(file));
    return OK;
}

/* ---- the list ---- */

int diffusion_network_open(struct diffusion_network *network, const struct diffusion_design *design)
{
    network->design = *design;
    return s3dit_model_create(&network->model, &design->dit);
}

void diffusion_network_close(struct diffusion_network *network)
{
    s3dit_close(&network->dit);
    s3dit_model_free(&network->model);
}

int diffusion_network_list(struct diffusion_network *network, struct net *net)
{
    const struct diffusion_design *design = &network->design;
    TRY(s3dit_fill_net(&network->model, net));
    network->table = net->floats;
    int number = net_add_parameter(net, table_name, 2,
                                   (int64_t[]){design->conditions.count, design->dit.text_dim});
    return number < 0 ? number : OK;
}

void diffusion_network_initialise(const struct diffusion_network *network, float *parameters,
                                  uint64_t seed)
{
    const struct diffusion_design *design = &network->design;
    enum { STEP_TABLE = 1 << 20 }; /* beyond the numbers of tensors */
    s3dit_initialise(&network->model, parameters, seed);
    net_normal(parameters + network->table,
               (size_t)design->conditions.count * (size_t)design->dit.text_dim, seed,
               STREAM_DIFFUSION_WEIGHTS, STEP_TABLE, 0);
}

double diffusion_network_macs(const struct diffusion_network *network)
{
    const struct s3dit_size size = {.height = network->design.height,
                                    .width = network->design.width,
                                    .text_rows = network->design.conditions.rows_most};
    return s3dit_macs(&network->model, &size, false);
}

/* ---- passes ---- */

int diffusion_network_declare(struct diffusion_network *network, int micro, enum s3dit_use use,
                              struct device *device, struct plan *plan, int *phases)
{
    const struct diffusion_design *design = &network->design;
    int chunk = diffusion_chunk(design);
    const struct s3dit_size size = {.samples = (micro + chunk - 1) / chunk * chunk,
                                    .height = design->height,
                                    .width = design->width,
                                    .text_rows = design->conditions.rows_most,
                                    .mixed_text = design->conditions.captions,
                                    .chunk = chunk};
    size_t text = (size_t)size.samples * (size_t)size.text_rows * (size_t)design->dit.text_dim *
                  sizeof(float);
    network->device = device;
    network->micro = micro;
    *phases = s3dit_phases(&network->model, use);
    TRY(s3dit_memory(&network->dit, &network->model, &size, use, device, plan, 0));
    TRY(plan_declare(plan, "condition", PLAN_ACTIVATIONS, text, 0, *phases - 1,
                     (void **)&network->text));
    if (use == S3DIT_FORWARD_ONLY) return OK;
    return plan_declare(plan, "condition.gradient", PLAN_ACTIVATIONS, text, 0, *phases - 1,
                        (void **)&network->text_gradient);
}

int diffusion_network_connect(struct diffusion_network *network)
{
    return s3dit_connect(&network->dit);
}

static struct token_embedding network_table(const struct diffusion_network *network,
                                            const struct diffusion_pass *pass)
{
    const struct diffusion_design *design = &network->design;
    return (struct token_embedding){.table = pass->parameters + network->table,
                                    .table_type = TOKEN_F32,
                                    .ids = pass->condition,
                                    .rows = pass->n * design->conditions.rows_most,
                                    .width = design->dit.text_dim,
                                    .count = design->conditions.count};
}

static struct s3dit_batch network_batch(const struct diffusion_network *network,
                                        const struct diffusion_pass *pass)
{
    return (struct s3dit_batch){.samples = pass->n,
                                .image = pass->image,
                                .time = pass->time,
                                .text = network->text,
                                .lengths =
                                    network->design.conditions.captions ? pass->length : NULL,
                                .stop_requested = pass->stop_requested};
}

int diffusion_network_forward(struct diffusion_network *network, const struct diffusion_pass *pass,
                              float *out)
{
    struct block_flat flat = {&network->model.list, pass->parameters};
    const struct block_source source = block_flat_source(&flat);
    const struct token_embedding table = network_table(network, pass);
    const struct s3dit_batch batch = network_batch(network, pass);
    TRY(network->device->token->embedding_gather(network->device, &table, network->text));
    return s3dit_forward(&network->dit, &source, &batch, out);
}

int diffusion_network_backward(struct diffusion_network *network, const struct diffusion_pass *pass,
                               const float *gradient)
{
    struct block_flat flat = {&network->model.list, pass->parameters};
    const struct block_source source = block_flat_source(&flat);
    const struct token_embedding table = network_table(network, pass);
    const struct s3dit_batch batch = network_batch(network, pass);
    TRY(s3dit_backward(&network->dit, &source, &batch, gradient, pass->gradients,
                       network->text_gradient));
    return network->device->token->embedding_grad(
        network->device, &table, pass->gradients + network->table, network->text_gradient);
}
