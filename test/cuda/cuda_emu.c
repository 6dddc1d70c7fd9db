/* The emulator itself: right kernels give right numbers, and each kind of fault is found and named.
 */
#include "test/support.h"

#include <check.h>

Suite *cuda_emu_suite(void);

#ifdef CUDA_EMU
#include "cuda_emu/emu_counts.h"
#include "cuda_emu/emu_grid.h"
#include "cuda_emu/test_kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a process that commits the fault says; "" when it ended well. */
static void run_fault(enum emu_fault_kind kind, char *text, size_t room)
{
    int ends[2], status;
    size_t length = 0;
    ck_assert_int_eq(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        emu_test_fault(kind);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + length, room - 1 - length)) > 0;)
        length += (size_t)got;
    for (char rest[4096]; read(ends[0], rest, sizeof rest) > 0;)
        ;
    text[length] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status == 0) text[0] = '\0';
    ck_assert_msg(status == 0 || length > 0, "ended without a word");
}

START_TEST(finds_faults)
{
    static const struct {
        enum emu_fault_kind kind;
        const char *says[2];
    } faults[] = {
        {FAULT_BARRIER_ENDED, {"thread (0,0,0): the barrier", "reached by 32 of 64"}},
        {FAULT_BARRIER_ELSEWHERE, {"thread (63,0,0)", "while thread"}},
        {FAULT_SHUFFLE_MASK, {"thread (0,0,0)", "waits for lane 16"}},
        {FAULT_SHUFFLE_SOURCE, {"kernel faulty_kernel", "which is not in mask 0000ffff"}},
        {FAULT_FRAGMENT_ROW, {"thread (31,0,0)", "a row of a fragment lies at"}},
        {FAULT_WARP_PART, {"thread (32,0,0)", "waits for lane 16"}},
        {FAULT_ALIGNMENT_LOAD, {"test_kernels.cu:", "float4"}},
        {FAULT_ALIGNMENT_STORE, {"test_kernels.cu:", "ushort2"}},
#ifdef __SANITIZE_ADDRESS__ /* gcc; clang sets no red zones between shared arrays */
        {FAULT_GLOBAL_BOUNDS, {"thread (31,0,0)", "heap-buffer-overflow"}},
        {FAULT_SHARED_BOUNDS, {"thread (31,0,0)", "test_kernels.cu"}},
        {FAULT_DYNAMIC_BOUNDS, {"thread (31,0,0)", "heap-buffer-overflow"}},
        {FAULT_HOST_READ, {"no kernel runs", "use-after-poison"}},
#endif
    };
    char text[16384];
    const char *settings = getenv("IMGTRAIN_EMU");
    bool drawn = settings && strstr(settings, "order="); /* so is the thread that is told of */
    run_fault(FAULT_NONE, text, sizeof text);
    ck_assert_msg(text[0] == '\0', "without a fault: %s", text);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        run_fault(faults[i].kind, text, sizeof text);
        ck_assert_msg(text[0] != '\0', "fault %d is not found", (int)faults[i].kind);
        for (int k = 0; k < 2; k++) {
            if (drawn && strstr(faults[i].says[k], "thread (")) continue;
            ck_assert_msg(strstr(text, faults[i].says[k]) != NULL, "fault %d says: %.1000s",
                          (int)faults[i].kind, text);
        }
        ck_assert_ptr_nonnull(
            strstr(text, faults[i].kind == FAULT_HOST_READ ? "cuda_emu" : "faulty_kernel"));
    }
}
END_TEST

START_TEST(what_nobody_wrote_is_nan)
{
    uint32_t found[4];
    emu_test_uninitialised(found);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(found[i], UINT32_MAX);
}
END_TEST

START_TEST(sums)
{
    static const unsigned counts[] = {1, 33, 1000, 5001}, blocks[] = {32, 96, 1024};
    for (int reverse = 0; reverse < 2; reverse++) {
        emu_grid_order(reverse);
        for (int n = 0; n < 4; n++)
            for (int b = 0; b < 3; b++)
                ck_assert_uint_eq(emu_test_sum(counts[n], blocks[b]),
                                  counts[n] * (counts[n] - 1) / 2);
    }
}
END_TEST

START_TEST(streams_run_when_waited_for)
{
    int before, after;
    emu_test_stream(&before, &after);
    ck_assert_int_eq(before, 4);
    ck_assert_int_eq(after, 10); /* of the 4 that came too early */
}
END_TEST

START_TEST(graphs_are_recorded_and_replayed)
{
    ck_assert_int_eq(emu_test_graph(0), 1);
    ck_assert_int_eq(emu_test_graph(1), 3);
    ck_assert_int_eq(emu_test_graph(5), 63);
}
END_TEST

