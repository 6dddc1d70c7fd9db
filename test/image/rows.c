/* Images row by row give what whole images give, bit for bit, and hold only some rows. */
#include "image/rows.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/spill.h"
#include "test/image/image_files.h"
#include "test/support.h"

#include <math.h>

static struct image drawn(int width, int height, int channels, enum sample_type type)
{
    struct image image, typed;
    ck_assert_int_eq(image_create(&image, width, height, channels, SAMPLE_F32), OK);
    float *to = image.data;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                *to++ = (float)(0.5 + 0.5 * sin(0.37 * x * (c + 1) + 0.11 * y * y));
    ck_assert_int_eq(image_convert(&typed, &image, type), OK);
    image_free(&image);
    return typed;
}

static void assert_same(const struct image *a, const struct image *b)
{
    ck_assert_int_eq(a->width, b->width);
    ck_assert_int_eq(a->height, b->height);
    ck_assert_int_eq(a->channels, b->channels);
    ck_assert_int_eq(a->type, b->type);
    ck_assert_int_eq(memcmp(a->data, b->data, image_bytes(a)), 0);
}

/* ---- reading ---- */

/* Collects, and notes how many rows came at a time at most. */
struct watcher {
    struct image whole;
    struct image_sink collector;
    int most_rows;
};

static int watch_begin(void *argument, const struct image *shape)
{
    struct watcher *w = argument;
    w->collector = image_collector(&w->whole);
    return w->collector.begin(&w->whole, shape);
}

static int watch_put(void *argument, struct image *rows, int y)
{
    struct watcher *w = argument;
    if (rows->height > w->most_rows) w->most_rows = rows->height;
    return w->collector.put(&w->whole, rows, y);
}

static const struct {
    const char *file;
    int channels;
    enum sample_type type;
} files[] = {{"a.png", 3, SAMPLE_U8},  {"b.png", 4, SAMPLE_U16}, {"c.jpg", 3, SAMPLE_U8},
             {"d.ppm", 3, SAMPLE_U16}, {"e.pgm", 1, SAMPLE_U8},  {"f.pfm", 3, SAMPLE_F32}};

START_TEST(reads_what_load_reads)
{
    struct image image = drawn(700, 1800, files[_i].channels, files[_i].type), loaded;
    struct watcher w = {0};
    const struct image_sink sink = {watch_begin, watch_put, &w};
    const char *path = in_folder(files[_i].file);
    ck_assert_int_eq(image_save(&image, path), OK);
    ck_assert_int_eq(image_load(&loaded, path), OK);
    ck_assert_msg(image_stream(path, 1, &sink) == OK, "%s", error_message());
    assert_same(&w.whole, &loaded);
    ck_assert_int_le(w.most_rows, image_band_rows(&image));
    ck_assert_int_lt(w.most_rows, 1800);
    image_free(&image);
    image_free(&loaded);
    image_free(&w.whole);
}
END_TEST

static int refuse(void *argument, struct image *rows, int y)
{
    (void)argument, (void)rows;
    return fail(ERR_IO, "no room from row %d on", y);
}

START_TEST(passes_the_sinks_failure_on)
{
    struct image image = drawn(50, 40, files[_i].channels, files[_i].type);
    const struct image_sink sink = {.put = refuse};
    const char *path = in_folder(files[_i].file);
    ck_assert_int_eq(image_save(&image, path), OK);
    ck_assert_int_eq(image_stream(path, 0, &sink), ERR_IO);
    ck_assert_str_eq(error_message(), "no room from row 0 on");
    image_free(&image);
}
END_TEST

