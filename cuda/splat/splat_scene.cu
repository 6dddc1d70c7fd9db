/* Where Gaussians lie: their forms, and lists of them by region. */
#include "cuda/splat/splat_offload.h"
#include "cuda/splat/target_stream.h"

extern "C" {
#include "base/arena.h"
}

enum {
    BLOCK = 256,
    SCAN_BLOCK = 1024,
    SORT_BLOCK = 128,
    SORTED_MOST = 2048, /* of a list, in shared memory */
    MANY_REGIONS = 32,  /* of a Gaussian: its warp shares them */
    LIST_SHARE = 8
};

/* Partial gradients may take this much at most. */
static const size_t max_record_bytes = (size_t)64 << 20;

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* A Gaussian's gradient is summed in this many chunks at most, so that a large one is not one
 * warp's work. Depends on the capacity alone. */
static int part_count(int64_t capacity, size_t record)
{
    int parts = MAX_PARTS;
    while (parts > 1 && (size_t)capacity * (size_t)parts * record > max_record_bytes)
        parts /= 2;
    return parts;
}

static void layout_images(struct splat_scene *s, struct arena *arena, bool half)
{
    size_t sample = half ? sizeof(uint16_t) : sizeof(float), pitch = (size_t)s->tiles_x * TILE;
    size_t row = (size_t)s->channels * pitch, rows = (size_t)s->tiles_y * TILE;
    bool whole = s->band_rows >= s->height;
    size_t band = whole ? rows : (size_t)s->band_rows;
    s->color_bytes = (whole ? rows : band + 2 * TILE) * row * sample;
    /* rendering for the host takes float samples, and the rows of at least two tiles, where there
     * are as many: a pixel that is shown covers some, from any row of a tile on */
    size_t least = (s->tiles_y > 1 ? 2 : 1) * TILE * row * sizeof(float);
    if (s->color_bytes < least) s->color_bytes = least;
    s->color = arena_take(arena, s->color_bytes);
    s->gradient_bytes = band * row * sample;
    s->gradient = arena_take(arena, s->gradient_bytes);
    /* of floats, too, at least one row of tiles: splat_importance.cu */
    size_t side = band * pitch * sample, side_least = TILE * pitch * sizeof(float);
    s->threshold = arena_take(arena, side > side_least ? side : side_least);
    s->weight = arena_take(arena, side > side_least ? side : side_least);
}

size_t splat_scene_layout(struct splat_scene *s, const struct device *device, void *memory,
                          int width, int height, int channels, int64_t capacity,
                          const struct splat_storage *storage)
{
    size_t n = (size_t)capacity;
    memset(s, 0, sizeof *s);
    s->width = width;
    s->height = height;
    s->channels = channels;
    s->half = storage->half;
    s->tiles_x = divide_up(width, TILE);
    s->tiles_y = divide_up(height, TILE);
    s->regions_x = divide_up(width, REGION);
    s->regions_y = divide_up(height, REGION);
    s->band_rows = storage->bands && height > BAND_ROWS ? BAND_ROWS : s->tiles_y * TILE;
    size_t record = (size_t)(GAUSSIAN_SUMS + channels) * sizeof(float);
    size_t regions = (size_t)s->regions_x * (size_t)s->regions_y;
    s->parts = part_count(capacity, record);
    size_t room = n * LIST_SHARE + regions;
    s->list_room = room < INT32_MAX ? (int)room : INT32_MAX;

    struct arena arena = {memory, 0};
    s->form = (struct gaussian_form *)arena_take(&arena, n * sizeof *s->form);
    s->reach = (struct splat_reach *)arena_take(&arena, n * sizeof *s->reach);
    s->row_chunks = (struct splat_chunks *)arena_take(&arena, n * sizeof *s->row_chunks);
    s->region_count = (int *)arena_take(&arena, regions * sizeof(int));
    s->region_start = (int *)arena_take(&arena, regions * sizeof(int));
    s->region_next = (int *)arena_take(&arena, regions * sizeof(int));
    s->list = (int *)arena_take(&arena, (size_t)s->list_room * sizeof(int));
    s->tile_sums = (double *)arena_take(&arena, (size_t)s->tiles_x * (size_t)s->tiles_y *
                                                    PIXEL_SUMS * sizeof(double));
    s->ssim_sums = (double *)arena_take(&arena, splat_ssim_blocks(width, height, channels) * 2 *
                                                    sizeof(double));
    s->record_bytes = n * (size_t)s->parts * record;
    size_t sample = splat_cuda_sample_bytes(height, capacity);
    if (s->record_bytes < sample) s->record_bytes = sample;
    s->record = (float *)arena_take(&arena, s->record_bytes);
    layout_images(s, &arena, storage->half);
    s->stream_bytes = target_stream_bytes(s, storage->streamed_pixel);
    s->stream = (char *)arena_take(&arena, 2 * s->stream_bytes);
    if (storage->offload)
        s->offload_staging_bytes = splat_offload_staging_bytes(device, channels, capacity, storage);
    s->offload = arena_take(&arena, s->offload_staging_bytes);
    return arena.used;
}

