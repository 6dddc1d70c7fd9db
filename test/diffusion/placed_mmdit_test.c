/* MMDiT with its weights placed: every way gives the bits of weights that all lie there, and takes
 * what was predicted, to the byte. */
#include "test/diffusion/placed_mmdit_run.h"
#include "test/near.h"

Suite *placed_mmdit_test_suite(void);

static const struct mmdit_case small_net = {
    .config = SMALL_MMDIT, .size = {.samples = 2, .height = 8, .width = 12, .text_rows = 5}};

START_TEST(every_way_gives_the_same_bits)
{
    struct mmdit_fixture f;
    struct mapped_weights mapped;
    mm_open(&f, &small_net, 1 + _i);
    size_t bytes = f.counts[MM_OUT] * sizeof(float), last = SIZE_MAX;
    float *expected = malloc(bytes);
    mm_plan(&f);
    mm_run(&f);
    mm_unplan(&f);
    memcpy(expected, f.host[MM_OUT], bytes);
    mapped_weights_create(&mapped, &f.model.list, f.host[MM_PARAMETERS], false);
    for (int share = 10; share > 6; share--) { /* of what all take */
        struct placement_options placed = {
            .way = PLACEMENT_AUTO, .place = true, .prefetch = true, .budget = 100 << 20};
        struct placement_report r = mm_run_placed(&f, &mapped, &placed, PIPELINE_AS_STORED);
        if (share < 10) {
            placed.budget = (int64_t)(r.predicted.working_bytes +
                                      r.predicted.weight_bytes * (size_t)share / 10);
            memset(f.host[MM_OUT], 0, bytes);
            r = mm_run_placed(&f, &mapped, &placed, PIPELINE_AS_STORED);
            ck_assert_int_eq(r.predicted.way, PLACEMENT_SEQUENTIAL);
            ck_assert(!((int64_t)r.device_bytes > placed.budget));
        }
        ck_assert_mem_eq(f.host[MM_OUT], expected, bytes);
        ck_assert_uint_le(r.device_bytes, last);
        last = r.device_bytes;
    }
    free(expected);
    mapped_weights_free(&mapped);
    mm_close(&f);
}
END_TEST

/* The nearest multiples of a row's largest number / 127, which is what the passes read. */
static void mm_round_rows(struct mmdit_fixture *f)
{
    for (int t = 0; t < f->model.list.tensor_count; t++) {
        const struct block_tensor *tensor = &f->model.list.tensors[t];
        float *numbers = f->host[MM_PARAMETERS] + tensor->offset;
        for (int64_t row = 0; tensor->is_matrix && row < tensor->shape[0]; row++) {
            float most = 0, *of = numbers + row * tensor->shape[1];
            for (int64_t i = 0; i < tensor->shape[1]; i++)
                most = fmaxf(most, fabsf(of[i]));
            float scale = most / 127, inverse = 1 / scale;
            for (int64_t i = 0; i < tensor->shape[1]; i++)
                of[i] = roundf(of[i] * inverse) * scale;
        }
    }
}

/* Weights of 8 bits: half of what those of 16 take, and the bits of the pass over the numbers that
 * they stand for, wherever they are. */
START_TEST(eight_bits_are_widened_as_they_are_read)
{
    struct mmdit_fixture f;
    struct mapped_weights mapped;
    struct placement_options options = {.way = PLACEMENT_NONE};
    mm_open(&f, &small_net, 1 + _i);
    size_t count = f.counts[MM_OUT], bytes = count * sizeof(float);
    float *full = malloc(bytes), *eight = malloc(bytes);
    mapped_weights_create(&mapped, &f.model.list, f.host[MM_PARAMETERS], _i);
    mm_run_placed(&f, &mapped, &options, PIPELINE_AS_STORED);
    memcpy(full, f.host[MM_OUT], bytes);
    struct placement_report whole = mm_run_placed(&f, &mapped, &options, PIPELINE_INT8);
    memcpy(eight, f.host[MM_OUT], bytes);
    double error = rms_error(eight, full, count);
    ck_assert_msg(error > 1e-4 && error < 2e-2, "the velocity differs by %g", error);
    size_t scales = 0;
    for (int t = 0; t < f.model.list.tensor_count; t++)
        if (f.model.list.tensors[t].is_matrix)
            scales += 4 * (size_t)f.model.list.tensors[t].shape[0];
    size_t vectors = 4 * (f.model.list.floats - f.model.list.matrix_floats);
    size_t padding = 320 * (size_t)f.model.list.tensor_count;
    ck_assert_uint_le(whole.predicted.weight_bytes,
                      f.model.list.matrix_floats + scales + vectors + padding);
    options =
        (struct placement_options){.way = PLACEMENT_SEQUENTIAL, .place = true, .prefetch = true};
    options.budget = (int64_t)(whole.predicted.device_bytes * 9 / 10);
    mm_run_placed(&f, &mapped, &options, PIPELINE_INT8);
    ck_assert_mem_eq(f.host[MM_OUT], eight, bytes);
    mapped_weights_free(&mapped);
    if (_i == 0) { /* fp32 in the file: what it is rounded to is known here */
        mm_round_rows(&f);
        mm_plan(&f);
        mm_run(&f);
        ck_assert_mem_eq(f.host[MM_OUT], eight, bytes);
    }
    free(full);
    free(eight);
    mm_close(&f);
}
END_TEST

/* A weight that is no number is found in the image, as with other types, and not rounded to one. */
START_TEST(eight_bits_keep_what_is_no_number)
{
    static const float broken[] = {NAN, -INFINITY};
    const struct placement_options options = {.way = PLACEMENT_NONE};
    struct mmdit_fixture f;
    struct mapped_weights mapped;
    mm_open(&f, &small_net, 1);
    const struct block_tensor *t =
        block_tensor_of(&f.model.list, f.model.list.block_count - 1, MMDIT_FINAL_OUT);
    f.host[MM_PARAMETERS][t->offset + 1] = broken[_i];
    mapped_weights_create(&mapped, &f.model.list, f.host[MM_PARAMETERS], false);
    mm_run_placed(&f, &mapped, &options, PIPELINE_INT8);
    ck_assert(!isfinite(f.host[MM_OUT][0])); /* of the row */
    ck_assert(isfinite(f.host[MM_OUT][1]));  /* of another one */
    mapped_weights_free(&mapped);
    mm_close(&f);
}
END_TEST

Suite *placed_mmdit_test_suite(void)
{
    Suite *suite = suite_create("placed_mmdit_test");
    TCase *tests = tcase_create("placed_mmdit");
    tcase_add_loop_test(tests, every_way_gives_the_same_bits, 0, 2);
    tcase_add_loop_test(tests, eight_bits_are_widened_as_they_are_read, 0, 2);
    tcase_add_loop_test(tests, eight_bits_keep_what_is_no_number, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
