#include "sr/tiles.h"

#include "base/error.h"
#include "device/device.h"
#include "math/resampling.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"

#include <string.h>

enum { TURNS = 8, MIRROR = 1, UPSIDE_DOWN = 2, TRANSPOSE = 4 };

static int tiles_align(int pixels)
{
    return (pixels + SR_TILE_ALIGNMENT - 1) / SR_TILE_ALIGNMENT * SR_TILE_ALIGNMENT;
}

int sr_tiles_exact_overlap(const struct sr_design *design)
{
    return tiles_align(sr_network_radius(design));
}

int sr_tiles_overlap(const struct sr_design *design)
{
    int exact = sr_tiles_exact_overlap(design);
    return exact < SR_TILE_DEAR ? exact : SR_TILE_DEAR;
}

/* A mirrored tile begins where its end was, which may have to move by less than an alignment. */
int sr_tiles_margin(const struct sr_tile_ways *ways)
{
    return ways->overlap + (ways->turns ? SR_TILE_ALIGNMENT : 0);
}

static int declare_values(struct sr_tiles *t, int phase, struct plan *plan)
{
    const struct net *net = &t->net;
    struct pass_use use = {
        .plan = plan, .net = net, .name = "tiles", .forward = phase, .n = 1, .chunk = 1};
    TRY(pass_plan_values(&use, &t->pass, false, 0, NULL));
    if (t->device->is_host) return OK;
    TRY(plan_declare(plan, "tiles.in.host", PLAN_HOST, net_bytes(net, 0), PLAN_ALWAYS,
                     (void **)&t->host_in));
    return plan_declare(plan, "tiles.out.host", PLAN_HOST, net_bytes(net, net->layer_count - 1),
                        PLAN_ALWAYS, (void **)&t->host_out);
}

/* Workspace of h x w pixels, and of the same turned by a quarter. */
static int tiles_workspace(struct sr_tiles *t, int h, int w)
{
    t->workspace_bytes = pass_workspace(&t->net, t->device, 1, 0);
    if (!t->ways.turns) return OK;
    struct net turned;
    TRY(sr_network_build(&turned, &t->design, w, h, 0));
    size_t bytes = pass_workspace(&turned, t->device, 1, 0);
    net_free(&turned);
    if (bytes > t->workspace_bytes) t->workspace_bytes = bytes;
    return OK;
}

int sr_tiles_declare(struct sr_tiles *t, const struct sr_design *design,
                     const struct sr_tile_ways *ways, int h, int w, struct device *device,
                     int phase, struct plan *plan)
{
    *t = (struct sr_tiles){.device = device, .design = *design, .most_h = h, .most_w = w};
    t->ways = ways ? *ways : (struct sr_tile_ways){.overlap = sr_tiles_overlap(design)};
    t->design.mixed = t->ways.mixed;
    TRY(sr_network_build(&t->net, &t->design, h, w, 0));
    TRY(pass_open(&t->pass, &t->net));
    t->pass.device = device;
    t->pass.n = t->pass.chunk = 1;
    TRY(declare_values(t, phase, plan));
    if (t->net.derived_floats)
        TRY(plan_declare(plan, "tiles.derived", PLAN_PARAMETERS,
                         t->net.derived_floats * sizeof(float), phase, phase + t->net.layer_count,
                         (void **)&t->pass.derived));
    TRY(tiles_workspace(t, h, w));
    return plan_declare(plan, "tiles.workspace", PLAN_WORKSPACE, t->workspace_bytes, phase,
                        phase + t->net.layer_count, &t->pass.workspace);
}

void sr_tiles_close(struct sr_tiles *t)
{
    pass_close(&t->pass);
    net_free(&t->net);
}

/* The same network for a tile of another size: the buffers hold the largest. */
static int tiles_resize(struct sr_tiles *t, int h, int w)
{
    if (t->net.layers[0].h == sr_network_side(&t->design, h) &&
        t->net.layers[0].w == sr_network_side(&t->design, w))
        return OK;
    net_free(&t->net);
    TRY(sr_network_build(&t->net, &t->design, h, w, 0));
    if (pass_workspace(&t->net, t->device, 1, 0) <= t->workspace_bytes) return OK;
    return fail(ERR_INTERNAL, "a tile of %d x %d needs more workspace than one of %d x %d", w, h,
                t->most_w, t->most_h);
}