int splat_scene_open(struct splat_scene *s, struct device *device,
                     const struct splat_workspace *workspace, const struct splat_view *view,
                     const struct splat_blend *blend, int width, int height)
{
    size_t bytes = splat_scene_layout(s, device, workspace->memory, width, height, view->channels,
                                      workspace->capacity, &workspace->storage);
    s->device = cuda_of(device);
    if (bytes > workspace->bytes || view->count > workspace->capacity)
        return fail(ERR_INTERNAL, "splat workspace of %zu bytes, %zu needed", workspace->bytes,
                    bytes);
    s->cut_power = gaussian_cut_power(splat_cut(blend));
    s->count = (int)view->count;
    s->feat = view->feat;
    s->weights = view->weight;
    s->staging = workspace->staging;
    s->blend = *blend;
    return OK;
}

bool splat_scene_band(const struct splat_scene *s, int first, bool ssim, struct splat_band *band)
{
    if (first >= s->height) return false;
    int last = first + s->band_rows < s->height ? first + s->band_rows : s->height;
    int y0 = ssim && first > 0 ? first - TILE : first;
    int end = divide_up(last, TILE) * TILE + (ssim && last < s->height ? TILE : 0);
    *band = {first, last, y0, end - y0, 0, s->tiles_x * TILE};
    return true;
}

/* ---- projection ---- */

static __device__ struct splat_reach reach_of(const struct splat_scene &s, float left, float right,
                                              float top, float bottom)
{
    struct splat_reach r;
    r.x0 = (short)(left > 0 ? (int)left / REGION : 0);
    r.y0 = (short)(top > 0 ? (int)top / REGION : 0);
    r.x1 = (short)(right < (float)s.width ? (int)right / REGION : s.regions_x - 1);
    r.y1 = (short)(bottom < (float)s.height ? (int)bottom / REGION : s.regions_y - 1);
    return r;
}

static __device__ struct splat_chunks row_chunks_of(const struct splat_scene &s, float top,
                                                    float bottom)
{
    struct splat_chunks k;
    k.first_row = top > 0 ? (int)top : 0;
    k.last_row = bottom < (float)s.height ? (int)bottom : s.height - 1;
    k.shift = FIRST_CHUNK;
    while ((k.last_row >> k.shift) - (k.first_row >> k.shift) >= s.parts)
        k.shift++;
    k.count = (k.last_row >> k.shift) - (k.first_row >> k.shift) + 1;
    return k;
}

/* Gaussian i in a region: counted or, with PLACE, put into the region's list if that has room. */
template <bool PLACE>
static __device__ __forceinline__ void list_add(const struct splat_scene &s, int i, int region)
{
    COUNT_WORK(1);
    if (!PLACE)
        atomicAdd(&s.region_count[region], 1);
    else if (s.region_count[region] > 0)
        s.list[atomicAdd(&s.region_next[region], 1)] = i;
}

