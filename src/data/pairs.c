#include "data/pairs.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "data/pairs_cache.h"

#include <stdlib.h>
#include <string.h>

enum { LISTED = 5 };

struct pairs {
    struct pairs_list list;
    struct pairs_cache cache;
    char *gt, *lq;            /* the folders, uncached */
    struct pair_files *files; /* [list.count], uncached */
    struct pair *pairs;       /* [count] that are large enough */
    int count, scale;
    uint64_t listing;
};

/* ---- one pair in use ---- */

static int view_expect(const struct pair *pair, const struct image *image, bool is_16)
{
    if ((image->type == SAMPLE_U16) == is_16) return OK;
    return fail(ERR_DATA, "%s: %d bits, but %d when it was looked at", pair->name, is_16 ? 8 : 16,
                is_16 ? 16 : 8);
}

int pair_view_open(struct pair_view *view, const struct pair *pair)
{
    *view = (struct pair_view){.pair = *pair};
    if (!pair->files) return OK;
    int code = pair_decode(pair->files, &view->lq, &view->gt);
    if (code == OK) code = view_expect(pair, &view->gt, pair->gt_is_16);
    if (code == OK && view->lq.data) code = view_expect(pair, &view->lq, pair->lq_is_16);
    view->pair.lq = view->lq.data;
    view->pair.gt = view->gt.data;
    if (code < 0) pair_view_close(view);
    return code;
}

void pair_view_close(struct pair_view *view)
{
    image_free(&view->lq);
    image_free(&view->gt);
}

size_t pair_view_bytes(const struct pair *pair)
{
    const struct pair_files *files = pair->files;
    if (!files) return 0;
    size_t pixels = (size_t)pair->w * (size_t)pair->h * 3, times = (size_t)files->scale;
    size_t gt = pixels * times * times * (pair->gt_is_16 ? 2 : 1);
    return gt + (files->lq || !files->degraded ? pixels * (pair->lq_is_16 ? 2 : 1) : 0);
}

/* ---- which there are ---- */

static struct pair pair_of_entry(const struct pairs *set, const struct pairs_entry *e)
{
    return (struct pair){.name = set->list.gt.files[e->file].name,
                         .w = (int)e->w,
                         .h = (int)e->h,
                         .lq_is_16 = e->lq_bytes == 2,
                         .gt_is_16 = e->gt_bytes == 2,
                         .lq = e->lq_bytes ? set->cache.file.map + e->lq : NULL,
                         .gt = set->cache.file.map + e->gt};
}

static void list_one(struct pairs *set, int match, const struct pair *pair)
{
    const struct pairs_match *m = &set->list.matches[match];
    int64_t lq = m->lq < 0 ? -1 : set->list.lq.files[m->lq].bytes;
    const int64_t numbers[] = {pair->w, pair->h, set->scale, set->list.gt.files[m->gt].bytes, lq};
    set->listing = hash_bytes(set->listing, numbers, sizeof numbers);
    set->listing = hash_bytes(set->listing, pair->name, strlen(pair->name));
}

static void list_cached(struct pairs *set)
{
    set->count = (int)set->cache.header.count;
    for (int i = 0; i < set->count; i++) {
        const struct pairs_entry *e = &set->cache.index[i];
        set->pairs[i] = pair_of_entry(set, e);
        list_one(set, (int)e->file, &set->pairs[i]);
    }
}

/* As the cache does, but by their heads. */
static int list_uncached(struct pairs *set, const struct pairs_options *options)
{
    int broken = 0;
    for (int i = 0; i < set->list.count; i++) {
        const struct pairs_match *m = &set->list.matches[i];
        struct pair_files *files = &set->files[i];
        *files = pairs_match_files(&set->list, m, options);
        files->gt_folder = set->gt;
        files->lq_folder = set->lq;
        int code = m->is_broken ? pair_decode_broken(files) : OK;
        if (code == ERR_SYSTEM || code == ERR_IO) return code;
        if (code == OK && (m->w < 1 || m->h < 1))
            code = fail(ERR_DATA, "%s/%s: smaller than a pixel of LQ", set->gt, files->gt);
        if (code < 0) {
            if (broken++ < LISTED)
                log_warning("%s data: %s: skipped", options->role, error_message());
            continue;
        }
        struct pair *pair = &set->pairs[set->count++];
        *pair = (struct pair){.name = files->gt,
                              .w = m->w,
                              .h = m->h,
                              .lq_is_16 = m->lq_is_16,
                              .gt_is_16 = m->gt_is_16,
                              .files = files};
        list_one(set, i, pair);
    }
    if (set->count > 0) return OK;
    return fail(ERR_DATA, "%s data: %s: none of its %d images can be used", options->role,
                options->gt, set->list.count);
}

