/* Hostile and broken images: each is refused with ERR_DATA and a message that names the file,
 * within a second of processor time and 256 MiB; extreme but honest ones are read. */
#include "base/error.h"
#include "base/file.h"
#include "image/image.h"
#include "test/image/image_files.h"
#include "test/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A line of /proc/self/status in KiB: VmHWM, the memory that was touched at most, or VmPeak, the
 * memory that was asked for. */
static long peak_kib(const char *what)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, what, strlen(what)) == 0) sscanf(line + strlen(what), ": %ld", &kib);
    fclose(status);
    ck_assert_int_ge(kib, 0);
    return kib;
}

/* Through a file, as a user would meet it. Gives `file` back to the heap. */
static void assert_refused(struct bytes *file, const char *because)
{
    char path[] = "/tmp/imgtrain-hostile-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write_all(fd, file->data, file->count, path), OK);
    close(fd);
    bytes_free(file);
    struct image image = {.width = 1};
    long asked = peak_kib("VmPeak"), touched = peak_kib("VmHWM"); /* the parent's so far */
    double start = processor_seconds();
    int code = image_load(&image, path);
    double seconds = processor_seconds() - start;
    unlink(path);
    ck_assert_msg(code == ERR_DATA, "code %d: %s", code, error_message());
    ck_assert_ptr_null(image.data);
    ck_assert_int_eq(image.width, 0);
    ck_assert_msg(strstr(error_message(), path) && strstr(error_message(), because), "message: %s",
                  error_message());
    ck_assert_msg(!(seconds > 1.0), "took %.2f s", seconds);
    asked = peak_kib("VmPeak") - asked;
    ck_assert_msg(asked < 256 * 1024, "asked for %ld MiB", asked / 1024);
    touched = peak_kib("VmHWM") - touched;
    ck_assert_msg(touched < 256 * 1024, "took %ld MiB", touched / 1024);
}

static void put_text(struct bytes *file, const char *text)
{
    bytes_put(file, text, strlen(text));
}

/* ---- PNG ---- */

/* 50000x50000 RGB: 7 GiB. `body` bytes of image data stand in for the packed zeros. */
static struct bytes make_bomb(size_t body)
{
    struct bytes file = {0};
    uint8_t *zeros = calloc(body + 1, 1);
    png_put_start(&file, 50000, 50000, 8, 2, false);
    png_put_chunk(&file, "IDAT", zeros, body);
    png_put_chunk(&file, "IEND", NULL, 0);
    free(zeros);
    return file;
}

START_TEST(png_bombs)
{
    struct bytes small = make_bomb(1000), full = make_bomb(7300000);
    assert_refused(&small, "cannot hold");
    assert_refused(&full, "unpack to 7.0 GiB");
    struct bytes wide = {0};
    png_put_start(&wide, 0x7FFFFFFF, 0x7FFFFFFF, 16, 6, true);
    assert_refused(&wide, "broken PNG");
}
END_TEST

/* A text chunk that would unpack to 100 MB, and 3000 chunks of a kind we do not know. */
START_TEST(png_chunk_bombs)
{
    struct bytes file = {0}, raw = {0};
    uint8_t *zeros = calloc(100000000, 1);
    uLongf room = 200000;
    uint8_t *packed = malloc(room);
    ck_assert_int_eq(compress2(packed, &room, zeros, 100000000, 9), Z_OK);
    free(zeros);
    bytes_put(&raw, "Title\0", 7);
    bytes_put(&raw, packed, room);
    png_put_start(&file, 1, 1, 8, 0, false);
    png_put_chunk(&file, "zTXt", raw.data, raw.count);
    bytes_put8(&raw, 0);
    png_put_chunk(&file, "iCCP", raw.data, raw.count);
    for (int i = 0; i < 3000; i++)
        png_put_chunk(&file, "abCd", "xyz", 3);
    png_put_deflated(&file, "\0\7", 2);
    png_put_chunk(&file, "IEND", NULL, 0);
    struct image image;
    double start = processor_seconds();
    ck_assert_msg(image_decode(&image, file.data, file.count, "t") == OK, "%s", error_message());
    ck_assert_int_eq(((uint8_t *)image.data)[0], 7);
    ck_assert(!(processor_seconds() - start > 1.0));
    image_free(&image);
    bytes_free(&file);
    bytes_free(&raw);
    free(packed);
}
END_TEST

