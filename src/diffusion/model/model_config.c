/* The configs of a model folder's components. */
#include "base/error.h"
#include "diffusion/model/model_folder.h"
#include "store/json_file.h"

#include <string.h>

enum { MOST_POSITIONS = 1 << 20, MOST_WIDTH = 1 << 16, MOST_BLOCKS = 1000 };

static int expect_class(const cJSON *config, const char *path, const char *wanted)
{
    const char *class = "none";
    TRY(json_file_string(config, path, "_class_name", &class));
    if (strcmp(class, wanted) == 0) return OK;
    return fail(ERR_DATA, "%s: _class_name is %.60s; %s is computed here", path, class, wanted);
}

/* Kinds of schedules that are known by name and not built: any of these keys that is set. */
static int refuse_schedules(const cJSON *config, const char *path)
{
    static const char *const keys[] = {"invert_sigmas", "stochastic_sampling", "use_beta_sigmas",
                                       "use_exponential_sigmas", "use_karras_sigmas"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool set = false;
        TRY(json_file_bool(config, path, keys[i], &set));
        if (set) return fail(ERR_DATA, "%s: %s is not computed yet", path, keys[i]);
    }
    const cJSON *terminal = json_file_member(config, "shift_terminal");
    if (terminal && !cJSON_IsFalse(terminal))
        return fail(ERR_DATA, "%s: shift_terminal is not computed yet", path);
    return OK;
}

int model_read_scheduler(struct sigma_schedule *schedule, const cJSON *config, const char *path)
{
    bool dynamic = false;
    const char *type = "exponential";
    int base = 256, most = 4096, train = 1000;
    *schedule = sigma_schedule_of_shift(1.0);
    TRY(expect_class(config, path, "FlowMatchEulerDiscreteScheduler"));
    TRY(refuse_schedules(config, path));
    TRY(json_file_int(config, path, "num_train_timesteps", 1000, 1000, &train));
    TRY(json_file_double(config, path, "shift", 1e-3, 1e3, &schedule->shift));
    TRY(json_file_bool(config, path, "use_dynamic_shifting", &dynamic));
    TRY(json_file_string(config, path, "time_shift_type", &type));
    TRY(json_file_double(config, path, "base_shift", -20, 20, &schedule->base_shift));
    TRY(json_file_double(config, path, "max_shift", -20, 20, &schedule->max_shift));
    TRY(json_file_int(config, path, "base_image_seq_len", 0, MOST_POSITIONS, &base));
    TRY(json_file_int(config, path, "max_image_seq_len", base + 1, MOST_POSITIONS, &most));
    schedule->base_tokens = base;
    schedule->max_tokens = most;
    bool linear = strcmp(type, "linear") == 0;
    if (!linear && strcmp(type, "exponential") != 0)
        return fail(ERR_DATA, "%s: time_shift_type is %.40s; exponential and linear are known",
                    path, type);
    if (dynamic) schedule->kind = linear ? SIGMA_SHIFT_LINEAR : SIGMA_SHIFT_EXPONENTIAL;
    return OK;
}

/* What would make another network of it. */
static int refuse_networks(const cJSON *config, const char *path)
{
    bool norm = true;
    int frames = 1;
    if (json_file_member(config, "siglip_feat_dim"))
        return fail(ERR_DATA,
                    "%s: siglip_feat_dim is set: a model that reads images as prompts is "
                    "not computed here",
                    path);
    TRY(json_file_bool(config, path, "qk_norm", &norm));
    if (!norm) return fail(ERR_DATA, "%s: qk_norm false is not computed here", path);
    return json_file_ints(config, path, "all_f_patch_size", 1, 1, 1, &frames);
}

