#include "config/config.h"

#include "base/error.h"
#include "base/parse_number.h"
#include "base/spelling.h"
#include "config/config_internal.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static struct config *load(const char *text)
{
    struct config *config;
    ck_assert_msg(config_load_text(&config, "test", text, strlen(text), 0, NULL) == OK, "%s",
                  error_message());
    return config;
}

/* Loads `text`, which must fail with exactly this message. */
static void load_bad(const char *text, const char *message)
{
    struct config *config;
    ck_assert_int_eq(config_load_text(&config, "test", text, strlen(text), 0, NULL), ERR_CONFIG);
    ck_assert_ptr_null(config);
    ck_assert_str_eq(error_message(), message);
}

START_TEST(defaults_are_those_of_the_file)
{
    struct config *built_in = load(""), *read = load(default_yaml);
    ck_assert_int_eq(built_in->task, CONFIG_TASK_SPLAT);
    ck_assert_int_eq(built_in->splat.num_gaussians, 10000);
    ck_assert_int_eq(built_in->splat.init_mode, CONFIG_SPLAT_INIT_MODE_GRADIENT);
    ck_assert_double_eq(built_in->splat.feat_lr, 1e-2);
    ck_assert_str_eq(built_in->exp_name, "");
    ck_assert(built_in->use_amp);
    ck_assert_str_eq(config_origin(built_in, "seed"), "default");
    ck_assert_str_ne(config_origin(read, "seed"), "default");
    struct config *other = load("seed: 7\ngit: {every: 8}\n");
    ck_assert(config_is_default(built_in, "git.every") && config_is_default(read, "git.every"));
    ck_assert(config_is_default(read, "seed") && !config_is_default(other, "seed"));
    ck_assert(config_is_default(other, "git.keep") && !config_is_default(other, "git.every"));
    config_free(other);
    ck_assert_ptr_null(config_origin(read, "sed"));
    char *a, *b;
    ck_assert_int_eq(config_print_text(built_in, &a), OK);
    ck_assert_int_eq(config_print_text(read, &b), OK);
    ck_assert_str_eq(a, b);
    free(a);
    free(b);
    config_free(built_in);
    config_free(read);
}
END_TEST

START_TEST(every_type_is_read)
{
    struct config *config =
        load("seed: 18446744073709551615\ntime_limit: 3h50m\nlimit: 1.5GiB\nexp_name: 'it''s'\n"
             "log_level: DEBUG\nquantize: Yes\nsplat: {gamma: 2, topk: 1e1}\ndata_root: null\n");
    ck_assert_uint_eq(config->seed, UINT64_MAX);
    ck_assert_double_eq(config->time_limit, 13800);
    ck_assert_uint_eq(config->memory.limit, UINT64_C(1610612736));
    ck_assert_str_eq(config->exp_name, "it's");
    ck_assert_int_eq(config->log_level, CONFIG_LOG_LEVEL_DEBUG);
    ck_assert(config->splat.quantize);
    ck_assert_double_eq(config->splat.gamma, 2);
    ck_assert_int_eq(config->splat.topk, 10);
    ck_assert_str_eq(config->splat.data_root, "");
    ck_assert_str_eq(config_origin(config, "splat.gamma"), "test:7");
    config_free(config);
}
END_TEST

START_TEST(overrides_win_and_the_last_one_counts)
{
    char *overrides[] = {"topk=3", "splat.topk=4", "exp_name=\"quoted\""};
    struct config *config;
    const char *text = "topk: 2\nexp_name: x\n";
    ck_assert_int_eq(config_load_text(&config, "test", text, strlen(text), 3, overrides), OK);
    ck_assert_int_eq(config->splat.topk, 4);
    ck_assert_str_eq(config->exp_name, "quoted");
    ck_assert_str_eq(config_origin(config, "splat.topk"), "command line");
    config_free(config);
}
END_TEST

START_TEST(the_environment_counts_between_file_and_overrides)
{
    setenv("IMGTRAIN_SPLAT__TOPK", "7", 1);
    setenv("IMGTRAIN_NUM_GAUSSIANS", "[5, 6]", 1);
    setenv("IMGTRAIN_GAMMA", "3", 1);
    char *overrides[] = {"gamma=4"};
    struct config *config;
    ck_assert_int_eq(config_load(&config, NULL, 1, overrides), OK);
    ck_assert_int_eq(config->splat.topk, 7);
    ck_assert_double_eq(config->splat.gamma, 4);
    ck_assert_int_eq(config_batch_count(config), 2);
    ck_assert_str_eq(config_origin(config, "splat.topk"), "IMGTRAIN_SPLAT__TOPK");
    config_free(config);
}
END_TEST

