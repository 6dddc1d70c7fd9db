/* S3-DiT's passes on CUDA beside the CPU's: outputs and all gradients, of captions of unequal
 * lengths, in all ways to keep what the backward pass reads. */
#include "test/cuda/cuda_ops.h"
#include "test/diffusion/s3dit_fixture.h"

Suite *cuda_s3dit_suite(void);

static const struct dit_case cuda_dit_case = {
    .config = {.channels = 4,
               .patch = 2,
               .dim = 48,
               .layers = 1,
               .refiner_layers = 1,
               .heads = 2,
               .text_dim = 20,
               .rope_theta = 256,
               .t_scale = 1000,
               .norm_eps = 1e-5,
               .axes = {8, 8, 8},
               .axes_lens = {256, 32, 32}},
    .size =
        {.samples = 2, .height = 6, .width = 8, .text_rows = 33, .mixed_text = true, .chunk = 1},
    .lengths = {33, 5}};

static float *dit_upload(struct device *device, const float *from, size_t floats)
{
    void *memory;
    MUST(device->alloc(device, floats * sizeof *from, &memory));
    MUST(device_send(device, memory, from, floats * sizeof *from));
    return memory;
}

static void dit_fetch(struct device *device, float *to, float *memory, size_t floats)
{
    MUST(device_fetch(device, to, memory, floats * sizeof *to));
    device->free(device, memory, floats * sizeof *to);
}

/* The passes on the fixture's device, whatever it is. */
static void dit_run(struct dit_fixture *f)
{
    struct device *device = f->device;
    size_t n = (size_t)f->is.size.samples, images = n * f->image_floats, texts = n * f->text_floats;
    size_t times = n * S3DIT_TIME_FEATURES, all = f->model.floats;
    float *parameters = dit_upload(device, f->parameters, all);
    float *gradients = dit_upload(device, f->gradients, all);
    float *image = dit_upload(device, f->image, images), *time = dit_upload(device, f->time, times);
    float *text = dit_upload(device, f->text, texts), *d_out = dit_upload(device, f->d_out, images);
    float *out = dit_upload(device, f->out, images);
    float *text_gradient = dit_upload(device, f->text_gradient, texts);
    struct s3dit_flat flat = {&f->model, parameters};
    const struct s3dit_source source = s3dit_flat_source(&flat);
    const struct s3dit_batch batch = {
        .samples = (int)n, .image = image, .time = time, .text = text, .lengths = f->is.lengths};
    MUST(s3dit_forward(&f->dit, &source, &batch, out));
    MUST(s3dit_backward(&f->dit, &source, &batch, d_out, gradients, text_gradient));
    MUST(device->synchronize(device));
    dit_fetch(device, f->out, out, images);
    dit_fetch(device, f->gradients, gradients, all);
    dit_fetch(device, f->text_gradient, text_gradient, texts);
    device->free(device, parameters, all * sizeof *parameters);
    device->free(device, image, images * sizeof *image);
    device->free(device, time, times * sizeof *time);
    device->free(device, text, texts * sizeof *text);
    device->free(device, d_out, images * sizeof *d_out);
}

/* Within `tolerance` of the largest. */
static void dit_compare(const float *got, const float *right, size_t count, double tolerance,
                        const char *name)
{
    double most = 0, error = 0;
    for (size_t i = 0; i < count; i++) {
        double e = fabs((double)got[i] - (double)right[i]);
        error = !(e <= error) ? e : error;
        most = fmax(most, fabs((double)right[i]));
    }
    ck_assert_msg(error <= tolerance * most, "%s: off by %.3g of %.3g", name, error, most);
}

START_TEST(passes_are_those_of_the_cpu)
{
    static const enum s3dit_use uses[] = {S3DIT_TRAINING, S3DIT_CHECKPOINTED, S3DIT_HALVES};
    enum s3dit_use use = uses[_i];
    double tolerance = use == S3DIT_HALVES ? 2e-2 : 1e-4;
    struct dit_fixture cpu, cuda;
    fixture_open(&cpu, &cuda_dit_case, 1);
    fixture_open(&cuda, &cuda_dit_case, 1);
    device_close(cuda.device);
    MUST(cuda_open(&cuda.device));
    fixture_plan(&cpu, use, cpu.is.size.samples);
    fixture_plan(&cuda, use, cuda.is.size.samples);
    dit_run(&cpu);
    dit_run(&cuda);
    size_t n = (size_t)cpu.is.size.samples;
    dit_compare(cuda.out, cpu.out, n * cpu.image_floats, tolerance, "out");
    dit_compare(cuda.text_gradient, cpu.text_gradient, n * cpu.text_floats, tolerance, "text");
    for (int i = 0; i < cpu.model.tensor_count; i++) {
        const struct s3dit_tensor *t = &cpu.model.tensors[i];
        dit_compare(cuda.gradients + t->offset, cpu.gradients + t->offset, t->count, tolerance,
                    t->name);
    }
    fixture_close(&cpu);
    fixture_close(&cuda);
}
END_TEST

Suite *cuda_s3dit_suite(void)
{
    Suite *suite = suite_create("cuda_s3dit");
    if (!cuda_here("cuda_s3dit")) return suite;
    TCase *tests = tcase_create("s3dit");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, passes_are_those_of_the_cpu, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
