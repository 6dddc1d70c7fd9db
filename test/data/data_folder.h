/* Folders of drawn images for the tests of data sets. */
#ifndef IMGTRAIN_TEST_DATA_DATA_FOLDER_H
#define IMGTRAIN_TEST_DATA_DATA_FOLDER_H

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/dataset.h"
#include "image/image.h"
#include "test/support.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char cache[80];

static inline void enter_folder(void)
{
    set_up();
    snprintf(cache, sizeof cache, "%s/.cache", folder);
}

/* Every sample of a pixel is the value of `colour` at its channel. */
static inline void draw(const char *name, int width, int height, int channels,
                        const uint8_t *colour)
{
    struct image image;
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    ck_assert_int_eq(file_make_dirs(path), OK);
    *slash = '/';
    ck_assert_int_eq(image_create(&image, width, height, channels, SAMPLE_U8), OK);
    for (int i = 0; i < width * height * channels; i++)
        ((uint8_t *)image.data)[i] = colour[i % channels];
    ck_assert_int_eq(image_save(&image, path), OK);
    image_free(&image);
}

/* `count` images prefix000.png ..., each of a colour of its own. */
static inline void draw_many(const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%03d.png", prefix, i);
        draw(name, 5, 4, 3, (uint8_t[]){(uint8_t)i, (uint8_t)(i / 256), 77});
    }
}

static inline struct dataset_options options_for(int width, int height)
{
    return (struct dataset_options){
        .folder = folder, .width = width, .height = height, .seed = 7, .cache_dir = cache};
}

static inline struct dataset *open_with(const struct dataset_options *options)
{
    struct dataset *set;
    int code = dataset_open(&set, options);
    ck_assert_msg(code == OK, "%d: %s", code, error_message());
    return set;
}

static inline void check_fails(const struct dataset_options *options, int code, const char *part)
{
    struct dataset *set;
    ck_assert_int_eq(dataset_open(&set, options), code);
    ck_assert_ptr_null(set);
    ck_assert_msg(strstr(error_message(), part) != NULL, "%s", error_message());
    ck_assert_ptr_nonnull(strstr(error_message(), folder));
}

static inline void check_pixel(const uint8_t *pixel, int r, int g, int b)
{
    ck_assert_msg(abs(pixel[0] - r) <= 1 && abs(pixel[1] - g) <= 1 && abs(pixel[2] - b) <= 1,
                  "%d %d %d, not %d %d %d", pixel[0], pixel[1], pixel[2], r, g, b);
}

static int warnings_fd;

/* What was written to stderr while `options` were opened, into `text`. */
static inline int open_listening(const struct dataset_options *options, struct dataset **set,
                                 char *text, size_t room)
{
    char path[128];
    snprintf(path, sizeof path, "%s/.log", folder);
    warnings_fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    log_set_file(warnings_fd);
    int code = dataset_open(set, options);
    log_set_file(-1);
    ssize_t got = pread(warnings_fd, text, room - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    close(warnings_fd);
    return code;
}

#endif
