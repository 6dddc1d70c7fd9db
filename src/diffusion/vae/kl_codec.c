#include "diffusion/vae/kl_codec.h"

#include "base/error.h"
#include "device/device.h"
#include "diffusion/vae/kl_bands.h"
#include "diffusion/vae/kl_folder.h"
#include "math/latent.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"

#include <math.h>
#include <stdlib.h>

/* One of the two networks for images of one size. */
struct codec_side {
    bool decoder;
    int h, w, rows;
    struct net net;
    struct plan *plan;
    float *parameters;
    struct network_pass pass; /* of an encoder */
    struct kl_bands bands;    /* of a decoder */
};

struct kl_codec {
    struct device *device;
    struct kl_folder vae;
    struct codec_side *side; /* what is on the device; NULL: nothing */
    bool (*stop_requested)(void);
};

static void codec_side_close(struct codec_side *side)
{
    if (!side) return;
    plan_free(side->plan);
    pass_close(&side->pass);
    kl_bands_close(&side->bands);
    net_free(&side->net);
    free(side);
}

static int side_declare_encoder(struct codec_side *s, struct device *device)
{
    struct pass_use use = {.plan = s->plan,
                           .net = &s->net,
                           .name = "encoder",
                           .backward = s->net.layer_count + 1,
                           .n = 1};
    TRY(pass_open(&s->pass, &s->net));
    TRY(pass_plan_values(&use, &s->pass, false, 0, NULL));
    return plan_declare(s->plan, "workspace", PLAN_WORKSPACE, pass_workspace(&s->net, device, 1, 0),
                        PLAN_ALWAYS, &s->pass.workspace);
}

/* Laid out; nothing is allocated. */
static int side_open(struct codec_side **out, const struct kl_codec *codec, bool decoder, int h,
                     int w, int rows)
{
    struct codec_side *s = *out = calloc(1, sizeof *s);
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->decoder = decoder;
    s->h = h, s->w = w, s->rows = rows;
    s->plan = plan_create();
    if (!s->plan) return ERR_SYSTEM;
    TRY(decoder ? kl_build_decoder(&s->net, &codec->vae.config, h, w)
                : kl_build_encoder(&s->net, &codec->vae.config, h, w));
    TRY(plan_declare(s->plan, "parameters", PLAN_PARAMETERS, s->net.floats * sizeof(float),
                     PLAN_ALWAYS, (void **)&s->parameters));
    TRY(decoder ? kl_bands_declare(&s->bands, &s->net, rows, codec->device, 0, s->plan)
                : side_declare_encoder(s, codec->device));
    return plan_layout(s->plan);
}

static int side_load(struct kl_codec *codec, struct codec_side *s)
{
    size_t bytes = s->net.floats * sizeof(float);
    float *host = calloc(1, bytes);
    int code = host ? plan_commit(s->plan, codec->device) : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = kl_folder_load(&codec->vae, &s->net, host);
    if (code == OK) code = device_upload(codec->device, s->parameters, host, bytes);
    free(host);
    return code;
}

/* What is wanted next, on the device. */
static int codec_take(struct kl_codec *codec, bool decoder, int h, int w, int rows)
{
    struct codec_side *s = codec->side;
    if (s && s->decoder == decoder && s->h == h && s->w == w && s->rows == rows) return OK;
    codec_side_close(s);
    codec->side = NULL;
    int code = side_open(&s, codec, decoder, h, w, rows);
    if (code == OK) code = side_load(codec, s);
    if (code < 0) {
        codec_side_close(s);
        return code;
    }
    codec->side = s;
    return OK;
}

int kl_codec_open(struct kl_codec **out, const char *path, struct device *device)
{
    struct kl_codec *codec = calloc(1, sizeof *codec);
    *out = NULL;
    if (!codec) return fail(ERR_SYSTEM, "out of memory");
    codec->device = device;
    int code = kl_folder_open(&codec->vae, path);
    if (code < 0) {
        kl_codec_close(codec);
        return code;
    }
    *out = codec;
    return OK;
}

void kl_codec_close(struct kl_codec *codec)
{
    if (!codec) return;
    codec_side_close(codec->side);
    kl_folder_close(&codec->vae);
    free(codec);
}

const struct kl_config *kl_codec_config(const struct kl_codec *codec)
{
    return &codec->vae.config;
}

uint64_t kl_codec_checksum(const struct kl_codec *codec)
{
    return codec->vae.checksum;
}

void kl_codec_listen(struct kl_codec *codec, bool (*stop_requested)(void))
{
    codec->stop_requested = stop_requested;
}

int kl_codec_encode(struct kl_codec *codec, const float *image, int h, int w, float *means,
                    float *deviations)
{
    TRY(codec_take(codec, false, h, w, 0));
    struct codec_side *s = codec->side;
    int last = s->net.layer_count - 1, c = codec->vae.config.latent_channels;
    size_t numbers = net_elements(&s->net, last), pixels = numbers / (size_t)(2 * c);
    float *moments = malloc(numbers * sizeof *moments), scaling = (float)codec->vae.config.scaling;
    int code = moments ? OK : fail(ERR_SYSTEM, "out of memory");
    s->pass.device = codec->device;
    s->pass.parameters = s->parameters;
    s->pass.n = 1;
    s->pass.stop_requested = codec->stop_requested;
    if (code == OK)
        code = device_upload(codec->device, s->pass.value[0], image, net_bytes(&s->net, 0));
    if (code == OK) code = pass_forward(&s->pass, PASS_NO_MASKS, false);
    if (code == OK)
        code = device_fetch(codec->device, moments, s->pass.value[last], numbers * sizeof(float));
    for (size_t i = 0; code == OK && i < pixels * (size_t)c; i++) {
        const float *mean = moments + i / (size_t)c * (size_t)(2 * c) + i % (size_t)c;
        means[i] = (*mean - (float)codec->vae.config.shift) * scaling;
        if (deviations) deviations[i] = expf(0.5f * latent_log(mean[c])) * scaling;
    }
    free(moments);
    return code;
}

int kl_codec_decode(struct kl_codec *codec, const float *latents, int h, int w, int rows,
                    float *image)
{
    TRY(codec_take(codec, true, h, w, rows));
    struct codec_side *s = codec->side;
    int last = s->net.layer_count - 1;
    size_t numbers = net_elements(&s->net, 0);
    float *z = malloc(numbers * sizeof *z);
    int code = z ? OK : fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; z && i < numbers; i++)
        z[i] = latents[i] / (float)codec->vae.config.scaling + (float)codec->vae.config.shift;
    s->bands.parameters = s->parameters;
    s->bands.stop_requested = codec->stop_requested;
    if (code == OK)
        code = device_upload(codec->device, s->bands.value[0], z, numbers * sizeof(float));
    if (code == OK) code = kl_bands_run(&s->bands);
    if (code == OK)
        code = device_fetch(codec->device, image, s->bands.value[last], net_bytes(&s->net, last));
    free(z);
    return code;
}

int kl_codec_bytes(const struct kl_codec *codec, bool decoder, int h, int w, int rows,
                   size_t *bytes)
{
    struct codec_side *s;
    int code = side_open(&s, codec, decoder, h, w, rows);
    if (code == OK) *bytes = plan_device_bytes(s->plan);
    codec_side_close(s);
    return code;
}
