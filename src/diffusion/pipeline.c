#include "diffusion/pipeline.h"

#include "base/error.h"
#include "device/device.h"
#include "diffusion/placed_dit.h"
#include "memory/plan.h"
#include "store/tensor_range.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Samples of a forward pass: with guidance each image stands in it twice, so that weights pass
 * through the device once a step. */
struct pipeline {
    const struct model_folder *model;
    struct device *device;
    struct placement *placement;
    struct placed_dit denoiser;
    struct pipeline_request request;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;

    /* the stage `denoise` */
    struct placement_stage stage;
    struct s3dit_size size;
    float *image, *out, *time, *text; /* of the device */

    /* of the host, for `at_once` images */
    float *pixels; /* as the network has them: [samples][height][width][channels] */
    float *features, *rows;
    float *velocity, *without; /* of one image; without: guided ones alone */
    float **noise;             /* [at_once] images */
    int *lengths;
};

/* ---- the stage ---- */

static bool is_guided(const struct pipeline_request *request)
{
    return request->guidance > 0.0;
}

static size_t image_floats(const struct pipeline *p)
{
    return (size_t)p->model->dit.config.channels * (size_t)p->request.height *
           (size_t)p->request.width;
}

static int pipeline_declare_inputs(void *context, struct plan *plan)
{
    struct pipeline *p = context;
    size_t n = (size_t)p->size.samples, image = n * image_floats(p) * sizeof(float);
    size_t time = n * S3DIT_TIME_FEATURES * sizeof(float);
    size_t text = n * (size_t)p->size.text_rows * (size_t)p->model->dit.config.text_dim;
    TRY(plan_declare(plan, "x", PLAN_DATA, image, PLAN_ALWAYS, (void **)&p->image));
    TRY(plan_declare(plan, "out", PLAN_DATA, image, PLAN_ALWAYS, (void **)&p->out));
    TRY(plan_declare(plan, "time", PLAN_DATA, time, PLAN_ALWAYS, (void **)&p->time));
    return plan_declare(plan, "text", PLAN_DATA, text * sizeof(float), PLAN_ALWAYS,
                        (void **)&p->text);
}

static int larger_count(int a, int b)
{
    return a > b ? a : b;
}

static void set_stage(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    bool guided = is_guided(r);
    int rows = guided ? larger_count(r->row_count, r->without_count) : r->row_count;
    p->size = (struct s3dit_size){.samples = guided ? 2 * r->at_once : r->at_once,
                                  .height = r->height,
                                  .width = r->width,
                                  .text_rows = rows,
                                  .mixed_text = guided && s3dit_padded(r->row_count) !=
                                                              s3dit_padded(r->without_count),
                                  .chunk = 1};
    p->stage =
        placed_dit_stage(&p->denoiser, &p->size, r->steps - p->first, pipeline_declare_inputs, p);
}

/* ---- set-up ---- */

int pipeline_open(struct pipeline **out, const struct model_folder *model, struct device *device,
                  const struct placement_options *options, enum pipeline_weights weights)
{
    struct pipeline *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return fail(ERR_SYSTEM, "out of memory");
    p->model = model;
    p->device = device;
    int code = placement_open(&p->placement, device, options);
    if (code == OK) {
        const struct placed_dit_setup setup = {.model = &model->dit,
                                               .weights = model->weights,
                                               .half = weights == PIPELINE_BF16,
                                               .key = model->path,
                                               .read = model->denoiser ? model_read_weight : NULL,
                                               .read_context = model};
        code = placed_dit_open(&p->denoiser, p->placement, device, &setup);
    }
    if (code < 0) {
        pipeline_close(p);
        return code;
    }
    *out = p;
    return OK;
}

static void free_host(struct pipeline *p)
{
    for (int i = 0; p->noise && i < p->request.at_once; i++)
        free(p->noise[i]);
    free(p->noise);
    free(p->pixels);
    free(p->features);
    free(p->rows);
    free(p->velocity);
    free(p->without);
    free(p->lengths);
    p->noise = NULL;
    p->pixels = p->features = p->rows = p->velocity = p->without = NULL;
    p->lengths = NULL;
}

void pipeline_close(struct pipeline *p)
{
    if (!p) return;
    placement_close(p->placement);
    placed_dit_close(&p->denoiser);
    free_host(p);
    free(p);
}

int pipeline_size_step(const struct s3dit_config *dit)
{
    return noise_side_step(dit->patch, dit->channels);
}

