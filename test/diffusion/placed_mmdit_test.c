/* MMDiT with its weights placed: every way gives the bits of weights that all lie there, and takes
 * what was predicted, to the byte. */
#include "diffusion/pipeline/placed_mmdit.h"
#include "mmdit_fixture.h"
#include "store/tensor.h"
#include "test/diffusion/mapped_weights.h"

Suite *placed_mmdit_test_suite(void);

static const struct mmdit_case small_net = {
    .config = SMALL_MMDIT, .size = {.samples = 2, .height = 8, .width = 12, .text_rows = 5}};

static struct placement_report mm_run_placed(struct mmdit_fixture *f,
                                             const struct mapped_weights *mapped,
                                             const struct placement_options *options)
{
    struct placement *placement;
    struct placed_mmdit placed;
    const struct placed_setup setup = {.weights = mapped->list, .key = "net"};
    const struct mmdit_batch batch = mm_batch(f, 0, f->is.size.samples);
    enum placement_way way;
    MUST(placement_open(&placement, f->device, options));
    MUST(placed_mmdit_open(&placed, placement, f->device, &f->model, &setup));
    struct placement_stage stage = placed_mmdit_stage(&placed, &f->is.size, 2, NULL, NULL);
    MUST(placement_choose(placement, &stage, 1, &way));
    MUST(placed_mmdit_begin(&placed, &stage));
    struct block_source source = placed_blocks_source(&placed.blocks);
    for (int pass = 0; pass < 2; pass++)
        MUST(mmdit_forward(&placed.mmdit, &source, &batch, f->on[MM_OUT]));
    MUST(placement_end(placement));
    struct placement_report report = *placement_report_at(placement, 0);
    ck_assert_uint_eq(report.device_bytes, report.predicted.device_bytes);
    ck_assert_int_eq(report.copies, report.predicted.copies);
    ck_assert_uint_eq(report.copied_bytes, report.predicted.copied_bytes);
    ck_assert_int_eq(report.falls, 0);
    placement_close(placement);
    placed_mmdit_close(&placed);
    ck_assert_uint_eq(f->device->used_bytes, 0);
    return report;
}

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
        struct placement_report r = mm_run_placed(&f, &mapped, &placed);
        if (share < 10) {
            placed.budget = (int64_t)(r.predicted.working_bytes +
                                      r.predicted.weight_bytes * (size_t)share / 10);
            memset(f.host[MM_OUT], 0, bytes);
            r = mm_run_placed(&f, &mapped, &placed);
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

Suite *placed_mmdit_test_suite(void)
{
    Suite *suite = suite_create("placed_mmdit_test");
    TCase *tests = tcase_create("placed_mmdit");
    tcase_add_loop_test(tests, every_way_gives_the_same_bits, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
