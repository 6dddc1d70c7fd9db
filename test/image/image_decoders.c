/* WebP and TIFF by their libraries: the fuzzer's seeds are read, cut at every byte and broken at
 * every bit. What comes out is the image or ERR_DATA, the same whole and row by row.
 * test/cli/formats.sh compares pixels. */
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "image/image.h"
#include "image/image_format.h"
#include "image/rows.h"
#include "test/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 9, HEIGHT = 7 };

static const struct {
    const char *name;
    int channels;
    enum sample_type type;
    bool turned;
} seeds[] = {
    {"lzw.tif", 3, SAMPLE_U8, false},       {"planes.tif", 3, SAMPLE_U8, false},
    {"big.tif", 3, SAMPLE_U8, false},       {"photo.tif", 3, SAMPLE_U8, false},
    {"alpha.tif", 4, SAMPLE_U8, false},     {"ink.tif", 3, SAMPLE_U8, false},
    {"map.tif", 3, SAMPLE_U8, false},       {"fax.tif", 1, SAMPLE_U8, false},
    {"deep.tif", 1, SAMPLE_U16, true},      {"float.tif", 1, SAMPLE_F32, false},
    {"pages.tif", 1, SAMPLE_U8, false},     {"lossy.webp", 3, SAMPLE_U8, false},
    {"lossless.webp", 4, SAMPLE_U8, false}, {"lossy_alpha.webp", 4, SAMPLE_U8, false},
    {"turned.webp", 3, SAMPLE_U8, true},
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

static bool is_built(const char *name)
{
    return image_name_is_readable(name);
}

static void seed_path(char *path, size_t room, const char *name)
{
    snprintf(path, room, "test/fuzz/seed_image/%s", name);
}

START_TEST(seeds_are_read)
{
    char path[80];
    struct image image, rows;
    int width, height, channels;
    enum sample_type type;
    if (!is_built(seeds[_i].name)) return;
    seed_path(path, sizeof path, seeds[_i].name);
    ck_assert_msg(image_load(&image, path) == OK, "%s", error_message());
    ck_assert_int_eq(image.width, seeds[_i].turned ? HEIGHT : WIDTH);
    ck_assert_int_eq(image.height, seeds[_i].turned ? WIDTH : HEIGHT);
    ck_assert_int_eq(image.channels, seeds[_i].channels);
    ck_assert_int_eq(image.type, seeds[_i].type);
    const struct image_sink sink = image_collector(&rows);
    ck_assert_int_eq(image_stream(path, 1 << 20, &sink), OK);
    ck_assert_mem_eq(rows.data, image.data, image_bytes(&image));
    ck_assert_int_eq(image_probe(path, &width, &height, &channels, &type), OK);
    ck_assert(width == image.width && height == image.height && channels == image.channels &&
              type == image.type);
    image_free(&image);
    image_free(&rows);
}
END_TEST

static void try(const uint8_t *data, size_t count)
{
    struct image image;
    uint8_t *exact = malloc(count + 1); /* so that a sanitizer sees a read beyond the end */
    memcpy(exact, data, count);
    int code = image_decode(&image, exact, count, "t");
    ck_assert_msg(code == OK || code == ERR_DATA, "%d: %s", code, error_message());
    if (code == OK) ck_assert(image.width > 0 && image.data);
    image_free(&image);
    free(exact);
}

/* The decoders' pixels cannot be told right from wrong, as these files have no checksums. */
START_TEST(damaged_seeds)
{
    char path[80];
    uint8_t *data;
    size_t count;
    if (!is_built(seeds[_i].name)) return;
    seed_path(path, sizeof path, seeds[_i].name);
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &count), OK);
    for (size_t n = 0; n < count; n++)
        try(data, n);
    for (size_t bit = 0; bit < 8 * count; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        try(data, count);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(data);
}
END_TEST

