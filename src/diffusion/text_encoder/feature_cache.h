/* Features of prompts in files, one a prompt, so that a prompt is encoded once: where they lie no
 * text encoder is opened. They are keyed by all that they depend on: encoder, tokens, and how they
 * were computed. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_FEATURE_CACHE_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_FEATURE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct feature_key {
    uint64_t encoder;   /* a checksum of its config, its weights, the prompt's rows of its table */
    const char *how;    /* "cpu f32": what computed them */
    const int32_t *ids; /* [count] */
    int count;
    int rows, width; /* of the features */
};

/* features [rows][width], if they lie in `folder`. A file that is damaged, or of another prompt,
 * is none, which is said. */
bool feature_cache_find(const char *folder, const struct feature_key *key, float *features);
/* Writes them there. Where that fails, it is said, and no more: they are made again next time. */
void feature_cache_keep(const char *folder, const struct feature_key *key, const float *features);

#endif
