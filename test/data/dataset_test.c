#include "test/data/data_folder.h"

/* ---- pixels ---- */

START_TEST(every_kind_becomes_rgb)
{
    draw("a-grey.png", 9, 9, 1, (uint8_t[]){90});
    draw("b-grey-alpha.png", 40, 3, 2, (uint8_t[]){100, 51});
    draw("c-rgb.jpg", 3, 40, 3, (uint8_t[]){10, 200, 60});
    draw("d-rgba.png", 64, 64, 4, (uint8_t[]){255, 0, 0, 102});
    draw("e-clear.png", 2, 2, 4, (uint8_t[]){9, 9, 9, 0});
    draw("f-pnm.pgm", 8, 8, 1, (uint8_t[]){250});
    struct dataset_options options = options_for(8, 6);
    struct dataset *set = open_with(&options);
    static const int expected[6][3] = {{90, 90, 90},    {224, 224, 224}, {10, 200, 60},
                                       {255, 153, 153}, {255, 255, 255}, {250, 250, 250}};
    ck_assert_int_eq(dataset_train_count(set), 6);
    ck_assert_int_eq(dataset_held_count(set), 0);
    ck_assert_int_eq(dataset_classes(set), 0);
    for (int i = 0; i < 6; i++)
        for (int p = 0; p < 8 * 6; p++) {
            struct dataset_item item = dataset_train(set, i);
            ck_assert(item.label == 0 && !item.flip);
            /* JPEG may be off by a few */
            if (i != 2)
                check_pixel(item.pixels + 3 * p, expected[i][0], expected[i][1], expected[i][2]);
        }
    dataset_close(set);
}
END_TEST

START_TEST(the_centre_is_cropped)
{
    struct image image;
    char path[128];
    snprintf(path, sizeof path, "%s/wide.png", folder);
    ck_assert_int_eq(image_create(&image, 30, 10, 3, SAMPLE_U8), OK);
    for (int i = 0; i < 300; i++) /* the middle third is white */
        memset((uint8_t *)image.data + 3 * i, i % 30 >= 10 && i % 30 < 20 ? 255 : 0, 3);
    ck_assert_int_eq(image_save(&image, path), OK);
    snprintf(path, sizeof path, "%s/xhigh.png", folder);
    ck_assert_int_eq(image_save(&image, path), OK);
    image_free(&image);
    struct dataset_options options = options_for(5, 5);
    struct dataset *set = open_with(&options);
    const uint8_t *pixels = dataset_train(set, 0).pixels;
    for (int i = 0; i < 75; i++)
        ck_assert_int_eq(pixels[i], 255);
    dataset_close(set);
    options = options_for(30, 10); /* nothing to do: the samples stay what they are */
    set = open_with(&options);
    pixels = dataset_train(set, 0).pixels;
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(pixels[3 * i], i % 30 >= 10 && i % 30 < 20 ? 255 : 0);
    dataset_close(set);
}
END_TEST

START_TEST(sixteen_bits_and_floats)
{
    struct image image;
    char path[128];
    snprintf(path, sizeof path, "%s/a.png", folder);
    ck_assert_int_eq(image_create(&image, 6, 6, 3, SAMPLE_U16), OK);
    for (int i = 0; i < 108; i++)
        ((uint16_t *)image.data)[i] = 200 * 257;
    ck_assert_int_eq(image_save(&image, path), OK);
    image_free(&image);
    snprintf(path, sizeof path, "%s/b.pfm", folder);
    ck_assert_int_eq(image_create(&image, 6, 6, 3, SAMPLE_F32), OK);
    for (int i = 0; i < 108; i++)
        ((float *)image.data)[i] = i % 3 == 0 ? 7.0f : i % 3 == 1 ? -1.0f : 0.2f;
    ck_assert_int_eq(image_save(&image, path), OK);
    image_free(&image);
    struct dataset_options options = options_for(6, 6);
    struct dataset *set = open_with(&options);
    check_pixel(dataset_train(set, 0).pixels, 200, 200, 200);
    check_pixel(dataset_train(set, 1).pixels, 255, 0, 51);
    dataset_close(set);
}
END_TEST

