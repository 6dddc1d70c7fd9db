/* Networks that enlarge, on CUDA beside the CPU: a step's losses and gradients, the same bits in
 * every memory mode, with a graph or without, through a resume and in tiles of any size; what steps
 * ask of the host. */
#include "config/config.h"
#include "cpu/device_cpu.h"
#include "memory/plan.h"
#include "sr/sr.h"
#include "sr/sr_core.h"
#include "sr/sr_task.h"
#include "store/safetensors.h"
#include "task/task.h"
#include "test/cuda/cuda_ops.h"
#include "test/near.h"
#include "test/support.h"

Suite *cuda_sr_suite(void);

/* ---- the core ---- */

enum { SR_SIDE = 14, SR_BATCH = 5 };

struct sr_bench {
    struct device *device;
    struct plan *plan;
    struct sr_core core;
    uint64_t step;
};

/* A function of the step and the patch, as in a training. */
static int sr_bench_fill(void *context, int first, int n, float *lq, float *gt)
{
    const struct sr_bench *b = context;
    size_t small = (size_t)(b->core.mode.lq_size * b->core.mode.lq_size * 3);
    size_t large = small * (size_t)(b->core.design.scale * b->core.design.scale);
    for (size_t i = 0; i < (size_t)n * large; i++) {
        uint64_t at = (uint64_t)first * large + i;
        gt[i] = philox_uniform(philox_draw(1, STREAM_TEST, 2 * b->step, at).v[0]);
    }
    for (size_t i = 0; i < (size_t)n * small; i++) {
        uint64_t at = (uint64_t)first * small + i;
        lq[i] = philox_uniform(philox_draw(1, STREAM_TEST, 2 * b->step + 1, at).v[0]);
    }
    return OK;
}

static void sr_bench_open(struct sr_bench *b, bool cuda, const struct sr_design *design,
                          const struct sr_mode *mode)
{
    memset(b, 0, sizeof *b);
    const struct sr_loss_choices losses = {
        .weight = {[SR_TERM_L1] = 1, [SR_TERM_CHARBONNIER] = 0.5, [SR_TERM_MSE] = 0.25}};
    MUST(cuda ? cuda_open(&b->device) : device_open_cpu(&b->device, 1));
    b->plan = plan_create();
    ck_assert_ptr_nonnull(b->plan);
    MUST(sr_core_declare(&b->core, design, &losses, mode, b->device, b->plan));
    MUST(plan_commit(b->plan, b->device));
    sr_core_connect(&b->core);
    MUST(sr_core_initialise(&b->core, 1));
    MUST(sr_core_begin(&b->core));
}

static void sr_bench_close(struct sr_bench *b)
{
    stepper_rest(&b->core.stepper);
    plan_free(b->plan);
    sr_core_close(&b->core);
    ck_assert_uint_eq(b->device->used_bytes, 0);
    device_close(b->device);
}

static void sr_bench_step(struct sr_bench *b, struct sr_report *report)
{
    const struct sr_rates rates = {.adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.99, .decay = 0.01},
                                   .ema = 0.5};
    MUST(sr_train_step(&b->core, &rates, sr_bench_fill, b));
    if (report) MUST(sr_core_report(&b->core, 0, report));
    b->step++;
}

/* Largest difference of each parameter's gradient, in units of its largest value. */
static void compare_gradients(struct sr_bench *cpu, struct sr_bench *cuda, double tolerance)
{
    const struct net *net = &cpu->core.net.net;
    float *got = malloc(net->floats * sizeof *got);
    const float *want = cpu->core.net.gradients;
    ck_assert_ptr_nonnull(got);
    MUST(device_fetch(cuda->device, got, cuda->core.net.gradients, net->floats * sizeof *got));
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        double most = 0, error = 0;
        for (size_t j = p->offset; j < p->offset + p->count; j++) {
            most = fmax(most, fabs((double)want[j]));
            error = larger_error(error, fabs((double)got[j] - (double)want[j]));
        }
        ck_assert_msg(most > 0, "%s is 0", p->name);
        ck_assert_msg(error <= tolerance * most, "%s: %.2e", p->name, error / most);
    }
    free(got);
}

