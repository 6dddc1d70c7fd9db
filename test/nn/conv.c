/* The fast convolutions against sums in double precision, for every instruction set of this
 * machine, odd sizes, every epilogue, and any number of threads. */
#include "base/threads.h"
#include "cpu/isa.h"
#include "device/nn_ops.h"
#include "test/nn/nn_stored.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct nn_conv shapes[] = {
    /* n, h, w, cin, cout, kernel, groups, slice */
    {1, 1, 1, 16, 16, 1, 1, 1, NN_F32, NN_F32},
    {5, 1, 1, 64, 24, 1, 1, 2, NN_F32, NN_F32},
    {2, 3, 5, 3, 16, 1, 1, 1, NN_F32, NN_F32},
    {3, 7, 7, 40, 3, 1, 1, 2, NN_F32, NN_F32},
    {4, 5, 3, 32, 80, 1, 1, 2, NN_F32, NN_F32},
    {2, 7, 9, 128, 64, 1, 1, 2, NN_F32, NN_F32},
    {5, 13, 11, 48, 136, 1, 1, 2, NN_F32, NN_F32},
    {4, 24, 24, 16, 32, 1, 1, 4, NN_F32, NN_F32},
    {2, 12, 11, 21, 30, 1, 1, 2, NN_F32, NN_F32},
    {1, 1, 1, 16, 16, 3, 1, 1, NN_F32, NN_F32},
    {5, 3, 5, 32, 32, 3, 2, 2, NN_F32, NN_F32},
    {3, 7, 7, 48, 48, 3, 3, 1, NN_F32, NN_F32},
    {4, 4, 4, 256, 256, 3, 16, 2, NN_F32, NN_F32},
    {2, 9, 16, 16, 16, 3, 1, 2, NN_F32, NN_F32},
    {4, 34, 31, 16, 16, 3, 1, 4, NN_F32, NN_F32},
    {2, 5, 7, 3, 16, 3, 1, 1, NN_F32, NN_F32}, /* dense */
    {3, 7, 6, 3, 64, 3, 1, 2, NN_F32, NN_F32},
    {2, 6, 5, 16, 12, 3, 1, 2, NN_F32, NN_F32},
    {1, 1, 1, 24, 24, 3, 1, 1, NN_F32, NN_F32},
    {2, 13, 9, 24, 32, 3, 1, 2, NN_F32, NN_F32},
    {2, 4, 7, 48, 52, 3, 1, 1, NN_F32, NN_F32},
    {4, 9, 17, 64, 64, 3, 1, 2, NN_F32, NN_F32},
    {1, 2, 3, 64, 48, 3, 1, 1, NN_F32, NN_F32},
    {1, 5, 6, 64, 27, 3, 1, 1, NN_F32, NN_F32},
    {1, 7, 8, 96, 7, 3, 1, 1, NN_F32, NN_F32},
    {1, 34, 31, 1, 5, 3, 1, 1, NN_F32, NN_F32},
    {1, 5, 5, 200, 170, 3, 1, 1, NN_F32, NN_F32},
    {1, 3, 4, 3, 3, 3, 1, 1, NN_F32, NN_F32},
    {2, 7, 9, 24, 48, 3, 1, 1, NN_BF16, NN_BF16},
    {1, 7, 9, 3, 24, 3, 1, 1, NN_F32, NN_BF16},
    {1, 7, 9, 24, 12, 3, 1, 1, NN_BF16, NN_F32},
    {2, 5, 4, 8, 16, 3, 2, 1, NN_F32, NN_F32}, /* not a fast one: the reference */
    {1, 1, 1, 16, 16, 1, 1, 1, NN_BF16, NN_BF16},
    {5, 13, 11, 48, 136, 1, 1, 2, NN_BF16, NN_BF16},
    {4, 24, 24, 16, 32, 1, 1, 4, NN_BF16, NN_BF16},
    {3, 9, 7, 32, 16, 1, 1, 2, NN_BF16, NN_BF16},
    {2, 7, 9, 128, 64, 1, 1, 1, NN_BF16, NN_BF16},
    {2, 12, 11, 24, 40, 1, 1, 2, NN_BF16, NN_BF16},
    {3, 9, 20, 3, 16, 1, 1, 2, NN_F32, NN_BF16},
    {3, 9, 20, 40, 3, 1, 1, 2, NN_BF16, NN_F32},
    {2, 5, 9, 16, 32, 1, 1, 1, NN_BF16, NN_F32},
    {1, 1, 1, 16, 16, 3, 1, 1, NN_BF16, NN_BF16},
    {5, 3, 5, 32, 32, 3, 2, 2, NN_BF16, NN_BF16},
    {3, 7, 7, 48, 48, 3, 3, 1, NN_BF16, NN_BF16},
    {2, 9, 16, 16, 16, 3, 1, 2, NN_BF16, NN_BF16},
    {4, 34, 31, 16, 16, 3, 1, 4, NN_BF16, NN_BF16},
    {2, 32, 32, 64, 64, 3, 4, 2, NN_BF16, NN_BF16},
    {1, 5, 4, 16, 16, 3, 1, 1, NN_F32, NN_BF16}, /* the reference */
};
enum { SHAPES = sizeof shapes / sizeof *shapes, ISAS = 4 };

