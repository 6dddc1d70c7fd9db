/* Classes of images out of a file of lines. */
#include "data/label_file.h"
#include "test/support.h"

static const char *const images[] = {"a.png",     "b c.png",   "sub/d.jpg",
                                     "sub/e.png", "top/e.png", "f.png"};
enum { IMAGES = sizeof images / sizeof *images };

static const char *image_at(const void *context, int i)
{
    (void)context;
    return images[i];
}

static int labels_of_text(struct captions *labels, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/labels.csv", folder);
    MUST(file_atomic_write_whole(path, text, strlen(text), false));
    return label_file_read(labels, path, IMAGES, image_at, NULL);
}

/* expected: the class of each image in one line. */
static void check_classes(const char *text, const char *expected)
{
    struct captions labels;
    char got[200] = "";
    int code = labels_of_text(&labels, text);
    ck_assert_msg(code == OK, "%s", error_message());
    for (int i = 0; i < IMAGES; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d%s", i ? " " : "",
                 labels.labels[i], labels.texts[labels.labels[i]]);
    ck_assert_str_eq(got, expected);
    captions_free(&labels);
}

static void check_refused(const char *text, const char *part)
{
    struct captions labels;
    ck_assert_int_eq(labels_of_text(&labels, text), ERR_DATA);
    ck_assert_msg(strstr(error_message(), part) && strstr(error_message(), "/labels.csv"), "%s: %s",
                  text, error_message());
    captions_free(&labels);
}

START_TEST(every_separator)
{
    const char *expected = "1cat 0bird 1cat 0bird 1cat 2dog";
    check_classes(
        "a.png,cat\nb c.png,bird\nsub/d.jpg,cat\nsub/e.png,bird\ntop/e.png,cat\nf.png,dog\n",
        expected);
    check_classes(
        "file\tclass\r\na\tcat\r\nb c\tbird\r\nd\tcat\r\nsub/e\tbird\r\ntop/e\tcat\r\n\r\nf\tdog",
        expected);
    check_classes(
        "# of mine\na.png cat\nb c.png   bird\n  d.jpg cat\nsub/e bird\ntop/e.png cat\nf dog",
        expected);
    check_classes(
        "\xEF\xBB\xBF"
        "name; class\n\"a.png\"; cat\nb c.png;\"bird\"\nd;cat\nsub/e;bird\ntop/e;cat\nf;dog\n",
        expected);
}
END_TEST

START_TEST(numbers_are_in_their_order)
{
    check_classes("a,10\nb c,9\nd,-1\nsub/e,9\ntop/e,100\nf,10", "210 19 0-1 19 3100 210");
    check_classes("a,10\nb c,9\nd,x\nsub/e,9\ntop/e,100\nf,10", "010 29 3x 29 1100 010");
    check_classes("a,\"x, \"\"y\"\"\"\nb c,z\nd,z\nsub/e,z\ntop/e,z\nf,z",
                  "0x, \"y\" 1z 1z 1z 1z 1z");
}
END_TEST

/* A class with a blank, between blanks. */
START_TEST(quotes_between_blanks)
{
    check_classes("a.png \"a cat\"\n\"b c.png\" \"a bird\"\nb c.png \"a bird\"\nd \"a cat\"\n"
                  "sub/e \"a bird\"\ntop/e cat\nf \"a \"\"cat\"\"\"",
                  "2a cat 1a bird 2a cat 1a bird 3cat 0a \"cat\"");
}
END_TEST

/* The path of one image is the last part of another's. */
static const char *nested_at(const void *context, int i)
{
    static const char *const nested[] = {"e.png", "sub/e.png", "sub/top/e.png"};
    (void)context;
    return nested[i];
}

START_TEST(a_path_is_one_image)
{
    struct captions labels;
    char path[128];
    const char *text = "sub/e.png,cat\ne.png,dog\nsub/top/e.png,cat\n";
    snprintf(path, sizeof path, "%s/labels.csv", folder);
    MUST(file_atomic_write_whole(path, text, strlen(text), false));
    MUST(label_file_read(&labels, path, 3, nested_at, NULL));
    ck_assert_str_eq(labels.texts[labels.labels[0]], "dog");
    ck_assert_str_eq(labels.texts[labels.labels[1]], "cat");
    captions_free(&labels);
}
END_TEST

START_TEST(what_is_refused)
{
    check_refused("a.png\n", ":1:6: NAME,CLASS is expected: no comma, tab or blank is here");
    check_refused("a,cat,x\n", ":1:7: NAME,CLASS is expected: there is a third field");
    check_refused("\n  a,\n", ":2:5: NAME,CLASS is expected: a field is empty");
    check_refused("\"a,cat\n", ":1:1: NAME,CLASS is expected: ");
    check_refused("a,cat\ne,dog\n", ":2:1: several images are called e");
    check_refused("a,cat\na.png,dog\n", ":2:7: a.png has class cat already");
    check_refused("a,cat\n", "5 of 6 images have no class in it (b c.png, ...)");
    check_refused("a,x\nb c,x\nd,x\nsub/e,x\ntop/e,x\nf,x", "all images are of one class, x");
    check_refused("a,caf\xE9\nb c,caf\xE8\n", ":1:3: the class is no UTF-8");
    check_refused("", "6 of 6 images have no class");
}
END_TEST

START_TEST(a_missing_file)
{
    struct captions labels;
    ck_assert_int_eq(label_file_read(&labels, "/nowhere/l.csv", IMAGES, image_at, NULL), ERR_INPUT);
    captions_free(&labels);
}
END_TEST

Suite *label_file_test_suite(void);
Suite *label_file_test_suite(void)
{
    Suite *suite = suite_create("label_file_test");
    TCase *tests = tcase_create("lines");
    tcase_add_checked_fixture(tests, folder_make, folder_remove);
    tcase_add_test(tests, every_separator);
    tcase_add_test(tests, numbers_are_in_their_order);
    tcase_add_test(tests, quotes_between_blanks);
    tcase_add_test(tests, a_path_is_one_image);
    tcase_add_test(tests, what_is_refused);
    tcase_add_test(tests, a_missing_file);
    suite_add_tcase(suite, tests);
    return suite;
}
