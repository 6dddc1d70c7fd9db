/* The convolutions of nn_ops on the CPU: cuts the work over threads and calls the kernels of this
 * machine's instruction set. What the networks do not use goes to the reference: other shapes, bf16
 * where there are no instructions for it. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/isa.h"
#include "cpu/nn/conv_cut.h"
#include "cpu/nn/conv_dense_ops.h"
#include "cpu/nn/conv_kernels.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"

#include <string.h>

static const struct conv_kernels *kernels_f32, *kernels_bf16; /* bf16: NULL where there are none */

/* From bf16 to floats or back: colours. The fp32 kernels, and conversions around them. */
static int is_mixed(const struct nn_conv *s)
{
    return s->in_type != s->out_type;
}

static const struct conv_kernels *kernels_of(const struct nn_conv *s)
{
    return s->in_type == NN_BF16 && s->out_type == NN_BF16 ? kernels_bf16 : kernels_f32;
}

static int is_gemm(const struct nn_conv *s)
{
    const struct conv_kernels *k = kernels_of(s);
    if (s->kernel != 1 || s->groups != 1 || !k) return 0;
    return k->type == NN_F32 || (s->cin % 2 == 0 && s->cout % 2 == 0);
}

static int is_group(const struct nn_conv *s)
{
    return kernels_of(s) && !is_mixed(s) && s->kernel == 3 && s->cin == s->cout &&
           s->cin == GROUP * s->groups;
}

static size_t cpu_rows_of(const struct nn_conv *s)
{
    return (size_t)s->n * (size_t)s->h * (size_t)s->w;
}

/* What the ranges of one convolution's work have in common. */
struct conv_job {
    const struct nn_conv *shape;
    const struct conv_kernels *kernels;
    void *out;
    const void *in, *dout;
    const float *weights;
    const struct nn_epilogue *epilogue;
    int n, k, adjoint; /* columns and depth of the product */
    size_t rows, most; /* of all and of an item */
    float *packed;
    const struct conv_cut *cut; /* of weight gradients, with the rest: */
    float *dw, *sums, *buffer;
    size_t first; /* chunk with which the wave begins */
    int now;      /* chunks of the wave */
};

/* ---- forward and dgrad ---- */

static size_t packed_floats(const struct nn_conv *s, int k, int n)
{
    if (is_group(s)) return (size_t)s->groups * GROUP_WEIGHTS;
    size_t panel = (size_t)kernels_of(s)->panel;
    return (size_t)conv_ceil_div((size_t)n, panel) * panel * (size_t)k;
}

enum { ROWS = 96 }; /* what a thread takes at a time: 16 tiles of 6 rows */

static void pack_panels(void *context, int64_t from, int64_t to)
{
    const struct conv_job *j = context;
    j->kernels->gemm_pack(j->packed, j->weights, j->k, j->n, j->adjoint ? j->n : 1,
                          j->adjoint ? 1 : j->k, (int)from, (int)to);
}

static void gemm_blocks(void *context, int64_t from, int64_t to)
{
    const struct conv_job *j = context;
    for (size_t r = (size_t)from * ROWS; r < j->rows && r < (size_t)to * ROWS; r += ROWS)
        j->kernels->gemm(j->out, j->in, j->packed, r, j->rows - r < ROWS ? j->rows : r + ROWS, j->n,
                         j->k, j->epilogue);
}

static void cpu_gemm(const struct nn_conv *s, void *out, const void *in, const float *weights,
                     int n, int k, int adjoint, const struct nn_epilogue *e, void *packed)
{
    struct conv_job job = {.shape = s,
                           .kernels = kernels_of(s),
                           .out = out,
                           .in = in,
                           .weights = weights,
                           .epilogue = e,
                           .n = n,
                           .k = k,
                           .adjoint = adjoint,
                           .rows = cpu_rows_of(s),
                           .packed = packed};
    int64_t products = (int64_t)n * k / 8; /* of a row, in the time of simple operations */
    threads_for(conv_ceil_div((size_t)n, (size_t)job.kernels->panel),
                threads_grain((int64_t)job.kernels->panel * k), pack_panels, &job);
    threads_for(conv_ceil_div(job.rows, ROWS), threads_grain(ROWS * products), gemm_blocks, &job);
}

enum { ROOM = 8192 };

