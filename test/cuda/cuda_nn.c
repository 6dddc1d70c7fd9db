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
    if (!test_asks_for("OPS", kind->name) || !test_share_has(_i)) return;
    MUST(cuda_open(&device));
    op_check_forget = emu_forget;
    for (int i = 0; i < kind->cases; i++) {
        struct op_case c;
        struct op_truth truth;
        uint64_t first = 0, bits;
        op_case_make(&c, kind, i);
        if (c.large || !op_kind_is_there(kind, device)) continue;
        MUST(op_truth_make(&truth, &c));
        for (int turn = 0; turn < EMU_TURNS; turn++) {
            emu_grid_order(turn == 1);
            MUST(op_truth_check(&truth, device, 0, &bits));
            if (turn == 0) first = bits;
            ck_assert_msg(bits == first, "%s %s depends on the order of blocks or threads",
                          kind->name, c.text);
        }
#if HAVE_CUDA
        size_t most = cuda_launch_most;
        cuda_launch_most = 100; /* in several launches, as very large tensors are */
        MUST(op_truth_check(&truth, device, 0, &bits));
        cuda_launch_most = most;
        ck_assert_msg(bits == first, "%s %s depends on the number of launches", kind->name, c.text);
#endif
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
    if (!test_asks_for("OPS", kind->name) || !test_share_has(_i)) return;
    MUST(cuda_open(&device));
    for (int i = 0; i < kind->cases; i++) {
        struct op_case c;
        bool checked;
        op_case_make(&c, kind, i);
        if (!op_kind_is_there(kind, device)) continue;
        MUST(op_gradient_check(&c, device, &checked));
    }
    device_close(device);
}
END_TEST

/* Biases and slopes of PReLU: however many images come at a time, and where more come than a grid
 * may have in its second dimension, the same bits. */
START_TEST(sums_over_images_do_not_depend_on_micro_batches)
{
    static const struct {
        int n, pixels, c;
    } sizes[] = {{35, 5, 40}, {5, 4100, 3}, {65535 + 17, 1, 1}};
    int n = sizes[_i].n, pixels = sizes[_i].pixels, c = sizes[_i].c, parts[] = {n / 3, n / 2, n};
    struct side s = {0};
    MUST(cuda_open(&s.device));
    s.nn = s.device->nn;
    size_t image = (size_t)(pixels * c);
    const float *dout = side_floats(&s, "dout", image * (size_t)n, 1, -1, 1, 0);
    float *whole = side_floats(&s, "db", (size_t)c, 2, -1, 1, 0);
    float *parted = side_floats(&s, "db", (size_t)c, 2, -1, 1, 0);
    MUST(s.nn->bias_grad(s.device, whole, dout, NN_F32, n, pixels, c));
    for (int i = 0, first = 0; i < 3; first = parts[i++])
        MUST(s.nn->bias_grad(s.device, parted, dout + (size_t)first * image, NN_F32,
                             parts[i] - first, pixels, c));
    float *slopes = side_floats(&s, "slopes", (size_t)c, 2, -1, 1, 0);
    float *part_slopes = side_floats(&s, "slopes", (size_t)c, 2, -1, 1, 0);
    struct nn_prelu p = {dout, NULL, NN_F32, NN_F32, n, pixels, c};
    MUST(s.nn->prelu_grad(s.device, &p, slopes, dout));
    for (int i = 0, first = 0; i < 3; first = parts[i++]) {
        const float *from = dout + (size_t)first * image;
        p.z = from, p.n = parts[i] - first;
        MUST(s.nn->prelu_grad(s.device, &p, part_slopes, from));
    }
    for (int i = 1; i < 5; i += 2) {
        void *a = side_fetch(&s, i), *b = side_fetch(&s, i + 1);
        ck_assert_mem_eq(a, b, (size_t)c * sizeof(float));
        free(a);
        free(b);
    }
    side_close(&s);
    device_close(s.device);
}
END_TEST

/* Two calls, of whose rows the second has a part of a chunk, and one: the same bits. */
START_TEST(sums_over_rows_may_be_cut_at_chunks)
{
    enum { CHUNK = 4096, ROWS = CHUNK + 1000, OUT = 3 };
    struct side s = {0};
    MUST(cuda_open(&s.device));
    const struct token_ops *ops = s.device->token;
    struct token_linear l = {.rows = ROWS, .in = 1, .out = OUT, .chunk = CHUNK};
    const float *x = side_floats(&s, "x", ROWS, 1, -1, 1, 0);
    const float *dy = side_floats(&s, "dy", (size_t)ROWS * OUT, 2, -1, 1, 0);
    float *dw = side_floats(&s, "dw", OUT, 3, -1, 1, 0);
    float *db = side_floats(&s, "db", OUT, 4, -1, 1, 0);
    float *part_dw = side_floats(&s, "dw", OUT, 3, -1, 1, 0);
    float *part_db = side_floats(&s, "db", OUT, 4, -1, 1, 0);
    void *workspace = side_workspace(&s, ops->linear_workspace(s.device, &l));
    MUST(ops->linear_wgrad(s.device, &l, dw, db, x, dy, workspace));
    l.rows = CHUNK;
    MUST(ops->linear_wgrad(s.device, &l, part_dw, part_db, x, dy, workspace));
    l.rows = ROWS - CHUNK;
    MUST(ops->linear_wgrad(s.device, &l, part_dw, part_db, x + CHUNK, dy + (size_t)CHUNK * OUT,
                           workspace));
    for (int i = 2; i < 4; i++) {
        void *a = side_fetch(&s, i), *b = side_fetch(&s, i + 2);
        ck_assert_mem_eq(a, b, OUT * sizeof(float));
        free(a), free(b);
    }
    l.chunk = 0; /* without weight gradients there is nothing to sum */
    ck_assert_uint_eq(ops->linear_workspace(s.device, &l), 0);
    side_close(&s);
    device_close(s.device);
}
END_TEST