/* Adds this thread's Gaussian to all of its regions. Every thread of the warp calls it. */
template <bool PLACE>
static __device__ void list_add_all(const struct splat_scene &s, int i, struct splat_reach r)
{
    int lane = (int)threadIdx.x % 32, wide = r.x1 - r.x0 + 1;
    int all = wide > 0 ? wide * (r.y1 - r.y0 + 1) : 0;
    int corner = r.y0 * s.regions_x + r.x0;
    unsigned shared = __ballot_sync(0xffffffffu, all > MANY_REGIONS);
    for (int k = 0; all <= MANY_REGIONS && k < all; k++)
        list_add<PLACE>(s, i, corner + k / wide * s.regions_x + k % wide);
    while (shared) {
        int from = __ffs((int)shared) - 1;
        shared &= shared - 1;
        int whose = __shfl_sync(0xffffffffu, i, from), n = __shfl_sync(0xffffffffu, all, from);
        int w = __shfl_sync(0xffffffffu, wide, from), c = __shfl_sync(0xffffffffu, corner, from);
        for (int k = lane; k < n; k += 32)
            list_add<PLACE>(s, whose, c + k / w * s.regions_x + k % w);
    }
}

/* Projects Gaussians and counts them in their regions. */
static __global__ void __launch_bounds__(BLOCK)
    cuda_splat_scene_project_kernel(struct splat_scene s, struct splat_view v, double fx, double fy)
{
    int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    struct splat_reach reach = {1, 1, 0, 0};
    if (i < s.count) {
        struct gaussian_form g = gaussian_form_of(v.xy + 2 * i, v.scale + 2 * i, v.rot[i],
                                                  v.sigma_scale, s.width, s.height, fx, fy);
        struct splat_chunks row_chunks = {0, -1, FIRST_CHUNK, 0};
        float top, bottom;
        if (gaussian_rows(&g, s.cut_power, s.height, &top, &bottom)) {
            /* as far to the sides: the form's other diagonal entry takes the place of the first */
            float half = sqrtf(s.cut_power * g.C / (g.A * g.row_power)) * 1.0001f + 0.001f;
            float left = g.mx - half, right = g.mx + half;
            if (right >= 0 && left < (float)s.width) { /* not for a NaN */
                reach = reach_of(s, left, right, top, bottom);
                row_chunks = row_chunks_of(s, top, bottom);
            }
        }
        s.form[i] = g;
        s.reach[i] = reach;
        s.row_chunks[i] = row_chunks;
    }
    list_add_all<false>(s, (int)i, reach);
}

/* ---- lists by region ---- */

/* Inclusive sum over the lanes before this one and its own. */
static __device__ __forceinline__ int64_t lanes_before(int64_t v)
{
    for (int step = 1; step < 32; step *= 2) {
        int64_t add = __shfl_up_sync(0xffffffffu, v, step);
        if ((int)threadIdx.x % 32 >= step) v += add;
    }
    return v;
}

/* Where each region's list starts. One that finds no room in the memory that was planned gets none:
 * its tiles then choose from all Gaussians, which costs time and changes no bit. */
static __global__ void __launch_bounds__(SCAN_BLOCK) start_kernel(struct splat_scene s, int regions)
{
    __shared__ int64_t sums[SCAN_BLOCK / 32]; /* of a warp and those before it */
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int64_t before = 0;
    for (int first = 0; first < regions; first += SCAN_BLOCK) {
        int r = first + (int)threadIdx.x, count = r < regions ? s.region_count[r] : 0;
        int64_t end = lanes_before(count);
        if (lane == 31) sums[warp] = end;
        __syncthreads();
        if (warp == 0) {
            int64_t sum = lanes_before(sums[lane]);
            sums[lane] = sum;
        }
        __syncthreads();
        end += before + (warp > 0 ? sums[warp - 1] : 0);
        if (r < regions && end <= s.list_room)
            s.region_start[r] = s.region_next[r] = (int)(end - count);
        if (r < regions && end > s.list_room) s.region_count[r] = -1;
        before += sums[SCAN_BLOCK / 32 - 1];
        __syncthreads();
    }
}

