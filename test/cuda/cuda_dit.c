/* S3-DiT on CUDA beside the CPU: what it puts out, all gradients; the same bits in every memory
 * mode, and in whatever order the queues and blocks get on. */
#include "base/random.h"
#include "diffusion/diffusion_core.h"
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/s3dit_fixture.h"
#include "test/diffusion/small_dit.h"
#include "test/near.h"

Suite *cuda_dit_suite(void);

static const struct dit_case dit_unequal = {
    SMALL_DIT(3, 1, 6, 256), {3, 6, 8, 34, true, 1}, {33, 2, 34}};

static void cuda_dit_run(struct dit_fixture *f, bool cuda, enum s3dit_use use, int micro)
{
    struct device *device;
    MUST(cuda ? cuda_open(&device) : device_open_cpu(&device, 1));
    fixture_open_on(f, &dit_unequal, device);
    fixture_plan(f, use, micro);
    fixture_run(f);
}

static void near_to(const char *name, const float *got, const float *right, size_t count,
                    double tolerance)
{
    double error = relative_error(got, right, count);
    ck_assert_msg(error <= tolerance, "%s differs by %g", name, error);
}

START_TEST(passes_are_those_of_the_cpu)
{
    static const struct {
        enum s3dit_use use;
        double tolerance;
    } ways[] = {{S3DIT_TRAINING, 1e-4}, {S3DIT_HALVES, 2e-2}};
    double tolerance = ways[_i].tolerance;
    struct dit_fixture cpu, cuda;
    cuda_dit_run(&cpu, false, ways[_i].use, 3);
    cuda_dit_run(&cuda, true, ways[_i].use, 3);
    near_to("out", cuda.out, cpu.out, 3 * cpu.image_floats, tolerance);
    near_to("text_gradient", cuda.text_gradient, cpu.text_gradient, 3 * cpu.text_floats, tolerance);
    for (int i = 0; i < cpu.model.list.tensor_count; i++) {
        const struct block_tensor *t = &cpu.model.list.tensors[i];
        near_to(t->name, cuda.gradients + t->offset, cpu.gradients + t->offset, t->count,
                tolerance);
    }
    fixture_close(&cuda);
    fixture_close(&cpu);
}
END_TEST

START_TEST(modes_change_no_bit_on_cuda)
{
    static const struct {
        enum s3dit_use use;
        int micro;
    } ways[] = {{S3DIT_TRAINING, 2}, {S3DIT_CHECKPOINTED, 3}, {S3DIT_FORWARD_ONLY, 1}};
    struct dit_fixture f;
    cuda_dit_run(&f, true, S3DIT_TRAINING, 3);
    size_t image = 3 * f.image_floats, all = f.model.list.floats;
    float *out = formula_floats(image), *gradients = formula_floats(all);
    memcpy(out, f.out, image * sizeof *out);
    memcpy(gradients, f.gradients, all * sizeof *gradients);
    for (unsigned i = 0; i < 3; i++) {
        fixture_close(&f);
        emu_stream_order(i % (unsigned)stream_orders);
        emu_grid_order(i % 2);
        cuda_dit_run(&f, true, ways[i].use, ways[i].micro);
        ck_assert_mem_eq(f.out, out, image * sizeof *out);
        if (ways[i].use != S3DIT_FORWARD_ONLY)
            ck_assert_mem_eq(f.gradients, gradients, all * sizeof *gradients);
    }
    emu_stream_order(0);
    emu_grid_order(false);
    fixture_close(&f);
    free(out);
    free(gradients);
}
END_TEST

/* ---- steps of a training ---- */

enum { CAPTION_BATCH = 3, CAPTION_ROWS = 40, CAPTION_STEPS = 3 };

static int caption_rows; /* of the present training: 1 of classes */

/* Captions are of other lengths from the third step on: a step that was recorded before would read
 * the angles of the first ones. */
static int caption_fill(void *context, int first, int n, const struct diffusion_samples *out)
{
    static const int lengths[2][CAPTION_BATCH] = {{33, 2, 40}, {1, 40, 32}};
    uint64_t step = *(uint64_t *)context;
    for (uint64_t i = 0; i < (uint64_t)n * 6 * 8 * 3; i++) {
        struct philox4 draw = philox_draw(1, STREAM_TEST, step, (uint64_t)first * 1000 + i);
        out->noisy[i] = 2 * philox_uniform(draw.v[0]) - 1;
        out->target[i] = 2 * philox_uniform(draw.v[1]) - 1;
    }
    for (int i = 0; i < n; i++) {
        out->time[i] = 0.2f + 0.2f * (float)i;
        out->length[i] = caption_rows > 1 ? lengths[step / 2][first + i] : 1;
        for (int k = 0; k < caption_rows; k++)
            out->condition[i * CAPTION_ROWS + k] =
                k < out->length[i] ? (7 * k + first + i) % 256 : 256;
    }
    return OK;
}

static void caption_losses(bool cuda, double *losses)
{
    struct device *device;
    struct diffusion_core core = {.clip = 0};
    struct plan *plan = plan_create();
    struct diffusion_design design = {.dit = dit_unequal.config,
                                      .width = 8,
                                      .height = 6,
                                      .conditions = {caption_rows > 1, 257, caption_rows}};
    const struct diffusion_mode mode = {.batch = CAPTION_BATCH, .micro = CAPTION_BATCH};
    const struct diffusion_rates rates = {.adam = {.lr = 0.01, .b1 = 0.9, .b2 = 0.95}, .ema = 0.5};
    MUST(cuda ? cuda_open(&device) : device_open_cpu(&device, 1));
    MUST(diffusion_core_declare(&core, &design, &mode, 1, device, plan));
    MUST(plan_commit(plan, device));
    MUST(diffusion_core_connect(&core));
    MUST(diffusion_core_initialise(&core, 1));
    for (uint64_t step = 0; step < CAPTION_STEPS; step++) {
        struct diffusion_report report;
        MUST(diffusion_train_step(&core, &rates, caption_fill, &step));
        MUST(diffusion_core_report(&core, 0, &report));
        losses[step] = report.loss;
    }
    MUST(stepper_rest(&core.stepper));
    plan_free(plan);
    diffusion_core_close(&core);
    device_close(device);
}

START_TEST(steps_are_those_of_the_cpu)
{
    double cpu[CAPTION_STEPS], cuda[CAPTION_STEPS];
    caption_rows = _i ? CAPTION_ROWS : 1;
    caption_losses(false, cpu);
    caption_losses(true, cuda);
    for (int i = 0; i < CAPTION_STEPS; i++)
        ck_assert_double_eq_tol(cuda[i], cpu[i], 1e-5 * cpu[i]);
}
END_TEST

Suite *cuda_dit_suite(void)
{
    Suite *suite = suite_create("cuda_dit");
    if (!cuda_here("cuda_dit")) return suite;
    TCase *tests = tcase_create("dit");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, passes_are_those_of_the_cpu, 0, 2);
    tcase_add_test(tests, modes_change_no_bit_on_cuda);
    tcase_add_loop_test(tests, steps_are_those_of_the_cpu, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
