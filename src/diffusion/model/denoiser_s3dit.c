/* S3-DiT as the network of a model folder. */
#include "base/error.h"
#include "diffusion/model/model_folder_internal.h"

enum { TURBO_STEPS = 8, USUAL_STEPS = 20 };

void denoiser_describe_s3dit(struct model_folder *model)
{
    const struct s3dit_model *dit = &model->dit;
    model->network = (struct denoiser){.traits = &denoiser_s3dit,
                                       .channels = dit->config.channels,
                                       .patch = dit->config.patch,
                                       .text_dim = dit->config.text_dim,
                                       .text_most = s3dit_text_most(&dit->config)};
}

static int denoiser_s3dit_read(struct model_folder *model, const struct cJSON *object,
                               const char *path)
{
    struct s3dit_config config;
    TRY(model_read_s3dit(&config, object, path));
    TRY(s3dit_model_create(&model->dit, &config));
    denoiser_describe_s3dit(model);
    return OK;
}

static const struct block_list *denoiser_s3dit_list(const struct model_folder *model)
{
    return &model->dit.list;
}

static int denoiser_s3dit_blocks(const struct model_folder *model, struct model_blocks *lists)
{
    const struct s3dit_config *config = &model->dit.config;
    lists[0] = (struct model_blocks){"layers.", "n_layers", config->layers};
    lists[1] = (struct model_blocks){"noise_refiner.", "n_refiner_layers", config->refiner_layers};
    lists[2] =
        (struct model_blocks){"context_refiner.", "n_refiner_layers", config->refiner_layers};
    return 3;
}

static int denoiser_s3dit_check_size(const struct model_folder *model, int height, int width,
                                     int text_rows)
{
    return s3dit_check_size(&model->dit.config, height, width, text_rows);
}

int model_expect_s3dit(const struct model_folder *model)
{
    if (model->network.traits == &denoiser_s3dit) return OK;
    return fail(ERR_DATA, "%s: its network is no S3-DiT, which alone is trained and compared here",
                model->path);
}

static int denoiser_s3dit_steps(const struct model_folder *model)
{
    return model_is_turbo(model) ? TURBO_STEPS : USUAL_STEPS;
}

const struct denoiser_traits denoiser_s3dit = {.kind = DENOISER_S3DIT,
                                               .channels_key = "in_channels",
                                               .text_key = "cap_feat_dim",
                                               .inpaint_strength = 1,
                                               .read = denoiser_s3dit_read,
                                               .read_text = model_read_qwen3,
                                               .list = denoiser_s3dit_list,
                                               .list_blocks = denoiser_s3dit_blocks,
                                               .check_size = denoiser_s3dit_check_size,
                                               .usual_steps = denoiser_s3dit_steps};