/* Each call once, and a graph by what it does when it is launched. */
START_TEST(host_calls_are_counted)
{
    int before, after;
    struct emu_counts from = emu_counts_now(), used;
    emu_test_stream(&before, &after);
    used = emu_counts_since(&from);
    struct emu_counts stream = {.device_allocs = 1,
                                .device_frees = 1,
                                .pinned_allocs = 1,
                                .pinned_alloc_bytes = 4,
                                .pinned_frees = 1,
                                .pinned_free_bytes = 4,
                                .stream_waits = 1,
                                .copies = 2,
                                .bytes_in = 4,
                                .bytes_out = 4,
                                .launches = 1,
                                .created = 1};
    if (memcmp(&used, &stream, sizeof used) != 0) emu_counts_print(stdout, "stream", &used);
    ck_assert_mem_eq(&used, &stream, sizeof used);
    ck_assert_int_eq(emu_waits(&used), 3);
    double price = 4e5 + 1e4 + 8e3 + 3e3 + 2e4 + 4 * (0.3 + 0.15 + 0.04 + 0.04); /* by the table */
    ck_assert_double_eq_tol(emu_milliseconds(&used), price * 1e-6, 1e-9);
    for (int launches = 1; launches < 4; launches += 2) {
        from = emu_counts_now();
        emu_test_graph(launches);
        used = emu_counts_since(&from);
        ck_assert_int_eq(used.launches, 0); /* all of them are recorded */
        ck_assert_int_eq(used.graphs_made, 1);
        ck_assert_int_eq(used.graph_launches, launches);
        ck_assert_int_eq(used.graph_kernels, 2 * launches);
        ck_assert_int_eq(used.pageable_copies, 2);
        ck_assert_int_eq(used.bytes_in, 4);
        ck_assert_int_eq(used.bytes_out, 4);
    }
}
END_TEST

/* Errors of functions: none unless asked for, then up to what CUDA allows times ulp=N, and that is
 * reached; none where CUDA has none. */
START_TEST(functions_err_as_cuda_says)
{
    enum { N = 1000 };
    static const int most[] = {2, 2, 4, 0, 0, 0};
    float x[N], y[N];
    char machine[32];
    snprintf(machine, sizeof machine, "ulp=%d", _i);
    setenv("IMGTRAIN_EMU", machine, 1);
    for (int i = 0; i < N; i++)
        x[i] = 0.01f + 0.004f * (float)i;
    for (int f = 0; f < 6; f++) {
        int largest = 0;
        emu_test_function(f, y, x, N);
        for (int i = 0; i < N; i++) {
            float want = f == 0   ? exp2f(x[i])
                         : f == 1 ? sinf(x[i])
                         : f == 2 ? powf(x[i], 0.45f)
                         : f == 3 ? sqrtf(x[i])
                         : f == 4 ? 1 / x[i]
                                  : (float)exp((double)x[i]);
            int a, b;
            memcpy(&a, &want, sizeof a);
            memcpy(&b, &y[i], sizeof b);
            if (abs(a - b) > largest) largest = abs(a - b);
        }
        ck_assert_msg(largest == most[f] * _i, "function %d: %d ulp", f, largest);
    }
    x[0] = 0;
    emu_test_function(0, y, x, 1);
    ck_assert(y[0] == 1);
}
END_TEST

/* A wait that is missing shows in one of the orders. */
START_TEST(streams_may_run_early)
{
    enum emu_join join = _i ? JOIN_IN_GRAPH : JOIN_WITHOUT_GRAPH;
    ck_assert_int_eq(emu_test_order(join), 3);
    emu_stream_order(2);
    ck_assert_int_eq(emu_test_order(join), 0);
    emu_stream_order(2);
    ck_assert_int_eq(emu_test_graph(3), 15); /* with all its waits */
    emu_stream_order(0);
}
END_TEST

START_TEST(graphs_must_be_joined)
{
    ck_assert_int_eq(emu_test_order(JOIN_NEVER), -1);
}
END_TEST

/* What CUDA forbids within a capture is an error of that call, and there is no graph in the end;
 * all works again afterwards. The numbers are CUDA's. */
