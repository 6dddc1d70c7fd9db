/* Videos written from drawn frames and read back with an independent conversion (libswscale, by the
 * tags of the file), texts, and runs' frames put together. */
#include "video/video.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"

#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- text ---- */

static int sum(const struct image *image, int x, int y)
{
    const uint8_t *rgb = (const uint8_t *)image->data + 3 * (y * image->width + x);
    return rgb[0] + rgb[1] + rgb[2];
}

START_TEST(text_is_drawn_by_dots)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, 40, 30, 3, SAMPLE_U8), 0);
    const uint8_t red[3] = {255, 0, 0};
    text_draw_plain(&image, 2, 0, 2, red, "T");
    for (int column = 0; column < 5; column++) /* the bar of the T, one dot below the top */
        for (int dot = 0; dot < 4; dot++)
            ck_assert_int_eq(sum(&image, 2 + 2 * column + dot / 2, 2 + dot % 2), 255);
    ck_assert_int_eq(sum(&image, 2, 4), 0);        /* left of the stem */
    ck_assert_int_eq(sum(&image, 2 + 4, 15), 255); /* its foot */
    ck_assert_int_eq(sum(&image, 2 + 4, 16), 0);
    ck_assert_int_eq(text_width(2, "T"), 10);
    ck_assert_int_eq(text_width(3, "Tj"), 33);
    ck_assert_int_eq(text_width(3, ""), 0);
    ck_assert_int_eq(text_height(2), 22);
    image_free(&image);
}
END_TEST

START_TEST(text_is_clipped)
{
    /* The samples end at the end of a malloc'ed block, so a sanitizer sees each step outside. */
    for (int size = 1; size < 12; size++) {
        struct image image;
        ck_assert_int_eq(image_create(&image, size, 13 - size, 3, SAMPLE_U8), 0);
        for (int y = -40; y < 30; y += 3)
            for (int x = -200; x < 30; x += 3)
                text_draw(&image, x, y, 1 + size % 4, "Wgj|\x01\xff~ 0");
        image_free(&image);
    }
}
END_TEST

START_TEST(text_glyphs_differ)
{
    struct image glyphs[95];
    const uint8_t white[3] = {255, 255, 255};
    for (int i = 0; i < 95; i++) {
        ck_assert_int_eq(image_create(&glyphs[i], 6, 11, 3, SAMPLE_U8), 0);
        text_draw_plain(&glyphs[i], 0, 0, 1, white, (char[]){(char)(' ' + i), 0});
        for (int y = 0; y < 11; y++)
            ck_assert_int_eq(sum(&glyphs[i], 5, y), 0); /* room between letters */
        for (int k = 0; k < i; k++)
            ck_assert_msg(memcmp(glyphs[i].data, glyphs[k].data, 6 * 11 * 3) != 0,
                          "%c and %c look the same", ' ' + i, ' ' + k);
    }
    for (int i = 0; i < 95; i++)
        image_free(&glyphs[i]);
}
END_TEST

#if HAVE_VIDEO

#include "test/support.h"
#include "test/video/video_read.h"

static const char *const encoder_names[] = {"libx264", "libvpx-vp9", "libsvtav1",
                                            "libx265", "mpeg4",      "mjpeg"};
enum { ENCODERS = sizeof encoder_names / sizeof encoder_names[0] };

/* Eight flat patches from left to right: the primaries, their mixtures, and greys. */
static const uint8_t patches[8][3] = {{255, 0, 0},     {0, 255, 0},   {0, 0, 255},
                                      {255, 255, 0},   {0, 255, 255}, {255, 0, 255},
                                      {128, 128, 128}, {250, 180, 60}};

static void draw_patches(struct image *image, int width, int height)
{
    ck_assert_int_eq(image_create(image, width, height, 3, SAMPLE_U8), 0);
    uint8_t *rgb = image->data;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++, rgb += 3)
            memcpy(rgb, patches[(int64_t)x * 8 / width], 3);
}

/* A codec of another size, or that this libavcodec has not, says so; the rest must open. */
static bool encoder_is_offered(const char *name, int width, int height)
{
    bool always = strcmp(name, "mjpeg") == 0;
    bool small = width < 64 || height < 64;
    if (strcmp(name, "libsvtav1") == 0 && small) return false;
    if (strcmp(name, "libx265") == 0 && small) return false;
    return always || strstr(video_encoders_offered(), name);
}

static void encode(const char *name, const char *path, const struct image *image, int frames)
{
    struct video_encoder *encoder;
    int code = video_encoder_open_named(&encoder, name, path, image->width, image->height, 30, 10);
    ck_assert_msg(code == OK, "%s", error_message());
    for (int i = 0; i < frames; i++)
        ck_assert_msg(video_encoder_add(encoder, image, 1) == OK, "%s", error_message());
    int width, height, w, h;
    int64_t count;
    video_encoder_size(encoder, &width, &height);
    code = video_encoder_close(encoder, true);
    ck_assert_msg(code == OK, "%s", error_message());
    MUST(video_verify(path, &count, &w, &h));
    ck_assert_msg(w == width && h == height, "%s: %dx%d, not %dx%d", name, w, h, width, height);
}

