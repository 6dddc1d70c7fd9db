/* make gpu-bench: operations of the CUDA device, one a line: time, bytes and operations a second,
 * and their share of what this very GPU reaches with a plain copy and with plain arithmetic. */
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "cuda/ceilings.h"
#include "cuda/device_cuda.h"
#include "device/device.h"
#include "device/nn_ops.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* -s: a rehearsal, where nothing is fast. */
static struct {
    int times, inner, images, side, multiply;
    size_t room, floats, ceiling;
} sizes = {20, 10, 64, 32, 4096, (size_t)512 << 20, (size_t)32 << 20, (size_t)256 << 20};

struct bench {
    struct device *device;
    const struct nn_ops *nn;
    struct cuda_ceilings ceilings;
    char *a, *b, *c; /* sizes.room each */
};

/* Runs once; says how many bytes it must move and how many operations it does at least. A negative
 * `bytes` says that the device has no such operation. */
struct work {
    double bytes, flops;
    int tensor; /* operations are those of tensor cores */
};
typedef struct work bench_op(struct bench *bench);

static void bench_check(int code)
{
    if (code == OK) return;
    fprintf(stderr, "%s\n", error_message());
    exit(1);
}

static struct work run_zero(struct bench *t)
{
    bench_check(t->nn->zero(t->device, t->a, sizes.floats * sizeof(float)));
    return (struct work){.bytes = 4.0 * (double)sizes.floats};
}

static struct work run_copy(struct bench *t)
{
    bench_check(t->nn->copy(t->device, t->a, t->b, sizes.floats * sizeof(float)));
    return (struct work){.bytes = 8.0 * (double)sizes.floats};
}

/* Rates that are 0: the work is the same. */
enum { RATES = 256 };
static void *behind(const struct bench *t)
{
    return t->c + sizes.floats * sizeof(float);
}

/* Numbers all over `room`, as GPUs are faster with zeros, which switch less: bf16 from 0.5 to 1, of
 * either sign, and such pairs as floats. `second`: of no sign, as Adam has its second moments. */
static int fill(struct bench *t, char *room, uint64_t stream, bool second)
{
    enum { PATTERN = 1 << 20 };
    uint16_t *pattern = malloc(PATTERN);
    if (!pattern) return fail(ERR_SYSTEM, "out of memory");
    for (size_t i = 0; i < PATTERN / sizeof *pattern; i++) {
        uint32_t draw = philox_draw(1, STREAM_TEST, stream, i).v[0];
        pattern[i] = (uint16_t)(0x3f00U | (draw & 0x7fU) | (second ? 0 : draw & 0x8000U));
    }
    int code = t->device->upload(t->device, room, pattern, PATTERN);
    if (code == OK) code = t->device->synchronize(t->device);
    free(pattern);
    for (size_t done = PATTERN; code == OK && done < sizes.room; done *= 2)
        code = t->nn->copy(t->device, room + done, room,
                           done < sizes.room - done ? done : sizes.room - done);
    return code;
}

static struct work run_adam(struct bench *t)
{
    bench_check(t->nn->adam(t->device, (float *)t->a, NULL, (float *)t->b, (const float *)t->c,
                            sizes.floats, behind(t)));
    return (struct work){.bytes = 20.0 * (double)sizes.floats};
}

static struct work run_ema(struct bench *t)
{
    bench_check(t->nn->ema(t->device, (float *)t->a, (const float *)t->b, sizes.floats, behind(t)));
    return (struct work){.bytes = 12.0 * (double)sizes.floats};
}

static struct work run_fir_up(struct bench *t)
{
    const int n = sizes.images, side = sizes.side, c = 128;
    if (!t->nn->fir_up) return (struct work){.bytes = -1};
    struct nn_fir fir = {t->a, t->b, NN_BF16, NN_BF16, n, side, side, c, 4, false};
    bench_check(t->nn->fir_up(t->device, &fir));
    return (struct work){.bytes = 2.0 * 5 * n * side * side * c};
}

static struct work run_fir_down(struct bench *t)
{
    const int n = sizes.images, side = sizes.side, c = 128;
    if (!t->nn->fir_down) return (struct work){.bytes = -1};
    struct nn_fir fir = {t->a, t->b, NN_BF16, NN_BF16, n, side, side, c, 1, false};
    bench_check(t->nn->fir_down(t->device, &fir));
    return (struct work){.bytes = 2.0 * 5 * n * side * side * c};
}

/* The two convolutions that the networks consist of: 1x1, and 3x3 with 16 channels a group. */
static struct nn_conv shapes[] = {
    {.n = 64,
     .h = 32,
     .w = 32,
     .cin = 256,
     .cout = 512,
     .kernel = 1,
     .groups = 1,
     .chunk = 4,
     .in_type = NN_BF16,
     .out_type = NN_BF16},
    {.n = 64,
     .h = 32,
     .w = 32,
     .cin = 512,
     .cout = 512,
     .kernel = 3,
     .groups = 32,
     .chunk = 4,
     .in_type = NN_BF16,
     .out_type = NN_BF16},
};

static struct work conv_work(const struct nn_conv *s)
{
    double pixels = (double)s->n * s->h * s->w, taps = (double)s->kernel * s->kernel;
    return (struct work){.bytes = 2 * pixels * (s->cin + s->cout),
                         .flops = 2 * pixels * taps * s->cin * s->cout / s->groups,
                         .tensor = 1};
}

/* Weights in the first MiB of c, scratch behind it. */
enum { WEIGHTS = 4 << 20 };

