/* A KL autoencoder for tests: small networks with drawn weights, as a folder or as a run's file. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_VAE_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_VAE_H

#include "diffusion/vae/kl_file.h"
#include "nn/weights_file.h"
#include "store/safetensors.h"
#include "test/diffusion/s3dit_fixture.h"
#include "test/support.h"

enum { TINY_VAE_TILE = 8 };

/* Two pixels to one of the latents, along a side. */
static inline struct kl_config tiny_vae_config(int latent_channels)
{
    return (struct kl_config){.levels = 2,
                              .widths = {8, 16},
                              .resnets = 1,
                              .latent_channels = latent_channels,
                              .groups = 2,
                              .attention = true,
                              .scaling = 1.5,
                              .shift = -0.25};
}

/* Both networks in one range; owned: net_free, free. */
static inline float *tiny_vae_weights(struct net *net, const struct kl_config *config)
{
    int moments, side = kl_factor(config);
    MUST(kl_build_training(net, config, side, side, &moments));
    float *flat = formula_floats(net->floats);
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        double scale = p->dims == 1 ? 0.3 : 1 / sqrt((double)(p->count / (size_t)p->shape[0]));
        formula_fill(flat + p->offset, p->count, p->name, scale,
                     p->dims == 1 && !strstr(p->name, "bias") ? 1 : 0);
    }
    return flat;
}

static inline void tiny_vae_write(const char *path, const struct kl_config *config)
{
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, config);
    MUST(kl_write_folder(path, config, TINY_VAE_TILE, &net, flat));
    free(flat);
    net_free(&net);
}

/* As a run's model.safetensors; key, if not NULL, gets another value. */
static inline void tiny_vae_write_file_with(const char *path, const struct kl_config *config,
                                            const char *key, const char *value)
{
    struct net net = {.layer_count = 0};
    float *flat = tiny_vae_weights(&net, config);
    struct store_writer *writer = store_writer_create();
    MUST(kl_store_config(writer, config));
    if (key) MUST(store_set(writer, key, value));
    MUST(weights_store(writer, "", &net, flat));
    MUST(store_write(writer, path, false));
    store_writer_free(writer);
    free(flat);
    net_free(&net);
}

static inline void tiny_vae_write_file(const char *path, const struct kl_config *config)
{
    tiny_vae_write_file_with(path, config, NULL, NULL);
}

#endif
