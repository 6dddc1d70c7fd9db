#include "diffusion/latent/latent_codec.h"

#include "base/error.h"
#include "device/device.h"
#include "math/latent.h"
#include "memory/plan.h"

#include <math.h>
#include <stdlib.h>

/* ---- memory ---- */

static int latent_half_declare(struct latent_codec *c, struct latent_half *half, const char *name,
                               int rows, int phase, struct plan *plan)
{
    int end = phase + half->net.layer_count - 1;
    TRY(plan_declare(plan, name, PLAN_ACTIVATIONS, half->net.floats * sizeof(float), phase, end,
                     (void **)&half->parameters));
    return kl_bands_declare(&half->bands, &half->net, rows, c->device, phase, plan);
}

int latent_codec_declare(struct latent_codec *c, const struct kl_folder *vae, int height, int width,
                         bool encodes, int rows, struct device *device, int phase,
                         struct plan *plan)
{
    int factor = kl_factor(&vae->config);
    *c = (struct latent_codec){.device = device, .vae = vae};
    TRY(kl_build_decoder(&c->decoder.net, &vae->config, height / factor, width / factor));
    TRY(latent_half_declare(c, &c->decoder, "vae.decoder", rows, phase, plan));
    size_t floats = c->decoder.net.floats;
    if (encodes) {
        TRY(kl_build_encoder(&c->encoder.net, &vae->config, height, width));
        TRY(latent_half_declare(c, &c->encoder, "vae.encoder", rows,
                                phase + c->decoder.net.layer_count, plan));
        if (c->encoder.net.floats > floats) floats = c->encoder.net.floats;
    }
    if (device->is_host) return OK;
    return plan_declare(plan, "vae.host", PLAN_HOST, floats * sizeof(float), PLAN_ALWAYS,
                        (void **)&c->host);
}

static void latent_half_close(struct latent_half *half)
{
    kl_bands_close(&half->bands);
    net_free(&half->net);
}

void latent_codec_close(struct latent_codec *c)
{
    latent_half_close(&c->encoder);
    latent_half_close(&c->decoder);
}

/* Of what `plan` has at times. */
static size_t latent_excess(const struct plan *own, const struct plan *plan, enum plan_kind kind)
{
    size_t wanted = plan_kind_bytes(own, kind), there = plan_kind_bytes(plan, kind);
    for (int i = 0; i < plan_count(plan); i++) {
        const struct plan_entry *e = plan_at(plan, i);
        if (e->kind == kind && e->first <= PLAN_FIRST && e->last >= PLAN_LAST)
            there -= plan_aligned(e->bytes);
    }
    return wanted > there ? wanted - there : 0;
}

int latent_codec_choose_rows(const struct kl_folder *vae, int height, int width, bool encodes,
                             struct device *device, const struct plan *plan, int *rows)
{
    static const int heights[] = {0, 128, 64, 32, 16, 8};
    size_t least = SIZE_MAX;
    int code = OK;
    *rows = 0;
    for (size_t i = 0; i < sizeof heights / sizeof *heights && least > 0 && code == OK; i++) {
        if (heights[i] >= height) continue;
        struct latent_codec trial = {.device = NULL};
        struct plan *own = plan_create();
        code = own ? latent_codec_declare(&trial, vae, height, width, encodes, heights[i], device,
                                          0, own)
                   : ERR_SYSTEM;
        if (code == OK) code = plan_layout(own);
        size_t excess = code < 0 ? 0
                                 : latent_excess(own, plan, PLAN_ACTIVATIONS) +
                                       latent_excess(own, plan, PLAN_WORKSPACE);
        if (excess < least) {
            least = excess;
            *rows = heights[i];
        }
        latent_codec_close(&trial);
        plan_free(own);
    }
    return code;
}

/* ---- at work ---- */

int latent_codec_begin(struct latent_codec *c, bool decoder)
{
    struct latent_half *half = decoder ? &c->decoder : &c->encoder;
    float *to = c->host ? c->host : half->parameters;
    TRY(c->device->synchronize(c->device));
    TRY(kl_folder_load(c->vae, &half->net, to));
    half->bands.parameters = half->parameters;
    return device_send(c->device, half->parameters, to, half->net.floats * sizeof(float));
}

int latent_codec_encode(struct latent_codec *c, const float *image, float *means, float *deviations)
{
    struct kl_bands *bands = &c->encoder.bands;
    const struct net *net = &c->encoder.net;
    int last = net->layer_count - 1, channels = c->vae->config.latent_channels;
    size_t pixels = net_elements(net, last) / (size_t)(2 * channels);
    float *moments = malloc(net_bytes(net, last));
    int code = moments ? OK : fail(ERR_SYSTEM, "out of memory");
    bands->stop_requested = c->stop_requested;
    if (code == OK) code = kl_bands_run_host(bands, image, moments);
    for (size_t i = 0; code == OK && i < pixels * (size_t)channels; i++) {
        size_t pixel = i / (size_t)channels;
        const float *mean = moments + pixel * (size_t)channels + i;
        means[i] = *mean;
        if (deviations) deviations[i] = expf(0.5f * latent_log(mean[channels]));
    }
    free(moments);
    return code;
}

int latent_codec_decode(struct latent_codec *c, const float *latents, float *image)
{
    struct kl_bands *bands = &c->decoder.bands;
    const struct net *net = &c->decoder.net;
    const struct kl_config *config = &c->vae->config;
    size_t numbers = net_elements(net, 0);
    float *z = malloc(net_bytes(net, 0));
    int code = z ? OK : fail(ERR_SYSTEM, "out of memory");
    bands->stop_requested = c->stop_requested;
    for (size_t i = 0; z && i < numbers; i++)
        z[i] = latents[i] / (float)config->scaling + (float)config->shift;
    if (code == OK) code = kl_bands_run_host(bands, z, image);
    free(z);
    return code;
}