/* A range of tile pixels along one axis, and what it reads. */
struct tile_span {
    int from, to, read_from, read_to;
};

static struct tile_span tile_span_at(const struct sr_tiles *t, int from, int end, int most,
                                     int size)
{
    int margin = sr_tiles_margin(&t->ways);
    struct tile_span s = {.from = from, .read_from = from - margin};
    if (s.read_from < 0) s.read_from = 0;
    int room = s.read_from + most; /* what it may read ends here */
    s.to = room >= size ? size : room - margin;
    if (s.to > end) s.to = end;
    if (s.to < end) s.to -= (s.to - from) % SR_TILE_ALIGNMENT;
    s.read_to = s.to + margin < size ? s.to + margin : size;
    return s;
}

/* The span of a mirrored axis: it begins at a multiple of the alignment there too. */
static struct tile_span tile_span_mirrored(const struct tile_span *span, int size)
{
    struct tile_span s = *span;
    s.read_to = size - tiles_align(size - s.read_to);
    return s;
}

/* A tile at hand: which pixels of which image, turned how. */
struct tile_view {
    const struct sr_rows *in;
    struct tile_span across, down;
    int turn;
    int w, h;       /* that it reads, not turned */
    int wide, high; /* that the network sees, turned: filled up to what it needs */
};

static struct tile_view tile_view_of(const struct sr_design *design, const struct sr_rows *in,
                                     const struct tile_span *across, const struct tile_span *down,
                                     int turn)
{
    struct tile_view v = {.in = in, .across = *across, .down = *down, .turn = turn};
    if (turn & MIRROR) v.across = tile_span_mirrored(across, in->width);
    if (turn & UPSIDE_DOWN) v.down = tile_span_mirrored(down, in->height);
    v.w = v.across.read_to - v.across.read_from;
    v.h = v.down.read_to - v.down.read_from;
    v.wide = sr_network_side(design, turn & TRANSPOSE ? v.h : v.w);
    v.high = sr_network_side(design, turn & TRANSPOSE ? v.w : v.h);
    return v;
}

/* Where pixel (x, y) of a tile, `scale` times as large as what it reads, lies in the turned one. */
static size_t tile_turned(const struct tile_view *v, int scale, int x, int y)
{
    int w = v->w * scale, h = v->h * scale;
    if (v->turn & MIRROR) x = w - 1 - x;
    if (v->turn & UPSIDE_DOWN) y = h - 1 - y;
    size_t pitch = (size_t)v->wide * (size_t)scale;
    return v->turn & TRANSPOSE ? (size_t)x * pitch + (size_t)y : (size_t)y * pitch + (size_t)x;
}

/* What the network sees beyond the tile. */
static void tile_fill_up(const struct tile_view *v, float *tile)
{
    int w = v->turn & TRANSPOSE ? v->h : v->w, h = v->turn & TRANSPOSE ? v->w : v->h;
    size_t pitch = (size_t)v->wide * 3;
    for (int y = 0; y < h; y++)
        for (int x = w; x < v->wide; x++)
            memcpy(tile + (size_t)y * pitch + (size_t)x * 3,
                   tile + (size_t)y * pitch + (size_t)resampling_reflected(x, w) * 3,
                   3 * sizeof *tile);
    for (int y = h; y < v->high; y++)
        memcpy(tile + (size_t)y * pitch, tile + (size_t)resampling_reflected(y, h) * pitch,
               pitch * sizeof *tile);
}

static int tile_load(struct sr_tiles *t, const struct tile_view *v)
{
    const struct sr_rows *in = v->in;
    float *to = t->host_in ? t->host_in : t->pass.value[0];
    if (v->down.read_from < in->first || v->down.read_to > in->first + in->rows)
        return fail(ERR_INTERNAL, "a tile reads rows that are not there");
    for (int y = 0; y < v->h; y++) {
        const float *row =
            in->pixels + ((size_t)(v->down.read_from - in->first + y) * (size_t)in->width +
                          (size_t)v->across.read_from) *
                             3;
        if (v->turn == 0)
            memcpy(to + (size_t)y * (size_t)v->wide * 3, row, (size_t)v->w * 3 * sizeof *to);
        else
            for (int x = 0; x < v->w; x++)
                memcpy(to + tile_turned(v, 1, x, y) * 3, row + (size_t)x * 3, 3 * sizeof *to);
    }
    tile_fill_up(v, to);
    return device_upload(t->device, t->pass.value[0], to,
                         (size_t)v->high * (size_t)v->wide * 3 * sizeof *to);
}

