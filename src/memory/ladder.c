#include "memory/ladder.h"

#include "device/device.h"

#include <stdarg.h>
#include <stdio.h>

void ladder_add(struct ladder *ladder, const struct memory_mode *mode,
                const struct memory_need *need)
{
    if (ladder->count == LADDER_MAX_MODES) return;
    ladder->modes[ladder->count++] = (struct ladder_mode){.mode = *mode, .need = *need};
}

int64_t ladder_budget(const struct ladder_settings *settings, const struct device *device,
                      int64_t held)
{
    int64_t limit = device_limit_left(device);
    int64_t left = device->free_bytes ? device->free_bytes(device) : -1;
    if (limit != INT64_MAX) limit += held;
    if (settings->budget > 0) return settings->budget < limit ? settings->budget : limit;
    if (left < 0) return limit;
    left += held;
    if (left >= limit) return limit;
    return (int64_t)((double)left * (settings->target_usage - settings->safety_margin));
}

void ladder_judge(struct ladder *ladder, int64_t budget)
{
    for (int i = 0; i < ladder->count; i++)
        ladder->modes[i].fits = (int64_t)ladder->modes[i].need.device_bytes <= budget;
}

/* The level that is meant: of the modes at hand the nearest at or below the wanted one. */
static int wanted_level(const struct ladder *ladder)
{
    int level = -1, lowest = MEMORY_LEVELS;
    if (ladder->settings.level < 0) return -1;
    for (int i = 0; i < ladder->count; i++) {
        int here = ladder->modes[i].mode.level;
        if (here <= ladder->settings.level && here > level) level = here;
        if (here < lowest) lowest = here;
    }
    return level >= 0 ? level : lowest;
}

/* Modes below it are out: least_level, or the highest there is (another device may have fewer). */
static int lowest_level(const struct ladder *ladder)
{
    int highest = 0;
    for (int i = 0; i < ladder->count; i++)
        if (ladder->modes[i].mode.level > highest) highest = ladder->modes[i].mode.level;
    return ladder->least_level < highest ? ladder->least_level : highest;
}

/* Another precision than the first mode's is another result: it comes after all that change none.
 */
static bool changes_result(const struct ladder *ladder, int index)
{
    return ladder->modes[index].mode.amp != ladder->modes[0].mode.amp;
}

static bool ladder_faster(const struct ladder *ladder, int a, int b)
{
    if (b < 0) return true;
    if (changes_result(ladder, a) != changes_result(ladder, b)) return changes_result(ladder, b);
    return ladder->modes[a].need.relative_time < ladder->modes[b].need.relative_time;
}

static bool ladder_smaller(const struct ladder *ladder, int a, int b)
{
    return b < 0 || ladder->modes[a].need.device_bytes < ladder->modes[b].need.device_bytes;
}

int ladder_pick(const struct ladder *ladder, int *least)
{
    int level = wanted_level(ladder), lowest = lowest_level(ladder), best = -1;
    *least = -1;
    for (int i = 0; i < ladder->count; i++) {
        const struct ladder_mode *here = &ladder->modes[i];
        if (level >= 0 && here->mode.level != level) continue;
        if (level < 0 && here->mode.level < lowest) continue;
        if (here->fits && ladder_faster(ladder, i, best)) best = i;
        if (ladder_smaller(ladder, i, *least)) *least = i;
    }
    return best;
}

int ladder_down(const struct ladder *ladder, int at)
{
    int best = -1;
    for (int i = 0; i < ladder->count; i++)
        if (ladder->modes[i].fits && ladder_smaller(ladder, i, at) &&
            ladder_faster(ladder, i, best))
            best = i;
    return best;
}

bool ladder_same_mode(const struct memory_mode *a, const struct memory_mode *b)
{
    return a->level == b->level && a->amp == b->amp && a->checkpointing == b->checkpointing &&
           a->micro_batch == b->micro_batch && a->bands == b->bands && a->offload == b->offload &&
           a->workspace_cap == b->workspace_cap;
}

int ladder_find(const struct ladder *ladder, const struct memory_mode *mode)
{
    for (int i = 0; i < ladder->count; i++)
        if (ladder_same_mode(&ladder->modes[i].mode, mode)) return i;
    return -1;
}

int ladder_find_near(const struct ladder *ladder, const struct memory_mode *mode)
{
    struct memory_mode wanted = *mode;
    int near = -1;
    for (int i = 0; i < ladder->count; i++) {
        int micro = wanted.micro_batch = ladder->modes[i].mode.micro_batch;
        if (!ladder_same_mode(&ladder->modes[i].mode, &wanted)) continue;
        int best = near >= 0 ? ladder->modes[near].mode.micro_batch : 0;
        bool fits = micro <= mode->micro_batch, best_fits = best <= mode->micro_batch;
        if (near < 0 || (fits && (!best_fits || micro > best)) ||
            (!fits && !best_fits && micro < best))
            near = i;
    }
    return near;
}

static void __attribute__((format(printf, 3, 4)))
ladder_append(char *text, size_t room, const char *format, ...)
{
    size_t used = 0;
    while (used + 1 < room && text[used])
        used++;
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}

char *ladder_describe(char *text, size_t room, const struct memory_mode *c)
{
    snprintf(text, room, "level %d", c->level);
    if (c->amp) ladder_append(text, room, ", mixed precision");
    if (c->checkpointing) ladder_append(text, room, ", recomputing");
    if (c->micro_batch) ladder_append(text, room, ", %d at a time", c->micro_batch);
    if (c->bands) ladder_append(text, room, ", %d bands", c->bands);
    if (c->offload) ladder_append(text, room, ", optimiser beside the device");
    if (c->work.size) ladder_append(text, room, ", size %d", c->work.size);
    if (c->work.batch) ladder_append(text, room, ", batch %d", c->work.batch);
    if (c->workspace_cap)
        ladder_append(text, room, ", at most %zu MiB of scratch", c->workspace_cap >> 20);
    return text;
}
