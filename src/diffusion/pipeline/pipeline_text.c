/* The pipeline's text encoders: prompts become what the denoiser reads, out of a table, out of a
 * cache of earlier calls, or by a stage of each encoder, which is over before the denoiser comes.
 */
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "diffusion/pipeline/pipeline_internal.h"
#include "diffusion/text_encoder/feature_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reader_has_layers(const struct pipeline_reader *reader)
{
    return reader->encoder->layers.network != NULL;
}

/* Numbers of a row that goes in, and of one that comes out. */
static int reader_width(const struct pipeline_reader *reader)
{
    return (int)reader->encoder->table->shape[1];
}

static size_t prompt_floats_in(const struct pipeline_reader *reader,
                               const struct pipeline_prompt *prompt)
{
    return (size_t)prompt->count * (size_t)reader_width(reader);
}

static int prompt_rows_out(const struct pipeline_reader *reader,
                           const struct pipeline_prompt *prompt)
{
    if (prompt->count == 0) return 0;
    return reader_has_layers(reader) && reader->encoder->layers.network->pools ? 1 : prompt->count;
}

static size_t prompt_floats_out(const struct pipeline_reader *reader,
                                const struct pipeline_prompt *prompt)
{
    return (size_t)prompt_rows_out(reader, prompt) * (size_t)reader_width(reader);
}

/* ---- set-up ---- */

static int reader_open(struct pipeline *p, struct pipeline_reader *reader,
                       const struct model_encoder *encoder, const char *name, const char *stage)
{
    const struct placed_setup setup = {.name = name,
                                       .weights = encoder->weights,
                                       .matrices = p->weights,
                                       .bf16 = p->bf16,
                                       .key = p->model->path,
                                       .shards = encoder->shards};
    reader->encoder = encoder;
    reader->stage_name = stage;
    reader->stage = -1;
    if (!reader_has_layers(reader)) return OK;
    return placed_text_open(&reader->placed, p->placement, p->device, &encoder->layers, &setup);
}

/* Names of components are those of the folder. */
int pipeline_open_text(struct pipeline *p)
{
    const struct model_folder *model = p->model;
    bool has_both = model->pooled.layers.network != NULL;
    TRY(reader_open(p, &p->readers[READER_POOLED], &model->pooled, "text_encoder", "clip"));
    return reader_open(p, &p->readers[READER_ROWS], &model->reader,
                       has_both ? "text_encoder_2" : "text_encoder", "text");
}

static void prompt_forget(struct pipeline_prompt *prompt)
{
    free(prompt->features);
    *prompt = (struct pipeline_prompt){.count = 0};
}

void pipeline_close_text(struct pipeline *p)
{
    for (int r = 0; r < PIPELINE_READERS; r++) {
        placed_text_close(&p->readers[r].placed);
        for (int i = 0; i < PIPELINE_PROMPTS; i++)
            prompt_forget(&p->readers[r].prompts[i]);
    }
    free(p->text_cache);
}

/* ---- the cache ---- */

/* What it lies under depends on what computes it, whose roundings differ. */
struct text_how {
    char text[sizeof((struct device *)0)->identity + 64];
};

static struct text_how text_how_of(const struct pipeline *p)
{
    struct text_how how;
    const char *kind = strrchr(p->device->name, ' '); /* of a CPU its instructions */
    bool as_stored = p->weights == PIPELINE_AS_STORED || p->weights == PIPELINE_AUTO;
    snprintf(how.text, sizeof how.text, "%s%s %s %s%s", p->device->token->name, kind ? kind : "",
             p->device->identity, as_stored ? "as stored" : pipeline_weights_name(p->weights),
             p->bf16 ? ", products of bf16" : ""); /* not all CPUs of this name have them */
    return how;
}

static struct feature_key key_of(const struct pipeline_reader *reader,
                                 const struct pipeline_prompt *prompt, const struct text_how *how)
{
    return (struct feature_key){.encoder = prompt->encoder,
                                .how = how->text,
                                .ids = prompt->ids,
                                .count = prompt->count,
                                .rows = prompt_rows_out(reader, prompt),
                                .width = reader_width(reader)};
}

/* ---- what goes in ---- */

/* Adds row k of the encoder's positions to each of `count` rows. */
static int reader_add_positions(const struct pipeline *p, const struct pipeline_reader *reader,
                                int count, float *rows)
{
    int width = reader_width(reader);
    float *position = malloc((size_t)width * sizeof *position);
    int code = position ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int k = 0; k < count && code == OK; k++, rows += width) {
        code = model_tensor_row(p->model, reader->encoder->more, k, position);
        for (int c = 0; c < width && code == OK; c++)
            rows[c] += position[c];
    }
    free(position);
    return code;
}

