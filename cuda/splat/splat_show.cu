/* Images as they are shown: rendered in floats, a band of rows at a time, and made into samples on
 * the device, so that only these come to the host. Two halves of the staging memory take turns: the
 * host hands on the rows in one of them while the next ones are made. Mirrors splat/render.c. */
#include "cuda/splat/splat_show.h"
#include "math/shown_sample.h"

enum { THREADS = 128, HALVES = 2, MARK_SHOWN = DEVICE_OWN_MARKS + 8 };
static_assert((int)MARK_SHOWN + (int)HALVES <= (int)DEVICE_MARKS, "too many marks");

/* Bytes of rows that come down at once, where a row is not larger. */
static const size_t rows_bytes = (size_t)4 << 20;

size_t splat_show_staging_bytes(int width, int height, int channels)
{
    size_t row = (size_t)width * (size_t)channels * sizeof(float), whole = row * (size_t)height;
    size_t half = row > rows_bytes ? row : rows_bytes;
    return HALVES * (half < whole ? half : whole);
}

/* ---- samples ---- */

/* Where a kernel finds what it shows. */
struct shown_part {
    const float *color; /* [row][channel][pitch] of the band, from the window's first column on */
    int pitch, channels;
    int in_width, in_height; /* of the window */
    int top;                 /* row of the window that the band begins with */
    int first;               /* row of the image that `out` begins with */
    struct splat_display display;
};

static __device__ __forceinline__ float kept_sample(float v, uint8_t *)
{
    return (float)shown_level(v, 255.0f);
}
static __device__ __forceinline__ float kept_sample(float v, uint16_t *)
{
    return (float)shown_level(v, 65535.0f);
}
static __device__ __forceinline__ float kept_sample(float v, float *)
{
    return v;
}

static __device__ __forceinline__ void store_sample(uint8_t *out, float v)
{
    *out = (uint8_t)(fminf(v, 255.0f) + 0.5f);
}
static __device__ __forceinline__ void store_sample(uint16_t *out, float v)
{
    *out = (uint16_t)(fminf(v, 65535.0f) + 0.5f);
}
static __device__ __forceinline__ void store_sample(float *out, float v)
{
    *out = v;
}

/* What pixel i of `out` covers of `in`, in units of 1 / out. As area_taps of image/resize.c. */
struct area {
    int64_t low, high;
    int first, last; /* inclusive */
    int in, out;
};

static __device__ __forceinline__ struct area area_of(int i, int in, int out)
{
    int64_t low = (int64_t)i * in, high = low + in;
    return {low, high, (int)(low / out), (int)((high - 1) / out), in, out};
}

static __device__ __forceinline__ float area_weight(const struct area &a, int j)
{
    int64_t from = (int64_t)j * a.out, to = from + a.out;
    return (float)(min(to, a.high) - max(from, a.low)) / (float)a.in;
}

/* The mean over the area of channel c as it is kept; weighted: times the alpha of each pixel. */
template <typename T>
static __device__ float shown_mean(const struct shown_part &p, const struct area &x,
                                   const struct area &y, int c, bool weighted)
{
    int last = p.channels - 1;
    bool colour = !p.display.alpha || c < last;
    float sum = 0;
    for (int row = y.first; row <= y.last; row++) {
        const float *line = p.color + (int64_t)(row - p.top) * p.channels * p.pitch;
        float down = area_weight(y, row);
        for (int column = x.first; column <= x.last; column++) {
            const float *at = line + column;
            float v = at[(int64_t)c * p.pitch], alpha = at[(int64_t)last * p.pitch];
            if (colour) v = shown_color(v, p.display.alpha ? &alpha : NULL, p.display.power);
            v = kept_sample(v, (T *)NULL);
            if (weighted) v *= kept_sample(alpha, (T *)NULL);
            sum = fmaf(down * area_weight(x, column), v, sum);
        }
    }
    return sum;
}

