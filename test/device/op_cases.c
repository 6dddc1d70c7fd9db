/* The table of cases of operations (src/check) on the CPU: the reference and every instruction set
 * of this machine against right results in double, adjoints against differences of their forward
 * operations, the same bits for any number of threads; and that no operation is without a case.
 * test/cuda/cuda_nn.c asks the same of CUDA. */
#include "base/threads.h"
#include "check/op_check.h"
#include "check/op_kinds.h"
#include "cpu/device_cpu.h"
#include "cpu/isa.h"
#include "registry/devices.h"
#include "test/support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *op_cases_suite(void);

enum { REFERENCE, FIRST_ISA, MODES = FIRST_ISA + CPU_ISAS };

/* The CPU's kernels are those of the instruction set that was looked for last. False where the
 * machine lacks it. */
static bool turn_to(int mode)
{
    int isa = mode == REFERENCE ? 0 : mode - FIRST_ISA;
    setenv("IMGTRAIN_ISA", cpu_isa_name((enum cpu_isa)isa), 1);
    nn_ops_cpu();
    token_ops_cpu();
    return (int)cpu_isa() == isa;
}

/* NULL where it cannot be. Under a sanitizer (SKIP_SLOW) not the sources of wide instructions once
 * more without them: that takes longest. */
static void open_all(struct device *devices[MODES])
{
    for (int mode = 0; mode < MODES; mode++) {
        devices[mode] = NULL;
        if (mode == FIRST_ISA && getenv("SKIP_SLOW")) continue;
        if (!turn_to(mode)) continue;
        MUST(device_open_cpu(&devices[mode], 2));
        if (mode == REFERENCE) devices[mode]->nn = nn_ops_reference();
        if (mode == REFERENCE) devices[mode]->token = token_ops_reference();
    }
}

static void close_all(struct device *const devices[MODES])
{
    for (int mode = 0; mode < MODES; mode++)
        device_close(devices[mode]);
}

/* The reference is for small shapes. */
static bool is_too_slow(const struct op_case *c, int mode)
{
    return c->large || (mode == REFERENCE && c->macs > 2e6);
}

/* AMX has matrix products alone. */
static bool is_same_below(const struct op_kind *kind, int mode)
{
    return mode == FIRST_ISA + CPU_ISA_AMX && kind != &op_linear_forward;
}

/* One case on all of them: its right results are made once. */
static void right_everywhere(const struct op_kind *kind, int index, struct device *const devices[])
{
    struct op_case c;
    struct op_truth truth;
    op_case_make(&c, kind, index);
    if (c.large) return;
    MUST(op_truth_make(&truth, &c));
    for (int mode = 0; mode < MODES; mode++) {
        uint64_t one, more;
        if (!devices[mode] || !op_kind_is_there(kind, devices[mode]) || is_too_slow(&c, mode) ||
            is_same_below(kind, mode))
            continue;
        turn_to(mode);
        for (int threads = 1; threads <= (mode == REFERENCE ? 1 : 5);
             threads += threads == 1 ? 1 : 3) {
            threads_set(threads);
            ck_assert_msg(op_truth_check(&truth, devices[mode], 0, &more) == OK, "%s: %s",
                          devices[mode]->name, error_message());
            if (threads == 1) one = more;
            ck_assert_msg(one == more, "%s: %s %s: other bits with %d threads", devices[mode]->name,
                          kind->name, c.text, threads);
        }
    }
    op_truth_free(&truth);
}

static int kind_count(void)
{
    int count = 0;
    while (op_kinds[count])
        count++;
    return count;
}

START_TEST(results_are_right)
{
    struct device *devices[MODES];
    if (!test_asks_for("OPS", op_kinds[_i]->name)) return;
    open_all(devices);
    for (int i = 0; i < op_kinds[_i]->cases; i++)
        right_everywhere(op_kinds[_i], i, devices);
    close_all(devices);
}
END_TEST

START_TEST(adjoints_are_those_of_their_forward_operations)
{
    const struct op_kind *kind = op_kinds[_i];
    struct device *devices[MODES];
    int found = 0;
    if (!test_asks_for("OPS", kind->name)) return;
    open_all(devices);
    for (int mode = 0; mode < MODES; mode++)
        for (int i = 0; devices[mode] && !is_same_below(kind, mode) && i < kind->cases; i++) {
            struct op_case c;
            bool checked;
            turn_to(mode);
            op_case_make(&c, kind, i);
            if (is_too_slow(&c, mode)) continue;
            ck_assert_msg(op_gradient_check(&c, devices[mode], &checked) == OK, "%s: %s",
                          devices[mode]->name, error_message());
            found += checked;
        }
    ck_assert_int_eq(found > 0, kind->adjoint_of || kind->loss);
    close_all(devices);
}
END_TEST

