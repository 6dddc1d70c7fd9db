/* Images of 48 x 64 pixels that a model folder in an official layout makes, all that is told on the
 * way, and goldens beside it. The folder's text is rows of 32 numbers, its latents have 16
 * channels of an eighth of the side. */
#ifndef IMGTRAIN_TEST_DIFFUSION_OFFICIAL_MADE_H
#define IMGTRAIN_TEST_DIFFUSION_OFFICIAL_MADE_H

#include "device/device.h"
#include "diffusion/pipeline/pipeline.h"
#include "registry/devices.h"
#include "store/safetensors.h"
#include "test/diffusion/tiny_zimage.h"
#include "test/near.h"
#include "test/support.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WIDTH = 48,
    HEIGHT = 64,
    PIXELS = WIDTH * HEIGHT,
    FLOATS = 3 * PIXELS,
    STATE = 16 * PIXELS / 64,
    MOST_STEPS = 8
};

static struct model_folder model;
static float picture[FLOATS], mask[PIXELS];

static inline void draw_official_picture(void)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            mask[y * WIDTH + x] = y >= 16 && y < 40 && x >= 8 && x < 32 ? 1 : 0;
            for (int c = 0; c < 3; c++)
                picture[(c * HEIGHT + y) * WIDTH + x] =
                    (float)((x * 16 + y * 7 + c * 60) % 256) / 255 * 2 - 1;
        }
}

/* What was made, and how. */
struct made {
    float image[FLOATS], z0[STATE], noise[STATE], states[MOST_STEPS + 1][STATE]; /* after step i */
    float text[64 * 32], pooled[32];
    struct placement_counts counts;
    struct placement_report reports[8];
    int report_count;
};

static inline int keep_state(void *context, int index, const char *name, int dims,
                             const int64_t *shape, const float *data)
{
    struct made *made = context;
    int step;
    (void)dims, (void)shape;
    if (index > 0) return OK;
    if (strcmp(name, "z0") == 0) memcpy(made->z0, data, sizeof made->z0);
    if (strcmp(name, "noise") == 0) memcpy(made->noise, data, sizeof made->noise);
    if (sscanf(name, "step-%d", &step) == 1)
        memcpy(made->states[step], data, sizeof made->states[step]);
    return OK;
}

static inline int make_on(struct device *device, const struct pipeline_request *request,
                          const struct placement_options *options, enum pipeline_weights weights,
                          struct made *made)
{
    const uint64_t seed = 42;
    const struct pipeline_watch watch = {.tensor = keep_state, .context = made};
    struct pipeline *pipeline;
    float sigmas[SIGMAS_MOST_STEPS + 1], *image = made->image;
    int first;
    MUST(pipeline_open(&pipeline, &model, device, options, weights));
    int code = pipeline_prepare(pipeline, request, sigmas, &first);
    if (code == OK) code = pipeline_run(pipeline, &seed, 1, &image, &watch);
    if (code == OK)
        memcpy(made->text, pipeline_features(pipeline),
               (size_t)request->row_count * 32 * sizeof(float));
    if (code == OK && model.network.pooled_dim > 0)
        memcpy(made->pooled, pipeline_pooled(pipeline), sizeof made->pooled);
    const struct placement *placement = pipeline_placement(pipeline);
    made->counts = *placement_counts(placement);
    made->report_count = placement_report_count(placement);
    for (int i = 0; i < made->report_count && i < 8; i++)
        made->reports[i] = *placement_report_at(placement, i);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    return code;
}

static inline int make_with(enum pipeline_weights weights, const struct pipeline_request *request,
                            int threads, const struct placement_options *options, struct made *made)
{
    struct device *device;
    MUST(device_open(&device, "cpu", threads));
    int code = make_on(device, request, options, weights, made);
    device_close(device);
    return code;
}

static inline int make(const struct pipeline_request *request, int threads,
                       const struct placement_options *options, struct made *made)
{
    return make_with(PIPELINE_AS_STORED, request, threads, options, made);
}

static const struct placement_options anyhow = {.way = PLACEMENT_AUTO};

static inline void near_golden(const char *stem, const char *name, const float *got, int dims,
                               const int64_t *shape, double gate)
{
    static float right[FLOATS];
    struct store_file *golden;
    size_t count = 1;
    char *path = string_format("test/golden/%s.safetensors", stem);
    for (int d = 0; d < dims; d++)
        count *= (size_t)shape[d];
    MUST(store_open(&golden, path));
    MUST(store_read_f32(golden, name, dims, shape, right));
    double error = relative_error(got, right, count);
    ck_assert_msg(error <= gate, "%s: %g off", name, error);
    store_close(golden);
    free(path);
}

static inline void near_state(const char *stem, const char *name, const float *state)
{
    const int64_t shape[3] = {16, HEIGHT / 8, WIDTH / 8};
    near_golden(stem, name, state, 3, shape, 1e-4);
}

/* Every fourth pixel of every fourth row. */
static inline void near_picture(const char *stem, const char *name, const float *image)
{
    static float seen[FLOATS / 16];
    const int64_t some[3] = {3, HEIGHT / 4, WIDTH / 4};
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < HEIGHT / 4; y++)
            for (int x = 0; x < WIDTH / 4; x++)
                seen[(c * (HEIGHT / 4) + y) * (WIDTH / 4) + x] =
                    image[(c * HEIGHT + 4 * y) * WIDTH + 4 * x];
    near_golden(stem, name, seen, 3, some, 1e-4);
}

/* Of one pipeline: a mode loads what it is the first to need, the VAE's encoder for an image that
 * is begun with; the next one nothing, not even the prompt's features. opened: components of text
 * to image. */
static inline void modes_share_weights(struct pipeline_request *request, int opened)
{
    static const uint64_t seed = 42;
    static float made[FLOATS];
    float sigmas[SIGMAS_MOST_STEPS + 1], *image = made;
    const struct placement_options options = {.way = PLACEMENT_NONE, .place = true};
    const struct pipeline_watch watch = {.tensor = NULL};
    struct pipeline *pipeline;
    struct device *device;
    struct placement_counts before = {0};
    int first;
    MUST(device_open(&device, "cpu", 1));
    MUST(pipeline_open(&pipeline, &model, device, &options, PIPELINE_AS_STORED));
    const struct placement_counts *now = placement_counts(pipeline_placement(pipeline));
    for (int mode = 0; mode < 3; mode++) {
        request->init = mode > 0 ? picture : NULL;
        request->mask = mode > 1 ? mask : NULL;
        MUST(pipeline_prepare(pipeline, request, sigmas, &first));
        MUST(pipeline_run(pipeline, &seed, 1, &image, &watch));
        ck_assert_int_eq(now->opened, mode == 0 ? opened : opened + 1);
        ck_assert_int_eq(now->opened_bytes > before.opened_bytes, mode < 2);
        ck_assert_int_eq(now->copied_bytes > before.copied_bytes, mode < 2);
        before = *now;
    }
    pipeline_close(pipeline);
    device_close(device);
}

#endif
