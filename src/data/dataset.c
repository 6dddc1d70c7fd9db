#include "data/dataset.h"

#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "base/random.h"
#include "data/channels.h"
#include "data/dataset_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_MOST = 200, IMAGES_LEAST = 2, IMAGES_FEW = 100, SIDE_MOST = 4096 };

/* Steps of STREAM_GAN_BATCH: epochs count from 0; the drawing of held-out images is none. */
static const uint64_t STEP_HELD = (uint64_t)1 << 62;

struct dataset {
    struct dataset_cache cache;
    bool flip, has_captions;
    uint64_t seed;
    int train_count, held_count;
    int *train, *held; /* indices into the cache, rising */
    const char **names;
    char **held_names; /* [held_count] files of the held-out images; NULL: unknown */
};

/* ---- shuffled order without state ---- */

/* Feistel network of 4 rounds on 2 x `bits` bits: a permutation whatever the round function is
 * (Luby & Rackoff 1988). */
static uint32_t dataset_feistel(uint32_t x, int bits, uint64_t seed, uint64_t step)
{
    uint32_t mask = (1u << bits) - 1, left = x >> bits, right = x & mask;
    for (uint64_t round = 0; round < 4; round++) {
        uint32_t word = philox_draw(seed, STREAM_GAN_BATCH, step, round << 32 | right).v[0];
        uint32_t next = left ^ (word & mask);
        left = right;
        right = next;
    }
    return left << bits | right;
}

/* Place `position` of the permutation of 0 .. count - 1 that belongs to (seed, step). Values beyond
 * count are sent through again until one is below: still a permutation. */
static int dataset_shuffled(int position, int count, uint64_t seed, uint64_t step)
{
    int bits = 1;
    while ((int64_t)1 << (2 * bits) < count)
        bits++;
    uint32_t x = (uint32_t)position;
    do {
        x = dataset_feistel(x, bits, seed, step);
    } while (x >= (uint32_t)count);
    return (int)x;
}

/* ---- training and held-out images ---- */

/* Marks the held-out images: by the seed and their number alone, whatever they show; the last
 * image of a class is left to the training, but not that of a caption. */
static int mark_held(const struct dataset *set, bool *is_held, int wanted)
{
    int count = (int)set->cache.header.count, held = 0;
    bool alike = set->has_captions || set->cache.header.classes == 0;
    int classes = alike ? 1 : (int)set->cache.header.classes;
    int *left = calloc((size_t)classes, sizeof *left);
    if (!left) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count; i++)
        left[alike ? 0 : set->cache.labels[i]]++;
    for (int i = 0; i < count && held < wanted; i++) {
        int index = dataset_shuffled(i, count, set->seed, STEP_HELD);
        int label = alike ? 0 : set->cache.labels[index];
        if (left[label] < 2) continue;
        left[label]--;
        is_held[index] = true;
        held++;
    }
    free(left);
    return held;
}

static int dataset_split(struct dataset *set)
{
    int count = (int)set->cache.header.count;
    int wanted = count < DATASET_HELD_FROM ? 0 : count / 10 < HELD_MOST ? count / 10 : HELD_MOST;
    bool *is_held = calloc((size_t)count, sizeof *is_held);
    set->train = malloc((size_t)count * sizeof *set->train);
    set->held = malloc((size_t)count * sizeof *set->held);
    int code = is_held && set->train && set->held ? mark_held(set, is_held, wanted)
                                                  : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; code >= 0 && i < count; i++) {
        if (is_held[i])
            set->held[set->held_count++] = i;
        else
            set->train[set->train_count++] = i;
    }
    free(is_held);
    return code < 0 ? code : OK;
}

static int list_names(struct dataset *set)
{
    size_t classes = set->cache.header.classes;
    if (classes == 0) return OK;
    set->names = malloc(classes * sizeof *set->names);
    if (!set->names) return fail(ERR_SYSTEM, "out of memory");
    const char *name = set->cache.names;
    for (size_t k = 0; k < classes; k++, name += strlen(name) + 1)
        set->names[k] = name;
    return OK;
}