/* ---- which files ---- */

START_TEST(only_pictures_count)
{
    draw_many("deep/er/x", 2);
    draw("deep.PNG.png", 4, 4, 3, (uint8_t[]){1, 2, 3});
    draw(".hidden/a.png", 4, 4, 3, (uint8_t[]){1, 2, 3});
    draw("run/frames/000000100.jpg", 4, 4, 3, (uint8_t[]){1, 2, 3});
    write_text("run/config.yaml", "task: gan\n");
    write_text("run/lock", "");
    write_text("notes.txt", "no picture");
    write_text("icon.svg", "<svg/>");
    write_text("README", "no picture");
    char from[128], to[128];
    snprintf(from, sizeof from, "%s/deep.PNG.png", folder);
    snprintf(to, sizeof to, "%s/without-ending", folder);
    char *copy = string_format("cp '%s' '%s'", from, to);
    ck_assert_int_eq(system(copy), 0);
    free(copy);
    snprintf(to, sizeof to, "%s/z-link.png", folder);
    ck_assert_int_eq(symlink(from, to), 0); /* another name of the same */
    snprintf(to, sizeof to, "%s/deep/loop", folder);
    ck_assert_int_eq(symlink(folder, to), 0);
    snprintf(to, sizeof to, "%s/broken.png", folder);
    ck_assert_int_eq(symlink("/nowhere/at/all.png", to), 0);
    struct dataset_options options = options_for(4, 4);
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(dataset_train_count(set), 4);
    dataset_close(set);
}
END_TEST

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (; (text = strstr(text, part)); text++)
        count++;
    return count;
}

START_TEST(unreadable_files_are_listed_and_skipped)
{
    char text[8192], name[32];
    struct dataset *set;
    draw_many("good", 3);
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "bad%d.png", i);
        write_text(name, i % 2 ? "" : "\x89PNG\r\n\x1a\n and then nonsense");
    }
    struct dataset_options options = options_for(4, 4);
    ck_assert_int_eq(open_listening(&options, &set, text, sizeof text), OK);
    ck_assert_int_eq(dataset_train_count(set), 3);
    ck_assert_int_eq(count_of(text, "/bad"), 5);
    ck_assert_ptr_nonnull(strstr(text, "9 of 12 images cannot be read"));
    dataset_close(set);
    /* the cache remembers */
    ck_assert_int_eq(open_listening(&options, &set, text, sizeof text), OK);
    ck_assert_ptr_nonnull(strstr(text, "9 unreadable"));
    dataset_close(set);
}
END_TEST

START_TEST(hopeless_folders)
{
    struct dataset_options options = options_for(4, 4);
    check_fails(&options, ERR_DATA, "no image in this folder");
    write_text("a.svg", "<svg/>");
    check_fails(&options, ERR_DATA, "only 1 of other formats (svg)");
    write_text("a.png", "nonsense");
    write_text("b.jpg", "nonsense");
    check_fails(&options, ERR_DATA, "none of its 2 images can be read");
    draw("c.png", 3, 3, 3, (uint8_t[]){1, 2, 3});
    check_fails(&options, ERR_DATA, "only one image");
    options.labels = SCAN_LABELS_FOLDERS;
    check_fails(&options, ERR_DATA, "but none of them has images");
    draw("one/d.png", 3, 3, 3, (uint8_t[]){1, 2, 3});
    check_fails(&options, ERR_DATA, "but only one of them has images");
    draw("two/d.png", 3, 3, 3, (uint8_t[]){1, 2, 3});
    check_fails(&options, ERR_DATA, "but 3 do (a.png, ...)");
    char path[128];
    snprintf(path, sizeof path, "%s/c.png", folder);
    options.folder = path;
    check_fails(&options, ERR_INPUT, "a file");
    snprintf(path, sizeof path, "%s/nowhere", folder);
    check_fails(&options, ERR_INPUT, "No such file");
}
END_TEST