static void mixed_blocks(void *context, int64_t begin, int64_t end)
{
    static const struct nn_epilogue plain = {.slope = 1};
    const struct conv_job *j = context;
    const struct nn_conv *s = j->shape;
    enum nn_type from = j->adjoint ? s->out_type : s->in_type,
                 to = j->adjoint ? s->in_type : s->out_type;
    size_t n = (size_t)j->n, k = (size_t)j->k;
    float room[ROOM] __attribute__((aligned(64)));
    for (size_t r = (size_t)begin * j->most; r < j->rows && r < (size_t)end * j->most;
         r += j->most) {
        size_t now = j->rows - r < j->most ? j->rows - r : j->most;
        const float *x = nn_floats(j->in, from, r * k, now * k, room);
        float *y = nn_target(j->out, to, r * n, room);
        j->kernels->gemm(y, x, j->packed, 0, now, j->n, j->k, &plain);
        nn_rounded(j->out, to, r * n, now * n, y);
    }
}

/* Without epilogue, as colours have none. */
static void gemm_mixed(const struct nn_conv *s, void *out, const void *in, const float *weights,
                       int n, int k, int adjoint, float *packed)
{
    struct conv_job job = {.shape = s,
                           .kernels = kernels_f32,
                           .out = out,
                           .in = in,
                           .n = n,
                           .k = k,
                           .adjoint = adjoint,
                           .rows = cpu_rows_of(s),
                           .most = ROOM / (size_t)(n > k ? n : k),
                           .packed = packed};
    if (job.most > ROWS) job.most = ROWS;
    job.kernels->gemm_pack(packed, weights, k, n, adjoint ? n : 1, adjoint ? 1 : k, 0,
                           conv_ceil_div((size_t)n, (size_t)job.kernels->panel));
    threads_for(conv_ceil_div(job.rows, job.most), threads_grain((int64_t)job.most * (n + k)),
                mixed_blocks, &job);
}

static int can_mix(const struct nn_conv *s, const struct nn_epilogue *e)
{
    enum { WIDEST = 4096 };
    int plain = !e->bias && !e->residual && e->slope == 1 && !e->mask_out && !e->mask_in;
    return is_gemm(s) && plain && s->cin <= WIDEST && s->cout <= WIDEST;
}

static void pack_groups(void *context, int64_t from, int64_t to)
{
    const struct conv_job *j = context;
    for (int g = (int)from; g < (int)to; g++)
        j->kernels->group_pack(j->packed + (size_t)g * GROUP_WEIGHTS, j->weights, g, j->adjoint);
}

/* Neighbouring items read the same lines' neighbours: all groups of some pixels. */
static void convolve_groups(void *context, int64_t from, int64_t to)
{
    const struct conv_job *j = context;
    size_t groups = (size_t)j->shape->groups;
    float buffer[GROUP_WORKSPACE] __attribute__((aligned(64)));
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        size_t g = i % groups, t = i / groups * GROUP_TILES;
        j->kernels->group_conv(j->shape, j->out, j->in, j->packed + g * GROUP_WEIGHTS, j->epilogue,
                               (int)g, t, conv_clamp(j->rows - t, 1, GROUP_TILES), buffer);
    }
}

static void cpu_group(const struct nn_conv *s, void *out, const void *in, const float *weights,
                      int adjoint, const struct nn_epilogue *e, float *packed)
{
    struct conv_job job = {.shape = s,
                           .kernels = kernels_of(s),
                           .out = out,
                           .in = in,
                           .weights = weights,
                           .epilogue = e,
                           .adjoint = adjoint,
                           .rows = conv_tiles_of(s),
                           .packed = packed};
    threads_for(s->groups, threads_grain(GROUP_WEIGHTS), pack_groups, &job);
    threads_for((int64_t)conv_ceil_div(job.rows, GROUP_TILES) * s->groups, 2, convolve_groups,
                &job);
}

/* Both tensors' kernels, or NULL where one has none. */
const struct dense_kernels *conv_dense_kernels(struct dense_kernels *k, const struct nn_conv *s)
{
    *k = (struct dense_kernels){.products = kernels_f32,
                                .in = s->in_type == NN_BF16 ? kernels_bf16 : kernels_f32,
                                .out = s->out_type == NN_BF16 ? kernels_bf16 : kernels_f32};
    return k->in && k->out && !is_group(s) && conv_dense_takes(s, k) ? k : NULL;
}