template <typename T> static __global__ void show_kernel(struct shown_part p, T *out)
{
    int column = (int)(blockIdx.x * THREADS + threadIdx.x), width = p.display.width;
    if (column >= width) return;
    struct area x = area_of(column, p.in_width, width);
    struct area y = area_of(p.first + (int)blockIdx.y, p.in_height, p.display.height);
    bool weighted = p.display.weighted;
    int colours = weighted ? p.channels - 1 : p.channels;
    out += ((int64_t)blockIdx.y * width + column) * p.channels;
    float alpha = weighted ? shown_mean<T>(p, x, y, colours, false) : 1.0f;
    for (int c = 0; c < colours; c++) {
        float v = shown_mean<T>(p, x, y, c, weighted);
        if (weighted) v = alpha > 0 ? v / alpha : 0.0f;
        store_sample(out + c, v);
    }
    if (weighted) store_sample(out + colours, alpha);
}

/* ---- rows ---- */

struct shown_image {
    const struct splat_scene *scene;
    const struct splat_window *window;
    const struct splat_display *display;
    struct splat_band band; /* rendered last */
    int at_once;            /* rows that the colour buffer holds */
    size_t row, room;       /* bytes of a row, and of rows that come down at once */
    char *host;             /* HALVES times `room` */
};

/* The first row of the window that rows from `row` on need, and the one behind the last that those
 * before it need. */
static int needed_from(const struct shown_image *i, int row)
{
    return (int)((int64_t)row * i->window->height / i->display->height);
}
static int needed_to(const struct shown_image *i, int row)
{
    return (int)(((int64_t)row * i->window->height + i->display->height - 1) / i->display->height);
}

/* Rows of floats that the colour buffer holds, in whole tiles. */
static int splat_show_rows_at_once(const struct splat_scene *s, int pitch)
{
    size_t row = (size_t)s->channels * (size_t)pitch * sizeof(float);
    size_t rows = s->color_bytes / row / TILE * TILE;
    return rows < 4096 ? (int)rows : 4096;
}

/* Renders from the window's row `from` on. */
static void splat_show_render(struct shown_image *i, int from)
{
    const struct splat_window *w = i->window;
    struct splat_band *b = &i->band;
    b->first = w->y + from;
    b->y0 = b->first / TILE * TILE;
    b->last = b->y0 + i->at_once < w->y + w->height ? b->y0 + i->at_once : w->y + w->height;
    b->rows = (b->last - b->y0 + TILE - 1) / TILE * TILE;
    splat_tile_render_float(i->scene, b);
}

template <typename T>
static void splat_show_launch(const struct shown_image *i, int first, int count, char *out)
{
    const struct splat_scene *s = i->scene;
    const struct splat_window *w = i->window;
    struct shown_part part = {(const float *)s->color + (w->x - i->band.x0),
                              i->band.pitch,
                              s->channels,
                              w->width,
                              w->height,
                              i->band.y0 - w->y,
                              first,
                              *i->display};
    dim3 grid(cuda_blocks((size_t)i->display->width, THREADS), (unsigned)count);
    LAUNCH(show_kernel<T>, grid, THREADS, 0, s->device->stream, part, (T *)out);
}

/* Makes up to `most` rows from `first` on out of one band; returns how many. */
static int splat_show_band(struct shown_image *i, int first, int most, char *out)
{
    const struct splat_window *w = i->window;
    const struct splat_display *d = i->display;
    if (needed_to(i, first + 1) > i->band.last - w->y) splat_show_render(i, needed_from(i, first));
    int end = (int)((int64_t)(i->band.last - w->y) * d->height / w->height);
    int count = end - first < most ? end - first : most;
    if (count < 1) return 0;
    switch (d->sample_bits) {
    case 8: splat_show_launch<uint8_t>(i, first, count, out); break;
    case 16: splat_show_launch<uint16_t>(i, first, count, out); break;
    default: splat_show_launch<float>(i, first, count, out); break;
    }
    return count;
}

