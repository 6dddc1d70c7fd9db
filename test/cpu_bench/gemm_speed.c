/* Products of rows with a matrix beside OpenBLAS, which is opened if it is there: one thread, its
 * processor time, both in turns, so that whatever else the machine does hits both.
 *
 *     gemm_speed [ROUNDS [M,K,N ...]]
 *
 * IMGTRAIN_ISA=avx2 holds both to AVX2. OPENBLAS names another library. */
#include "base/threads.h"
#include "cpu/isa.h"
#include "device/token_ops.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
typedef void sgemm_function(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c,
                            int ldc);

static sgemm_function *sgemm;
static const struct token_ops *ops;

struct operands {
    struct token_linear l;
    float *x, *y, *w, *dw;
    void *workspace;
};

enum { FORWARD, DGRAD, WGRAD, KINDS };

static void ours(const struct operands *o, int kind)
{
    static const struct token_epilogue none = {0};
    if (kind == FORWARD) ops->linear_forward(NULL, &o->l, o->y, o->x, &none, o->workspace);
    if (kind == DGRAD) ops->linear_dgrad(NULL, &o->l, o->x, o->y, false, o->workspace);
    if (kind == WGRAD) ops->linear_wgrad(NULL, &o->l, o->dw, NULL, o->x, o->y, o->workspace);
}

static void theirs(const struct operands *o, int kind)
{
    int m = o->l.rows, k = o->l.in, n = o->l.out;
    if (kind == FORWARD)
        sgemm(ROW_MAJOR, NO_TRANS, TRANS, m, n, k, 1, o->x, k, o->w, k, 0, o->y, n);
    if (kind == DGRAD)
        sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, m, k, n, 1, o->y, n, o->w, k, 0, o->x, k);
    if (kind == WGRAD) sgemm(ROW_MAJOR, TRANS, NO_TRANS, n, k, m, 1, o->y, n, o->x, k, 1, o->dw, k);
}

static double thread_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double seconds_of(void (*product)(const struct operands *o, int kind),
                         const struct operands *o, int kind, int times)
{
    double begin = thread_seconds();
    for (int i = 0; i < times; i++)
        product(o, kind);
    return (thread_seconds() - begin) / times;
}

/* As a device's memory is. */
static void *huge_pages(size_t bytes)
{
    enum { PAGE = 2 << 20 };
    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    void *memory = aligned_alloc(PAGE, bytes);
    if (!memory) abort();
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static float *noise(size_t count)
{
    float *x = huge_pages(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)((i * 2654435761U >> 7) % 1000) * 0.002f - 1;
    return x;
}

static void compare(int m, int k, int n, int rounds)
{
    struct operands o = {.l = {.rows = m, .in = k, .out = n, .chunk = m}};
    size_t rows = (size_t)m, in = (size_t)k, out = (size_t)n;
    o.x = noise(rows * in), o.y = noise(rows * out);
    o.w = noise(in * out), o.dw = noise(in * out);
    o.l.weight = o.w;
    o.workspace = huge_pages(ops->linear_workspace(NULL, &o.l));
    double work = 2.0 * m * k * n;
    int times = (int)(5e8 / work) + 1;
    printf("%5d %5d %5d", m, k, n);
    for (int kind = 0; kind < KINDS; kind++) {
        double a = 0, b = 0, least_a = 1e9, least_b = 1e9;
        for (int r = -1; r < rounds; r++) { /* the first one warms up */
            double one = seconds_of(ours, &o, kind, times);
            double other = sgemm ? seconds_of(theirs, &o, kind, times) : 0;
            if (r < 0) continue;
            a += one, b += other;
            if (one < least_a) least_a = one;
            if (other < least_b) least_b = other;
        }
        printf("  |%7.1f %6.2f (%.2f)", work * rounds / a * 1e-9, b / a, least_b / least_a);
        fflush(stdout);
    }
    puts("");
    free(o.x), free(o.y), free(o.w), free(o.dw), free(o.workspace);
}

int main(int argc, char **argv)
{
    static const int shapes[][3] = {{256, 64, 192},    {1024, 256, 1024},  {1024, 384, 1536},
                                    {544, 3840, 3840}, {544, 3840, 10240}, {544, 10240, 3840}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    const char *library = getenv("OPENBLAS");
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    /* else it takes its oldest kernels on a CPU that is newer than it */
    if (cpu_isa() > CPU_ISA_BASE)
        setenv("OPENBLAS_CORETYPE", cpu_isa() == CPU_ISA_AVX2 ? "Haswell" : "SkylakeX", 0);
    void *opened = dlopen(library ? library : "libopenblas.so.0", RTLD_NOW);
    if (opened) *(void **)&sgemm = dlsym(opened, "cblas_sgemm");
    if (!sgemm) printf("no OpenBLAS to compare with (Debian: libopenblas0-pthread)\n");
    const char *(*core)(void) = NULL;
    if (opened) *(void **)&core = dlsym(opened, "openblas_get_corename");
    threads_set(1);
    ops = token_ops_cpu();
    printf("%s; OpenBLAS: %s\nGFLOP/s, times OpenBLAS (of the quickest calls)\n",
           cpu_isa_name(cpu_isa()), core ? core() : "-");
    printf("    m     k     n  | forward              | dgrad                | wgrad\n");
    for (int i = 0; argc < 3 && i < SHAPES; i++)
        compare(shapes[i][0], shapes[i][1], shapes[i][2], rounds);
    for (int i = 2, m, k, n; i < argc; i++)
        if (sscanf(argv[i], "%d,%d,%d", &m, &k, &n) == 3) compare(m, k, n, rounds);
    return 0;
}
