/* A fit of a small image, step by step. */
#ifndef IMGTRAIN_TEST_SPLAT_SPLAT_RUN_H
#define IMGTRAIN_TEST_SPLAT_SPLAT_RUN_H

#include "base/error.h"
#include "config/config.h"
#include "device/device.h"
#include "image/image.h"
#include "registry/devices.h"
#include "splat/splat.h"
#include "store/safetensors.h"
#include "test/support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 61, HEIGHT = 45 };

static struct device *device;
static char path[512];

/* Smooth waves, an edge, and a transparent corner where there is alpha. */
static inline void draw(const char *name, int channels, enum sample_type type)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, WIDTH, HEIGHT, channels, SAMPLE_F32), 0);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < channels; c++) {
                double v = 0.5 + 0.3 * sin(0.15 * x + c) * cos(0.2 * y) + (x > y ? 0.15 : 0);
                bool alpha = (channels == 2 || channels == 4) && c == channels - 1;
                if (alpha) v = x + y < 30 ? 0 : 1;
                ((float *)image.data)[(y * WIDTH + x) * channels + c] = (float)v;
            }
    struct image typed;
    ck_assert_int_eq(image_convert(&typed, &image, type), 0);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_msg(image_save(&typed, path) == 0, "%s", error_message());
    image_free(&image);
    image_free(&typed);
}

static inline struct config *configure(const char *more)
{
    char text[2048];
    struct config *config;
    snprintf(text, sizeof text, "input_path: \"%s\"\n%s%s%s", path,
             strstr(more, "num_gaussians") ? "" : "num_gaussians: 250\n",
             strstr(more, "max_steps") ? "" : "max_steps: 250\neval_steps: 50\n", more);
    ck_assert_msg(config_load_text(&config, "test", text, strlen(text), 0, NULL) == 0, "%s",
                  error_message());
    return config;
}

static inline struct task_state *open_state(const struct config *config,
                                            const struct store_file *resume)
{
    struct task_state *state = NULL;
    struct task_setup setup = {.config = config, .device = device, .resume = resume};
    ck_assert_msg(task_splat.open(&state, &setup) == 0, "%s", error_message());
    return state;
}

static inline void train(struct task_state *state, int from, int to, struct task_report *report)
{
    for (int step = from; step < to; step++) {
        ck_assert_msg(task_splat.step(state, step, step + 1 == to, report) == 0, "%s",
                      error_message());
        ck_assert_msg(isfinite(report->loss), "step %d", step);
    }
}

static inline double metric(const struct task_report *report, const char *name)
{
    for (int m = 0; m < report->metric_count; m++)
        if (strcmp(report->metrics[m].name, name) == 0) return report->metrics[m].value;
    ck_abort_msg("no metric %s", name);
    return 0;
}

static inline void setup(void)
{
    set_up();
    ck_assert_int_eq(device_open(&device, "cpu", 1), 0);
}

static inline void teardown(void)
{
    device_close(device);
    folder_remove();
}

static inline struct store_file *checkpoint(struct task_state *state, const char *name)
{
    char file[512];
    struct store_file *opened;
    struct store_writer *writer = store_writer_create();
    snprintf(file, sizeof file, "%s/%s.safetensors", folder, name);
    ck_assert_int_eq(task_splat.save(state, writer), 0);
    ck_assert_msg(store_write(writer, file, false) == 0, "%s", error_message());
    store_writer_free(writer);
    ck_assert_msg(store_open(&opened, file) == 0, "%s", error_message());
    return opened;
}

static inline void expect_equal(const struct store_file *a, const struct store_file *b, int at)
{
    ck_assert_int_eq(store_count(a), store_count(b));
    for (int t = 0; t < store_count(a); t++) {
        const struct store_tensor *p = store_at(a, t), *q = store_find(b, p->name);
        ck_assert_ptr_nonnull(q);
        ck_assert_msg(p->bytes == q->bytes && memcmp(p->data, q->data, p->bytes) == 0,
                      "resumed at %d: %s differs", at, p->name);
    }
}

static inline void train_on(struct task_state *state, int from, int to)
{
    struct task_report report;
    train(state, from, to, &report);
}

/* 60 steps of `run` in one go, and stopped and resumed at step `at`, end with the same bits. */
static inline void expect_resumes(const struct config *config, int at,
                                  void (*run)(struct task_state *, int from, int to))
{
    struct task_state *whole = open_state(config, NULL);
    run(whole, 0, at);
    struct store_file *middle = checkpoint(whole, "middle");
    run(whole, at, 60);
    struct store_file *expected = checkpoint(whole, "expected");
    struct task_state *resumed = open_state(config, middle);
    run(resumed, at, 60);
    struct store_file *got = checkpoint(resumed, "got");
    expect_equal(expected, got, at);
    store_close(middle);
    store_close(expected);
    store_close(got);
    task_splat.close(whole);
    task_splat.close(resumed);
}

#endif