static const struct sr_design sr_designs[] = {
    {.network = SR_COMPACT, .scale = 2, .features = 16, .convs = 3},
    {.network = SR_COMPACT, .scale = 4, .features = 24, .convs = 2},
    {.network = SR_COMPACT, .scale = 1, .features = 8, .convs = 1},
    {.network = SR_SPAN, .scale = 2, .features = 8},
    {.network = SR_SPAN, .scale = 3, .features = 10, .norm = true, .merged = true},
    {.network = SR_ESRGAN, .scale = 2, .features = 8, .blocks = 1, .growth = 8, .unshuffle = 2},
};
enum { SR_DESIGNS = sizeof sr_designs / sizeof *sr_designs };

START_TEST(steps_are_those_of_the_cpu)
{
    const struct sr_mode mode = {.batch = SR_BATCH, .micro = SR_BATCH, .lq_size = SR_SIDE};
    struct sr_bench cpu, cuda;
    sr_bench_open(&cpu, false, &sr_designs[_i], &mode);
    sr_bench_open(&cuda, true, &sr_designs[_i], &mode);
    for (int step = 0; step < 5; step++) {
        struct sr_report want, got;
        sr_bench_step(&cpu, &want);
        sr_bench_step(&cuda, &got);
        if (step == 0) compare_gradients(&cpu, &cuda, 2e-5);
        double tolerance = step ? 1e-3 : 1e-6; /* Adam's first steps hang on signs */
        for (int t = 0; t <= SR_TERM_MSE; t++)
            ck_assert_msg(fabs(want.term[t] - got.term[t]) <= tolerance * want.term[t],
                          "step %d, term %d: %.9g, CPU %.9g", step, t, got.term[t], want.term[t]);
    }
    sr_bench_close(&cuda);
    sr_bench_close(&cpu);
}
END_TEST

/* Both round to bf16, but not after the same sums, and the sign of a small difference is the L1
 * loss. */
START_TEST(mixed_steps_are_near_those_of_the_cpu)
{
    const struct sr_mode mode = {.batch = 2, .micro = 2, .lq_size = SR_SIDE, .mixed = true};
    struct sr_bench cpu, cuda;
    struct sr_report want, got;
    sr_bench_open(&cpu, false, &sr_designs[_i], &mode);
    sr_bench_open(&cuda, true, &sr_designs[_i], &mode);
    sr_bench_step(&cpu, &want);
    sr_bench_step(&cuda, &got);
    compare_gradients(&cpu, &cuda, 0.1);
    ck_assert_msg(fabs(want.loss - got.loss) <= 1e-3 * want.loss, "%g, CPU %g", got.loss,
                  want.loss);
    sr_bench_close(&cuda);
    sr_bench_close(&cpu);
}
END_TEST

START_TEST(a_discriminator_learns_as_on_the_cpu)
{
    enum { SIDE = 8 };
    const struct sr_design design = {.network = SR_COMPACT, .scale = 2, .features = 16, .convs = 1};
    const struct sr_mode mode = {.batch = SR_BATCH, .micro = 2, .lq_size = SIDE};
    const struct sr_loss_choices losses = {
        .weight = {[SR_TERM_L1] = 1},
        .gan = {.design = {8, true}, .weight = 0.3, .feature_weight = 0.2, .every = 1}};
    struct sr_bench benches[2] = {{.step = 0}, {.step = 0}};
    for (int cuda = 0; cuda < 2; cuda++) {
        struct sr_bench *b = &benches[cuda];
        MUST(cuda ? cuda_open(&b->device) : device_open_cpu(&b->device, 1));
        b->plan = plan_create();
        ck_assert_ptr_nonnull(b->plan);
        MUST(sr_core_declare(&b->core, &design, &losses, &mode, b->device, b->plan));
        MUST(plan_commit(b->plan, b->device));
        sr_core_connect(&b->core);
        sr_core_initialise(&b->core, 1);
        MUST(sr_core_begin(&b->core));
    }
    const struct sr_rates rates = {.adam = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.99},
                                   .d = {.lr = 1e-3, .b1 = 0.9, .b2 = 0.99},
                                   .ema = 0.5};
    for (int step = 0; step < 4; step++) {
        struct sr_report r[2];
        for (int cuda = 0; cuda < 2; cuda++) {
            MUST(sr_train_step(&benches[cuda].core, &rates, sr_bench_fill, &benches[cuda]));
            MUST(sr_core_report(&benches[cuda].core, 0, &r[cuda]));
            benches[cuda].step++;
        }
        const double want[] = {r[0].gan.loss, r[0].gan.feature, r[0].gan.d_loss,
                               r[0].gan.score_real, r[0].gan.score_made};
        const double got[] = {r[1].gan.loss, r[1].gan.feature, r[1].gan.d_loss, r[1].gan.score_real,
                              r[1].gan.score_made};
        for (int k = 0; k < 5; k++)
            ck_assert_msg(fabs(got[k] - want[k]) <= (step ? 1e-3 : 1e-5) * (1 + fabs(want[k])),
                          "step %d, number %d: %.9g, CPU %.9g", step, k, got[k], want[k]);
    }
    sr_bench_close(&benches[1]);
    sr_bench_close(&benches[0]);
}
END_TEST