START_TEST(captures_forbid_what_cuda_forbids)
{
    enum { ILLEGAL = 401, UNSUPPORTED = 900, INVALIDATED, MERGE, UNMATCHED, UNJOINED, ISOLATION };
    enum { IMPLICIT = 906, CAPTURED_EVENT };
    static const int errors[] = {
        [CAPTURE_NOTHING] = 0,
        [CAPTURE_MALLOC] = UNSUPPORTED,
        [CAPTURE_FREE] = UNSUPPORTED,
        [CAPTURE_HOST_MALLOC] = UNSUPPORTED,
        [CAPTURE_HOST_FREE] = UNSUPPORTED,
        [CAPTURE_COPY] = UNSUPPORTED,
        [CAPTURE_SET] = UNSUPPORTED,
        [CAPTURE_PAGEABLE] = UNSUPPORTED,
        [CAPTURE_SYMBOL] = UNSUPPORTED,
        [CAPTURE_SYNCHRONIZE] = UNSUPPORTED,
        [CAPTURE_SYNCHRONIZE_OTHER] = UNSUPPORTED,
        [CAPTURE_SYNCHRONIZE_DEVICE] = UNSUPPORTED,
        [CAPTURE_QUERY] = UNSUPPORTED,
        [CAPTURE_QUERY_EVENT] = UNSUPPORTED,
        [CAPTURE_QUERY_CAPTURED] = CAPTURED_EVENT,
        [CAPTURE_WAIT_EVENT] = UNSUPPORTED,
        [CAPTURE_WAIT_CAPTURED] = CAPTURED_EVENT,
        [CAPTURE_DEFAULT_LAUNCH] = IMPLICIT,
        [CAPTURE_DEFAULT_COPY] = IMPLICIT,
        [CAPTURE_OUTSIDE] = ISOLATION,
        [CAPTURE_AGAIN] = ILLEGAL,
        [CAPTURE_MERGE] = MERGE,
        [CAPTURE_UNJOINED] = 0,
        [CAPTURE_ELSEWHERE] = UNMATCHED,
    };
    for (int i = 0; i <= CAPTURE_ELSEWHERE; i++) {
        struct emu_capture_result r = emu_test_capture((enum emu_capture_fault)i);
        bool spoilt = errors[i] != 0, unjoined = i == CAPTURE_UNJOINED;
        ck_assert_msg(r.error == errors[i], "%d: error %d, not %d", i, r.error, errors[i]);
        ck_assert_msg(r.behind == (spoilt ? INVALIDATED : 0), "%d: behind it %d", i, r.behind);
        int end = unjoined ? UNJOINED : spoilt ? INVALIDATED : 0;
        ck_assert_msg(r.end == end, "%d: ended with %d, not %d", i, r.end, end);
        ck_assert_msg(r.graph == (end == 0), "%d: %s graph", i, r.graph ? "a" : "no");
        ck_assert_msg(r.works, "%d: broken afterwards", i);
    }
}
END_TEST

START_TEST(blocks_have_room)
{
    ck_assert(emu_block_fits(64, 1024, 0) && !emu_block_fits(65, 1024, 0));
    ck_assert(emu_block_fits(255, 256, 0) && !emu_block_fits(255, 257, 0));
    ck_assert(emu_block_fits(16, 32, 48 << 10) && !emu_block_fits(16, 32, (48 << 10) + 1));
    ck_assert_int_eq(emu_test_launch(256), 0);
    ck_assert_int_eq(emu_test_launch(512), 701); /* cudaErrorLaunchOutOfResources */
}
END_TEST

START_TEST(tensor_cores)
{
    ck_assert(emu_test_mma() == 0); /* whole numbers: exact */
}
END_TEST

START_TEST(short_floats)
{
    static const float same[] = {0, -1.5f, 65504, 0x1p-14f, 0x1p-24f, -0x1.8p-23f, 0.333251953125f};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        ck_assert(emu_test_half(same[i]) == same[i]);
    ck_assert(emu_test_half(1 + 0x1p-11f) == 1);             /* a tie, to even */
    ck_assert(emu_test_half(1 + 0x1.8p-10f) == 1 + 0x1p-9f); /* a tie, to even */
    ck_assert(emu_test_half(0x1p-25f) == 0);                 /* a tie, to even */
    ck_assert(isinf(emu_test_half(65520)) && emu_test_half(65519) == 65504);
    ck_assert(isnan(emu_test_half(nanf(""))) && isnan(emu_test_bf16(nanf(""))));
    ck_assert(emu_test_bf16(1 + 0x1p-8f) == 1 && emu_test_bf16(1 + 0x1.8p-7f) == 1 + 0x1p-6f);
    ck_assert(emu_test_bf16(-3.25f) == -3.25f);
}
END_TEST

Suite *cuda_emu_suite(void)
{
    Suite *suite = suite_create("cuda_emu");
    TCase *tests = tcase_create("emulator");
    tcase_add_test(tests, finds_faults);
    tcase_add_test(tests, what_nobody_wrote_is_nan);
    tcase_add_test(tests, sums);
    tcase_add_test(tests, streams_run_when_waited_for);
    tcase_add_test(tests, graphs_are_recorded_and_replayed);
    tcase_add_test(tests, host_calls_are_counted);
    tcase_add_loop_test(tests, functions_err_as_cuda_says, 0, 5);
    tcase_add_loop_test(tests, streams_may_run_early, 0, 2);
    tcase_add_test(tests, graphs_must_be_joined);
    tcase_add_test(tests, captures_forbid_what_cuda_forbids);
    tcase_add_test(tests, blocks_have_room);
    tcase_add_test(tests, tensor_cores);
    tcase_add_test(tests, short_floats);
    suite_add_tcase(suite, tests);
    return suite;
}
#else
Suite *cuda_emu_suite(void)
{
    test_skip("cuda_emu", "this build does not emulate CUDA (make emu-test)");
    return suite_create("cuda_emu");
}
#endif
