/* libFuzzer: a model folder of which one file holds any bytes: the first says which, the others are
 * written there. What is accepted must be usable: its weights, its table, a prompt as rows. */
#include "diffusion/model/model_write.h"
#include "diffusion/text/token_tables.h"
#include "test/diffusion/small_dit.h"
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLASSES = 2, TEXT_DIM = 8 };

/* The last is none of a whole folder: an index of shards, in place of one file. */
static const char *const files[] = {"model_index.json",
                                    "scheduler/scheduler_config.json",
                                    "transformer/config.json",
                                    "text_encoder/config.json",
                                    "tokenizer/tokenizer.json",
                                    "imgtrain.json",
                                    "transformer/diffusion_pytorch_model.safetensors.index.json"};
enum { FILES = sizeof files / sizeof *files, SHARDS = FILES - 1, KEPT_MOST = 1 << 16 };
static char kept[FILES][KEPT_MOST]; /* what they hold in a sound folder */
static size_t kept_bytes[FILES];

static void fuzz_fill_folder(void)
{
    static const char *const names[CLASSES] = {"circle", "red square"};
    const struct s3dit_config config = SMALL_DIT(3, 1, TEXT_DIM, 128);
    struct s3dit_model dit;
    struct tokenizer *text;
    fuzz_make_folder();
    require(s3dit_model_create(&dit, &config) == 0);
    require(tokenizer_of_labels(&text, CLASSES, names) == 0);
    float *weights = calloc(dit.list.floats, sizeof *weights);
    float *table = calloc((CLASSES + 1) * TEXT_DIM, sizeof *table);
    require(weights && table);
    const struct model_writing writing = {.dit = &dit,
                                          .parameters = weights,
                                          .table = table,
                                          .text = text,
                                          .shift = 3.0,
                                          .defaults = {.width = 16, .height = 16, .steps = 8}};
    require(model_folder_write(fuzz_folder, &writing) == 0);
    free(weights);
    free(table);
    tokenizer_close(text);
    s3dit_model_free(&dit);
    for (int i = 0; i < SHARDS; i++) {
        FILE *in = fopen(fuzz_path(files[i]), "rb");
        require(in != NULL);
        kept_bytes[i] = fread(kept[i], 1, KEPT_MOST, in);
        require(kept_bytes[i] > 0 && kept_bytes[i] < KEPT_MOST);
        fclose(in);
    }
}

static void fuzz_use(const struct model_folder *model)
{
    static const char prompt[] = "red square \xF0\x9F\x90\x88\xFF circle";
    const int rows = tokenizer_rows(model->reader.tokens),
              none = tokenizer_none(model->reader.tokens);
    int width = model->dit.config.text_dim;
    struct tokens tokens;
    float *features = malloc((size_t)width * sizeof *features);
    require(features != NULL);
    if (tokenizer_encode(model->reader.tokens, &tokens, prompt, sizeof prompt - 1,
                         TEXT_MOST_ROWS) == 0) {
        require(tokens.count > 0 && tokens.count <= TEXT_MOST_ROWS);
        for (int i = 0; i < tokens.count; i++) {
            require(tokens.ids[i] >= 0 && tokens.ids[i] < rows);
            require(model_tensor_row(model, model->reader.table, tokens.ids[i], features) == 0);
        }
        tokens_free(&tokens);
    }
    require(none >= 0 && none < rows);
    for (int i = 0; i < model->dit.list.tensor_count; i++)
        require(model->weights[i] && model->weights[i]->bytes > 0);
    require(model_usual_steps(model) > 0 && model_scale(model) > 0);
    free(features);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int made;
    struct model_folder model;
    if (!made++) fuzz_fill_folder();
    if (bytes == 0) return 0;
    int file = data[0] % FILES;
    fuzz_put(files[file], data + 1, bytes - 1);
    if (model_folder_open(&model, fuzz_folder) == 0) fuzz_use(&model);
    model_folder_close(&model);
    if (file < SHARDS)
        fuzz_put(files[file], kept[file], kept_bytes[file]);
    else
        require(unlink(fuzz_path(files[file])) == 0);
    return 0;
}