static struct work conv(struct bench *t, const struct nn_conv *s, char direction)
{
    const struct nn_epilogue plain = {.slope = 1};
    float *weights = (float *)t->c;
    void *workspace = t->c + WEIGHTS;
    if (!t->nn->conv_forward || t->nn->conv_workspace(t->device, s) > sizes.room - WEIGHTS)
        return (struct work){.bytes = -1};
    if (direction == 'f')
        bench_check(t->nn->conv_forward(t->device, s, t->a, t->b, weights, &plain, workspace));
    else if (direction == 'd')
        bench_check(t->nn->conv_dgrad(t->device, s, t->a, t->b, weights, &plain, workspace));
    else
        bench_check(t->nn->conv_wgrad(t->device, s, weights, t->a, t->b, workspace));
    return conv_work(s);
}

static struct work run_point(struct bench *t)
{
    return conv(t, &shapes[0], 'f');
}
static struct work run_point_dgrad(struct bench *t)
{
    return conv(t, &shapes[0], 'd');
}
static struct work run_point_wgrad(struct bench *t)
{
    return conv(t, &shapes[0], 'w');
}
static struct work run_group(struct bench *t)
{
    return conv(t, &shapes[1], 'f');
}
static struct work run_group_dgrad(struct bench *t)
{
    return conv(t, &shapes[1], 'd');
}
static struct work run_group_wgrad(struct bench *t)
{
    return conv(t, &shapes[1], 'w');
}

static const struct {
    const char *name;
    bench_op *run;
} ops[] = {
    {"zero 128 MiB", run_zero},
    {"copy 128 MiB", run_copy},
    {"adam 32 M", run_adam},
    {"ema 32 M", run_ema},
    {"fir up 64x32x32x128 bf16", run_fir_up},
    {"fir down 64x64x64x128 bf16", run_fir_down},
    {"1x1 64x32x32 256-512 bf16", run_point},
    {"  dgrad", run_point_dgrad},
    {"  wgrad", run_point_wgrad},
    {"3x3 64x32x32 512/32 bf16", run_group},
    {"  dgrad", run_group_dgrad},
    {"  wgrad", run_group_wgrad},
};

static int measure(struct bench *t, const char *name, bench_op *run)
{
    double best = (double)INFINITY;
    struct work w = run(t);
    TRY(t->device->synchronize(t->device));
    if (w.bytes < 0) {
        printf("%-28s not on this device\n", name);
        return OK;
    }
    for (int i = 0; i < sizes.times; i++) {
        double start = clock_seconds();
        for (int k = 0; k < sizes.inner; k++)
            run(t);
        TRY(t->device->synchronize(t->device));
        best = fmin(best, (clock_seconds() - start) / sizes.inner);
    }
    double flops = w.tensor ? t->ceilings.mma_flops : t->ceilings.fma_flops;
    printf("%-28s %9.1f us %8.1f GB/s %3.0f%%", name, 1e6 * best, 1e-9 * w.bytes / best,
           100 * w.bytes / best / t->ceilings.copy_bytes);
    if (w.flops > 0)
        printf(" %9.1f GFLOP/s %3.0f%%", 1e-9 * w.flops / best, 100 * w.flops / best / flops);
    putchar('\n');
    return OK;
}

/* One operation, or with -1 what the GPU reaches at best. */
static int run(struct bench *t, int op)
{
    size_t room = sizes.room;
    char **rooms[] = {&t->a, &t->b, &t->c};
    TRY(cuda_measure_ceilings(t->device, sizes.ceiling, sizes.multiply, sizes.inner, &t->ceilings));
    if (op < 0) {
        printf("%s\nceilings: copy %.0f GB/s, fp32 %.0f GFLOP/s, bf16 (mma.sync) %.0f GFLOP/s\n",
               t->device->name, 1e-9 * t->ceilings.copy_bytes, 1e-9 * t->ceilings.fma_flops,
               1e-9 * t->ceilings.mma_flops);
        return OK;
    }
    for (int i = 0; i < 3; i++) {
        void *memory;
        TRY(t->device->alloc(t->device, room, &memory));
        *rooms[i] = memory;
        TRY(fill(t, memory, (uint64_t)i, ops[op].run == run_adam && i == 1));
    }
    TRY(t->nn->zero(t->device, behind(t), RATES));
    TRY(measure(t, ops[op].name, ops[op].run));
    for (int i = 0; i < 3; i++)
        t->device->free(t->device, *rooms[i], room);
    return OK;
}

/* In a process of its own: a kernel that fails takes the device from its process for good. */
static bool run_apart(int op)
{
    int status = 1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct bench bench = {0};
        int code = device_open_cuda(&bench.device, 0, 0);
        if (code == OK) {
            bench.nn = bench.device->nn;
            code = run(&bench, op);
        }
        if (code < 0) printf("gpu-bench: %s: %s\n", op < 0 ? "" : ops[op].name, error_message());
        fflush(stdout);
        _exit(code < 0 ? error_exit_status(code) : 0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 1 && strcmp(argv[1], "-s") == 0) {
        sizes.times = sizes.inner = 1;
        sizes.images = shapes[0].n = shapes[1].n = 4;
        sizes.side = 4;
        for (int i = 0; i < 2; i++)
            shapes[i].h = shapes[i].w = 4;
        sizes.multiply = 4;
        sizes.room = (size_t)16 << 20;
        sizes.floats = (size_t)1 << 14;
        sizes.ceiling = (size_t)4 << 20;
    }
    if (!run_apart(-1)) return EXIT_FAILURE;
    for (int op = 0; op < (int)(sizeof ops / sizeof *ops); op++)
        failed += !run_apart(op);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
