/* Which class an image looks like, where each has training images and where some have none. */
#include "diffusion/nearest_class.h"
#include "test/data/data_folder.h"

enum { SIDE = 4, IMAGES = 40, BYTES = SIDE * SIDE * 3 };

static void fill(uint8_t *image, uint8_t r, uint8_t g, uint8_t b)
{
    for (int i = 0; i < BYTES; i += 3)
        image[i] = r, image[i + 1] = g, image[i + 2] = b;
}

/* Means, not single images: 10 is between 0 and 20, and nearer to the mean of 30 and 0. */
START_TEST(nearest_is_the_mean)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    uint8_t images[3][BYTES];
    const uint8_t *list[3] = {images[0], images[1], images[2]};
    int nearest[3];
    draw("a/0.png", SIDE, SIDE, 3, (uint8_t[]){30, 0, 0});
    draw("a/1.png", SIDE, SIDE, 3, (uint8_t[]){0, 0, 0});
    draw("b/0.png", SIDE, SIDE, 3, (uint8_t[]){3, 0, 0});
    fill(images[0], 10, 0, 0);
    fill(images[1], 8, 0, 0);
    fill(images[2], 0, 0, 0);
    options.labels = SCAN_LABELS_FOLDERS;
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(nearest_class_find(set, SIDE, SIDE, list, 3, NULL, nearest), OK);
    ck_assert(nearest[0] == 0 && nearest[1] == 1 && nearest[2] == 1);
    dataset_close(set);
}
END_TEST

/* Texts of held-out images alone: these have no mean, which is not a black one. */
START_TEST(classes_without_an_image_are_none)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    uint8_t black[BYTES] = {0};
    const uint8_t *list[1 + IMAGES] = {black};
    int nearest[1 + IMAGES], train;
    for (int i = 0; i < IMAGES; i++) {
        char name[16], text[16];
        snprintf(name, sizeof name, "/%02d.png", i);
        draw(name, SIDE, SIDE, 3, (uint8_t[]){(uint8_t)(i + 1), 9, 9});
        snprintf(name, sizeof name, "%02d.txt", i);
        snprintf(text, sizeof text, "text %d", i);
        write_text(name, text);
    }
    options.labels = SCAN_LABELS_CAPTIONS;
    struct dataset *set = open_with(&options);
    train = dataset_train_count(set);
    ck_assert(dataset_held_count(set) > 0 && dataset_classes(set) == IMAGES);
    for (int i = 0; i < train; i++)
        list[1 + i] = dataset_train(set, i).pixels;
    ck_assert_int_eq(nearest_class_find(set, SIDE, SIDE, list, 1 + train, NULL, nearest), OK);
    int darkest = 0;
    for (int i = 0; i < train; i++) {
        ck_assert_int_eq(nearest[1 + i], dataset_train(set, i).label);
        if (list[1 + i][0] < list[1 + darkest][0]) darkest = i;
    }
    ck_assert_int_eq(nearest[0], nearest[1 + darkest]);
    dataset_close(set);
}
END_TEST

static bool stop_at_once(void)
{
    return true;
}

START_TEST(a_stop_is_heard)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    draw_many("a/", 2);
    draw_many("b/", 2);
    options.labels = SCAN_LABELS_FOLDERS;
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(nearest_class_find(set, SIDE, SIDE, NULL, 0, stop_at_once, NULL), ERR_STOPPED);
    dataset_close(set);
}
END_TEST

Suite *nearest_class_test_suite(void);
Suite *nearest_class_test_suite(void)
{
    Suite *suite = suite_create("nearest_class_test");
    TCase *tests = tcase_create("classes");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, nearest_is_the_mean);
    tcase_add_test(tests, classes_without_an_image_are_none);
    tcase_add_test(tests, a_stop_is_heard);
    suite_add_tcase(suite, tests);
    return suite;
}
