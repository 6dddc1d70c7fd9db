#include "data/pairs.h"

#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "data/pairs_cache.h"

#include <stdlib.h>

enum { LISTED = 5 };

struct pairs {
    struct pairs_list list;
    struct pairs_cache cache;
    struct pair *pairs; /* [count] that are large enough */
    int count;
};

static struct pair pair_of(const struct pairs *set, const struct pairs_entry *e)
{
    return (struct pair){.name = set->list.gt.files[e->file].name,
                         .w = (int)e->w,
                         .h = (int)e->h,
                         .lq_is_16 = e->lq_bytes == 2,
                         .gt_is_16 = e->gt_bytes == 2,
                         .lq = e->lq_bytes ? set->cache.map + e->lq : NULL,
                         .gt = set->cache.map + e->gt};
}

/* Those that a patch can be cut from. */
static int choose_pairs(struct pairs *set, const struct pairs_options *options)
{
    uint32_t all = set->cache.header.count, most = 0, least = (uint32_t)options->least;
    int small = 0;
    set->pairs = calloc(all, sizeof *set->pairs);
    if (!set->pairs) return fail(ERR_SYSTEM, "out of memory");
    for (uint32_t i = 0; i < all; i++) {
        const struct pairs_entry *e = &set->cache.index[i];
        uint32_t side = e->w < e->h ? e->w : e->h;
        if (side > most) most = side;
        if (side >= least) {
            set->pairs[set->count++] = pair_of(set, e);
            continue;
        }
        if (small++ < LISTED)
            log_warning("%s data: %s: %ux%u is smaller than a patch of %d x %d: left out",
                        options->role, set->list.gt.files[e->file].name,
                        e->w * set->cache.header.scale, e->h * set->cache.header.scale,
                        options->least * options->scale, options->least * options->scale);
    }
    if (small > LISTED)
        log_warning("%s data: %d of %u images are smaller than a patch and left out", options->role,
                    small, all);
    if (set->count > 0) return OK;
    return fail(ERR_DATA,
                "%s data: %s: all %u images are smaller than lq_size %d x scale %d; the largest "
                "lq_size that fits is %u",
                options->role, options->gt, all, options->least, options->scale, most);
}

static int open_pairs(struct pairs *set, const struct pairs_options *options)
{
    TRY(pairs_list_open(&set->list, options));
    TRY(pairs_cache_open(&set->cache, &set->list, options));
    TRY(choose_pairs(set, options));
    log_info("%s data: %s: %d images%s%s, %dx, %s%s%s", options->role, options->gt, set->count,
             set->list.lq.count  ? " and their LQ in "
             : options->degraded ? ", degraded while training"
                                 : ", reduced by bicubic",
             set->list.lq.count ? options->lq : "", options->scale,
             format_bytes((int64_t)set->cache.bytes).text, set->cache.path ? ", cached in " : "",
             set->cache.path ? set->cache.path : "");
    return OK;
}

int pairs_open(struct pairs **out, const struct pairs_options *options)
{
    struct pairs *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) return fail(ERR_SYSTEM, "out of memory");
    set->cache.fd = -1;
    int code = open_pairs(set, options);
    if (code < 0) pairs_close(set);
    if (code == OK) *out = set;
    return code;
}

void pairs_close(struct pairs *set)
{
    if (!set) return;
    pairs_cache_close(&set->cache);
    pairs_list_free(&set->list);
    free(set->pairs);
    free(set);
}

int pairs_keep(struct pairs *set, const char *cache_dir)
{
    return pairs_cache_keep(&set->cache, cache_dir);
}

int pairs_count(const struct pairs *set)
{
    return set->count;
}

const struct pair *pairs_at(const struct pairs *set, int index)
{
    return &set->pairs[index];
}

int pairs_scale(const struct pairs *set)
{
    return (int)set->cache.header.scale;
}

size_t pairs_bytes(const struct pairs *set)
{
    return set->cache.bytes;
}

uint64_t pairs_fingerprint(const struct pairs *set)
{
    return set->cache.header.contents;
}
