/* What clients ask for, as it is read. */
#include "base/error.h"
#include "serve/serve_access.h"
#include "serve/serve_ask.h"
#include "serve/serve_metrics.h"
#include "test/support.h"

#include <stdlib.h>
#include <string.h>

static struct serve_ask ask;

static int read_body(enum serve_endpoint endpoint, const char *body)
{
    serve_ask_free(&ask);
    serve_ask_begin(&ask, endpoint);
    int code = serve_ask_read_body(&ask, body, strlen(body));
    return code < 0 ? code : serve_ask_check(&ask);
}

START_TEST(a_body_is_read)
{
    MUST(read_body(SERVE_GENERATIONS,
                   " {\"prompt\": \"a \\u00e9\", \"n\": 3, \"seed\": 9007199254740992, "
                   "\"class\": 2, \"size\": null, \"steps\": 8, \"style\": 1} \n"));
    ck_assert_str_eq(ask.prompt, "a \xc3\xa9");
    ck_assert_int_eq(ask.n, 3);
    ck_assert(ask.has_seed && ask.seed == UINT64_C(9007199254740992) && ask.as_json);
    ck_assert_str_eq(ask.label, "2");
    ck_assert_str_eq(ask.steps, "8");
    ck_assert_ptr_null(ask.size);
    ck_assert_str_eq(ask.ignored, "style");
    MUST(read_body(SERVE_GENERATIONS, "{\"quality\": 1, \"style\": 1, \"background\": 1, "
                                      "\"moderation\": 1, \"user\": 1}"));
    static const char *const others[] = {"negative_prompt", "steps", "guidance", "prompt"};
    for (size_t i = 0; i < 2 * sizeof others / sizeof *others; i++) /* each twice, named once */
        serve_ask_ignore(&ask, others[i % (sizeof others / sizeof *others)]);
    ck_assert_str_eq(ask.ignored, "quality, style, background, moderation, user, "
                                  "negative_prompt, steps, guidance, prompt");
    MUST(read_body(SERVE_SAMPLE, "{\"seed\": \"18446744073709551615\", \"grid\": \"4x2\"}"));
    ck_assert(ask.seed == UINT64_MAX && ask.n == 8 && ask.columns == 4 && !ask.as_json);
    MUST(read_body(SERVE_GENERATIONS, "{\"prompt\": \"\\\\u0000\"}")); /* six letters */
    ck_assert_str_eq(ask.prompt, "\\u0000");
    MUST(read_body(SERVE_SAMPLE, "{}"));
    ck_assert(!ask.has_seed && ask.n == 1);
    serve_ask_free(&ask);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    static const struct {
        const char *body, *wrong;
    } cases[] = {
        {"", NULL},
        {"[]", NULL},
        {"{\"n\": 1", NULL},
        {"{} x", NULL},
        {"{\"prompt\": \"\xff\"}", NULL},
        {"{\"prompt\": \"a\\u0000b\"}", NULL}, /* which C would end there */
        {"{\"prompt\": \"\\\\\\u0000\"}", NULL},
        {"{\"crop\": \"0,0,1,1\"}", NULL},
        {"{\"n\": 11}", "n"},
        {"{\"n\": 1.5}", "n"},
        {"{\"n\": \"x\"}", "n"},
        {"{\"n\": []}", "n"},
        {"{\"n\": 1, \"n\": 1}", "n"},
        {"{\"n\": 2, \"response_format\": \"png\"}", "response_format"},
        {"{\"response_format\": \"url\"}", "response_format"},
        {"{\"seed\": 9007199254740994}", "seed"},
        {"{\"seed\": -1}", "seed"},
        {"{\"seed\": \"1e300\"}", "seed"},
        {"{\"seed\": 1e999}", "seed"},
        {"{\"prompt\": 5}", "prompt"},
        {"{\"class\": true}", "class"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(read_body(SERVE_GENERATIONS, cases[i].body) == ERR_USAGE, "%s",
                      cases[i].body);
        if (!cases[i].wrong)
            ck_assert_ptr_null(ask.wrong);
        else
            ck_assert_str_eq(ask.wrong, cases[i].wrong);
    }
    ck_assert_int_eq(read_body(SERVE_SAMPLE, "{\"grid\": \"8x9\"}"), ERR_USAGE);
    ck_assert_int_eq(read_body(SERVE_SAMPLE, "{\"grid\": \"2x2\", \"n\": 5}"), ERR_USAGE);
    serve_ask_free(&ask);
}
END_TEST

START_TEST(parameters_are_read)
{
    serve_ask_begin(&ask, SERVE_RENDER);
    MUST(serve_ask_read_parameter(&ask, "size", "64x48"));
    MUST(serve_ask_read_parameter(&ask, "size", "32x24"));
    ck_assert_str_eq(ask.size, "32x24");
    ck_assert_int_eq(serve_ask_read_parameter(&ask, "seed", "1"), ERR_USAGE);
    ck_assert_int_eq(serve_ask_read_parameter(&ask, "crop", NULL), ERR_USAGE);
    ck_assert_str_eq(ask.wrong, "crop");
    serve_ask_free(&ask);
}
END_TEST

START_TEST(paths_are_whole)
{
    ck_assert_int_eq(serve_endpoint_find("/sample"), SERVE_SAMPLE);
    ck_assert_int_eq(serve_endpoint_find("/"), SERVE_PAGE);
    ck_assert_int_eq(serve_endpoint_find("/sample/"), SERVE_ELSEWHERE);
    ck_assert_int_eq(serve_endpoint_find(""), SERVE_ELSEWHERE);
    ck_assert_int_eq(serve_endpoint_find("other"), SERVE_ELSEWHERE);
}
END_TEST

START_TEST(a_key_is_whole)
{
    ck_assert(serve_access_has_key("Bearer secret", "secret"));
    ck_assert(serve_access_has_key("bearer secret", "secret"));
    static const char *const others[] = {NULL,
                                         "",
                                         "secret",
                                         "Bearer ",
                                         "Bearer secre",
                                         "Bearer secretsecret",
                                         "Bearer secret ",
                                         "Basic secret"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert(!serve_access_has_key(others[i], "secret"));
    ck_assert(!serve_access_has_key("Bearer ", ""));
}
END_TEST

START_TEST(only_this_machine_asks_without_one)
{
    static const struct {
        const char *host, *origin;
        bool is_local;
    } cases[] = {
        {NULL, NULL, true},
        {"localhost:80", NULL, true},
        {"127.0.0.1", NULL, true},
        {"[::1]:8000", "http://[::1]:8000", true},
        {"localhost:80", "http://localhost:80", true},
        {"localhost:80", "http://localhost:81", false},
        {"localhost:80", "https://localhost:80", false},
        {"localhost.evil.com", NULL, false},
        {"127.0.0.1.evil.com", NULL, false},
        {"[::1", NULL, false},
        {"evil.com", "http://evil.com", false},
        {"localhost", "null", false},
        {NULL, "http://localhost", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(serve_access_is_local(cases[i].host, cases[i].origin) == cases[i].is_local,
                      "%zu", i);
}
END_TEST

START_TEST(seconds_are_in_their_buckets)
{
    static struct serve_metrics metrics;
    char *text;
    size_t bytes;
    serve_metrics_add(&metrics, SERVE_SAMPLE, 200, 0.001, 2);
    serve_metrics_add(&metrics, SERVE_SAMPLE, 200, 0.3, 1);
    serve_metrics_add(&metrics, SERVE_SAMPLE, 418, 9, 0);
    FILE *out = open_memstream(&text, &bytes);
    serve_metrics_print(&metrics, 1, 2, 3, out);
    fclose(out);
    static const char *const lines[] = {
        "imgtrain_requests_total{endpoint=\"/sample\",status=\"200\"} 2\n",
        "imgtrain_errors_total 1\n",
        "imgtrain_request_seconds_bucket{le=\"0.001\"} 1\n",
        "imgtrain_request_seconds_bucket{le=\"0.25\"} 1\n",
        "imgtrain_request_seconds_bucket{le=\"0.5\"} 2\n",
        "imgtrain_request_seconds_bucket{le=\"+Inf\"} 2\n",
        "imgtrain_request_seconds_sum 0.301\n",
        "imgtrain_images_total 3\n",
        "imgtrain_queue_length 1\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(strstr(text, lines[i]) != NULL, "%s in %s", lines[i], text);
    free(text);
}
END_TEST

Suite *serve_ask_test_suite(void);
Suite *serve_ask_test_suite(void)
{
    Suite *suite = suite_create("serve_ask_test");
    TCase *test = tcase_create("ask");
    tcase_add_test(test, a_body_is_read);
    tcase_add_test(test, what_is_wrong_is_named);
    tcase_add_test(test, parameters_are_read);
    tcase_add_test(test, paths_are_whole);
    tcase_add_test(test, a_key_is_whole);
    tcase_add_test(test, only_this_machine_asks_without_one);
    tcase_add_test(test, seconds_are_in_their_buckets);
    suite_add_tcase(suite, test);
    return suite;
}
