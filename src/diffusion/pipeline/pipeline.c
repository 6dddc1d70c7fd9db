#include "base/error.h"
#include "device/device.h"
#include "diffusion/pipeline/pipeline_internal.h"
#include "memory/plan.h"
#include "store/tensor_range.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the stage ---- */

size_t pipeline_state_floats(const struct pipeline *p)
{
    return (size_t)p->model->network.channels * (size_t)p->size.height * (size_t)p->size.width;
}

int pipeline_declare_inputs(void *context, struct plan *plan)
{
    struct pipeline *p = context;
    size_t n = (size_t)p->size.samples, image = n * pipeline_state_floats(p) * sizeof(float);
    size_t time = n * (size_t)p->kind->time_features * sizeof(float);
    size_t text = n * (size_t)p->size.text_rows * (size_t)p->model->network.text_dim;
    TRY(plan_declare(plan, "x", PLAN_DATA, image, PLAN_ALWAYS, (void **)&p->image));
    TRY(plan_declare(plan, "out", PLAN_DATA, image, PLAN_ALWAYS, (void **)&p->out));
    TRY(plan_declare(plan, "time", PLAN_DATA, time, PLAN_ALWAYS, (void **)&p->time));
    return plan_declare(plan, "text", PLAN_DATA, text * sizeof(float), PLAN_ALWAYS,
                        (void **)&p->text);
}

struct placement_stage *pipeline_add_stage(struct pipeline *p, int *number)
{
    *number = p->stage_count++;
    return &p->stages[*number];
}

bool pipeline_request_is_guided(const struct pipeline_request *r)
{
    bool same = r->row_count == r->without_count &&
                memcmp(r->rows, r->without, (size_t)r->row_count * sizeof *r->rows) == 0;
    return r->guidance > 0.0 && !same;
}

static int larger_count(int a, int b)
{
    return a > b ? a : b;
}

static int set_stages(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    bool guided = pipeline_is_guided(p), has_vae = p->model->has_vae;
    int rows = guided ? larger_count(r->row_count, r->without_count) : r->row_count;
    p->size.samples = guided ? 2 * r->at_once : r->at_once;
    p->size.text_rows = rows;
    p->size.mixed_text = guided && !p->kind->same_text(r->row_count, r->without_count);
    p->stage_count = 0;
    p->encode_stage = p->decode_stage = -1;
    pipeline_add_text_stages(p);
    if (has_vae && r->init) TRY(pipeline_add_encode_stage(p));
    *pipeline_add_stage(p, &p->denoise_stage) = p->kind->stage(p, r->steps - p->first);
    return has_vae ? pipeline_add_decode_stage(p) : OK;
}

/* ---- set-up ---- */

static const struct denoise_kind *const pipeline_kinds[] = {
    [DENOISER_S3DIT] = &denoise_s3dit, [DENOISER_MMDIT] = &denoise_mmdit};

static bool stores_bf16(const struct store_tensor *const *weights, const struct block_list *list)
{
    for (int t = 0; weights && t < list->tensor_count; t++)
        if (list->tensors[t].is_matrix && weights[t]->type == TENSOR_BF16) return true;
    return false;
}

bool pipeline_has_bf16(enum pipeline_weights weights, const struct model_folder *model,
                       const struct device *device)
{
    if (!device->token || !device->token->bf16) return false;
    if (weights != PIPELINE_AUTO) return weights == PIPELINE_BF16;
    const struct model_encoder *const encoders[] = {&model->reader, &model->pooled};
    for (int i = 0; i < 2; i++)
        if (encoders[i]->layers.network &&
            stores_bf16(encoders[i]->weights, encoders[i]->layers.list))
            return true;
    return stores_bf16(model->weights, model->network.traits->list(model));
}

int pipeline_open(struct pipeline **out, const struct model_folder *model, struct device *device,
                  const struct placement_options *options, enum pipeline_weights weights)
{
    struct pipeline *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return fail(ERR_SYSTEM, "out of memory");
    p->model = model;
    p->device = device;
    p->weights = weights;
    p->bf16 = pipeline_has_bf16(weights, model, device);
    p->kind = pipeline_kinds[model->network.traits->kind];
    int code = placement_open(&p->placement, device, options);
    if (code == OK) code = p->kind->open(p);
    if (code == OK) code = pipeline_open_text(p);
    if (code == OK && model->has_vae) code = pipeline_open_vae(p);
    if (code < 0) {
        pipeline_close(p);
        return code;
    }
    *out = p;
    return OK;
}

