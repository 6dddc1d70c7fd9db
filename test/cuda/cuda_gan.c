/* The GAN on CUDA beside the CPU: gradients of a D and a G step, a short training step by step, the
 * same bits for any micro-batch and scheme. */
#include "test/cuda/cuda_gan_bench.h"

Suite *cuda_gan_suite(void);

enum { STEPS = 5 };

/* Length of the difference in units of the length of `want`: one parameter's tensor. */
static double distance(const struct net_parameter *p, const float *want, const float *got)
{
    double most = 0, error = 0;
    for (size_t j = p->offset; j < p->offset + p->count; j++) {
        error += pow((double)got[j] - (double)want[j], 2);
        most += pow((double)want[j], 2);
    }
    ck_assert_msg(most > 0, "%s is 0", p->name);
    return sqrt(error / most);
}

static float *fetch_network(struct bench *b, bool d, bool gradients)
{
    struct trained_net *n = d ? &b->core.d : &b->core.g;
    return fetch(b, gradients ? n->gradients : n->parameters, &n->net);
}

static void compare(struct bench *cpu, struct bench *cuda, bool d, bool gradients, double tolerance)
{
    const struct net *net = d ? &cpu->core.d.net : &cpu->core.g.net;
    float *want = fetch_network(cpu, d, gradients), *got = fetch_network(cuda, d, gradients);
    for (int i = 0; i < net->parameter_count; i++) {
        double error = distance(&net->parameters[i], want, got);
        if (getenv("GAN_TEST_VERBOSE")) printf("%-20s %.1e\n", net->parameters[i].name, error);
        ck_assert_msg(error <= tolerance, "%s: %.2e", net->parameters[i].name, error);
    }
    free(want);
    free(got);
}

static void check(const char *name, double want, double got, double tolerance)
{
    ck_assert_msg(fabs(want - got) <= tolerance * fmax(1, fabs(want)), "%s: %.9g, CPU %.9g", name,
                  got, want);
}

static void compare_reports(const struct gan_report *a, const struct gan_report *b,
                            double tolerance)
{
    check("loss", a->loss, b->loss, tolerance);
    check("r1", a->r1, b->r1, tolerance);
    check("r2", a->r2, b->r2, tolerance);
    check("score_real", a->score_real, b->score_real, tolerance);
    check("score_fake", a->score_fake, b->score_fake, tolerance);
    check("units", a->units, b->units, 0);
}

static void compare_steps(enum gan_scheme scheme, double tolerance)
{
    struct bench cpu, cuda;
    struct gan_report a, b;
    bench_open(&cpu, false, 8, BATCH, scheme, false);
    bench_open(&cuda, true, 8, BATCH, scheme, false);
    MUST(gan_d_step(&cpu.core, fill, &cpu, 2, &a));
    MUST(gan_d_step(&cuda.core, fill, &cuda, 2, &b));
    compare_reports(&a, &b, tolerance);
    ck_assert_msg(b.invariant <= 1e-4, "identity off by %.2e", b.invariant);
    compare(&cpu, &cuda, true, true, tolerance);
    MUST(gan_g_step(&cpu.core, fill, &cpu, &a));
    MUST(gan_g_step(&cuda.core, fill, &cuda, &b));
    compare_reports(&a, &b, tolerance);
    compare(&cpu, &cuda, false, true, tolerance);
    bench_close(&cuda);
    bench_close(&cpu);
}

START_TEST(gradients_in_fp32)
{
    compare_steps(_i ? GAN_SCHEME_BLOCK : GAN_SCHEME_NONE, 2e-5);
}
END_TEST

