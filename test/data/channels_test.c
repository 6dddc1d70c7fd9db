/* What the channels of a data set are, and what its cache remembers of it. */
#include "base/threads.h"
#include "data/cache_format.h"
#include "data/channels.h"
#include "test/data/data_folder.h"

Suite *channels_test_suite(void);

static struct dataset_options auto_options(void)
{
    struct dataset_options options = options_for(4, 4);
    options.channels = DATASET_AUTO;
    return options;
}

static int chosen(const struct dataset_options *options)
{
    struct dataset *set = open_with(options);
    int channels = dataset_channels(set);
    dataset_close(set);
    return channels;
}

static const uint8_t clear[] = {200, 100, 40, 51}, border[] = {200, 100, 40, 250};
static const uint8_t red[] = {200, 0, 0}, nearly_grey[] = {90, 91, 90};

/* Half of them, of those that can be read; a pixel of 250 is none with alpha. */
START_TEST(rgba_where_half_have_alpha)
{
    struct dataset_options options = auto_options();
    draw("a.png", 5, 5, 4, clear);
    draw("b.png", 5, 5, 2, (uint8_t[]){90, 249});
    draw("c.png", 5, 5, 3, red);
    draw("d.png", 5, 5, 4, border);
    ck_assert_int_eq(chosen(&options), 4);
    draw("e.png", 5, 5, 3, red);
    ck_assert_int_eq(chosen(&options), 3);
    ck_assert_int_eq(truncate(in_folder("e.png"), 40), 0);
    ck_assert_int_eq(chosen(&options), 4);
}
END_TEST

/* A file without alpha counts by its header, broken or not: it is not decoded for that, whichever
 * threads would have the time. */
START_TEST(a_choice_does_not_depend_on_threads)
{
    struct dataset_options options = auto_options();
    draw("a.png", 5, 5, 4, clear);
    draw("b.png", 5, 5, 3, red);
    draw("c.png", 5, 5, 4, border);
    draw("d.png", 5, 5, 3, red);
    ck_assert_int_eq(truncate(in_folder("b.png"), 45), 0);
    ck_assert_int_eq(truncate(in_folder("d.png"), 45), 0);
    for (int threads = 1; threads <= 8; threads *= 8) {
        threads_set(threads);
        snprintf(cache, sizeof cache, "%s/.cache%d", folder, threads);
        ck_assert_int_eq(chosen(&options), 3);
    }
}
END_TEST

/* Grey is what no pixel of any image contradicts; below alpha 0 there is no colour. */
START_TEST(grey_where_all_are_grey)
{
    struct dataset_options options = auto_options();
    draw("a.png", 5, 5, 1, (uint8_t[]){7});
    draw("b.png", 5, 5, 3, nearly_grey);
    draw("c.png", 5, 5, 4, (uint8_t[]){255, 0, 0, 0});
    ck_assert_int_eq(chosen(&options), 1);
    draw("d.png", 5, 5, 3, (uint8_t[]){90, 92, 90});
    ck_assert_int_eq(chosen(&options), 3);
}
END_TEST

START_TEST(pixels_are_as_they_are_chosen)
{
    struct dataset_options options = options_for(4, 4);
    draw("a.png", 9, 9, 4, clear);
    draw("b.png", 9, 9, 3, red);
    options.channels = DATASET_RGBA;
    struct dataset *set = open_with(&options);
    ck_assert_mem_eq(dataset_train(set, 0).pixels + 4, ((const uint8_t[]){40, 20, 8, 51}), 4);
    ck_assert_mem_eq(dataset_train(set, 1).pixels + 60, ((const uint8_t[]){200, 0, 0, 255}), 4);
    dataset_close(set);
    options.channels = DATASET_GREY;
    set = open_with(&options);
    ck_assert_int_eq(dataset_train(set, 0).pixels[15], 229); /* over white */
    ck_assert_int_eq(dataset_train(set, 1).pixels[0], 60);
    dataset_close(set);
}
END_TEST

/* At the edge of a disc no colour of the clear pixels around it comes in, whatever is stored there.
 */
START_TEST(edges_keep_their_colour)
{
    struct image image;
    ck_assert_int_eq(image_create(&image, 64, 64, 4, SAMPLE_U8), OK);
    for (int i = 0; i < 64 * 64; i++) {
        bool inside = (i % 64 - 31) * (i % 64 - 31) + (i / 64 - 31) * (i / 64 - 31) < 500;
        memcpy((uint8_t *)image.data + 4 * i,
               inside ? (uint8_t[]){250, 10, 10, 255} : (uint8_t[]){0, 255, 0, 0}, 4);
    }
    MUST(image_save(&image, in_folder("disc.png")));
    MUST(image_save(&image, in_folder("disc2.png")));
    image_free(&image);
    struct dataset_options options = options_for(8, 8);
    options.channels = DATASET_RGBA;
    struct dataset *set = open_with(&options);
    const uint8_t *pixels = dataset_train(set, 0).pixels;
    int edges = 0;
    for (int i = 0; i < 64; i++, pixels += 4) {
        edges += pixels[3] > 0 && pixels[3] < 255;
        ck_assert_int_le(abs(pixels[0] * 255 - 250 * pixels[3]), 255);
        ck_assert_int_le(abs(pixels[1] * 255 - 10 * pixels[3]), 255);
    }
    ck_assert_int_gt(edges, 8);
    dataset_close(set);
}
END_TEST