int pipeline_prepare(struct pipeline *p, const struct pipeline_request *request, float *sigmas,
                     int *first)
{
    const struct s3dit_config *dit = &p->model->dit.config;
    enum placement_way way;
    free_host(p);
    p->request = *request;
    p->first = 0;
    TRY(s3dit_check_size(dit, request->height, request->width, request->row_count));
    if (is_guided(request))
        TRY(s3dit_check_size(dit, request->height, request->width, request->without_count));
    if (image_floats(p) % NOISE_BLOCK != 0)
        return fail(ERR_USAGE,
                    "%dx%d: noise is drawn in blocks of %d numbers; sides of a multiple "
                    "of %d always do",
                    request->width, request->height, NOISE_BLOCK, pipeline_size_step(dit));
    int64_t tokens = (int64_t)(request->height / dit->patch) * (request->width / dit->patch);
    TRY(sigmas_make(p->sigmas, &p->model->schedule, request->steps, tokens));
    if (request->init) TRY(sigmas_first_step(&p->first, request->steps, request->strength));
    memcpy(sigmas, p->sigmas, ((size_t)request->steps + 1) * sizeof *sigmas);
    *first = p->first;
    set_stage(p);
    return placement_choose(p->placement, &p->stage, 1, &way);
}

const struct placement *pipeline_placement(const struct pipeline *p)
{
    return p->placement;
}

const struct placement_stage *pipeline_stages(const struct pipeline *p, int *count)
{
    *count = 1;
    return &p->stage;
}

static int allocate_host(struct pipeline *p)
{
    size_t samples = (size_t)p->size.samples, floats = image_floats(p);
    size_t text = (size_t)p->size.text_rows * (size_t)p->model->dit.config.text_dim;
    if (p->pixels) return OK;
    p->pixels = malloc(samples * floats * sizeof(float));
    p->features = malloc(samples * S3DIT_TIME_FEATURES * sizeof(float));
    p->rows = calloc(samples * text, sizeof(float));
    p->velocity = malloc(floats * sizeof(float));
    if (is_guided(&p->request)) p->without = malloc(floats * sizeof(float));
    p->lengths = malloc(samples * sizeof *p->lengths);
    p->noise = calloc((size_t)p->request.at_once, sizeof *p->noise);
    bool whole = p->pixels && p->features && p->rows && p->velocity && p->lengths && p->noise &&
                 (p->without || !is_guided(&p->request));
    for (int i = 0; whole && i < p->request.at_once; i++)
        whole = (p->noise[i] = malloc(floats * sizeof(float))) != NULL;
    if (whole) return OK;
    free_host(p);
    return fail(ERR_SYSTEM, "out of memory");
}

/* ---- a step ---- */

/* [channels][pixels] to [pixels][channels]. */
static void pipeline_interleave(const struct pipeline *p, const float *image, float *pixels)
{
    size_t channels = (size_t)p->model->dit.config.channels, count = image_floats(p) / channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            pixels[i * channels + c] = image[c * count + i];
}

/* Back, negated: what the network says is image minus noise. */
static void velocity_of(const struct pipeline *p, const float *pixels, float *velocity)
{
    size_t channels = (size_t)p->model->dit.config.channels, count = image_floats(p) / channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            velocity[c * count + i] = -pixels[i * channels + c];
}

static void gather_text(const struct pipeline *p, const int *rows, int count, float *to)
{
    for (int k = 0; k < count; k++)
        model_text_row(p->model, rows[k], to + (size_t)k * (size_t)p->model->dit.config.text_dim);
}

/* Captions of all samples: prompts first, then those that guidance leads away from. */
static int send_text(struct pipeline *p, int n)
{
    const struct pipeline_request *r = &p->request;
    size_t one = (size_t)p->size.text_rows * (size_t)p->model->dit.config.text_dim;
    int samples = is_guided(r) ? 2 * n : n;
    memset(p->rows, 0, (size_t)samples * one * sizeof(float));
    for (int i = 0; i < samples; i++) {
        bool without = i >= n;
        p->lengths[i] = without ? r->without_count : r->row_count;
        gather_text(p, without ? r->without : r->rows, p->lengths[i], p->rows + (size_t)i * one);
    }
    return device_send(p->device, p->text, p->rows, (size_t)samples * one * sizeof(float));
}

/* p->pixels becomes what the network says to n images at level `sigma`, each of `samples`. */
static int pipeline_predict(struct pipeline *p, float *const *images, int n, float sigma,
                            const struct pipeline_watch *watch)
{
    const struct s3dit_source source = placed_dit_source(&p->denoiser);
    int samples = is_guided(&p->request) ? 2 * n : n;
    size_t floats = image_floats(p), bytes = (size_t)samples * floats * sizeof(float);
    float s = sigmas_model_time(sigma);
    for (int i = 0; i < samples; i++) {
        pipeline_interleave(p, images[i % n], p->pixels + (size_t)i * floats);
        s3dit_time_features(&p->model->dit.config, &s, 1,
                            p->features + (size_t)i * S3DIT_TIME_FEATURES);
    }
    TRY(device_send(p->device, p->image, p->pixels, bytes));
    TRY(device_send(p->device, p->time, p->features,
                    (size_t)samples * S3DIT_TIME_FEATURES * sizeof(float)));
    const struct s3dit_batch batch = {.samples = samples,
                                      .image = p->image,
                                      .time = p->time,
                                      .text = p->text,
                                      .lengths = p->lengths,
                                      .stop_requested = watch->stop_requested};
    TRY(s3dit_forward(&p->denoiser.dit, &source, &batch, p->out));
    return device_fetch(p->device, p->pixels, p->out, bytes);
}