/* All that training has made, and an enlarged image. */
struct sr_trained {
    float *numbers;
    size_t floats;
};

static struct sr_trained train_in_mode(const struct sr_mode *mode, bool graphs, unsigned order)
{
    enum { W = 40, H = 26, STEPS = 4 };
    static float in[W * H * 3];
    struct sr_bench b;
    const struct sr_design *design = &sr_designs[0];
    const struct sr_rows rows = {in, W, H, 0, H};
    for (int i = 0; i < W * H * 3; i++)
        in[i] = philox_uniform(philox_draw(1, STREAM_TEST, 99, (uint64_t)i).v[0]);
    emu_stream_order(order);
    sr_bench_open(&b, true, design, mode);
    if (!graphs) b.device->graph_begin = NULL;
    for (int step = 0; step < STEPS; step++)
        sr_bench_step(&b, NULL);
    ck_assert((b.core.stepper.graph[0] != NULL) == graphs);
    size_t floats = b.core.net.net.floats;
    size_t image = (size_t)(W * H * 3 * design->scale * design->scale);
    struct sr_trained made = {.floats = TRAINED_RANGES * floats + image};
    made.numbers = malloc(made.floats * sizeof(float));
    ck_assert_ptr_nonnull(made.numbers);
    MUST(sr_core_enlarge(&b.core, &rows, 0, 0, W, H, made.numbers + TRAINED_RANGES * floats, NULL));
    for (int range = 0; range < TRAINED_RANGES; range++) {
        float *view;
        MUST(trained_net_pull(&b.core.net, b.device, (enum trained_range)range, &view));
        memcpy(made.numbers + (size_t)range * floats, view, floats * sizeof(float));
    }
    sr_bench_close(&b);
    emu_stream_order(0);
    return made;
}

START_TEST(memory_modes_change_no_bit)
{
    static const struct sr_mode modes[] = {
        {.batch = SR_BATCH, .micro = SR_BATCH, .lq_size = SR_SIDE},
        {.batch = SR_BATCH, .micro = SR_BATCH, .lq_size = SR_SIDE, .checkpointing = true},
        {.batch = SR_BATCH, .micro = 2, .lq_size = SR_SIDE},
        {.batch = SR_BATCH, .micro = 1, .lq_size = SR_SIDE, .checkpointing = true, .offload = true},
    };
    for (int mixed = 0; mixed < 2; mixed++) {
        struct sr_mode mode = modes[0];
        mode.mixed = mixed;
        struct sr_trained want = train_in_mode(&mode, false, 0);
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            mode = modes[i];
            mode.mixed = mixed;
            struct sr_trained got = train_in_mode(&mode, true, (unsigned)_i);
            ck_assert_uint_eq(got.floats, want.floats);
            ck_assert_msg(memcmp(want.numbers, got.numbers, want.floats * sizeof(float)) == 0,
                          "mode %zu%s", i, mixed ? ", mixed" : "");
            free(got.numbers);
        }
        free(want.numbers);
    }
}
END_TEST