static const char *isa_now; /* for messages */

/* NULL where the machine lacks these instructions. */
static const struct nn_ops *ops_for(int isa)
{
    isa_now = cpu_isa_name((enum cpu_isa)isa);
    setenv("IMGTRAIN_ISA", isa_now, 1);
    return (int)cpu_isa() == isa ? nn_ops_cpu() : NULL;
}

static float *noise(size_t count, unsigned seed)
{
    float *x = malloc(count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525U + 1013904223U;
        x[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    return x;
}

struct data {
    struct nn_conv s;
    size_t pixels, weights_count;
    float *in, *dout, *weights, *bias, *residual;
    void *workspace;
};

static size_t inputs(const struct data *d)
{
    return d->pixels * (size_t)d->s.cin;
}

static size_t outputs(const struct data *d)
{
    return d->pixels * (size_t)d->s.cout;
}

static float *stored_noise(enum nn_type type, size_t count, unsigned seed)
{
    float *x = noise(count, seed);
    for (size_t i = 0; i < count; i++)
        x[i] = stored(type, x[i]);
    return x;
}

static struct data data_make(const struct nn_conv *s)
{
    struct data d = {.s = *s, .pixels = (size_t)(s->n * s->h * s->w)};
    d.weights_count = (size_t)(s->cout * (s->cin / s->groups) * s->kernel * s->kernel);
    enum nn_type mixed = s->in_type == NN_BF16 ? NN_BF16 : s->out_type;
    d.in = stored_noise(s->in_type, inputs(&d), 1);
    d.dout = stored_noise(s->out_type, outputs(&d), 2);
    d.weights = stored_noise(mixed, d.weights_count, 3);
    size_t most = inputs(&d) > outputs(&d) ? inputs(&d) : outputs(&d);
    d.bias = noise(most, 4);
    d.residual = stored_noise(mixed, most, 5);
    return d;
}

/* A new one for each instruction set. */
static void workspace_make(struct data *d, const struct nn_ops *ops)
{
    size_t bytes = (ops->conv_workspace(NULL, &d->s) + 63) / 64 * 64;
    free(d->workspace);
    d->workspace = bytes ? aligned_alloc(64, bytes) : NULL;
    if (bytes) memset(d->workspace, 0xff, bytes); /* NaN: nothing may rely on its content */
}

static void data_free(struct data *d)
{
    free(d->in), free(d->dout), free(d->weights), free(d->bias), free(d->residual);
    free(d->workspace);
}

/* Calls visit for each product of the convolution: input element, output element, weight. */
static void each_product(const struct nn_conv *s,
                         void (*visit)(void *, size_t i, size_t o, size_t w), void *arg)
{
    int ci = s->cin / s->groups, co = s->cout / s->groups, k = s->kernel, r = k / 2;
    for (int n = 0; n < s->n; n++)
        for (int y = 0; y < s->h; y++)
            for (int x = 0; x < s->w; x++)
                for (int o = 0; o < s->cout; o++)
                    for (int j = 0; j < ci * k * k; j++) {
                        int yy = y + j / k % k - r, xx = x + j % k - r;
                        if (yy < 0 || yy >= s->h || xx < 0 || xx >= s->w) continue;
                        int at = ((n * s->h + yy) * s->w + xx) * s->cin + o / co * ci + j / (k * k);
                        visit(arg, (size_t)at, (size_t)(((n * s->h + y) * s->w + x) * s->cout + o),
                              (size_t)(o * ci * k * k + j));
                    }
}

struct sums {
    const struct data *d;
    double *forward, *dgrad, *wgrad;
};

static void visit(void *arg, size_t i, size_t o, size_t w)
{
    struct sums *s = arg;
    s->forward[o] += (double)s->d->in[i] * (double)s->d->weights[w];
    s->dgrad[i] += (double)s->d->dout[o] * (double)s->d->weights[w];
    s->wgrad[w] += (double)s->d->in[i] * (double)s->d->dout[o];
}

static struct sums sums_make(const struct data *d)
{
    struct sums s = {d, calloc(outputs(d), sizeof(double)), calloc(inputs(d), sizeof(double)),
                     calloc(d->weights_count, sizeof(double))};
    each_product(&d->s, visit, &s);
    return s;
}

static void sums_free(struct sums *s)
{
    free(s->forward), free(s->dgrad), free(s->wgrad);
}

static void ck_close(const float *got, const double *want, size_t count, double tolerance,
                     enum nn_type type, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance + stored_error(type, want[i])))
            ck_abort_msg("%s: %s[%zu]: %.9g, wanted %.9g", isa_now, what, i, (double)got[i],
                         want[i]);
}

