/* What a step of the task diffusion shows of its images: noise, levels of noise, conditions; texts
 * beside images. */
#include "base/random.h"
#include "diffusion/diffusion_data.h"
#include "test/data/data_folder.h"

#include <math.h>

enum { SIDE = 4, NUMBERS = SIDE * SIDE * 3, SAMPLES = 24, TEXT_ROWS = 32 };

struct shown {
    float noisy[SAMPLES][NUMBERS], target[SAMPLES][NUMBERS], time[SAMPLES];
    int condition[SAMPLES * TEXT_ROWS], length[SAMPLES];
};

static struct diffusion_samples samples_of(struct shown *shown, int first, int rows)
{
    return (struct diffusion_samples){.noisy = shown->noisy[first],
                                      .target = shown->target[first],
                                      .time = shown->time + first,
                                      .condition = shown->condition + first * rows,
                                      .length = shown->length + first};
}

static struct diffusion_data data_of(struct dataset *set)
{
    return (struct diffusion_data){.set = set, .classes = dataset_classes(set)};
}

static struct diffusion_feed feed_of(const struct diffusion_data *data)
{
    return (struct diffusion_feed){.data = data,
                                   .seed = 5,
                                   .times = {.mean = 0, .std = 1, .shift = 1},
                                   .width = SIDE,
                                   .height = SIDE,
                                   .channels = 3};
}

static struct dataset *open_classes(bool flip)
{
    struct dataset_options options = options_for(SIDE, SIDE);
    draw_many("a/", 12);
    draw_many("b/", 12);
    options.labels = SCAN_LABELS_FOLDERS;
    options.flip = flip;
    return open_with(&options);
}

/* noisy = (1 - t) x + t z and target = x - z, so noisy + t target is the image. */
START_TEST(noise_is_mixed_in_as_it_says)
{
    struct dataset *set = open_classes(false);
    struct diffusion_data data = data_of(set);
    struct diffusion_feed feed = feed_of(&data);
    struct shown *shown = calloc(1, sizeof *shown);
    struct dataset_item items[SAMPLES];
    struct diffusion_samples out = samples_of(shown, 0, 1);
    diffusion_feed_fill(&feed, 3, 40, 0, SAMPLES, &out);
    dataset_batch(set, 40, SAMPLES, items);
    double squares = 0, sum = 0;
    for (int i = 0; i < SAMPLES; i++) {
        double t = 1 - (double)shown->time[i];
        ck_assert(t > 0 && t < 1);
        ck_assert_int_eq(shown->condition[i], items[i].label);
        ck_assert_int_eq(shown->length[i], 1);
        for (int k = 0; k < NUMBERS; k++) {
            double image = (double)shown->noisy[i][k] + t * (double)shown->target[i][k];
            double wanted = items[i].pixels[k] / 127.5 - 1,
                   noise = image - (double)shown->target[i][k];
            ck_assert(!(fabs(image - wanted) > 2e-6));
            sum += noise;
            squares += noise * noise;
        }
    }
    ck_assert(fabs(sum / SAMPLES / NUMBERS) < 0.1);
    ck_assert(fabs(squares / SAMPLES / NUMBERS - 1) < 0.15);
    free(shown);
    dataset_close(set);
}
END_TEST

/* However a batch is cut. */
START_TEST(parts_of_a_batch_are_the_same)
{
    struct dataset *set = open_classes(true);
    struct diffusion_data data = data_of(set);
    struct diffusion_feed feed = feed_of(&data);
    struct shown *whole = calloc(2, sizeof *whole), *parts = whole + 1;
    struct diffusion_samples out = samples_of(whole, 0, 1);
    feed.dropout = 0.5;
    diffusion_feed_fill(&feed, 7, 100, 0, SAMPLES, &out);
    for (int first = 0; first < SAMPLES; first += 5) {
        out = samples_of(parts, first, 1);
        diffusion_feed_fill(&feed, 7, 100, first, SAMPLES - first < 5 ? SAMPLES - first : 5, &out);
    }
    ck_assert(memcmp(whole, parts, sizeof *whole) == 0);
    out = samples_of(parts, 0, 1);
    diffusion_feed_fill(&feed, 8, 100, 0, SAMPLES, &out);
    ck_assert(memcmp(whole->noisy, parts->noisy, sizeof whole->noisy) != 0); /* another step */
    free(whole);
    dataset_close(set);
}
END_TEST

