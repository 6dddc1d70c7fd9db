/* MMDiT as the network of a model folder. */
#include "base/error.h"
#include "diffusion/model/model_folder_internal.h"

enum { DEV_STEPS = 28, SCHNELL_STEPS = 4, DEV_ROWS = 512, SCHNELL_ROWS = 256 };

void denoiser_describe_mmdit(struct model_folder *model)
{
    const struct mmdit_config *config = &model->mmdit.config;
    model->network = (struct denoiser){.traits = &denoiser_mmdit,
                                       .channels = config->channels,
                                       .patch = MMDIT_PATCH,
                                       .text_dim = config->text_dim,
                                       .text_most = TEXT_MOST_ROWS,
                                       .text_rows = config->guidance ? DEV_ROWS : SCHNELL_ROWS,
                                       .pooled_dim = config->pooled_dim,
                                       .guidance = config->guidance ? DENOISER_GUIDED_BY_NUMBER
                                                                    : DENOISER_UNGUIDED};
}

static int denoiser_mmdit_read(struct model_folder *model, const struct cJSON *object,
                               const char *path)
{
    struct mmdit_config config;
    TRY(model_read_mmdit(&config, object, path));
    TRY(mmdit_model_create(&model->mmdit, &config));
    denoiser_describe_mmdit(model);
    return OK;
}

static const struct block_list *denoiser_mmdit_list(const struct model_folder *model)
{
    return &model->mmdit.list;
}

static int denoiser_mmdit_blocks(const struct model_folder *model, struct model_blocks *lists)
{
    const struct mmdit_config *config = &model->mmdit.config;
    lists[0] = (struct model_blocks){"transformer_blocks.", "num_layers", config->double_blocks};
    lists[1] = (struct model_blocks){"single_transformer_blocks.", "num_single_layers",
                                     config->single_blocks};
    /* Its layers are counted from 1 on; without them dev would be taken for schnell. */
    lists[2] = (struct model_blocks){"time_text_embed.guidance_embedder.linear_", "guidance_embeds",
                                     config->guidance ? 3 : 0};
    return 3;
}

static int denoiser_mmdit_check_size(const struct model_folder *model, int height, int width,
                                     int text_rows)
{
    return mmdit_check_size(&model->mmdit.config, height, width, text_rows);
}

static int denoiser_mmdit_steps(const struct model_folder *model)
{
    return model->mmdit.config.guidance ? DEV_STEPS : SCHNELL_STEPS;
}

const struct denoiser_traits denoiser_mmdit = {.kind = DENOISER_MMDIT,
                                               .channels_key = "in_channels / 4",
                                               .text_key = "joint_attention_dim",
                                               .inpaint_strength = 0.6,
                                               .read = denoiser_mmdit_read,
                                               .read_text = model_read_t5_and_clip,
                                               .list = denoiser_mmdit_list,
                                               .list_blocks = denoiser_mmdit_blocks,
                                               .check_size = denoiser_mmdit_check_size,
                                               .usual_steps = denoiser_mmdit_steps};
