#include "sr/enlarger.h"

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"
#include "memory/plan.h"
#include "sr/pretrained.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sr_enlarger {
    struct device *device;
    struct sr_design design;
    struct plan *plan;
    struct net net; /* whatever the tile */
    struct sr_tiles tiles;
    float *parameters, *host_parameters;
    char *path; /* of the file, for messages */
};

int sr_enlarger_design(struct sr_design *design, const struct store_file *file)
{
    TRY(sr_network_require(design, file, sr_pretrained_prefix(file)));
    design->merged = true;
    return OK;
}

static int enlarger_declare(struct sr_enlarger *e, const struct sr_tile_ways *ways, int h, int w)
{
    TRY(sr_network_build(&e->net, &e->design, 1, 1, 0));
    size_t bytes = e->net.floats * sizeof(float);
    TRY(plan_declare(e->plan, "parameters", PLAN_PARAMETERS, bytes, PLAN_ALWAYS,
                     (void **)&e->parameters));
    if (!e->device->is_host)
        TRY(plan_declare(e->plan, "parameters.host", PLAN_HOST, bytes, PLAN_ALWAYS,
                         (void **)&e->host_parameters));
    return sr_tiles_declare(&e->tiles, &e->design, ways, h, w, e->device, 0, e->plan);
}

int sr_enlarger_bytes(const struct sr_design *design, const struct sr_tile_ways *ways,
                      struct device *device, int h, int w, size_t *bytes)
{
    struct sr_enlarger *e = calloc(1, sizeof *e);
    if (!e) return fail(ERR_SYSTEM, "out of memory");
    e->device = device;
    e->design = *design;
    e->plan = plan_create();
    int code = e->plan ? enlarger_declare(e, ways, h, w) : ERR_SYSTEM;
    if (code == OK) code = plan_layout(e->plan);
    if (code == OK) *bytes = plan_device_bytes(e->plan);
    sr_enlarger_close(e);
    return code;
}

/* A tensor more than the network has is another network: nothing is read from it, but its file
 * would not do elsewhere what it does here. Checkpoints have many more. */
static int enlarger_expect(const struct sr_enlarger *e, const struct store_file *file,
                           const char *prefix)
{
    TRY(sr_network_expect(&e->design, &e->net, file, prefix));
    if (store_count(file) == e->net.parameter_count) return OK;
    for (int i = 0; !prefix[0] && i < store_count(file); i++) {
        const char *name = store_at(file, i)->name;
        if (!sr_network_knows(&e->design, &e->net, name))
            return fail(ERR_DATA, "%s: tensor %s is not of the network %s", store_path(file), name,
                        sr_design_text(&e->design).text);
    }
    return OK;
}

static int enlarger_load(struct sr_enlarger *e, const struct store_file *file, const char *prefix)
{
    float *to = e->host_parameters ? e->host_parameters : e->parameters;
    TRY(sr_network_load(&e->design, &e->net, file, prefix, store_finite(), to));
    return device_send(e->device, e->parameters, to, e->net.floats * sizeof(float));
}

int sr_enlarger_open(struct sr_enlarger **out, struct device *device, const struct store_file *file,
                     const struct sr_tile_ways *ways, int h, int w)
{
    struct sr_enlarger *e = calloc(1, sizeof *e);
    const char *prefix = sr_pretrained_prefix(file);
    int code = OK;
    *out = NULL;
    if (!e) return fail(ERR_SYSTEM, "out of memory");
    e->device = device;
    e->plan = plan_create();
    e->path = string_format("%s", store_path(file));
    if (!e->plan || !e->path) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(sr_enlarger_design(&e->design, file));
    TRY_CLEANUP(enlarger_declare(e, ways, h, w));
    TRY_CLEANUP(enlarger_expect(e, file, prefix));
    TRY_CLEANUP(plan_commit(e->plan, device));
    TRY_CLEANUP(enlarger_load(e, file, prefix));
    *out = e;
    return OK;
cleanup:
    sr_enlarger_close(e);
    return code;
}

void sr_enlarger_close(struct sr_enlarger *e)
{
    if (!e) return;
    plan_free(e->plan);
    sr_tiles_close(&e->tiles);
    net_free(&e->net);
    free(e->path);
    free(e);
}

bool sr_enlarger_fits(const struct sr_enlarger *e, const struct device *device,
                      const struct sr_tile_ways *ways, int h, int w)
{
    const struct sr_tile_ways *own = &e->tiles.ways;
    return e->device == device && own->overlap == ways->overlap && own->mixed == ways->mixed &&
           own->turns == ways->turns && e->tiles.most_h >= h && e->tiles.most_w >= w;
}

const struct sr_design *sr_enlarger_network(const struct sr_enlarger *e)
{
    return &e->design;
}

int sr_enlarger_run(struct sr_enlarger *e, const struct sr_rows *in, int x, int y, int w, int h,
                    float *out, bool (*stop_requested)(void))
{
    size_t scale = (size_t)e->design.scale, count = (size_t)w * (size_t)h * scale * scale * 3;
    TRY(sr_tiles_enlarge(&e->tiles, e->parameters, in, x, y, w, h, out, stop_requested));
    bool finite = true;
    for (size_t i = 0; i < count; i++)
        finite &= isfinite(out[i]) != 0;
    return finite ? OK : fail(ERR_DATA, "%s: its weights make what is no finite number", e->path);
}
