/* What a model's rKID is compared with, of images of any size. */
#include "diffusion/eval_baselines.h"
#include "test/data/data_folder.h"

#include <math.h>

Suite *eval_baselines_test_suite(void);

/* 108 numbers, which noise in blocks of 16 does not make. */
START_TEST(baselines_of_any_size)
{
    enum { COUNT = 12, SIDE = 6 };
    const uint8_t *pixels[COUNT];
    struct dataset_options options = options_for(SIDE, SIDE);
    struct eval_baselines than;
    draw_many("", COUNT);
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(dataset_train_count(set), COUNT);
    for (int i = 0; i < COUNT; i++)
        pixels[i] = dataset_train(set, i).pixels;
    MUST(eval_baselines_measure(&than, set, 3, (struct image_list){pixels, COUNT},
                                (struct image_list){pixels, 0}, SIDE, SIDE, NULL));
    ck_assert(isfinite(than.noise) && isfinite(than.mean) && than.noise > than.mean);
    ck_assert(isnan(than.held));
    MUST(eval_baselines_measure(&than, set, 3, (struct image_list){pixels, COUNT},
                                (struct image_list){pixels, COUNT}, SIDE, SIDE, NULL));
    ck_assert(than.held < than.mean); /* of the very same images */
    MUST(eval_baselines_measure(&than, set, 3, (struct image_list){pixels, COUNT - 3},
                                (struct image_list){pixels, COUNT}, SIDE, SIDE, NULL));
    ck_assert(isnan(than.noise) && isnan(than.mean) && isnan(than.held));
    dataset_close(set);
}
END_TEST

/* Noise in grey differs from images as grey images do: not by its colours. */
START_TEST(noise_of_grey_images_is_grey)
{
    enum { COUNT = 12, SIDE = 6 };
    const uint8_t *pixels[COUNT];
    struct dataset_options options = options_for(SIDE, SIDE);
    struct eval_baselines grey, coloured;
    options.grey = true;
    draw_many("", COUNT);
    struct dataset *set = open_with(&options);
    for (int i = 0; i < COUNT; i++)
        pixels[i] = dataset_train(set, i).pixels;
    const struct image_list real = {pixels, COUNT}, none = {pixels, 0};
    MUST(eval_baselines_measure(&grey, set, 1, real, none, SIDE, SIDE, NULL));
    MUST(eval_baselines_measure(&coloured, set, 3, real, none, SIDE, SIDE, NULL));
    ck_assert(grey.mean == coloured.mean);
    ck_assert_double_lt(grey.noise, coloured.noise);
    dataset_close(set);
}
END_TEST

Suite *eval_baselines_test_suite(void)
{
    Suite *suite = suite_create("eval_baselines_test");
    TCase *tests = tcase_create("baselines");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, baselines_of_any_size);
    tcase_add_test(tests, noise_of_grey_images_is_grey);
    suite_add_tcase(suite, tests);
    return suite;
}
