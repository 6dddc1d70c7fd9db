/* Images of diffusion models over HTTP: as `imgtrain generate` makes them. */
#include "base/error.h"
#include "cmd/generate/generate_request.h"
#include "cmd/serve/serve_models.h"
#include "device/token_ops.h"
#include "diffusion/diffusion.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct served_diffusion {
    struct generate_job job; /* its model stays, all else is of the present request */
    struct generate_options options;
    struct pipeline *pipeline; /* NULL: closed */
};

static int serve_diffusion_load(struct serve_model *model)
{
    if (model->state) return OK;
    struct served_diffusion *served = calloc(1, sizeof *served);
    if (!served) return fail(ERR_SYSTEM, "out of memory");
    int code = generate_open_model(&served->job, model->path);
    if (code == OK) {
        model->state = served;
        return OK;
    }
    generate_job_free(&served->job);
    free(served);
    return code;
}

static void serve_diffusion_close_pipeline(struct served_diffusion *served)
{
    pipeline_close(served->pipeline);
    served->pipeline = NULL;
}

/* Of a model of classes a prompt is the class's name; none, or an empty one, is any. */
static void serve_diffusion_condition(struct generate_options *o, const struct generate_job *job,
                                      const struct serve_ask *ask)
{
    bool has_prompt = ask->prompt && *ask->prompt;
    o->label = ask->label;
    if (!tokenizer_has_labels(job->model.reader.tokens))
        o->prompt = ask->prompt;
    else if (!o->label)
        o->label = has_prompt ? ask->prompt : "none";
    o->negative = ask->negative;
    o->prompt_is_text = o->negative_is_text = true; /* they name no file */
}

/* Of a network that was trained with guidance. */
static void serve_diffusion_ignore(const struct generate_job *job, struct generate_options *o,
                                   struct serve_ask *ask)
{
    enum denoiser_guidance guidance = job->model.network.guidance;
    if (guidance != DENOISER_GUIDED_BY_TEXT && o->negative) {
        serve_ask_ignore(ask, "negative_prompt");
        o->negative = NULL;
    }
    if (guidance == DENOISER_UNGUIDED && o->guidance) {
        serve_ask_ignore(ask, "guidance");
        o->guidance = NULL;
    }
}

static int serve_diffusion_prepare(struct serve_model *model, struct serve_job *job, int *whole)
{
    TRY(serve_diffusion_load(model));
    struct served_diffusion *served = model->state;
    const struct serve_ask *ask = &job->ask;
    char seed[24];
    *whole = 1;
    if (ask->columns) return fail(ERR_USAGE, "grid: of a GAN only");
    TRY(serve_model_seed(job));
    snprintf(seed, sizeof seed, "%" PRIu64, ask->seed);
    struct generate_options *o = &served->options;
    *o =
        (struct generate_options){.model = model->name,
                                  .steps = ask->steps,
                                  .guidance = ask->guidance,
                                  .size = ask->size && strcmp(ask->size, "auto") ? ask->size : NULL,
                                  .seed = seed,
                                  .count = ask->n,
                                  .at_once = 1,
                                  .text_cache = "none", /* others' prompts fill no disk */
                                  .memory_limit = model->all->memory_limit};
    serve_diffusion_condition(o, &served->job, ask);
    serve_diffusion_ignore(&served->job, o, &job->ask);
    generate_job_reset(&served->job);
    TRY(generate_resolve_request(&served->job, o));
    o->seed = NULL; /* it has been read */
    const struct pipeline_request *r = &served->job.request;
    return serve_model_check_pixels(model, r->width, r->height, ask->n);
}

static int serve_diffusion_add(const struct served_diffusion *served, struct serve_job *job,
                               uint64_t seed, const float *pixels)
{
    const struct pipeline_request *r = &served->job.request;
    struct image picture = {0};
    uint8_t *png;
    size_t bytes;
    TRY(generate_to_picture(pixels, model_image_channels(&served->job.model), r->width, r->height,
                            &picture));
    int code = generate_encode_png(&served->job, &served->options, seed, &picture, &png, &bytes);
    if (code == OK) serve_job_add_image(job, png, bytes, seed);
    image_free(&picture);
    return code;
}

static int serve_diffusion_make(const struct serve_model *model, struct serve_job *job,
                                float *pixels)
{
    struct served_diffusion *served = model->state;
    const struct pipeline_watch watch = {.stop_requested = model->all->late};
    for (int i = 0; i < served->job.seeds.count; i++) {
        uint64_t seed = served->job.seeds.seeds[i];
        TRY(serve_model_check_time(model));
        TRY(pipeline_run(served->pipeline, &seed, 1, &pixels, &watch));
        TRY(serve_diffusion_add(served, job, seed, pixels));
    }
    return OK;
}

static int serve_diffusion_work(const struct serve_model *model, struct device *device,
                                struct serve_job *job)
{
    struct served_diffusion *served = model->state;
    const struct pipeline_request *r = &served->job.request;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    TRY(token_check_device(device));
    generate_settle_weights(&served->job, device);
    if (!served->pipeline)
        TRY(pipeline_open(&served->pipeline, &served->job.model, device, &served->job.placement,
                          served->job.weights));
    TRY(pipeline_prepare(served->pipeline, r, sigmas, &first));
    size_t floats = (size_t)model_image_channels(&served->job.model) * (size_t)r->width;
    float *pixels = malloc(floats * (size_t)r->height * sizeof *pixels);
    if (!pixels) return fail(ERR_SYSTEM, "out of memory");
    int code = serve_diffusion_make(model, job, pixels);
    free(pixels);
    return code;
}

static int serve_diffusion_run(struct serve_model *model, struct device *device, int at_once,
                               struct serve_job *const *jobs, int count)
{
    (void)at_once;
    (void)count;
    int code = serve_diffusion_work(model, device, jobs[0]);
    if (code < 0) serve_diffusion_close_pipeline(model->state);
    return code;
}

static void serve_diffusion_unload(struct serve_model *model)
{
    struct served_diffusion *served = model->state;
    if (!served) return;
    serve_diffusion_close_pipeline(served);
    generate_job_free(&served->job);
    free(served);
    model->state = NULL;
}

const struct serve_kind serve_kind_diffusion = {.task = &task_diffusion,
                                                .endpoints =
                                                    1u << SERVE_GENERATIONS | 1u << SERVE_SAMPLE,
                                                .unit = "images",
                                                .least = 1,
                                                .prepare = serve_diffusion_prepare,
                                                .run = serve_diffusion_run,
                                                .unload = serve_diffusion_unload};
