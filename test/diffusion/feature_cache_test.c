/* What text encoders made of prompts, kept in files. */
#include "diffusion/text_encoder/feature_cache.h"
#include "test/support.h"

#include <math.h>

Suite *feature_cache_test_suite(void);

enum { ROWS = 2, WIDTH = 3, FEATURES = ROWS * WIDTH };

static const int32_t ids[] = {5, 7};

static struct feature_key key_by(const char *how, int count)
{
    return (struct feature_key){
        .encoder = 1, .how = how, .ids = ids, .count = count, .rows = ROWS, .width = WIDTH};
}

START_TEST(features_that_are_kept_are_found)
{
    const float kept[FEATURES] = {1, -2, 3, 4, 5.5F, 6};
    float found[FEATURES] = {0};
    struct feature_key key = key_by("cpu f32", 2);
    feature_cache_keep(folder, &key, kept);
    ck_assert(feature_cache_find(folder, &key, found));
    ck_assert_mem_eq(found, kept, sizeof kept);
    struct feature_key others[] = {key_by("cpu bf16", 2), key_by("cpu f32", 1), key};
    others[2].encoder = 2;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert(!feature_cache_find(folder, &others[i], found));
}
END_TEST

/* Other programs may have written the file, with its CRC or without. */
START_TEST(features_that_are_no_numbers_are_not_found)
{
    static const float broken[] = {NAN, INFINITY, -INFINITY};
    float features[FEATURES] = {1, 2, 3, 4, 5, 6};
    const struct feature_key key = key_by("cpu f32", 2);
    features[FEATURES - 1] = broken[_i];
    feature_cache_keep(folder, &key, features);
    ck_assert(!feature_cache_find(folder, &key, features));
}
END_TEST

Suite *feature_cache_test_suite(void)
{
    Suite *suite = suite_create("feature_cache_test");
    TCase *tests = tcase_create("feature_cache");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_test(tests, features_that_are_kept_are_found);
    tcase_add_loop_test(tests, features_that_are_no_numbers_are_not_found, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
