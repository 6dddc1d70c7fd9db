/* Dense 3x3 convolutions of any width: the products of the definition, in fp32 whatever the type. A
 * block makes 8x8 outputs of 32 channels from pieces of 8 input channels in shared memory. Every
 * output is one sum in one order, wherever in its tile it lies. */
#include "cuda/nn/conv_cuda.h"

enum {
    EDGE = 8,        /* pixels of a tile, across and down */
    HALO = EDGE + 2, /* with the border of one pixel */
    DEPTH = 8,       /* input channels at a time */
    WIDTH = 32,      /* output channels of a block */
    PIXELS = 4,      /* of a thread, side by side */
    CHANNELS = 4,    /* of a thread */
    DENSE_THREADS = EDGE * EDGE * WIDTH / (PIXELS * CHANNELS),
    WGRAD_SIDE = 16, /* channels of either tensor of a block of wgrad: a thread for each pair */
};

struct dense_place {
    size_t image;
    int y, x;
};

static __host__ __device__ inline int dense_across(int size)
{
    return (size + EDGE - 1) / EDGE;
}

static __device__ inline struct dense_place dense_place_of(const struct nn_conv &s, size_t tile)
{
    int across = dense_across(s.w), tiles = across * dense_across(s.h);
    int in_image = (int)(tile % tiles);
    return {tile / tiles, in_image / across * EDGE, in_image % across * EDGE};
}

/* to[side][side][count] = channels first .. first + count - 1 of the tile with a border of
 * (side - EDGE) / 2 pixels, 0 outside. */
template <int SIDE, int COUNT, typename T>
static __device__ inline void dense_load(float *to, const T *from, const struct nn_conv &s,
                                         struct dense_place place, int channels, int first)
{
    const int border = (SIDE - EDGE) / 2;
    for (int i = threadIdx.x; i < SIDE * SIDE * COUNT; i += blockDim.x) {
        int c = first + i % COUNT, x = place.x + i / COUNT % SIDE - border;
        int y = place.y + i / COUNT / SIDE - border;
        bool inside = c < channels && x >= 0 && x < s.w && y >= 0 && y < s.h;
        size_t pixel = (place.image * s.h + y) * s.w + x;
        to[i] = inside ? cuda_element_element(from, pixel * channels + c) : 0;
    }
}

/* to[9][DEPTH][WIDTH]: weights from `depth` on to channel `first` on, 0 outside. */
static __device__ inline void dense_load_weights(float *to, const float *weights,
                                                 const struct nn_conv &s, bool adjoint, int depth,
                                                 int first)
{
    int inputs = adjoint ? s.cout : s.cin, outputs = adjoint ? s.cin : s.cout;
    for (int i = threadIdx.x; i < 9 * DEPTH * WIDTH; i += blockDim.x) {
        int o = first + i % WIDTH, c = depth + i / WIDTH % DEPTH, tap = i / WIDTH / DEPTH;
        size_t pair = adjoint ? (size_t)c * s.cin + o : (size_t)o * s.cin + c;
        bool inside = o < outputs && c < inputs;
        to[i] = inside ? weights[pair * 9 + (adjoint ? 8 - tap : tap)] : 0;
    }
}

template <typename T, typename F>
static __global__ void __launch_bounds__(DENSE_THREADS)
    dense_kernel(T *out, const F *in, const float *weights, struct nn_conv s, bool adjoint,
                 struct nn_epilogue e)
{
    __shared__ __align__(16) float halo[HALO * HALO * DEPTH];
    __shared__ __align__(16) float shared[9 * DEPTH * WIDTH]; /* weights; afterwards sums */
    int inputs = adjoint ? s.cout : s.cin, outputs = adjoint ? s.cin : s.cout;
    struct dense_place place = dense_place_of(s, blockIdx.x);
    int first = blockIdx.y * WIDTH, mine = threadIdx.x % (WIDTH / CHANNELS) * CHANNELS;
    int group = threadIdx.x / (WIDTH / CHANNELS); /* of PIXELS pixels */
    int row = group / (EDGE / PIXELS), column = group % (EDGE / PIXELS) * PIXELS;
    float sum[PIXELS][CHANNELS] = {};
    for (int depth = 0; depth < inputs; depth += DEPTH) {
        dense_load<HALO, DEPTH>(halo, in, s, place, inputs, depth);
        dense_load_weights(shared, weights, s, adjoint, depth, first);
        __syncthreads();
        for (int tap = 0; tap < 9; tap++) {
            const float *x = halo + ((row + tap / 3) * HALO + column + tap % 3) * DEPTH;
            const float *w = shared + tap * DEPTH * WIDTH + mine;
            for (int c = 0; c < DEPTH; c++, w += WIDTH) {
                float4 four = *reinterpret_cast<const float4 *>(w);
                UNROLL
                for (int p = 0; p < PIXELS; p++) {
                    float value = x[p * DEPTH + c];
                    sum[p][0] += value * four.x, sum[p][1] += value * four.y;
                    sum[p][2] += value * four.z, sum[p][3] += value * four.w;
                }
            }
        }
        __syncthreads();
    }
    UNROLL
    for (int p = 0; p < PIXELS; p++)
        UNROLL
    for (int k = 0; k < CHANNELS; k++)
        shared[(row * EDGE + column + p) * WIDTH + conv_sum_at(mine + k)] = sum[p][k];
    __syncthreads();
    const int lanes = WIDTH / 8;
    for (int p = threadIdx.x / lanes; p < EDGE * EDGE; p += DENSE_THREADS / lanes) {
        int y = place.y + p / EDGE, x = place.x + p % EDGE;
        if (y < s.h && x < s.w)
            conv_store_row(e, out, shared + p * WIDTH, (place.image * s.h + y) * s.w + x, first,
                           WIDTH, outputs, threadIdx.x % lanes, lanes);
    }
}

