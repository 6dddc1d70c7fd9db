#include "memory/governor.h"

#include "base/error.h"
#include "device/device.h"

bool governor_due(const struct governor_settings *settings, int64_t step)
{
    return step > 0 && settings->every > 0 && step % settings->every == 0;
}

/* Whether a run may stay in the mode: the margin is there to be used before one moves. */
static bool may_stay(const struct ladder *ladder, int at, const struct device *device, int64_t held)
{
    struct ladder_settings whole = ladder->settings;
    whole.safety_margin = 0;
    return (int64_t)ladder->modes[at].need.device_bytes <= ladder_budget(&whole, device, held);
}

/* A move is made for the result that was asked for, for less time, or for a lower level. */
static bool is_better(const struct ladder *ladder, int a, int b)
{
    const struct ladder_mode *x = &ladder->modes[a], *y = &ladder->modes[b];
    bool asked = ladder->modes[0].mode.amp;
    if ((x->mode.amp == asked) != (y->mode.amp == asked)) return x->mode.amp == asked;
    if (x->need.relative_time < y->need.relative_time) return true;
    return !(x->need.relative_time > y->need.relative_time) && x->mode.level < y->mode.level;
}

int governor_pick_mode(struct ladder *ladder, int at, const struct device *device, int64_t held)
{
    int least;
    ladder_judge(ladder, ladder_budget(&ladder->settings, device, held));
    int best = ladder_pick(ladder, &least);
    if (best < 0) return may_stay(ladder, at, device, held) ? at : least;
    return may_stay(ladder, at, device, held) && !is_better(ladder, best, at) ? at : best;
}

/* ---- work ---- */

/* Multiples from `low` on, and `high` at the end. Where none fits: `fallback`. */
struct candidates {
    int low, high, multiple, fallback;
};

static int last_index(const struct candidates *c)
{
    return (c->high - c->low + c->multiple - 1) / c->multiple;
}

static int value_at(const struct candidates *c, int index)
{
    int64_t value = c->low + (int64_t)index * c->multiple;
    return value < c->high ? (int)value : c->high;
}

static struct candidates governor_candidates(const struct memory_range *range, int least, int most)
{
    struct candidates c = {.high = range->most, .multiple = range->multiple};
    if (most > 0 && most < c.high) c.high = most;
    if (least <= 0) least = range->least;
    if (least < range->floor) least = range->floor;
    c.low = (least + c.multiple - 1) / c.multiple * c.multiple;
    if (c.low > c.high) c.low = c.high;
    c.fallback = range->now < c.low ? range->now : c.low;
    return c;
}

struct search {
    const struct governor *governor;
    int64_t budget;
    struct memory_mode mode;
    bool whole_batch; /* as many at a time as there are in a batch */
    double most_time; /* 0: any */
};

static void governor_set_batch(struct search *s, int batch)
{
    s->mode.work.batch = batch;
    if (s->whole_batch) s->mode.micro_batch = batch;
}

static int governor_measure(struct search *s, void (*set)(struct search *, int), int value,
                            int64_t *bytes)
{
    struct memory_need need = {0};
    set(s, value);
    TRY(s->governor->need(s->governor->context, &s->mode, &need));
    *bytes = (int64_t)need.device_bytes;
    if (s->most_time > 0 && need.relative_time > s->most_time) *bytes = INT64_MAX;
    return OK;
}

/* Leaves the largest value that fits in s->mode; the first where none does. Bytes rise with the
 * value: every other guess is where a straight line meets the budget. */
static int search_value(struct search *s, const struct candidates *c,
                        void (*set)(struct search *, int))
{
    int low = 0, high = last_index(c);
    int64_t at_low = 0, at_high = 0, bytes = 0;
    TRY(governor_measure(s, set, c->low, &at_low));
    if (at_low > s->budget) set(s, c->fallback);
    if (at_low > s->budget || high == 0) return OK;
    TRY(governor_measure(s, set, c->high, &at_high));
    if (at_high <= s->budget) return OK;
    for (int turn = 0; high - low > 1; turn++) { /* low fits, high does not */
        int guess = low + (high - low) / 2;
        if (turn % 2 == 0 && at_high > at_low)
            guess = low + (int)((double)(high - low) * (double)(s->budget - at_low) /
                                (double)(at_high - at_low));
        if (guess <= low) guess = low + 1;
        if (guess >= high) guess = high - 1;
        TRY(governor_measure(s, set, value_at(c, guess), &bytes));
        if (bytes <= s->budget)
            low = guess, at_low = bytes;
        else
            high = guess, at_high = bytes;
    }
    set(s, value_at(c, low));
    return OK;
}

