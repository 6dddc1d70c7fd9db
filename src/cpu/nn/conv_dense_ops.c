#include "cpu/nn/conv_dense_ops.h"

#include "base/threads.h"
#include "cpu/nn/conv_cut.h"

#include <string.h>

enum {
    DENSE_ROOM = 160 * 1024, /* floats of both operands of a block, on the stack */
    DENSE_ROWS = 48,         /* most tiles of a block: whole tiles of gemm's rows, tall ones too */
    DENSE_LEAST = 6,
};

static int dense_round(int channels, int to)
{
    return (channels + to - 1) / to * to;
}

/* Tiles of a block whose two operands have so many channels together. */
static int dense_rows(const struct dense_transforms *t, int channels)
{
    int rows = DENSE_ROOM / t->products / channels / DENSE_LEAST * DENSE_LEAST;
    return rows < DENSE_ROWS ? rows : DENSE_ROWS;
}

static struct dense_product dense_product_of(const struct dense_kernels *k, int depth, int columns)
{
    struct dense_product p = {.depth = dense_round(depth, 8), .columns = dense_round(columns, 16)};
    size_t panel = (size_t)k->products->panel;
    p.packed = (size_t)conv_ceil_div((size_t)p.columns, panel) * panel * (size_t)p.depth;
    return p;
}

bool conv_dense_takes(const struct nn_conv *s, const struct dense_kernels *k)
{
    if (s->kernel != 3 || s->groups != 1 || s->cin > 1024 || s->cout > 1024) return false;
    int one = dense_round(s->cin, 8) + dense_round(s->cout, 16);
    int other = dense_round(s->cin, 16) + dense_round(s->cout, 8);
    int most = one > other ? one : other;
    return dense_rows(&k->products->dense[0], most) >= DENSE_LEAST &&
           dense_rows(&k->products->dense[1], most) >= DENSE_LEAST;
}

/* Forward passes take the small tiles, whose bits allow exact tiles of images: nn_ops.h. */
enum { DENSE_FORWARD, DENSE_GRADIENT };

static size_t dense_tiles(const struct nn_conv *s, const struct dense_transforms *t)
{
    return (size_t)s->n * (size_t)conv_ceil_div((size_t)s->h, (size_t)t->tile) *
           (size_t)conv_ceil_div((size_t)s->w, (size_t)t->tile);
}

struct dense_job {
    const struct nn_conv *shape;
    const struct dense_kernels *kernels;
    const struct dense_transforms *in, *out, *products; /* of either tensor's type; of floats */
    struct dense_product product;
    int adjoint, rows;
    size_t tiles;
    void *to;
    const void *from, *dout;
    const float *weights, *slopes;
    const struct nn_epilogue *epilogue;
    float *packed;
    const struct conv_cut *cut; /* of weight gradients, with the rest: */
    float *dw, *sums, *buffer;
    size_t first; /* chunk with which the wave begins */
    int now;      /* chunks of the wave */
};

static struct dense_block dense_block_at(const struct dense_job *j, size_t first, size_t end)
{
    struct dense_block b = {.first = first, .count = conv_clamp(end - first, 1, j->rows)};
    b.rows = dense_round(b.count, DENSE_LEAST);
    return b;
}

/* ---- forward and dgrad ---- */

static void dense_pack_rows(void *context, int64_t from, int64_t to)
{
    const struct dense_job *j = context;
    j->products->pack(j->packed, j->weights, j->shape, j->adjoint, &j->product, (int)from, (int)to);
}

