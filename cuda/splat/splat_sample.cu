/* Drawing pixels by weight. Mirrors cpu/splat/splat_sample.c: a warp runs through a row, 32 pixels
 * at a time: a lane has the weight of one, and all lanes add these up pixel by pixel, so that the
 * sums have the bits of the CPU's. */
#include "cuda/splat/splat_cuda.h"
#include "cuda/splat/target_stream.h"

extern "C" {
#include "base/arena.h"
#include "device/splat_draws.h"
}

enum { BLOCK = 128 };

struct sampler {
    struct splat_scene scene;
    struct splat_target target;
    struct device *device;
    enum splat_sampling weight;
    bool residual, rendered;
    bool kept; /* the image is still there, whole, from when the weights were summed */
    /* device memory, in the place of the gradient records */
    double *row_mass, *row_start;
    struct splat_draw *draws;
    int64_t *row_draw;
    int64_t *pixel, *taken, taken_count;
    float *xy, *color; /* the caller's */
};

static size_t cuda_splat_sample_layout(struct sampler *s, void *memory, int height,
                                       int64_t capacity)
{
    size_t n = (size_t)capacity, rows = (size_t)height;
    struct arena arena = {memory, 0};
    s->row_mass = (double *)arena_take(&arena, rows * sizeof(double));
    s->row_start = (double *)arena_take(&arena, (rows + 1) * sizeof(double));
    s->row_draw = (int64_t *)arena_take(&arena, (rows + 1) * sizeof(int64_t));
    s->draws = (struct splat_draw *)arena_take(&arena, n * sizeof(struct splat_draw));
    s->pixel = (int64_t *)arena_take(&arena, n * sizeof(int64_t));
    s->taken = (int64_t *)arena_take(&arena, n * sizeof(int64_t));
    return arena.used;
}

size_t splat_cuda_sample_bytes(int height, int64_t capacity)
{
    struct sampler s;
    return cuda_splat_sample_layout(&s, NULL, height, capacity);
}

/* Where the rendered samples of a row lie; NULL: nothing is rendered. */
template <typename T>
static __device__ __forceinline__ const T *rendered_row(const struct sampler &s,
                                                        const struct splat_band &b, int y)
{
    if (!s.rendered) return NULL;
    return (const T *)s.scene.color + (int64_t)(y - b.y0) * s.target.channels * b.pitch;
}

template <typename T>
static __device__ double cuda_splat_sample_weight_at(const struct sampler &s,
                                                     const struct splat_band &b, const T *color,
                                                     int y, int x)
{
    int rows[3] = {max(y - 1, 0), y, min(y + 1, s.target.height - 1)};
    int columns[3] = {max(x - 1, 0), x, min(x + 1, s.target.width - 1)};
    double sum = 0;
    for (int c = 0; c < s.target.channels; c++) {
        float p[3][3];
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                p[i][j] = splat_target_sample(&s.target, rows[i], columns[j], c);
        sum += s.weight == SPLAT_SAMPLE_GRADIENT
                   ? splat_sobel_square(&p[0][1], &p[1][1], &p[2][1])
                   : splat_blurred_error(
                         &p[0][1], &p[1][1], &p[2][1],
                         cuda_splat_scene_image_load(color + (int64_t)c * b.pitch + x));
    }
    return splat_draw_weight(s.weight, sum, s.target.channels) *
           (double)splat_target_weight(&s.target, y, x);
}

/* Pixel (y, x) goes to draw `index`; color NULL: nothing was rendered here. */
template <typename T>
static __device__ void cuda_splat_sample_take(const struct sampler &s, const struct splat_band &b,
                                              int64_t index, int y, int x, const T *color)
{
    int channels = s.target.channels;
    s.xy[2 * index] = ((float)x + 0.5f) / (float)s.target.width;
    s.xy[2 * index + 1] = ((float)y + 0.5f) / (float)s.target.height;
    for (int c = 0; c < channels; c++) {
        float wanted = splat_target_sample(&s.target, y, x, c);
        if (s.residual)
            wanted =
                color ? wanted - cuda_splat_scene_image_load(color + (int64_t)c * b.pitch + x) : 0;
        s.color[index * channels + c] = wanted;
    }
    s.pixel[index] = (int64_t)y * s.target.width + x;
}

/* Adds the lanes' weights to `mass` one after the other; *mine: the sum up to this lane's.
 * `weights`: shared, one a thread of the block. */