/* ---- tiles ---- */

enum { TILED_W = 37, TILED_H = 29, TILED = 3 * TILED_W * TILED_H * 9 };

static void enlarge_in_tiles(bool cuda, int tile_h, int tile_w, float *out)
{
    static float in[TILED_W * TILED_H * 3];
    const struct sr_design design = {.network = SR_COMPACT, .scale = 3, .features = 16, .convs = 2};
    const struct sr_rows rows = {in, TILED_W, TILED_H, 0, TILED_H};
    struct sr_tiles tiles;
    struct device *device;
    struct net net;
    float *parameters, *host;
    struct plan *plan = plan_create();
    for (int i = 0; i < TILED_W * TILED_H * 3; i++)
        in[i] = philox_uniform(philox_draw(1, STREAM_TEST, 3, (uint64_t)i).v[0]);
    ck_assert_ptr_nonnull(plan);
    MUST(cuda ? cuda_open(&device) : device_open_cpu(&device, 1));
    MUST(sr_network_build(&net, &design, 1, 1, 0));
    MUST(plan_declare(plan, "parameters", PLAN_PARAMETERS, net.floats * sizeof(float), PLAN_ALWAYS,
                      (void **)&parameters));
    MUST(sr_tiles_declare(&tiles, &design, NULL, tile_h, tile_w, device, 0, plan));
    MUST(plan_commit(plan, device));
    host = calloc(net.floats, sizeof *host);
    ck_assert_ptr_nonnull(host);
    sr_network_initialise(&design, &net, host, 9);
    if (cuda)
        MUST(device_send(device, parameters, host, net.floats * sizeof *host));
    else
        memcpy(parameters, host, net.floats * sizeof *host);
    MUST(sr_tiles_enlarge(&tiles, parameters, &rows, 0, 0, TILED_W, TILED_H, out, NULL));
    free(host);
    net_free(&net);
    sr_tiles_close(&tiles);
    plan_free(plan);
    device_close(device);
}

START_TEST(tiles_change_no_bit)
{
    static const int sides[][2] = {{12, 12}, {13, 20}, {16, TILED_W}, {TILED_H, 14}};
    static float cpu[TILED], want[TILED], got[TILED];
    enlarge_in_tiles(false, TILED_H, TILED_W, cpu);
    enlarge_in_tiles(true, TILED_H, TILED_W, want);
    for (int i = 0; i < TILED; i++)
        ck_assert_msg(fabsf(want[i] - cpu[i]) <= 1e-5f, "%d: %g, CPU %g", i, (double)want[i],
                      (double)cpu[i]);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        memset(got, 0, sizeof got);
        enlarge_in_tiles(true, sides[i][0], sides[i][1], got);
        ck_assert_msg(memcmp(want, got, sizeof want) == 0, "tiles of %d x %d", sides[i][1],
                      sides[i][0]);
    }
}
END_TEST

/* ---- the task ---- */

enum { STEPS = 14, FIRST_MOVE = 4, RESUME = 7, SECOND_MOVE = 10 };

/* The discriminator learns alone at first, and then in each second step. */
static struct config *sr_config(bool gan)
{
    static const char with_gan[] =
        "sr.discriminator: unet\nsr.num_feat_d: 8\nsr.gan_weight: 0.1\nsr.feature_weight: 0.1\n"
        "sr.net_d_init_iters: 3\nsr.net_d_iters: 2\nsr.grad_clip: 0.5\n";
    static const char text[] =
        "task: sr\nseed: 3\neval_steps: 2\n"
        "sr: {num_feat: 16, num_conv: 2, lq_size: 8, batch: 3, max_steps: 14, lr_g: 0.002,\n"
        "     val_every: 4}\n";
    struct config *config;
    char line[320], *override = line, all[640];
    draw_pictures("photos", 4, 36, 28);
    snprintf(line, sizeof line, "dataroot_gt=%s", in_folder("photos"));
    snprintf(all, sizeof all, "%s%s", text, gan ? with_gan : "");
    MUST(config_load_text(&config, "test", all, strlen(all), 1, &override));
    return config;
}

