/* The pipeline's VAE: an init image becomes a state of the denoiser, states become images. */
#include "base/error.h"
#include "diffusion/pipeline/pipeline_internal.h"
#include "math/latent.h"

#include <math.h>
#include <stdlib.h>

static const struct kl_config *vae_config(const struct pipeline *p)
{
    return &p->model->vae.config;
}

static size_t vae_image_floats(const struct pipeline *p)
{
    return (size_t)KL_IMAGE_CHANNELS * (size_t)p->request.height * (size_t)p->request.width;
}

/* Pixels of a state. */
static size_t vae_state_pixels(const struct pipeline *p)
{
    return (size_t)p->size.height * (size_t)p->size.width;
}

static void planes_to_rows(const float *planes, size_t pixels, int channels, float *rows)
{
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++)
            rows[i * (size_t)channels + (size_t)c] = planes[(size_t)c * pixels + i];
}

/* ---- set-up ---- */

int pipeline_open_vae(struct pipeline *p)
{
    const struct kl_folder *vae = &p->model->vae;
    struct placed_kl_setup setup = {
        .config = &vae->config, .weights = vae->weights, .key = vae->path, .shards = vae->shards};
    TRY(placed_kl_open(&p->encoder, p->placement, p->device, &setup));
    setup.is_decoder = true;
    setup.weights = vae->weights + vae->encoder_tensors;
    return placed_kl_open(&p->decoder, p->placement, p->device, &setup);
}

int pipeline_add_encode_stage(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    return placed_kl_stage(&p->encoder, r->height, r->width, r->tiling, p->model->vae.sample_size,
                           1, pipeline_add_stage(p, &p->encode_stage));
}

int pipeline_add_decode_stage(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    return placed_kl_stage(&p->decoder, p->size.height, p->size.width, r->tiling,
                           p->model->vae.sample_size, r->at_once,
                           pipeline_add_stage(p, &p->decode_stage));
}

/* As the reference finds the nearest pixel: the upper left one of each square. */
int pipeline_shrink_mask(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    int scale = model_scale(p->model), height = p->size.height, width = p->size.width;
    bool any = false;
    p->mask = malloc(vae_state_pixels(p) * sizeof *p->mask);
    if (!p->mask) return fail(ERR_SYSTEM, "out of memory");
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            float *m = &p->mask[(size_t)y * (size_t)width + (size_t)x];
            *m = r->mask[(size_t)y * (size_t)scale * (size_t)r->width + (size_t)(x * scale)];
            any = any || !(*m < 0.5f);
        }
    if (any) return OK;
    return fail(ERR_USAGE,
                "the mask is too fine: of each %d x %d pixels the upper left one counts, and none "
                "of these is made anew",
                scale, scale);
}

static bool allocate_states(const struct pipeline *p, float ***states)
{
    *states = calloc((size_t)p->request.at_once, sizeof **states);
    for (int i = 0; *states && i < p->request.at_once; i++)
        if (!((*states)[i] = malloc(pipeline_state_floats(p) * sizeof(float)))) return false;
    return *states != NULL;
}

int pipeline_allocate_vae(struct pipeline *p)
{
    p->whole = malloc(vae_image_floats(p) * sizeof *p->whole);
    bool there = p->whole && allocate_states(p, &p->states);
    if (there && p->request.init) {
        p->moments = malloc(2 * pipeline_state_floats(p) * sizeof *p->moments);
        there = p->moments && allocate_states(p, &p->begun);
    }
    return there ? OK : fail(ERR_SYSTEM, "out of memory");
}

static void free_states(const struct pipeline *p, float ***states)
{
    for (int i = 0; *states && i < p->request.at_once; i++)
        free((*states)[i]);
    free(*states);
    *states = NULL;
}

void pipeline_free_vae(struct pipeline *p)
{
    free_states(p, &p->states);
    free_states(p, &p->begun);
    free(p->moments);
    free(p->whole);
    p->moments = p->whole = NULL;
    p->has_moments = false;
}