static void set_size(struct search *s, int size)
{
    s->mode.work.size = size;
}

/* A change of less than an eighth is not made; one to the largest there is always is. */
static int governor_settle(int now, int found, int most)
{
    return found > now && found < most && found - now < (now + 7) / 8 ? now : found;
}

/* The batch that sizes are searched with. */
static int governor_usual_batch(const struct memory_range *batch, const struct candidates *c)
{
    int wanted = batch->now > batch->least ? batch->now : batch->least;
    if (wanted < c->low) wanted = c->low;
    return wanted < c->high ? wanted : c->high;
}

static int governor_grow(const struct governor_settings *settings,
                         const struct memory_growth *growth, struct search *s)
{
    const struct memory_range *size = &growth->size, *batch = &growth->batch;
    struct candidates sizes, batches;
    if (batch->most > 0) {
        batches = governor_candidates(batch, settings->min_batch, settings->max_batch);
        governor_set_batch(s, governor_usual_batch(batch, &batches));
    }
    if (size->most > 0) {
        sizes = governor_candidates(size, settings->min_size,
                                    settings->max_size / size->multiple * size->multiple);
        TRY(search_value(s, &sizes, set_size));
        set_size(s, governor_settle(size->now, s->mode.work.size, sizes.high));
    }
    if (batch->most > 0) {
        TRY(search_value(s, &batches, governor_set_batch));
        if (!growth->takes_time || batch->now >= batch->least)
            governor_set_batch(s, governor_settle(batch->now, s->mode.work.batch, batches.high));
    }
    return OK;
}

/* The longest step that work in `mode` may have: by that of the work asked for in it. */
static int governor_most_time(const struct governor *g, struct memory_mode mode, bool whole_batch,
                              double *most)
{
    struct memory_need need = {0};
    *most = 0;
    if (!g->growth.takes_time || !(g->settings.most_time > 0)) return OK;
    mode.work.size = g->growth.size.least;
    mode.work.batch = g->growth.batch.least;
    if (whole_batch) mode.micro_batch = mode.work.batch;
    TRY(g->need(g->context, &mode, &need));
    *most = need.relative_time * g->settings.most_time;
    return OK;
}

int governor_work(const struct governor *g, int64_t budget, const struct memory_mode *mode,
                  struct memory_mode *next)
{
    struct search s = {.governor = g, .budget = budget, .mode = *mode};
    struct memory_growth growth = g->growth;
    s.whole_batch = mode->micro_batch >= growth.batch.now;
    if (!s.whole_batch) growth.batch.most = 0;
    if (g->growth.size.most > 0) s.mode.work.size = growth.size.now;
    if (g->growth.batch.most > 0) s.mode.work.batch = growth.batch.now;
    *next = *mode;
    TRY(governor_most_time(g, s.mode, s.whole_batch, &s.most_time));
    TRY(governor_grow(&g->settings, &growth, &s));
    *next = s.mode;
    return OK;
}

/* The mode to be in if memory were endless. */
static int governor_fastest(struct ladder *ladder)
{
    int least;
    ladder_judge(ladder, INT64_MAX);
    return ladder_pick(ladder, &least);
}

/* A mode with the whole batch at a time has the whole of another batch too. */
int governor_pick_for(const struct governor *g, const struct ladder *ladder, int64_t budget,
                      const struct memory_work *work, struct memory_mode *next, bool *found)
{
    struct ladder other = *ladder;
    int least, batch = ladder->modes[0].mode.work.batch;
    for (int i = 0; i < other.count; i++) {
        struct memory_mode *mode = &other.modes[i].mode;
        if (batch > 0 && work->batch > 0 && mode->micro_batch >= batch)
            mode->micro_batch = work->batch;
        mode->work = *work;
        TRY(g->need(g->context, mode, &other.modes[i].need));
    }
    ladder_judge(&other, budget);
    int mode = ladder_pick(&other, &least);
    *found = mode >= 0;
    if (*found || least >= 0) *next = other.modes[*found ? mode : least].mode;
    return OK;
}

/* The largest size, of `most` at most (0: any), that fits in any mode, which is that of the mode
 * that takes least. */