/* The cache has no names of files: those of the few that are held out are kept from the list. */
static int keep_held_names(struct dataset *set, const struct scan *scan)
{
    if (set->held_count == 0 || (int)set->cache.header.count != scan->count) return OK;
    set->held_names = calloc((size_t)set->held_count, sizeof *set->held_names);
    if (!set->held_names) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < set->held_count; i++) {
        set->held_names[i] = string_format("%s", scan->files[set->held[i]].name);
        if (!set->held_names[i]) return ERR_SYSTEM;
    }
    return OK;
}

/* ---- open ---- */

static int score_count(const struct dataset *set, const char *folder)
{
    int count = (int)set->cache.header.count;
    if (count < IMAGES_LEAST)
        return fail(ERR_DATA, "%s: only one image: networks learn from many (100 or more)", folder);
    if (count < IMAGES_FEW)
        log_warning("%s: only %d images: networks want 100 or more", folder, count);
    return OK;
}

static void dataset_tell(const struct dataset *set, const struct dataset_options *options,
                         const struct scan *scan)
{
    const struct dataset_header *header = &set->cache.header;
    const char *folder = options->folder;
    if (scan->foreign > 0)
        log_warning("%s: %d images are of formats that cannot be read (%s)", folder, scan->foreign,
                    scan->formats);
    if (scan->aliases > 0)
        log_info("%s: %d further names of the same files are left out", folder, scan->aliases);
    char classes[32] = "", skipped[40] = "";
    if (header->skipped > 0) snprintf(skipped, sizeof skipped, ", %u unreadable", header->skipped);
    if (header->classes > 0)
        snprintf(classes, sizeof classes,
                 options->labels == SCAN_LABELS_TAGS ? " with %u set%s of tags"
                 : set->has_captions                 ? " with %u text%s"
                                                     : " in %u class%s",
                 header->classes,
                 header->classes == 1 ? ""
                 : set->has_captions  ? "s"
                                      : "es");
    const char *channels =
        options->channels == DATASET_RGB ? "" : channels_name(channels_of(set->cache.channels));
    log_info("%s: %u images%s, %d held out%s; %dx%d%s%s, %s%s%s", folder, header->count, classes,
             set->held_count, skipped, options->width, options->height, channels[0] ? " " : "",
             channels, format_bytes((int64_t)set->cache.bytes).text,
             set->cache.path ? ", cached in " : "", set->cache.path ? set->cache.path : "");
}

/* Asked for and not there: a mistake, or images that are yet to come. */
static void warn_without_alpha(const struct dataset *set, const char *folder)
{
    const struct dataset_header *header = &set->cache.header;
    size_t pixels = (size_t)header->count * header->width * header->height;
    for (size_t i = 0; i < pixels; i++)
        if (set->cache.pixels[4 * i + 3] < CHANNELS_ALPHA_BELOW) return;
    log_warning("%s: channels rgba, but none of its images has alpha: samples will be opaque",
                folder);
}

static int open_set(struct dataset *set, const struct dataset_options *options,
                    const struct scan *scan)
{
    set->flip = options->flip;
    set->has_captions = scan->has_captions;
    set->seed = options->seed;
    TRY(dataset_cache_open(&set->cache, options, scan));
    TRY(score_count(set, options->folder));
    TRY(dataset_split(set));
    TRY(list_names(set));
    TRY(keep_held_names(set, scan));
    dataset_tell(set, options, scan);
    if (set->cache.channels == 4) warn_without_alpha(set, options->folder);
    return OK;
}

int dataset_open(struct dataset **out, const struct dataset_options *options)
{
    *out = NULL;
    if (options->width < 1 || options->height < 1 || options->width > SIDE_MOST ||
        options->height > SIDE_MOST)
        return fail(ERR_CONFIG, "images of %dx%d: sides are 1..%d", options->width, options->height,
                    SIDE_MOST);
    struct scan scan;
    int code = scan_folder_labelled(&scan, options->folder, options->labels, options->label_file,
                                    options->stop_requested);
    struct dataset *set = code == OK ? calloc(1, sizeof *set) : NULL;
    if (code == OK && !set) code = fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = open_set(set, options, &scan);
    scan_free(&scan);
    if (code < 0) dataset_close(set);
    if (code == OK) *out = set;
    return code;
}

int dataset_keep(struct dataset *set, const char *cache_dir)
{
    return dataset_cache_keep(&set->cache, cache_dir);
}

