/* What stages would take, and which way they go. */
#include "base/error.h"
#include "base/format.h"
#include "device/device.h"
#include "memory/plan.h"
#include "placement/placement_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is there ---- */

int residency_copy(struct residency *r, const struct placement *p)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < p->count; i++) {
        const struct placement_component *c = &p->components[i];
        size_t bytes = (size_t)c->source.block_count * sizeof(bool);
        r->of[i] = c->holding;
        r->of[i].loaded = malloc(bytes + 1);
        if (!r->of[i].loaded) {
            residency_free(r);
            return fail(ERR_SYSTEM, "out of memory");
        }
        memcpy(r->of[i].loaded, c->holding.loaded, bytes);
    }
    return OK;
}

void residency_free(struct residency *r)
{
    for (int i = 0; i < PLACEMENT_COMPONENTS; i++)
        free(r->of[i].loaded);
    memset(r, 0, sizeof *r);
}

bool holding_is_kept(const struct holding *h, bool is_its_own, const struct placement_forecast *f)
{
    if (!h->held) return false;
    if (is_its_own) return h->residents == f->residents && h->slots == f->slots;
    return f->way == PLACEMENT_NONE && h->slots == 0; /* whole */
}

void residency_apply(struct residency *r, const struct placement *p,
                     const struct placement_stage *stage, const struct placement_forecast *f)
{
    for (int i = 0; i < p->count; i++) {
        struct holding *h = &r->of[i];
        bool own = i == stage->component;
        if (holding_is_kept(h, own, f)) continue;
        memset(h->loaded, 0, (size_t)p->components[i].source.block_count * sizeof(bool));
        h->held = own;
        h->residents = own ? f->residents : 0;
        h->slots = own ? f->slots : 0;
    }
}

/* ---- budget ---- */

size_t placement_held_bytes(const struct placement *p)
{
    size_t bytes = p->working ? plan_device_bytes(p->working) : 0;
    for (int i = 0; i < p->count; i++)
        if (p->components[i].plan) bytes += plan_device_bytes(p->components[i].plan);
    return bytes;
}

int64_t placement_budget(const struct placement *p)
{
    const struct device *device = p->device;
    int64_t own = (int64_t)placement_held_bytes(p), budget = INT64_MAX;
    int64_t outside = (int64_t)device->used_bytes - own;
    int64_t left = device->free_bytes ? device->free_bytes(device) : -1;
    if (p->options.budget > 0) budget = p->options.budget - outside;
    if (left >= 0) {
        bool is_limited = p->options.budget > 0 || device->limit_bytes > 0;
        double usage = p->options.usage > 0 ? p->options.usage : .9;
        int64_t most = own + (is_limited ? left : (int64_t)((double)left * usage));
        if (most < budget) budget = most;
    }
    return budget;
}

/* ---- one stage ---- */

/* Activations and workspace. */
static int stage_measure(const struct placement_stage *stage, int chunking, size_t *device_bytes,
                         size_t *host_bytes)
{
    int code = OK;
    *device_bytes = *host_bytes = 0;
    if (!stage->declare) return OK;
    struct plan *plan = plan_create();
    if (!plan) return ERR_SYSTEM;
    TRY_CLEANUP(stage->declare(stage->context, chunking, plan));
    TRY_CLEANUP(plan_layout(plan));
    *device_bytes = plan_device_bytes(plan);
    *host_bytes = plan_host_bytes(plan);
cleanup:
    plan_free(plan);
    return code;
}

static int blocks_that_pass(const struct placement_component *c, int residents)
{
    int count = 0;
    for (int b = 0; b < c->source.block_count; b++)
        if (!block_stays(c, residents, b) && c->block_bytes[b] > 0) count++;
    return count;
}

/* As many blocks stay as the limit allows beside `slots` for the others; none where not even those
 * fit. */
static void fill_residents(const struct placement_component *c, int slots, int64_t limit,
                           struct placement_forecast *f)
{
    for (int r = c->source.block_count; r >= 0; r--) {
        int passing = blocks_that_pass(c, r);
        struct holding h = {.residents = r, .slots = passing < slots ? passing : slots};
        f->residents = h.residents;
        f->slots = h.slots;
        f->weight_bytes = holding_bytes(c, &h);
        if ((int64_t)(f->weight_bytes + f->working_bytes + f->kept_bytes) <= limit) return;
    }
}

static size_t kept_by_others(const struct placement *p, const struct residency *r, int own,
                             const struct placement_forecast *f)
{
    size_t bytes = 0;
    for (int i = 0; i < p->count; i++)
        if (i != own && holding_is_kept(&r->of[i], false, f))
            bytes += holding_bytes(&p->components[i], &r->of[i]);
    return bytes;
}