START_TEST(folders_may_look_like_classes)
{
    struct dataset_options options = options_for(8, 8);
    options.labels = SCAN_LABELS_AUTO;
    draw_many("cats/", SCAN_CLASS_LEAST);
    draw_many("cats of prey/", SCAN_CLASS_LEAST - 1);
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(dataset_classes(set), 0); /* one too small */
    dataset_close(set);
    draw_many("cats of prey/more/", 1);
    set = open_with(&options);
    ck_assert_int_eq(dataset_classes(set), 2);
    dataset_close(set);
    draw_many("", 1);
    set = open_with(&options);
    ck_assert_int_eq(dataset_classes(set), 0); /* one beside them */
    dataset_close(set);
}
END_TEST

START_TEST(folders_are_classes)
{
    draw_many("cat/x", 4);
    draw_many("cat.old/x", 2);
    draw_many("ant/deeper/x", 3);
    write_text("empty.txt", "");
    char path[128];
    snprintf(path, sizeof path, "%s/zebra", folder);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/broken", folder);
    ck_assert_int_eq(mkdir(path, 0777), 0);
    write_text("broken/x.png", "nonsense");
    struct dataset_options options = options_for(4, 4);
    options.labels = SCAN_LABELS_FOLDERS;
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(dataset_classes(set), 3);
    ck_assert_str_eq(dataset_class_name(set, 0), "ant");
    ck_assert_str_eq(dataset_class_name(set, 1), "cat.old");
    ck_assert_str_eq(dataset_class_name(set, 2), "cat");
    int counts[3] = {0};
    for (int i = 0; i < dataset_train_count(set); i++)
        counts[dataset_train(set, i).label]++;
    ck_assert(counts[0] == 3 && counts[1] == 2 && counts[2] == 4);
    uint64_t with_classes = dataset_fingerprint(set);
    dataset_close(set);
    options.labels = SCAN_LABELS_NONE;
    set = open_with(&options);
    ck_assert_int_eq(dataset_classes(set), 0);
    ck_assert_int_eq(dataset_train_count(set), 9);
    ck_assert_uint_ne(dataset_fingerprint(set), with_classes);
    dataset_close(set);
}
END_TEST

/* ---- held out, batches ---- */

static int number_of(struct dataset_item item)
{
    return item.pixels[0] + 256 * item.pixels[1];
}

START_TEST(a_tenth_is_held_out)
{
    draw_many("x", 57);
    struct dataset_options options = options_for(2, 2);
    bool held[2][57] = {{0}};
    char name[32];
    for (int round = 0; round < 2; round++) {
        options.seed = round ? 8 : 7;
        struct dataset *set = open_with(&options);
        ck_assert_int_eq(dataset_held_count(set), 5);
        ck_assert_int_eq(dataset_train_count(set), 52);
        int seen[57] = {0};
        for (int i = 0; i < 5; i++) {
            seen[number_of(dataset_held(set, i))]++;
            held[round][number_of(dataset_held(set, i))] = true;
            snprintf(name, sizeof name, "x%03d.png", number_of(dataset_held(set, i)));
            ck_assert_str_eq(dataset_held_name(set, i), name);
        }
        for (int i = 0; i < 52; i++)
            seen[number_of(dataset_train(set, i))]++;
        for (int i = 0; i < 57; i++)
            ck_assert_int_eq(seen[i], 1);
        dataset_close(set);
    }
    ck_assert_int_ne(memcmp(held[0], held[1], sizeof held[0]), 0);
}
END_TEST

START_TEST(a_class_keeps_a_picture_to_learn)
{
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "c%02d/x.png", i);
        draw(name, 2, 2, 3, (uint8_t[]){(uint8_t)i, 0, 0});
    }
    struct dataset_options options = options_for(2, 2);
    options.labels = SCAN_LABELS_FOLDERS;
    struct dataset *set = open_with(&options);
    ck_assert_int_eq(dataset_held_count(set), 0);
    ck_assert_int_eq(dataset_train_count(set), 40);
    dataset_close(set);
}
END_TEST

