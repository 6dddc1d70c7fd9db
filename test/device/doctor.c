/* What doctor says of the code in a build with CUDA. */
#include "cmd/cmd.h"

#include <check.h>

Suite *doctor_suite(void);

START_TEST(names_gpus_that_compile_first)
{
    static const struct {
        const char *archs, *text;
    } cases[] = {
        {"", "not built in"},
        {"emu", "emulated"},
        {"native", "built in: code for the GPU of the machine that built it; compiled at their "
                   "first start: others from sm_80 on"},
        /* a plain build: an H100 starts at once, an A100 and an RTX 5090 do not */
        {"75 90", "built in: code for sm_75 sm_90; compiled at their first start: sm_80 sm_86 "
                  "sm_87 sm_88 sm_89 sm_100 sm_103 sm_110 sm_120 sm_121"},
        {"80", "built in: code for sm_80; compiled at their first start: sm_90 sm_100 sm_103 "
               "sm_110 sm_120 sm_121"},
        {"89", "built in: code for sm_89; compiled at their first start: sm_80 sm_86 sm_87 sm_88 "
               "sm_90 sm_100 sm_103 sm_110 sm_120 sm_121"},
        {"75 80 86 89 90 100 120", "built in: code for sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 "
                                   "sm_120; compiled at their first start: sm_110"},
        {"80 90 100 110 120", "built in: code for sm_80 sm_90 sm_100 sm_110 sm_120"},
    };
    ck_assert_str_eq(doctor_cuda_code(cases[_i].archs).text, cases[_i].text);
}
END_TEST

Suite *doctor_suite(void)
{
    Suite *suite = suite_create("doctor");
    TCase *tests = tcase_create("code");
    tcase_add_loop_test(tests, names_gpus_that_compile_first, 0, 8);
    suite_add_tcase(suite, tests);
    return suite;
}