/* An eXIf chunk that claims 1 GiB: libpng would allocate it. */
START_TEST(png_exif_bomb)
{
    struct bytes file = {0};
    png_put_start(&file, 1, 1, 8, 0, false);
    bytes_put32(&file, 1u << 30);
    bytes_put(&file, "eXIfMM", 6);
    assert_refused(&file, "ends too early");
}
END_TEST

static void put_grey(struct bytes *file, unsigned width, unsigned height, size_t missing)
{
    size_t count = (width + 1u) * (size_t)height;
    uint8_t *raw = calloc(count, 1);
    png_put_start(file, width, height, 8, 0, false);
    png_put_deflated(file, raw, count - missing);
    png_put_chunk(file, "IEND", NULL, 0);
    free(raw);
}

START_TEST(honest_extremes)
{
    static const unsigned sizes[][2] = {{1, 1}, {1, 65535}, {65535, 1}, {131072, 1}, {1, 131072}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct bytes file = {0};
        put_grey(&file, sizes[i][0], sizes[i][1], 0);
        struct image image;
        ck_assert_msg(image_decode(&image, file.data, file.count, "t") == OK, "%s",
                      error_message());
        ck_assert_int_eq(image.width, (int)sizes[i][0]);
        ck_assert_int_eq(image.height, (int)sizes[i][1]);
        image_free(&image);
        bytes_free(&file);
    }
    struct bytes beyond = {0}, empty = {0}, lacking = {0};
    put_grey(&beyond, 131073, 1, 0);
    assert_refused(&beyond, "Invalid IHDR");
    png_put_start(&empty, 0, 5, 8, 0, false);
    assert_refused(&empty, "broken PNG");
    put_grey(&lacking, 100, 100, 101);
    assert_refused(&lacking, "broken PNG");
}
END_TEST

/* A single colour at 8000x8000 packs 1000-fold and is still an image. */
START_TEST(flat_picture_is_no_bomb)
{
    struct image image, back;
    uint8_t *data;
    size_t count;
    ck_assert_int_eq(image_create(&image, 8000, 8000, 1, SAMPLE_U8), OK);
    ck_assert_int_eq(image_encode_png(&image, &data, &count), OK);
    ck_assert_uint_lt(count, 400000);
    ck_assert_msg(image_decode(&back, data, count, "t") == OK, "%s", error_message());
    image_free(&back);
    free(data);
    ck_assert_int_eq(image_encode_jpeg(&image, 50, &data, &count), OK);
    ck_assert_msg(image_decode(&back, data, count, "t") == OK, "%s", error_message());
    image_free(&back);
    image_free(&image);
    free(data);
}
END_TEST

/* ---- JPEG ---- */

static struct bytes make_jpeg(int width, int height)
{
    struct image image;
    struct bytes file = {0};
    ck_assert_int_eq(image_create(&image, width, height, 1, SAMPLE_U8), OK);
    ck_assert_int_eq(image_encode_jpeg(&image, 90, &file.data, &file.count), OK);
    file.room = file.count;
    image_free(&image);
    return file;
}

/* The offset of the first marker of this kind. */
static size_t find_marker(const struct bytes *file, int code)
{
    for (size_t i = 0; i + 1 < file->count; i++)
        if (file->data[i] == 0xFF && file->data[i + 1] == code) return i;
    ck_abort_msg("no marker %02X", (unsigned)code);
    return 0;
}

static void set_jpeg_size(struct bytes *file, int width, int height)
{
    uint8_t *frame = file->data + find_marker(file, 0xC0);
    frame[5] = (uint8_t)(height >> 8);
    frame[6] = (uint8_t)height;
    frame[7] = (uint8_t)(width >> 8);
    frame[8] = (uint8_t)width;
}