static int cpu_conv_forward(struct device *device, const struct nn_conv *s, void *out,
                            const void *in, const float *weights, const struct nn_epilogue *e,
                            void *workspace)
{
    TRY(nn_check_conv(s, e, false));
    struct dense_kernels dense;
    if (is_gemm(s) && !is_mixed(s))
        cpu_gemm(s, out, in, weights, s->cout, s->cin, 0, e, workspace);
    else if (is_mixed(s) && can_mix(s, e))
        gemm_mixed(s, out, in, weights, s->cout, s->cin, 0, workspace);
    else if (is_group(s))
        cpu_group(s, out, in, weights, 0, e, workspace);
    else if (conv_dense_kernels(&dense, s))
        conv_dense(s, &dense, &(struct dense_operands){out, in, weights, NULL, e}, 0, workspace);
    else
        return nn_ops_reference()->conv_forward(device, s, out, in, weights, e, workspace);
    return OK;
}

static int cpu_conv_dgrad(struct device *device, const struct nn_conv *s, void *din,
                          const void *dout, const float *weights, const struct nn_epilogue *e,
                          void *workspace)
{
    TRY(nn_check_conv(s, e, true));
    struct dense_kernels dense;
    if (is_gemm(s) && !is_mixed(s))
        cpu_gemm(s, din, dout, weights, s->cin, s->cout, 1, e, workspace);
    else if (is_mixed(s) && can_mix(s, e))
        gemm_mixed(s, din, dout, weights, s->cin, s->cout, 1, workspace);
    else if (is_group(s))
        cpu_group(s, din, dout, weights, 1, e, workspace);
    else if (conv_dense_kernels(&dense, s))
        conv_dense(s, &dense, &(struct dense_operands){din, dout, weights, NULL, e}, 1, workspace);
    else
        return nn_ops_reference()->conv_dgrad(device, s, din, dout, weights, e, workspace);
    return OK;
}

/* ---- wgrad: see conv_cut.h ---- */

enum { COLUMNS = 128, GROUPS = 8 }; /* of a job */

static struct conv_cut gemm_cut(const struct nn_conv *s)
{
    struct conv_cut c = conv_cut_of(s, cpu_rows_of(s), 512, (size_t)s->cin * (size_t)s->cout);
    c.blocks = conv_ceil_div((size_t)s->cin, COLUMNS);
    return c;
}

static struct conv_cut group_cut(const struct nn_conv *s)
{
    struct conv_cut c = conv_cut_of(s, conv_tiles_of(s), 512, (size_t)s->groups * GROUP_WEIGHTS);
    c.blocks = conv_ceil_div((size_t)s->groups, GROUPS);
    return c;
}

static size_t gemm_workspace(const struct nn_conv *s)
{
    size_t widened = is_mixed(s) ? (size_t)(s->cin > s->cout ? s->cin : s->cout) : 0;
    return CONV_WGRAD_CHUNK *
           (CONV_WGRAD_ALIGN * (size_t)conv_ceil_div((size_t)s->cout, CONV_WGRAD_ALIGN) +
            CONV_WGRAD_ALIGN + widened);
}

/* dw += of some rows, for the columns of a block */
static void conv_gemm_rows(const struct nn_conv *s, float *dw, const void *in, const void *dout,
                           size_t row, int rows, int block, float *buffer)
{
    int first = block * COLUMNS, last = s->cin - first < COLUMNS ? s->cin : first + COLUMNS;
    size_t a = row * (size_t)s->cout, b = row * (size_t)s->cin, count = (size_t)rows;
    const void *x = nn_from(dout, s->out_type, a), *y = nn_from(in, s->in_type, b);
    if (is_mixed(s)) {
        float *room = buffer + gemm_workspace(s) -
                      CONV_WGRAD_CHUNK * (size_t)(s->cin > s->cout ? s->cin : s->cout);
        x = nn_floats(dout, s->out_type, a, count * (size_t)s->cout, room);
        y = nn_floats(in, s->in_type, b, count * (size_t)s->cin, room);
    }
    kernels_of(s)->wgrad(dw, x, y, rows, s->cin, s->cout, first, last, buffer);
}

/* One chunk fits a call of the kernel: it adds its sums to dw itself, one chunk after the other. */
static void small_blocks(void *context, int64_t from, int64_t to)
{
    const struct conv_job *j = context;
    const struct conv_cut *c = j->cut;
    for (int b = (int)from; b < (int)to; b++)
        for (size_t r = 0; r < c->total; r += c->chunk)
            conv_gemm_rows(j->shape, j->dw, j->in, j->dout, r,
                           conv_clamp(c->total - r, 1, (int)c->chunk), b,
                           j->buffer + (size_t)b * gemm_workspace(j->shape));
}