static void free_host(struct pipeline *p)
{
    pipeline_free_vae(p);
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
    p->kind->close(p);
    placed_kl_close(&p->encoder);
    placed_kl_close(&p->decoder);
    pipeline_close_text(p);
    free_host(p);
    free(p->mask);
    free(p);
}

int pipeline_patch_side(const struct model_folder *model)
{
    return model->network.patch * model_scale(model);
}

int pipeline_size_step(const struct model_folder *model)
{
    const struct denoiser *network = &model->network;
    return noise_side_step(network->patch, network->channels) * model_scale(model);
}

bool pipeline_draws_whole(const struct model_folder *model, int width, int height)
{
    int scale = model_scale(model);
    return (int64_t)(width / scale) * (height / scale) * model->network.channels % NOISE_BLOCK == 0;
}

/* The size of states. */
static int set_size(struct pipeline *p)
{
    const struct pipeline_request *r = &p->request;
    const struct denoiser_traits *network = p->model->network.traits;
    int scale = model_scale(p->model), patch = pipeline_patch_side(p->model);
    if (scale > 1 && (r->width % patch != 0 || r->height % patch != 0))
        return fail(ERR_USAGE, "%dx%d: sides of a multiple of %d are taken", r->width, r->height,
                    patch);
    p->size = (struct denoise_size){.height = r->height / scale, .width = r->width / scale};
    TRY(network->check_size(p->model, p->size.height, p->size.width, r->row_count));
    if (pipeline_is_guided(p))
        TRY(network->check_size(p->model, p->size.height, p->size.width, r->without_count));
    if (pipeline_draws_whole(p->model, r->width, r->height)) return OK;
    return fail(ERR_USAGE,
                "%dx%d: noise is drawn in blocks of %d numbers; sides of a multiple "
                "of %d always do",
                r->width, r->height, NOISE_BLOCK, pipeline_size_step(p->model));
}

int pipeline_prepare(struct pipeline *p, const struct pipeline_request *request, float *sigmas,
                     int *first)
{
    int patch = p->model->network.patch;
    enum placement_way way;
    free_host(p);
    free(p->mask);
    p->mask = NULL;
    p->request = *request;
    p->first = 0;
    TRY(set_size(p));
    int64_t tokens = (int64_t)(p->size.height / patch) * (p->size.width / patch);
    TRY(sigmas_make(p->sigmas, &p->model->schedule, request->steps, tokens));
    if (request->init) TRY(sigmas_first_step(&p->first, request->steps, request->strength));
    memcpy(sigmas, p->sigmas, ((size_t)request->steps + 1) * sizeof *sigmas);
    *first = p->first;
    if (request->mask && p->model->has_vae) TRY(pipeline_shrink_mask(p));
    TRY(pipeline_prepare_text(p));
    TRY(set_stages(p));
    return placement_choose(p->placement, p->stages, p->stage_count, &way);
}

const struct placement *pipeline_placement(const struct pipeline *p)
{
    return p->placement;
}

const struct placement_stage *pipeline_stages(const struct pipeline *p, int *count)
{
    *count = p->stage_count;
    return p->stages;
}

static int allocate_host(struct pipeline *p)
{
    size_t samples = (size_t)p->size.samples, floats = pipeline_state_floats(p);
    size_t text = (size_t)p->size.text_rows * (size_t)p->model->network.text_dim;
    if (p->pixels) return OK; /* for this request */
    p->pixels = malloc(samples * floats * sizeof(float));
    p->features = malloc(samples * (size_t)p->kind->time_features * sizeof(float));
    p->rows = calloc(samples * text, sizeof(float));
    p->velocity = malloc(floats * sizeof(float));
    if (pipeline_is_guided(p)) p->without = malloc(floats * sizeof(float));
    p->lengths = malloc(samples * sizeof *p->lengths);
    p->noise = calloc((size_t)p->request.at_once, sizeof *p->noise);
    bool whole = p->pixels && p->features && p->rows && p->velocity && p->lengths && p->noise &&
                 (p->without || !pipeline_is_guided(p));
    for (int i = 0; whole && i < p->request.at_once; i++)
        whole = (p->noise[i] = malloc(floats * sizeof(float))) != NULL;
    int code = whole ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK && p->model->has_vae) code = pipeline_allocate_vae(p);
    if (code < 0) free_host(p);
    return code;
}

