/* Dense 3x3 convolutions of any width: the products of the definition, in fp32 whatever the type. A
 * block makes 8x8 outputs of WIDTH channels from pieces of DEPTH input channels in shared memory:
 * of 32 from 8, or fewer where tensors of few channels (colours, enlarged ones) would leave most of
 * these empty. Every output is one sum in one order, wherever in its tile it lies. */
#include "cuda/nn/conv_cuda.h"

enum {
    EDGE = 8,          /* pixels of a tile, across and down */
    HALO = EDGE + 2,   /* with the border of one pixel */
    PIXELS = 4,        /* of a thread, side by side */
    CHANNELS = 4,      /* of a thread */
    WGRAD_PAIRS = 256, /* of channels of a block of wgrad: a thread for each */
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
template <int DEPTH, int WIDTH>
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

template <int WIDTH> static constexpr __host__ __device__ int dense_threads()
{
    return EDGE * EDGE * WIDTH / (PIXELS * CHANNELS);
}

template <int DEPTH, int WIDTH, typename T, typename F>
static __global__ void __launch_bounds__(dense_threads<WIDTH>(), 8)
    dense_kernel(T *out, const F *in, const float *weights, struct nn_conv s, bool adjoint,
                 struct nn_epilogue e)
{
    const int most = 9 * DEPTH > EDGE * EDGE ? 9 * DEPTH : EDGE * EDGE;
    __shared__ __align__(16) float halo[HALO * HALO * DEPTH];
    __shared__ __align__(16) float shared[most * WIDTH]; /* weights; afterwards sums */
    int inputs = adjoint ? s.cout : s.cin, outputs = adjoint ? s.cin : s.cout;
    struct dense_place place = dense_place_of(s, blockIdx.x);
    int first = blockIdx.y * WIDTH, mine = threadIdx.x % (WIDTH / CHANNELS) * CHANNELS;
    int group = threadIdx.x / (WIDTH / CHANNELS); /* of PIXELS pixels */
    int row = group / (EDGE / PIXELS), column = group % (EDGE / PIXELS) * PIXELS;
    float sum[PIXELS][CHANNELS] = {};
    for (int depth = 0; depth < inputs; depth += DEPTH) {
        dense_load<HALO, DEPTH>(halo, in, s, place, inputs, depth);
        dense_load_weights<DEPTH, WIDTH>(shared, weights, s, adjoint, depth, first);
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
    for (int p = threadIdx.x / lanes; p < EDGE * EDGE; p += dense_threads<WIDTH>() / lanes) {
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

template <int DEPTH, int WIDTH> static void dense_launch(const struct conv_pass *p)
{
    const struct nn_conv *s = &p->shape;
    enum nn_type from = p->adjoint ? s->out_type : s->in_type;
    enum nn_type to = p->adjoint ? s->in_type : s->out_type;
    int outputs = p->adjoint ? s->cin : s->cout;
    dim3 grid((unsigned)(s->n * conv_dense_tiles(s)), (unsigned)((outputs + WIDTH - 1) / WIDTH));
    WITH_TYPE(to, T,
              WITH_TYPE(from, F,
                        LAUNCH((dense_kernel<DEPTH, WIDTH, T, F>), grid, dense_threads<WIDTH>(), 0,
                               p->device->stream, (T *)p->to, (const F *)p->from, p->weights, *s,
                               p->adjoint, p->epilogue)));
}

/* By the numbers of channels alone, so that all images have the same bits. */
void conv_dense(const struct conv_pass *p)
{
    int inputs = p->adjoint ? p->shape.cout : p->shape.cin;
    int outputs = p->adjoint ? p->shape.cin : p->shape.cout;
    bool shallow = (inputs + 7) % 8 < 4; /* whole fours leave less empty than eights */
    if (shallow)
        dense_launch<4, 32>(p);
    else if (outputs <= 16)
        dense_launch<8, 16>(p);
    else
        dense_launch<8, 32>(p);
}

/* sums[piece][cout][cin][9] over the tiles of a piece; a block has INS x OUTS pairs. */
template <int INS, int OUTS, typename I, typename O>
static __global__ void __launch_bounds__(WGRAD_PAIRS)
    dense_wgrad_kernel(float *sums, const I *in, const O *dout, struct nn_conv s, int chunk_tiles,
                       int piece_tiles, int pieces, size_t tiles)
{
    __shared__ float halo[HALO * HALO * INS], middle[EDGE * EDGE * OUTS];
    size_t begin = (size_t)(blockIdx.x / pieces) * chunk_tiles;
    size_t tile = begin + (size_t)(blockIdx.x % pieces) * piece_tiles;
    size_t last = min(min(tile + piece_tiles, begin + chunk_tiles), tiles);
    int o = threadIdx.x / INS, c = threadIdx.x % INS;
    int first_out = blockIdx.y * OUTS, first_in = blockIdx.z * INS;
    float sum[9] = {};
    for (; tile < last; tile++) {
        struct dense_place place = dense_place_of(s, tile);
        dense_load<HALO, INS>(halo, in, s, place, s.cin, first_in);
        dense_load<EDGE, OUTS>(middle, dout, s, place, s.cout, first_out);
        __syncthreads();
        for (int p = 0; p < EDGE * EDGE; p++) {
            float d = middle[p * OUTS + o];
            const float *x = halo + (p / EDGE * HALO + p % EDGE) * INS + c;
            UNROLL
            for (int tap = 0; tap < 9; tap++)
                sum[tap] += d * x[(tap / 3 * HALO + tap % 3) * INS];
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

template <int INS, int OUTS>
static void dense_launch_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                                const void *in, const void *dout, const struct conv_cut *cut,
                                int chunks)
{
    dim3 grid((unsigned)(chunks * cut->pieces), (unsigned)((s->cout + OUTS - 1) / OUTS),
              (unsigned)((s->cin + INS - 1) / INS));
    size_t tiles = (size_t)s->n * conv_dense_tiles(s);
    WITH_TYPE(s->in_type, I,
              WITH_TYPE(s->out_type, O,
                        LAUNCH((dense_wgrad_kernel<INS, OUTS, I, O>), grid, WGRAD_PAIRS, 0,
                               device->stream, sums, (const I *)in, (const O *)dout, *s,
                               cut->chunk_units, cut->piece_units, cut->pieces, tiles)));
}

void conv_dense_pieces(struct cuda_device *device, const struct nn_conv *s, float *sums,
                       const void *in, const void *dout, const struct conv_cut *cut, int chunks)
{
    if (s->cin <= 4)
        dense_launch_pieces<4, 64>(device, s, sums, in, dout, cut, chunks);
    else if (s->cout <= 4)
        dense_launch_pieces<64, 4>(device, s, sums, in, dout, cut, chunks);
    else
        dense_launch_pieces<16, 16>(device, s, sums, in, dout, cut, chunks);
}