int dataset_open_once(struct dataset **set, const struct dataset_options *options,
                      const char *run_dir, const char *planned_dir)
{
    char *cache = run_dir ? dataset_cache_folder(run_dir) : NULL;
    char *look = planned_dir ? dataset_cache_folder(planned_dir) : NULL;
    struct dataset_options placed = *options;
    int code = OK;
    placed.cache_dir = cache;
    placed.look_dir = look;
    if (!*set)
        code = dataset_open(set, &placed);
    else if (cache)
        code = dataset_keep(*set, cache);
    free(cache);
    free(look);
    return code;
}

void dataset_close(struct dataset *set)
{
    if (!set) return;
    dataset_cache_close(&set->cache);
    free(set->train);
    for (int i = 0; set->held_names && i < set->held_count; i++)
        free(set->held_names[i]);
    free(set->held_names);
    free(set->held);
    free(set->names);
    free(set);
}

/* ---- counts, names, items ---- */

int dataset_train_count(const struct dataset *set)
{
    return set->train_count;
}

int dataset_held_count(const struct dataset *set)
{
    return set->held_count;
}

int dataset_channels(const struct dataset *set)
{
    return set->cache.channels;
}

int dataset_classes(const struct dataset *set)
{
    return (int)set->cache.header.classes;
}

const char *dataset_class_name(const struct dataset *set, int label)
{
    return set->names[label];
}

uint64_t dataset_fingerprint(const struct dataset *set)
{
    return set->cache.header.contents;
}

int dataset_count(const struct dataset *set)
{
    return (int)set->cache.header.count;
}

struct dataset_item dataset_at(const struct dataset *set, int index)
{
    const struct dataset_header *header = &set->cache.header;
    return (struct dataset_item){
        .pixels = set->cache.pixels +
                  (size_t)index * header->width * header->height * (size_t)set->cache.channels,
        .label = set->cache.labels[index],
        .index = index,
    };
}

struct dataset_item dataset_train(const struct dataset *set, int index)
{
    return dataset_at(set, set->train[index]);
}

struct dataset_item dataset_held(const struct dataset *set, int index)
{
    return dataset_at(set, set->held[index]);
}

const char *dataset_held_name(const struct dataset *set, int index)
{
    return set->held_names ? set->held_names[index] : NULL;
}

int dataset_measured_count(const struct dataset *set)
{
    enum { MEASURED_MOST = 64 };
    int count = set->held_count ? set->held_count : set->train_count;
    return count < MEASURED_MOST ? count : MEASURED_MOST;
}

struct dataset_item dataset_measured(const struct dataset *set, int index)
{
    return set->held_count ? dataset_held(set, index) : dataset_train(set, index);
}

void dataset_item_channels(const struct dataset *set, const struct dataset_item *item, int channels,
                           float *values)
{
    size_t w = set->cache.header.width, h = set->cache.header.height, all = (size_t)channels;
    for (size_t i = 0; i < w * h; i++) {
        size_t x = i % w, from = item->flip ? i - x + (w - 1 - x) : i;
        for (size_t c = 0; c < all; c++)
            values[i * all + c] = (float)item->pixels[from * 3 + c] / 127.5f - 1;
    }
}

void dataset_item_values(const struct dataset *set, const struct dataset_item *item, float *values)
{
    dataset_item_channels(set, item, 3, values);
}

void dataset_batch(const struct dataset *set, uint64_t first, int count, struct dataset_item *items)
{
    uint64_t images = (uint64_t)set->train_count;
    for (int i = 0; i < count; i++) {
        uint64_t number = first + (uint64_t)i, epoch = number / images;
        uint32_t position = (uint32_t)(number % images);
        int index = dataset_shuffled((int)position, set->train_count, set->seed, epoch);
        items[i] = dataset_train(set, index);
        /* round 4 is none of the Feistel network's */
        uint64_t at = (uint64_t)4 << 32 | (uint32_t)index;
        items[i].flip =
            set->flip && (philox_draw(set->seed, STREAM_GAN_BATCH, epoch, at).v[0] & 1) != 0;
    }
}

char *dataset_cache_folder(const char *run_dir)
{
    const char *shared = getenv("XDG_CACHE_HOME");
    /* the specification (XDG Base Directory 0.8) wants relative ones ignored */
    if (shared && shared[0] == '/') return path_join(shared, "imgtrain");
    return run_dir ? path_join(run_dir, "cache") : NULL;
}
