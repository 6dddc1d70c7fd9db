/* Damaged images: what changes a pixel is an error, what leaves them all is read, to the same
 * pixels, whole as well as row by row. Files are made here and broken in all their places. */
#include "base/error.h"
#include "base/log.h"
#include "image/image.h"
#include "image/image_format.h"
#include "image/rows.h"
#include "test/image/image_files.h"
#include "test/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 37, HEIGHT = 29 };

/* ---- sound files ---- */

static uint8_t pixel_at(int x, int y, int c)
{
    return (uint8_t)(x * 5 + y * (3 + c) + ((x * y * 7) >> 3) % 23 + (x / 8 + y / 8 + c) % 3 * 40);
}

enum jpeg_kind { BASELINE, PROGRESSIVE, RESTARTS, SEPARATE_SCANS, GREY, JPEG_KINDS };

static struct bytes make_jpeg(enum jpeg_kind kind)
{
    static const jpeg_scan_info separate[] = {
        {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr manager;
    unsigned char *data = NULL;
    unsigned long count = 0;
    info.err = jpeg_std_error(&manager);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &count);
    info.image_width = WIDTH;
    info.image_height = HEIGHT;
    info.input_components = kind == GREY ? 1 : 3;
    info.in_color_space = kind == GREY ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 90, TRUE);
    if (kind == PROGRESSIVE) jpeg_simple_progression(&info);
    if (kind == RESTARTS) info.restart_interval = 2;
    if (kind == SEPARATE_SCANS) {
        info.scan_info = separate;
        info.num_scans = 3;
    }
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < HEIGHT; y++) {
        uint8_t row[WIDTH * 3];
        JSAMPROW line = row;
        for (int i = 0; i < WIDTH * info.input_components; i++)
            row[i] = pixel_at(i / info.input_components, y, i % info.input_components);
        jpeg_write_scanlines(&info, &line, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return (struct bytes){data, count, count};
}

enum png_kind { RGB, ADAM7, PALETTE, TRANSPARENT, DEEP, TURNED, PROFILE, PNG_KINDS };

/* An EXIF block as a profile in text. */
static void put_profile(struct bytes *to, const uint8_t *exif, size_t count)
{
    char text[512];
    int used = snprintf(text, sizeof text, "\nexif\n%8zu\n", count + 6);
    used += snprintf(text + used, sizeof text - (size_t)used, "457869660000");
    for (size_t i = 0; i < count; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%02x%s", exif[i],
                         i % 36 == 29 ? "\n" : "");
    bytes_put(to, text, (size_t)used);
    bytes_put(to, "\n", 1);
}

enum profile_kind { TEXT, PACKED, INTERNATIONAL, INTERNATIONAL_PACKED, PROFILE_KINDS };

static void put_profile_chunk(struct bytes *file, enum profile_kind kind, int orientation)
{
    uint8_t exif[64], packed[1024];
    uLongf room = sizeof packed;
    struct bytes text = {0}, body = {0};
    put_profile(&text, exif, exif_block(exif, orientation, true));
    ck_assert_int_eq(compress(packed, &room, text.data, (uLong)text.count), Z_OK);
    bytes_put(&body, "Raw profile type exif", 22);
    if (kind == PACKED) bytes_put8(&body, 0);
    if (kind >= INTERNATIONAL) {
        bytes_put8(&body, kind == INTERNATIONAL_PACKED);
        bytes_put(&body, "\0en\0", 5);
    }
    if (kind == PACKED || kind == INTERNATIONAL_PACKED)
        bytes_put(&body, packed, room);
    else
        bytes_put(&body, text.data, text.count);
    png_put_chunk(file,
                  kind == TEXT     ? "tEXt"
                  : kind == PACKED ? "zTXt"
                                   : "iTXt",
                  body.data, body.count);
    bytes_free(&body);
    bytes_free(&text);
}

static struct bytes make_png(enum png_kind kind)
{
    struct bytes file = {0}, raw = {0};
    int bits = kind == DEEP ? 16 : 8, colour = kind == PALETTE || kind == TRANSPARENT ? 3 : 2;
    int width = kind == ADAM7 ? 1 : 9, height = kind == ADAM7 ? 1 : 6;
    png_put_start(&file, (unsigned)width, (unsigned)height, bits, colour, kind == ADAM7);
    png_put_chunk(&file, "gAMA", "\0\0\261\217", 4);
    png_put_chunk(&file, "tEXt", "Title\0ours", 10);
    uint8_t exif[64];
    size_t count = exif_block(exif, 6, false);
    if (kind == TURNED) png_put_chunk(&file, "eXIf", exif, count);
    if (kind == PROFILE) put_profile_chunk(&file, PACKED, 6);
    if (colour == 3) png_put_chunk(&file, "PLTE", "abcdefghijkl", 12);
    if (kind == TRANSPARENT) png_put_chunk(&file, "tRNS", "\0\200\377", 3);
    int row = colour == 3 ? width : width * 3 * bits / 8;
    for (int y = 0; y < height; y++) {
        bytes_put8(&raw, 0);
        for (int i = 0; i < row; i++)
            bytes_put8(&raw, colour == 3 ? pixel_at(i, y, 0) % 4u : pixel_at(i / 3, y, i % 3));
    }
    png_put_deflated(&file, raw.data, raw.count);
    png_put_chunk(&file, "tEXt", "Comment\0behind", 14);
    png_put_chunk(&file, "IEND", NULL, 0);
    bytes_free(&raw);
    return file;
}

/* ---- reading them ---- */

static int decode_rows(struct image *image, const struct bytes *file)
{
    char path[] = "/tmp/imgtrain-damage-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *to = fdopen(fd, "wb");
    ck_assert(fwrite(file->data, 1, file->count, to) == file->count);
    fclose(to);
    const struct image_sink sink = image_collector(image);
    int code = image_stream(path, 0, &sink);
    remove(path);
    if (code < 0) image_free(image);
    return code;
}

/* Both ways of reading must say the same; true when the file is read. */
static bool is_read(const struct bytes *file, struct image *image, bool rows_too)
{
    uint8_t *exact = malloc(file->count + 1); /* so that a sanitizer sees a read beyond the end */
    memcpy(exact, file->data, file->count);
    int code = image_decode(image, exact, file->count, "t");
    free(exact);
    ck_assert_msg(code == OK || code == ERR_DATA, "%d: %s", code, error_message());
    if (rows_too) {
        struct image rows;
        ck_assert_int_eq(decode_rows(&rows, file), code);
        if (code == OK) ck_assert_mem_eq(rows.data, image->data, image_bytes(image));
        image_free(&rows);
    }
    return code == OK;
}

static bool is_same(const struct image *a, const struct image *b)
{
    return a->width == b->width && a->height == b->height && a->channels == b->channels &&
           a->type == b->type && memcmp(a->data, b->data, image_bytes(a)) == 0;
}

static void expect(const struct bytes *file, const struct image *pixels, const char *what)
{
    struct image image;
    ck_assert_msg(is_read(file, &image, true), "%s: %s", what, error_message());
    ck_assert_msg(is_same(&image, pixels), "%s: other pixels", what);
    image_free(&image);
}

static struct bytes with_bytes(const struct bytes *file, size_t at, const void *more, size_t count)
{
    struct bytes made = {0};
    bytes_put(&made, file->data, at);
    bytes_put(&made, more, count);
    bytes_put(&made, file->data + at, file->count - at);
    return made;
}

static void expect_with(const struct bytes *file, const struct image *pixels, size_t at,
                        const void *more, size_t count, const char *what)
{
    struct bytes made = with_bytes(file, at, more, count);
    expect(&made, pixels, what);
    bytes_free(&made);
}

/* Every beginning of the file is refused or has all pixels; returns the shortest that is read. */
static size_t try_beginnings(const struct bytes *file, const struct image *pixels)
{
    size_t least = file->count;
    for (size_t n = file->count; n-- > 0;) {
        struct bytes cut = {file->data, n, n};
        struct image image;
        if (!is_read(&cut, &image, n % 16 == 0)) continue;
        ck_assert_msg(is_same(&image, pixels), "%zu of %zu bytes: other pixels", n, file->count);
        image_free(&image);
        least = n;
    }
    return least;
}

/* ---- JPEG ---- */

static size_t find_marker(const struct bytes *file, int code, size_t from)
{
    for (size_t i = from; i + 1 < file->count; i++)
        if (file->data[i] == 0xFF && file->data[i + 1] == code) return i;
    ck_abort_msg("no marker %02X", (unsigned)code);
    return 0;
}

START_TEST(jpeg_damage)
{
    struct bytes file = make_jpeg((enum jpeg_kind)_i);
    struct image pixels;
    ck_assert(is_read(&file, &pixels, true));
    size_t end = file.count - 2;

    /* without EOI, or with half of it; nothing shorter has all pixels */
    struct bytes cut = {file.data, end, end};
    expect(&cut, &pixels, "no EOI");
    ck_assert_uint_eq(try_beginnings(&file, &pixels), end);

    /* stray bytes before EOI, before segments, behind the end */
    expect_with(&file, &pixels, end, "\0", 1, "a zero before EOI");
    expect_with(&file, &pixels, end, "\0\0\0\0\0\0\0\0\0\0\0", 11, "zeros before EOI");
    expect_with(&file, &pixels, end, "stray bytes", 11, "text before EOI");
    expect_with(&file, &pixels, find_marker(&file, 0xDB, 0), "abc", 3, "before DQT");
    expect_with(&file, &pixels, find_marker(&file, 0xDA, 0), "abc", 3, "before SOS");
    expect_with(&file, &pixels, file.count, "abc", 3, "behind EOI");
    if (_i == RESTARTS)
        expect_with(&file, &pixels, find_marker(&file, 0xD1, 0), "\0\0", 2, "before RST1");
    struct bytes both = with_bytes(&cut, end, "stray", 5);
    expect(&both, &pixels, "text, and no EOI");
    bytes_free(&both);
    image_free(&pixels);
    bytes_free(&file);
}
END_TEST

/* Scans that are missing as a whole leave no trace but a missing end marker. */
START_TEST(jpeg_without_its_last_scan)
{
    static const enum jpeg_kind kinds[] = {PROGRESSIVE, SEPARATE_SCANS};
    struct bytes file = make_jpeg(kinds[_i]);
    size_t last = 0;
    for (size_t i = 0; i + 1 < file.count; i++)
        if (file.data[i] == 0xFF && file.data[i + 1] == 0xDA) last = i;
    struct bytes cut = {file.data, last, last};
    struct image image;
    ck_assert(!is_read(&cut, &image, true));
    ck_assert_ptr_nonnull(strstr(error_message(), "too early"));
    bytes_free(&file);
}
END_TEST

/* ---- PNG ---- */

START_TEST(png_damage)
{
    struct bytes file = make_png((enum png_kind)_i);
    struct image pixels;
    ck_assert(is_read(&file, &pixels, true));
    ck_assert_int_eq(pixels.width, _i == TURNED || _i == PROFILE ? 6 : _i == ADAM7 ? 1 : 9);
    size_t end = file.count - 12, text = 12 + 14;

    ck_assert_uint_eq(try_beginnings(&file, &pixels), end - text);
    expect_with(&file, &pixels, file.count, "stray bytes", 11, "behind IEND");

    /* One bit: IEND, texts and gamma may be damaged, all else is found out. */
    size_t kept = 0;
    for (size_t bit = 8 * 8; bit < 8 * file.count; bit++) {
        struct image image;
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool read = is_read(&file, &image, bit % 61 == 0);
        file.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (!read) continue;
        ck_assert_msg(is_same(&image, &pixels), "byte %zu bit %zu: other pixels", bit / 8, bit % 8);
        image_free(&image);
        kept++;
    }
    ck_assert_uint_ge(kept, 8 * (12 + 14 + 4 + 10)); /* IEND, a text, a CRC, what the other says */
    image_free(&pixels);
    bytes_free(&file);
}
END_TEST

/* ---- which way is up ---- */

/* SHORT, LONG and BYTE, in both orders; other types and counts say nothing. */
START_TEST(orientation_types)
{
    static const struct {
        uint8_t type, value_at[2]; /* little-endian, big-endian */
        int upright;
    } types[] = {
        {3, {18, 19}, 0}, {4, {18, 21}, 0}, {1, {18, 18}, 0}, {7, {18, 19}, 1}, {9, {18, 21}, 1}};
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int big = 0; big < 2; big++)
            for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
                uint8_t exif[64], named[80] = "Exif\0";
                size_t count = exif_block(exif, 0, !big);
                exif[big ? 13 : 12] = types[i].type;
                exif[types[i].value_at[big]] = (uint8_t)orientation;
                int wanted = types[i].upright ? 1 : orientation;
                ck_assert_int_eq(exif_orientation(exif, count), wanted);
                memcpy(named + 6, exif, count);
                ck_assert_int_eq(exif_orientation(named, count + 6), wanted);
            }
    uint8_t exif[64];
    size_t count = exif_block(exif, 6, true);
    exif[12] = 4;
    exif[20] = 1; /* 65542 */
    ck_assert_int_eq(exif_orientation(exif, count), 1);
}
END_TEST

