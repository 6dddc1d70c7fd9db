#include "data/pairs_build.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/format.h"
#include "base/log.h"
#include "base/seldom.h"
#include "base/threads.h"
#include "data/pair_decode.h"
#include "data/pairs_format.h"
#include "image/image.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS_HEADER_BYTES = 4096, CHUNK_MOST = 64, LISTED = 5 };

/* One pair as it goes into the file: RGB of 8 or 16 bits. */
struct decoded {
    struct image lq, gt;
    int code;
    char *fault; /* why it cannot be read; NULL: it can */
};

struct pairs_builder {
    const struct pairs_list *list;
    const struct pairs_options *options;
    const char *name;
    int fd;
    uint64_t at; /* bytes written */
    struct decoded chunk[CHUNK_MOST];
    int first; /* match of chunk[0] */
    struct pairs_entry *index;
    uint32_t count;
    int skipped;
    struct seldom lines;
};

/* ---- one pair ---- */

static int decode_match(const struct pairs_builder *b, const struct pairs_match *m,
                        struct decoded *out)
{
    const struct pair_files files = pairs_match_files(b->list, m, b->options);
    if (m->is_broken) return pair_decode_broken(&files);
    if (m->w < 1 || m->h < 1)
        return fail(ERR_DATA, "%s/%s: smaller than a pixel of LQ", files.gt_folder, files.gt);
    return pair_decode(&files, &out->lq, &out->gt);
}

static void decode_pairs(void *context, int64_t from, int64_t to)
{
    struct pairs_builder *b = context;
    for (int64_t i = from; i < to; i++) {
        struct decoded *out = &b->chunk[i];
        out->code = decode_match(b, &b->list->matches[b->first + (int)i], out);
        /* the message belongs to the thread that failed */
        if (out->code < 0) out->fault = string_format("%s", error_message());
    }
}

static void decoded_free(struct decoded *d)
{
    image_free(&d->lq);
    image_free(&d->gt);
    free(d->fault);
    *d = (struct decoded){.code = OK};
}

/* ---- all of them ---- */

static int write_samples(struct pairs_builder *b, const struct image *image, uint64_t *at)
{
    static const uint8_t zeros[8];
    size_t bytes = image_bytes(image), padding = (8 - bytes % 8) % 8;
    *at = b->at;
    TRY(file_write_all(b->fd, image->data, bytes, b->name));
    TRY(file_write_all(b->fd, zeros, padding, b->name));
    b->at += bytes + padding;
    return OK;
}

static int keep_pair(struct pairs_builder *b, const struct decoded *d, const struct pairs_match *m)
{
    const char *fault = d->fault ? d->fault : "out of memory";
    if (d->code == ERR_SYSTEM || d->code == ERR_IO) return fail(d->code, "%s", fault);
    if (d->code < 0) {
        if (b->skipped++ < LISTED) log_warning("%s data: %s: skipped", b->options->role, fault);
        return OK;
    }
    if (!d->gt.data) return OK;
    struct pairs_entry *e = &b->index[b->count];
    *e = (struct pairs_entry){.file = (uint32_t)m->gt,
                              .w = (uint32_t)m->w,
                              .h = (uint32_t)m->h,
                              .lq_bytes = d->lq.data ? (uint8_t)sample_bytes(d->lq.type) : 0,
                              .gt_bytes = (uint8_t)sample_bytes(d->gt.type)};
    e->sum = hash_bytes(0, d->lq.data, image_bytes(&d->lq));
    e->sum = hash_bytes(e->sum, d->gt.data, image_bytes(&d->gt));
    TRY(write_samples(b, &d->lq, &e->lq));
    TRY(write_samples(b, &d->gt, &e->gt));
    b->count++;
    return OK;
}

static void pairs_build_progress(struct pairs_builder *b, int done)
{
    double spent;
    if (done == b->list->count || !seldom_is_due(&b->lines, &spent)) return;
    log_info("%s data: images %d/%d, %s", b->options->role, done, b->list->count,
             format_bytes((int64_t)b->at).text);
}

static int build_pairs(struct pairs_builder *b)
{
    int most = 2 * threads_count(), total = b->list->count;
    if (most > CHUNK_MOST) most = CHUNK_MOST;
    for (b->first = 0; b->first < total; b->first += most) {
        int n = total - b->first < most ? total - b->first : most, code = OK;
        if (b->options->stop_requested && b->options->stop_requested())
            return fail(ERR_STOPPED, "stopped while preparing the images");
        threads_for(n, 1, decode_pairs, b);
        for (int i = 0; i < n; i++) {
            if (code == OK) code = keep_pair(b, &b->chunk[i], &b->list->matches[b->first + i]);
            decoded_free(&b->chunk[i]);
        }
        TRY(code);
        pairs_build_progress(b, b->first + n);
    }
    if (b->skipped > LISTED)
        log_warning("%s data: %d of %d images cannot be used and are skipped", b->options->role,
                    b->skipped, total);
    if (b->count > 0) return OK;
    return fail(ERR_DATA, "%s data: %s: none of its %d images can be used", b->options->role,
                b->options->gt, total);
}

static int write_cache(struct pairs_builder *b, uint64_t key)
{
    static const uint8_t no_header[PAIRS_HEADER_BYTES];
    TRY(file_write_all(b->fd, no_header, sizeof no_header, b->name));
    b->at = sizeof no_header;
    TRY(build_pairs(b));
    struct pairs_header header = {.magic = "imgtsr1",
                                  .key = key,
                                  .index = b->at,
                                  .count = b->count,
                                  .scale = (uint32_t)b->options->scale};
    size_t bytes = b->count * sizeof *b->index;
    header.contents = hash_bytes(header.scale, b->index, bytes);
    header.check = pairs_header_check(&header);
    TRY(file_write_all(b->fd, b->index, bytes, b->name));
    if (pwrite(b->fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return fail_errno(ERR_IO, "write %s", b->name);
    return OK;
}

int pairs_build(int fd, const char *name, uint64_t key, const struct pairs_list *list,
                const struct pairs_options *options)
{
    struct pairs_builder *b = calloc(1, sizeof *b);
    if (!b) return fail(ERR_SYSTEM, "out of memory");
    *b = (struct pairs_builder){.list = list, .options = options, .name = name, .fd = fd};
    b->lines = seldom_begin();
    b->index = calloc((size_t)list->count, sizeof *b->index);
    int code = b->index ? write_cache(b, key) : fail(ERR_SYSTEM, "out of memory");
    free(b->index);
    free(b);
    return code;
}
