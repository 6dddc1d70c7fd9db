/* The pipeline's text encoder: prompts become what the denoiser reads, out of a table, out of a
 * cache of earlier calls, or by a stage of their own, which is over before the denoiser comes. */
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "diffusion/pipeline/pipeline_internal.h"
#include "diffusion/text_encoder/feature_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_text_encoder(const struct pipeline *p)
{
    return p->model->reader.network != NULL;
}

static size_t prompt_floats(const struct pipeline *p, const struct pipeline_prompt *prompt)
{
    return (size_t)prompt->count * (size_t)p->model->network.text_dim;
}

/* ---- set-up ---- */

int pipeline_open_text(struct pipeline *p)
{
    const struct model_folder *model = p->model;
    const struct placed_setup setup = {.name = "text_encoder",
                                       .weights = model->text_weights,
                                       .half = p->weights == PIPELINE_BF16,
                                       .key = model->path,
                                       .shards = model->text_encoder};
    if (!has_text_encoder(p)) return OK;
    return placed_text_open(&p->text_encoder, p->placement, p->device, &model->reader, &setup);
}

static void prompt_forget(struct pipeline_prompt *prompt)
{
    free(prompt->features);
    *prompt = (struct pipeline_prompt){.count = 0};
}

void pipeline_close_text(struct pipeline *p)
{
    placed_text_close(&p->text_encoder);
    for (int i = 0; i < PIPELINE_PROMPTS; i++)
        prompt_forget(&p->prompts[i]);
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
    snprintf(how.text, sizeof how.text, "%s%s %s %s", p->device->token->name, kind ? kind : "",
             p->device->identity, p->weights == PIPELINE_BF16 ? "bf16" : "as stored");
    return how;
}

static struct feature_key key_of(const struct pipeline *p, const struct pipeline_prompt *prompt,
                                 const struct text_how *how)
{
    return (struct feature_key){.encoder = prompt->encoder,
                                .how = how->text,
                                .ids = prompt->ids,
                                .count = prompt->count,
                                .width = p->model->network.text_dim};
}

static int gather_rows(const struct pipeline *p, const struct pipeline_prompt *prompt, float *rows)
{
    for (int k = 0; k < prompt->count; k++)
        TRY(model_text_row(p->model, prompt->ids[k],
                           rows + (size_t)k * (size_t)p->model->network.text_dim));
    return OK;
}

/* ---- a request's prompts ---- */

static int text_check_finite(const struct pipeline *p, const float *features, size_t count)
{
    const struct model_folder *model = p->model;
    if (pipeline_is_finite(features, count)) return OK;
    int t = pipeline_broken_tensor(model->text_weights, model->reader.list->tensor_count);
    if (t >= 0) return pipeline_fail_nonfinite(p, "text", model->text_weights[t]->name);
    bool is_table = pipeline_broken_tensor(&model->table, 1) == 0;
    return pipeline_fail_nonfinite(p, "text", is_table ? model->table->name : NULL);
}

/* Features of the table or of the cache; else they stay NULL. */
static int prompt_look_up(struct pipeline *p, struct pipeline_prompt *prompt)
{
    size_t bytes = prompt_floats(p, prompt) * sizeof *prompt->features;
    if (has_text_encoder(p) && !p->text_cache) return OK;
    prompt->features = malloc(bytes);
    if (!prompt->features) return fail(ERR_SYSTEM, "out of memory");
    TRY(gather_rows(p, prompt, prompt->features));
    if (!has_text_encoder(p))
        return text_check_finite(p, prompt->features, prompt_floats(p, prompt));
    prompt->encoder = hash_bytes(p->model->text_checksum, prompt->features, bytes);
    const struct text_how how = text_how_of(p);
    const struct feature_key key = key_of(p, prompt, &how);
    if (feature_cache_find(p->text_cache, &key, prompt->features)) return OK;
    free(prompt->features);
    prompt->features = NULL;
    return OK;
}