START_TEST(jpeg_bombs)
{
    struct bytes claim = make_jpeg(64, 64);
    set_jpeg_size(&claim, 60000, 60000);
    assert_refused(&claim, "cannot hold");

    struct bytes many = make_jpeg(8, 8); /* its only scan 65 times */
    size_t scan = find_marker(&many, 0xDA), end = many.count - 2;
    struct bytes copy = {0};
    bytes_put(&copy, many.data, end);
    for (int i = 0; i < 64; i++)
        bytes_put(&copy, many.data + scan, end - scan);
    bytes_put(&copy, "\xFF\xD9", 2);
    assert_refused(&copy, "more than 64 scans");

    struct bytes busy = {0}; /* 60 scans over 9 megapixels from a file of 10 kB */
    bytes_put(&busy, many.data, end);
    set_jpeg_size(&busy, 3000, 3000);
    for (int i = 0; i < 60; i++)
        bytes_put(&busy, many.data + scan, end - scan);
    while (busy.count < 10000)
        bytes_put(&busy, "\xFF\xFE\0\2", 4); /* empty comments */
    bytes_put(&busy, "\xFF\xD9", 2);
    assert_refused(&busy, "61 scans");
    bytes_free(&many);
}
END_TEST

START_TEST(jpeg_lies)
{
    struct bytes taller = make_jpeg(16, 16); /* more rows than data: a decoder would make them up */
    set_jpeg_size(&taller, 16, 400);
    assert_refused(&taller, "broken JPEG");
    struct bytes two = make_jpeg(16, 16), components = {0};
    size_t frame = find_marker(&two, 0xC0);
    bytes_put(&components, two.data, two.count);
    components.data[frame + 9] = 2;
    assert_refused(&components, "2 components");
    struct bytes twice = {0}; /* two frame headers of different sizes */
    bytes_put(&twice, two.data, frame);
    bytes_put(&twice, two.data + frame, 13);
    bytes_put(&twice, two.data + frame, two.count - frame);
    twice.data[frame + 8] = 8;
    assert_refused(&twice, "broken JPEG");
    bytes_free(&two);
}
END_TEST

/* Orientation 9, 0, a wild offset, a huge count, a cut block: all read as upright. */
START_TEST(broken_exif_is_ignored)
{
    static const uint8_t patches[][3] = {/* offset in the TIFF block, value, size that is kept */
                                         {18, 9, 26},  {18, 0, 26}, {4, 200, 26}, {8, 255, 26},
                                         {7, 255, 26}, {12, 7, 26}, {0, 'X', 26}, {2, 41, 26},
                                         {18, 6, 19},  {18, 6, 9},  {18, 6, 3}};
    struct bytes plain = make_jpeg(24, 8);
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        uint8_t exif[64];
        exif_block(exif, 6, true);
        exif[patches[i][0]] = patches[i][1];
        struct bytes file = {0};
        bytes_put(&file, plain.data, 2);
        bytes_put(&file, "\xFF\xE1\0", 3);
        bytes_put8(&file, patches[i][2] + 8u);
        bytes_put(&file, "Exif\0", 6);
        bytes_put(&file, exif, patches[i][2]);
        bytes_put(&file, plain.data + 2, plain.count - 2);
        struct image image;
        ck_assert_msg(image_decode(&image, file.data, file.count, "t") == OK, "%s",
                      error_message());
        bool kept_tag = patches[i][0] == 8; /* a count of 255 entries, the first of them ours */
        ck_assert_int_eq(image.width, kept_tag ? 8 : 24);
        image_free(&image);
        bytes_free(&file);
    }
    bytes_free(&plain);
}
END_TEST

/* ---- PNM, PFM, anything ---- */

