/* Text encoders of scripts/reference/zimage_goldens.py. */
#ifndef IMGTRAIN_TEST_QWEN3_FIXTURE_H
#define IMGTRAIN_TEST_QWEN3_FIXTURE_H

#include "diffusion/text_encoder/qwen3.h"
#include "test/diffusion/text_fixture.h"

static inline struct qwen3_config qwen3_small(void)
{
    return (struct qwen3_config){.hidden = 32,
                                 .mlp = 64,
                                 .layers = 3,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 16,
                                 .vocabulary = TEXT_WORDS,
                                 .positions = 4096,
                                 .rope_theta = 1e6,
                                 .eps = 1e-6};
}

/* More heads than fit into a feature's width, odd sides. */
static inline struct qwen3_config qwen3_odd(void)
{
    struct qwen3_config config = qwen3_small();
    config.hidden = 20;
    config.mlp = 27;
    config.layers = 4;
    config.heads = 3;
    config.kv_heads = 1;
    config.head_dim = 6;
    return config;
}

/* Features of prompts of these lengths, [tokens of all][hidden] of the host. */
static inline void qwen3_features(struct text_held *h, int prompts, const int *lengths,
                                  float *features)
{
    struct text_size size = {.prompts = prompts};
    int ids[TEXT_PROMPTS][64], *each[TEXT_PROMPTS];
    size_t rows = 0;
    for (int i = 0; i < prompts; i++) {
        text_prompt(size.lengths[i] = lengths[i], each[i] = ids[i]);
        rows += (size_t)lengths[i];
    }
    memset(features, 0, rows * (size_t)h->encoder.width * sizeof *features);
    text_add_rows(features, &size, "embed_tokens.weight", h->encoder.width, each);
    text_run(h, &size, NULL, features);
}

/* As above, of a whole network. */
static inline void qwen3_features_of(const struct qwen3_config *config, struct device *device,
                                     enum token_type type, int prompts, const int *lengths,
                                     float *features)
{
    struct qwen3_model model;
    struct text_held held;
    MUST(qwen3_model_create(&model, config));
    const struct text_encoder encoder = qwen3_encoder(&model);
    text_hold(&held, &encoder, device, type, false);
    qwen3_features(&held, prompts, lengths, features);
    text_release_held(&held);
    qwen3_model_free(&model);
}

#endif
