#include "diffusion/latent/latent_set.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/format.h"
#include "base/log.h"
#include "base/retry.h"
#include "base/seldom.h"
#include "base/threads.h"
#include "data/cache_file.h"
#include "data/dataset.h"
#include "math/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LATENT_HEADER_BYTES = 4096 };

struct latent_header {
    char magic[8];
    uint64_t key; /* of the images, the autoencoder and the numbers below */
    uint32_t height, width, channels, count, mirrors, halves;
    uint64_t check; /* of the numbers above */
};

struct latent_set {
    struct latent_options options;
    struct latent_header header;
    struct cache_file file;
};

/* ---- the format ---- */

static size_t latent_numbers(const struct latent_header *h)
{
    return (size_t)h->height * h->width * h->channels;
}

static size_t latent_bytes(const struct latent_header *h)
{
    return latent_numbers(h) * (h->halves ? sizeof(uint16_t) : sizeof(float));
}

/* Images of the file, mirrored ones counted. */
static size_t latent_entries(const struct latent_header *h)
{
    return (size_t)h->count * (h->mirrors ? 2 : 1);
}

/* Where the mean (part 0) or deviation (1) of an entry stands; part 2: its checksum. */
static size_t latent_place(const struct latent_header *h, int part, size_t entry)
{
    size_t tensor = latent_entries(h) * latent_bytes(h);
    size_t sums = (LATENT_HEADER_BYTES + 2 * tensor + 7) / 8 * 8;
    if (part == 2) return sums + entry * sizeof(uint64_t);
    return LATENT_HEADER_BYTES + (size_t)part * tensor + entry * latent_bytes(h);
}

static struct latent_header latent_header_of(const struct latent_options *options)
{
    struct latent_header h = {.magic = "imgtlt1",
                              .height = (uint32_t)options->height,
                              .width = (uint32_t)options->width,
                              .channels = (uint32_t)options->channels,
                              .count = (uint32_t)dataset_count(options->images),
                              .mirrors = options->mirrors,
                              .halves = options->halves};
    const uint64_t sources[] = {dataset_fingerprint(options->images), options->vae};
    h.key = hash_bytes(3, sources, sizeof sources);
    h.key =
        hash_bytes(h.key, &h.height,
                   offsetof(struct latent_header, check) - offsetof(struct latent_header, height));
    h.check = hash_bytes(1, &h, offsetof(struct latent_header, check));
    return h;
}

static uint64_t latent_sum(const void *mean, const void *deviation, size_t bytes)
{
    return hash_bytes(hash_bytes(0, mean, bytes), deviation, bytes);
}

struct latent_check {
    const struct latent_header *header;
    const uint8_t *map;
    int64_t broken;
};

static void latent_check_sums(void *context, int64_t from, int64_t to)
{
    struct latent_check *check = context;
    const struct latent_header *h = check->header;
    for (int64_t i = from; i < to; i++) {
        const uint8_t *map = check->map;
        uint64_t sum = latent_sum(map + latent_place(h, 0, (size_t)i),
                                  map + latent_place(h, 1, (size_t)i), latent_bytes(h));
        if (memcmp(map + latent_place(h, 2, (size_t)i), &sum, sizeof sum) != 0)
            __atomic_fetch_add(&check->broken, 1, __ATOMIC_RELAXED);
    }
}

static bool latent_set_is_sound(void *context, const uint8_t *map, size_t bytes)
{
    const struct latent_set *set = context;
    const struct latent_header *h = &set->header;
    size_t entries = latent_entries(h);
    if (bytes != latent_place(h, 2, entries) || memcmp(map, h, sizeof *h) != 0) return false;
    struct latent_check check = {h, map, 0};
    threads_for((int64_t)entries, 16, latent_check_sums, &check);
    return check.broken == 0;
}

/* ---- making it ---- */

struct latent_maker {
    const struct latent_set *set;
    int fd;
    const char *name; /* of the file */
    float *image, *values[2];
    uint16_t *halves;
    uint64_t sum;
    struct seldom lines;
};