static int prompt_set(struct pipeline *p, struct pipeline_prompt *prompt, const int *ids, int count)
{
    size_t bytes = (size_t)count * sizeof *ids;
    if (prompt->features && prompt->count == count && memcmp(prompt->ids, ids, bytes) == 0)
        return OK;
    prompt_forget(prompt);
    for (int i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= p->model->table->shape[0])
            return fail(ERR_USAGE, "%s: token %d is no word of its text encoder", p->model->path,
                        ids[i]);
    memcpy(prompt->ids, ids, bytes);
    prompt->count = count;
    int code = prompt_look_up(p, prompt);
    if (code < 0) prompt_forget(prompt); /* or the next request would find half-made features */
    return code;
}

int pipeline_prepare_text(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    if (has_text_encoder(p)) TRY(token_check_device(p->device));
    free(p->text_cache);
    p->text_cache = r->text_cache ? string_format("%s", r->text_cache) : NULL;
    if (r->text_cache && !p->text_cache) return ERR_SYSTEM;
    TRY(prompt_set(p, &p->prompts[PROMPT_WITH], r->rows, r->row_count));
    if (pipeline_is_guided(p))
        return prompt_set(p, &p->prompts[PROMPT_WITHOUT], r->without, r->without_count);
    prompt_forget(&p->prompts[PROMPT_WITHOUT]);
    return OK;
}

void pipeline_add_text_stage(struct pipeline *p)
{
    struct text_size size = {.prompts = 0};
    if (!has_text_encoder(p)) return;
    for (int i = 0; i < PIPELINE_PROMPTS; i++)
        if (p->prompts[i].count > 0 && !p->prompts[i].features)
            size.lengths[size.prompts++] = p->prompts[i].count;
    if (size.prompts > 0)
        *pipeline_add_stage(p, &p->text_stage) = placed_text_stage(&p->text_encoder, "text", &size);
}

/* ---- at work ---- */

static int text_encode_rows(struct pipeline *p, float *rows, size_t floats,
                            const struct pipeline_watch *watch)
{
    TRY(placement_begin(p->placement, &p->stages[p->text_stage]));
    int code = placed_text_run(&p->text_encoder, NULL, rows, watch->stop_requested);
    TRY(pipeline_end_stage(p, code));
    return text_check_finite(p, rows, floats);
}

static int prompt_take(struct pipeline *p, struct pipeline_prompt *prompt, const float *rows)
{
    const struct text_how how = text_how_of(p);
    const struct feature_key key = key_of(p, prompt, &how);
    size_t bytes = prompt_floats(p, prompt) * sizeof *rows;
    prompt->features = malloc(bytes);
    if (!prompt->features) return fail(ERR_SYSTEM, "out of memory");
    memcpy(prompt->features, rows, bytes);
    if (p->text_cache) feature_cache_keep(p->text_cache, &key, prompt->features);
    return OK;
}

static int text_encode_all(struct pipeline *p, float *rows, const struct pipeline_watch *watch)
{
    size_t at = 0, begin = 0;
    bool missing[PIPELINE_PROMPTS];
    for (int i = 0; i < PIPELINE_PROMPTS; i++) {
        const struct pipeline_prompt *prompt = &p->prompts[i];
        missing[i] = prompt->count > 0 && !prompt->features;
        if (!missing[i]) continue;
        TRY(gather_rows(p, prompt, rows + at));
        at += prompt_floats(p, prompt);
    }
    if (at == 0) return OK;
    TRY(text_encode_rows(p, rows, at, watch));
    for (int i = 0; i < PIPELINE_PROMPTS; i++) {
        if (!missing[i]) continue;
        TRY(prompt_take(p, &p->prompts[i], rows + begin));
        begin += prompt_floats(p, &p->prompts[i]);
    }
    return OK;
}

int pipeline_encode_text(struct pipeline *p, const struct pipeline_watch *watch)
{
    size_t floats = 0;
    for (int i = 0; i < PIPELINE_PROMPTS; i++)
        floats += prompt_floats(p, &p->prompts[i]);
    float *rows = malloc((floats + 1) * sizeof *rows);
    if (!rows) return fail(ERR_SYSTEM, "out of memory");
    int code = text_encode_all(p, rows, watch);
    free(rows);
    return code;
}

const float *pipeline_features(const struct pipeline *p)
{
    return p->prompts[PROMPT_WITH].features;
}