static struct dataset_header header_in(const char *dir)
{
    struct dataset_header header = {0};
    char path[512];
    DIR *files = opendir(dir);
    ck_assert_ptr_nonnull(files);
    for (struct dirent *entry; (entry = readdir(files));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        FILE *file = fopen(path, "re");
        ck_assert_uint_eq(fread(&header, sizeof header, 1, file), 1);
        fclose(file);
    }
    closedir(files);
    return header;
}

/* A cache of RGB is one of the first version, whoever asked for it; the others say what they are.
 */
START_TEST(caches_say_their_channels)
{
    static const struct {
        enum dataset_channels channels;
        int count;
    } cases[] = {{DATASET_RGB, 3}, {DATASET_RGBA, 4}, {DATASET_GREY, 1}, {DATASET_AUTO, 3}};
    draw("a.png", 5, 5, 3, red);
    draw("b.png", 5, 5, 3, nearly_grey);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset_options options = options_for(4, 4);
        options.channels = cases[i].channels;
        snprintf(cache, sizeof cache, "%s/.cache%zu", folder, i);
        ck_assert_int_eq(chosen(&options), cases[i].count);
        struct dataset_header header = header_in(cache);
        ck_assert_int_eq(dataset_header_channels(&header), cases[i].count);
        ck_assert_int_eq(memcmp(header.magic, "imgtds1", 8) == 0, cases[i].count == 3);
        header.magic[7] = 2;
        ck_assert_int_eq(dataset_header_channels(&header), 0);
    }
}
END_TEST

/* A choice is kept while the files are the same; what must be goes before it. */
START_TEST(a_choice_is_kept_unless_others_must_be)
{
    struct dataset_options options = auto_options();
    struct dataset *set;
    char said[4096];
    draw("a.png", 5, 5, 4, clear);
    draw("b.png", 5, 5, 4, clear);
    ck_assert_int_eq(open_listening(&options, &set, said, sizeof said), OK);
    ck_assert_ptr_nonnull(
        strstr(said, "channels rgba, as at least half of its 2 images have alpha"));
    uint64_t rgba = dataset_fingerprint(set);
    dataset_close(set);
    options.must = 4;
    ck_assert_int_eq(open_listening(&options, &set, said, sizeof said), OK);
    ck_assert_ptr_null(strstr(said, "at least half"));
    ck_assert_uint_eq(dataset_fingerprint(set), rgba);
    dataset_close(set);
    options.must = 3;
    ck_assert_int_eq(chosen(&options), 3);
    options.must = 0;
    ck_assert_int_eq(chosen(&options), 4);
    draw("b.png", 6, 5, 3, red);
    draw("c.png", 5, 5, 3, red);
    options.must = 4;
    ck_assert_int_eq(chosen(&options), 4);
}
END_TEST

START_TEST(alpha_that_is_not_there_is_told_of)
{
    struct dataset_options options = options_for(4, 4);
    struct dataset *set;
    char said[4096];
    draw("a.png", 5, 5, 4, border);
    draw("b.png", 5, 5, 3, red);
    options.channels = DATASET_RGBA;
    ck_assert_int_eq(open_listening(&options, &set, said, sizeof said), OK);
    ck_assert_ptr_nonnull(strstr(said, "none of its images has alpha: samples will be opaque"));
    dataset_close(set);
    draw("b.png", 5, 5, 4, clear);
    ck_assert_int_eq(open_listening(&options, &set, said, sizeof said), OK);
    ck_assert_ptr_null(strstr(said, "opaque"));
    dataset_close(set);
}
END_TEST

Suite *channels_test_suite(void)
{
    Suite *s = suite_create("channels_test");
    TCase *c = tcase_create("channels");
    tcase_add_checked_fixture(c, enter_folder, folder_remove);
    tcase_add_test(c, rgba_where_half_have_alpha);
    tcase_add_test(c, a_choice_does_not_depend_on_threads);
    tcase_add_test(c, grey_where_all_are_grey);
    tcase_add_test(c, pixels_are_as_they_are_chosen);
    tcase_add_test(c, edges_keep_their_colour);
    tcase_add_test(c, caches_say_their_channels);
    tcase_add_test(c, a_choice_is_kept_unless_others_must_be);
    tcase_add_test(c, alpha_that_is_not_there_is_told_of);
    suite_add_tcase(s, c);
    return s;
}
