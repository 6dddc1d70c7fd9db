/* Components and stages: opening, making room, giving it up. */
#include "placement/placement.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "device/device.h"
#include "memory/plan.h"
#include "placement/placement_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *const way_names[] = {"none", "model", "sequential", "auto"};

const char *placement_way_name(enum placement_way way)
{
    return way_names[way];
}

bool placement_way_find(const char *name, enum placement_way *way)
{
    for (int i = 0; i <= PLACEMENT_AUTO; i++)
        if (strcmp(name, way_names[i]) == 0) {
            *way = (enum placement_way)i;
            return true;
        }
    return false;
}

/* ---- components ---- */

static void component_drop(struct placement_component *c)
{
    plan_free(c->plan);
    c->plan = NULL;
    c->arena = NULL;
    c->holding.held = false;
    c->holding.residents = c->holding.slots = 0;
    for (int b = 0; b < c->source.block_count; b++)
        c->holding.loaded[b] = false;
}

static void component_free(struct placement_component *c)
{
    if (c->holding.loaded) component_drop(c);
    if (c->is_open && c->source.close) c->source.close(c->source.context);
    free(c->in_place);
    free(c->tensor_at);
    free(c->block_bytes);
    free(c->data);
    free(c->pointers);
    free(c->holding.loaded);
    free(c->slot_of);
    free(c->flight_of);
    free(c->holds);
    memset(c, 0, sizeof *c);
}

static int component_create(struct placement_component *c, const struct placement *p,
                            const struct placement_source *source)
{
    size_t tensors = (size_t)source->tensor_count + 1, blocks = (size_t)source->block_count + 1;
    *c = (struct placement_component){.source = *source};
    c->in_place = calloc(tensors, sizeof *c->in_place);
    c->tensor_at = calloc(tensors, sizeof *c->tensor_at);
    c->block_bytes = calloc(blocks, sizeof *c->block_bytes);
    c->data = calloc(tensors, sizeof *c->data);
    c->pointers = calloc(tensors, sizeof *c->pointers);
    c->holding.loaded = calloc(blocks, sizeof *c->holding.loaded);
    c->slot_of = calloc(blocks, sizeof *c->slot_of);
    c->flight_of = calloc(blocks, sizeof *c->flight_of);
    c->holds = calloc(blocks, sizeof *c->holds);
    if (!c->in_place || !c->tensor_at || !c->block_bytes || !c->data || !c->pointers ||
        !c->holding.loaded || !c->slot_of || !c->flight_of || !c->holds)
        return fail(ERR_SYSTEM, "out of memory");
    return component_measure(p, c);
}

static bool sources_agree(const struct placement_source *a, const struct placement_source *b)
{
    if (strcmp(a->key, b->key) != 0 || a->tensor_count != b->tensor_count ||
        a->block_count != b->block_count)
        return false;
    for (int t = 0; t < a->tensor_count; t++)
        if (a->tensors[t].stored != b->tensors[t].stored ||
            a->tensors[t].wanted != b->tensors[t].wanted ||
            a->tensors[t].count != b->tensors[t].count || a->tensors[t].row != b->tensors[t].row ||
            a->tensors[t].stays_mapped != b->tensors[t].stays_mapped)
            return false;
    for (int k = 0; k < a->block_count; k++)
        if (a->blocks[k].first != b->blocks[k].first || a->blocks[k].count != b->blocks[k].count ||
            a->blocks[k].always != b->blocks[k].always)
            return false;
    return true;
}

int placement_add(struct placement *p, const struct placement_source *source, int *component)
{
    for (int i = 0; i < p->count; i++)
        if (sources_agree(&p->components[i].source, source)) {
            *component = i;
            return OK;
        }
    if (p->count == PLACEMENT_COMPONENTS)
        return fail(ERR_INTERNAL, "more than %d components", PLACEMENT_COMPONENTS);
    int code = component_create(&p->components[p->count], p, source);
    if (code < 0) {
        component_free(&p->components[p->count]);
        return code;
    }
    *component = p->count++;
    return OK;
}

static int component_open(struct placement *p, struct placement_component *c)
{
    if (c->is_open) return OK;
    if (p->options.without_data)
        return fail(ERR_INTERNAL, "%s is there for forecasts alone", c->source.name);
    TRY(c->source.open(c->source.context, c->data));
    c->is_open = true;
    p->counts.opened++;
    p->counts.opened_bytes += c->mapped_bytes;
    return OK;
}

/* ---- open and close ---- */

int placement_open(struct placement **placement, struct device *device,
                   const struct placement_options *options)
{
    struct placement *p = calloc(1, sizeof *p);
    *placement = p;
    if (!p) return fail(ERR_SYSTEM, "out of memory");
    p->device = device;
    p->options = *options;
    p->way = options->way == PLACEMENT_AUTO ? PLACEMENT_NONE : options->way;
    p->parts = options->prefetch ? PLACEMENT_SLOTS : 1;
    return OK;
}

void placement_close(struct placement *p)
{
    if (!p) return;
    if (p->in_stage) placement_end(p);
    for (int i = 0; i < p->count; i++)
        component_free(&p->components[i]);
    free(p->reports);
    free(p);
}