static struct bytes progressive_jpeg(const struct image *image)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long count = 0;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &count);
    info.image_width = (JDIMENSION)image->width;
    info.image_height = (JDIMENSION)image->height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_simple_progression(&info);
    jpeg_start_compress(&info, TRUE);
    for (int y = 0; y < image->height; y++) {
        JSAMPROW line = (uint8_t *)image->data + (size_t)y * (size_t)image->width * 3;
        jpeg_write_scanlines(&info, &line, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return (struct bytes){data, count, count};
}

/* Files that cannot be read row by row: within the limit they are read whole, beyond it refused. */
static void assert_limited(struct bytes *file, size_t needs, const char *because)
{
    const char *path = in_folder("whole");
    ck_assert_int_eq(file_atomic_write_whole(path, file->data, file->count, false), OK);
    struct image loaded, whole;
    struct image_sink sink = image_collector(&whole);
    ck_assert_int_eq(image_stream(path, needs - 1, &sink), ERR_DEVICE_MEMORY);
    ck_assert_msg(strstr(error_message(), because) && strstr(error_message(), path), "%s",
                  error_message());
    image_free(&whole);
    sink = image_collector(&whole);
    ck_assert_msg(image_stream(path, needs, &sink) == OK, "%s", error_message());
    ck_assert_int_eq(image_load(&loaded, path), OK);
    assert_same(&loaded, &whole);
    image_free(&loaded);
    image_free(&whole);
    bytes_free(file);
}

START_TEST(bounds_what_must_be_whole)
{
    struct image image = drawn(64, 48, 3, SAMPLE_U8);
    struct bytes plain = {0}, file = progressive_jpeg(&image);
    assert_limited(&file, 2 * 64 * 48 * 3, "progressive");
    ck_assert_int_eq(image_encode_jpeg(&image, 90, &plain.data, &plain.count), OK);
    file = jpeg_with_exif(&plain, 6, true);
    assert_limited(&file, 2 * 64 * 48 * 3, "turned");
    file = (struct bytes){0};
    uint8_t pixel[2] = {0, 99}; /* a filter byte, and the only pixel: of the first pass */
    png_put_start(&file, 1, 1, 8, 0, true);
    png_put_deflated(&file, pixel, sizeof pixel);
    png_put_chunk(&file, "IEND", NULL, 0);
    struct image one;
    ck_assert_msg(image_decode(&one, file.data, file.count, "one") == OK, "%s", error_message());
    ck_assert_int_eq(((uint8_t *)one.data)[0], 99);
    image_free(&one);
    bytes_free(&file);
    png_put_start(&file, 300, 200, 8, 2, true);
    png_put_chunk(&file, "IDAT", image.data, 1000); /* noise: not looked at */
    ck_assert_int_eq(file_atomic_write_whole(in_folder("a.png"), file.data, file.count, false), OK);
    struct image_sink sink = image_collector(&one);
    ck_assert_int_eq(image_stream(in_folder("a.png"), 179999, &sink), ERR_DEVICE_MEMORY);
    ck_assert_ptr_nonnull(strstr(error_message(), "interlaced"));
    bytes_free(&file);
    bytes_free(&plain);
    image_free(&image);
}
END_TEST

/* ---- two side by side ---- */

/* Rows of an image, so many at a time; fails in place of the band with row fail_at. */
struct feeder {
    struct image *image;
    int band, fail_at;
};

static int feed(void *argument, const struct image_sink *sink)
{
    const struct feeder *f = argument;
    if (f->fail_at == -2) return fail(ERR_INPUT, "%p is not there", argument);
    TRY(sink->begin(sink->argument, f->image));
    for (int y = 0; y < f->image->height; y += f->band) {
        struct image rows = *f->image;
        rows.height = rows.height - y < f->band ? rows.height - y : f->band;
        rows.data =
            (uint8_t *)rows.data + image_bytes(f->image) / (size_t)f->image->height * (size_t)y;
        if (f->fail_at >= y && f->fail_at < y + f->band)
            return fail(ERR_DATA, "%p fails", argument);
        TRY(sink->put(sink->argument, &rows, y));
    }
    return f->fail_at >= f->image->height ? fail(ERR_DATA, "%p fails", argument) : OK;
}

struct both {
    struct image_sink to[2];
    int y, stop_at;
};

static int both_begin(void *argument, const struct image *a, const struct image *b)
{
    struct both *both = argument;
    if (a->height != b->height) return fail(ERR_USAGE, "heights");
    TRY(both->to[0].begin(both->to[0].argument, a));
    return both->to[1].begin(both->to[1].argument, b);
}

static int both_put(void *argument, const struct image *a, const struct image *b)
{
    struct both *both = argument;
    struct image rows_a = *a, rows_b = *b;
    ck_assert_int_eq(a->height, b->height);
    if (both->y >= both->stop_at) return fail(ERR_IO, "full");
    TRY(both->to[0].put(both->to[0].argument, &rows_a, both->y));
    TRY(both->to[1].put(both->to[1].argument, &rows_b, both->y));
    both->y += a->height;
    return OK;
}

static int stream_both(struct feeder *a, struct feeder *b, int stop_at, struct image *out_a,
                       struct image *out_b)
{
    const struct image_source sources[2] = {{feed, a}, {feed, b}};
    struct both both = {{image_collector(out_a), image_collector(out_b)}, 0, stop_at};
    const struct image_pair_sink to = {both_begin, both_put, &both};
    return image_stream_pair(&sources[0], &sources[1], &to);
}

START_TEST(two_in_step)
{
    static const int bands[][2] = {{1, 1}, {7, 3}, {3, 64}, {50, 7}, {49, 50}};
    struct image a = drawn(30, 100, 3, SAMPLE_U8), b = drawn(30, 100, 1, SAMPLE_U16), got[2];
    struct image other = drawn(30, 99, 3, SAMPLE_U8);
    for (size_t i = 0; i < sizeof bands / sizeof bands[0]; i++) {
        struct feeder fa = {&a, bands[i][0], -1}, fb = {&b, bands[i][1], -1};
        ck_assert_int_eq(stream_both(&fa, &fb, 1000, &got[0], &got[1]), OK);
        assert_same(&got[0], &a);
        assert_same(&got[1], &b);
        image_free(&got[0]);
        image_free(&got[1]);
        ck_assert_int_eq(stream_both(&fa, &fb, 60, &got[0], &got[1]), ERR_IO);
        ck_assert_str_eq(error_message(), "full");
        image_free(&got[0]);
        image_free(&got[1]);
        fb.image = &other;
        ck_assert_int_eq(stream_both(&fa, &fb, 1000, &got[0], &got[1]), ERR_USAGE);
        fb.image = &b;
        for (int fail_at = -2; fail_at <= 100; fail_at += 17) { /* missing; broken; at its end */
            struct feeder broken[2] = {{&a, bands[i][0], fail_at}, {&b, bands[i][1], fail_at}};
            for (int which = 0; which < 2; which++) {
                char wanted[64];
                snprintf(wanted, sizeof wanted, fail_at == -2 ? "%p is not there" : "%p fails",
                         (void *)&broken[which]);
                int code = which ? stream_both(&fa, &broken[1], 1000, &got[0], &got[1])
                                 : stream_both(&broken[0], &fb, 1000, &got[0], &got[1]);
                ck_assert_int_eq(code, fail_at == -2 ? ERR_INPUT : ERR_DATA);
                ck_assert_str_eq(error_message(), wanted);
                image_free(&got[0]);
                image_free(&got[1]);
            }
        }
    }
    image_free(&a);
    image_free(&b);
    image_free(&other);
}
END_TEST

/* ---- scaling ---- */

static const struct {
    int from[2], to[2], channels;
    enum sample_type type;
} sizes[] = {
    {{1200, 800}, {1024, 683}, 3, SAMPLE_U8}, {{1200, 800}, {37, 25}, 3, SAMPLE_U8},
    {{1200, 800}, {1200, 1}, 4, SAMPLE_U16},  {{301, 407}, {300, 407}, 3, SAMPLE_F32},
    {{301, 407}, {602, 900}, 2, SAMPLE_U8},   {{301, 407}, {150, 900}, 1, SAMPLE_U16},
    {{1, 9000}, {1, 2048}, 3, SAMPLE_U8},     {{9000, 1}, {2048, 1}, 3, SAMPLE_U8},
    {{3, 3}, {1, 1}, 3, SAMPLE_U8},           {{1, 131072}, {1, 100}, 1, SAMPLE_U8},
};

START_TEST(scales_as_resize_does)
{
    struct image image =
        drawn(sizes[_i].from[0], sizes[_i].from[1], sizes[_i].channels, sizes[_i].type);
    static const int bands[] = {1, 7, 64, 1 << 20};
    struct image wanted, scaled;
    ck_assert_int_eq(image_resize(&wanted, &image, sizes[_i].to[0], sizes[_i].to[1]), OK);
    for (size_t b = 0; b < sizeof bands / sizeof bands[0]; b++) {
        struct image_scaler *scaler;
        struct image_sink sink = image_collector(&scaled);
        ck_assert_int_eq(
            image_scaler_open(&scaler, &image, sizes[_i].to[0], sizes[_i].to[1], &sink), OK);
        size_t row = image_bytes(&image) / (size_t)image.height;
        for (int y = 0; y < image.height; y += bands[b]) {
            struct image rows = image;
            rows.height = image.height - y < bands[b] ? image.height - y : bands[b];
            rows.data = (uint8_t *)image.data + (size_t)y * row;
            ck_assert_msg(image_scaler_put(scaler, &rows) == OK, "%s", error_message());
        }
        image_scaler_close(scaler);
        assert_same(&scaled, &wanted);
        image_free(&scaled);
    }
    image_free(&wanted);
    image_free(&image);
}
END_TEST

/* ---- writing ---- */

START_TEST(writes_what_save_writes)
{
    struct image image = drawn(400, 300, files[_i].channels, files[_i].type);
    const char *whole = in_folder(files[_i].file);
    char path[256];
    snprintf(path, sizeof path, "%s/rows-%s", folder, files[_i].file);
    ck_assert_int_eq(image_save(&image, whole), OK);
    struct image_writer *writer;
    ck_assert_msg(image_writer_open(&writer, path, &image) == OK, "%s", error_message());
    size_t row = image_bytes(&image) / 300;
    for (int y = 0; y < 300; y += 45) {
        struct image rows = image;
        rows.height = 300 - y < 45 ? 300 - y : 45;
        rows.data = (uint8_t *)image.data + (size_t)y * row;
        ck_assert_int_eq(image_writer_put(writer, &rows), OK);
    }
    ck_assert(!file_exists(path));
    ck_assert_msg(image_writer_commit(writer) == OK, "%s", error_message());
    image_writer_close(writer);
    uint8_t *a, *b;
    size_t a_bytes, b_bytes;
    ck_assert_int_eq(file_read(whole, 1 << 24, &a, &a_bytes), OK);
    ck_assert_int_eq(file_read(path, 1 << 24, &b, &b_bytes), OK);
    ck_assert_uint_eq(a_bytes, b_bytes);
    ck_assert_int_eq(memcmp(a, b, a_bytes), 0);
    free(a);
    free(b);
    image_free(&image);
}
END_TEST

START_TEST(drops_what_is_not_committed)
{
    struct image image = drawn(40, 30, 3, SAMPLE_U8);
    struct image_writer *writer;
    ck_assert_int_eq(image_writer_open(&writer, in_folder("a.png"), &image), OK);
    ck_assert_int_eq(image_writer_put(writer, &image), OK);
    image_writer_close(writer);
    ck_assert_int_eq(entries(folder), 0);
    ck_assert_int_eq(image_writer_open(&writer, in_folder("none/a.png"), &image), ERR_OUTPUT);
    ck_assert_ptr_null(writer);
    image_writer_close(NULL);
    image_free(&image);
    image = drawn(40, 30, 5, SAMPLE_U8);
    ck_assert_int_eq(image_writer_open(&writer, in_folder("b.png"), &image), ERR_USAGE);
    image_free(&image);
    ck_assert_int_eq(entries(folder), 0);
}
END_TEST

/* ---- bytes outside memory ---- */

START_TEST(spill_keeps_bytes)
{
    const char *dirs[] = {folder, NULL, "/nowhere"};
    for (int d = 0; d < 3; d++) {
        struct spill s;
        ck_assert_msg(spill_open(&s, dirs[d], 5000) == OK, "%s", error_message());
        ck_assert(spill_is_file(&s) == (d == 0));
        ck_assert_int_eq(entries(folder), 0);
        for (int i = 0; i < 50; i++) {
            char block[100];
            memset(block, i, sizeof block);
            ck_assert_int_eq(spill_write(&s, block, sizeof block), OK);
        }
        ck_assert_int_eq(spill_write(&s, "more", 4), ERR_INTERNAL);
        ck_assert_int_eq(spill_end(&s), OK);
        for (int i = 0; i < 5000; i++)
            ck_assert_int_eq(((const char *)s.data)[i], i / 100);
        spill_free(&s);
        ck_assert_ptr_null(s.data);
    }
    struct spill s;
    ck_assert_int_eq(spill_open(&s, folder, (size_t)1 << 52), ERR_IO); /* no disk has that */
    ck_assert_int_eq(spill_open(&s, folder, 10), OK);
    ck_assert_int_eq(spill_end(&s), ERR_INTERNAL); /* nothing was written */
    spill_free(&s);
    spill_free(&s);
}
END_TEST

Suite *rows_suite(void);

Suite *rows_suite(void)
{
    enum { FILES = sizeof files / sizeof files[0], SIZES = sizeof sizes / sizeof sizes[0] };
    Suite *suite = suite_create("rows");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, set_up, folder_remove);
    tcase_add_loop_test(all, reads_what_load_reads, 0, FILES);
    tcase_add_loop_test(all, passes_the_sinks_failure_on, 0, FILES);
    tcase_add_test(all, bounds_what_must_be_whole);
    tcase_add_test(all, two_in_step);
    tcase_add_loop_test(all, scales_as_resize_does, 0, SIZES);
    tcase_add_loop_test(all, writes_what_save_writes, 0, FILES);
    tcase_add_test(all, drops_what_is_not_committed);
    tcase_add_test(all, spill_keeps_bytes);
    suite_add_tcase(suite, all);
    return suite;
}
