/* S3-DiT with its weights placed: every way gives the same bits as weights that all lie there, and
 * takes what was predicted. */
#include "base/threads.h"
#include "diffusion/pipeline/placed_dit.h"
#include "s3dit_fixture.h"
#include "test/diffusion/mapped_weights.h"
#include "test/diffusion/small_dit.h"
#include "test/near.h"

Suite *placed_dit_test_suite(void);

static const struct dit_case small_net = {
    .config = SMALL_DIT(3, 3, 32, 256),
    .size = {.samples = 2, .height = 8, .width = 12, .text_rows = 3, .chunk = 1},
};

static struct s3dit_batch batch_of(const struct dit_fixture *f)
{
    return (struct s3dit_batch){
        .samples = f->is.size.samples, .image = f->image, .time = f->time, .text = f->text};
}

/* Three passes in one way, into f->out; the report's bytes as predicted. */
static struct placement_report run_placed(struct dit_fixture *f,
                                          const struct mapped_weights *stored,
                                          const struct placement_options *options,
                                          enum pipeline_weights matrices)
{
    struct placement *placement;
    struct placed_dit placed;
    const struct placed_setup setup = {.weights = stored->list, .matrices = matrices, .key = "net"};
    const struct s3dit_batch batch = batch_of(f);
    enum placement_way way;
    MUST(placement_open(&placement, f->device, options));
    MUST(placed_dit_open(&placed, placement, f->device, &f->model, &setup));
    struct placement_stage stage = placed_dit_stage(&placed, &f->is.size, 3, NULL, NULL);
    MUST(placement_choose(placement, &stage, 1, &way));
    MUST(placed_dit_begin(&placed, &stage));
    struct block_source source = placed_blocks_source(&placed.blocks);
    for (int pass = 0; pass < 3; pass++)
        MUST(s3dit_forward(&placed.dit, &source, &batch, f->out));
    MUST(placement_end(placement));
    struct placement_report report = *placement_report_at(placement, 0);
    ck_assert_uint_eq(report.device_bytes, report.predicted.device_bytes);
    ck_assert_int_eq(report.copies, report.predicted.copies);
    ck_assert_uint_eq(report.copied_bytes, report.predicted.copied_bytes);
    ck_assert_int_eq(report.falls, 0);
    ck_assert(report.complete);
    placement_close(placement);
    placed_dit_close(&placed);
    ck_assert_uint_eq(f->device->used_bytes, 0);
    return report;
}

START_TEST(every_way_gives_the_same_bits)
{
    struct dit_fixture f;
    struct mapped_weights stored;
    fixture_open(&f, &small_net, 1 + _i);
    size_t bytes = 2 * f.image_floats * sizeof(float);
    struct block_flat flat = {&f.model.list, f.parameters};
    struct block_source source = block_flat_source(&flat);
    const struct s3dit_batch batch = batch_of(&f);
    float *expected = formula_floats(2 * f.image_floats);
    fixture_plan(&f, S3DIT_FORWARD_ONLY, 2);
    MUST(s3dit_forward(&f.dit, &source, &batch, expected));
    fixture_unplan(&f);
    mapped_weights_create(&stored, &f.model.list, f.parameters, false);
    size_t last = SIZE_MAX;
    for (int w = PLACEMENT_NONE; w < PLACEMENT_WAYS; w++) {
        const struct placement_options mapped = {.way = (enum placement_way)w};
        struct placement_report r = run_placed(&f, &stored, &mapped, PIPELINE_AS_STORED);
        ck_assert_uint_eq(r.predicted.weight_bytes, 0);
        ck_assert_mem_eq(f.out, expected, bytes);
    }
    for (int share = 9; share > 6; share--) { /* of what all take */
        struct placement_options placed = {
            .way = PLACEMENT_AUTO, .place = true, .prefetch = true, .budget = 100 << 20};
        struct placement_report whole = run_placed(&f, &stored, &placed, PIPELINE_AS_STORED);
        ck_assert_mem_eq(f.out, expected, bytes);
        placed.budget = (int64_t)(whole.predicted.working_bytes +
                                  whole.predicted.weight_bytes * (size_t)share / 10);
        memset(f.out, 0, bytes);
        struct placement_report r = run_placed(&f, &stored, &placed, PIPELINE_AS_STORED);
        ck_assert_mem_eq(f.out, expected, bytes);
        ck_assert_int_eq(r.predicted.way, PLACEMENT_SEQUENTIAL);
        ck_assert(!((int64_t)r.device_bytes > placed.budget));
        ck_assert_uint_le(r.device_bytes, last);
        last = r.device_bytes;
    }
    free(expected);
    mapped_weights_free(&stored);
    fixture_close(&f);
}
END_TEST

