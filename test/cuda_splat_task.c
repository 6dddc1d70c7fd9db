/* The task splat on CUDA: a whole fit beside the CPU's, and resumed. */
#include "config/config.h"
#include "cuda_splat_scene.h"
#include "image/image.h"
#include "splat/splat.h"
#include "store/safetensors.h"
#include "temp_folder.h"

Suite *cuda_splat_task_suite(void);

static struct task_state *open_task(struct device *device, const struct config *config,
                                    const struct store_file *resume)
{
    struct task_state *state = NULL;
    struct task_setup setup = {.config = config, .device = device, .resume = resume};
    expect_ok(task_splat.open(&state, &setup));
    return state;
}

static struct store_file *save_task(struct task_state *state, const char *name)
{
    char path[512];
    struct store_file *file;
    struct store_writer *writer = store_writer_create();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    expect_ok(task_splat.save(state, writer));
    expect_ok(store_write(writer, path, false));
    store_writer_free(writer);
    expect_ok(store_open(&file, path));
    return file;
}

static void run_task(struct task_state *state, int from, int to)
{
    struct task_report report = {0};
    for (int step = from; step < to; step++) {
        expect_ok(task_splat.step(state, step, step + 1 == to, &report));
        ck_assert(isfinite(report.loss));
    }
}

/* A short fit with growth: every tensor of its checkpoint is near the CPU's, a resumed one is the
 * same to the bit, and its picture is near the CPU's. */
START_TEST(task_runs_on_cuda)
{
    enum { SIDE = 24, END = 12, MIDDLE = 7 };
    char text[1024], path[512];
    struct device *devices[2];
    struct config *config;
    struct image image, pictures[2];
    struct store_file *ends[2];
    set_up();
    expect_ok(image_create(&image, SIDE, SIDE, 3, SAMPLE_U8));
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        ((uint8_t *)image.data)[i] = (uint8_t)(120 + 90 * sinf(0.02f * (float)i));
    snprintf(path, sizeof path, "%s/a.png", folder);
    expect_ok(image_save(&image, path));
    snprintf(text, sizeof text,
             "input_path: \"%s\"\nnum_gaussians: 40\nmax_steps: %d\neval_steps: 5\n"
             "use_amp: false\nquantize: %s\n",
             path, END, _i ? "true" : "false");
    expect_ok(config_load_text(&config, "test", text, strlen(text), 0, NULL));
    expect_ok(device_open_cpu(&devices[0], 1));
    expect_ok(cuda_open(&devices[1]));
    for (int k = 0; k < 2; k++) {
        struct task_state *state = open_task(devices[k], config, NULL);
        run_task(state, 0, MIDDLE);
        struct store_file *middle = save_task(state, k ? "b.middle" : "a.middle");
        run_task(state, MIDDLE, END);
        ends[k] = save_task(state, k ? "b.end" : "a.end");
        expect_ok(task_splat.picture(state, 0, &pictures[k]));
        task_splat.close(state);
        state = open_task(devices[k], config, middle);
        run_task(state, MIDDLE, END);
        struct store_file *again = save_task(state, "again");
        for (int t = 0; t < store_count(again); t++) {
            const struct store_tensor *p = store_at(again, t), *q = store_find(ends[k], p->name);
            ck_assert_msg(memcmp(p->data, q->data, p->bytes) == 0, "resumed: %s", p->name);
        }
        store_close(again);
        store_close(middle);
        task_splat.close(state);
    }
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        const struct store_tensor *p = store_find(ends[0], group_names[g]);
        const struct store_tensor *q = store_find(ends[1], group_names[g]);
        ck_assert_uint_eq(p->bytes, q->bytes);
        for (size_t i = 0; i < p->bytes / sizeof(float); i++) {
            double x = (double)((const float *)p->data)[i], y = (double)((const float *)q->data)[i];
            ck_assert_msg(fabs(x - y) <= 5e-3, "%s[%zu] is %g, expected %g", p->name, i, y, x);
        }
    }
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        int a = ((uint8_t *)pictures[0].data)[i], b = ((uint8_t *)pictures[1].data)[i];
        ck_assert_msg(abs(a - b) <= 2, "sample %d is %d, expected %d", i, b, a);
    }
    for (int k = 0; k < 2; k++) {
        image_free(&pictures[k]);
        store_close(ends[k]);
        device_close(devices[k]);
    }
    image_free(&image);
    config_free(config);
    tear_down();
}
END_TEST

Suite *cuda_splat_task_suite(void)
{
    Suite *suite = suite_create("cuda_splat_task");
    if (!cuda_here("cuda_splat_task")) return suite;
    TCase *tests = tcase_create("task");
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, task_runs_on_cuda, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
