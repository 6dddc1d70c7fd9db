/* Pictures with several labels each. */
#include "data/captions.h"
#include "data/tags.h"
#include "math/label_columns.h"
#include "test/support.h"

#include <sys/stat.h>

START_TEST(a_set_is_sorted_and_each_tag_once)
{
    static const struct {
        const char *name, *text, *set;
    } cases[] = {
        {"a.png", NULL, ""},
        {"a.png", "", ""},
        {"a.png", " , \n,", ""},
        {"red/a.png", NULL, "red"},
        {"red/round/a.png", "big", "big, red, round"},
        {"red/a.png", "round,red ,round", "red, round"},
        {"a.png", "long hair,\t blue eyes \r\nsmile", "blue eyes, long hair, smile"},
        {"a, b/c.png", "b", "a, b"}, /* a folder's name is cut as a text is */
        {"a.png", "x", "x"},
        {"re\nd/a.png", NULL, "d, re"}, /* a model holds a set as a line */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *set;
        MUST(tags_of_picture(&set, cases[i].name, cases[i].text));
        ck_assert_str_eq(set, cases[i].set);
        free(set);
    }
}
END_TEST

static const char *name_of(const void *names, int i)
{
    return ((const char *const *)names)[i];
}

/* A model holds tags as JSON, where two that are no UTF-8 might be one. */
START_TEST(tags_are_utf8)
{
    static const char *const names[] = {"red/a.png", "red/b.png"}, *const odd[] = {"r\xE9/a.png"};
    struct captions captions;
    char text[200];
    ck_assert_int_eq(mkdir(in_folder("red"), 0777), 0);
    write_text("red/a.txt", "\xEF\xBB\xBFr\xC3\xA9, red"); /* with the mark of some editors */
    MUST(captions_read(&captions, folder, true, 2, name_of, names, NULL));
    ck_assert_int_eq(captions.text_count, 2);
    ck_assert_str_eq(captions.texts[captions.labels[0]], "red, r\xC3\xA9");
    ck_assert_str_eq(captions.texts[captions.labels[1]], "red");
    captions_free(&captions);
    ck_assert_int_eq(captions_read(&captions, folder, true, 1, name_of, odd, NULL), ERR_DATA);
    captions_free(&captions);
    write_text("red/b.txt", "r\xE9");
    ck_assert_int_eq(captions_read(&captions, folder, true, 2, name_of, names, NULL), ERR_DATA);
    snprintf(text, sizeof text, "%s/red/b.png: a tag is no UTF-8", folder);
    ck_assert_msg(strstr(error_message(), text), "%s", error_message());
    captions_free(&captions);
}
END_TEST

START_TEST(sets_become_columns)
{
    static const char *const texts[] = {"", "big, red", "blue", "big, blue, round"};
    struct tag_sets sets, again;
    char *text, names[64];
    MUST(tag_sets_make(&sets, "data", 4, texts));
    ck_assert_int_eq(sets.tag_count, 4);
    tags_tell(&sets, names, sizeof names);
    ck_assert_str_eq(names, "big, blue, red, round");
    tags_tell(&sets, names, 12);
    ck_assert_str_eq(names, "big, blu...");
    const int table[] = {5, 5, 7, 8, 11, 0, 2, 1, 0, 1, 3};
    ck_assert_int_eq(sets.numbers, 11);
    ck_assert_mem_eq(sets.table, table, sizeof table);
    /* a label's entry is their sum by the root of their number */
    const float row[] = {1, 10, 100, 1000};
    const int label[] = {0, 1, 3};
    struct nn_labels labels = {label, sets.table};
    const double entries[] = {0, 101 / sqrt(2), 1011 / sqrt(3)};
    for (int i = 0; i < 3; i++)
        ck_assert(fabs((double)label_entry(label_columns_of(labels, i), row, 4, 0) - entries[i]) <=
                  1e-4);
    /* through a file's metadata and back */
    MUST(tag_sets_write(&sets, &text));
    ck_assert_str_eq(text, "\nbig, red\nblue\nbig, blue, round");
    MUST(tag_sets_read(&again, "file", text));
    ck_assert_int_eq(again.count, 4);
    ck_assert_mem_eq(again.table, table, sizeof table);
    tag_sets_free(&again);
    free(text);
    tag_sets_free(&sets);
}
END_TEST

