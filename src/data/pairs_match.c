#include "data/pairs_match.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "data/pairs_names.h"
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTED = 10 };

/* ---- partners ---- */

static size_t stem_length(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
    return dot && dot > name && (!slash || dot > slash + 1) ? (size_t)(dot - name) : strlen(name);
}

/* The stem of the partner of `name`: `naming` applies to the last part of it. malloc. */
static char *partner_stem(const char *name, const char *naming)
{
    const char *slash = strrchr(name, '/');
    int folder = slash ? (int)(slash - name + 1) : 0, stem = (int)stem_length(name);
    const char *hole = naming ? strstr(naming, "{}") : NULL;
    if (!hole) return string_format("%.*s", stem, name);
    return string_format("%.*s%.*s%.*s%s", folder, name, (int)(hole - naming), naming,
                         stem - folder, name + folder, hole + 2);
}

struct stem {
    const char *name;
    size_t length;
    int file;
};

static int compare_stems(const void *a, const void *b)
{
    const struct stem *one = a, *other = b;
    size_t least = one->length < other->length ? one->length : other->length;
    int order = memcmp(one->name, other->name, least);
    if (order) return order;
    return one->length < other->length ? -1 : one->length > other->length;
}

/* Those of all LQ files, sorted. malloc. */
static struct stem *list_stems(const struct scan *scan)
{
    struct stem *stems = calloc((size_t)scan->count + 1, sizeof *stems);
    for (int i = 0; stems && i < scan->count; i++)
        stems[i] = (struct stem){scan->files[i].name, stem_length(scan->files[i].name), i};
    if (stems) qsort(stems, (size_t)scan->count, sizeof *stems, compare_stems);
    return stems;
}

/* Faults are lines of the log, ten at most, and one line of the error. */
static void name_fault(int *faults, const char *line)
{
    if (++*faults <= LISTED) log_warning("%s", line);
}

/* taken: by file of LQ, the GT that has it, counted from 1. */
static int match_one(struct pairs_list *list, int i, const struct stem *stems, int *taken,
                     const struct pairs_options *options, int *faults)
{
    const char *name = list->gt.files[i].name;
    char *wanted = partner_stem(name, options->naming), *line = NULL;
    if (!wanted) return ERR_SYSTEM;
    const struct stem key = {wanted, strlen(wanted), 0};
    const struct stem *found =
        bsearch(&key, stems, (size_t)list->lq.count, sizeof *stems, compare_stems);
    list->matches[i] = (struct pairs_match){.gt = i, .lq = found ? found->file : -1};
    if (!found)
        line = string_format("%s data: %s/%s has no LQ partner %s/%s.*", options->role, options->gt,
                             name, options->lq, wanted);
    else if (taken[found->file])
        line = string_format("%s data: %s/%s and %s both have the LQ partner %s/%s", options->role,
                             options->gt, list->gt.files[taken[found->file] - 1].name, name,
                             options->lq, found->name);
    else
        taken[found->file] = i + 1;
    if (line) name_fault(faults, line);
    free(line);
    free(wanted);
    return OK;
}

static int match_all(struct pairs_list *list, const struct pairs_options *options)
{
    struct stem *stems = list_stems(&list->lq);
    int *taken = calloc((size_t)list->lq.count + 1, sizeof *taken);
    int of_gt = 0, of_lq = 0, code = stems && taken ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; code == OK && i < list->count; i++)
        code = match_one(list, i, stems, taken, options, &of_gt);
    bool all = !options->names || !options->names[0]; /* else others need no partner */
    for (int i = 0; code == OK && i < list->lq.count && all; i++) {
        if (taken[i]) continue;
        char *line = string_format("%s data: %s/%s has no GT partner in %s", options->role,
                                   options->lq, list->lq.files[i].name, options->gt);
        if (line) name_fault(&of_lq, line);
        free(line);
    }
    free(stems);
    free(taken);
    TRY(code);
    if (of_gt == 0 && of_lq == 0) return OK;
    return fail(ERR_DATA,
                "%s data: %d of %d GT images (%s) and %d of %d LQ images (%s) have no partner of "
                "the same name to themselves",
                options->role, of_gt, list->gt.count, options->gt, of_lq, list->lq.count,
                options->lq);
}

/* `folder` may be what another system calls it. */
static int scan_role(struct scan *scan, const char *folder, const struct pairs_options *options)
{
    int code = scan_folder(scan, folder, SCAN_LABELS_NONE, options->stop_requested);
    if (code == OK && scan->foreign > 0)
        log_warning("%s: %d images are of formats that cannot be read (%s)", folder, scan->foreign,
                    scan->formats);
    if (code == ERR_INPUT && strchr(folder, '\\'))
        return fail(ERR_INPUT, "%s data: %s: no such folder; here folders are written with /",
                    options->role, folder);
    return code == ERR_INPUT || code == ERR_DATA ? fail_within(code, "%s data", options->role)
                                                 : code;
}

