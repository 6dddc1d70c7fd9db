/* A small fit for tests of the task splat: a picture in the test's folder, and its config. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_SPLAT_CONFIG_H
#define IMGTRAIN_TEST_CUDA_CUDA_SPLAT_CONFIG_H

#include "config/config.h"
#include "image/image.h"
#include "test/cuda/cuda_splat_scene.h"
#include "test/support.h"

/* Saves a mask of width x height, some of it black; the config's line for it. */
static inline const char *mask_key(int width, int height)
{
    static char line[600];
    char path[512];
    struct image image;
    expect_ok(image_create(&image, width, height, 1, SAMPLE_U8));
    for (int i = 0; i < width * height; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i % 9 == 0 ? 0 : i * 7);
    snprintf(path, sizeof path, "%s/mask.png", folder);
    expect_ok(image_save(&image, path));
    image_free(&image);
    snprintf(line, sizeof line, "mask: \"%s\"\n", path);
    return line;
}

/* Waves of width x height; `keys`: the config's lines beside the picture's. */
static inline struct config *waves_config(int width, int height, const char *keys)
{
    char text[2048], path[512];
    struct config *config;
    struct image image;
    expect_ok(image_create(&image, width, height, 3, SAMPLE_U8));
    for (int i = 0; i < width * height * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(120 + 90 * sinf(0.02f * (float)i));
    snprintf(path, sizeof path, "%s/a.png", folder);
    expect_ok(image_save(&image, path));
    image_free(&image);
    snprintf(text, sizeof text, "input_path: \"%s\"\n%s", path, keys);
    expect_ok(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    return config;
}

#endif