START_TEST(an_epoch_shows_every_picture_once)
{
    draw_many("x", 57);
    struct dataset_options options = options_for(2, 2);
    options.flip = true;
    struct dataset *set = open_with(&options);
    enum { N = 52, EPOCHS = 40 };
    static struct dataset_item items[N * EPOCHS], again[7];
    dataset_batch(set, 0, N * EPOCHS, items);
    int flips = 0, at_place[N] = {0}, same = 0;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[57] = {0};
        for (int i = 0; i < N; i++) {
            int number = number_of(items[epoch * N + i]);
            seen[number]++;
            flips += items[epoch * N + i].flip;
            if (epoch && number == number_of(items[epoch * N - N + i])) same++;
            if (number == number_of(dataset_train(set, 0))) at_place[i]++;
        }
        int kinds = 0;
        for (int i = 0; i < 57; i++) {
            ck_assert_int_le(seen[i], 1);
            kinds += seen[i];
        }
        ck_assert_int_eq(kinds, N);
    }
    /* half are mirrored; orders differ: about 1 image in each epoch has its place of before */
    ck_assert_msg(abs(flips - N * EPOCHS / 2) < 120, "%d flips", flips);
    ck_assert_msg(same > 10 && same < 80, "%d the same", same);
    int places = 0;
    for (int i = 0; i < N; i++)
        places += at_place[i] > 0;
    ck_assert_msg(places > 20, "%d places", places); /* 28 expected of 40 draws from 52 */
    /* any stretch by itself */
    dataset_batch(set, 3 * N - 3, 7, again);
    for (int i = 0; i < 7; i++) {
        ck_assert_ptr_eq(again[i].pixels, items[3 * N - 3 + i].pixels);
        ck_assert_int_eq(again[i].flip, items[3 * N - 3 + i].flip);
    }
    dataset_batch(set, (uint64_t)1 << 45, 7, again); /* far out */
    dataset_close(set);
    options.flip = false;
    set = open_with(&options);
    dataset_batch(set, 0, N, items);
    for (int i = 0; i < N; i++)
        ck_assert(!items[i].flip);
    dataset_close(set);
}
END_TEST

START_TEST(every_count_is_shuffled)
{
    draw_many("x", 19);
    char path[128];
    struct dataset_options options = options_for(1, 1);
    for (int n = 19; n >= 2; n--) { /* without held-out ones: below 20 */
        struct dataset *set = open_with(&options);
        ck_assert_int_eq(dataset_train_count(set), n);
        struct dataset_item items[19];
        int seen[19] = {0};
        dataset_batch(set, 5 * (uint64_t)n, n, items);
        for (int i = 0; i < n; i++)
            seen[number_of(items[i])]++;
        for (int i = 0; i < n; i++)
            ck_assert_int_eq(seen[i], 1);
        dataset_close(set);
        snprintf(path, sizeof path, "%s/x%03d.png", folder, n - 1);
        ck_assert_int_eq(unlink(path), 0);
    }
}
END_TEST

Suite *dataset_test_suite(void);
Suite *dataset_test_suite(void)
{
    Suite *suite = suite_create("gan_data");
    TCase *tests = tcase_create("data");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, every_kind_becomes_rgb);
    tcase_add_test(tests, the_centre_is_cropped);
    tcase_add_test(tests, sixteen_bits_and_floats);
    tcase_add_test(tests, only_pictures_count);
    tcase_add_test(tests, unreadable_files_are_listed_and_skipped);
    tcase_add_test(tests, hopeless_folders);
    tcase_add_test(tests, folders_may_look_like_classes);
    tcase_add_test(tests, folders_are_classes);
    tcase_add_test(tests, a_tenth_is_held_out);
    tcase_add_test(tests, a_class_keeps_a_picture_to_learn);
    tcase_add_test(tests, an_epoch_shows_every_picture_once);
    tcase_add_test(tests, every_count_is_shuffled);
    suite_add_tcase(suite, tests);
    return suite;
}