/* ---- at work ---- */

static int vae_check_finite(const struct pipeline *p, bool decoder, const float *numbers,
                            size_t count)
{
    const struct kl_folder *vae = &p->model->vae;
    int first = decoder ? vae->encoder_tensors : 0;
    int end = decoder ? vae->tensor_count : vae->encoder_tensors;
    if (pipeline_is_finite(numbers, count)) return OK;
    int t = pipeline_broken_tensor(vae->weights + first, end - first);
    return pipeline_fail_nonfinite(p, decoder ? "decode" : "encode",
                                   t < 0 ? NULL : vae->weights[first + t]->name);
}

int pipeline_encode(struct pipeline *p, const struct pipeline_watch *watch)
{
    size_t pixels = vae_image_floats(p) / KL_IMAGE_CHANNELS;
    if (p->has_moments) return OK;
    planes_to_rows(p->request.init, pixels, KL_IMAGE_CHANNELS, p->whole);
    TRY(placement_begin(p->placement, &p->stages[p->encode_stage]));
    int code = placed_kl_run(&p->encoder, p->whole, p->moments, watch->stop_requested);
    TRY(pipeline_end_stage(p, code));
    TRY(vae_check_finite(p, false, p->moments, 2 * pipeline_state_floats(p)));
    p->has_moments = true;
    return OK;
}

int pipeline_draw_state(const struct pipeline *p, struct noise_stream *stream, float *state)
{
    size_t pixels = vae_state_pixels(p), channels = (size_t)vae_config(p)->latent_channels;
    float shift = (float)vae_config(p)->shift, scaling = (float)vae_config(p)->scaling;
    TRY(noise_draw(stream, state, pixels * channels));
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < pixels; i++) {
            const float *mean = p->moments + i * 2 * channels + c;
            float deviation = expf(0.5f * latent_log(mean[channels]));
            float *z = state + c * pixels + i;
            *z = (*mean + deviation * *z - shift) * scaling;
        }
    return OK;
}

/* As the decoder has it. */
static void vae_unscale(const struct pipeline *p, const float *state, float *latents)
{
    float shift = (float)vae_config(p)->shift, scaling = (float)vae_config(p)->scaling;
    planes_to_rows(state, vae_state_pixels(p), vae_config(p)->latent_channels, latents);
    for (size_t i = 0; i < pipeline_state_floats(p); i++)
        latents[i] = latents[i] / scaling + shift;
}

static int decode_all(struct pipeline *p, int n, float *const *images,
                      const struct pipeline_watch *watch)
{
    const int64_t shape[3] = {KL_IMAGE_CHANNELS, p->request.height, p->request.width};
    size_t pixels = vae_image_floats(p) / KL_IMAGE_CHANNELS;
    for (int i = 0; i < n; i++) {
        vae_unscale(p, p->states[i], p->pixels);
        TRY(placed_kl_run(&p->decoder, p->pixels, p->whole, watch->stop_requested));
        TRY(vae_check_finite(p, true, p->whole, vae_image_floats(p)));
        for (size_t c = 0; c < KL_IMAGE_CHANNELS; c++)
            for (size_t k = 0; k < pixels; k++)
                images[i][c * pixels + k] = p->whole[k * KL_IMAGE_CHANNELS + c];
        if (watch->tensor) TRY(watch->tensor(watch->context, i, "picture", 3, shape, images[i]));
    }
    return OK;
}

int pipeline_decode(struct pipeline *p, int n, float *const *images,
                    const struct pipeline_watch *watch)
{
    struct placement_stage stage = p->stages[p->decode_stage];
    stage.passes = stage.passes / p->request.at_once * n;
    TRY(placement_begin(p->placement, &stage));
    return pipeline_end_stage(p, decode_all(p, n, images, watch));
}