static void dense_blocks(void *context, int64_t from, int64_t to)
{
    static const struct nn_epilogue plain = {.slope = 1};
    const struct dense_job *j = context;
    const struct nn_conv *s = j->shape;
    const struct dense_transforms *source = j->adjoint ? j->out : j->in;
    const struct dense_transforms *target = j->adjoint ? j->in : j->out;
    size_t count = (size_t)j->products->products;
    int k = j->product.depth, n = j->product.columns;
    float room[DENSE_ROOM] __attribute__((aligned(64)));
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        struct dense_block b = dense_block_at(j, i * (size_t)j->rows, j->tiles);
        size_t rows = (size_t)b.rows;
        float *products = room + count * rows * (size_t)k;
        source->inputs(room, s, j->from, j->slopes, j->adjoint ? s->cout : s->cin, k, &b);
        for (size_t f = 0; f < count; f++)
            j->kernels->products->gemm(products + f * rows * (size_t)n, room + f * rows * (size_t)k,
                                       j->packed + f * j->product.packed, 0, rows, n, k, &plain);
        target->outputs(j->to, s, products, j->adjoint ? s->cin : s->cout, n, &b, j->epilogue);
    }
}

void conv_dense(const struct nn_conv *s, const struct dense_kernels *kernels,
                const struct dense_operands *operands, int adjoint, float *workspace)
{
    int which = adjoint ? DENSE_GRADIENT : DENSE_FORWARD;
    struct dense_job job = {.shape = s,
                            .kernels = kernels,
                            .in = &kernels->in->dense[which],
                            .out = &kernels->out->dense[which],
                            .products = &kernels->products->dense[which],
                            .product = dense_product_of(kernels, adjoint ? s->cout : s->cin,
                                                        adjoint ? s->cin : s->cout),
                            .adjoint = adjoint,
                            .tiles = dense_tiles(s, &kernels->products->dense[which]),
                            .to = operands->to,
                            .from = operands->from,
                            .weights = operands->weights,
                            .slopes = operands->slopes,
                            .epilogue = operands->epilogue,
                            .packed = workspace};
    job.rows = dense_rows(job.products, job.product.depth + job.product.columns);
    threads_for(job.product.depth, threads_grain(job.products->products * job.product.columns),
                dense_pack_rows, &job);
    threads_for(conv_ceil_div(job.tiles, (size_t)job.rows), 1, dense_blocks, &job);
}

/* ---- wgrad: sums[products][cin rounded up][cout rounded up] ---- */

static struct dense_product dense_sums_of(const struct dense_kernels *k, const struct nn_conv *s)
{
    struct dense_product p = dense_product_of(k, s->cin, s->cout);
    p.packed = (size_t)p.depth * (size_t)p.columns;
    return p;
}

static struct conv_cut dense_cut(const struct dense_kernels *k, const struct nn_conv *s,
                                 const struct dense_product *p)
{
    const struct dense_transforms *t = &k->products->dense[DENSE_GRADIENT];
    struct conv_cut c = conv_cut_of(s, dense_tiles(s, t), 256, (size_t)t->products * p->packed);
    c.blocks = 1;
    return c;
}

/* Floats that wgrad's kernel wants. */
static size_t dense_buffer(const struct dense_product *p)
{
    return CONV_WGRAD_CHUNK * (size_t)(dense_round(p->depth, CONV_WGRAD_ALIGN) + CONV_WGRAD_ALIGN);
}

static void dense_pieces(void *context, int64_t from, int64_t to)
{
    const struct dense_job *job = context;
    const struct nn_conv *s = job->shape;
    const struct dense_kernels *kernels = job->kernels;
    int k = job->product.depth, n = job->product.columns;
    size_t count = (size_t)job->products->products;
    float room[DENSE_ROOM] __attribute__((aligned(64)));
    for (int j = (int)from; j < (int)to; j++) {
        size_t tile, tiles = conv_piece_rows(job->cut, job->first, j, &tile);
        float *sums = job->sums + (size_t)j * job->cut->floats;
        float *buffer = job->buffer + (size_t)j * dense_buffer(&job->product);
        memset(sums, 0, job->cut->floats * sizeof *sums);
        for (size_t t = tile; t < tile + tiles; t += (size_t)job->rows) {
            struct dense_block b = dense_block_at(job, t, tile + tiles);
            size_t rows = (size_t)b.rows;
            float *gradients = room + count * rows * (size_t)k;
            job->in->inputs(room, s, job->from, job->slopes, s->cin, k, &b);
            job->out->gradients(gradients, s, job->dout, s->cout, n, &b);
            for (size_t f = 0; f < count; f++)
                kernels->products->wgrad(
                    sums + f * job->product.packed, room + f * rows * (size_t)k,
                    gradients + f * rows * (size_t)n, b.count, n, k, 0, n, buffer);
        }
    }
}