/* ---- a step ---- */

/* [channels][pixels] to [pixels][channels]. */
static void pipeline_interleave(const struct pipeline *p, const float *image, float *pixels)
{
    size_t channels = (size_t)p->model->network.channels,
           count = pipeline_state_floats(p) / channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            pixels[i * channels + c] = image[c * count + i];
}

/* Back, as a velocity. */
static void velocity_of(const struct pipeline *p, const float *pixels, float *velocity)
{
    size_t channels = (size_t)p->model->network.channels,
           count = pipeline_state_floats(p) / channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++)
            velocity[c * count + i] = p->kind->sign * pixels[i * channels + c];
}

/* Captions of all samples: prompts first, then those that guidance leads away from. */
static int send_text(struct pipeline *p, int n)
{
    size_t width = (size_t)p->model->network.text_dim, one = (size_t)p->size.text_rows * width;
    int samples = pipeline_is_guided(p) ? 2 * n : n;
    memset(p->rows, 0, (size_t)samples * one * sizeof(float));
    for (int i = 0; i < samples; i++) {
        const struct pipeline_prompt *prompt =
            &p->readers[READER_ROWS].prompts[i < n ? PROMPT_WITH : PROMPT_WITHOUT];
        p->lengths[i] = prompt->count;
        memcpy(p->rows + (size_t)i * one, prompt->features,
               (size_t)prompt->count * width * sizeof(float));
    }
    return device_send(p->device, p->text, p->rows, (size_t)samples * one * sizeof(float));
}

/* p->pixels becomes what the network says to n images at level `sigma`, each of `samples`. */
static int pipeline_predict(struct pipeline *p, float *const *images, int n, float sigma,
                            const struct pipeline_watch *watch)
{
    int samples = pipeline_is_guided(p) ? 2 * n : n;
    size_t floats = pipeline_state_floats(p), bytes = (size_t)samples * floats * sizeof(float);
    size_t features = (size_t)p->kind->time_features;
    for (int i = 0; i < samples; i++) {
        pipeline_interleave(p, images[i % n], p->pixels + (size_t)i * floats);
        p->kind->tell_time(p, sigma, p->features + (size_t)i * features);
    }
    TRY(device_send(p->device, p->image, p->pixels, bytes));
    TRY(device_send(p->device, p->time, p->features, (size_t)samples * features * sizeof(float)));
    TRY(p->kind->forward(p, samples, watch));
    return device_fetch(p->device, p->pixels, p->out, bytes);
}

static void pipeline_advance(struct pipeline *p, int n, int i, float *image, int step)
{
    const struct pipeline_request *r = &p->request;
    size_t floats = pipeline_state_floats(p), channels = (size_t)p->model->network.channels;
    float sigma = p->sigmas[step], next = p->sigmas[step + 1];
    velocity_of(p, p->pixels + (size_t)i * floats, p->velocity);
    if (pipeline_is_guided(p)) {
        velocity_of(p, p->pixels + (size_t)(n + i) * floats, p->without);
        sigmas_guide(p->velocity, p->without, floats, r->guidance);
    }
    sigmas_step(image, p->velocity, floats, sigma, next);
    if (r->mask)
        sigmas_keep_image(image, p->begun ? p->begun[i] : r->init, p->noise[i],
                          p->mask ? p->mask : r->mask, (int)channels, floats / channels, next);
}

/* ---- all steps ---- */

int pipeline_tell(const struct pipeline *p, const struct pipeline_watch *watch, int index,
                  const char *name, const float *state)
{
    const int64_t shape[3] = {p->model->network.channels, p->size.height, p->size.width};
    return watch->tensor ? watch->tensor(watch->context, index, name, 3, shape, state) : OK;
}