static __global__ void __launch_bounds__(BLOCK) list_kernel(struct splat_scene s)
{
    int i = (int)(blockIdx.x * BLOCK + threadIdx.x);
    struct splat_reach none = {1, 1, 0, 0};
    list_add_all<true>(s, i, i < s.count ? s.reach[i] : none);
}

/* Writes a long list anew, in its order: a run over all Gaussians. */
static __device__ void list_long(const struct splat_scene &s, int *list)
{
    __shared__ int counts[SORT_BLOCK / 32];
    int x = (int)blockIdx.x % s.regions_x, y = (int)blockIdx.x / s.regions_x;
    for (int first = 0; first < s.count; first += SORT_BLOCK) {
        int i = first + (int)threadIdx.x, total;
        struct splat_reach r = {1, 1, 0, 0};
        if (i < s.count) r = s.reach[i];
        COUNT_WORK(1);
        bool keep = r.x0 <= x && x <= r.x1 && r.y0 <= y && y <= r.y1;
        int place = block_place(keep, counts, &total);
        if (keep) list[place] = i;
        list += total;
        __syncthreads();
    }
}

/* A block sorts a region's list, so that it does not depend on who came first: by a bitonic network
 * over the next power of two. */
static __global__ void __launch_bounds__(SORT_BLOCK) sort_kernel(struct splat_scene s)
{
    __shared__ int part[SORTED_MOST];
    int count = s.region_count[blockIdx.x], size = 2;
    if (count <= 1) return;
    int *list = s.list + s.region_start[blockIdx.x];
    if (count > SORTED_MOST) {
        list_long(s, list);
        return;
    }
    while (size < count)
        size *= 2;
    for (int k = (int)threadIdx.x; k < size; k += SORT_BLOCK)
        part[k] = k < count ? list[k] : INT32_MAX;
    __syncthreads();
    for (int run = 2; run <= size; run *= 2)
        for (int step = run / 2; step > 0; step /= 2) {
            for (int k = (int)threadIdx.x; k < size / 2; k += SORT_BLOCK) {
                int low = 2 * k - (k & (step - 1)), high = low + step;
                int a = part[low], b = part[high];
                COUNT_WORK(1);
                if ((a > b) == ((low & run) == 0)) {
                    part[low] = b;
                    part[high] = a;
                }
            }
            __syncthreads();
        }
    for (int k = (int)threadIdx.x; k < count; k += SORT_BLOCK)
        list[k] = part[k];
}

void splat_scene_project(const struct splat_scene *s, const struct splat_view *view)
{
    unsigned regions = (unsigned)s->regions_x * (unsigned)s->regions_y;
    double fx = (double)s->width / view->width, fy = (double)s->height / view->height;
    unsigned blocks = cuda_blocks((size_t)s->count, BLOCK);
    cudaStream_t stream = s->device->stream;
    cuda_keep_error(cudaMemsetAsync(s->region_count, 0, regions * sizeof(int), stream),
                    "counts of regions");
    if (s->count > 0)
        LAUNCH(cuda_splat_scene_project_kernel, blocks, BLOCK, 0, stream, *s, *view, fx, fy);
    LAUNCH(start_kernel, 1, SCAN_BLOCK, 0, stream, *s, (int)regions);
    if (s->count == 0) return;
    LAUNCH(list_kernel, blocks, BLOCK, 0, stream, *s);
    LAUNCH(sort_kernel, regions, SORT_BLOCK, 0, stream, *s);
}