START_TEST(mirrored_rows_keep_their_colours)
{
    struct image image;
    char path[128];
    ck_assert_int_eq(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8), OK);
    for (int i = 0; i < NUMBERS; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(5 * i);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        ck_assert_int_eq(image_save(&image, path), OK);
    }
    struct dataset_options options = options_for(SIDE, SIDE);
    options.flip = true;
    struct dataset *set = open_with(&options);
    struct diffusion_data data = data_of(set);
    struct diffusion_feed feed = feed_of(&data);
    struct shown *shown = calloc(1, sizeof *shown);
    struct dataset_item items[SAMPLES];
    struct diffusion_samples out = samples_of(shown, 0, 1);
    diffusion_feed_fill(&feed, 0, 0, 0, SAMPLES, &out);
    dataset_batch(set, 0, SAMPLES, items);
    int flipped = 0;
    for (int i = 0; i < SAMPLES; i++) {
        flipped += items[i].flip;
        for (int k = 0; k < NUMBERS; k++) {
            int x = k / 3 % SIDE, row = k - k % (3 * SIDE);
            int from = row + 3 * (items[i].flip ? SIDE - 1 - x : x) + k % 3;
            double got = (double)shown->noisy[i][k] +
                         (1 - (double)shown->time[i]) * (double)shown->target[i][k];
            ck_assert(!(fabs(got - (5 * from / 127.5 - 1)) > 2e-6));
        }
    }
    ck_assert(flipped > 0 && flipped < SAMPLES);
    image_free(&image);
    free(shown);
    dataset_close(set);
}
END_TEST

START_TEST(levels_of_noise_are_distributed_as_asked)
{
    enum { DRAWS = 4000 };
    struct diffusion_times kinds[] = {{.mean = 0, .std = 1, .shift = 1},
                                      {.mean = 1, .std = 0.5, .shift = 1},
                                      {.uniform = true, .shift = 1},
                                      {.uniform = true, .shift = 3}};
    const double medians[] = {0.5, 1 / (1 + exp(-1.0)), 0.5, 0.75};
    const double quarters[] = {1 / (1 + exp(0.6745)), 1 / (1 + exp(-1 + 0.6745 * 0.5)), 0.25, 0.5};
    for (int kind = 0; kind < 4; kind++) {
        int below = 0, below_quarter = 0;
        for (int i = 0; i < DRAWS; i++) {
            struct philox4 draw = philox_draw(9, STREAM_TEST, 0, (uint64_t)i);
            double t = diffusion_time_draw(&kinds[kind], draw.v);
            ck_assert(t > 0 && t < 1);
            below += t < medians[kind];
            below_quarter += t < quarters[kind];
        }
        ck_assert_msg(abs(below - DRAWS / 2) < 130, "kind %d: %d", kind, below);
        ck_assert_msg(abs(below_quarter - DRAWS / 4) < 110, "kind %d: %d", kind, below_quarter);
    }
}
END_TEST

START_TEST(some_are_shown_without_their_class)
{
    struct dataset *set = open_classes(false);
    struct diffusion_data data = data_of(set);
    struct diffusion_feed feed = feed_of(&data);
    struct shown *shown = calloc(1, sizeof *shown);
    struct diffusion_samples out = samples_of(shown, 0, 1);
    int without = 0;
    feed.dropout = 0.25;
    for (uint64_t step = 0; step < 20; step++) {
        diffusion_feed_fill(&feed, step, 0, 0, SAMPLES, &out);
        for (int i = 0; i < SAMPLES; i++)
            without += shown->condition[i] == 2;
    }
    ck_assert_msg(abs(without - 120) < 40, "%d", without);
    free(shown);
    dataset_close(set);
}
END_TEST