START_TEST(refused_by_name)
{
    struct image image;
    if (is_built("a.webp")) {
        ck_assert_int_eq(image_load(&image, "test/fuzz/seed_image/moving.webp"), ERR_DATA);
        ck_assert_ptr_nonnull(strstr(error_message(), "animated WebP"));
        /* 16383x16383 pixels from 30 bytes */
        static const uint8_t bomb[30] =
            "RIFF\x16\0\0\0WEBPVP8L\x09\0\0\0\x2F\xFE\xBF\xFF\x0F\0\0\0";
        ck_assert_int_eq(image_decode(&image, bomb, sizeof bomb, "t"), ERR_DATA);
        ck_assert_msg(strstr(error_message(), "cannot hold") != NULL, "%s", error_message());
    }
    if (!is_built("a.tif")) return;
    struct entry {
        uint16_t tag, type;
        uint32_t count, value;
    };
    static const struct {
        struct entry change;
        const char *because;
    } cases[] = {
        {{256, 4, 1, 100000}, "cannot hold"},
        {{257, 4, 1, 200000}, "outside the limits"},
        {{258, 3, 1, 24}, "24-bit"},
        {{262, 3, 1, 8}, "Lab"},
        {{262, 3, 1, 32844}, "LogLuv"},
        {{339, 3, 1, 2}, "with a sign"},
        {{254, 4, 1, 1}, "preview"},
        {{259, 3, 1, 6}, "old-style JPEG"},
        {{259, 3, 1, 4711}, "compression 4711"},
    };
    static const struct entry plain[] = {{254, 4, 1, 0}, {256, 4, 1, 3}, {257, 4, 1, 2},
                                         {258, 3, 1, 8}, {259, 3, 1, 1}, {262, 3, 1, 1},
                                         {273, 4, 1, 8}, {277, 3, 1, 1}, {278, 4, 1, 2},
                                         {279, 4, 1, 6}, {339, 3, 1, 1}};
    enum { ENTRIES = sizeof plain / sizeof plain[0] };
    for (size_t k = 0; k <= sizeof cases / sizeof cases[0]; k++) {
        uint8_t file[16 + 2 + 12 * ENTRIES + 4] = "II*\0\x10\0\0\0\1\2\3\4\5\6";
        bool sound = k == sizeof cases / sizeof cases[0];
        file[16] = ENTRIES;
        for (size_t i = 0; i < ENTRIES; i++) {
            bool here = !sound && cases[k].change.tag == plain[i].tag;
            memcpy(file + 18 + 12 * i, here ? &cases[k].change : &plain[i], 12);
        }
        int code = image_decode(&image, file, sizeof file, "t");
        if (sound) {
            ck_assert_msg(code == OK, "%s", error_message());
            ck_assert_mem_eq(image.data, "\1\2\3\4\5\6", 6);
            image_free(&image);
            continue;
        }
        ck_assert_msg(code == ERR_DATA && strstr(error_message(), cases[k].because), "%s: %d %s",
                      cases[k].because, code, error_message());
    }
}
END_TEST

/* A tile far larger than its image, and an image whose one strip does not fit. */
START_TEST(limits)
{
    struct image image;
    if (!is_built("a.tif") || !is_built("a.webp")) return;
    const struct image_sink sink = image_collector(&image);
    ck_assert_int_eq(image_stream("test/fuzz/seed_image/lzw.tif", 100, &sink), ERR_DEVICE_MEMORY);
    ck_assert_int_eq(image_stream("test/fuzz/seed_image/big.tif", 100, &sink),
                     OK); /* 2 rows a strip */
    image_free(&image);
    ck_assert_int_eq(image_stream("test/fuzz/seed_image/lossy.webp", 100, &sink),
                     ERR_DEVICE_MEMORY);
    ck_assert_int_eq(image_stream("test/fuzz/seed_image/lossy.webp", 9 * 7 * 7, &sink), OK);
    image_free(&image);
}
END_TEST

Suite *image_decoders_suite(void);
Suite *image_decoders_suite(void)
{
    Suite *suite = suite_create("image_decoders");
    if (!is_built("a.webp")) test_skip("image_decoders", "built without WebP");
    if (!is_built("a.tif")) test_skip("image_decoders", "built without TIFF");
    TCase *tests = tcase_create("image_decoders");
    tcase_add_unchecked_fixture(tests, be_quiet, NULL);
    tcase_add_loop_test(tests, seeds_are_read, 0, SEEDS);
    tcase_add_loop_test(tests, damaged_seeds, 0, SEEDS);
    tcase_add_test(tests, refused_by_name);
    tcase_add_test(tests, limits);
    suite_add_tcase(suite, tests);
    return suite;
}