/* Some input channels of each chunk of the wave. */
static void dense_add_pieces(void *context, int64_t from, int64_t end)
{
    const struct dense_job *job = context;
    const struct conv_cut *c = job->cut;
    size_t row = (size_t)job->product.columns, step = job->product.packed;
    size_t count = (size_t)job->products->products;
    for (int chunk = 0; chunk < job->now; chunk++) {
        float *sums = job->sums + (size_t)(chunk * c->pieces) * c->floats;
        for (int p = 1; p < c->pieces; p++)
            for (size_t f = 0; f < count; f++)
                for (size_t i = f * step + (size_t)from * row; i < f * step + (size_t)end * row;
                     i++)
                    sums[i] += sums[(size_t)p * c->floats + i];
        job->products->unpack(job->dw, sums, job->shape, job->product.columns, step, (int)from,
                              (int)end);
    }
}

void conv_dense_wgrad(const struct nn_conv *s, const struct dense_kernels *kernels, float *dw,
                      const void *in, const float *slopes, const void *dout, float *workspace)
{
    struct dense_job job = {.shape = s,
                            .kernels = kernels,
                            .in = &kernels->in->dense[DENSE_GRADIENT],
                            .out = &kernels->out->dense[DENSE_GRADIENT],
                            .products = &kernels->products->dense[DENSE_GRADIENT],
                            .product = dense_sums_of(kernels, s),
                            .tiles = dense_tiles(s, &kernels->products->dense[DENSE_GRADIENT]),
                            .from = in,
                            .slopes = slopes,
                            .dout = dout,
                            .dw = dw,
                            .sums = workspace};
    struct conv_cut c = dense_cut(kernels, s, &job.product);
    size_t chunks = (c.total + c.chunk - 1) / c.chunk;
    job.cut = &c;
    job.buffer = workspace + (size_t)(c.wave * c.pieces) * c.floats;
    job.rows = dense_rows(job.products, job.product.depth + job.product.columns);
    for (; job.first < chunks; job.first += (size_t)c.wave) {
        job.now = conv_clamp(chunks - job.first, 1, c.wave);
        threads_for((int64_t)job.now * c.pieces, 1, dense_pieces, &job);
        threads_for(s->cin,
                    threads_grain((int64_t)job.products->products * job.now * c.pieces *
                                  job.product.columns),
                    dense_add_pieces, &job);
    }
}

size_t conv_dense_workspace(const struct nn_conv *s, const struct dense_kernels *kernels)
{
    struct dense_product forward = dense_product_of(kernels, s->cin, s->cout);
    struct dense_product dgrad = dense_product_of(kernels, s->cout, s->cin);
    struct dense_product sums = dense_sums_of(kernels, s);
    const struct dense_transforms *t = kernels->products->dense;
    size_t one = (size_t)t[DENSE_FORWARD].products * forward.packed;
    size_t other = (size_t)t[DENSE_GRADIENT].products * dgrad.packed;
    size_t most = one > other ? one : other;
    if (s->chunk == 0) return most * sizeof(float);
    struct conv_cut c = dense_cut(kernels, s, &sums);
    size_t wgrad = (size_t)(c.wave * c.pieces) * (c.floats + dense_buffer(&sums));
    return (most > wgrad ? most : wgrad) * sizeof(float);
}