static const struct {
    const char *text, *because;
} broken[] = {
    {"", "empty"},
    {"P", "not a PNG"},
    {"GIF89a", "not a PNG"},
    {"P8 1 1 255 x", "not a PNG"},
    {"P5", "not a PNG"},
    {"P5 ", "number is missing"},
    {"P5 1 1 255", "header ends"},
    {"P5 1 1 255 ", "samples are missing"},
    {"P5 0 1 255 x", "outside the limits"},
    {"P5 -1 1 255 x", "number is missing"},
    {"P5 1 1 0 x", "largest value"},
    {"P5 1 1 65536 xx", "largest value"},
    {"P5 1 1 100 x", "larger than the header's maximum"},
    {"P2 1 1 9 10 ", "larger than the header's maximum"},
    {"P2 2 1 9 1", "samples are missing"},
    {"P2 2 1 9 1#", "a number is missing"},
    {"P1 2 1 12", "a bit is missing"},
    {"P6 99999 99999 255 x", "cannot hold"},
    {"P5 4294967297 1 255 x", "number is too large"},
    {"P5 131073 1 255 x", "outside the limits"},
    {"P5 #comment without end", "number is missing"},
    {"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\n", "header ends"},
    {"P7\nENDHDR\nx", "largest value"},
    {"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 65\nMAXVAL 255\nENDHDR\nx", "outside the limits"},
    {"PF\n1 1\n-1.0\nabcd", "samples are missing"},
    {"Pf\n1 1\n-1.0\nabc", "samples are missing"},
    {"Pf\n1 1\n0.0\nabcd", "header is not"},
    {"Pf\n1 x\n1\nabcd", "header is not"},
    {"Pf\n1 1", "header is not"},
    {"Pf\n1 1\n-1.0\nab\xC0\x7F", "not a finite"},
    {"\x89PNG\r\n\x1a\n", "ends too early"},
    {"\xFF\xD8\xFF", "no frame header"},
};

enum { BROKEN = sizeof broken / sizeof broken[0] };

START_TEST(broken_files)
{
    struct bytes file = {0};
    put_text(&file, broken[_i].text);
    assert_refused(&file, broken[_i].because);
}
END_TEST

/* Every beginning of a good file, of every format, is refused, unless it has all pixels, and leaks
 * nothing. */
START_TEST(truncated_files)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, 9, 7, 3, _i == 3 ? SAMPLE_F32 : SAMPLE_U8), OK);
    for (int i = 0; i < 9 * 7 * 3 && _i != 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(i * i);
    static const char *const names[] = {"t.png", "t.jpg", "t.ppm", "t.pfm"};
    char path[64];
    snprintf(path, sizeof path, "/tmp/imgtrain-truncated-%ld-%s", (long)getpid(), names[_i]);
    ck_assert_int_eq(image_save(&image, path), OK);
    image_free(&image);
    uint8_t *data;
    size_t count;
    ck_assert_int_eq(file_read(path, 1 << 20, &data, &count), OK);
    unlink(path);
    static const size_t end[] = {12, 2, 0, 0}; /* IEND, EOI */
    for (size_t n = 0; n < count - end[_i]; n++) {
        uint8_t *exact = malloc(n + !n); /* so that a sanitizer sees a read beyond the end */
        memcpy(exact, data, n);
        ck_assert_msg(image_decode(&image, exact, n, "t") == ERR_DATA, "%zu of %zu bytes", n,
                      count);
        ck_assert_ptr_null(image.data);
        free(exact);
    }
    ck_assert_int_eq(image_decode(&image, data, count, "t"), OK);
    image_free(&image);
    free(data);
}
END_TEST

START_TEST(not_files)
{
    struct image image;
    ck_assert_int_eq(image_load(&image, "/nowhere/a.png"), ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "/nowhere/a.png"));
    ck_assert_int_eq(image_load(&image, "/tmp"), ERR_DATA);
    ck_assert_int_eq(image_load(&image, "/dev/zero"), ERR_DATA);
}
END_TEST

Suite *image_hostile_suite(void);
Suite *image_hostile_suite(void)
{
    Suite *suite = suite_create("image_hostile");
    TCase *tests = tcase_create("image_hostile");
    tcase_add_test(tests, png_bombs);
    tcase_add_test(tests, png_chunk_bombs);
    tcase_add_test(tests, png_exif_bomb);
    tcase_add_test(tests, honest_extremes);
    tcase_add_test(tests, flat_picture_is_no_bomb);
    tcase_add_test(tests, jpeg_bombs);
    tcase_add_test(tests, jpeg_lies);
    tcase_add_test(tests, broken_exif_is_ignored);
    tcase_add_loop_test(tests, broken_files, 0, BROKEN);
    tcase_add_loop_test(tests, truncated_files, 0, 4);
    tcase_add_test(tests, not_files);
    suite_add_tcase(suite, tests);
    return suite;
}