static int reader_gather(const struct pipeline *p, const struct pipeline_reader *reader,
                         const struct pipeline_prompt *prompt, float *rows)
{
    for (int k = 0; k < prompt->count; k++)
        TRY(model_tensor_row(p->model, reader->encoder->table, prompt->ids[k],
                             rows + (size_t)k * (size_t)reader_width(reader)));
    if (!reader_has_layers(reader) || !reader->encoder->layers.network->has_positions) return OK;
    return reader_add_positions(p, reader, prompt->count, rows);
}

/* The numbers that an encoder reads beside its blocks (text_pass_connect), owned; NULL: none. */
static int reader_read_table(const struct pipeline *p, const struct pipeline_reader *reader,
                             float **table)
{
    const struct store_tensor *more = reader->encoder->more;
    *table = NULL;
    if (!more || reader->encoder->layers.network->has_positions) return OK;
    *table = malloc((size_t)(more->shape[0] * more->shape[1]) * sizeof **table);
    if (!*table) return fail(ERR_SYSTEM, "out of memory");
    for (int row = 0; row < more->shape[0]; row++)
        TRY(model_tensor_row(p->model, more, row, *table + row * more->shape[1]));
    return OK;
}

/* ---- a request's prompts ---- */

static int text_check_finite(const struct pipeline *p, const struct pipeline_reader *reader,
                             const float *features, size_t count)
{
    const struct model_encoder *encoder = reader->encoder;
    const struct store_tensor *others[] = {encoder->table, encoder->more};
    if (pipeline_is_finite(features, count)) return OK;
    int t = reader_has_layers(reader)
                ? pipeline_broken_tensor(encoder->weights, encoder->layers.list->tensor_count)
                : -1;
    if (t >= 0) return pipeline_fail_nonfinite(p, reader->stage_name, encoder->weights[t]->name);
    t = pipeline_broken_tensor(others, encoder->more ? 2 : 1);
    return pipeline_fail_nonfinite(p, reader->stage_name, t >= 0 ? others[t]->name : NULL);
}

/* Features of the table or of the cache; else they stay NULL. */
static int prompt_look_up(struct pipeline *p, const struct pipeline_reader *reader,
                          struct pipeline_prompt *prompt)
{
    size_t in = prompt_floats_in(reader, prompt);
    if (reader_has_layers(reader) && !p->text_cache) return OK;
    prompt->features = malloc(in * sizeof *prompt->features);
    if (!prompt->features) return fail(ERR_SYSTEM, "out of memory");
    TRY(reader_gather(p, reader, prompt, prompt->features));
    if (!reader_has_layers(reader)) return text_check_finite(p, reader, prompt->features, in);
    prompt->encoder =
        hash_bytes(reader->encoder->checksum, prompt->features, in * sizeof *prompt->features);
    const struct text_how how = text_how_of(p);
    const struct feature_key key = key_of(reader, prompt, &how);
    if (feature_cache_find(p->text_cache, &key, prompt->features)) return OK;
    free(prompt->features);
    prompt->features = NULL;
    return OK;
}

static int prompt_set(struct pipeline *p, const struct pipeline_reader *reader,
                      struct pipeline_prompt *prompt, const int *ids, int count)
{
    size_t bytes = (size_t)count * sizeof *ids;
    if (prompt->features && prompt->count == count && memcmp(prompt->ids, ids, bytes) == 0)
        return OK;
    prompt_forget(prompt);
    if (count == 0) return OK;
    for (int i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= reader->encoder->table->shape[0])
            return fail(ERR_USAGE, "%s: token %d is no word of its text encoder", p->model->path,
                        ids[i]);
    memcpy(prompt->ids, ids, bytes);
    prompt->count = count;
    int code = prompt_look_up(p, reader, prompt);
    if (code < 0) prompt_forget(prompt); /* or the next request would find half-made features */
    return code;
}

