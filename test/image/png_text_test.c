/* Words in PNGs: read back, and files that are cut off or wrong in any byte. */
#include "image/png_text.h"
#include "test/support.h"

#include <math.h>

static void small_png(uint8_t **data, size_t *bytes)
{
    struct image image;
    struct png_texts texts = {0};
    MUST(image_create(&image, 5, 3, 3, SAMPLE_U8));
    MUST(image_encode_png(&image, data, bytes));
    image_free(&image);
    MUST(png_texts_add(&texts, "prompt", "a caf\xC3\xA9"));
    MUST(png_texts_add(&texts, "seed", "42"));
    MUST(png_texts_add(&texts, "empty", ""));
    MUST(png_texts_insert(&texts, data, bytes));
    png_texts_free(&texts);
}

START_TEST(what_is_written_is_read)
{
    uint8_t *data;
    size_t bytes;
    struct image image;
    struct png_texts texts;
    small_png(&data, &bytes);
    MUST(file_atomic_write_whole(in_folder("a.png"), data, bytes, false));
    MUST(image_decode(&image, data, bytes, "a.png"));
    ck_assert(image.width == 5 && image.height == 3);
    image_free(&image);
    free(data);
    MUST(image_check_png(in_folder("a.png")));
    MUST(png_texts_read(&texts, in_folder("a.png")));
    ck_assert_int_eq(texts.count, 3);
    ck_assert_str_eq(png_texts_find(&texts, "prompt"), "a caf\xC3\xA9");
    ck_assert_str_eq(png_texts_find(&texts, "seed"), "42");
    ck_assert_str_eq(png_texts_find(&texts, "empty"), "");
    ck_assert_ptr_null(png_texts_find(&texts, "see"));
    png_texts_free(&texts);
    ck_assert_int_eq(png_texts_read(&texts, in_folder("none.png")), ERR_INPUT);
}
END_TEST

/* Copied to memory of exactly its size, so that a sanitizer sees a byte too far. */
START_TEST(broken_files)
{
    uint8_t *data;
    size_t bytes;
    struct png_texts texts;
    small_png(&data, &bytes);
    const uint8_t *pixels = memmem(data, bytes, "IDAT", 4);
    ck_assert_ptr_nonnull(pixels);
    size_t from = (size_t)(pixels - data) - 4, to = bytes - 12; /* IEND is the last */
    for (size_t cut = 0; cut < bytes; cut++) {
        MUST(file_atomic_write_whole(in_folder("cut.png"), data, cut, false));
        int code = png_texts_read(&texts, in_folder("cut.png"));
        ck_assert_msg(code == ERR_DATA, "cut at %zu: %d", cut, code);
    }
    for (size_t at = 0; at < bytes; at++)
        for (int bit = 0; bit < 8; bit += 7) {
            data[at] ^= (uint8_t)(1 << bit);
            MUST(file_atomic_write_whole(in_folder("bad.png"), data, bytes, false));
            int code = png_texts_read(&texts, in_folder("bad.png"));
            if (code == OK) png_texts_free(&texts);
            bool in_pixels = at >= from && at < to; /* a length that is wrong leads anywhere */
            ck_assert_msg(code == ERR_DATA || in_pixels, "byte %zu: %d", at, code);
            data[at] ^= (uint8_t)(1 << bit);
        }
    free(data);
}
END_TEST

/* What can be added can be read, in both kinds of chunks. */
START_TEST(the_longest_text_is_read)
{
    enum { LONGEST = 1 << 20 };
    uint8_t *data;
    size_t bytes;
    struct png_texts texts = {0};
    char *value = malloc(LONGEST + 1);
    small_png(&data, &bytes);
    ck_assert_ptr_nonnull(value);
    for (int i = 0; i < LONGEST; i += 2)
        memcpy(value + i, _i ? "\xC3\xA9" : "ab", 2);
    value[LONGEST] = '\0';
    MUST(png_texts_add(&texts, "longest", value));
    MUST(png_texts_insert(&texts, &data, &bytes));
    png_texts_free(&texts);
    MUST(file_atomic_write_whole(in_folder("a.png"), data, bytes, false));
    MUST(png_texts_read(&texts, in_folder("a.png")));
    ck_assert_int_eq(texts.count, 4);
    ck_assert_str_eq(png_texts_find(&texts, "longest"), value);
    png_texts_free(&texts);
    free(value);
    free(data);
}
END_TEST

START_TEST(keys_and_values_have_bounds)
{
    struct png_texts texts = {0};
    char key[100];
    memset(key, 'k', sizeof key);
    key[80] = '\0';
    ck_assert_int_eq(png_texts_add(&texts, key, "v"), ERR_USAGE);
    ck_assert_int_eq(png_texts_add(&texts, "", "v"), ERR_USAGE);
    key[79] = '\0';
    MUST(png_texts_add(&texts, key, "v"));
    png_texts_free(&texts);
}
END_TEST

Suite *png_text_test_suite(void);
Suite *png_text_test_suite(void)
{
    Suite *suite = suite_create("png_text_test");
    TCase *tests = tcase_create("texts");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, broken_files);
    tcase_add_loop_test(tests, the_longest_text_is_read, 0, 2);
    tcase_add_test(tests, keys_and_values_have_bounds);
    suite_add_tcase(suite, tests);
    return suite;
}
