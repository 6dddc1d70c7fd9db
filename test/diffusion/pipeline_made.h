/* Images that a pipeline makes of a tiny model (tiny_model.h), and how. */
#ifndef IMGTRAIN_TEST_DIFFUSION_PIPELINE_MADE_H
#define IMGTRAIN_TEST_DIFFUSION_PIPELINE_MADE_H

#include "diffusion/pipeline/pipeline.h"
#include "test/diffusion/tiny_model.h"
#include "test/near.h"
#include "test/support.h"

#include <math.h>

enum { SIDE = 16, FLOATS = 3 * SIDE * SIDE, ROW_NONE = 3 };

static struct model_folder model;
static float picture[FLOATS], mask[SIDE * SIDE];

/* Opens what is in m, and draws a picture and a mask to begin with. */
static inline void open_model(void)
{
    MUST(model_folder_open(&model, in_folder("m")));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            mask[y * SIDE + x] = y >= 4 && y < 13 && x >= 5 && x < 12 ? 1.0f : 0.0f;
            for (int c = 0; c < 3; c++)
                picture[(c * SIDE + y) * SIDE + x] =
                    (float)((x * 16 + y * 7 + c * 60) % 256) / 255.0f * 2.0f - 1.0f;
        }
}

static inline void close_model(void)
{
    model_folder_close(&model);
    folder_remove();
}

static inline struct pipeline_request request_of(int row)
{
    return (struct pipeline_request){.width = SIDE,
                                     .height = SIDE,
                                     .steps = 8,
                                     .rows = {row},
                                     .row_count = 1,
                                     .without = {ROW_NONE},
                                     .without_count = 1,
                                     .strength = 0.6,
                                     .noise = NOISE_TORCH,
                                     .at_once = 1};
}

/* How images are made; then what placement said of it. */
struct run {
    int threads;
    struct placement_options options;
    struct pipeline_watch watch;
    struct placement_counts counts;
    struct placement_report reports[8];
    int report_count;
};

/* images [n][FLOATS] of seeds `seed`, `seed` + 1, ... */
static inline int run_images(const struct pipeline_request *request, struct run *how, uint64_t seed,
                             int n, float *images)
{
    struct device *device;
    struct pipeline *pipeline;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    int first;
    MUST(device_open(&device, "cpu", how->threads));
    MUST(pipeline_open(&pipeline, &model, device, &how->options, PIPELINE_AS_STORED));
    int code = pipeline_prepare(pipeline, request, sigmas, &first);
    for (int i = 0; code == OK && i < n; i += request->at_once) {
        uint64_t seeds[8];
        float *at[8];
        int now = n - i < request->at_once ? n - i : request->at_once;
        for (int k = 0; k < now; k++) {
            seeds[k] = seed + (uint64_t)(i + k);
            at[k] = images + (size_t)(i + k) * FLOATS;
        }
        code = pipeline_run(pipeline, seeds, now, at, &how->watch);
    }
    const struct placement *placement = pipeline_placement(pipeline);
    how->counts = *placement_counts(placement);
    how->report_count = placement_report_count(placement);
    for (int i = 0; i < how->report_count && i < 8; i++)
        how->reports[i] = *placement_report_at(placement, i);
    pipeline_close(pipeline);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    device_close(device);
    return code;
}

/* With as small a budget as does where `how` is to go in sequence, so that most blocks pass by. */
static inline void run_in_little_memory(const struct pipeline_request *request, struct run *how,
                                        uint64_t seed, int n, float *images)
{
    int code;
    bool is_sequential = how->options.way == PLACEMENT_SEQUENTIAL;
    if (is_sequential) how->options.budget = 1 << 20;
    while ((code = run_images(request, how, seed, n, images)) == ERR_DEVICE_MEMORY && is_sequential)
        how->options.budget += 128 << 10;
    MUST(code);
}

/* got [channels][height][width], against tensor `name` of a file of test/golden. */
static inline void assert_golden(const char *file, const char *name, const float *got, int channels,
                                 int height, int width)
{
    struct store_file *golden;
    const int64_t shape[3] = {channels, height, width};
    float wanted[FLOATS];
    MUST(store_open(&golden, file));
    MUST(store_read_f32(golden, name, 3, shape, wanted));
    store_close(golden);
    double error = relative_error(got, wanted, (size_t)(channels * height * width));
    ck_assert_msg(error <= 1e-4, "%s: %g off", name, error);
}

#endif
