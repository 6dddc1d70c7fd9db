#include "sr/tiles.h"

#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"

#include <string.h>

int sr_tiles_overlap(const struct sr_design *design)
{
    int radius = sr_network_radius(design);
    return (radius + SR_TILE_ALIGNMENT - 1) / SR_TILE_ALIGNMENT * SR_TILE_ALIGNMENT;
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

int sr_tiles_declare(struct sr_tiles *t, const struct sr_design *design, int h, int w,
                     struct device *device, int phase, struct plan *plan)
{
    *t = (struct sr_tiles){.device = device, .design = *design, .most_h = h, .most_w = w};
    t->overlap = sr_tiles_overlap(design);
    TRY(sr_network_build(&t->net, design, h, w, 0));
    TRY(pass_open(&t->pass, &t->net));
    t->pass.device = device;
    t->pass.n = t->pass.chunk = 1;
    TRY(declare_values(t, phase, plan));
    t->workspace_bytes = pass_workspace(&t->net, device, 1, 0);
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
    if (t->net.layers[0].h == h && t->net.layers[0].w == w) return OK;
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
    struct tile_span s = {.from = from, .read_from = from - t->overlap};
    if (s.read_from < 0) s.read_from = 0;
    int room = s.read_from + most; /* what it may read ends here */
    s.to = room >= size ? size : room - t->overlap;
    if (s.to > end) s.to = end;
    if (s.to < end) s.to -= (s.to - from) % SR_TILE_ALIGNMENT;
    s.read_to = s.to + t->overlap < size ? s.to + t->overlap : size;
    return s;
}

static int tile_load(struct sr_tiles *t, const struct sr_rows *in, const struct tile_span *x,
                     const struct tile_span *y)
{
    float *to = t->host_in ? t->host_in : t->pass.value[0];
    size_t w = (size_t)(x->read_to - x->read_from), h = (size_t)(y->read_to - y->read_from);
    if (y->read_from < in->first || y->read_to > in->first + in->rows)
        return fail(ERR_INTERNAL, "a tile reads rows that are not there");
    for (size_t row = 0; row < h; row++)
        memcpy(to + row * w * 3,
               in->pixels + (((size_t)(y->read_from - in->first) + row) * (size_t)in->width +
                             (size_t)x->read_from) *
                                3,
               w * 3 * sizeof *to);
    return device_upload(t->device, t->pass.value[0], to, h * w * 3 * sizeof *to);
}

static int tile_run(struct sr_tiles *t, const float *parameters, const struct sr_rows *in,
                    const struct tile_span *x, const struct tile_span *y, const float **out)
{
    int h = y->read_to - y->read_from, w = x->read_to - x->read_from;
    TRY(tiles_resize(t, h, w));
    int last = t->net.layer_count - 1;
    TRY(tile_load(t, in, x, y));
    t->pass.net = &t->net;
    t->pass.parameters = parameters;
    TRY(pass_forward(&t->pass, PASS_NO_MASKS, false));
    *out = t->host_out ? t->host_out : t->pass.value[last];
    if (!t->host_out) return t->device->synchronize(t->device);
    return device_fetch(t->device, t->host_out, t->pass.value[last], net_bytes(&t->net, last));
}

int sr_tiles_enlarge(struct sr_tiles *t, const float *parameters, const struct sr_rows *in, int x,
                     int y, int w, int h, float *out, bool (*stop_requested)(void))
{
    size_t s = (size_t)t->design.scale, out_row = (size_t)w * s * 3;
    struct tile_span across, down;
    for (int y0 = y; y0 < y + h; y0 = down.to) {
        down = tile_span_at(t, y0, y + h, t->most_h, in->height);
        if (down.to <= y0) return fail(ERR_INTERNAL, "tiles of %d rows are too low", t->most_h);
        for (int x0 = x; x0 < x + w; x0 = across.to) {
            const float *tile;
            across = tile_span_at(t, x0, x + w, t->most_w, in->width);
            if (across.to <= x0)
                return fail(ERR_INTERNAL, "tiles of %d columns are too narrow", t->most_w);
            if (stop_requested && stop_requested()) return fail(ERR_STOPPED, "stopped in a tile");
            TRY(tile_run(t, parameters, in, &across, &down, &tile));
            size_t tile_row = (size_t)(across.read_to - across.read_from) * s * 3;
            size_t skip = (size_t)(x0 - across.read_from) * s * 3;
            for (size_t row = 0; row < (size_t)(down.to - y0) * s; row++)
                memcpy(out + ((size_t)(y0 - y) * s + row) * out_row + (size_t)(x0 - x) * s * 3,
                       tile + ((size_t)(y0 - down.read_from) * s + row) * tile_row + skip,
                       (size_t)(across.to - x0) * s * 3 * sizeof *out);
        }
    }
    return OK;
}
