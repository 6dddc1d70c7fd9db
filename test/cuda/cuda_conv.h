/* Convolutions as cases of cuda_ops.h: by our own kernels (cuda_nn.c) and by a library
 * (cuda_cudnn.c). Every kernel, types mixed, every part of the epilogue. */
#ifndef IMGTRAIN_TEST_CUDA_CUDA_CONV_H
#define IMGTRAIN_TEST_CUDA_CUDA_CONV_H

#include "math/bf16.h"
#include "test/cuda/cuda_ops.h"

static const struct nn_conv shapes[] = {
    /* n, h, w, cin, cout, kernel, groups, chunk, types */
    {1, 1, 1, 16, 16, 1, 1, 1, NN_F32, NN_F32},       {3, 5, 7, 3, 16, 1, 1, 2, NN_F32, NN_F32},
    {2, 7, 9, 40, 72, 1, 1, 1, NN_F32, NN_F32},       {5, 1, 1, 64, 1, 1, 1, 2, NN_F32, NN_F32},
    {2, 5, 3, 16, 32, 1, 1, 1, NN_F32, NN_BF16},      {2, 9, 9, 24, 40, 1, 1, 1, NN_BF16, NN_BF16},
    {2, 13, 7, 136, 72, 1, 1, 2, NN_BF16, NN_BF16},   {3, 5, 5, 16, 3, 1, 1, 2, NN_BF16, NN_F32},
    {5, 16, 15, 8, 16, 1, 1, 3, NN_BF16, NN_BF16},    {1, 1, 1, 16, 16, 3, 1, 1, NN_F32, NN_F32},
    {3, 9, 5, 32, 32, 3, 2, 2, NN_F32, NN_F32},       {2, 5, 11, 48, 48, 3, 3, 1, NN_F32, NN_BF16},
    {3, 7, 5, 16, 16, 3, 1, 2, NN_BF16, NN_BF16},     {2, 9, 19, 32, 32, 3, 2, 1, NN_BF16, NN_BF16},
    {1, 10, 17, 128, 128, 3, 8, 1, NN_BF16, NN_BF16}, {2, 4, 8, 64, 64, 3, 4, 2, NN_BF16, NN_F32},
    {2, 5, 7, 3, 24, 3, 1, 1, NN_F32, NN_F32},        {2, 9, 6, 24, 12, 3, 1, 2, NN_F32, NN_F32},
    {1, 9, 19, 40, 64, 3, 1, 1, NN_F32, NN_F32},      {2, 5, 7, 64, 27, 3, 1, 1, NN_BF16, NN_F32},
    {3, 3, 5, 4, 6, 3, 2, 2, NN_F32, NN_F32},         {2, 5, 3, 8, 16, 3, 2, 1, NN_BF16, NN_BF16},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* bf16 keeps 8 bits: weights are rounded once, results once. */
static inline double tolerance_of(const struct nn_conv *s)
{
    return s->in_type == NN_BF16 || s->out_type == NN_BF16 ? 1.5e-2 : 2e-6;
}

/* `count` numbers of a type; tolerance < 0: an input. */
static inline void *side_typed(struct side *s, const char *name, enum nn_type type, size_t count,
                               uint64_t seed, double tolerance)
{
    if (type == NN_F32) return side_floats(s, name, count, seed, -1, 1, tolerance);
    uint16_t *x = malloc((count + 1) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = bf16_round(2 * philox_uniform(philox_draw(5, STREAM_TEST, seed, i).v[0]) - 1);
    side_buffer(s, name, x, count * sizeof *x);
    free(x);
    return side_kind(s, BUFFER_BF16, tolerance);
}

static inline uint8_t *side_mask(struct side *s, const char *name, size_t elements, uint64_t seed)
{
    uint8_t *bits = malloc(elements / 8 + 1);
    ck_assert_ptr_nonnull(bits);
    for (size_t i = 0; i < elements / 8; i++)
        bits[i] = (uint8_t)philox_draw(5, STREAM_TEST, seed, i).v[0];
    uint8_t *on_device = side_buffer(s, name, bits, elements / 8);
    free(bits);
    return on_device;
}

static inline size_t pixels_of(const struct nn_conv *c)
{
    return (size_t)(c->n * c->h * c->w);
}

static inline float *weights_of(struct side *s, const struct nn_conv *c, double tolerance)
{
    size_t count = (size_t)(c->cout * (c->cin / c->groups) * c->kernel * c->kernel);
    return side_floats(s, "weights", count, 3, -0.5f, 0.5f, tolerance);
}

/* A forward pass or a dgrad with one way to finish. Masks that are written are compared where
 * rounding cannot turn a bit: with a residual so large that no sum comes near 0. */
static inline void run_conv(struct side *s, int shape, bool adjoint, int finish)
{
    struct nn_conv c = shapes[shape];
    int channels = adjoint ? c.cin : c.cout, channels_in = adjoint ? c.cout : c.cin;
    enum nn_type to = adjoint ? c.in_type : c.out_type, from = adjoint ? c.out_type : c.in_type;
    size_t count = pixels_of(&c) * (size_t)channels;
    const void *in = side_typed(s, "in", from, pixels_of(&c) * (size_t)channels_in, 1, 0);
    void *out = side_typed(s, "out", to, count, 2, tolerance_of(&c));
    const float *weights = weights_of(s, &c, 0);
    void *workspace = side_workspace(s, s->nn->conv_workspace(s->device, &c));
    struct nn_epilogue e = {.slope = 1};
    if (finish > 0) e.bias = side_floats(s, "bias", (size_t)channels, 4, -1, 1, 0);
    if (finish > 0) e.slope = 0.2f;
    if (finish == 2) e.residual = side_typed(s, "residual", to, count, 5, 0);
    if (finish == 3 && channels % 8 == 0) {
        e.mask_in = side_mask(s, "mask", count, 6);
        e.mask_slope = 0.2f;
    }
    if (adjoint)
        MUST(s->nn->conv_dgrad(s->device, &c, out, in, weights, &e, workspace));
    else
        MUST(s->nn->conv_forward(s->device, &c, out, in, weights, &e, workspace));
}

static inline void conv_forward(struct side *s, int i)
{
    run_conv(s, i / 4, false, i % 4);
}

static inline void conv_dgrad(struct side *s, int i)
{
    run_conv(s, i / 4, true, i % 4);
}

/* Masks and sums that are small whole numbers: exact in bf16 too, so every bit must agree. */
static inline void conv_masks(struct side *s, int shape)
{
    struct nn_conv c = shapes[shape];
    size_t in_count = pixels_of(&c) * (size_t)c.cin, count = pixels_of(&c) * (size_t)c.cout;
    size_t weights_count = (size_t)(c.cout * (c.cin / c.groups) * c.kernel * c.kernel);
    uint16_t *x = malloc(in_count * sizeof(float));
    float *w = malloc(weights_count * sizeof *w);
    ck_assert(x && w);
    for (size_t i = 0; i < in_count; i++) {
        float value = (float)(philox_draw(5, STREAM_TEST, 7, i).v[0] % 5) - 2;
        if (c.in_type == NN_BF16)
            x[i] = bf16_round(value);
        else
            ((float *)(void *)x)[i] = value;
    }
    for (size_t i = 0; i < weights_count; i++)
        w[i] = (float)(philox_draw(5, STREAM_TEST, 8, i).v[0] % 3) - 1;
    const void *in = side_buffer(s, "in", x, in_count * nn_type_bytes(c.in_type));
    const float *weights = side_buffer(s, "weights", w, weights_count * sizeof *w);
    void *out = side_typed(s, "out", c.out_type, count, 2, 1e-2);
    struct nn_epilogue e = {.slope = 0.25f};
    if (c.cout % 8 == 0) e.mask_out = side_buffer(s, "mask", NULL, count / 8);
    MUST(s->nn->conv_forward(s->device, &c, out, in, weights, &e,
                             side_workspace(s, s->nn->conv_workspace(s->device, &c))));
    free(x);
    free(w);
}

static inline void conv_wgrad(struct side *s, int shape)
{
    struct nn_conv c = shapes[shape];
    const void *in = side_typed(s, "in", c.in_type, pixels_of(&c) * (size_t)c.cin, 1, 0);
    const void *dout = side_typed(s, "dout", c.out_type, pixels_of(&c) * (size_t)c.cout, 2, 0);
    float *dw = weights_of(s, &c, 4e-6);
    MUST(s->nn->conv_wgrad(s->device, &c, dw, in, dout,
                           side_workspace(s, s->nn->conv_workspace(s->device, &c))));
}

#endif
