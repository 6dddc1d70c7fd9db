/* Training in latent space: images pass the encoder once, before the first step, and what is drawn
 * passes the decoder. Both lie where a step keeps its activations, which are nowhere then. */
#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "data/cache_file.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_task.h"
#include "diffusion/latent/latent_set.h"
#include "memory/plan.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int diffusion_open_vae(struct task_state *s)
{
    const struct config *config = s->config;
    if (!diffusion_is_latent(config)) {
        if (config->diffusion.vae[0])
            log_warning("diffusion.vae has no effect: the network works on pixels "
                        "(diffusion.space=latent would use it)");
        return OK;
    }
    if (!config->diffusion.vae[0])
        return fail(ERR_CONFIG, "diffusion.vae is not set: the autoencoder that makes latents, a "
                                "run of task vae or a folder of AutoencoderKL");
    if (config->diffusion.channels != 3)
        return fail(ERR_CONFIG,
                    "diffusion.channels: %d, but the autoencoder's images have 3 (colours)",
                    (int)config->diffusion.channels);
    return kl_folder_open(&s->vae, config->diffusion.vae);
}

/* Before there is a run folder, although the weights are read again when they are used. */
int diffusion_expect_vae(const struct task_state *s)
{
    struct net net = {.layer_count = 0};
    int moments, factor = s->design.factor;
    if (factor == 0) return OK;
    int code = kl_build_training(&net, &s->vae.config, factor, factor, &moments);
    float *weights = code == OK ? malloc(net.floats * sizeof *weights) : NULL;
    if (code == OK)
        code = weights ? kl_folder_load(&s->vae, &net, weights) : fail(ERR_SYSTEM, "out of memory");
    free(weights);
    net_free(&net);
    return code;
}

/* ---- memory ---- */

int diffusion_declare_codec(struct task_state *s)
{
    const struct diffusion_design *d = &s->design;
    int width = diffusion_shown_width(d), height = diffusion_shown_height(d), rows;
    if (d->factor == 0) return OK;
    TRY(plan_layout(s->plan));
    TRY(latent_codec_choose_rows(&s->vae, height, width, true, s->device, s->plan, &rows));
    s->codec = calloc(1, sizeof *s->codec);
    if (!s->codec) return fail(ERR_SYSTEM, "out of memory");
    return latent_codec_declare(s->codec, &s->vae, height, width, true, rows, s->device,
                                s->core->phases + 1, s->plan);
}

void diffusion_free_codec(struct latent_codec *codec)
{
    if (!codec) return;
    latent_codec_close(codec);
    free(codec);
}

/* ---- images to latents ---- */

struct latents_making {
    struct latent_codec *codec;
    bool has_begun;
};

/* The encoder comes with the first image that there is no latent of yet. */
static int latents_encode(void *context, const float *image, float *means, float *deviations)
{
    struct latents_making *making = context;
    if (!making->has_begun) TRY(latent_codec_begin(making->codec, false));
    making->has_begun = true;
    return latent_codec_encode(making->codec, image, means, deviations);
}

int diffusion_make_latents(struct task_state *s, const struct task_setup *setup)
{
    const struct diffusion_design *d = &s->design;
    if (d->factor == 0) return OK;
    struct task_input *input = setup->input ? *setup->input : s->own_input;
    struct latent_set **latents = diffusion_input_latents(input);
    struct latents_making making = {.codec = s->codec};
    const struct latent_options options = {
        .images = s->data.set,
        .vae = d->vae,
        .height = d->height,
        .width = d->width,
        .channels = d->dit.channels,
        .mirrors = s->config->diffusion.flip,
        .halves = s->config->diffusion.latents == CONFIG_DIFFUSION_LATENTS_F16,
        .scaling = (float)s->vae.config.scaling,
        .shift = (float)s->vae.config.shift,
        .encode = latents_encode,
        .context = &making,
        .image_floats = diffusion_image_floats(d) / (size_t)d->dit.channels * (size_t)d->factor *
                        (size_t)d->factor * 3,
        .stop_requested = s->stop_requested,
    };
    char *cache = dataset_cache_folder(setup->run_dir);
    int code = OK;
    s->codec->stop_requested = s->stop_requested;
    if (!*latents)
        code = latent_set_open(latents, &options,
                               &(struct cache_places){.cache_dir = setup->run_dir ? cache : NULL,
                                                      .spill_dir = setup->spill_dir});
    s->codec->stop_requested = NULL;
    free(cache);
    s->data.latents = *latents;
    return code;
}

/* ---- latents to images ---- */

int diffusion_decode_drawn(struct task_state *s, int n)
{
    size_t latents = diffusion_image_floats(&s->design);
    size_t image = diffusion_show_floats(s) / (size_t)s->config->diffusion.samples;
    TRY(latent_codec_begin(s->codec, true));
    s->codec->stop_requested = s->core->stop_requested;
    for (size_t i = 0; i < (size_t)n; i++)
        TRY(latent_codec_decode(s->codec, s->drawn + i * latents, s->show + i * image));
    return OK;
}

/* ---- which autoencoder ---- */

int diffusion_check_vae(const struct task_state *s, const struct store_file *file)
{
    uint64_t vae = diffusion_load_vae(file);
    if (vae == s->design.vae) return OK;
    return fail(ERR_CONFIG,
                "%s: this is not the autoencoder that %s was trained with (%016" PRIx64
                ", not %016" PRIx64 "): its latents are others",
                s->config->diffusion.vae, store_path(file), s->design.vae, vae);
}