static void pipeline_advance(struct pipeline *p, int n, int i, float *image, int step)
{
    const struct pipeline_request *r = &p->request;
    size_t floats = image_floats(p), channels = (size_t)p->model->dit.config.channels;
    float sigma = p->sigmas[step], next = p->sigmas[step + 1];
    velocity_of(p, p->pixels + (size_t)i * floats, p->velocity);
    if (is_guided(r)) {
        velocity_of(p, p->pixels + (size_t)(n + i) * floats, p->without);
        sigmas_guide(p->velocity, p->without, floats, r->guidance);
    }
    sigmas_step(image, p->velocity, floats, sigma, next);
    if (r->mask)
        sigmas_keep_image(image, r->init, p->noise[i], r->mask, (int)channels, floats / channels,
                          next);
}

/* ---- all steps ---- */

static int tell_image(const struct pipeline *p, const struct pipeline_watch *watch, int index,
                      const char *name, const float *image)
{
    const int64_t shape[3] = {p->model->dit.config.channels, p->request.height, p->request.width};
    return watch->tensor ? watch->tensor(watch->context, index, name, 3, shape, image) : OK;
}

/* Which weights are to blame for an image that is not finite. */
static int fail_nonfinite(const struct pipeline *p, int step)
{
    for (int t = 0; t < p->model->dit.tensor_count; t++) {
        const struct store_tensor *tensor = p->model->weights[t];
        if (tensor_range(tensor).nonfinite > 0)
            return fail(ERR_DATA,
                        "%s: denoise, step %d: no number comes out: tensor %s (block %s) "
                        "holds a NaN or an infinity",
                        p->model->path, step + 1, tensor->name,
                        p->denoiser.names[p->model->dit.tensors[t].block]);
    }
    if (tensor_range(p->model->table).nonfinite > 0)
        return fail(ERR_DATA, "%s: the text encoder's table holds a NaN or an infinity",
                    p->model->path);
    return fail(ERR_DATA,
                "%s: denoise, step %d: no number comes out, though all weights are finite",
                p->model->path, step + 1);
}

static int check_finite(const struct pipeline *p, const float *image, int step)
{
    size_t floats = image_floats(p);
    for (size_t i = 0; i < floats; i++)
        if (!isfinite(image[i])) return fail_nonfinite(p, step);
    return OK;
}

static int begin_images(struct pipeline *p, const uint64_t *seeds, int n, float *const *images,
                        const struct pipeline_watch *watch)
{
    const struct pipeline_request *r = &p->request;
    size_t floats = image_floats(p);
    for (int i = 0; i < n; i++) {
        struct noise_stream stream;
        noise_open(&stream, r->noise, seeds[i]);
        TRY(noise_draw(&stream, p->noise[i], floats));
        TRY(tell_image(p, watch, i, "noise", p->noise[i]));
        if (r->init) {
            TRY(tell_image(p, watch, i, "z0", r->init));
            sigmas_add_noise(images[i], r->init, p->noise[i], floats, p->sigmas[p->first]);
        } else {
            memcpy(images[i], p->noise[i], floats * sizeof(float));
        }
    }
    return OK;
}

static int pipeline_run_steps(struct pipeline *p, int n, float *const *images,
                              const struct pipeline_watch *watch)
{
    char name[32];
    int total = p->request.steps - p->first;
    for (int step = p->first; step < p->request.steps; step++) {
        TRY(pipeline_predict(p, images, n, p->sigmas[step], watch));
        snprintf(name, sizeof name, "step-%03d", step + 1);
        for (int i = 0; i < n; i++) {
            pipeline_advance(p, n, i, images[i], step);
            TRY(check_finite(p, images[i], step));
            TRY(tell_image(p, watch, i, name, images[i]));
        }
        if (watch->step) watch->step(watch->context, step - p->first + 1, total);
    }
    return OK;
}

int pipeline_run(struct pipeline *p, const uint64_t *seeds, int n, float *const *images,
                 const struct pipeline_watch *watch)
{
    TRY(allocate_host(p));
    TRY(begin_images(p, seeds, n, images, watch));
    TRY(placed_dit_begin(&p->denoiser, &p->stage));
    int code = send_text(p, n);
    if (code == OK) code = pipeline_run_steps(p, n, images, watch);
    if (code == OK) return placement_end(p->placement);
    /* The first fault is what counts: ending the stage may leave another message. */
    char said[512];
    snprintf(said, sizeof said, "%s", error_message());
    placement_end(p->placement);
    return fail(code, "%s", said);
}
