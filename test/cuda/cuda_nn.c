/* Every operation of CUDA against right results, and its adjoints against differences: the table of
 * cases that the CPU is held against, too (test/device/op_cases.c). In two orders of blocks and
 * threads on the emulator: the same bits. */
#include "check/op_check.h"
#include "check/op_kinds.h"
#include "test/cuda/cuda_ops.h"

Suite *cuda_nn_suite(void);

START_TEST(results_are_right)
{
    const struct op_kind *kind = op_kinds[_i];
    struct device *device;
    MUST(cuda_open(&device));
    op_check_forget = emu_forget;
    for (int i = 0; i < kind->cases; i++) {
        struct op_case c;
        struct op_truth truth;
        uint64_t first = 0, bits;
        op_case_make(&c, kind, i);
        if (c.large) continue;
        MUST(op_truth_make(&truth, &c));
        for (int turn = 0; turn < EMU_TURNS; turn++) {
            emu_grid_order(turn == 1);
            MUST(op_truth_check(&truth, device, 0, &bits));
            if (turn == 0) first = bits;
            ck_assert_msg(bits == first, "%s %s depends on the order of blocks or threads",
                          kind->name, c.text);
        }
        op_truth_free(&truth);
    }
    emu_grid_order(false);
    device_close(device);
}
END_TEST

START_TEST(adjoints_are_those_of_their_forward_operations)
{
    const struct op_kind *kind = op_kinds[_i];
    struct device *device;
    MUST(cuda_open(&device));
    for (int i = 0; i < kind->cases; i++) {
        struct op_case c;
        bool checked;
        op_case_make(&c, kind, i);
        MUST(op_gradient_check(&c, device, &checked));
    }
    device_close(device);
}
END_TEST

Suite *cuda_nn_suite(void)
{
    Suite *suite = suite_create("cuda_nn");
    int kinds = 0;
    if (!cuda_here("cuda_nn")) return suite;
    while (op_kinds[kinds])
        kinds++;
    TCase *tests = tcase_create("ops");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, results_are_right, 0, kinds);
    tcase_add_loop_test(tests, adjoints_are_those_of_their_forward_operations, 0, kinds);
    suite_add_tcase(suite, tests);
    return suite;
}
