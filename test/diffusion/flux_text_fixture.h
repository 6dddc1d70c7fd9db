/* Text encoders of scripts/reference/flux_text_goldens.py. */
#ifndef IMGTRAIN_TEST_DIFFUSION_FLUX_TEXT_FIXTURE_H
#define IMGTRAIN_TEST_DIFFUSION_FLUX_TEXT_FIXTURE_H

#include "diffusion/text_encoder/clip_text.h"
#include "diffusion/text_encoder/t5_text.h"
#include "test/diffusion/text_fixture.h"

static inline struct t5_config t5_small(void)
{
    return (struct t5_config){.hidden = 32,
                              .mlp = 64,
                              .layers = 3,
                              .heads = 4,
                              .head_dim = 16,
                              .vocabulary = TEXT_WORDS,
                              .buckets = 32,
                              .distance = 128,
                              .eps = 1e-6};
}

static inline struct t5_config t5_odd(void)
{
    return (struct t5_config){.hidden = 20,
                              .mlp = 27,
                              .layers = 2,
                              .heads = 3,
                              .head_dim = 6,
                              .vocabulary = TEXT_WORDS,
                              .buckets = 20,
                              .distance = 40,
                              .eps = 1e-6};
}

enum { CLIP_END = 405, CLIP_LONGEST = 77 };

static inline struct clip_config clip_small(void)
{
    return (struct clip_config){.hidden = 32,
                                .mlp = 64,
                                .layers = 3,
                                .heads = 4,
                                .vocabulary = TEXT_WORDS,
                                .positions = CLIP_LONGEST,
                                .end = CLIP_END,
                                .eps = 1e-5};
}

static inline struct clip_config clip_odd(void)
{
    struct clip_config config = clip_small();
    config.hidden = 30;
    config.mlp = 27;
    config.layers = 2;
    config.heads = 3;
    return config;
}

/* As the file of goldens has them: behind two thirds of them the text has ended. */
static inline void clip_prompt(const struct clip_config *config, int length, int *ids)
{
    text_prompt(length, ids);
    for (int i = 0; i < length; i++)
        ids[i] = i < length * 2 / 3 ? ids[i] % CLIP_END
                 : config->end == 2 ? TEXT_WORDS - 1
                                    : CLIP_END;
}

/* Features of prompts of so many tokens, [prompts][length][hidden] of the host. others: ids of the
 * second prompt instead of the first one's. */
static inline void t5_features(const struct t5_config *config, struct device *device,
                               enum token_type type, int prompts, int length, const int *others,
                               float *features)
{
    struct t5_model model;
    struct text_held held;
    struct text_size size = {.prompts = prompts};
    int ids[TEXT_PROMPTS][TEXT_LONGEST], *each[TEXT_PROMPTS];
    const int64_t shape[2] = {config->buckets, config->heads};
    float *table = formula_floats((size_t)(config->buckets * config->heads));
    for (int i = 0; i < config->buckets * config->heads; i++)
        table[i] = text_formula(T5_TABLE, shape, 2, (uint64_t)i);
    for (int i = 0; i < prompts; i++)
        text_prompt(size.lengths[i] = length, each[i] = ids[i]);
    if (others) memcpy(ids[1], others, (size_t)length * sizeof *others);
    MUST(t5_model_create(&model, config));
    const struct text_encoder encoder = t5_encoder(&model);
    text_hold(&held, &encoder, device, type, false);
    memset(features, 0, (size_t)(prompts * length * config->hidden) * sizeof *features);
    text_add_rows(features, &size, "shared.weight", config->hidden, each);
    text_run(&held, &size, table, features);
    text_release_held(&held);
    t5_model_free(&model);
    free(table);
}

/* Vectors of prompts of these lengths, pads and all, [prompts][hidden]. */
static inline void clip_vectors(const struct clip_config *config, struct device *device,
                                enum token_type type, int prompts, const int *lengths,
                                float *vectors)
{
    struct clip_model model;
    struct text_held held;
    struct text_size size = {.prompts = prompts};
    int ids[TEXT_PROMPTS][CLIP_LONGEST], *each[TEXT_PROMPTS];
    float *x = formula_floats((size_t)(TEXT_PROMPTS * CLIP_LONGEST * config->hidden));
    for (int i = 0; i < prompts; i++) {
        clip_prompt(config, lengths[i], each[i] = ids[i]);
        size.lengths[i] = clip_read_ids(config, ids[i], lengths[i]);
        ck_assert_int_eq(size.lengths[i], lengths[i] * 2 / 3 + 1);
    }
    MUST(clip_model_create(&model, config));
    const struct text_encoder encoder = clip_encoder(&model);
    text_hold(&held, &encoder, device, type, false);
    memset(x, 0, (size_t)(TEXT_PROMPTS * CLIP_LONGEST * config->hidden) * sizeof *x);
    text_add_rows(x, &size, CLIP_TABLE, config->hidden, each);
    text_add_rows(x, &size, CLIP_POSITIONS, config->hidden, NULL);
    text_run(&held, &size, NULL, x);
    memcpy(vectors, x, (size_t)(prompts * config->hidden) * sizeof *x);
    text_release_held(&held);
    clip_model_free(&model);
    free(x);
}

#endif