START_TEST(colours_come_back)
{
    const char *name = encoder_names[_i];
    struct image image, back;
    if (!encoder_is_offered(name, 256, 64)) return;
    draw_patches(&image, 256, 64);
    encode(name, in_folder("a.mp4"), &image, 5);
    for (int index = 0; index < 5; index += 4) {
        read_frame(in_folder("a.mp4"), index, &back);
        for (int patch = 0; patch < 8; patch++)
            for (int c = 0; c < 3; c++) {
                int got = ((uint8_t *)back.data)[3 * (32 * 256 + 32 * patch + 16) + c];
                ck_assert_msg(abs(got - patches[patch][c]) <= 3, "%s patch %d channel %d: %d", name,
                              patch, c, got);
            }
        image_free(&back);
    }
    image_free(&image);
}
END_TEST

static const int sizes[][2] = {{1, 1},   {1, 2},   {2, 1},   {3, 5},
                               {17, 33}, {640, 1}, {1, 640}, {320, 201}};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static void check_size(const char *name, int width, int height, int frames)
{
    struct image image;
    if (!encoder_is_offered(name, width, height)) return;
    draw_patches(&image, width, height);
    encode(name, in_folder("s.mp4"), &image, frames);
    int64_t count;
    int w, h;
    int code = video_verify(in_folder("s.mp4"), &count, &w, &h);
    ck_assert_msg(code == OK, "%s %dx%d: %s", name, width, height, error_message());
    ck_assert_int_eq(count, frames);
    bool even = strcmp(name, "mjpeg") != 0;
    ck_assert_int_eq(w, even ? width + width % 2 : width);
    ck_assert_int_eq(h, even ? height + height % 2 : height);
    ck_assert_int_eq(entries(folder), 1);
    image_free(&image);
}

START_TEST(small_sizes)
{
    const int *size = sizes[_i / ENCODERS];
    check_size(encoder_names[_i % ENCODERS], size[0], size[1], 7);
}
END_TEST

START_TEST(large_sizes)
{
    if (_i == 0) check_size("libx264", 4097, 2161, 3);
    if (_i == 1) check_size("libx264", 7680, 4320, 3);
    if (_i == 2) check_size("mjpeg", 8193, 65, 2);
}
END_TEST

/* A missing row or column is the edge's copy: the decoded padding has the patch's colour. */
START_TEST(edge_is_repeated)
{
    struct image image, back;
    draw_patches(&image, 33, 17);
    encode("libx264", in_folder("e.mp4"), &image, 1);
    read_frame(in_folder("e.mp4"), 0, &back);
    ck_assert_int_eq(back.width, 34);
    ck_assert_int_eq(back.height, 18);
    const uint8_t *corner = (uint8_t *)back.data + 3 * (34 * 18 - 1);
    for (int c = 0; c < 3; c++)
        ck_assert_int_le(abs(corner[c] - patches[7][c]), 4);
    image_free(&back);
    image_free(&image);
}
END_TEST

START_TEST(first_encoder_that_opens)
{
    struct video_encoder *encoder;
    ck_assert_int_eq(video_encoder_open(&encoder, NULL, in_folder("f.mp4"), 64, 64, 30, 20), OK);
    const char *first = video_encoder_name(encoder);
    ck_assert_str_eq(first, "libx264");
    ck_assert_ptr_eq(strstr(video_encoders_offered(), first), video_encoders_offered());
    ck_assert_int_eq(video_encoder_close(encoder, false), OK);
    /* Too large for each encoder that needs memory for it: JPEG frames remain. */
    ck_assert_int_eq(
        video_encoder_open_named(&encoder, "nonsense", in_folder("f.mp4"), 64, 64, 30, 20),
        ERR_USAGE);
    ck_assert_int_eq(
        video_encoder_open_named(&encoder, "mpeg4", in_folder("f.mp4"), 9000, 64, 30, 20),
        ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(video_versions(), video_encoders_offered()));
    ck_assert_int_eq(entries(folder), 0);
}
END_TEST

/* One that is preferred is used where it opens; else another takes its place. */
START_TEST(preferred_encoder)
{
    struct video_encoder *encoder;
    ck_assert_int_eq(video_encoder_open(&encoder, "mpeg4", in_folder("p.mp4"), 64, 64, 30, 20), OK);
    ck_assert_str_eq(video_encoder_name(encoder), "mpeg4");
    ck_assert_int_eq(video_encoder_close(encoder, false), OK);
    /* too wide for it */
    ck_assert_int_eq(video_encoder_open(&encoder, "mpeg4", in_folder("p.mp4"), 9000, 64, 30, 20),
                     OK);
    ck_assert_str_eq(video_encoder_name(encoder), "libx264");
    ck_assert_int_eq(video_encoder_close(encoder, false), OK);
    ck_assert_int_eq(video_encoder_open(&encoder, "h266", in_folder("p.mp4"), 64, 64, 30, 20),
                     ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "libsvtav1"));
    ck_assert_int_eq(entries(folder), 0);
}
END_TEST

