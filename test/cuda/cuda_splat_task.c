/* The task splat on CUDA: a whole fit beside the CPU's, and resumed. */
#include "cpu/device_cpu.h"
#include "memory/mode.h"
#include "memory/plan.h"
#include "splat/splat.h"
#include "store/safetensors.h"
#include "test/cuda/cuda_splat_config.h"

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

/* A short fit with growth, quantised and with a mask or neither: every tensor of its checkpoint is
 * near the CPU's, a resumed one is the same to the bit, and its picture is near the CPU's. */
START_TEST(task_runs_on_cuda)
{
    enum { SIDE = 24, END = 12, MIDDLE = 7 };
    char keys[1024];
    struct device *devices[2];
    struct image pictures[2];
    struct store_file *ends[2];
    set_up();
    snprintf(keys, sizeof keys,
             "num_gaussians: 40\nmax_steps: %d\neval_steps: 5\n"
             "use_amp: false\nquantize: %s\nrelocate_every: 1\n%s",
             END, _i ? "true" : "false", _i ? mask_key(SIDE, SIDE) : "");
    struct config *config = waves_config(SIDE, SIDE, keys);
    expect_ok(device_open_cpu(&devices[0], 1));
    expect_ok(cuda_open(&devices[1]));
    for (int k = 0; k < 2; k++) {
        struct task_state *state = open_task(devices[k], config, NULL);
        run_task(state, 0, MIDDLE);
        struct store_file *middle = save_task(state, k ? "b.middle" : "a.middle");
        run_task(state, MIDDLE, END);
        ends[k] = save_task(state, k ? "b.end" : "a.end");
        expect_ok(task_splat.image(state, 0, &pictures[k]));
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
    config_free(config);
    folder_remove();
}
END_TEST

/* ---- ways to save memory ---- */

enum { WIDE = 5, HIGH = 1100, LAST = 4 };

/* A way by its number in the task's list; -1: the last one. */
static int choose(void *context, const struct task_state *state, struct memory_mode *mode)
{
    struct memory_mode ways[TASK_MAX_MODES];
    int count = task_splat.modes(state, ways), *number = context;
    if (*number < 0) *number += count;
    *mode = ways[*number];
    return OK;
}

static void expect_bytes(const struct device *device, const struct task_state *state)
{
    ck_assert_uint_eq(device->used_bytes, plan_device_bytes(task_splat.plan(state)));
    ck_assert_uint_eq(device->host_bytes, plan_host_bytes(task_splat.plan(state)));
}

/* Steps 0 .. LAST, in way `first`, from the middle on in way `then`: what the checkpoint holds. */
static struct store_file *run_modes(const struct config *config, int first, int then,
                                    const char *name, struct memory_mode *way)
{
    struct device *device;
    struct task_state *state = NULL;
    expect_ok(cuda_open(&device));
    struct task_setup setup = {
        .config = config, .device = device, .choose = choose, .choose_context = &first};
    expect_ok(task_splat.open(&state, &setup));
    expect_bytes(device, state);
    run_task(state, 0, LAST / 2);
    if (then != first) {
        choose(&then, state, way);
        expect_ok(task_splat.replan(state, way));
        expect_bytes(device, state);
    }
    run_task(state, LAST / 2, LAST);
    *way = *task_splat.mode(state);
    ck_assert_uint_eq(device->used_bytes, plan_device_bytes(task_splat.plan(state)));
    struct store_file *file = save_task(state, name);
    task_splat.close(state);
    ck_assert_uint_eq(device->used_bytes, 0);
    ck_assert_uint_eq(device->host_bytes, 0);
    device_close(device);
    return file;
}

/* Level 4 from the start, or with a mask from the middle on: target and Adam's state beside the
 * device, the same bits, and the bytes that were predicted. */
START_TEST(no_way_changes_a_bit)
{
    char keys[1024];
    struct memory_mode ways[2];
    set_up();
    snprintf(keys, sizeof keys,
             "num_gaussians: 120\nmax_steps: %d\neval_steps: 3\n"
             "use_amp: false\ndeterministic: true\n%s",
             LAST, _i ? mask_key(WIDE, HIGH) : "");
    struct config *config = waves_config(WIDE, HIGH, keys);
    struct store_file *a = run_modes(config, 0, 0, "a", &ways[0]);
    struct store_file *b = run_modes(config, _i ? 0 : -1, -1, "b", &ways[1]);
    ck_assert(!ways[0].offload && ways[0].bands == 0);
    ck_assert(ways[1].offload && ways[1].bands == 5);
    ck_assert_int_eq(store_count(a), store_count(b));
    for (int t = 0; t < store_count(a); t++) {
        const struct store_tensor *p = store_at(a, t), *q = store_find(b, p->name);
        ck_assert_uint_eq(p->bytes, q->bytes);
        ck_assert_msg(memcmp(p->data, q->data, p->bytes) == 0, "%s", p->name);
    }
    store_close(a);
    store_close(b);
    config_free(config);
    folder_remove();
}
END_TEST

#ifdef CUDA_EMU
/* What a step asks of the host once it has run before, on the device (_i = 0): two launches, or
 * three waits and a copy more at every 16th, which is waited for. Without a graph, in the last way,
 * which has target and state beside the device: no memory, a wait for each band of the target at
 * most. */
START_TEST(steps_ask_for_little)
{
    enum { WARM = 4, END = 20 };
    struct device *device;
    struct task_state *state = NULL;
    struct task_report report = {0};
    struct emu_counts first = {0};
    int way = _i ? -1 : 0;
    set_up();
    struct config *config = waves_config(
        WIDE, HIGH, "num_gaussians: 120\nmax_steps: 1000\neval_steps: 1000\nuse_amp: false\n");
    expect_ok(cuda_open(&device));
    struct task_setup setup = {
        .config = config, .device = device, .choose = choose, .choose_context = &way};
    expect_ok(task_splat.open(&state, &setup));
    for (int step = 0; step < END; step++) {
        struct emu_counts before = emu_counts_now(), used;
        bool wait = step % 16 == 0;
        expect_ok(task_splat.step(state, step, false, &report));
        used = emu_counts_since(&before);
        if (step < WARM) continue;
        if (step == WARM) first = used;
        expect_no_memory_calls(&used, "a step");
        if (!wait) expect_same_calls(&used, &first);
        ck_assert_int_le(used.stream_waits, wait ? DEVICE_QUEUES : 0);
        ck_assert_int_eq(used.device_waits + used.queries, 0);
        if (_i == 0) {
            ck_assert_int_eq(used.launches, 1); /* the rates */
            ck_assert_int_eq(used.graph_launches, 1);
            ck_assert_int_eq(used.event_waits + used.marks + used.sets + used.bytes_in, 0);
            ck_assert_int_eq(used.copies, wait); /* the sums */
            ck_assert_int_le(used.bytes_out, 256);
            ck_assert(emu_milliseconds(&used) < 0.05);
        }
    }
    if (_i == 1) ck_assert_int_le(first.event_waits, task_splat.mode(state)->bands);
    for (int k = 0; k < 2; k++) { /* that evaluate, too */
        struct emu_counts before = emu_counts_now(), used;
        expect_ok(task_splat.step(state, END + k, true, &report));
        used = emu_counts_since(&before);
        if (k > 0) expect_no_memory_calls(&used, "a step that evaluates");
    }
    task_splat.close(state);
    device_close(device);
    config_free(config);
    folder_remove();
}
END_TEST
#endif

Suite *cuda_splat_task_suite(void)
{
    Suite *suite = suite_create("cuda_splat_task");
    if (!cuda_here("cuda_splat_task")) return suite;
    TCase *tests = tcase_create("task");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, task_runs_on_cuda, 0, 2);
    tcase_add_loop_test(tests, no_way_changes_a_bit, 0, 2);
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, steps_ask_for_little, 0, 2);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