/* Keeps those that a patch can be cut from. */
static int choose_pairs(struct pairs *set, const struct pairs_options *options)
{
    int all = set->count, most = 0, small = 0;
    set->count = 0;
    for (int i = 0; i < all; i++) {
        const struct pair pair = set->pairs[i];
        int side = pair.w < pair.h ? pair.w : pair.h;
        if (side > most) most = side;
        if (side >= options->least) {
            set->pairs[set->count++] = pair;
            continue;
        }
        if (small++ < LISTED)
            log_warning("%s data: %s: %dx%d is smaller than a patch of %d x %d: left out",
                        options->role, pair.name, pair.w * set->scale, pair.h * set->scale,
                        options->least * options->scale, options->least * options->scale);
    }
    if (small > LISTED)
        log_warning("%s data: %d of %d images are smaller than a patch and left out", options->role,
                    small, all);
    if (set->count > 0) return OK;
    return fail(ERR_DATA,
                "%s data: %s: all %d images are smaller than lq_size %d x scale %d; the largest "
                "lq_size that fits is %d",
                options->role, options->gt, all, options->least, options->scale, most);
}

static int64_t pairs_largest_view(const struct pairs *set)
{
    size_t most = 0;
    for (int i = 0; i < set->count; i++) {
        size_t bytes = pair_view_bytes(&set->pairs[i]);
        if (bytes > most) most = bytes;
    }
    return (int64_t)most;
}

static void say_what_is_there(const struct pairs *set, const struct pairs_options *options)
{
    const char *lq = set->list.lq.count  ? " and their LQ in "
                     : options->degraded ? ", degraded while training"
                                         : ", reduced by bicubic";
    const char *folder = set->list.lq.count ? options->lq : "";
    if (set->files)
        log_info("%s data: %s: %d images%s%s, %dx, without a cache: each is decoded when it is "
                 "used, by each thread one, of up to %s",
                 options->role, options->gt, set->count, lq, folder, set->scale,
                 format_bytes(pairs_largest_view(set)).text);
    else
        log_info("%s data: %s: %d images%s%s, %dx, %s%s%s", options->role, options->gt, set->count,
                 lq, folder, set->scale, format_bytes((int64_t)set->cache.file.bytes).text,
                 set->cache.file.path ? ", cached in " : "",
                 set->cache.file.path ? set->cache.file.path : "");
}

static int open_uncached(struct pairs *set, const struct pairs_options *options)
{
    size_t count = (size_t)set->list.count;
    TRY(pairs_check(&set->list, options));
    set->gt = string_format("%s", options->gt);
    set->lq = string_format("%s", options->lq ? options->lq : "");
    set->files = calloc(count, sizeof *set->files);
    set->pairs = calloc(count, sizeof *set->pairs);
    if (!set->gt || !set->lq || !set->files || !set->pairs)
        return fail(ERR_SYSTEM, "out of memory");
    return list_uncached(set, options);
}

static int open_cached(struct pairs *set, const struct pairs_options *options)
{
    TRY(pairs_cache_open(&set->cache, &set->list, options));
    set->pairs = calloc(set->cache.header.count, sizeof *set->pairs);
    if (!set->pairs) return fail(ERR_SYSTEM, "out of memory");
    list_cached(set);
    return OK;
}

static int open_pairs(struct pairs *set, const struct pairs_options *options)
{
    TRY(pairs_list_open(&set->list, options));
    TRY(options->uncached ? open_uncached(set, options) : open_cached(set, options));
    TRY(choose_pairs(set, options));
    say_what_is_there(set, options);
    return OK;
}

int pairs_open(struct pairs **out, const struct pairs_options *options)
{
    struct pairs *set = calloc(1, sizeof *set);
    *out = NULL;
    if (!set) return fail(ERR_SYSTEM, "out of memory");
    set->cache.file.fd = -1;
    set->scale = options->scale;
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
    free(set->files);
    free(set->gt);
    free(set->lq);
    free(set);
}

int pairs_keep(struct pairs *set, const char *cache_dir)
{
    return set->files ? OK : pairs_cache_keep(&set->cache, cache_dir);
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
    return set->scale;
}

size_t pairs_bytes(const struct pairs *set)
{
    return set->cache.file.bytes;
}

uint64_t pairs_fingerprint(const struct pairs *set)
{
    return set->cache.header.contents;
}

uint64_t pairs_listing(const struct pairs *set)
{
    return set->listing;
}
