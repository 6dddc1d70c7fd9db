#include "base/error.h"
#include "base/format.h"
#include "base/json.h"
#include "base/random.h"
#include "base/threads.h"
#include "base/utf8.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#undef fail /* Check's, of old */

/* ---- errors ---- */

static int with_cleanup(int given, int *cleaned)
{
    int code = OK;
    TRY_CLEANUP(given);
    return 1;
cleanup:
    *cleaned = 1;
    return code;
}

START_TEST(errors_say_what)
{
    ck_assert_int_eq(fail(ERR_DATA, "%s: %d", "x.png", 7), ERR_DATA);
    ck_assert_str_eq(error_message(), "x.png: 7");
    ck_assert_int_eq(fail(ERR_DATA, "again: %s", error_message()), ERR_DATA);
    ck_assert_str_eq(error_message(), "again: x.png: 7");
    ck_assert_int_eq(fail_within(ERR_IO, "within %s", "y"), ERR_IO);
    ck_assert_str_eq(error_message(), "within y: again: x.png: 7");
    errno = ENOENT;
    ck_assert_int_eq(fail_errno(ERR_INPUT, "open z"), ERR_INPUT);
    ck_assert_str_eq(error_message(), "open z: No such file or directory");
    errno = EACCES;
    ck_assert_int_eq(fail_errno(ERR_INPUT, "open z"), ERR_ACCESS);
    errno = EROFS;
    ck_assert_int_eq(fail_errno(ERR_OUTPUT, "open z"), ERR_ACCESS);
    char endless[5000];
    memset(endless, 'a', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    fail(ERR_DATA, "%s", endless);
    ck_assert_uint_lt(strlen(error_message()), sizeof endless);
    int cleaned = 0;
    ck_assert_int_eq(with_cleanup(ERR_DATA, &cleaned), ERR_DATA);
    ck_assert_int_eq(cleaned, 1);
    cleaned = 0;
    ck_assert_int_eq(with_cleanup(OK, &cleaned), 1);
    ck_assert_int_eq(cleaned, 0);
}
END_TEST

/* The exit codes that scripts rely on. */
START_TEST(exit_statuses)
{
    static const int expected[][2] = {
        {OK, 0},
        {ERR_USAGE, 64},
        {ERR_DATA, 65},
        {ERR_INPUT, 66},
        {ERR_DEVICE, 69},
        {ERR_INTERNAL, 70},
        {ERR_SYSTEM, 71},
        {ERR_OUTPUT, 73},
        {ERR_IO, 74},
        {ERR_STOPPED, 75},
        {ERR_ACCESS, 77},
        {ERR_CONFIG, 78},
        {ERR_DIVERGED, 30},
        {ERR_DEVICE_MEMORY, 31},
        {-14, 70},
        {5, 70},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        ck_assert_int_eq(error_exit_status(expected[i][0]), expected[i][1]);
}
END_TEST

static void *other_thread(void *argument)
{
    (void)argument;
    fail(ERR_DATA, "of the other thread");
    return NULL;
}

START_TEST(each_thread_has_its_message)
{
    pthread_t thread;
    fail(ERR_DATA, "mine");
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_str_eq(error_message(), "mine");
}
END_TEST

/* ---- numbers ---- */

/* Known answers of Random123, tests/kat_vectors: counter, key, result.
 * https://github.com/DEShawResearch/random123 */
START_TEST(philox_known_answers)
{
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *k = known[i];
        struct philox4 result =
            random_philox4x32((struct philox4){{k[0], k[1], k[2], k[3]}}, k[4], k[5]);
        for (int word = 0; word < 4; word++)
            ck_assert_uint_eq(result.v[word], k[6 + word]);
    }
}
END_TEST

START_TEST(philox_draws)
{
    struct philox4 base = philox_draw(1, 2, 3, 4);
    struct philox4 others[] = {philox_draw(2, 2, 3, 4),
                               philox_draw(1, 3, 3, 4),
                               philox_draw(1, 2, 4, 4),
                               philox_draw(1, 2, 3, 5),
                               philox_draw(1 + (UINT64_C(1) << 32), 2, 3, 4),
                               philox_draw(1, 2, 3 + (UINT64_C(1) << 32), 4),
                               philox_draw(1, 2, 3, 4 + (UINT64_C(1) << 32))};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert(memcmp(&base, &others[i], sizeof base) != 0);
    ck_assert(philox_uniform(0) == 0.0F);
    ck_assert(philox_uniform(UINT32_MAX) == 1.0F - 0x1p-24F);
    /* mean 1/2 and variance 1/12, within five standard errors of 400,000 draws */
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        struct philox4 r = philox_draw(5, STREAM_TEST, 0, i);
        for (int word = 0; word < 4; word++) {
            double u = (double)philox_uniform(r.v[word]) - 0.5;
            sum += u;
            squares += u * u;
        }
    }
    double mean = sum / 4e5, variance = squares / 4e5;
    ck_assert(mean * mean <= 25 / 12.0 / 4e5);
    ck_assert((variance - 1 / 12.0) * (variance - 1 / 12.0) <= 25 / 180.0 / 4e5);
}
END_TEST