int pairs_list_open(struct pairs_list *list, const struct pairs_options *options)
{
    *list = (struct pairs_list){.count = 0};
    TRY(scan_role(&list->gt, options->gt, options));
    if (options->names && options->names[0]) TRY(pairs_choose_named(&list->gt, options));
    list->count = list->gt.count;
    list->matches = calloc((size_t)list->count, sizeof *list->matches);
    if (!list->matches) return fail(ERR_SYSTEM, "out of memory");
    if (options->lq && options->lq[0]) {
        TRY(scan_role(&list->lq, options->lq, options));
        return match_all(list, options);
    }
    for (int i = 0; i < list->count; i++)
        list->matches[i] = (struct pairs_match){.gt = i, .lq = -1};
    return OK;
}

void pairs_list_free(struct pairs_list *list)
{
    scan_free(&list->gt);
    scan_free(&list->lq);
    free(list->matches);
    list->matches = NULL;
}

uint64_t pairs_list_key(const struct pairs_list *list, const struct pairs_options *options)
{
    /* the last number counts up when images are prepared in another way: 2 is without LQ */
    bool has_lq = list->lq.count > 0;
    const uint64_t numbers[] = {scan_hash(&list->gt), has_lq ? scan_hash(&list->lq) : 0,
                                (uint64_t)options->scale, options->crop,
                                has_lq || !options->degraded ? 1 : 2};
    const char *naming = options->naming ? options->naming : "";
    return hash_bytes(hash_bytes(0, numbers, sizeof numbers), naming, strlen(naming));
}

/* ---- sizes ---- */

static int probe_one(const char *folder, const char *name, int size[2], bool *is_16)
{
    enum sample_type type = SAMPLE_U8;
    int channels;
    char *path = path_join(folder, name);
    if (!path) return ERR_SYSTEM;
    int code = image_probe(path, &size[0], &size[1], &channels, &type);
    *is_16 = type != SAMPLE_U8;
    free(path);
    return code;
}

static int probe_match(const struct pairs_list *list, struct pairs_match *m,
                       const struct pairs_options *options, int gt[2], int lq[2])
{
    TRY(probe_one(options->gt, list->gt.files[m->gt].name, gt, &m->gt_is_16));
    if (m->lq >= 0) return probe_one(options->lq, list->lq.files[m->lq].name, lq, &m->lq_is_16);
    lq[0] = gt[0] / options->scale;
    lq[1] = gt[1] / options->scale;
    return OK;
}

/* With `crop` a pixel of LQ too many or too few is cut off. */
static bool sizes_fit(const int gt[2], int lq[2], const struct pairs_options *options)
{
    bool fits = true;
    for (int axis = 0; axis < 2; axis++) {
        int whole = gt[axis] / options->scale, extra = lq[axis] - whole;
        fits &= options->crop ? extra >= -1 && extra <= 1 : gt[axis] == lq[axis] * options->scale;
        if (options->crop && whole < lq[axis]) lq[axis] = whole;
    }
    return fits;
}

static int check_one(struct pairs_list *list, int i, const struct pairs_options *options,
                     int *faults, int *exchanged)
{
    struct pairs_match *m = &list->matches[i];
    const char *name = list->gt.files[m->gt].name;
    int gt[2] = {0}, lq[2] = {0};
    int code = probe_match(list, m, options, gt, lq);
    if (code == ERR_DATA || code == ERR_INPUT || code == ERR_ACCESS) {
        m->is_broken = true; /* the message comes when it is decoded */
        return OK;
    }
    TRY(code);
    int was[2] = {lq[0], lq[1]}, scale = options->scale;
    if (m->lq >= 0 && scale > 1 && lq[0] == gt[0] * scale && lq[1] == gt[1] * scale) ++*exchanged;
    if (m->lq >= 0 && !sizes_fit(gt, lq, options)) {
        char *line = string_format("%s data: %s: GT %dx%d is not %dx LQ %dx%d (would be %dx%d)",
                                   options->role, name, gt[0], gt[1], options->scale, was[0],
                                   was[1], was[0] * options->scale, was[1] * options->scale);
        if (line) name_fault(faults, line);
        free(line);
    }
    m->w = lq[0];
    m->h = lq[1];
    return OK;
}

int pairs_check(struct pairs_list *list, const struct pairs_options *options)
{
    int faults = 0, exchanged = 0;
    for (int i = 0; i < list->count; i++) {
        if (options->stop_requested && options->stop_requested())
            return fail(ERR_STOPPED, "stopped while looking at the images");
        TRY(check_one(list, i, options, &faults, &exchanged));
    }
    if (faults == 0) return OK;
    if (exchanged == list->count)
        return fail(ERR_DATA,
                    "%s data: the images of %s are %dx as large as those of %s: which is GT and "
                    "which LQ is the wrong way round",
                    options->role, options->lq, options->scale, options->gt);
    return fail(ERR_DATA,
                "%s data: %d of %d GT images (%s) are not %dx as large as their LQ images (%s)%s",
                options->role, faults, list->count, options->gt, options->scale, options->lq,
                options->crop ? "" : "; sr.fix_sizes=crop cuts what is up to a pixel of LQ off");
}

struct pair_files pairs_match_files(const struct pairs_list *list, const struct pairs_match *m,
                                    const struct pairs_options *options)
{
    return (struct pair_files){.gt_folder = options->gt,
                               .gt = list->gt.files[m->gt].name,
                               .lq_folder = options->lq,
                               .lq = m->lq >= 0 ? list->lq.files[m->lq].name : NULL,
                               .degraded = options->degraded,
                               .w = m->w,
                               .h = m->h,
                               .scale = options->scale};
}
