/* A training step of the GAN as a CUDA graph: the same bits as without one, through other ways to
 * run and a resume; nothing waits; what can fail does so without harm. */
#include "config/config.h"
#include "gan/gan.h"
#include "gan/gan_task.h"
#include "image/image.h"
#include "store/safetensors.h"
#include "task/task.h"
#include "test/cuda/cuda_gan_bench.h"
#include "test/support.h"

Suite *cuda_gan_graph_suite(void);

/* ---- the task ---- */

enum { STEPS = 22, FIRST_MOVE = 6, RESUME = 11, SECOND_MOVE = 15 };

static struct config *draw_set(void)
{
    static const char text[] =
        "task: gan\nseed: 3\n"
        "gan: {width: 8, height: 12, widths: [16], images: 200, batch: 3, samples: 1,\n"
        "      augment: 0, augment_target: 0.2, eval_samples: 0}\n";
    struct config *config;
    char line[320], *override = line;
    draw_pictures("photos", 12, 8, 12);
    snprintf(line, sizeof line, "data=%s", in_folder("photos"));
    MUST(config_load_text(&config, "test", text, strlen(text), 1, &override));
    return config;
}

/* graphs: or the device does without them, as others do. */
struct run {
    struct device *device;
    struct task_state *state;
    bool graphs;
    int row; /* of the ways to run, for open */
};

static int choose(void *context, const struct task_state *state, struct memory_mode *way)
{
    struct memory_mode rows[TASK_MAX_MODES];
    const struct run *r = context;
    int count = task_gan.modes(state, rows), batch = way->work.batch;
    *way = rows[r->row < 0 ? count + r->row : r->row];
    way->work.batch = batch;
    return OK;
}

static void run_open(struct run *r, const struct config *config, const struct store_file *resume)
{
    MUST(cuda_open(&r->device));
    if (!r->graphs) r->device->graph_begin = NULL;
    struct task_setup setup = {.config = config,
                               .device = r->device,
                               .resume = resume,
                               .choose = choose,
                               .choose_context = r};
    MUST(task_gan.open(&r->state, &setup));
}

static void run_close(struct run *r)
{
    task_gan.close(r->state);
    ck_assert_uint_eq(r->device->used_bytes, 0);
    device_close(r->device);
}

/* With graphs, every third step is waited for; without, each. */
static void run_steps(struct run *r, int from, int to)
{
    struct task_report report;
    for (int step = from; step < to; step++) {
        MUST(task_gan.step(r->state, step, !r->graphs || step % 3 == 0, &report));
        ck_assert(isfinite(report.loss));
        /* the first step in a way to run is done without a graph */
        ck_assert((r->state->core->stepper.graph[0] != NULL) == (r->graphs && step > from));
    }
}

static struct store_file *save(struct run *r, int step, const char *name)
{
    struct store_file *file;
    struct store_writer *writer = store_writer_create();
    MUST(task_gan.save(r->state, writer));
    MUST(store_set_int(writer, "step", step));
    MUST(store_write(writer, in_folder(name), false));
    store_writer_free(writer);
    MUST(store_open(&file, in_folder(name)));
    return file;
}

static void move(struct run *r, int row)
{
    struct memory_mode way = *task_gan.mode(r->state);
    r->row = row;
    MUST(choose(r, r->state, &way));
    MUST(task_gan.replan(r->state, &way));
    ck_assert_ptr_null(r->state->core->stepper.graph[0]);
}

static const char *const numbers[] = {"gan.v_missing_g", "gan.v_missing_d", "gan.augment_even",
                                      "gan.augment_odd", "gan.sign"};

/* Without graphs in one way to run; with them through three ways (the last one with its state
 * beside the device), stopped and resumed, with the device's queues in order `_i`. */