static void gemm_piece(const struct nn_conv *s, float *sums, const void *in, const void *dout,
                       size_t row, size_t rows, int block, float *buffer)
{
    int first = block * COLUMNS, last = s->cin - first < COLUMNS ? s->cin : first + COLUMNS;
    for (int o = 0; o < s->cout; o++)
        memset(sums + (size_t)o * (size_t)s->cin + first, 0, (size_t)(last - first) * sizeof *sums);
    for (size_t r = row; r < row + rows; r += CONV_WGRAD_CHUNK)
        conv_gemm_rows(s, sums, in, dout, r, conv_clamp(row + rows - r, 1, CONV_WGRAD_CHUNK), block,
                       buffer);
}

static void gemm_pieces(void *context, int64_t from, int64_t to)
{
    const struct conv_job *job = context;
    const struct conv_cut *c = job->cut;
    for (int j = (int)from; j < (int)to; j++) {
        int p = j / c->blocks;
        size_t row, rows = conv_piece_rows(c, job->first, p, &row);
        gemm_piece(job->shape, job->sums + (size_t)p * c->floats, job->in, job->dout, row, rows,
                   j % c->blocks, job->buffer + (size_t)j * gemm_workspace(job->shape));
    }
}

static void cpu_add_pieces(void *context, int64_t begin, int64_t end)
{
    const struct conv_job *job = context;
    const struct conv_cut c = *job->cut;
    const float *sums = job->sums;
    float *dw = job->dw;
    int chunks = job->now;
    for (size_t i = (size_t)begin; i < (size_t)end; i++)
        for (int chunk = 0; chunk < chunks; chunk++) {
            const float *from = sums + (size_t)(chunk * c.pieces) * c.floats + i;
            float sum = 0;
            for (int p = 0; p < c.pieces; p++)
                sum += from[(size_t)p * c.floats];
            dw[i] += sum;
        }
}

static void gemm_wgrad(const struct nn_conv *s, float *dw, const void *in, const void *dout,
                       float *workspace)
{
    struct conv_cut c = gemm_cut(s);
    int most = c.wave * c.pieces;
    struct conv_job job = {.shape = s,
                           .in = in,
                           .dout = dout,
                           .cut = &c,
                           .dw = dw,
                           .sums = workspace,
                           .buffer = workspace + (size_t)most * c.floats};
    int64_t products = (int64_t)s->cin * s->cout / c.blocks / 8; /* of a row, as above */
    if (c.chunk <= CONV_WGRAD_CHUNK) {
        threads_for(c.blocks, threads_grain((int64_t)c.total * products), small_blocks, &job);
        return;
    }
    size_t chunks = (c.total + c.chunk - 1) / c.chunk;
    for (; job.first < chunks; job.first += (size_t)c.wave) {
        job.now = conv_clamp(chunks - job.first, 1, c.wave);
        threads_for((int64_t)job.now * c.pieces * c.blocks,
                    threads_grain((int64_t)c.piece * products), gemm_pieces, &job);
        threads_for((int64_t)c.floats, threads_grain((int64_t)job.now * c.pieces), cpu_add_pieces,
                    &job);
    }
}

static void group_piece(const struct nn_conv *s, float *sums, const void *in, const void *dout,
                        size_t tile, size_t tiles, int block)
{
    float buffer[2 * GROUP_WORKSPACE] __attribute__((aligned(64)));
    int first = block * GROUPS, last = s->groups - first < GROUPS ? s->groups : first + GROUPS;
    memset(sums + (size_t)first * GROUP_WEIGHTS, 0,
           (size_t)(last - first) * GROUP_WEIGHTS * sizeof *sums);
    for (size_t t = tile; t < tile + tiles; t += GROUP_TILES)
        for (int g = first; g < last; g++)
            kernels_of(s)->group_wgrad(s, sums + (size_t)g * GROUP_WEIGHTS, in, dout, g, t,
                                       conv_clamp(tile + tiles - t, 1, GROUP_TILES), buffer);
}

static void group_pieces(void *context, int64_t from, int64_t to)
{
    const struct conv_job *job = context;
    const struct conv_cut *c = job->cut;
    for (int j = (int)from; j < (int)to; j++) {
        int p = j / c->blocks;
        size_t tile, tiles = conv_piece_rows(c, job->first, p, &tile);
        group_piece(job->shape, job->sums + (size_t)p * c->floats, job->in, job->dout, tile, tiles,
                    j % c->blocks);
    }
}

