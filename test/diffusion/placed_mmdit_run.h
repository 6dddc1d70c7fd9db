/* Passes of MMDiT with its weights placed. */
#ifndef IMGTRAIN_TEST_PLACED_MMDIT_RUN_H
#define IMGTRAIN_TEST_PLACED_MMDIT_RUN_H

#include "diffusion/pipeline/placed_mmdit.h"
#include "mmdit_fixture.h"
#include "test/diffusion/mapped_weights.h"

/* Two in one way, into host[MM_OUT]; bytes and copies must be those that were predicted. */
static inline struct placement_report mm_run_placed(struct mmdit_fixture *f,
                                                    const struct mapped_weights *mapped,
                                                    const struct placement_options *options,
                                                    enum pipeline_weights matrices)
{
    struct placement *placement;
    struct placed_mmdit placed;
    const struct placed_setup setup = {.weights = mapped->list, .matrices = matrices, .key = "net"};
    const struct mmdit_batch batch = mm_batch(f, 0, f->is.size.samples);
    enum placement_way way;
    size_t before = f->device->used_bytes;
    mm_send(f);
    MUST(placement_open(&placement, f->device, options));
    MUST(placed_mmdit_open(&placed, placement, f->device, &f->model, &setup));
    struct placement_stage stage = placed_mmdit_stage(&placed, &f->is.size, 2, NULL, NULL);
    MUST(placement_choose(placement, &stage, 1, &way));
    MUST(placed_mmdit_begin(&placed, &stage));
    struct block_source source = placed_blocks_source(&placed.blocks);
    for (int pass = 0; pass < 2; pass++)
        MUST(mmdit_forward(&placed.mmdit, &source, &batch, f->on[MM_OUT]));
    MUST(placement_end(placement));
    mm_fetch_out(f);
    struct placement_report report = *placement_report_at(placement, 0);
    ck_assert_uint_eq(report.device_bytes, report.predicted.device_bytes);
    ck_assert_int_eq(report.copies, report.predicted.copies);
    ck_assert_uint_eq(report.copied_bytes, report.predicted.copied_bytes);
    ck_assert_int_eq(report.falls, 0);
    placement_close(placement);
    placed_mmdit_close(&placed);
    ck_assert_uint_eq(f->device->used_bytes, before);
    return report;
}

#endif
