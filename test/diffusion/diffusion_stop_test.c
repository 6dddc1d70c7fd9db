/* A stop in the middle of what takes long: a step that is not to have happened, and what the
 * averaged network says. */
#include "base/random.h"
#include "diffusion/diffusion_core.h"
#include "memory/plan.h"
#include "test/diffusion/tiny_model.h"

enum { BATCH = 4, SIDE = 8, CLASSES = 3, NUMBERS = SIDE * SIDE * 3 };

static int stop_looks; /* how often somebody may look before the stop */

static bool stop_after_looks(void)
{
    return stop_looks-- <= 0;
}

static int fill_drawn(void *context, int first, int n, const struct diffusion_samples *out)
{
    (void)context;
    for (int i = 0; i < n * NUMBERS; i++) {
        struct philox4 draw = philox_draw(1, STREAM_TEST, 0, (uint64_t)(first * NUMBERS + i));
        out->noisy[i] = 2 * philox_uniform(draw.v[0]) - 1;
        out->target[i] = 2 * philox_uniform(draw.v[1]) - 1;
    }
    for (int i = 0; i < n; i++) {
        out->time[i] = 0.2f;
        out->length[i] = 1;
        out->condition[i] = (first + i) % CLASSES;
    }
    return OK;
}

struct stop_fixture {
    struct device *device;
    struct plan *plan;
    struct diffusion_core core;
};

static const struct diffusion_rates stop_rates = {.adam = {.lr = 0.01, .b1 = 0.9, .b2 = 0.95},
                                                  .ema = 0.5};

static void stop_open(struct stop_fixture *f)
{
    const struct diffusion_design design = {
        .dit = tiny_config(), .width = SIDE, .height = SIDE, .conditions = {false, CLASSES + 1, 1}};
    const struct diffusion_mode mode = {.batch = BATCH, .micro = BATCH, .checkpointing = true};
    *f = (struct stop_fixture){.plan = plan_create()};
    MUST(device_open(&f->device, "cpu", 1));
    MUST(diffusion_core_declare(&f->core, &design, &mode, 1, f->device, f->plan));
    MUST(plan_commit(f->plan, f->device));
    MUST(diffusion_core_connect(&f->core));
    MUST(diffusion_core_initialise(&f->core, 1));
    MUST(diffusion_train_step(&f->core, &stop_rates, fill_drawn, NULL)); /* moments are not 0 */
}

static void stop_close(struct stop_fixture *f)
{
    plan_free(f->plan);
    diffusion_core_close(&f->core);
    device_close(f->device);
}

/* All ranges of a checkpoint, one behind the other: owned. */
static float *stop_ranges(const struct stop_fixture *f, size_t *bytes)
{
    size_t one = f->core.net.net.floats;
    float *all = malloc(TRAINED_RANGES * one * sizeof *all);
    ck_assert_ptr_nonnull(all);
    for (int i = 0; i < TRAINED_RANGES; i++)
        memcpy(all + (size_t)i * one, trained_net_view(&f->core.net, (enum trained_range)i),
               one * sizeof *all);
    *bytes = TRAINED_RANGES * one * sizeof *all;
    return all;
}

/* One micro-batch, so that a stop within it is one between blocks. */
START_TEST(a_stopped_step_has_changed_nothing)
{
    struct stop_fixture stopped, whole;
    size_t bytes;
    int stops = 0, code = ERR_STOPPED;
    stop_open(&stopped);
    stop_open(&whole);
    float *before = stop_ranges(&stopped, &bytes);
    stopped.core.stop_requested = stop_after_looks;
    while (code == ERR_STOPPED) {
        stop_looks = stops;
        code = diffusion_train_step(&stopped.core, &stop_rates, fill_drawn, NULL);
        if (code != ERR_STOPPED) break;
        float *now = stop_ranges(&stopped, &bytes);
        ck_assert_mem_eq(now, before, bytes);
        free(now);
        stops++;
    }
    ck_assert_int_eq(code, OK);
    /* embedders, two refiners, a layer, the final layer: forward and backward */
    ck_assert_int_eq(stops, 10);
    MUST(diffusion_train_step(&whole.core, &stop_rates, fill_drawn, NULL));
    float *got = stop_ranges(&stopped, &bytes), *right = stop_ranges(&whole, &bytes);
    ck_assert_mem_eq(got, right, bytes);
    ck_assert(stopped.core.net.v_missing == whole.core.net.v_missing);
    free(before);
    free(got);
    free(right);
    stop_close(&stopped);
    stop_close(&whole);
}
END_TEST

START_TEST(a_drawing_is_stopped_between_blocks)
{
    struct stop_fixture f;
    float out[BATCH * NUMBERS];
    stop_open(&f);
    const struct diffusion_samples in = diffusion_core_samples(&f.core);
    MUST(fill_drawn(NULL, 0, BATCH, &in));
    f.core.stop_requested = stop_after_looks;
    stop_looks = 3;
    ck_assert_int_eq(diffusion_core_predict(&f.core, BATCH, out), ERR_STOPPED);
    f.core.stop_requested = NULL;
    MUST(diffusion_core_predict(&f.core, BATCH, out));
    stop_close(&f);
}
END_TEST

static int allocated;

static int count_alloc(struct device *device, size_t bytes, void **memory)
{
    (void)device;
    (void)bytes;
    *memory = NULL;
    allocated++;
    return (fail)(ERR_DEVICE_MEMORY, "after the plan");
}

/* All is in the plan: no step asks for memory, nor does a drawing. */
START_TEST(steps_allocate_nothing)
{
    struct stop_fixture f;
    float out[BATCH * NUMBERS];
    stop_open(&f);
    struct device usual = *f.device;
    f.device->alloc = f.device->alloc_host = f.device->alloc_offload = count_alloc;
    allocated = 0;
    for (int step = 0; step < 2; step++)
        MUST(diffusion_train_step(&f.core, &stop_rates, fill_drawn, NULL));
    MUST(diffusion_core_predict(&f.core, BATCH, out));
    ck_assert_int_eq(allocated, 0);
    ck_assert_uint_eq(f.device->used_bytes, usual.used_bytes);
    *f.device = usual;
    stop_close(&f);
}
END_TEST

Suite *diffusion_stop_test_suite(void);
Suite *diffusion_stop_test_suite(void)
{
    Suite *suite = suite_create("diffusion_stop_test");
    TCase *tests = tcase_create("stops");
    tcase_add_test(tests, a_stopped_step_has_changed_nothing);
    tcase_add_test(tests, a_drawing_is_stopped_between_blocks);
    tcase_add_test(tests, steps_allocate_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}