START_TEST(faults_name_their_place)
{
    load_bad("splat:\n  topk: x\n", "test:2:9: topk: expected a whole number, got 'x'");
    load_bad("topk: 33\n", "test:1:7: topk: 33 is out of range 0..32 (Gaussians)");
    load_bad("numgaussians: 1\n",
             "test:1:1: unknown key 'numgaussians': did you mean 'splat.num_gaussians'?");
    load_bad("seed: 1\nseed: 2\n", "test:2:1: 'seed' is set twice: first at test:1:1");
    load_bad("a: 1\nb: 1\n", "2 errors in the configuration");
}
END_TEST

START_TEST(a_bare_key_means_the_section_of_the_task)
{
    int index = config_find(NULL, "quality", "video");
    ck_assert_int_ge(index, 0);
    ck_assert_str_eq(config_row(index)->section, "video");
    ck_assert_int_eq(config_find(NULL, "quality", "splat"), ERR_CONFIG);
    ck_assert_str_eq(error_message(), "key 'quality' is in several sections: write one of "
                                      "frames.quality, video.quality");
}
END_TEST

START_TEST(a_batch_is_every_combination)
{
    struct config *config = load("gaussians: [10, 20]\nsteps: [1, 2, 3]\nexp_name: e\ntopk: [4]\n");
    ck_assert_int_eq(config_batch_count(config), 6);
    ck_assert_int_eq(config->splat.num_gaussians, 10);
    ck_assert_int_eq(config->splat.topk, 4);
    for (int i = 0; i < 6; i++) {
        struct config *one;
        ck_assert_int_eq(config_batch(config, i, &one), OK);
        ck_assert_int_eq(config_batch_count(one), 1);
        ck_assert_int_eq(one->splat.num_gaussians, i < 3 ? 10 : 20);
        ck_assert_int_eq(one->splat.max_steps, i % 3 + 1);
        char name[16];
        snprintf(name, sizeof name, "e-%03d", i + 1);
        ck_assert_str_eq(one->exp_name, name);
        config_free(one);
    }
    struct config *none;
    ck_assert_int_eq(config_batch(config, 6, &none), ERR_INTERNAL);
    config_free(config);
    load_bad("gaussians: [10, 0]\n",
             "test:1:12: num_gaussians: 0 is out of range 1..100000000|auto "
             "(Gaussians)");
}
END_TEST

START_TEST(what_is_printed_loads_to_the_same)
{
    const char *text =
        "seed: 18446744073709551615\nexp_name: \"\\\"\\\\\\n\\t\\x01\\N\\L\\uFEFF\\uFFFE"
        "\\U0001F600\"\npos_lr: 0.1\nscale_lr: 1e-300\ngamma: [0.30000000000000004, 2]\n"
        "log_root: \" [not, a list] \"\ndata_root: 'null'\ninput_path: ['a, b', c]\n";
    struct config *config = load(text);
    char *once, *twice;
    ck_assert_int_eq(config_print_text(config, &once), OK);
    struct config *again = load(once);
    ck_assert_int_eq(config_print_text(again, &twice), OK);
    ck_assert_str_eq(once, twice);
    ck_assert_str_eq(config->exp_name, again->exp_name);
    ck_assert_str_eq(again->log_root, " [not, a list] ");
    ck_assert_str_eq(again->splat.data_root, "null");
    ck_assert_double_eq(again->splat.scale_lr, 1e-300);
    ck_assert_int_eq(config_batch_count(again), 4);
    free(once);
    free(twice);
    config_free(config);
    config_free(again);
}
END_TEST

static int note(void *context, const char *key, const char *stored, const char *current)
{
    char *text = context;
    sprintf(text + strlen(text), "%s %s %s;", key, stored, current);
    return strcmp(key, "splat.gamma") == 0 ? ERR_USAGE : OK;
}