/* An exported model's description lists them, as UTF-8. */
START_TEST(lists_end_with_a_character)
{
    static const char *const texts[] = {"r\xC3\xA9", "x"};
    static const char *const lists[] = {"...", "r...", "r...", "r\xC3\xA9, x"};
    struct tag_sets sets;
    char list[8];
    MUST(tag_sets_make(&sets, "data", 2, texts));
    for (size_t i = 0; i < 4; i++) {
        tags_tell(&sets, list, 4 + i);
        ck_assert_str_eq(list, lists[i]);
    }
    tag_sets_free(&sets);
}
END_TEST

START_TEST(tags_are_found_or_refused)
{
    static const char *const texts[] = {"big, red", "blue"};
    struct tag_sets sets;
    int columns[3], count;
    MUST(tag_sets_make(&sets, "data", 2, texts));
    MUST(tags_find(&sets, "--tags", " red,big,red", columns, &count));
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(columns[0], 0);
    ck_assert_int_eq(columns[1], 2);
    MUST(tags_find(&sets, "--tags", "", columns, &count));
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(tags_find(&sets, "--tags", "red, rde", columns, &count), ERR_USAGE);
    ck_assert_str_eq(error_message(), "--tags: no tag 'rde'; there are big, blue, red");
    tag_sets_free(&sets);
}
END_TEST

START_TEST(sets_that_cannot_be_learnt)
{
    static const char *const none[] = {"", ""};
    struct tag_sets sets;
    ck_assert_int_eq(tag_sets_make(&sets, "here", 2, none), ERR_DATA);
    ck_assert_str_eq(error_message(), "here: no picture has a tag");
    tag_sets_free(&sets);
    ck_assert_int_eq(tag_sets_read(&sets, "file", ""), ERR_DATA);
    tag_sets_free(&sets);
    /* one more than can be learnt */
    char *many = malloc(8 * (TAGS_MOST + 1) + 1), *end = many;
    for (int i = 0; i <= TAGS_MOST; i++)
        end += sprintf(end, "%06d,", i);
    const char *one = many;
    ck_assert_int_eq(tag_sets_make(&sets, "here", 1, &one), ERR_DATA);
    ck_assert_str_eq(error_message(), "here: 4097 tags, but at most 4096 can be learnt");
    tag_sets_free(&sets);
    end[-1] = '\0', end[-8] = '\0';
    MUST(tag_sets_make(&sets, "here", 1, &one));
    ck_assert_int_eq(sets.tag_count, TAGS_MOST);
    tag_sets_free(&sets);
    free(many);
    /* more than a model holds */
    many = malloc(TAG_BYTES_MOST + 1);
    memset(many, 'x', TAG_BYTES_MOST);
    many[TAG_BYTES_MOST] = '\0';
    one = many;
    ck_assert_int_eq(tag_sets_make(&sets, "here", 1, &one), ERR_DATA);
    ck_assert_ptr_nonnull(strstr(error_message(), "here: 1 sets of tags take 15728647 bytes"));
    tag_sets_free(&sets);
    free(many);
}
END_TEST

Suite *tags_test_suite(void);
Suite *tags_test_suite(void)
{
    Suite *suite = suite_create("tags_test");
    TCase *tests = tcase_create("sets");
    tcase_add_checked_fixture(tests, folder_make, folder_remove);
    tcase_add_test(tests, a_set_is_sorted_and_each_tag_once);
    tcase_add_test(tests, tags_are_utf8);
    tcase_add_test(tests, sets_become_columns);
    tcase_add_test(tests, lists_end_with_a_character);
    tcase_add_test(tests, tags_are_found_or_refused);
    tcase_add_test(tests, sets_that_cannot_be_learnt);
    suite_add_tcase(suite, tests);
    return suite;
}