/* Halves are computed from as they lie, or as they were rounded while placed: the same. */
START_TEST(halves_are_rounded_once)
{
    struct dit_fixture f;
    struct mapped_weights full, half;
    const struct placement_options options = {.way = PLACEMENT_NONE};
    fixture_open(&f, &small_net, 1);
    size_t bytes = 2 * f.image_floats * sizeof(float);
    float *expected = formula_floats(2 * f.image_floats);
    for (int t = 0; t < f.model.list.tensor_count; t++) /* vectors are the same either way */
        for (size_t i = 0; i < f.model.list.tensors[t].count; i++) {
            float *x = &f.parameters[f.model.list.tensors[t].offset + i];
            if (!f.model.list.tensors[t].is_matrix) *x = bf16_value(bf16_round(*x));
        }
    mapped_weights_create(&full, &f.model.list, f.parameters, false);
    mapped_weights_create(&half, &f.model.list, f.parameters, true);
    run_placed(&f, &half, &options, PIPELINE_AS_STORED);
    memcpy(expected, f.out, bytes);
    struct placement_report r = run_placed(&f, &full, &options, PIPELINE_BF16);
    ck_assert_mem_eq(f.out, expected, bytes);
    ck_assert_uint_lt(r.predicted.weight_bytes, 4 * f.model.list.parameter_total);
    struct placement_report eight = run_placed(&f, &half, &options, PIPELINE_INT8);
    double error = rms_error(f.out, expected, 2 * f.image_floats);
    ck_assert_msg(error > 1e-4 && error < 2e-2, "8 bits differ by %g", error);
    ck_assert_uint_lt(eight.predicted.weight_bytes, r.predicted.weight_bytes * 7 / 10);
    run_placed(&f, &full, &options, PIPELINE_AS_STORED);
    ck_assert(memcmp(f.out, expected, bytes) != 0);
    mapped_weights_free(&full);
    mapped_weights_free(&half);
    free(expected);
    fixture_close(&f);
}
END_TEST

/* What needs no file: bytes of a network that is nowhere. */
START_TEST(a_network_is_planned_without_files)
{
    struct dit_fixture f;
    struct placement *placement;
    struct placed_dit placed;
    struct placement_forecast forecast;
    const struct placement_options options = {.place = true, .without_data = true};
    fixture_open(&f, &small_net, 1);
    const struct placed_setup setup = {.stored = TENSOR_BF16, .key = "arch"};
    MUST(placement_open(&placement, f.device, &options));
    MUST(placed_dit_open(&placed, placement, f.device, &f.model, &setup));
    struct placement_stage stage = placed_dit_stage(&placed, &f.is.size, 8, NULL, NULL);
    MUST(placement_forecast(placement, &stage, 1, PLACEMENT_MODEL, &forecast));
    ck_assert_int_eq(forecast.copies, f.model.list.block_count);
    ck_assert_uint_ge(forecast.weight_bytes, 2 * f.model.list.parameter_total);
    ck_assert_int_eq(placed_dit_begin(&placed, &stage), ERR_INTERNAL);
    placement_close(placement);
    placed_dit_close(&placed);
    fixture_close(&f);
}
END_TEST

Suite *placed_dit_test_suite(void)
{
    Suite *suite = suite_create("placed_dit_test");
    TCase *tests = tcase_create("placed_dit");
    tcase_add_loop_test(tests, every_way_gives_the_same_bits, 0, 2);
    tcase_add_test(tests, halves_are_rounded_once);
    tcase_add_test(tests, a_network_is_planned_without_files);
    suite_add_tcase(suite, tests);
    return suite;
}