START_TEST(differences_to_a_stored_text_are_told)
{
    char told[256] = "";
    struct config *config = load("max_steps: 500\ntopk: 3\n");
    const char *stored = "gone_in_this_version: 1\nsplat:\n  max_steps: 100\n  topk: 3\n";
    ck_assert_int_eq(config_diff(stored, config, note, told), OK);
    ck_assert_str_eq(told, "splat.max_steps 100 500;");
    ck_assert_int_eq(config_diff("gamma: 9\ntopk: 4\n", config, note, told), ERR_USAGE);
    ck_assert_int_eq(config_diff("]", config, note, told), ERR_CONFIG);
    config_free(config);
}
END_TEST

START_TEST(integers_are_strict)
{
    int64_t i = 77;
    uint64_t u;
    static const char *const bad[] = {"",     " 1",  "1 ", "1_000", "0x10", "010", "1.5", "1e-1",
                                      "1e99", "--1", "+",  ".",     "e5",   "inf", "nan", "１"};
    for (int k = 0; k < COUNT(bad); k++)
        ck_assert_msg(!number_parse_int(bad[k], &i) && i == 77, "%s", bad[k]);
    ck_assert(number_parse_int("1e4", &i) && i == 10000);
    ck_assert(number_parse_int("2.0", &i) && i == 2);
    ck_assert(number_parse_int("-9223372036854775808", &i) && i == INT64_MIN);
    ck_assert(!number_parse_int("9223372036854775808", &i));
    ck_assert(number_parse_uint("18446744073709551615", &u) && u == UINT64_MAX);
    ck_assert(!number_parse_uint("18446744073709551616", &u));
    ck_assert(!number_parse_uint("-1", &u));
}
END_TEST

START_TEST(numbers_do_not_depend_on_the_locale)
{
    /* Where no German locale is installed this still tests the parser. */
    setlocale(LC_ALL, "de_DE.UTF-8");
    double v = 0;
    char text[NUMBER_TEXT_BYTES];
    ck_assert(number_parse_double("0.5", &v) && !(v != 0.5));
    ck_assert(number_parse_double("-.5e+1", &v) && !(v != -5));
    ck_assert(!number_parse_double("0,5", &v));
    ck_assert(!number_parse_double("1e999", &v));
    ck_assert_str_eq(number_format(text, 0.1), "0.1");
    ck_assert_str_eq(number_format(text, 0.1 + 0.2), "0.30000000000000004");
}
END_TEST

START_TEST(times_and_sizes_have_units)
{
    double s;
    uint64_t b;
    ck_assert(number_parse_duration("90", &s) && !(s != 90));
    ck_assert(number_parse_duration("1d2h3m4.5s", &s) && !(s != 93784.5));
    static const char *const bad_times[] = {"", "5x", "5m3h", "m", "5m5", "-5m", "5 m", "1e2m"};
    for (int i = 0; i < COUNT(bad_times); i++)
        ck_assert_msg(!number_parse_duration(bad_times[i], &s), "%s", bad_times[i]);
    int64_t p = 77;
    ck_assert(number_parse_period("1e3", &p) && p == 1000);
    ck_assert(number_parse_period("20ep", &p) && p == -20);
    static const char *const bad_periods[] = {"",
                                              "0",
                                              "ep",
                                              "0ep",
                                              "-5",
                                              "-5ep",
                                              "1.5",
                                              "5e",
                                              "5 ep",
                                              "5epochs",
                                              "1000000000001",
                                              "000000000000000000000000000000000000000000000001ep"};
    for (int i = 0; i < COUNT(bad_periods); i++)
        ck_assert_msg(!number_parse_period(bad_periods[i], &p) && p == -20, "%s", bad_periods[i]);
    ck_assert(number_parse_bytes("8GB", &b) && b == UINT64_C(8000000000));
    ck_assert(number_parse_bytes("8G", &b) && b == UINT64_C(8589934592));
    ck_assert(number_parse_bytes("0.5KiB", &b) && b == 512);
    ck_assert(number_parse_bytes("7B", &b) && b == 7);
    static const char *const bad_sizes[] = {"",      "GB", "8Q",   "8GBB",
                                            "8GiBs", "-1", "-1GB", "99999999TB"};
    for (int i = 0; i < COUNT(bad_sizes); i++)
        ck_assert_msg(!number_parse_bytes(bad_sizes[i], &b), "%s", bad_sizes[i]);
}
END_TEST