static int other_size(const struct governor *g, struct ladder *ladder, int64_t budget, int most,
                      struct memory_mode *next, bool *found)
{
    struct governor sizes = *g;
    struct memory_mode largest;
    int least;
    *found = false;
    sizes.growth.batch.most = 0;
    sizes.settings.most_time = 0;
    if (most > 0 && most < sizes.growth.size.most) sizes.growth.size.most = most;
    ladder_judge(ladder, budget);
    ladder_pick(ladder, &least);
    if (g->growth.size.most == 0 || least < 0) return OK;
    TRY(governor_work(&sizes, budget, &ladder->modes[least].mode, &largest));
    if (largest.work.size == g->growth.size.now) return OK;
    TRY(governor_pick_for(g, ladder, budget, &largest.work, &largest, found));
    if (*found) *next = largest;
    return OK;
}

/* In the fastest mode: the others take the same for any batch. Where the size grows beside it, the
 * size is the least by then. */
static int smaller_batch(const struct governor *g, struct ladder *ladder, int64_t budget,
                         struct memory_mode *next, bool *found)
{
    struct governor batches = *g;
    struct memory_mode less;
    struct memory_need need;
    batches.settings.most_time = 0;
    if (!g->growth.takes_time) batches.growth.size.most = 0;
    TRY(governor_work(&batches, budget, &ladder->modes[governor_fastest(ladder)].mode, &less));
    TRY(g->need(g->context, &less, &need));
    *found = (int64_t)need.device_bytes <= budget;
    if (*found) *next = less;
    return OK;
}

int governor_shrink(const struct governor *g, struct ladder *ladder, int64_t budget,
                    struct memory_mode *next, bool *found)
{
    *found = false;
    if (g->growth.size.most > 0) TRY(other_size(g, ladder, budget, 0, next, found));
    if (!*found && g->growth.batch.most > 0) TRY(smaller_batch(g, ladder, budget, next, found));
    return OK;
}

/* A larger batch costs memory only in a mode that has it whole: back to the fastest first. */
static int larger_batch(const struct governor *g, const struct ladder_mode *now, int64_t budget,
                        struct memory_mode *next)
{
    struct governor batches = *g;
    struct memory_mode more;
    batches.growth.size.most = 0;
    if (g->growth.batch.most == 0) return OK;
    TRY(governor_work(&batches, budget, &now->mode, &more));
    if (more.work.batch > g->growth.batch.now) *next = more;
    return OK;
}

/* Where a larger size takes longer: beyond what was asked for it grows in the mode at hand, and the
 * batch once the size is as large as it can be. */
static int governor_more_work(const struct governor *g, const struct ladder_mode *now,
                              int64_t budget, struct memory_mode *next)
{
    const struct memory_range *size = &g->growth.size, *batch = &g->growth.batch;
    struct memory_mode more;
    TRY(governor_work(g, budget, &now->mode, &more));
    if (more.work.size > size->now && more.work.batch > batch->now && batch->now >= batch->least) {
        more.work.batch = batch->now;
        if (more.micro_batch > batch->now) more.micro_batch = batch->now;
    }
    if (more.work.size > size->now || (more.work.size == size->now && more.work.batch > batch->now))
        *next = more;
    return OK;
}

int governor_look(const struct governor *g, struct ladder *ladder, int at,
                  const struct device *device, int64_t held, struct memory_mode *next)
{
    int to = governor_pick_mode(ladder, at, device, held);
    int64_t budget = ladder_budget(&ladder->settings, device, held);
    const struct memory_range *size = &g->growth.size, *batch = &g->growth.batch;
    int asked = g->growth.takes_time ? size->least : 0;
    bool is_less = size->now < asked && batch->now >= batch->least;
    struct memory_mode larger;
    bool found = false;
    *next = ladder->modes[to].mode;
    if (!g->settings.grow) return OK;
    if (!ladder->modes[to].fits && !may_stay(ladder, to, device, held))
        return governor_shrink(g, ladder, budget, next, &found);
    if (!g->growth.takes_time || is_less)
        TRY(other_size(g, ladder, budget, asked, &larger, &found));
    if (found && larger.work.size > size->now) {
        *next = larger;
        return OK;
    }
    if (to != at || to != governor_fastest(ladder)) return OK;
    if (g->growth.takes_time) return governor_more_work(g, &ladder->modes[to], budget, next);
    return larger_batch(g, &ladder->modes[to], budget, next);
}
