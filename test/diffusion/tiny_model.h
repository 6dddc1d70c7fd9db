/* A model folder for tests: a small network with drawn weights, none of them 0. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_MODEL_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_MODEL_H

#include "diffusion/model/model_write.h"
#include "diffusion/text/token_tables.h"
#include "test/diffusion/s3dit_fixture.h"
#include "test/diffusion/small_dit.h"
#include "test/diffusion/tiny_vae.h"
#include "test/support.h"

static inline struct s3dit_config tiny_config(void)
{
    return (struct s3dit_config)SMALL_DIT(3, 1, 16, 128);
}

/* Owned; padding between tensors is 0. */
static inline float *tiny_weights(const struct s3dit_model *dit)
{
    float *flat = formula_floats(dit->list.floats);
    formula_weights(dit, flat);
    return flat;
}

/* kind TOKENIZER_LABELS: three classes, circle, "red square" and triangle. weight, row: are added
 * to the first number of the weights and of the table. */
static inline void tiny_model_write_changed(const char *path, enum tokenizer_kind kind,
                                            int channels, float weight, float row)
{
    static const char *const names[] = {"circle", "red square", "triangle"};
    struct s3dit_config config = tiny_config();
    struct s3dit_model dit;
    struct tokenizer *text;
    config.channels = channels;
    MUST(s3dit_model_create(&dit, &config));
    MUST(kind == TOKENIZER_BYTES ? tokenizer_of_bytes(&text)
                                 : tokenizer_of_labels(&text, 3, names));
    size_t rows = (size_t)tokenizer_rows(text);
    float *flat = tiny_weights(&dit), *table = formula_floats(rows * 16);
    formula_fill(table, rows * 16, "table", 1, 0);
    flat[0] += weight;
    table[0] += row;
    const struct model_writing writing = {
        &dit, flat, table, text, 3.0, {.width = 16, .height = 16, .steps = 8}, NULL};
    MUST(model_folder_write(path, &writing));
    free(flat);
    free(table);
    tokenizer_close(text);
    s3dit_model_free(&dit);
}

static inline void tiny_model_write(const char *path, enum tokenizer_kind kind)
{
    tiny_model_write_changed(path, kind, 3, 0, 0);
}

/* Of latents of 4 channels, with the autoencoder of tiny_vae.h. */
static inline void tiny_latent_model_write(const char *path, enum tokenizer_kind kind)
{
    const struct kl_config config = tiny_vae_config(4);
    char *index = string_format("%s/model_index.json", path), *vae = string_format("%s/vae", path);
    uint8_t *text;
    size_t bytes;
    tiny_model_write_changed(path, kind, 4, 0, 0);
    tiny_vae_write(vae, &config);
    MUST(file_read(index, 1 << 20, &text, &bytes));
    char *at = strstr((char *)text, "[null, null]");
    ck_assert_ptr_nonnull(at);
    char *changed = string_format("%.*s[\"diffusers\", \"AutoencoderKL\"]%s",
                                  (int)(at - (char *)text), (char *)text, at + 12);
    MUST(file_atomic_write_whole(index, changed, strlen(changed), false));
    free(changed);
    free(text);
    free(index);
    free(vae);
}

#endif