/* Queues rows from `first` on into a half of the staging memory; *count: how many. */
static int splat_show_queue(struct shown_image *i, int first, int half, int *count)
{
    struct device *device = &i->scene->device->base;
    int left = i->display->height - first, made = 0;
    int most = i->room / i->row < (size_t)left ? (int)(i->room / i->row) : left;
    char *rows = (char *)i->scene->gradient;
    while (made < most) {
        int more = splat_show_band(i, first + made, most - made, rows + (size_t)made * i->row);
        if (more == 0) break;
        made += more;
    }
    if (made < 1) return fail(ERR_INTERNAL, "no room for a row of an image that is shown");
    *count = made;
    TRY(device->download(device, i->host + (size_t)half * i->room, rows, (size_t)made * i->row));
    return device->mark(device, QUEUE_WORK, MARK_SHOWN + half);
}

static int splat_show_rows(struct shown_image *i, const struct splat_receiver *to)
{
    struct device *device = &i->scene->device->base;
    int first = 0, half = 0, next = 0;
    for (int count = 0; first < i->display->height; first += count, count = next, half ^= 1) {
        next = 0; /* rows behind those that are awaited below */
        if (first + count < i->display->height)
            TRY(splat_show_queue(i, first + count, half, &next));
        if (count == 0) continue;
        TRY(device->await_host(device, MARK_SHOWN + (half ^ 1)));
        TRY(to->put(to->argument, i->host + (size_t)(half ^ 1) * i->room, first, count));
    }
    return OK;
}

int splat_cuda_show(struct device *device, const struct splat_workspace *workspace,
                    const struct splat_view *view, const struct splat_blend *blend,
                    const struct splat_window *w, const struct splat_display *display,
                    const struct splat_receiver *to)
{
    struct splat_scene s;
    void *own = NULL;
    int code;
    TRY(splat_scene_open(&s, device, workspace, view, blend, w->full_width, w->full_height));
    struct shown_image i = {&s, w, display, {0, 0, 0, 0, w->x / TILE * TILE, 0}, 0, 0, 0, NULL};
    i.band.pitch = (w->x + w->width - i.band.x0 + TILE - 1) / TILE * TILE;
    i.at_once = splat_show_rows_at_once(&s, i.band.pitch);
    i.row = (size_t)display->width * (size_t)s.channels * (size_t)(display->sample_bits / 8);
    i.host = (char *)workspace->staging;
    i.room = i.host ? workspace->staging_bytes / HALVES : 0;
    if (i.room < i.row) {
        size_t bytes = splat_show_staging_bytes(display->width, display->height, s.channels);
        TRY(device->alloc_host(device, bytes, &own));
        i.host = (char *)own;
        i.room = bytes / HALVES;
    }
    if (i.room > s.gradient_bytes) i.room = s.gradient_bytes;
    splat_scene_project(&s, view);
    code = splat_show_rows(&i, to);
    if (code < 0) cudaStreamSynchronize(s.device->stream); /* copies to memory that is given back */
    device->free_host(device, own);
    return code;
}

/* ---- as floats ---- */

struct collected {
    float *out;
    size_t row; /* samples */
};

static int splat_show_collect(void *argument, const void *rows, int y, int count)
{
    const struct collected *c = (const struct collected *)argument;
    memcpy(c->out + (size_t)y * c->row, rows, (size_t)count * c->row * sizeof *c->out);
    return OK;
}

int splat_cuda_render(struct device *device, const struct splat_workspace *workspace,
                      const struct splat_view *view, const struct splat_blend *blend,
                      const struct splat_window *w, float *out)
{
    struct collected collected = {out, (size_t)w->width * (size_t)view->channels};
    const struct splat_display as_it_is = {w->width, w->height, 32, false, false, -1.0f};
    const struct splat_receiver receiver = {splat_show_collect, &collected};
    return splat_cuda_show(device, workspace, view, blend, w, &as_it_is, &receiver);
}