/* Held-out images have the same noise in every measurement, at any level. */
START_TEST(held_out_images_are_comparable)
{
    struct dataset *set = open_classes(false);
    struct diffusion_data data = data_of(set);
    struct diffusion_feed feed = feed_of(&data);
    struct shown *shown = calloc(1, sizeof *shown);
    struct diffusion_samples a = samples_of(shown, 0, 1), b = samples_of(shown, 1, 1);
    ck_assert_int_eq(dataset_measured_count(set), 2);
    diffusion_feed_held(&feed, 1, 0.1, &a);
    diffusion_feed_held(&feed, 1, 0.9, &b);
    ck_assert(memcmp(a.target, b.target, NUMBERS * sizeof(float)) == 0);
    ck_assert(a.time[0] == 0.9f && b.time[0] == 0.1f);
    ck_assert_int_eq(a.condition[0], dataset_held(set, 1).label);
    free(shown);
    dataset_close(set);
}
END_TEST

/* ---- texts ---- */

START_TEST(texts_lie_beside_images)
{
    char warnings[512];
    struct dataset_options options = options_for(SIDE, SIDE);
    struct dataset *set;
    draw_many("", 4);
    options.labels = SCAN_LABELS_CAPTIONS;
    check_fails(&options, ERR_DATA, "no image has a description");
    write_text("000.txt", " a red\n\tcircle \n");
    write_text("001.txt", "a red circle");
    write_text("002.txt", "\xc3\xa9!");
    ck_assert_int_eq(open_listening(&options, &set, warnings, sizeof warnings), OK);
    ck_assert_msg(strstr(warnings, "1 of 4 images have no description (003.png)") != NULL, "%s",
                  warnings);
    ck_assert_int_eq(dataset_classes(set), 3);
    const char *const texts[] = {"a red circle", "a red circle", "\xc3\xa9!", ""};
    for (int i = 0; i < 4; i++)
        ck_assert_str_eq(dataset_class_name(set, dataset_train(set, i).label), texts[i]);
    uint64_t before = dataset_fingerprint(set);
    dataset_close(set);
    write_text("001.txt", "a blue circle"); /* the cache is made anew */
    write_text("003.txt", "x");
    set = open_with(&options);
    ck_assert_str_eq(dataset_class_name(set, dataset_train(set, 1).label), "a blue circle");
    ck_assert(dataset_fingerprint(set) != before);
    dataset_close(set);
}
END_TEST

START_TEST(a_text_is_its_bytes)
{
    const struct diffusion_conditions conditions = {.captions = true, .count = 257, .rows_most = 5};
    int rows[5], length;
    diffusion_condition_set(&conditions, 0, "b\xc3", rows, &length);
    ck_assert_int_eq(length, 2);
    ck_assert(rows[0] == 'b' && rows[1] == 0xc3 && rows[2] == 256 && rows[4] == 256);
    diffusion_condition_set(&conditions, 0, "longer", rows, &length);
    ck_assert(length == 5 && rows[4] == 'e');
    diffusion_condition_set(&conditions, 0, "", rows, &length);
    ck_assert(length == 1 && rows[0] == 256);
    diffusion_condition_set(&conditions, -1, NULL, rows, &length);
    ck_assert(length == 1 && rows[0] == 256);
    const struct diffusion_conditions classes = {.count = 4, .rows_most = 1};
    diffusion_condition_set(&classes, 2, NULL, rows, &length);
    ck_assert(length == 1 && rows[0] == 2);
    diffusion_condition_set(&classes, -1, NULL, rows, &length);
    ck_assert(length == 1 && rows[0] == 3);
}
END_TEST

Suite *diffusion_feed_suite(void);
Suite *diffusion_feed_suite(void)
{
    Suite *suite = suite_create("diffusion_feed");
    TCase *tests = tcase_create("feed");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, noise_is_mixed_in_as_it_says);
    tcase_add_test(tests, parts_of_a_batch_are_the_same);
    tcase_add_test(tests, mirrored_rows_keep_their_colours);
    tcase_add_test(tests, levels_of_noise_are_distributed_as_asked);
    tcase_add_test(tests, some_are_shown_without_their_class);
    tcase_add_test(tests, held_out_images_are_comparable);
    tcase_add_test(tests, texts_lie_beside_images);
    tcase_add_test(tests, a_text_is_its_bytes);
    suite_add_tcase(suite, tests);
    return suite;
}