START_TEST(threads_follow_the_affinity)
{
    int all = threads_available();
    ck_assert_int_ge(all, 1);
    cpu_set_t set, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    ck_assert_int_le(all, CPU_COUNT(&set));
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &set)) CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(threads_available(), 1);
    ck_assert_int_eq(threads_set(0), 1);
    ck_assert_int_eq(threads_count(), 1);
    ck_assert_int_eq(threads_set(3), 3);
    ck_assert_int_eq(threads_count(), 3);
}
END_TEST

START_TEST(bytes_for_people)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } known[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1023 * 1024, "1.0 MiB"},
        {INT64_C(5) << 30, "5.0 GiB"},
        {INT64_C(139) << 30, "139 GiB"},
        {INT64_MAX, "8.0 EiB"},
        {-1, "?"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_str_eq(format_bytes(known[i].bytes).text, known[i].text);
}
END_TEST

START_TEST(utf8_lengths)
{
    static const struct {
        const char *text;
        size_t length;
    } known[] = {
        {"a", 1},
        {"\xC3\xA9", 2},
        {"\xE2\x82\xAC", 3},
        {"\xF0\x9F\x98\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\xED\x9F\xBF", 3},
        {"", 0},
        {"\x80", 0},             /* begins in the middle */
        {"\xC3", 0},             /* cut short */
        {"\xC3(", 0},            /* not followed */
        {"\xC0\x80", 0},         /* overlong */
        {"\xE0\x80\x80", 0},     /* overlong */
        {"\xF0\x80\x80\x80", 0}, /* overlong */
        {"\xED\xA0\x80", 0},     /* a surrogate */
        {"\xF4\x90\x80\x80", 0}, /* past the end */
        {"\xF5\x80\x80\x80", 0},
        {"\xFF", 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        ck_assert_uint_eq(utf8_length(known[i].text, strlen(known[i].text)), known[i].length);
}
END_TEST

START_TEST(json_strings)
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    json_write_string(out, "a\"\\\n\x7F\xC3\xA9\xFF");
    json_write_number(out, 0.1);
    json_write_number(out, (double)NAN);
    json_write_number(out, -(double)INFINITY);
    fclose(out);
    ck_assert_str_eq(text, "\"a\\\"\\\\\\u000a\\u007f\xC3\xA9\xEF\xBF\xBD\"0.1nullnull");
    free(text);
}
END_TEST

Suite *base_suite(void);
Suite *base_suite(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, errors_say_what);
    tcase_add_test(tests, exit_statuses);
    tcase_add_test(tests, each_thread_has_its_message);
    tcase_add_test(tests, philox_known_answers);
    tcase_add_test(tests, philox_draws);
    tcase_add_test(tests, threads_follow_the_affinity);
    tcase_add_test(tests, bytes_for_people);
    tcase_add_test(tests, utf8_lengths);
    tcase_add_test(tests, json_strings);
    suite_add_tcase(suite, tests);
    return suite;
}
