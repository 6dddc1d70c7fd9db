/* A batch may be cut between chunks, an image into tiles: the bits stay the same, for every
 * instruction set of this machine. What else convolutions must do is asked by the table of cases,
 * whose shapes these are (test/device/op_cases.c). */
#include "check/op_kinds.h"
#include "cpu/isa.h"
#include "test/nn/nn_stored.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { ISAS = 4, REFERENCE = ISAS };

/* NULL where the machine lacks these instructions. */
static const struct nn_ops *ops_for(int isa)
{
    if (isa == REFERENCE) return nn_ops_reference();
    setenv("IMGTRAIN_ISA", cpu_isa_name((enum cpu_isa)isa), 1);
    return (int)cpu_isa() == isa ? nn_ops_cpu() : NULL;
}

static float *stored_noise(const char *name, enum nn_type type, size_t count)
{
    float *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = stored(type, (float)(2 * op_uniform(name, i) - 1));
    return x;
}

/* Not a chunk at a time, too: a wave of them, where the last one is shorter. */
static void check_cut(const struct nn_ops *ops, const struct nn_conv *s, const float *in,
                      const float *dout, float *whole, float *parts, size_t weights, int chunks)
{
    size_t bytes = (ops->conv_workspace(NULL, s) + 63) / 64 * 64, picture = (size_t)(s->h * s->w);
    void *workspace = bytes ? aligned_alloc(64, bytes) : NULL;
    memset(whole, 0, weights * sizeof *whole);
    memset(parts, 0, weights * sizeof *parts);
    stored_wgrad(ops, s, whole, in, dout, workspace);
    for (int n = 0; n < s->n; n += chunks * s->chunk) {
        struct nn_conv part = *s;
        part.n = s->n - n < chunks * s->chunk ? s->n - n : chunks * s->chunk;
        size_t at = (size_t)n * picture;
        stored_wgrad(ops, &part, parts, in + at * (size_t)s->cin, dout + at * (size_t)s->cout,
                     workspace);
    }
    ck_assert_msg(memcmp(whole, parts, weights * sizeof *whole) == 0,
                  "%s: %d to %d channels, kernel %d: other bits by %d chunks", ops->name, s->cin,
                  s->cout, s->kernel, chunks);
    free(workspace);
}

START_TEST(wgrad_does_not_depend_on_the_cut)
{
    struct op_case c;
    op_case_make(&c, &op_conv_wgrad, _i);
    const struct nn_conv *s = &c.conv;
    size_t pixels = (size_t)(s->n * s->h * s->w), weights = c.operands[op_find(&c, "dw")].count;
    if (c.large) return;
    float *in = stored_noise("in", s->in_type, pixels * (size_t)s->cin);
    float *dout = stored_noise("dout", s->out_type, pixels * (size_t)s->cout);
    float *whole = malloc(weights * sizeof *whole), *parts = malloc(weights * sizeof *parts);
    ck_assert(whole && parts);
    for (int isa = 0; isa <= REFERENCE; isa++) {
        const struct nn_ops *ops = ops_for(isa);
        for (int chunks = 1; ops && chunks <= 2; chunks++)
            check_cut(ops, s, in, dout, whole, parts, weights, chunks);
    }
    free(in), free(dout), free(whole), free(parts);
}
END_TEST

/* A convolution of an image that is cut into tiles. */
struct tiled {
    struct nn_conv s;
    float *in, *weights, *bias;
    void *workspace;
};

/* Tiles of an image, cut at even coordinates, have the image's bits one pixel within their edges.
 */
static void check_tile(const struct tiled *d, const struct nn_ops *ops, const float *whole, int y0,
                       int x0, int h, int w)
{
    struct nn_conv s = d->s;
    struct nn_epilogue e = {.bias = d->bias, .slope = 0.2F};
    size_t ci = (size_t)s.cin, co = (size_t)s.cout, row = (size_t)w * co;
    float *in = malloc((size_t)(h * w) * ci * sizeof *in),
          *out = stored_noise("out", NN_F32, (size_t)h * row);
    for (int y = 0; y < h; y++)
        memcpy(in + (size_t)(y * w) * ci, d->in + (size_t)((y0 + y) * s.w + x0) * ci,
               (size_t)w * ci * sizeof *in);
    s.n = 1;
    s.h = h;
    s.w = w;
    stored_conv(ops, &s, 0, out, in, d->weights, &e, d->workspace);
    int left = x0 > 0, right = x0 + w<d->s.w, top = y0> 0, bottom = y0 + h < d->s.h;
    for (int y = top; y < h - bottom; y++)
        ck_assert_msg(memcmp(out + ((size_t)(y * w) + (size_t)left) * co,
                             whole + (size_t)((y0 + y) * d->s.w + x0 + left) * co,
                             (size_t)(w - left - right) * co * sizeof *out) == 0,
                      "%s: a tile differs", ops->name);
    free(in), free(out);
}

START_TEST(tiles_have_the_bits_of_the_image)
{
    static const struct nn_conv all[] = {{1, 29, 38, 3, 24, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 24, 24, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 16, 16, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 64, 12, 3, 1, 1, NN_F32, NN_F32},
                                         {1, 29, 38, 24, 24, 3, 1, 1, NN_BF16, NN_BF16}};
    struct tiled d = {.s = all[_i]};
    size_t pixels = (size_t)(d.s.h * d.s.w), cin = (size_t)d.s.cin, cout = (size_t)d.s.cout;
    d.in = stored_noise("in", d.s.in_type, pixels * cin);
    d.weights = stored_noise("weights", d.s.in_type, cin * cout * 9);
    d.bias = stored_noise("bias", NN_F32, cout);
    for (int isa = 0; isa < ISAS; isa++) {
        const struct nn_ops *ops = ops_for(isa);
        struct nn_epilogue e = {.bias = d.bias, .slope = 0.2F};
        if (!ops) continue;
        float *whole = stored_noise("whole", NN_F32, pixels * cout);
        size_t bytes = (ops->conv_workspace(NULL, &d.s) + 63) / 64 * 64;
        d.workspace = bytes ? aligned_alloc(64, bytes) : NULL;
        stored_conv(ops, &d.s, 0, whole, d.in, d.weights, &e, d.workspace);
        check_tile(&d, ops, whole, 0, 0, 29, 38);
        check_tile(&d, ops, whole, 0, 0, 13, 17);
        check_tile(&d, ops, whole, 10, 6, 9, 32);
        check_tile(&d, ops, whole, 2, 30, 27, 8);
        check_tile(&d, ops, whole, 16, 14, 6, 5);
        free(whole), free(d.workspace);
    }
    free(d.in), free(d.weights), free(d.bias);
}
END_TEST

Suite *conv_suite(void);
Suite *conv_suite(void)
{
    Suite *suite = suite_create("conv");
    TCase *tests = tcase_create("conv");
    tcase_add_loop_test(tests, wgrad_does_not_depend_on_the_cut, 0, op_conv_wgrad.cases);
    tcase_add_loop_test(tests, tiles_have_the_bits_of_the_image, 0, 5);
    suite_add_tcase(suite, tests);
    return suite;
}