/* bf16 on CUDA is as far from fp32 as bf16 on the CPU is: both round, but not the same sums. */
static void compare_rounding(struct bench benches[3], bool d)
{
    const struct net *net = d ? &benches[0].core.d.net : &benches[0].core.g.net;
    float *exact = fetch_network(&benches[0], d, true), *cpu = fetch_network(&benches[1], d, true);
    float *cuda = fetch_network(&benches[2], d, true);
    double rounded = 0;
    for (int i = 0; i < net->parameter_count; i++) {
        double by_cpu = distance(&net->parameters[i], exact, cpu);
        double by_cuda = distance(&net->parameters[i], exact, cuda);
        if (getenv("GAN_TEST_VERBOSE"))
            printf("%-20s %.1e, CPU %.1e\n", net->parameters[i].name, by_cuda, by_cpu);
        ck_assert_msg(by_cuda <= 2 * by_cpu + 5e-3, "%s: %.2e, CPU %.2e", net->parameters[i].name,
                      by_cuda, by_cpu);
        rounded = fmax(rounded, by_cuda);
    }
    ck_assert_msg(rounded > 1e-4, "nothing was rounded");
    free(exact);
    free(cpu);
    free(cuda);
}

START_TEST(gradients_in_bf16)
{
    struct bench benches[3]; /* CPU in fp32, CPU, CUDA */
    struct gan_report d[3], g[3];
    for (int i = 0; i < 3; i++) {
        bench_open(&benches[i], i == 2, 24, BATCH, GAN_SCHEME_NONE, i > 0);
        MUST(gan_d_step(&benches[i].core, fill, &benches[i], 2, &d[i]));
        MUST(gan_g_step(&benches[i].core, fill, &benches[i], &g[i]));
    }
    compare_reports(&d[1], &d[2], 2e-2);
    compare_reports(&g[1], &g[2], 2e-2);
    compare_rounding(benches, true);
    compare_rounding(benches, false);
    for (int i = 0; i < 3; i++)
        bench_close(&benches[i]);
}
END_TEST

START_TEST(five_steps_stay_together)
{
    struct bench cpu, cuda;
    struct gan_report d[2], g[2];
    bench_open(&cpu, false, 8, BATCH, GAN_SCHEME_NONE, false);
    bench_open(&cuda, true, 8, BATCH, GAN_SCHEME_NONE, false);
    for (int step = 0; step < STEPS; step++) {
        train_step(&cpu, step, &d[0], &g[0]);
        train_step(&cuda, step, &d[1], &g[1]);
        compare_reports(&d[0], &d[1], 1e-3);
        compare_reports(&g[0], &g[1], 1e-3);
    }
    ck_assert_ptr_nonnull(cuda.core.stepper.graph[0]);
    compare(&cpu, &cuda, true, false, 1e-3);
    compare(&cpu, &cuda, false, false, 1e-3);
    float z[9 * BATCH], pictures[2][BATCH * 8 * 12 * 3];
    const int labels[BATCH] = {2, 0, 1};
    net_normal(z, 9 * BATCH, 1, STREAM_TEST, 0, 0);
    MUST(gan_generate(&cpu.core, cpu.core.g.ema, z, labels, BATCH, pictures[0]));
    MUST(gan_generate(&cuda.core, cuda.core.g.ema, z, labels, BATCH, pictures[1]));
    for (int i = 0; i < BATCH * 8 * 12 * 3; i++)
        check("picture", (double)pictures[0][i], (double)pictures[1][i], 2e-3);
    bench_close(&cuda);
    bench_close(&cpu);
}
END_TEST

/* On CUDA too, memory is saved without changing a bit. */
START_TEST(no_choice_changes_a_bit)
{
    float *kept[2][2];
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct gan_report d, g;
        bench_open(&b, true, 8, i ? 1 : BATCH, i ? GAN_SCHEME_BLOCK : GAN_SCHEME_NONE, false);
        train_step(&b, 0, &d, &g);
        kept[i][0] = fetch(&b, b.core.d.parameters, &b.core.d.net);
        kept[i][1] = fetch(&b, b.core.g.ema, &b.core.g.net);
        if (i > 0) {
            ck_assert_mem_eq(kept[0][0], kept[1][0], b.core.d.net.floats * sizeof(float));
            ck_assert_mem_eq(kept[0][1], kept[1][1], b.core.g.net.floats * sizeof(float));
        }
        bench_close(&b);
    }
    for (int i = 0; i < 4; i++)
        free(kept[i / 2][i % 2]);
}
END_TEST