int pipeline_prepare_text(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    struct pipeline_reader *rows = &p->readers[READER_ROWS], *pooled = &p->readers[READER_POOLED];
    bool guided = pipeline_is_guided(p);
    if (reader_has_layers(rows)) TRY(token_check_device(p->device));
    free(p->text_cache);
    p->text_cache = r->text_cache ? string_format("%s", r->text_cache) : NULL;
    if (r->text_cache && !p->text_cache) return ERR_SYSTEM;
    TRY(prompt_set(p, rows, &rows->prompts[PROMPT_WITH], r->rows, r->row_count));
    TRY(prompt_set(p, rows, &rows->prompts[PROMPT_WITHOUT], r->without,
                   guided ? r->without_count : 0));
    if (!reader_has_layers(pooled)) return OK;
    return prompt_set(p, pooled, &pooled->prompts[PROMPT_WITH], r->pooled_rows, r->pooled_count);
}

static bool prompt_is_missing(const struct pipeline_prompt *prompt)
{
    return prompt->count > 0 && !prompt->features;
}

void pipeline_add_text_stages(struct pipeline *p)
{
    for (int r = 0; r < PIPELINE_READERS; r++) {
        struct pipeline_reader *reader = &p->readers[r];
        struct text_size size = {.prompts = 0};
        reader->stage = -1;
        if (!reader_has_layers(reader)) continue;
        for (int i = 0; i < PIPELINE_PROMPTS; i++)
            if (prompt_is_missing(&reader->prompts[i]))
                size.lengths[size.prompts++] = reader->prompts[i].count;
        if (size.prompts > 0)
            *pipeline_add_stage(p, &reader->stage) =
                placed_text_stage(&reader->placed, reader->stage_name, &size);
    }
}

/* ---- at work ---- */

static int reader_run(struct pipeline *p, struct pipeline_reader *reader, float *rows,
                      const struct pipeline_watch *watch)
{
    float *table;
    int code = reader_read_table(p, reader, &table);
    if (code == OK) code = placement_begin(p->placement, &p->stages[reader->stage]);
    if (code == OK) {
        code = placed_text_run(&reader->placed, table, rows, watch->stop_requested);
        code = pipeline_end_stage(p, code);
    }
    free(table);
    return code;
}

static int prompt_take(struct pipeline *p, const struct pipeline_reader *reader,
                       struct pipeline_prompt *prompt, const float *rows)
{
    const struct text_how how = text_how_of(p);
    const struct feature_key key = key_of(reader, prompt, &how);
    size_t floats = prompt_floats_out(reader, prompt);
    TRY(text_check_finite(p, reader, rows, floats));
    prompt->features = malloc(floats * sizeof *rows);
    if (!prompt->features) return fail(ERR_SYSTEM, "out of memory");
    memcpy(prompt->features, rows, floats * sizeof *rows);
    if (p->text_cache) feature_cache_keep(p->text_cache, &key, prompt->features);
    return OK;
}

static int reader_encode_missing(struct pipeline *p, struct pipeline_reader *reader, float *rows,
                                 const struct pipeline_watch *watch)
{
    size_t at = 0;
    for (int i = 0; i < PIPELINE_PROMPTS; i++) {
        if (!prompt_is_missing(&reader->prompts[i])) continue;
        TRY(reader_gather(p, reader, &reader->prompts[i], rows + at));
        at += prompt_floats_in(reader, &reader->prompts[i]);
    }
    if (at == 0) return OK;
    TRY(reader_run(p, reader, rows, watch));
    for (int i = 0; i < PIPELINE_PROMPTS; i++) {
        if (!prompt_is_missing(&reader->prompts[i])) continue;
        TRY(prompt_take(p, reader, &reader->prompts[i], rows));
        rows += prompt_floats_out(reader, &reader->prompts[i]);
    }
    return OK;
}

static int reader_encode(struct pipeline *p, struct pipeline_reader *reader,
                         const struct pipeline_watch *watch)
{
    size_t floats = 0;
    if (!reader_has_layers(reader)) return OK;
    for (int i = 0; i < PIPELINE_PROMPTS; i++)
        floats += prompt_floats_in(reader, &reader->prompts[i]);
    float *rows = malloc((floats + 1) * sizeof *rows);
    if (!rows) return fail(ERR_SYSTEM, "out of memory");
    int code = reader_encode_missing(p, reader, rows, watch);
    free(rows);
    return code;
}

int pipeline_encode_text(struct pipeline *p, const struct pipeline_watch *watch)
{
    for (int r = 0; r < PIPELINE_READERS; r++)
        TRY(reader_encode(p, &p->readers[r], watch));
    return OK;
}

const float *pipeline_features(const struct pipeline *p)
{
    return p->readers[READER_ROWS].prompts[PROMPT_WITH].features;
}

const float *pipeline_pooled(const struct pipeline *p)
{
    return p->readers[READER_POOLED].prompts[PROMPT_WITH].features;
}