/* graphs: or the device does without them, as others do. */
struct sr_run {
    struct device *device;
    struct task_state *state;
    bool graphs;
    int row; /* of the modes that keep the bits, for open; below 0: from the last */
};

static int choose_row(void *context, const struct task_state *state, struct memory_mode *mode)
{
    struct memory_mode rows[TASK_MAX_MODES];
    const struct sr_run *r = context;
    const struct memory_work work = mode->work;
    int count = task_sr.modes(state, rows);
    while (rows[count - 1].amp)
        count--;
    *mode = rows[r->row < 0 ? count + r->row : r->row];
    mode->work = work;
    return OK;
}

static void sr_run_open(struct sr_run *r, const struct config *config,
                        const struct store_file *resume)
{
    MUST(cuda_open(&r->device));
    if (!r->graphs) r->device->graph_begin = NULL;
    struct task_setup setup = {.config = config,
                               .device = r->device,
                               .resume = resume,
                               .choose = choose_row,
                               .choose_context = r};
    MUST(task_sr.open(&r->state, &setup));
}

static void sr_run_close(struct sr_run *r)
{
    task_sr.close(r->state);
    ck_assert_uint_eq(r->device->used_bytes, 0);
    device_close(r->device);
}

/* With graphs, every third step is waited for; without, each. */
static void sr_run_steps(struct sr_run *r, int from, int to)
{
    struct task_report report;
    struct image frame = {0};
    bool seen[STEPPER_KINDS] = {false};
    for (int step = from; step < to; step++) {
        const struct stepper *stepper = &r->state->core->stepper;
        MUST(task_sr.step(r->state, step, !r->graphs || step % 3 == 0, &report));
        ck_assert(isfinite(report.loss));
        /* the first step of a kind in a mode is done without a graph */
        ck_assert((stepper->graph[stepper->kind] != NULL) == (r->graphs && seen[stepper->kind]));
        seen[stepper->kind] = true;
    }
    MUST(task_sr.image(r->state, 0, &frame));
    image_free(&frame);
}

static struct store_file *sr_run_save(struct sr_run *r, int step, const char *name)
{
    struct store_file *file;
    struct store_writer *writer = store_writer_create();
    MUST(task_sr.save(r->state, writer));
    MUST(store_set_int(writer, "step", step));
    MUST(store_write(writer, in_folder(name), false));
    store_writer_free(writer);
    MUST(store_open(&file, in_folder(name)));
    return file;
}

static void sr_run_move(struct sr_run *r, int row)
{
    struct memory_mode mode = *task_sr.mode(r->state);
    r->row = row;
    MUST(choose_row(r, r->state, &mode));
    MUST(task_sr.replan(r->state, &mode));
    ck_assert_ptr_null(r->state->core->stepper.graph[0]);
}

static const char *const numbers[] = {"sr.v_missing", "sr.m_missing", "sr.best_step",
                                      "sr.best_psnr_y"};

/* Without graphs in one mode; with them through three (the last one with its state beside the
 * device), stopped and resumed, with the device's queues in that order. */