/* ---- a stage begins ---- */

int stage_check(const struct placement *p, const struct placement_stage *stage)
{
    if (stage->component < 0 || stage->component >= p->count)
        return fail(ERR_INTERNAL, "stage %s has no component", stage->name);
    int blocks = p->components[stage->component].source.block_count;
    if (stage->passes < 0 || (stage->walk && stage->walk_count < 1) || blocks < 1)
        return fail(ERR_INTERNAL, "stage %s has no walk", stage->name);
    for (int i = 0; stage->walk && i < stage->walk_count; i++)
        if (stage->walk[i] < 0 || stage->walk[i] >= blocks)
            return fail(ERR_INTERNAL, "stage %s walks to a block %d that there is not", stage->name,
                        stage->walk[i]);
    return OK;
}

/* What its way does not keep. Nothing reads it: stages end when the device is done. */
static void give_up_others(struct placement *p, const struct placement_stage *stage,
                           const struct placement_forecast *f)
{
    for (int i = 0; i < p->count; i++) {
        struct placement_component *c = &p->components[i];
        if (!c->holding.held || holding_is_kept(&c->holding, i == stage->component, f)) continue;
        component_drop(c);
        for (int b = 0; i != stage->component && b < c->source.block_count; b++)
            placement_advise(c, b, true, MADV_DONTNEED);
    }
}

static int component_hold(struct placement *p, struct placement_component *c,
                          const struct placement_forecast *f)
{
    struct holding h = {.held = true, .residents = f->residents, .slots = f->slots};
    if (c->holding.held) return OK;
    c->plan = plan_create();
    if (!c->plan) return ERR_SYSTEM;
    int code = plan_declare(c->plan, c->source.name, PLAN_PARAMETERS, holding_bytes(c, &h),
                            PLAN_ALWAYS, &c->arena);
    if (code == OK) code = plan_commit(c->plan, p->device);
    if (code < 0) {
        component_drop(c);
        return code;
    }
    c->holding.held = true;
    c->holding.residents = h.residents;
    c->holding.slots = h.slots;
    return OK;
}

static int working_hold(struct placement *p, const struct placement_stage *stage,
                        const struct placement_forecast *f)
{
    const struct placement_component *c = &p->components[stage->component];
    size_t staging = f->copies > 0 ? placement_staging_bytes(p, c) : 0;
    p->staging_bytes = component_largest_block(c);
    p->working = plan_create();
    if (!p->working) return ERR_SYSTEM;
    if (stage->declare) TRY(stage->declare(stage->context, f->chunking, p->working));
    TRY(plan_declare(p->working, "staging", PLAN_HOST, staging, PLAN_ALWAYS, &p->staging));
    TRY(plan_declare(p->working, "reading", PLAN_HOST,
                     f->copies > 0 ? placement_reading_bytes(p, c) : 0, PLAN_ALWAYS, &p->reading));
    return plan_commit(p->working, p->device);
}

/* ERR_DEVICE_MEMORY leaves nothing of the stage behind. */
static int stage_make_room(struct placement *p, const struct placement_stage *stage,
                           const struct placement_forecast *f)
{
    struct placement_component *c = &p->components[stage->component];
    give_up_others(p, stage, f);
    TRY(component_hold(p, c, f));
    int code = working_hold(p, stage, f);
    if (code == OK) return OK;
    plan_free(p->working);
    p->working = NULL;
    component_drop(c);
    return code;
}

/* Room for the report of the stage that begins, while nothing of it is there yet. */
static int report_reserve(struct placement *p)
{
    if (p->report_count < p->report_room) return OK;
    int room = p->report_room ? 2 * p->report_room : 8;
    struct placement_report *larger = realloc(p->reports, (size_t)room * sizeof *larger);
    if (!larger) return fail(ERR_SYSTEM, "out of memory");
    p->reports = larger;
    p->report_room = room;
    return OK;
}

static void report_add(struct placement *p, const struct placement_stage *stage)
{
    p->reports[p->report_count++] =
        (struct placement_report){.stage = stage->name,
                                  .component = p->components[stage->component].source.name,
                                  .predicted = p->predicted,
                                  .falls = p->falls};
}

/* Finds a way that fits, and the next one down as long as memory fails. */
static int stage_find_room(struct placement *p, const struct placement_stage *stage,
                           struct residency *r)
{
    struct placement_bound bound = {p->way, INT64_MAX, INT64_MAX};
    for (p->falls = 0;; p->falls++) {
        struct placement_forecast f;
        residency_free(r);
        TRY(residency_copy(r, p));
        TRY(stage_decide(p, r, stage, &bound, false, &f));
        if ((int64_t)f.device_bytes > f.budget) return stage_fail(stage, &f);
        if ((int64_t)f.device_bytes >= bound.tried)
            return fail_within(ERR_DEVICE_MEMORY, "%s: no way down is left", stage->name);
        f.fits = true;
        TRY(stage_foresee(p, r, stage, &f));
        if (p->falls > 0 || f.way != p->way)
            log_warning("%s goes on in way %s, %d of %d blocks resident: %s of device memory",
                        stage->name, placement_way_name(f.way), f.residents, f.blocks,
                        format_bytes((int64_t)f.device_bytes).text);
        p->predicted = f;
        int code = stage_make_room(p, stage, &f);
        if (code != ERR_DEVICE_MEMORY) return code;
        log_warning("%s in way %s: %s", stage->name, placement_way_name(f.way), error_message());
        bound = (struct placement_bound){f.way, (int64_t)f.device_bytes,
                                         (int64_t)(f.device_bytes - f.device_bytes / 8)};
    }
}