/* Of sums of so many products of numbers up to 1, and of those of the weights. */
static double tolerance_of(const struct nn_conv *s)
{
    int channels = (s->cin > s->cout ? s->cin : s->cout) / s->groups;
    int products = channels * s->kernel * s->kernel;
    return products > 256 ? 2e-5 * products / 256 : 2e-5;
}

static void check_sums(struct data *d, const struct nn_ops *ops, const struct sums *want)
{
    struct nn_epilogue plain = {.slope = 1};
    float *out = noise(outputs(d), 6), *din = noise(inputs(d), 7);
    stored_conv(ops, &d->s, 0, out, d->in, d->weights, &plain, d->workspace);
    stored_conv(ops, &d->s, 1, din, d->dout, d->weights, &plain, d->workspace);
    float *dw = noise(d->weights_count, 8);
    double *added = malloc(d->weights_count * sizeof *added);
    for (size_t i = 0; i < d->weights_count; i++)
        added[i] = want->wgrad[i] + (double)dw[i]; /* it accumulates */
    stored_wgrad(ops, &d->s, dw, d->in, d->dout, d->workspace);
    ck_close(out, want->forward, outputs(d), tolerance_of(&d->s), d->s.out_type, "forward");
    ck_close(din, want->dgrad, inputs(d), tolerance_of(&d->s), d->s.in_type, "dgrad");
    ck_close(dw, added, d->weights_count, 1e-4, NN_F32, "wgrad");
    free(out), free(din), free(dw), free(added);
}

/* What an epilogue makes of a sum; near zero the sign may differ, so it is taken from the mask. */
static double finish(double v, const struct nn_epilogue *e, const float *bias, size_t i, int c,
                     int positive)
{
    v += (double)bias[i % (size_t)c] + (double)((const float *)e->residual)[i];
    if (!positive) v *= (double)e->slope;
    if (e->mask_in && !(e->mask_in[i / 8] >> i % 8 & 1)) v *= (double)e->mask_slope;
    return v;
}

