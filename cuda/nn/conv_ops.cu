/* The convolutions of nn_ops: chooses the kernel, cuts the sums of wgrad. */
#include "cuda/nn/conv_cuda.h"
#include "cuda/nn/nn_cuda.h"

enum {
    WAVE_BYTES = 32 << 20, /* of partial sums, about */
    MAX_WAVE = 65535,      /* chunks: blocks in a second dimension */
};

static void cuda_run(const struct conv_pass *pass)
{
    if (conv_is_thin(&pass->shape))
        conv_thin(pass);
    else if (conv_is_point(&pass->shape))
        conv_point(pass);
    else if (conv_is_group(&pass->shape))
        conv_group(pass);
    else if (conv_is_dense(&pass->shape))
        conv_dense(pass);
    else
        conv_any(pass);
}

/* ---- weight gradients ---- */

static int cuda_clamp(int64_t x, int low, int high)
{
    return x < low ? low : x > high ? high : (int)x;
}

/* Pieces so long that writing and reading their sums costs little beside reading the operands. */
static struct conv_cut cuda_cut_of(const struct cuda_device *device, const struct nn_conv *s)
{
    struct conv_cut c;
    int64_t weights = (int64_t)s->cout * (s->cin / s->groups);
    if (conv_is_point(s)) {
        c.chunk_units = s->chunk * s->h * s->w;
        c.piece_units = cuda_clamp(32 * weights / (s->cin + s->cout) / 32 * 32, 512, 8192);
        if (conv_is_thin(s)) c.piece_units = 2048; /* so that adding a block's sums costs little */
        c.floats = (size_t)weights;
    } else {
        c.chunk_units =
            s->chunk * (conv_is_dense(s) ? conv_dense_tiles(s) : conv_group_tiles(device, s));
        c.piece_units = 16;
        c.floats = (size_t)weights * 9;
    }
    c.pieces = (c.chunk_units + c.piece_units - 1) / c.piece_units;
    size_t chunk_bytes = c.floats * (size_t)c.pieces * sizeof(float);
    c.wave = cuda_clamp((int64_t)(WAVE_BYTES / chunk_bytes), 1, MAX_WAVE);
    c.wave = cuda_clamp((s->n + s->chunk - 1) / s->chunk, 1, c.wave);
    return c;
}

/* The sum of a chunk's pieces, from 0 on, into the first one: blockIdx.y is the chunk, so that
 * those of small weights are not one thread's chain. */
static __global__ void cuda_add_pieces(float *sums, size_t floats, int pieces)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= floats) return;
    float sum = 0, *chunk = sums + blockIdx.y * pieces * floats;
    for (int p = 0; p < pieces; p++)
        sum += chunk[p * floats + i];
    chunk[i] = sum;
}

/* dw += the chunks' sums, one after the other, each in the place of its first piece. group: sums
 * lie as [group][tap][cout][cin], weights as [cout][cin][tap]. */
static __global__ void add_chunks(float *dw, const float *sums, size_t floats, int pieces,
                                  int chunks, bool group)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= floats) return;
    const size_t pairs = CONV_GROUP * CONV_GROUP;
    float *to = dw + (group ? (i / pairs / 9 * pairs + i % pairs) * 9 + i / pairs % 9 : i);
    float total = *to;
    for (int s = 0; s < chunks; s++)
        total += sums[s * pieces * floats + i];
    *to = total;
}