START_TEST(sides_are_strictly_parsed)
{
    int w = 0, h = 0;
    ck_assert(number_parse_size("16x24", &w, &h) && w == 16 && h == 24);
    ck_assert(number_parse_sides("08x999999999", &w, &h) && w == 8 && h == 999999999);
    ck_assert(number_parse_sides("32", &w, &h) && w == 32 && h == 32);
    /* 2^32 + 16 is not 16 */
    static const char *const bad[] = {
        "",     "x",     "16x",           "x16",        "16x16x16",     "16 x16",  "16x 16",
        " 16",  "-16",   "16x-1",         "4294967312", "+16",          "16x16px", "1e1",
        "0x1F", "16*16", "4294967312x16", "16X16",      "16x4294967312"};
    for (int i = 0; i < COUNT(bad); i++) {
        ck_assert_msg(!number_parse_sides(bad[i], &w, &h), "%s", bad[i]);
        ck_assert_int_eq(w, 32);
    }
    ck_assert(!number_parse_size("16", &w, &h));
}
END_TEST

START_TEST(near_names_are_counted_in_edits)
{
    ck_assert_int_eq(nearest_distance("topk", "topk"), 0);
    ck_assert_int_eq(nearest_distance("tpok", "topk"), 1);
    ck_assert_int_eq(nearest_distance("Max-Steps", "max_steps"), 0);
    ck_assert_int_eq(nearest_distance("", "abc"), 3);
    ck_assert_int_eq(nearest_distance("kitten", "sitting"), 3);
    ck_assert(nearest_is_close("tpok", 1));
    ck_assert(!nearest_is_close("foo", 2));
}
END_TEST

/* A section counts as its keys do where all are alike: then its head is left out of models, too. */
START_TEST(marks_say_what_a_resume_may_change)
{
    static const struct {
        const char *key;
        enum config_resume mark;
    } marks[] = {
        {"threads", CONFIG_RESUME_ENVIRONMENT},
        {"frames.count", CONFIG_RESUME_ENVIRONMENT},
        {"gan.micro_batch", CONFIG_RESUME_ENVIRONMENT},
        {"splat.max_steps", CONFIG_RESUME_ENDING},
        {"gan.data", CONFIG_RESUME_INPUT},
        {"splat.ckpt_file", CONFIG_RESUME_START},
        {"seed", CONFIG_RESUME_SAME},
        {"frames.", CONFIG_RESUME_ENVIRONMENT},
        {"video.", CONFIG_RESUME_ENVIRONMENT},
        {"checkpoint.", CONFIG_RESUME_ENVIRONMENT},
        {"memory.", CONFIG_RESUME_ENVIRONMENT},
        {"splat.", CONFIG_RESUME_SAME},
        {"gan.", CONFIG_RESUME_SAME},
        {"sede", CONFIG_RESUME_SAME},
        {"fram.", CONFIG_RESUME_SAME},
        {"", CONFIG_RESUME_SAME},
    };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        ck_assert_msg(config_resume_of(marks[i].key) == marks[i].mark, "%s", marks[i].key);
}
END_TEST

Suite *config_suite(void);
Suite *config_suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("config");
    tcase_add_test(tests, defaults_are_those_of_the_file);
    tcase_add_test(tests, every_type_is_read);
    tcase_add_test(tests, overrides_win_and_the_last_one_counts);
    tcase_add_test(tests, the_environment_counts_between_file_and_overrides);
    tcase_add_test(tests, faults_name_their_place);
    tcase_add_test(tests, a_bare_key_means_the_section_of_the_task);
    tcase_add_test(tests, a_batch_is_every_combination);
    tcase_add_test(tests, what_is_printed_loads_to_the_same);
    tcase_add_test(tests, differences_to_a_stored_text_are_told);
    tcase_add_test(tests, integers_are_strict);
    tcase_add_test(tests, numbers_do_not_depend_on_the_locale);
    tcase_add_test(tests, times_and_sizes_have_units);
    tcase_add_test(tests, sides_are_strictly_parsed);
    tcase_add_test(tests, near_names_are_counted_in_edits);
    tcase_add_test(tests, marks_say_what_a_resume_may_change);
    suite_add_tcase(suite, tests);
    return suite;
}