static int tile_run(struct sr_tiles *t, const float *parameters, const struct tile_view *v,
                    const float **out)
{
    bool lies = v->turn & TRANSPOSE;
    TRY(tiles_resize(t, lies ? v->w : v->h, lies ? v->h : v->w));
    int last = t->net.layer_count - 1;
    TRY(tile_load(t, v));
    t->pass.net = &t->net;
    t->pass.parameters = parameters;
    TRY(pass_forward(&t->pass, PASS_NO_MASKS, false));
    *out = t->host_out ? t->host_out : t->pass.value[last];
    if (!t->host_out) return t->device->synchronize(t->device);
    return device_fetch(t->device, t->host_out, t->pass.value[last], net_bytes(&t->net, last));
}

/* What is kept of a tile, to its place in `out` [][width][3]; what is turned is added there. */
static void tile_put(const struct tile_view *v, int scale, const float *tile, float *out,
                     size_t width)
{
    int w = (v->across.to - v->across.from) * scale, h = (v->down.to - v->down.from) * scale;
    int left = (v->across.from - v->across.read_from) * scale;
    int top = (v->down.from - v->down.read_from) * scale;
    for (int y = 0; y < h; y++, out += width * 3) {
        if (v->turn == 0) {
            memcpy(out,
                   tile + ((size_t)(top + y) * (size_t)v->wide * (size_t)scale + (size_t)left) * 3,
                   (size_t)w * 3 * sizeof *out);
            continue;
        }
        for (int x = 0; x < w; x++) {
            const float *from = tile + tile_turned(v, scale, left + x, top + y) * 3;
            for (int c = 0; c < 3; c++)
                out[3 * x + c] += from[c];
        }
    }
}

static void tile_mean(float *out, size_t width, const struct tile_view *v, int scale)
{
    int w = (v->across.to - v->across.from) * scale, h = (v->down.to - v->down.from) * scale;
    for (int y = 0; y < h; y++, out += width * 3)
        for (int i = 0; i < 3 * w; i++)
            out[i] *= 1.0f / TURNS;
}

int sr_tiles_enlarge(struct sr_tiles *t, const float *parameters, const struct sr_rows *in, int x,
                     int y, int w, int h, float *out, bool (*stop_requested)(void))
{
    int s = t->design.scale, turns = t->ways.turns ? TURNS : 1;
    size_t width = (size_t)w * (size_t)s;
    struct tile_span across, down;
    t->pass.net = &t->net;
    t->pass.parameters = parameters;
    TRY(pass_derive(&t->pass));
    for (int y0 = y; y0 < y + h; y0 = down.to) {
        down = tile_span_at(t, y0, y + h, t->most_h, in->height);
        if (down.to <= y0) return fail(ERR_INTERNAL, "tiles of %d rows are too low", t->most_h);
        for (int x0 = x; x0 < x + w; x0 = across.to) {
            float *to =
                out + ((size_t)(y0 - y) * (size_t)s * width + (size_t)(x0 - x) * (size_t)s) * 3;
            struct tile_view view;
            across = tile_span_at(t, x0, x + w, t->most_w, in->width);
            if (across.to <= x0)
                return fail(ERR_INTERNAL, "tiles of %d columns are too narrow", t->most_w);
            for (int turn = 0; turn < turns; turn++) {
                const float *tile;
                if (stop_requested && stop_requested())
                    return fail(ERR_STOPPED, "stopped in a tile");
                view = tile_view_of(&t->design, in, &across, &down, turn);
                TRY(tile_run(t, parameters, &view, &tile));
                tile_put(&view, s, tile, to, width);
            }
            if (turns > 1) tile_mean(to, width, &view, s);
        }
    }
    return OK;
}