START_TEST(dropped_video_leaves_nothing)
{
    struct image image, other;
    draw_patches(&image, 64, 64);
    draw_patches(&other, 64, 62);
    struct video_encoder *encoder;
    ck_assert_int_eq(file_atomic_write_whole(in_folder("d.mp4"), "old", 3, false), OK);
    for (int way = 0; way < 3; way++) {
        ck_assert_int_eq(video_encoder_open(&encoder, NULL, in_folder("d.mp4"), 64, 64, 30, 20),
                         OK);
        ck_assert_int_eq(entries(folder), 2);
        int expected = OK;
        if (way < 2) ck_assert_int_eq(video_encoder_add(encoder, &image, 3), OK);
        if (way == 1) {
            expected = ERR_INTERNAL;
            ck_assert_int_eq(video_encoder_add(encoder, &other, 1), expected);
            ck_assert_int_eq(video_encoder_add(encoder, &image, 1), expected);
        }
        if (way == 2) expected = ERR_INPUT; /* no frame at all */
        ck_assert_int_eq(video_encoder_close(encoder, way > 0), expected);
        ck_assert_int_eq(entries(folder), 1);
    }
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(in_folder("d.mp4"), 100, &data, &bytes), OK);
    ck_assert_str_eq((char *)data, "old");
    free(data);
    ck_assert_int_eq(video_encoder_open(&encoder, NULL, in_folder("none/d.mp4"), 64, 64, 30, 20),
                     ERR_OUTPUT);
    ck_assert_ptr_null(encoder);
    image_free(&image);
    image_free(&other);
}
END_TEST

/* The disk is full: /dev/full behind the name of the temporary file cannot be arranged, a limit on
 * the size of files can. */
START_TEST(full_disk)
{
    struct image image;
    draw_patches(&image, 640, 480);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {20000, 20000};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct video_encoder *encoder;
    ck_assert_int_eq(
        video_encoder_open_named(&encoder, "mjpeg", in_folder("x.mp4"), 640, 480, 30, 0), OK);
    int code = OK;
    for (int i = 0; i < 20 && code == OK; i++)
        code = video_encoder_add(encoder, &image, 1);
    ck_assert_int_eq(video_encoder_close(encoder, true), ERR_IO);
    ck_assert_ptr_nonnull(strstr(error_message(), "x.mp4"));
    ck_assert_int_eq(entries(folder), 0);
    image_free(&image);
}
END_TEST

START_TEST(broken_videos_are_found)
{
    struct image image;
    draw_patches(&image, 320, 200);
    encode("libx264", in_folder("b.mp4"), &image, 40);
    uint8_t *data;
    size_t bytes;
    ck_assert_int_eq(file_read(in_folder("b.mp4"), 1 << 24, &data, &bytes), OK);
    ck_assert_ptr_nonnull(memmem(data, 200, "moov", 4)); /* faststart: the index comes first */
    int64_t count;
    int w, h;
    for (size_t cut = 0; cut < bytes; cut += bytes / 20) {
        ck_assert_int_eq(file_atomic_write_whole(in_folder("c.mp4"), data, cut, false), OK);
        ck_assert_int_eq(video_verify(in_folder("c.mp4"), &count, &w, &h), ERR_DATA);
    }
    ck_assert_int_eq(video_verify(in_folder("missing.mp4"), &count, &w, &h), ERR_INPUT);
    ck_assert_int_eq(video_verify(in_folder("b.mp4"), &count, &w, &h), OK);
    free(data);
    image_free(&image);
}
END_TEST

#endif

Suite *video_suite(void);
Suite *video_suite(void)
{
    Suite *suite = suite_create("video");
    TCase *texts = tcase_create("text");
    tcase_add_test(texts, text_is_drawn_by_dots);
    tcase_add_test(texts, text_is_clipped);
    tcase_add_test(texts, text_glyphs_differ);
    suite_add_tcase(suite, texts);
#if HAVE_VIDEO
    for (int i = 0; i < ENCODERS; i++) {
        char reason[64];
        snprintf(reason, sizeof reason, "this libavcodec has no %s", encoder_names[i]);
        if (!encoder_is_offered(encoder_names[i], 64, 64)) test_skip("video", reason);
    }
    TCase *encoding = tcase_create("encode");
    tcase_add_checked_fixture(encoding, set_up, folder_remove);
    tcase_add_loop_test(encoding, colours_come_back, 0, ENCODERS);
    tcase_add_loop_test(encoding, small_sizes, 0, SIZES * ENCODERS);
    tcase_add_loop_test(encoding, large_sizes, 0, 3);
    tcase_add_test(encoding, edge_is_repeated);
    tcase_add_test(encoding, first_encoder_that_opens);
    tcase_add_test(encoding, preferred_encoder);
    tcase_add_test(encoding, dropped_video_leaves_nothing);
    tcase_add_test(encoding, full_disk);
    tcase_add_test(encoding, broken_videos_are_found);
    suite_add_tcase(suite, encoding);
#endif
    return suite;
}