/* Bias, residual in place, leaky ReLU, mask out and mask in, all at once. */
static void check_epilogue(struct data *d, const struct nn_ops *ops, int adjoint,
                           const double *want)
{
    size_t count = adjoint ? inputs(d) : outputs(d);
    int channels = adjoint ? d->s.cin : d->s.cout;
    if (channels % 8 != 0) return;
    float *out = malloc(count * sizeof *out);
    double *finished = malloc(count * sizeof *finished);
    uint8_t *bits = malloc(count / 8), *mask = malloc(count / 8);
    memcpy(out, d->residual, count * sizeof *out);
    for (size_t i = 0; i < count / 8; i++)
        bits[i] = 0xa5, mask[i] = (uint8_t)(i * 37 >> 2);
    struct nn_epilogue e = {d->bias, out, 0.2F, bits, mask, 0.5F};
    stored_conv(ops, &d->s, adjoint, out, adjoint ? d->dout : d->in, d->weights, &e, d->workspace);
    e.residual = d->residual;
    for (size_t i = 0; i < count; i++) {
        double sum = want[i] + (double)d->bias[i % (size_t)channels] + (double)d->residual[i];
        int positive = bits[i / 8] >> i % 8 & 1;
        ck_assert_msg(fabs(sum) < tolerance_of(&d->s) || positive == (sum > 0), "mask %zu of %g", i,
                      sum);
        finished[i] = finish(want[i], &e, d->bias, i, channels, positive);
    }
    ck_close(out, finished, count, tolerance_of(&d->s), adjoint ? d->s.in_type : d->s.out_type,
             adjoint ? "dgrad epilogue" : "forward epilogue");
    free(out), free(finished), free(bits), free(mask);
}

START_TEST(sums_and_epilogues)
{
    struct data d = data_make(&shapes[_i]);
    struct sums want = sums_make(&d);
    for (int isa = 0; isa < ISAS; isa++) {
        const struct nn_ops *ops = ops_for(isa);
        if (!ops) continue;
        workspace_make(&d, ops);
        check_sums(&d, ops, &want);
        check_epilogue(&d, ops, 0, want.forward);
        check_epilogue(&d, ops, 1, want.dgrad);
    }
    sums_free(&want);
    data_free(&d);
}
END_TEST

static void run_all(struct data *d, const struct nn_ops *ops, float *out, float *din, float *dw)
{
    struct nn_epilogue e = {.slope = 1};
    memset(dw, 0, d->weights_count * sizeof *dw);
    stored_conv(ops, &d->s, 0, out, d->in, d->weights, &e, d->workspace);
    stored_conv(ops, &d->s, 1, din, d->dout, d->weights, &e, d->workspace);
    stored_wgrad(ops, &d->s, dw, d->in, d->dout, d->workspace);
}

static void ck_same(const float *a, const float *b, size_t count, const char *what)
{
    ck_assert_msg(memcmp(a, b, count * sizeof *a) == 0, "%s: %s differs", isa_now, what);
}

/* The weights' gradients once more, the batch cut between slices. */
static void wgrad_in_parts(const struct data *d, const struct nn_ops *ops, float *dw)
{
    size_t picture = d->pixels / (size_t)d->s.n;
    memset(dw, 0, d->weights_count * sizeof *dw);
    for (int n = 0; n < d->s.n; n += d->s.slice) {
        struct nn_conv part = d->s;
        part.n = d->s.n - n < d->s.slice ? d->s.n - n : d->s.slice;
        size_t at = (size_t)n * picture;
        stored_wgrad(ops, &part, dw, d->in + at * (size_t)d->s.cin,
                     d->dout + at * (size_t)d->s.cout, d->workspace);
    }
}