/* Three steps and pictures of the averaged generator, with the queues in order `_i`: state beside
 * the device changes no bit, and takes the bytes that were predicted. */
START_TEST(offload_changes_no_bit)
{
    float *kept[2], z[9 * BATCH], pictures[2][BATCH * 8 * 12 * 3];
    const int labels[BATCH] = {2, 0, 1};
    size_t bytes[2], resident = 0;
    net_normal(z, 9 * BATCH, 1, STREAM_TEST, 0, 0);
    for (int i = 0; i < 2; i++) {
        struct bench b;
        struct gan_report d, g;
        struct gan_mode choices = {.batch = BATCH, .micro = BATCH, .offload = i == 1};
        emu_stream_order(i ? (unsigned)_i : 0);
        bench_open_with(&b, true, 8, BATCH, choices);
        ck_assert_uint_eq(b.device->used_bytes - WORKSPACE, plan_device_bytes(b.plan));
        ck_assert_uint_eq(b.device->host_bytes, plan_host_bytes(b.plan));
        if (i == 0) resident = b.device->used_bytes;
        ck_assert(i == 0 || b.device->used_bytes + b.core.stepper.staging_bytes < resident);
        for (int step = 0; step < 3; step++)
            train_step(&b, step, &d, &g);
        kept[i] = fetch_state(&b, &bytes[i]);
        MUST(gan_generate(&b.core, b.core.g.ema, z, labels, BATCH, pictures[i]));
        bench_close(&b);
    }
    ck_assert_uint_eq(bytes[0], bytes[1]);
    ck_assert_mem_eq(kept[0], kept[1], bytes[0]);
    ck_assert_mem_eq(pictures[0], pictures[1], sizeof pictures[0]);
    free(kept[0]);
    free(kept[1]);
    emu_stream_order(0);
}
END_TEST

#ifdef CUDA_EMU
/* A launch that is refused, or a device that is lost, within a step: an error of that step, and of
 * nothing before. */
START_TEST(failures_are_errors)
{
    static const char *const faults[] = {"fail_launch=30", "fail_launch=150", "lose=90"};
    struct bench b;
    struct gan_report d, g;
    setenv("IMGTRAIN_EMU", faults[_i], 1); /* read when this process first asks for a device */
    bench_open(&b, true, 8, BATCH, GAN_SCHEME_NONE, false);
    int code = gan_d_step(&b.core, fill, &b, 2, &d);
    if (code == OK) code = gan_g_step(&b.core, fill, &b, &g);
    ck_assert_msg(code == ERR_DEVICE, "code %d", code);
    ck_assert_int_ne(error_message()[0], '\0');
    bench_close(&b);
}
END_TEST
#endif

Suite *cuda_gan_suite(void)
{
    Suite *suite = suite_create("cuda_gan");
    if (!cuda_here("cuda_gan")) return suite;
    TCase *tests = tcase_create("steps");
    tcase_add_checked_fixture(tests, NULL, cuda_close_left);
    tcase_add_loop_test(tests, gradients_in_fp32, 0, 2);
    tcase_add_test(tests, gradients_in_bf16);
    tcase_add_test(tests, five_steps_stay_together);
    tcase_add_test(tests, no_choice_changes_a_bit);
    tcase_add_loop_test(tests, offload_changes_no_bit, 0, stream_orders);
#ifdef CUDA_EMU
    const char *fork_mode = getenv("CK_FORK");
    if (fork_mode && strcmp(fork_mode, "no") == 0)
        test_skip("cuda_gan failures", "each needs a process of its own");
    else
        tcase_add_loop_test(tests, failures_are_errors, 0, 3);
#endif
    suite_add_tcase(suite, tests);
    return suite;
}
