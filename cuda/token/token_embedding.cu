/* Rows out of a table, and rows that are one token: see struct token_embedding and struct
 * token_pads in device/token_ops.h. */
#include "cuda/token/column_sums.h"
#include "cuda/token/matrix_element.h"
#include "cuda/token/token_cuda.h"

enum { EMBEDDING_THREADS = 128 };

template <typename T>
static __global__ void embedding_gather_kernel(float *out, const T *table, const int *ids,
                                               size_t count, int width)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    out[i] = token_element(table, (size_t)ids[i / width] * width + i % width);
}

static int cuda_embedding_gather(struct device *device, const struct token_embedding *e, float *out)
{
    TRY(token_check_embedding(e));
    size_t count = (size_t)e->rows * e->width;
    unsigned blocks = cuda_blocks(count, EMBEDDING_THREADS);
    cudaStream_t stream = cuda_stream(device);
    if (e->table_type == TOKEN_F32)
        LAUNCH((embedding_gather_kernel<float>), blocks, EMBEDDING_THREADS, 0, stream, out,
               (const float *)e->table, e->ids, count, e->width);
    else if (e->table_type == TOKEN_BF16)
        LAUNCH((embedding_gather_kernel<struct token_bf16>), blocks, EMBEDDING_THREADS, 0, stream,
               out, (const struct token_bf16 *)e->table, e->ids, count, e->width);
    else
        LAUNCH((embedding_gather_kernel<struct token_f16>), blocks, EMBEDDING_THREADS, 0, stream,
               out, (const struct token_f16 *)e->table, e->ids, count, e->width);
    return cuda_take_error();
}

/* A block for each row of the table and some of its columns: it looks for its own rows, in order.
 */
static __global__ void __launch_bounds__(EMBEDDING_THREADS)
    embedding_grad_kernel(float *dtable, const float *d, const int *ids, int rows, int width)
{
    int column = blockIdx.y * EMBEDDING_THREADS + threadIdx.x;
    if (column >= width) return;
    float *to = dtable + (size_t)blockIdx.x * width + column, total = 0;
    bool found = false;
    for (int row = 0; row < rows; row++) {
        if (ids[row] != (int)blockIdx.x) continue;
        if (!found) total = *to;
        found = true;
        total += d[(size_t)row * width + column];
    }
    if (found) *to = total;
}

static int cuda_embedding_grad(struct device *device, const struct token_embedding *e,
                               float *dtable, const float *d)
{
    TRY(token_check_embedding(e));
    dim3 grid((unsigned)e->count, cuda_blocks((size_t)e->width, EMBEDDING_THREADS));
    LAUNCH(embedding_grad_kernel, grid, EMBEDDING_THREADS, 0, cuda_stream(device), dtable, d,
           e->ids, e->rows, e->width);
    return cuda_take_error();
}

/* ---- pads ---- */

static __global__ void pads_set_kernel(float *x, const float *token, struct token_pads p)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)p.samples * p.tokens * p.width) return;
    int column, row = token_row_at(i, p.width, &column), sample = row / p.tokens;
    if (row - sample * p.tokens >= p.lengths[sample]) x[i] = token ? token[column] : 0;
}

static unsigned pads_blocks(const struct token_pads *p)
{
    return cuda_blocks((size_t)p->samples * p->tokens * p->width, EMBEDDING_THREADS);
}

static int cuda_pads_set(struct device *device, const struct token_pads *p, float *x,
                         const float *token)
{
    TRY(token_check_pads(p));
    LAUNCH(pads_set_kernel, pads_blocks(p), EMBEDDING_THREADS, 0, cuda_stream(device), x, token,
           *p);
    return cuda_take_error();
}

/* Of a column: the sum over a sample's pads. */
struct pads_columns {
    struct token_pads p;
    const float *dx;
    float *dtoken;

    __device__ void column_terms(float term[1], int row, int sample, int column) const
    {
        bool pad = row % p.tokens >= p.lengths[sample];
        term[0] = pad ? dx[(size_t)row * p.width + column] : 0;
    }
    __device__ void column_add(int i, int sample, int column, float sum) const
    {
        (void)i, (void)sample;
        dtoken[column] += sum;
    }
};

static int cuda_pads_backward(struct device *device, const struct token_pads *p, float *dtoken,
                              float *dx)
{
    TRY(token_check_pads(p));
    struct pads_columns columns = {*p, dx, dtoken};
    TRY(column_sums<1>(device, "pads", columns,
                       column_rows_of(p->samples * p->tokens, p->tokens, p->tokens), p->width));
    LAUNCH(pads_set_kernel, pads_blocks(p), EMBEDDING_THREADS, 0, cuda_stream(device), dx,
           (const float *)NULL, *p);
    return cuda_take_error();
}

void token_cuda_install_embedding(struct token_ops *ops)
{
    ops->embedding_gather = cuda_embedding_gather;
    ops->embedding_grad = cuda_embedding_grad;
    ops->pads_set = cuda_pads_set;
    ops->pads_backward = cuda_pads_backward;
}