int conv_dense_tiles(const struct nn_conv *s)
{
    return dense_across(s->w) * dense_across(s->h);
}

void conv_dense(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    enum nn_type from = p->adjoint ? s->out_type : s->in_type;
    enum nn_type to = p->adjoint ? s->in_type : s->out_type;
    int outputs = p->adjoint ? s->cin : s->cout;
    dim3 grid((unsigned)(s->n * conv_dense_tiles(s)), (unsigned)((outputs + WIDTH - 1) / WIDTH));
    WITH_TYPE(
        to, T,
        WITH_TYPE(from, F,
                  LAUNCH((dense_kernel<T, F>), grid, DENSE_THREADS, 0, p->device->stream,
                         (T *)p->to, (const F *)p->from, p->weights, *s, p->adjoint, p->epilogue)));
}

/* sums[piece][cout][cin][9] over the tiles of a piece. */
template <typename I, typename O>
static __global__ void __launch_bounds__(WGRAD_SIDE *WGRAD_SIDE)
    dense_wgrad_kernel(float *sums, const I *in, const O *dout, struct nn_conv s, int chunk_tiles,
                       int piece_tiles, int pieces, size_t tiles)
{
    __shared__ float halo[HALO * HALO * WGRAD_SIDE], middle[EDGE * EDGE * WGRAD_SIDE];
    size_t begin = (size_t)(blockIdx.x / pieces) * chunk_tiles;
    size_t tile = begin + (size_t)(blockIdx.x % pieces) * piece_tiles;
    size_t last = min(min(tile + piece_tiles, begin + chunk_tiles), tiles);
    int o = threadIdx.x / WGRAD_SIDE, c = threadIdx.x % WGRAD_SIDE;
    int first_out = blockIdx.y * WGRAD_SIDE, first_in = blockIdx.z * WGRAD_SIDE;
    float sum[9] = {};
    for (; tile < last; tile++) {
        struct dense_place place = dense_place_of(s, tile);
        dense_load<HALO, WGRAD_SIDE>(halo, in, s, place, s.cin, first_in);
        dense_load<EDGE, WGRAD_SIDE>(middle, dout, s, place, s.cout, first_out);
        __syncthreads();
        for (int p = 0; p < EDGE * EDGE; p++) {
            float d = middle[p * WGRAD_SIDE + o];
            const float *x = halo + (p / EDGE * HALO + p % EDGE) * WGRAD_SIDE + c;
            UNROLL
            for (int tap = 0; tap < 9; tap++)
                sum[tap] += d * x[(tap / 3 * HALO + tap % 3) * WGRAD_SIDE];
        }
        __syncthreads();
    }
    o += first_out, c += first_in;
    if (o >= s.cout || c >= s.cin) return;
    float *to = sums + (((size_t)blockIdx.x * s.cout + o) * s.cin + c) * 9;
    UNROLL
    for (int tap = 0; tap < 9; tap++)
        to[tap] = sum[tap];
}

void conv_dense_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, const struct conv_cut *cut, int chunks)
{
    dim3 grid((unsigned)(chunks * cut->pieces), (unsigned)((s->cout + WGRAD_SIDE - 1) / WGRAD_SIDE),
              (unsigned)((s->cin + WGRAD_SIDE - 1) / WGRAD_SIDE));
    size_t tiles = (size_t)s->n * conv_dense_tiles(s);
    WITH_TYPE(s->in_type, I,
              WITH_TYPE(s->out_type, O,
                        LAUNCH((dense_wgrad_kernel<I, O>), grid, WGRAD_SIDE * WGRAD_SIDE, 0,
                               device->stream, sums, (const I *)in, (const O *)dout, *s,
                               cut->chunk_units, cut->piece_units, cut->pieces, tiles)));
}