/* What tables hold beside operations that the list knows. */
static const struct {
    const char *table;
    size_t offset;
    const char *why;
} without_case[] = {
    {"nn", offsetof(struct nn_ops, conv_workspace), "asked by every convolution's case"},
    {"nn", offsetof(struct nn_ops, prelu_conv_workspace), "likewise"},
    {"token", offsetof(struct token_ops, linear_workspace), "likewise"},
    {"token", offsetof(struct token_ops, norm_workspace), "likewise"},
    {"token", offsetof(struct token_ops, attention_workspace), "likewise"},
    {"splat", offsetof(struct splat_ops, workspace_bytes), "asked by every case"},
    {"splat", offsetof(struct splat_ops, staging_bytes), "test/cuda/cuda_splat_beside.c"},
    {"splat", offsetof(struct splat_ops, count_pairs), "a figure"},
    {"splat", offsetof(struct splat_ops, render_bytes), "test/splat/splat_ops.c"},
};

static bool has_case(const char *table, size_t offset)
{
    for (size_t i = 0; i < sizeof without_case / sizeof *without_case; i++)
        if (strcmp(without_case[i].table, table) == 0 && without_case[i].offset == offset)
            return true;
    for (int i = 0; op_kinds[i]; i++)
        if (strcmp(op_kinds[i]->table, table) == 0 && op_kinds[i]->offset == offset)
            return op_kinds[i]->cases > 0;
    return false;
}

START_TEST(every_operation_has_a_case)
{
    static const struct {
        const char *name;
        size_t first, end;
    } tables[] = {
        {"nn", offsetof(struct nn_ops, conv_workspace), sizeof(struct nn_ops)},
        {"gan", 0, sizeof(struct gan_ops)},
        {"token", offsetof(struct token_ops, linear_workspace), sizeof(struct token_ops)},
        {"splat", offsetof(struct splat_ops, workspace_bytes), sizeof(struct splat_ops)},
    };
    for (int t = 0; t < 4; t++)
        for (size_t at = tables[t].first; at < tables[t].end; at += sizeof(void (*)(void)))
            ck_assert_msg(has_case(tables[t].name, at),
                          "the operation at byte %zu of struct %s_ops has no case in src/check", at,
                          tables[t].name);
}
END_TEST

/* ---- imgtrain-test op_speed [DEVICE] ---- */

int op_cases_speed(const char *device_name);
int op_cases_speed(const char *device_name)
{
    const double least = 0.1; /* seconds of a round */
    struct device *device;
    char line[160];
    int code = device_open(&device, device_name, 0);
    if (code == OK) printf("%s\n%s\n", device->name, op_speed_line(line, sizeof line, NULL, 0));
    for (int k = 0; code == OK && op_kinds[k]; k++)
        for (int i = 0, any = 0; code == OK && i < op_kinds[k]->cases; i++) {
            struct op_case c;
            double seconds;
            op_case_make(&c, op_kinds[k], i);
            any |= c.large;
            if (!op_kind_is_there(op_kinds[k], device)) continue;
            if (!c.large && (any || i < op_kinds[k]->cases - 1)) continue;
            code = op_speed(&c, device, least, &seconds);
            if (code == OK) puts(op_speed_line(line, sizeof line, &c, seconds));
        }
    if (code < 0) fprintf(stderr, "%s\n", error_message());
    device_close(device);
    return code;
}

Suite *op_cases_suite(void)
{
    Suite *suite = suite_create("op_cases");
    TCase *tests = tcase_create("op_cases");
    tcase_add_loop_test(tests, results_are_right, 0, kind_count());
    /* Under a sanitizer no kernel is new here, and the other builds compare the numbers. */
    if (!getenv("SKIP_SLOW"))
        tcase_add_loop_test(tests, adjoints_are_those_of_their_forward_operations, 0, kind_count());
    tcase_add_test(tests, every_operation_has_a_case);
    suite_add_tcase(suite, tests);
    return suite;
}
