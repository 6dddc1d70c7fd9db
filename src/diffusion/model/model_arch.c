#include "diffusion/model/model_arch.h"

#include "base/error.h"
#include "base/format.h"
#include "base/random.h"
#include "math/bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes that are drawn at a time. */
enum { DRAWN = 1 << 16 };

enum { STEPS = 8 };

static const struct arch {
    const char *name;
    struct s3dit_config config;
    enum tensor_type type;
    double shift;
    int side, scale, text_rows;
} archs[] = {
    {"s3dit-1m",
     {.channels = 3,
      .patch = 2,
      .dim = 96,
      .layers = 3,
      .refiner_layers = 1,
      .heads = 3,
      .text_dim = 64,
      .axes = {16, 8, 8},
      .axes_lens = {512, 128, 128},
      .rope_theta = 256,
      .t_scale = 1000,
      .norm_eps = 1e-5},
     TENSOR_F32,
     1,
     16,
     1,
     1},
    {"s3dit-42m",
     {.channels = 3,
      .patch = 2,
      .dim = 384,
      .layers = 16,
      .refiner_layers = 2,
      .heads = 6,
      .text_dim = 256,
      .axes = {32, 16, 16},
      .axes_lens = {512, 128, 128},
      .rope_theta = 256,
      .t_scale = 1000,
      .norm_eps = 1e-5},
     TENSOR_F32,
     1,
     32,
     1,
     1},
    {"z-image-turbo",
     {.channels = 16,
      .patch = 2,
      .dim = 3840,
      .layers = 30,
      .refiner_layers = 2,
      .heads = 30,
      .text_dim = 2560,
      .axes = {32, 48, 48},
      .axes_lens = {1024, 512, 512},
      .rope_theta = 256,
      .t_scale = 1000,
      .norm_eps = 1e-5},
     TENSOR_BF16,
     3,
     1024,
     8,
     TEXT_MOST_ROWS},
};

enum { ARCHS = sizeof archs / sizeof *archs };

static const struct arch *arch_find(const char *name)
{
    for (int i = 0; i < ARCHS; i++)
        if (strcmp(archs[i].name, name) == 0) return &archs[i];
    return NULL;
}

int model_arch_side(const struct model_arch *arch)
{
    return arch_find(arch->folder.path)->side;
}

int model_arch_scale(const struct model_arch *arch)
{
    return arch_find(arch->folder.path)->scale;
}

int model_arch_text_rows(const struct model_arch *arch)
{
    return arch_find(arch->folder.path)->text_rows;
}

/* Uniform, as wide as a linear layer's first weights are, or around one; the same on every machine.
 */
static int arch_draw(struct model_arch *arch, int index)
{
    const struct s3dit_tensor *tensor = &arch->folder.dit.tensors[index];
    enum tensor_type type = arch->tensors[index].type;
    float scale = tensor->dims == 2 ? sqrtf(3.0F / (float)tensor->shape[1]) : .1F;
    float middle = tensor->dims == 1 && strstr(tensor->name, "norm") ? 1 : 0;
    size_t each = tensor_type_bytes(type);
    static _Thread_local char buffer[DRAWN];
    for (size_t from = 0; from < tensor->count; from += DRAWN / each) {
        size_t n = tensor->count - from < DRAWN / each ? tensor->count - from : DRAWN / each;
        struct philox4 draw = {{0}};
        for (size_t i = 0; i < n; i++) {
            if (i % 4 == 0)
                draw = philox_draw(0, STREAM_DIFFUSION_WEIGHTS, (uint64_t)index, (from + i) / 4);
            float x = middle + scale * (float)(2 * philox_uniform(draw.v[i % 4]) - 1);
            uint16_t half = bf16_round(x);
            memcpy(buffer + each * i, type == TENSOR_F32 ? (void *)&x : (void *)&half, each);
        }
        TRY(spill_write(&arch->weights, buffer, each * n));
    }
    return OK;
}

static int arch_draw_all(struct model_arch *arch, size_t bytes)
{
    const char *temporary = getenv("TMPDIR");
    size_t at = 0;
    int code = spill_open(&arch->weights, temporary && *temporary ? temporary : "/tmp", bytes);
    if (code < 0) return fail_within(code, "random weights");
    if (!spill_is_file(&arch->weights))
        return fail(ERR_IO, "no file of %s can be had in the folder for temporary files",
                    format_bytes((int64_t)bytes).text);
    for (int t = 0; t < arch->folder.dit.tensor_count; t++)
        TRY(arch_draw(arch, t));
    TRY(spill_end(&arch->weights));
    for (int t = 0; t < arch->folder.dit.tensor_count; t++) {
        arch->tensors[t].data = (const char *)arch->weights.data + at;
        at += arch->tensors[t].bytes;
    }
    return OK;
}

static int arch_list(struct model_arch *arch, enum tensor_type type, size_t *bytes)
{
    const struct s3dit_model *dit = &arch->folder.dit;
    arch->tensors = calloc((size_t)dit->tensor_count, sizeof *arch->tensors);
    arch->folder.weights = calloc((size_t)dit->tensor_count, sizeof *arch->folder.weights);
    if (!arch->tensors || !arch->folder.weights) return fail(ERR_SYSTEM, "out of memory");
    *bytes = 0;
    for (int t = 0; t < dit->tensor_count; t++) {
        arch->tensors[t] =
            (struct store_tensor){.name = dit->tensors[t].name,
                                  .type = type,
                                  .bytes = dit->tensors[t].count * tensor_type_bytes(type)};
        arch->folder.weights[t] = &arch->tensors[t];
        *bytes += arch->tensors[t].bytes;
    }
    return OK;
}

/* One class. */
static int arch_make_table(struct model_arch *arch)
{
    size_t width = (size_t)arch->folder.dit.config.text_dim;
    TRY(text_table_of_labels(&arch->folder.text, 1, NULL));
    size_t count = (size_t)arch->folder.text.rows * width;
    arch->rows = malloc(count * sizeof *arch->rows);
    if (!arch->rows) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        arch->rows[i] =
            (float)(2 * philox_uniform(philox_draw(1, STREAM_DIFFUSION_WEIGHTS, 0, i).v[0]) - 1);
    arch->table = (struct store_tensor){.name = "embed_tokens.weight",
                                        .type = TENSOR_F32,
                                        .dims = 2,
                                        .shape = {arch->folder.text.rows, (int64_t)width},
                                        .data = arch->rows,
                                        .bytes = count * sizeof *arch->rows};
    arch->folder.table = &arch->table;
    return OK;
}

int model_arch_open(struct model_arch *arch, const char *name, bool with_weights)
{
    const struct arch *known = arch_find(name);
    size_t bytes = 0;
    *arch = (struct model_arch){.weights = {.fd = -1}};
    if (!known) return fail(ERR_USAGE, "--arch %s is none of " MODEL_ARCH_NAMES, name);
    arch->folder.path = strdup(name);
    if (!arch->folder.path) return fail(ERR_SYSTEM, "out of memory");
    arch->folder.schedule = sigma_schedule_of_shift(known->shift);
    arch->folder.defaults.steps = STEPS;
    TRY(s3dit_model_create(&arch->folder.dit, &known->config));
    TRY(arch_list(arch, known->type, &bytes));
    TRY(arch_make_table(arch));
    return with_weights ? arch_draw_all(arch, bytes) : OK;
}

void model_arch_close(struct model_arch *arch)
{
    model_folder_close(&arch->folder);
    free(arch->tensors);
    free(arch->rows);
    spill_free(&arch->weights);
    *arch = (struct model_arch){.weights = {.fd = -1}};
}