static void stage_start(struct placement *p, const struct placement_stage *stage)
{
    struct placement_component *c = &p->components[stage->component];
    struct device *device = p->device;
    for (int b = 0; b < c->source.block_count; b++) {
        c->slot_of[b] = c->flight_of[b] = -1;
        c->holds[b] = 0;
    }
    for (int s = 0; s < PLACEMENT_SLOTS; s++)
        p->slot_was_used[s] = false;
    p->stage = *stage;
    p->position = p->flights = 0;
    p->outstanding = 0;
    p->at_start = p->counts;
    p->load_seconds = p->wait_seconds = 0;
    p->outside_bytes = device->used_bytes - placement_held_bytes(p);
    p->host_outside = device->host_bytes - plan_host_bytes(p->working);
    p->peak_before = device->peak_bytes;
    p->host_peak_before = device->host_peak_bytes;
    device->peak_bytes = device->used_bytes;
    device->host_peak_bytes = device->host_bytes;
    walk_begin(&p->walk, c, &p->stage, &c->holding);
    p->in_stage = true;
}

/* New memory is zeroed in the queue of the operations: copies come after that. */
static int stage_order_copies(struct placement *p)
{
    struct device *device = p->device;
    if (!device->copy) return OK;
    TRY(device->mark(device, QUEUE_WORK, PLACEMENT_MARK_FRESH));
    return device->await(device, QUEUE_IN, PLACEMENT_MARK_FRESH);
}

int placement_begin(struct placement *p, const struct placement_stage *stage)
{
    struct residency r = {0};
    if (p->in_stage)
        return fail(ERR_INTERNAL, "stage %s begins within %s", stage->name, p->stage.name);
    TRY(stage_check(p, stage));
    TRY(report_reserve(p));
    TRY(component_open(p, &p->components[stage->component]));
    p->began = clock_seconds();
    int code = stage_find_room(p, stage, &r);
    residency_free(&r);
    TRY(code);
    stage_start(p, stage);
    report_add(p, stage);
    code = stage_order_copies(p);
    if (code < 0) placement_end(p);
    return code;
}

/* ---- a stage ends ---- */

static void stage_report(struct placement *p)
{
    struct placement_report *r = &p->reports[p->report_count - 1];
    struct device *device = p->device;
    double seconds = clock_seconds() - p->began;
    r->device_bytes = device->peak_bytes - p->outside_bytes;
    r->host_bytes = device->host_peak_bytes - p->host_outside;
    r->copies = p->counts.copies - p->at_start.copies;
    r->copied_bytes = p->counts.copied_bytes - p->at_start.copied_bytes;
    r->load_seconds = p->load_seconds;
    r->wait_seconds = p->wait_seconds;
    r->compute_seconds = seconds - p->load_seconds - p->wait_seconds;
    r->complete = p->position == p->walk.end;
}

int placement_end(struct placement *p)
{
    struct placement_component *c = &p->components[p->stage.component];
    struct device *device = p->device;
    if (!p->in_stage) return fail(ERR_INTERNAL, "no stage is to be ended");
    int code = device->synchronize(device);
    stage_report(p);
    if (p->peak_before > device->peak_bytes) device->peak_bytes = p->peak_before;
    if (p->host_peak_before > device->host_peak_bytes)
        device->host_peak_bytes = p->host_peak_before;
    p->in_stage = false;
    plan_free(p->working);
    p->working = NULL;
    /* What was on its way and never acquired is there now; after a failure nothing is sure. */
    if (code < 0) component_drop(c);
    return code;
}

/* ---- answers ---- */

enum placement_state placement_state_of(const struct placement *p, int component, int block)
{
    const struct placement_component *c = &p->components[component];
    bool at_work = p->in_stage && p->stage.component == component;
    if (!c->is_open) return PLACEMENT_ABSENT;
    if (at_work && c->flight_of[block] >= 0) return PLACEMENT_STAGED;
    if (c->holding.held && c->holding.loaded[block]) return PLACEMENT_PLACED;
    return at_work && c->slot_of[block] >= 0 ? PLACEMENT_PLACED : PLACEMENT_MAPPED;
}

enum placement_way placement_way_of(const struct placement *p)
{
    return p->way;
}

const struct placement_counts *placement_counts(const struct placement *p)
{
    return &p->counts;
}

int placement_report_count(const struct placement *p)
{
    return p->report_count;
}

const struct placement_report *placement_report_at(const struct placement *p, int index)
{
    return &p->reports[index];
}