static void check_same_bits(struct data *d, const struct nn_ops *ops)
{
    size_t sizes[3] = {outputs(d), inputs(d), d->weights_count};
    float *one[3], *many[3];
    for (int i = 0; i < 3; i++)
        one[i] = noise(sizes[i], 9), many[i] = noise(sizes[i], 10);
    threads_set(1);
    run_all(d, ops, one[0], one[1], one[2]);
    for (int threads = 2; threads <= 5; threads += 3) {
        threads_set(threads);
        run_all(d, ops, many[0], many[1], many[2]);
        ck_same(one[0], many[0], sizes[0], "forward with more threads");
        ck_same(one[1], many[1], sizes[1], "dgrad with more threads");
        ck_same(one[2], many[2], sizes[2], "wgrad with more threads");
    }
    wgrad_in_parts(d, ops, many[2]);
    ck_same(one[2], many[2], sizes[2], "wgrad in parts");
    for (int i = 0; i < 3; i++)
        free(one[i]), free(many[i]);
}

/* The same bits with 1, 2 and 5 threads, and when the batch is cut between slices. */
START_TEST(same_bits)
{
    struct data d = data_make(&shapes[_i]);
    for (int isa = 0; isa < ISAS; isa++) {
        const struct nn_ops *ops = ops_for(isa);
        if (!ops) continue;
        workspace_make(&d, ops);
        check_same_bits(&d, ops);
    }
    data_free(&d);
}
END_TEST

/* Tiles of an image, cut at even coordinates, have the image's bits one pixel within their edges.
 */
static void check_tile(const struct data *d, const struct nn_ops *ops, const float *whole, int y0,
                       int x0, int h, int w)
{
    struct nn_conv s = d->s;
    struct nn_epilogue e = {.bias = d->bias, .slope = 0.2F};
    size_t ci = (size_t)s.cin, co = (size_t)s.cout, row = (size_t)w * co;
    float *in = malloc((size_t)(h * w) * ci * sizeof *in), *out = noise((size_t)h * row, 12);
    for (int y = 0; y < h; y++)
        memcpy(in + (size_t)(y * w) * ci, d->in + (size_t)((y0 + y) * s.w + x0) * ci,
               (size_t)w * ci * sizeof *in);
    s.n = 1;
    s.h = h;
    s.w = w;
    stored_conv(ops, &s, 0, out, in, d->weights, &e, d->workspace);
    int left = x0 > 0, right = x0 + w<d->s.w, top = y0> 0, bottom = y0 + h < d->s.h;
    for (int y = top; y < h - bottom; y++)
        ck_same(out + ((size_t)(y * w) + (size_t)left) * co,
                whole + (size_t)((y0 + y) * d->s.w + x0 + left) * co,
                (size_t)(w - left - right) * co, "a tile");
    free(in), free(out);
}

START_TEST(tiles_have_the_bits_of_the_image)
{
    static const struct nn_conv all[] = {{1, 29, 38, 3, 24, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 24, 24, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 16, 16, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 64, 12, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 24, 24, 3, 1, 1, NN_BF16, NN_BF16}};
    struct data d = data_make(&all[_i]);
    for (int isa = 0; isa < ISAS; isa++) {
        const struct nn_ops *ops = ops_for(isa);
        struct nn_epilogue e = {.bias = d.bias, .slope = 0.2F};
        if (!ops) continue;
        float *whole = noise(outputs(&d), 11);
        workspace_make(&d, ops);
        stored_conv(ops, &d.s, 0, whole, d.in, d.weights, &e, d.workspace);
        check_tile(&d, ops, whole, 0, 0, 29, 38);
        check_tile(&d, ops, whole, 0, 0, 13, 17);
        check_tile(&d, ops, whole, 10, 6, 9, 32);
        check_tile(&d, ops, whole, 2, 30, 27, 8);
        check_tile(&d, ops, whole, 16, 14, 6, 5);
        free(whole);
    }
    data_free(&d);
}
END_TEST

Suite *conv_suite(void);
Suite *conv_suite(void)
{
    Suite *suite = suite_create("conv");
    TCase *tests = tcase_create("conv");
    tcase_add_loop_test(tests, sums_and_epilogues, 0, SHAPES);
    tcase_add_loop_test(tests, same_bits, 0, SHAPES);
    tcase_add_loop_test(tests, tiles_have_the_bits_of_the_image, 0, 5);
    suite_add_tcase(suite, tests);
    return suite;
}
