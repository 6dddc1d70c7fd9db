#include "check/self_check.h"

#include "base/clock.h"
#include "base/error.h"
#include "check/op_kinds.h"
#include "device/conv_library.h"

#include <stdio.h>
#include <string.h>

/* The message of the first failure, as those behind it write over it. */
struct findings {
    int code; /* the worst so far */
    char text[480];
    bool lost;
};

static bool is_in_tables(const char *tables, const char *table)
{
    size_t length = strlen(table);
    for (const char *at = tables; at && (at = strstr(at, table)) != NULL; at += length)
        if ((at == tables || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return !tables;
}

static bool is_wanted(const struct self_check *check, const struct device *device,
                      const struct op_case *c)
{
    if (c->large || (c->halves && !check->half)) return false;
    if (op_case_is_half(c) && !(check->half && (device->is_host || device->nn->bf16))) return false;
    return check->whole || !c->kind->is_quick || c->kind->is_quick(c);
}

/* OK, ERR_DEVICE_MEMORY, ERR_SYSTEM (of the host), or ERR_DEVICE for any failure of the
 * operation, with its name and shape in the text. */
static int check_case(const struct op_case *c, struct device *device, size_t more_workspace,
                      bool twice, struct op_error *worst, bool *lost)
{
    struct op_truth truth;
    TRY(op_truth_make(&truth, c));
    int code = OK;
    /* A library learns at the first call, which may add a gradient many times. */
    if (twice) {
        code = op_truth_measure(&truth, device, more_workspace, NULL, NULL);
        if (code == ERR_DATA) code = OK;
    }
    if (code == OK) code = op_truth_measure(&truth, device, more_workspace, NULL, worst);
    op_truth_free(&truth);
    if (code == OK || code == ERR_DEVICE_MEMORY || code == ERR_SYSTEM) return code;
    if (code != ERR_DATA) fail_within(code, "%s %s", c->kind->name, c->text);
    char text[480];
    snprintf(text, sizeof text, "%s", error_message());
    *lost = device->synchronize(device) < 0;
    return fail(ERR_DEVICE, "%s", text);
}

static void note_failure(struct findings *f, int code)
{
    if (code == OK || f->code == ERR_DEVICE) return;
    if (f->code != OK && code != ERR_DEVICE) return;
    f->code = code;
    snprintf(f->text, sizeof f->text, "%s", error_message());
}

enum { PARTS = 4 };

/* Every stride-th case from `first` on. */
static void check_kind(const struct self_check *check, const struct op_kind *kind, int first,
                       int stride, struct device *device, struct findings *f)
{
    struct self_check_row row = {.kind = kind};
    double begin = clock_seconds();
    for (int i = first; i < kind->cases && !f->lost; i += stride) {
        struct op_case c;
        op_case_make(&c, kind, i);
        if (!is_wanted(check, device, &c)) continue;
        int code = check_case(&c, device, 0, false, &row.worst, &f->lost);
        row.cases++;
        note_failure(f, code);
        if (code == ERR_DEVICE || row.code == OK) row.code = code;
        if (code == ERR_SYSTEM || (code == ERR_DEVICE && !check->whole)) break;
    }
    row.seconds = clock_seconds() - begin;
    if (check->row && row.cases > 0) check->row(check->context, &row);
}

static bool is_over(const struct self_check *check, const struct findings *f)
{
    return f->lost || f->code == ERR_SYSTEM || (f->code == ERR_DEVICE && !check->whole);
}

int self_check_run(const struct self_check *check, struct device *device)
{
    struct findings f = {OK, "", false};
    size_t peak = device->peak_bytes, host_peak = device->host_peak_bytes;
    double begin = clock_seconds();
    for (int part = 0, parts = check->whole ? 1 : PARTS; part < parts; part++)
        for (int i = 0; op_kinds[i] && !is_over(check, &f); i++) {
            bool late = check->seconds > 0 && clock_seconds() - begin > check->seconds;
            if ((part > 0 && late) || !is_in_tables(check->tables, op_kinds[i]->table)) continue;
            check_kind(check, op_kinds[i], part, parts, device, &f);
        }
    device->peak_bytes = peak;
    device->host_peak_bytes = host_peak;
    return f.code == OK ? OK : fail(f.code, "%s", f.text);
}

/* ---- by a library ---- */

static bool is_for_library(const struct op_kind *kind)
{
    return kind == &op_conv_forward || kind == &op_conv_dgrad || kind == &op_conv_wgrad;
}

/* A few shapes: each one's engines are tried, and some of them compiled. */
static bool library_takes(const struct op_case *c)
{
    const struct nn_conv *s = &c->conv;
    return s->in_type == s->out_type && s->cin % 16 == 0 && s->cout % 16 == 0 && s->h > 2 &&
           c->macs < 2e6;
}

enum { LIBRARY_CASES = 6 }; /* of an operation, fp32 and bf16 */
static const size_t LIBRARY_WORKSPACE = 8 << 20;
static const double LIBRARY_SECONDS = 30;

/* The epilogue may begin from a sum that was rounded to bf16 before, and fast algorithms of fp32
 * add up what cancels; either is far from what TF32 or a wrong layout would do. */
static void allow_for_library(struct op_case *c)
{
    for (int k = 0; k < c->count; k++)
        c->operands[k].tolerance += op_case_is_half(c) ? 0x1p-7 : 1e-4;
}

static void check_kind_by_library(const struct self_check *check, const struct op_kind *kind,
                                  struct device *device, struct findings *f)
{
    struct self_check_row row = {.kind = kind};
    double begin = clock_seconds();
    int taken[2] = {0, 0};
    for (int i = 0; i < kind->cases && !f->lost; i++) {
        struct op_case c;
        op_case_make(&c, kind, i);
        bool half = op_case_is_half(&c);
        if (!is_wanted(check, device, &c) || !library_takes(&c) || taken[half] == LIBRARY_CASES / 2)
            continue;
        taken[half]++;
        row.cases++;
        allow_for_library(&c);
        int code = check_case(&c, device, LIBRARY_WORKSPACE, true, &row.worst, &f->lost);
        note_failure(f, code);
        if (code == ERR_DEVICE || row.code == OK) row.code = code;
        if (code == ERR_SYSTEM || (code == ERR_DEVICE && !check->whole)) break;
    }
    row.seconds = clock_seconds() - begin;
    if (check->row && row.cases > 0) check->row(check->context, &row);
}

int self_check_library(const struct self_check *check, struct device *device)
{
    const struct conv_library *library = device->nn->conv_library;
    struct findings f = {OK, "", false};
    size_t peak = device->peak_bytes, host_peak = device->host_peak_bytes;
    int code = library->begin(device, LIBRARY_WORKSPACE, LIBRARY_SECONDS, NULL);
    for (int i = 0; code == OK && op_kinds[i] && !f.lost; i++) {
        if (!is_for_library(op_kinds[i])) continue;
        check_kind_by_library(check, op_kinds[i], device, &f);
        if (is_over(check, &f)) break;
    }
    if (code < 0) {
        f.code = code;
        snprintf(f.text, sizeof f.text, "%s", error_message());
    }
    bool used;
    library->open(device, CONV_NEVER, false, &used);
    device->peak_bytes = peak;
    device->host_peak_bytes = host_peak;
    return f.code == OK ? OK : fail(f.code, "%s", f.text);
}