/* One form of a way; slots 0: all blocks stay. */
static int stage_try(const struct placement *p, const struct residency *r,
                     const struct placement_stage *stage, int slots, int64_t limit,
                     struct placement_forecast *f)
{
    const struct placement_component *c = &p->components[stage->component];
    TRY(stage_measure(stage, f->chunking, &f->working_bytes, &f->host_bytes));
    f->blocks = c->source.block_count;
    f->kept_bytes = kept_by_others(p, r, stage->component, f);
    fill_residents(c, slots, slots > 0 ? limit : INT64_MAX, f);
    f->device_bytes = f->weight_bytes + f->kept_bytes + f->working_bytes;
    f->fits = (int64_t)f->device_bytes <= limit;
    return OK;
}

/* Two slots only help where copies go on beside the work. */
static int most_slots(const struct placement *p)
{
    return p->options.prefetch && p->device->copy ? PLACEMENT_SLOTS : 1;
}

int stage_decide(const struct placement *p, const struct residency *r,
                 const struct placement_stage *stage, const struct placement_bound *bound,
                 bool only, struct placement_forecast *f)
{
    int64_t budget = placement_budget(p);
    int64_t limit = bound->reach < budget ? bound->reach : budget;
    int chunkings = stage->declare && stage->chunkings > 1 ? stage->chunkings : 1;
    enum placement_way last = only ? bound->from : PLACEMENT_SEQUENTIAL;
    for (enum placement_way way = bound->from; way <= last; way++) {
        int slots = way == PLACEMENT_SEQUENTIAL ? most_slots(p) : 0;
        do {
            for (int k = 0; k < chunkings; k++) {
                *f = (struct placement_forecast){.way = way, .chunking = k, .budget = budget};
                TRY(stage_try(p, r, stage, slots, limit, f));
                if (f->fits) return OK;
            }
        } while (--slots > 0);
    }
    return OK;
}

/* Copies go on beside the work where the device has queues for them. */
static double estimate_seconds(const struct placement *p, const struct placement_stage *stage,
                               const struct placement_forecast *f)
{
    if (!(p->options.work_rate > 0) || !(p->options.copy_rate > 0)) return 0;
    double work = stage->work * (double)stage->passes / p->options.work_rate;
    double copies = (double)f->copied_bytes / p->options.copy_rate;
    if (p->device->copy && p->options.prefetch) return work > copies ? work : copies;
    return work + copies;
}

int stage_foresee(const struct placement *p, struct residency *r,
                  const struct placement_stage *stage, struct placement_forecast *f)
{
    const struct placement_component *c = &p->components[stage->component];
    struct placement_walk walk;
    residency_apply(r, p, stage, f);
    walk_begin(&walk, c, stage, &r->of[stage->component]);
    walk_count(&walk, &f->copies, &f->copied_bytes);
    if (f->copies > 0)
        f->host_bytes += plan_aligned(placement_staging_bytes(p, c)) +
                         plan_aligned(placement_reading_bytes(p, c));
    f->seconds = estimate_seconds(p, stage, f);
    return OK;
}

size_t placement_staging_bytes(const struct placement *p, const struct placement_component *c)
{
    if (p->device->is_host) return 0;
    return (size_t)most_slots(p) * component_largest_block(c);
}

/* ---- all stages ---- */

int placement_forecast(const struct placement *placement, const struct placement_stage *stages,
                       int count, enum placement_way way, struct placement_forecast *forecasts)
{
    struct placement_bound bound = {way, INT64_MAX, INT64_MAX};
    struct residency r;
    int code = OK;
    TRY(residency_copy(&r, placement));
    for (int i = 0; i < count; i++) {
        TRY_CLEANUP(stage_check(placement, &stages[i]));
        TRY_CLEANUP(stage_decide(placement, &r, &stages[i], &bound, true, &forecasts[i]));
        TRY_CLEANUP(stage_foresee(placement, &r, &stages[i], &forecasts[i]));
    }
cleanup:
    residency_free(&r);
    return code;
}

int stage_fail(const struct placement_stage *stage, const struct placement_forecast *f)
{
    return fail(
        ERR_DEVICE_MEMORY,
        "%s in way %s takes %s of device memory: %s more than the %s "
        "there are",
        stage->name, placement_way_name(f->way), format_bytes((int64_t)f->device_bytes).text,
        format_bytes((int64_t)f->device_bytes - f->budget).text, format_bytes(f->budget).text);
}

int placement_choose(struct placement *placement, const struct placement_stage *stages, int count,
                     enum placement_way *way)
{
    enum placement_way asked = placement->options.way;
    enum placement_way first = asked == PLACEMENT_AUTO ? PLACEMENT_NONE : asked;
    enum placement_way last = asked == PLACEMENT_AUTO ? PLACEMENT_SEQUENTIAL : asked;
    struct placement_forecast *f = calloc((size_t)count + 1, sizeof *f);
    int code = OK, worst = 0;
    if (!f) return fail(ERR_SYSTEM, "out of memory");
    for (enum placement_way w = first; w <= last; w++) {
        TRY_CLEANUP(placement_forecast(placement, stages, count, w, f));
        for (worst = 0; worst < count && f[worst].fits; worst++) {
        }
        if (worst < count) continue;
        *way = placement->way = w;
        goto cleanup;
    }
    code = stage_fail(&stages[worst], &f[worst]);
cleanup:
    free(f);
    return code;
}