START_TEST(orientation_in_png_text)
{
    for (int orientation = 1; orientation <= 8; orientation++)
        for (int kind = 0; kind < PROFILE_KINDS; kind++)
            for (int late = 0; late < 2; late++) {
                struct bytes file = {0};
                png_put_start(&file, 2, 1, 8, 0, false);
                if (!late) put_profile_chunk(&file, (enum profile_kind)kind, orientation);
                png_put_deflated(&file, "\0\1\2", 3);
                if (late) put_profile_chunk(&file, (enum profile_kind)kind, orientation);
                png_put_chunk(&file, "IEND", NULL, 0);
                struct image image;
                ck_assert(is_read(&file, &image, true));
                ck_assert_int_eq(image.width, orientation >= 5 ? 1 : 2);
                static const bool backwards[] = {0, 0, 1, 1, 0, 0, 0, 1, 1};
                ck_assert_int_eq(((uint8_t *)image.data)[0], backwards[orientation] ? 2 : 1);
                image_free(&image);
                bytes_free(&file);
            }
}
END_TEST

/* A profile that unpacks to 100 MB, one that is cut, one without digits: upright, and no time. */
START_TEST(hostile_profiles)
{
    uint8_t *zeros = calloc(100000000, 1);
    uLongf room = 200000;
    uint8_t *packed = malloc(room);
    ck_assert_int_eq(compress2(packed, &room, zeros, 100000000, 9), Z_OK);
    free(zeros);
    struct bytes body = {0};
    bytes_put(&body, "Raw profile type exif\0", 23);
    bytes_put(&body, packed, room);
    free(packed);
    for (size_t n = 0; n < body.count; n += n < 40 ? 1 : 9973) {
        struct bytes file = {0};
        png_put_start(&file, 2, 1, 8, 0, false);
        png_put_chunk(&file, "zTXt", body.data, n);
        png_put_chunk(&file, "iTXt", body.data, n);
        png_put_deflated(&file, "\0\1\2", 3);
        png_put_chunk(&file, "IEND", NULL, 0);
        struct image image;
        ck_assert(is_read(&file, &image, false));
        ck_assert_int_eq(image.width, 2);
        image_free(&image);
        bytes_free(&file);
    }
    bytes_free(&body);
}
END_TEST

Suite *image_damage_suite(void);
Suite *image_damage_suite(void)
{
    Suite *suite = suite_create("image_damage");
    TCase *tests = tcase_create("image_damage");
    tcase_add_unchecked_fixture(tests, be_quiet, NULL);
    tcase_add_loop_test(tests, jpeg_damage, 0, JPEG_KINDS);
    tcase_add_loop_test(tests, jpeg_without_its_last_scan, 0, 2);
    tcase_add_loop_test(tests, png_damage, 0, PNG_KINDS);
    tcase_add_test(tests, orientation_types);
    tcase_add_test(tests, orientation_in_png_text);
    tcase_add_test(tests, hostile_profiles);
    suite_add_tcase(suite, tests);
    return suite;
}