static __device__ __forceinline__ double add_lanes(double *weights, double weight, double mass,
                                                   double *mine)
{
    int lane = (int)threadIdx.x % 32;
    double *list = weights + (threadIdx.x - (unsigned)lane);
    list[lane] = weight;
    __syncwarp(0xffffffffu);
    for (int k = 0; k < 32; k++) {
        mass += list[k];
        if (k == lane) *mine = mass;
    }
    __syncwarp(0xffffffffu);
    return mass;
}

template <typename T>
static __global__ void __launch_bounds__(BLOCK) sum_kernel(struct sampler s, struct splat_band b)
{
    __shared__ double weights[BLOCK];
    int lane = (int)threadIdx.x % 32, y = b.first + (int)((blockIdx.x * BLOCK + threadIdx.x) / 32);
    if (y >= b.last) return;
    const T *color = rendered_row<T>(s, b, y);
    double mass = 0, mine = 0;
    for (int x = lane; x - lane < s.target.width; x += 32) {
        bool inside = x < s.target.width;
        double weight = inside ? cuda_splat_sample_weight_at(s, b, color, y, x) : 0;
        mass = add_lanes(weights, weight, mass, &mine);
    }
    if (lane == 0) s.row_mass[y] = mass;
}

/* The first of the row's draws [from, end) that does not lie below `mass`. */
static __device__ int64_t draw_after(const struct sampler &s, int y, double mass, int64_t from,
                                     int64_t end)
{
    while (from < end) {
        int64_t middle = from + (end - from) / 2;
        if (s.draws[middle].mass - s.row_start[y] < mass)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

template <typename T>
static __global__ void __launch_bounds__(BLOCK) place_kernel(struct sampler s, struct splat_band b)
{
    __shared__ double weights[BLOCK];
    int lane = (int)threadIdx.x % 32, y = b.first + (int)((blockIdx.x * BLOCK + threadIdx.x) / 32);
    if (y >= b.last) return;
    const T *color = rendered_row<T>(s, b, y);
    int64_t k = s.row_draw[y], end = s.row_draw[y + 1];
    double mass = 0, mine = 0;
    for (int x = lane; x - lane < s.target.width && k < end; x += 32) {
        bool inside = x < s.target.width;
        double weight = inside ? cuda_splat_sample_weight_at(s, b, color, y, x) : 0, before = mass;
        mass = add_lanes(weights, weight, mass, &mine);
        int64_t next = draw_after(s, y, mass, k, end);
        if (next == k) continue; /* none falls on these pixels */
        double left = __shfl_up_sync(0xffffffffu, mine, 1);
        int64_t first = draw_after(s, y, lane > 0 ? left : before, k, next);
        int64_t last = draw_after(s, y, mine, first, next);
        int64_t pixel = (int64_t)y * s.target.width + x;
        /* more draws on one pixel are drawn again */
        if (inside && first < last && !splat_pixel_taken(s.taken, s.taken_count, pixel))
            cuda_splat_sample_take(s, b, s.draws[first].index, y, x, color);
        k = next;
    }
}

static __global__ void rest_kernel(struct sampler s, struct splat_band b, int64_t n)
{
    int64_t k = (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    if (k >= n) return;
    int64_t pixel = (int64_t)s.draws[k].mass;
    int row = (int)(pixel / s.target.width), column = (int)(pixel % s.target.width);
    if (row >= b.first && row < b.last)
        cuda_splat_sample_take(s, b, s.draws[k].index, row, column, (const float *)NULL);
}

static void cuda_splat_sample_sum_rows(const struct sampler *s, const struct splat_band *b,
                                       int64_t n)
{
    unsigned blocks = cuda_blocks((size_t)(b->last - b->first) * 32, BLOCK);
    (void)n;
    if (s->scene.half)
        LAUNCH(sum_kernel<uint16_t>, blocks, BLOCK, 0, s->scene.device->stream, *s, *b);
    else
        LAUNCH(sum_kernel<float>, blocks, BLOCK, 0, s->scene.device->stream, *s, *b);
}

static void place_rows(const struct sampler *s, const struct splat_band *b, int64_t n)
{
    unsigned blocks = cuda_blocks((size_t)(b->last - b->first) * 32, BLOCK);
    (void)n;
    if (s->scene.half)
        LAUNCH(place_kernel<uint16_t>, blocks, BLOCK, 0, s->scene.device->stream, *s, *b);
    else
        LAUNCH(place_kernel<float>, blocks, BLOCK, 0, s->scene.device->stream, *s, *b);
}

static void rest_rows(const struct sampler *s, const struct splat_band *b, int64_t n)
{
    LAUNCH(rest_kernel, cuda_blocks((size_t)n, BLOCK), BLOCK, 0, s->scene.device->stream, *s, *b,
           n);
}

/* Runs one of these over all bands, with the target's rows, rendering them first where asked. */
static int cuda_splat_sample_visit_rows(const struct sampler *s, bool render,
                                        void (*visit)(const struct sampler *,
                                                      const struct splat_band *, int64_t),
                                        int64_t n)
{
    struct splat_band b;
    struct target_stream stream;
    TRY(target_stream_open(&stream, &s->scene, &s->target));
    for (int first = 0; splat_scene_band(&s->scene, first, false, &b); first = b.last) {
        struct sampler here = *s;
        if (render) splat_tile_render(&s->scene, &b, false);
        TRY(target_stream_acquire(&stream, &here.target));
        visit(&here, &b, n);
        TRY(target_stream_release(&stream));
    }
    return OK;
}

static int cuda_splat_sample_sum(void *argument, struct splat_draws *d)
{
    struct sampler *s = (struct sampler *)argument;
    TRY(s->device->upload(s->device, s->pixel, d->pixel, (size_t)d->count * sizeof *d->pixel));
    TRY(cuda_splat_sample_visit_rows(s, s->rendered, cuda_splat_sample_sum_rows, 0));
    s->kept = s->rendered && s->scene.band_rows >= s->scene.height;
    TRY(s->device->download(s->device, d->row_mass, s->row_mass,
                            (size_t)d->height * sizeof(double)));
    return s->device->synchronize(s->device);
}

static int cuda_splat_sample_place(void *argument, struct splat_draws *d, int64_t n)
{
    struct sampler *s = (struct sampler *)argument;
    struct device *device = s->device;
    size_t rows = (size_t)d->height + 1;
    TRY(device->upload(device, s->row_start, d->row_start, rows * sizeof(double)));
    TRY(device->upload(device, s->row_draw, d->row_draw, rows * sizeof(int64_t)));
    TRY(device->upload(device, s->draws, d->draws, (size_t)n * sizeof(struct splat_draw)));
    s->taken_count = d->taken_count;
    if (d->taken_count > 0)
        TRY(device->upload(device, s->taken, d->taken, (size_t)d->taken_count * sizeof *d->taken));
    TRY(cuda_splat_sample_visit_rows(s, s->rendered && !s->kept, place_rows, n));
    TRY(device->download(device, d->pixel, s->pixel, (size_t)d->count * sizeof *d->pixel));
    return device->synchronize(device);
}

static int cuda_splat_sample_rest(void *argument, struct splat_draws *d, int64_t n)
{
    struct sampler *s = (struct sampler *)argument;
    TRY(s->device->upload(s->device, s->draws, d->draws, (size_t)n * sizeof(struct splat_draw)));
    TRY(cuda_splat_sample_visit_rows(s, false, rest_rows, n));
    return s->device->synchronize(s->device);
}

int splat_cuda_sample(struct device *device, const struct splat_workspace *workspace,
                      const struct splat_view *view, const struct splat_blend *blend,
                      const struct splat_target *target, const struct splat_sample *sample)
{
    struct sampler s;
    struct splat_view none;
    memset(&s, 0, sizeof s);
    memset(&none, 0, sizeof none);
    none.channels = target->channels;
    if (sample->count > workspace->capacity)
        return fail(ERR_INTERNAL, "%lld pixels to draw, the workspace is for %lld",
                    (long long)sample->count, (long long)workspace->capacity);
    TRY(splat_scene_open(&s.scene, device, workspace, view ? view : &none, blend, target->width,
                         target->height));
    cuda_splat_sample_layout(&s, s.scene.record, target->height, workspace->capacity);
    s.target = *target;
    s.device = device;
    s.weight = sample->weight;
    s.residual = sample->residual;
    s.rendered = view != NULL;
    s.xy = sample->xy;
    s.color = sample->color;
    if (view) splat_scene_project(&s.scene, view);
    struct splat_draws draws;
    memset(&draws, 0, sizeof draws);
    draws.width = target->width;
    draws.height = target->height;
    draws.count = sample->count;
    draws.seed = sample->seed;
    draws.stream = sample->stream;
    draws.step = sample->step;
    struct splat_drawing drawing = {&s, cuda_splat_sample_sum, cuda_splat_sample_place,
                                    cuda_splat_sample_rest};
    void *memory = malloc(splat_draws_layout(&draws, NULL));
    if (!memory)
        return fail(ERR_SYSTEM, "out of memory for drawing %lld pixels", (long long)sample->count);
    splat_draws_layout(&draws, memory);
    int code = splat_draws_run(&draws, &drawing);
    if (code != OK)
        (void)cudaStreamSynchronize(cuda_stream(device)); /* copies of it may be on their way */
    free(memory);
    return code;
}