static void native_wgrad(struct cuda_device *device, const struct nn_conv *shape, float *dw,
                         const void *in, const void *dout, void *workspace)
{
    bool point = conv_is_point(shape), dense = conv_is_dense(shape);
    if (!point && !dense && !conv_is_group(shape)) {
        conv_any_wgrad(device, shape, dw, in, dout);
        return;
    }
    struct conv_cut cut = cuda_cut_of(device, shape);
    float *sums = (float *)workspace;
    size_t pixels = (size_t)shape->h * shape->w;
    struct nn_conv part = *shape;
    for (int first = 0; first < shape->n; first += part.n) {
        part.n =
            shape->n - first < cut.wave * shape->chunk ? shape->n - first : cut.wave * shape->chunk;
        int chunks = (part.n + shape->chunk - 1) / shape->chunk;
        const char *a = (const char *)in, *b = (const char *)dout;
        a += (size_t)first * pixels * shape->cin * nn_type_bytes(shape->in_type);
        b += (size_t)first * pixels * shape->cout * nn_type_bytes(shape->out_type);
        if (conv_is_thin(shape))
            conv_thin_pieces(device, &part, sums, a, b, (size_t)part.n * pixels, &cut, chunks);
        else if (point)
            conv_point_pieces(device, &part, sums, a, b, (size_t)part.n * pixels, &cut, chunks);
        else if (dense)
            conv_dense_pieces(device, &part, sums, a, b, &cut, chunks);
        else
            conv_group_pieces(device, &part, sums, a, b, &cut, chunks);
        if (cut.pieces > 1)
            LAUNCH(cuda_add_pieces, dim3(cuda_blocks(cut.floats, 128), (unsigned)chunks), 128, 0,
                   device->stream, sums, cut.floats, cut.pieces);
        LAUNCH(add_chunks, cuda_blocks(cut.floats, 128), 128, 0, device->stream, dw, sums,
               cut.floats, cut.pieces, chunks, !point && !dense);
    }
}

/* ---- the table ---- */

int conv_native(const struct conv_call *c)
{
    struct conv_pass pass = {c->device,   c->shape,    c->direction == CUDNN_DGRAD,
                             c->to,       c->from,     c->weights,
                             c->epilogue, c->workspace};
    if (c->direction == CUDNN_WGRAD)
        native_wgrad(c->device, &c->shape, (float *)c->to, c->from, c->with, c->workspace);
    else
        cuda_run(&pass);
    return cuda_take_error();
}

static int cuda_conv_forward(struct device *device, const struct nn_conv *shape, void *out,
                             const void *in, const float *weights,
                             const struct nn_epilogue *epilogue, void *workspace)
{
    TRY(nn_check_conv(shape, epilogue, false));
    struct conv_call call = {cuda_of(device), CUDNN_FORWARD, *shape,   out, in, NULL,
                             weights,         *epilogue,     workspace};
    return conv_by_library(&call);
}

static int cuda_conv_dgrad(struct device *device, const struct nn_conv *shape, void *din,
                           const void *dout, const float *weights,
                           const struct nn_epilogue *epilogue, void *workspace)
{
    TRY(nn_check_conv(shape, epilogue, true));
    struct conv_call call = {cuda_of(device), CUDNN_DGRAD, *shape,   din, dout, NULL,
                             weights,         *epilogue,   workspace};
    return conv_by_library(&call);
}

static int cuda_conv_wgrad(struct device *device, const struct nn_conv *shape, float *dw,
                           const void *in, const void *dout, void *workspace)
{
    TRY(nn_check_conv_wgrad(shape));
    struct conv_call call = {cuda_of(device), CUDNN_WGRAD, *shape, dw, in, dout, NULL, {},
                             workspace};
    return conv_by_library(&call);
}

static size_t cuda_conv_workspace(const struct device *device, const struct nn_conv *s)
{
    size_t library = conv_library_workspace(s);
    if (!conv_is_point(s) && !conv_is_group(s) && !conv_is_dense(s)) return library;
    struct conv_cut c = {};
    if (s->chunk > 0) c = cuda_cut_of((const struct cuda_device *)device, s);
    size_t wgrad = c.floats * (size_t)c.pieces * (size_t)c.wave * sizeof(float);
    size_t packed = conv_is_group(s) ? conv_group_workspace(s) : 0;
    bool bf16 = s->in_type == NN_BF16 || s->out_type == NN_BF16;
    if (conv_is_point(s) && !conv_is_thin(s) && bf16) packed = conv_point_workspace(s);
    if (library > wgrad) wgrad = library;
    return wgrad > packed ? wgrad : packed;
}

void nn_cuda_install_conv(struct nn_ops *ops)
{
    ops->conv_workspace = cuda_conv_workspace;
    ops->conv_forward = cuda_conv_forward;
    ops->conv_dgrad = cuda_conv_dgrad;
    ops->conv_wgrad = cuda_conv_wgrad;
    ops->conv_library = &conv_library_cuda;
}