static void cpu_add_groups(void *context, int64_t from, int64_t end)
{
    const struct conv_job *job = context;
    const struct conv_cut c = *job->cut;
    for (int g = (int)from; g < (int)end; g++)
        for (int chunk = 0; chunk < job->now; chunk++) {
            float *to =
                job->sums + (size_t)(chunk * c.pieces) * c.floats + (size_t)g * GROUP_WEIGHTS;
            for (int p = 1; p < c.pieces; p++)
                for (size_t i = 0; i < GROUP_WEIGHTS; i++)
                    to[i] += to[(size_t)p * c.floats + i];
            kernels_of(job->shape)->group_unpack(job->dw, to, g);
        }
}

static void group_wgrad(const struct nn_conv *s, float *dw, const void *in, const void *dout,
                        float *sums)
{
    struct conv_cut c = group_cut(s);
    struct conv_job job = {.shape = s, .in = in, .dout = dout, .cut = &c, .dw = dw, .sums = sums};
    size_t chunks = (c.total + c.chunk - 1) / c.chunk;
    for (; job.first < chunks; job.first += (size_t)c.wave) {
        job.now = conv_clamp(chunks - job.first, 1, c.wave);
        threads_for((int64_t)job.now * c.pieces * c.blocks, 1, group_pieces, &job);
        threads_for(s->groups, threads_grain((int64_t)job.now * c.pieces * GROUP_WEIGHTS),
                    cpu_add_groups, &job);
    }
}

static int cpu_conv_wgrad(struct device *device, const struct nn_conv *s, float *dw, const void *in,
                          const void *dout, void *workspace)
{
    TRY(nn_check_conv_wgrad(s));
    struct dense_kernels dense;
    if (is_gemm(s))
        gemm_wgrad(s, dw, in, dout, workspace);
    else if (is_group(s))
        group_wgrad(s, dw, in, dout, workspace);
    else if (conv_dense_kernels(&dense, s))
        conv_dense_wgrad(s, &dense, dw, in, NULL, dout, workspace);
    else
        return nn_ops_reference()->conv_wgrad(device, s, dw, in, dout, workspace);
    return OK;
}

static size_t cpu_conv_workspace(const struct device *device, const struct nn_conv *s)
{
    struct dense_kernels dense;
    if (conv_dense_kernels(&dense, s)) return conv_dense_workspace(s, &dense);
    if (!is_gemm(s) && !is_group(s)) return nn_ops_reference()->conv_workspace(device, s);
    size_t forward = packed_floats(s, s->cin, s->cout), dgrad = packed_floats(s, s->cout, s->cin);
    if (s->chunk == 0) return (forward > dgrad ? forward : dgrad) * sizeof(float);
    struct conv_cut c = is_gemm(s) ? gemm_cut(s) : group_cut(s);
    size_t most = (size_t)(c.wave * c.pieces);
    size_t wgrad = most * c.floats;
    if (is_gemm(s)) wgrad += most * (size_t)c.blocks * gemm_workspace(s);
    size_t floats = forward > dgrad ? forward : dgrad;
    return (floats > wgrad ? floats : wgrad) * sizeof(float);
}

static const struct conv_kernels *kernels_get(void)
{
    switch (cpu_isa()) {
#ifdef __x86_64__
    case CPU_ISA_AMX:
    case CPU_ISA_AVX512_BF16:
    case CPU_ISA_AVX512: return &conv_kernels_avx512;
    case CPU_ISA_AVX2: return &conv_kernels_avx2;
#endif
    default: return &conv_kernels_base;
    }
}

void nn_install_conv(struct nn_ops *ops)
{
    kernels_f32 = kernels_get();
    kernels_bf16 = NULL;
#ifdef __x86_64__
    if (cpu_isa() >= CPU_ISA_AVX512_BF16) kernels_bf16 = &conv_kernels_bf16;
#endif
    ops->bf16 = kernels_bf16 != NULL;
    nn_install_prelu_kernels(ops, kernels_f32, kernels_bf16);
    nn_install_pointwise_kernels(ops, kernels_f32, kernels_bf16);
    nn_install_group_norm_kernels(ops, kernels_f32);
    nn_install_prelu_conv(ops);
    ops->conv_workspace = cpu_conv_workspace;
    ops->conv_forward = cpu_conv_forward;
    ops->conv_dgrad = cpu_conv_dgrad;
    ops->conv_wgrad = cpu_conv_wgrad;
}