static void check_graphs(bool gan, unsigned order)
{
    struct sr_run plain = {.graphs = false}, graph = {.graphs = true};
    struct config *config = sr_config(gan);
    sr_run_open(&plain, config, NULL);
    sr_run_steps(&plain, 0, STEPS);
    struct store_file *want = sr_run_save(&plain, STEPS, "plain");
    sr_run_close(&plain);

    emu_stream_order(order);
    sr_run_open(&graph, config, NULL);
    sr_run_steps(&graph, 0, FIRST_MOVE);
    sr_run_move(&graph, 1);
    sr_run_steps(&graph, FIRST_MOVE, RESUME);
    struct store_file *middle = sr_run_save(&graph, RESUME, "middle");
    sr_run_close(&graph);
    emu_stream_order(order);
    sr_run_open(&graph, config, middle);
    sr_run_steps(&graph, RESUME, SECOND_MOVE);
    sr_run_move(&graph, -1);
    ck_assert(graph.state->core->mode.offload);
    sr_run_steps(&graph, SECOND_MOVE, STEPS);
    struct store_file *got = sr_run_save(&graph, STEPS, "graph");
    sr_run_close(&graph);
    emu_stream_order(0);

    ck_assert_int_eq(store_count(got), store_count(want));
    for (int t = 0; t < store_count(want); t++) {
        const struct store_tensor *p = store_at(want, t), *q = store_find(got, p->name);
        ck_assert_msg(q && memcmp(p->data, q->data, p->bytes) == 0, "%s", p->name);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        ck_assert_str_eq(store_get(want, numbers[i]), store_get(got, numbers[i]));
    store_close(want);
    store_close(middle);
    store_close(got);
    config_free(config);
}

START_TEST(graphs_change_no_bit)
{
    check_graphs(false, (unsigned)_i);
}
END_TEST

START_TEST(graphs_change_no_bit_of_a_discriminator)
{
    check_graphs(true, (unsigned)_i);
}
END_TEST

#ifdef CUDA_EMU
/* What a step asks of the host once it has run before, in device memory or beside it, by graph or
 * without: no memory, always the same, patches in and sums out, and no wait but for the places of
 * the inputs, which the step before the last has left. */
START_TEST(steps_ask_for_little)
{
    enum { WARM = 4, COUNTED = 4 };
    struct sr_mode mode = {.batch = SR_BATCH, .micro = SR_BATCH, .lq_size = SR_SIDE};
    struct sr_bench b;
    struct emu_counts first = {0};
    bool graphs = _i % 2;
    mode.offload = mode.checkpointing = _i / 2;
    sr_bench_open(&b, true, &sr_designs[0], &mode);
    if (!graphs) b.device->graph_begin = NULL;
    for (int step = 0; step < WARM + COUNTED; step++) {
        struct emu_counts before = emu_counts_now(), used;
        sr_bench_step(&b, NULL);
        used = emu_counts_since(&before);
        if (step < WARM) continue;
        if (step == WARM) first = used;
        expect_no_memory_calls(&used, "a step");
        expect_same_calls(&used, &first);
    }
    ck_assert_int_le(emu_waits(&first), 1);
    ck_assert_int_eq(first.stream_waits + first.device_waits + first.queries, 0);
    ck_assert_int_eq(first.graph_launches, graphs);
    long long patches = SR_BATCH * SR_SIDE * SR_SIDE * 3 * 5 * (long long)sizeof(float);
    if (!mode.offload) ck_assert_int_le(first.bytes_in, patches + 1024);
    if (!mode.offload)
        ck_assert_int_le(first.bytes_out, b.core.stepper.sum_count * (long long)sizeof(double));
    if (graphs) {
        ck_assert_int_eq(first.launches + first.sets, 0);
        ck_assert_int_le(first.copies + first.marks, 8);
    }
    sr_bench_close(&b);
}
END_TEST
#endif

Suite *cuda_sr_suite(void)
{
    Suite *suite = suite_create("cuda_sr");
    if (!cuda_here("cuda_sr")) return suite;
    TCase *tests = tcase_create("sr");
    tcase_add_checked_fixture(tests, set_up, folder_remove);
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, steps_are_those_of_the_cpu, 0, SR_DESIGNS);
    tcase_add_loop_test(tests, mixed_steps_are_near_those_of_the_cpu, 0, SR_DESIGNS);
    tcase_add_loop_test(tests, memory_modes_change_no_bit, 0, stream_orders > 1 ? 4 : 1);
    tcase_add_test(tests, tiles_change_no_bit);
    tcase_add_loop_test(tests, graphs_change_no_bit, 0, stream_orders > 1 ? 2 : 1);
    tcase_add_loop_test(tests, graphs_change_no_bit_of_a_discriminator, 0,
                        stream_orders > 1 ? 2 : 1);
    tcase_add_test(tests, a_discriminator_learns_as_on_the_cpu);
#ifdef CUDA_EMU
    tcase_add_loop_test(tests, steps_ask_for_little, 0, 4);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