static int latent_write(const struct latent_maker *m, size_t at, const void *data, size_t bytes)
{
    const char *from = data;
    while (bytes > 0) {
        ssize_t n = retry_pwrite(m->fd, from, bytes, (off_t)at);
        if (n <= 0) return fail_errno(ERR_IO, "write %s", m->name);
        from += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return OK;
}

/* The numbers of one tensor of one image. */
static int latent_keep(struct latent_maker *m, int part, size_t entry)
{
    const struct latent_header *h = &m->set->header;
    size_t numbers = latent_numbers(h);
    const void *data = m->values[part];
    for (size_t i = 0; i < numbers; i++) {
        float x = m->values[part][i];
        if (h->halves) x = half_half_value(m->halves[i] = half_round(x));
        if (!isfinite(x))
            return fail(ERR_DATA, "the autoencoder makes latents that are no finite numbers%s",
                        h->halves && isfinite(m->values[part][i])
                            ? " in half precision: set diffusion.latents=f32"
                            : "");
    }
    if (h->halves) data = m->halves;
    m->sum = hash_bytes(part ? m->sum : 0, data, latent_bytes(h));
    return latent_write(m, latent_place(h, part, entry), data, latent_bytes(h));
}

static void latent_show_progress(struct latent_maker *m, size_t done)
{
    size_t total = latent_entries(&m->set->header);
    double spent;
    if (done == total || !seldom_is_due(&m->lines, &spent)) return;
    log_info("latents %zu/%zu %zu%% eta %.0fs", done, total, done * 100 / total,
             spent * (double)(total - done) / (double)done);
}

static int latent_make_one(struct latent_maker *m, size_t entry)
{
    const struct latent_options *options = &m->set->options;
    const struct latent_header *h = &m->set->header;
    struct dataset_item item = dataset_at(options->images, (int)(entry % h->count));
    item.flip = entry >= h->count;
    dataset_item_values(options->images, &item, m->image);
    TRY(options->encode(options->context, m->image, m->values[0], m->values[1]));
    TRY(latent_keep(m, 0, entry));
    TRY(latent_keep(m, 1, entry));
    return latent_write(m, latent_place(h, 2, entry), &m->sum, sizeof m->sum);
}

static int latent_make_all(struct latent_maker *m)
{
    static const uint8_t zeros[8];
    const struct latent_options *options = &m->set->options;
    const struct latent_header *h = &m->set->header;
    size_t entries = latent_entries(h), end = latent_place(h, 1, entries);
    TRY(latent_write(m, 0, h, sizeof *h));
    TRY(latent_write(m, end, zeros, latent_place(h, 2, 0) - end));
    m->lines = seldom_begin();
    for (size_t i = 0; i < entries; i++) {
        if (options->stop_requested && options->stop_requested())
            return fail(ERR_STOPPED, "stopped while latents are made");
        TRY(latent_make_one(m, i));
        latent_show_progress(m, i + 1);
    }
    if (lseek(m->fd, (off_t)latent_place(h, 2, entries), SEEK_SET) < 0)
        return fail_errno(ERR_IO, "write %s", m->name);
    return OK;
}

static int latent_set_make(void *context, int fd, const char *name)
{
    const struct latent_set *set = context;
    size_t numbers = latent_numbers(&set->header);
    struct latent_maker m = {.set = set, .fd = fd, .name = name};
    m.image = malloc((set->options.image_floats + 3 * numbers) * sizeof *m.image);
    if (!m.image) return fail(ERR_SYSTEM, "out of memory for latents");
    m.values[0] = m.image + set->options.image_floats;
    m.values[1] = m.values[0] + numbers;
    m.halves = (void *)(m.values[1] + numbers);
    int code = latent_make_all(&m);
    free(m.image);
    return code;
}

/* ---- open ---- */

int latent_set_open(struct latent_set **out, const struct latent_options *options,
                    const struct cache_places *places)
{
    struct latent_set *set = calloc(1, sizeof *set);
    char name[64];
    *out = NULL;
    if (!set) return fail(ERR_SYSTEM, "out of memory");
    set->options = *options;
    set->header = latent_header_of(options);
    snprintf(name, sizeof name, "latents-%dx%d-%016llx.bin", options->width, options->height,
             (unsigned long long)set->header.key);
    const struct cache_content content = {.name = name,
                                          .what = "the latents",
                                          .make = latent_set_make,
                                          .is_sound = latent_set_is_sound,
                                          .context = set};
    int code = cache_file_open(&set->file, &content, places);
    if (code < 0) {
        free(set);
        return code;
    }
    log_info("latents of %u images%s: %d x %d x %d, %s, %s%s%s", set->header.count,
             options->mirrors ? ", mirrored too" : "", options->width, options->height,
             options->channels, options->halves ? "F16" : "F32",
             format_bytes((int64_t)set->file.bytes).text, set->file.path ? ", cached in " : "",
             set->file.path ? set->file.path : "");
    *out = set;
    return OK;
}

void latent_set_close(struct latent_set *set)
{
    if (!set) return;
    cache_file_close(&set->file);
    free(set);
}

/* ---- samples ---- */

void latent_set_sample(const struct latent_set *set, int index, bool mirrored, float *noise)
{
    const struct latent_header *h = &set->header;
    size_t entry = (size_t)index + (mirrored ? h->count : 0), numbers = latent_numbers(h);
    const void *mean = set->file.map + latent_place(h, 0, entry);
    const void *deviation = set->file.map + latent_place(h, 1, entry);
    for (size_t i = 0; i < numbers; i++) {
        float m =
            h->halves ? half_half_value(((const uint16_t *)mean)[i]) : ((const float *)mean)[i];
        float d = h->halves ? half_half_value(((const uint16_t *)deviation)[i])
                            : ((const float *)deviation)[i];
        noise[i] = (m + d * noise[i] - set->options.shift) * set->options.scaling;
    }
}