START_TEST(graphs_change_no_bit)
{
    struct run plain = {.graphs = false}, graph = {.graphs = true};
    struct config *config = draw_set();
    run_open(&plain, config, NULL);
    run_steps(&plain, 0, STEPS);
    struct store_file *want = save(&plain, STEPS, "plain");
    run_close(&plain);

    emu_stream_order((unsigned)_i);
    run_open(&graph, config, NULL);
    run_steps(&graph, 0, FIRST_MOVE);
    move(&graph, 1);
    run_steps(&graph, FIRST_MOVE, RESUME);
    struct store_file *middle = save(&graph, RESUME, "middle");
    run_close(&graph);
    emu_stream_order((unsigned)_i);
    run_open(&graph, config, middle);
    run_steps(&graph, RESUME, SECOND_MOVE);
    move(&graph, -1);
    ck_assert(graph.state->core->mode.offload);
    run_steps(&graph, SECOND_MOVE, STEPS);
    struct store_file *got = save(&graph, STEPS, "graph");
    run_close(&graph);
    emu_stream_order(0);

    ck_assert_int_eq(store_count(got), store_count(want));
    for (int t = 0; t < store_count(want); t++) {
        const struct store_tensor *p = store_at(want, t), *q = store_find(got, p->name);
        ck_assert_msg(memcmp(p->data, q->data, p->bytes) == 0, "%s", p->name);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert_str_eq(store_get(want, numbers[i]), store_get(got, numbers[i]));
    store_close(want);
    store_close(middle);
    store_close(got);
    config_free(config);
}
END_TEST

#ifdef CUDA_EMU
/* What a step asks of the host once it has run before, on the device or beside it, by graph or
 * without: no memory, always the same, the pictures in and the sums out, and no wait but those for
 * the inputs' two places, which the step before the last has left. */
START_TEST(steps_ask_for_little)
{
    enum { WARM = 4, COUNTED = 6 };
    struct run r = {.graphs = _i % 2};
    struct config *config = draw_set();
    struct task_report report;
    struct emu_counts first = {0};
    r.row = _i / 2 ? -1 : 0;
    run_open(&r, config, NULL);
    for (int step = 0; step < WARM + COUNTED; step++) {
        struct emu_counts before = emu_counts_now(), used;
        MUST(task_gan.step(r.state, step, false, &report));
        used = emu_counts_since(&before);
        if (step < WARM) continue;
        if (step == WARM) first = used;
        expect_no_memory_calls(&used, "a step");
        expect_same_calls(&used, &first);
    }
    ck_assert_int_le(emu_waits(&first), 2);
    ck_assert_int_eq(first.stream_waits + first.device_waits + first.queries, 0);
    ck_assert_int_eq(first.graph_launches, r.graphs);
    /* 2 x 3 pictures of 8 x 12, what each is augmented by, and the latents of both */
    if (r.row == 0) ck_assert_int_le(first.bytes_in, 8192);
    if (r.row == 0) ck_assert_int_le(first.bytes_out, 256);
    if (r.graphs) {
        ck_assert_int_eq(first.launches + first.sets, 0);
        ck_assert_int_le(first.copies + first.marks, 8);
        ck_assert(emu_milliseconds(&first) < 0.1); /* without a graph: 0.5 */
    }
    run_close(&r);
    config_free(config);
}
END_TEST
#endif

/* ---- the core ---- */

#ifdef CUDA_EMU
static const double unread = -77;

/* The report of the step before is not there while the next one is prepared. */
static int fill_early(void *context, enum gan_which which, struct gan_inputs *in)
{
    struct bench *b = context;
    if (b->step > 0)
        ck_assert(b->core.stepper.host_sums[1 - b->core.stepper.turn][GAN_SUM_LOSS] == unread);
    return fill(context, which, in);
}

/* Nothing runs in the emulator before somebody waits: a step is not waited for, neither when it is
 * asked for nor when the next one is prepared; and it asks for its operations only until there is
 * a graph. */
START_TEST(steps_are_asked_for_ahead)
{
    const struct gan_rates rates = {.gamma = 2, .adam = {.lr = 1e-3, .b2 = 0.9}, .ema = 0.9};
    struct bench b;
    struct gan_report d;
    bench_open(&b, true, 8, BATCH, GAN_SCHEME_NONE, false);
    for (b.step = 0; b.step < 4; b.step++) {
        double *sums = b.core.stepper.host_sums[b.core.stepper.turn];
        double macs = b.core.d_first.macs;
        sums[GAN_SUM_LOSS] = unread;
        if (b.step > 1) b.core.d_first.macs = unread;
        MUST(gan_train_step(&b.core, &rates, fill_early, &b));
        ck_assert(sums[GAN_SUM_LOSS] == unread);
        ck_assert((b.core.d_first.macs == unread) == (b.step > 1));
        if (b.step > 1) b.core.d_first.macs = macs;
        if (b.step == 0) continue;
        MUST(gan_report(&b.core, 1, &d, NULL));
        ck_assert(d.loss > 0 && d.units > 3.9);
        ck_assert(sums[GAN_SUM_LOSS] == unread);
    }
    MUST(gan_report(&b.core, 0, &d, NULL));
    ck_assert(d.loss > 0);
    bench_close(&b);
}
END_TEST

/* What a graph does not find memory for goes on without; its launch in a lost device is an error.
 */
START_TEST(failures_do_no_harm)
{
    static const char *const faults[] = {"fail_graph=1", "fail_launch=200", "lose=200"};
    struct bench b;
    struct gan_report d, g;
    int code = OK, steps = 0;
    setenv("IMGTRAIN_EMU", faults[_i], 1); /* read when this process first asks for a device */
    bench_open(&b, true, 8, BATCH, GAN_SCHEME_NONE, false);
    for (b.step = 0; b.step < 4 && code == OK; b.step++, steps++) {
        const struct gan_rates rates = {.gamma = 2, .adam = {.lr = 1e-3, .b2 = 0.9}, .ema = 0.9};
        code = gan_train_step(&b.core, &rates, fill, &b);
        if (code == OK) code = gan_report(&b.core, 0, &d, &g);
    }
    ck_assert_msg(code == (_i < 2 ? OK : ERR_DEVICE), "step %d: code %d", steps, code);
    ck_assert_ptr_null(_i < 2 ? b.core.stepper.graph[0] : NULL);
    ck_assert(_i == 2 || b.core.stepper.no_graph);
    bench_close(&b);
}
END_TEST
#endif

Suite *cuda_gan_graph_suite(void)
{
    Suite *suite = suite_create("cuda_gan_graph");
    if (!cuda_here("cuda_gan_graph")) return suite;
    TCase *tests = tcase_create("graph");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, graphs_change_no_bit, 0, stream_orders > 1 ? 2 : 1);
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, steps_ask_for_little, 0, 4);
    tcase_add_test(tests, steps_are_asked_for_ahead);
    const char *fork_mode = getenv("CK_FORK");
    if (fork_mode && strcmp(fork_mode, "no") == 0)
        test_skip("cuda_gan_graph failures", "each needs a process of its own");
    else
        tcase_add_loop_test(tests, failures_do_no_harm, 0, 3);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