int model_read_s3dit(struct s3dit_config *dit, const cJSON *config, const char *path)
{
    static const char *const keys[] = {"in_channels",  "dim",       "n_layers", "n_heads",
                                       "cap_feat_dim", "axes_dims", "axes_lens"};
    *dit = (struct s3dit_config){
        .patch = 2, .refiner_layers = 2, .rope_theta = 256.0, .t_scale = 1000.0, .norm_eps = 1e-5};
    TRY(expect_class(config, path, "ZImageTransformer2DModel"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        TRY(json_file_expect(config, path, keys[i]));
    TRY(refuse_networks(config, path));
    TRY(json_file_int(config, path, "in_channels", 1, 1024, &dit->channels));
    TRY(json_file_ints(config, path, "all_patch_size", 1, 64, 1, &dit->patch));
    TRY(json_file_int(config, path, "dim", 1, MOST_WIDTH, &dit->dim));
    TRY(json_file_int(config, path, "n_layers", 0, MOST_BLOCKS, &dit->layers));
    TRY(json_file_int(config, path, "n_refiner_layers", 0, MOST_BLOCKS, &dit->refiner_layers));
    TRY(json_file_int(config, path, "n_heads", 1, MOST_WIDTH, &dit->heads));
    TRY(json_file_int(config, path, "cap_feat_dim", 1, MOST_WIDTH, &dit->text_dim));
    TRY(json_file_ints(config, path, "axes_dims", 1, MOST_WIDTH, S3DIT_AXES, dit->axes));
    TRY(json_file_ints(config, path, "axes_lens", 1, MOST_POSITIONS, S3DIT_AXES, dit->axes_lens));
    TRY(json_file_double(config, path, "rope_theta", 1.0, 1e9, &dit->rope_theta));
    TRY(json_file_double(config, path, "t_scale", 1e-6, 1e9, &dit->t_scale));
    TRY(json_file_double(config, path, "norm_eps", 0.0, 1.0, &dit->norm_eps));
    int code = s3dit_check_config(dit);
    return code < 0 ? fail_within(code, "%s", path) : OK;
}

/* Of others the input is not noise alone, or the network puts out other numbers. */
static int refuse_flux_networks(const cJSON *config, const char *path, int channels)
{
    const cJSON *out = json_file_member(config, "out_channels");
    int patch = 1;
    TRY(json_file_int(config, path, "patch_size", 1, 64, &patch));
    if (patch != 1) return fail(ERR_DATA, "%s: patch_size is %d; 1 is computed here", path, patch);
    if (channels % (MMDIT_PATCH * MMDIT_PATCH) != 0)
        return fail(ERR_DATA, "%s: in_channels is %d, no multiple of %d", path, channels,
                    MMDIT_PATCH * MMDIT_PATCH);
    if (out && !(cJSON_IsNumber(out) && out->valuedouble == channels))
        return fail(ERR_DATA,
                    "%s: in_channels is %d, out_channels another: a model that is shown an image "
                    "beside the noise is not computed here",
                    path, channels);
    return OK;
}

int model_read_mmdit(struct mmdit_config *mmdit, const cJSON *config, const char *path)
{
    static const char *const keys[] = {
        "in_channels",         "num_layers",          "num_single_layers",    "attention_head_dim",
        "num_attention_heads", "joint_attention_dim", "pooled_projection_dim"};
    int channels = 0;
    *mmdit = (struct mmdit_config){.axes = {16, 56, 56}};
    TRY(expect_class(config, path, "FluxTransformer2DModel"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        TRY(json_file_expect(config, path, keys[i]));
    TRY(json_file_int(config, path, "in_channels", 1, 4096, &channels));
    TRY(refuse_flux_networks(config, path, channels));
    mmdit->channels = channels / (MMDIT_PATCH * MMDIT_PATCH);
    TRY(json_file_int(config, path, "num_layers", 0, MOST_BLOCKS, &mmdit->double_blocks));
    TRY(json_file_int(config, path, "num_single_layers", 0, MOST_BLOCKS, &mmdit->single_blocks));
    TRY(json_file_int(config, path, "attention_head_dim", 1, MOST_WIDTH, &mmdit->head_dim));
    TRY(json_file_int(config, path, "num_attention_heads", 1, MOST_WIDTH, &mmdit->heads));
    TRY(json_file_int(config, path, "joint_attention_dim", 1, MOST_WIDTH, &mmdit->text_dim));
    TRY(json_file_int(config, path, "pooled_projection_dim", 1, MOST_WIDTH, &mmdit->pooled_dim));
    TRY(json_file_bool(config, path, "guidance_embeds", &mmdit->guidance));
    TRY(json_file_ints(config, path, "axes_dims_rope", 1, MOST_WIDTH, MMDIT_AXES, mmdit->axes));
    int code = mmdit_check_config(mmdit);
    return code < 0 ? fail_within(code, "%s", path) : OK;
}