/* One query and one key each, so the result is the value. In the emulator a grid is 100 blocks
 * high, as 65535 take it minutes. */
START_TEST(samples_may_have_more_heads_than_a_grid_is_high)
{
#ifdef CUDA_EMU
    enum { SAMPLES = 5, HEADS = 21 };
    char machine[256];
    const char *before = getenv("IMGTRAIN_EMU");
    snprintf(machine, sizeof machine, "%s high=100", before ? before : "");
    setenv("IMGTRAIN_EMU", machine, 1);
#else
    enum { SAMPLES = 257, HEADS = 256 };
#endif
    struct token_attention a = {.samples = SAMPLES,
                                .q_tokens = 1,
                                .k_tokens = 1,
                                .heads = HEADS,
                                .kv_heads = HEADS,
                                .head_dim = 1,
                                .scale = 1};
    struct side s = {0};
    MUST(cuda_open(&s.device));
    size_t count = (size_t)a.samples * (size_t)a.heads;
    const float *v = side_floats(&s, "v", count, 1, -1, 1, 0);
    float *o = side_result(&s, "o", count, 0);
    MUST(s.device->token->attention_forward(s.device, &a, o, NULL, v, v, v));
    void *right = side_fetch(&s, 0), *got = side_fetch(&s, 1);
    ck_assert_mem_eq(right, got, count * sizeof(float));
    free(right), free(got);
    side_close(&s);
    device_close(s.device);
}
END_TEST

/* More rows of channels than there is room for at a time: bands of an image. */
static void run_tall_slopes(struct side *s, int shape)
{
    enum { IMAGES = 2, ROWS = 65, CHANNELS = 4096 };
    const size_t all = (size_t)IMAGES * ROWS * CHANNELS;
    static double sums[IMAGES * 4 * 2], slopes[IMAGES * CHANNELS * 2];
    struct nn_group_norm norm = {.n = IMAGES,
                                 .rows = ROWS,
                                 .width = 1,
                                 .c = CHANNELS,
                                 .groups = 4,
                                 .pixels = ROWS,
                                 .eps = 1e-6f};
    (void)shape;
    for (int i = 0; i < IMAGES * 4; i++)
        sums[2 * i] = 0, sums[2 * i + 1] = (1 + i) * ROWS * CHANNELS / 4.0;
    norm.x = side_floats(s, "x", all, 1, -1, 1, 0);
    norm.sums = side_buffer(s, "sums", sums, sizeof sums);
    const float *dy = side_floats(s, "dy", all, 2, -1, 1, 0);
    side_buffer(s, "slopes", slopes, sizeof slopes);
    double *to = side_kind(s, BUFFER_DOUBLE, 1e-12);
    MUST(s->nn->group_norm_slopes(s->device, &norm, to, dy));
}

START_TEST(tall_images_are_summed_band_by_band)
{
    compare_devices("group_norm_slopes", run_tall_slopes, 0);
}
END_TEST

#ifdef CUDA_EMU
/* 1x1 on tensor cores: as many products of 16 x 8 x 16 as their numbers fill, also where there are
 * few channels; of rows and depths as tiles have them. */
START_TEST(narrow_products_have_narrow_tiles)
{
    static const int channels[] = {8, 16, 24, 32, 64, 128};
    int c = channels[_i];
    const struct nn_conv conv = {1, 16, 16, c, c, 1, 1, 0, NN_BF16, NN_BF16};
    const struct nn_epilogue plain = {.slope = 1};
    struct side s = {0};
    MUST(cuda_open(&s.device));
    s.nn = s.device->nn;
    size_t bytes = 256 * (size_t)c * sizeof(uint16_t);
    float *weights = side_floats(&s, "weights", (size_t)c * (size_t)c, 1, -1, 1, 0);
    char *from = side_buffer(&s, "from", NULL, bytes), *to = side_buffer(&s, "to", NULL, bytes);
    void *workspace = side_workspace(&s, s.nn->conv_workspace(s.device, &conv));
    for (int adjoint = 0; adjoint < 2; adjoint++) {
        long long before = emu_tensor_products();
        if (adjoint)
            MUST(s.nn->conv_dgrad(s.device, &conv, to, from, weights, &plain, workspace));
        else
            MUST(s.nn->conv_forward(s.device, &conv, to, from, weights, &plain, workspace));
        MUST(s.device->synchronize(s.device));
        int columns = c == 8 ? 16 : c == 24 ? 32 : c, depths = c < 32 ? 32 : c;
        ck_assert_int_eq(emu_tensor_products() - before, 256 / 16 * (columns / 8) * (depths / 16));
    }
    side_close(&s);
    device_close(s.device);
}
END_TEST
#endif

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
    suite_add_tcase(suite, tests);
    /* Under a sanitizer no kernel is new here, and the other builds compare the numbers. */
    if (!getenv("SKIP_SLOW"))
        tcase_add_loop_test(tests, adjoints_are_those_of_their_forward_operations, 0, kinds);
    if (!test_share_has(0)) return suite;
    tcase_add_loop_test(tests, sums_over_images_do_not_depend_on_micro_batches, 0,
                        getenv("SKIP_SLOW") ? 2 : 3);
    tcase_add_test(tests, sums_over_rows_may_be_cut_at_chunks);
    tcase_add_test(tests, samples_may_have_more_heads_than_a_grid_is_high);
    tcase_add_test(tests, tall_images_are_summed_band_by_band);
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, narrow_products_have_narrow_tiles, 0, 6);
#endif
    return suite;
}