bool pipeline_is_finite(const float *numbers, size_t count)
{
    size_t i = 0;
    while (i < count && isfinite(numbers[i]))
        i++;
    return i == count;
}

int pipeline_broken_tensor(const struct store_tensor *const *weights, int count)
{
    for (int t = 0; t < count; t++)
        if (tensor_range(weights[t]).nonfinite > 0) return t;
    return -1;
}

int pipeline_fail_nonfinite(const struct pipeline *p, const char *stage, const char *tensor)
{
    if (!tensor)
        return fail(ERR_DATA, "%s: %s: no number comes out, though all weights are finite",
                    p->model->path, stage);
    return fail(ERR_DATA, "%s: %s: no number comes out: tensor %s holds a NaN or an infinity",
                p->model->path, stage, tensor);
}

static int check_finite(const struct pipeline *p, const float *image, int step)
{
    char stage[32], tensor[128];
    if (pipeline_is_finite(image, pipeline_state_floats(p))) return OK;
    const struct block_list *list = model_tensors(p->model);
    int t = pipeline_broken_tensor(p->model->weights, list->tensor_count);
    snprintf(stage, sizeof stage, "denoise, step %d", step + 1);
    if (t < 0) return pipeline_fail_nonfinite(p, stage, NULL);
    snprintf(tensor, sizeof tensor, "%s (block %s)", p->model->weights[t]->name,
             list->names[list->tensors[t].block]);
    return pipeline_fail_nonfinite(p, stage, tensor);
}

static int begin_image(struct pipeline *p, uint64_t seed, int i, float *state,
                       const struct pipeline_watch *watch)
{
    const struct pipeline_request *r = &p->request;
    size_t floats = pipeline_state_floats(p);
    struct noise_stream stream;
    noise_open(&stream, r->noise, seed);
    if (p->begun) TRY(pipeline_draw_state(p, &stream, p->begun[i]));
    TRY(noise_draw(&stream, p->noise[i], floats));
    TRY(pipeline_tell(p, watch, i, "noise", p->noise[i]));
    if (!r->init) {
        memcpy(state, p->noise[i], floats * sizeof *state);
        return OK;
    }
    const float *begun = p->begun ? p->begun[i] : r->init;
    TRY(pipeline_tell(p, watch, i, "z0", begun));
    sigmas_add_noise(state, begun, p->noise[i], floats, p->sigmas[p->first]);
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
            TRY(pipeline_tell(p, watch, i, name, images[i]));
        }
        if (watch->step) watch->step(watch->context, step - p->first + 1, total);
    }
    return OK;
}

int pipeline_end_stage(struct pipeline *p, int code)
{
    char said[512];
    if (code == OK) return placement_end(p->placement);
    snprintf(said, sizeof said, "%s", error_message());
    placement_end(p->placement);
    return fail(code, "%s", said);
}

static int pipeline_denoise(struct pipeline *p, int n, float *const *states,
                            const struct pipeline_watch *watch)
{
    TRY(p->kind->begin(p, &p->stages[p->denoise_stage]));
    int code = send_text(p, n);
    if (code == OK && p->kind->tell) code = p->kind->tell(p, n);
    if (code == OK) code = pipeline_run_steps(p, n, states, watch);
    return pipeline_end_stage(p, code);
}

int pipeline_run(struct pipeline *p, const uint64_t *seeds, int n, float *const *images,
                 const struct pipeline_watch *watch)
{
    bool has_vae = p->model->has_vae;
    TRY(allocate_host(p));
    TRY(pipeline_encode_text(p, watch));
    if (has_vae && p->request.init) TRY(pipeline_encode(p, watch));
    float *const *states = has_vae ? p->states : images;
    for (int i = 0; i < n; i++)
        TRY(begin_image(p, seeds[i], i, states[i], watch));
    TRY(pipeline_denoise(p, n, states, watch));
    if (has_vae) return pipeline_decode(p, n, images, watch);
    for (int i = 0; i < n; i++)
        TRY(pipeline_tell(p, watch, i, "picture", images[i]));
    return OK;
}
