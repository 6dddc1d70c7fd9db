#include "check/self_check.h"

#include "base/clock.h"
#include "base/error.h"
#include "check/op_kinds.h"
#include "device/conv_library.h"

#include <stdio.h>
#include <string.h>

/* The message of the first failure, as those behind it write over it. */
struct finding {
    int code; /* the worst so far */
    char text[480];
};

/* A check under way. */
struct check_state {
    const struct self_check *check;
    struct device *device;
    bool by_library; /* convolutions alone, a few */
    struct finding found;
    bool lost;
};

bool self_check_has_table(const char *tables, const char *table)
{
    size_t length = strlen(table);
    for (const char *at = tables; at && (at = strstr(at, table)) != NULL; at += length)
        if ((at == tables || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return !tables;
}

static bool is_wanted(const struct check_state *s, const struct op_case *c)
{
    const struct self_check *check = s->check;
    if (!op_kind_is_there(c->kind, s->device)) return false;
    if (c->large || (c->halves && !check->half)) return false;
    if (op_case_is_half(c) && !(check->half && (s->device->is_host || s->device->nn->bf16)))
        return false;
    return check->whole || !c->kind->is_quick || c->kind->is_quick(c);
}

/* ---- what a library is asked ---- */

static bool is_for_library(const struct op_kind *kind)
{
    return kind == &op_conv_forward || kind == &op_conv_dgrad || kind == &op_conv_wgrad;
}

enum { LIBRARY_CASES = 6 }; /* of an operation, fp32 and bf16 */

/* A few shapes: each one's engines are tried, and some of them compiled. taken: fp32, bf16. */
static bool library_takes(const struct op_case *c, int taken[2])
{
    const struct nn_conv *s = &c->conv;
    bool fits = s->in_type == s->out_type && s->cin % 16 == 0 && s->cout % 16 == 0 && s->h > 2 &&
                c->macs < 2e6;
    return fits && taken[op_case_is_half(c)]++ < LIBRARY_CASES / 2;
}

static const size_t LIBRARY_WORKSPACE = 8 << 20;
static const double LIBRARY_SECONDS = 30;

/* The epilogue may begin from a sum that was rounded to bf16 before, and fast algorithms of fp32
 * add up what cancels; either is far from what TF32 or a wrong layout would do. */
static void allow_for_library(struct op_case *c)
{
    for (int k = 0; k < c->count; k++)
        c->operands[k].tolerance += op_case_is_half(c) ? 0x1p-7 : 1e-4;
}

/* ---- cases ---- */

/* OK, ERR_DEVICE_MEMORY, ERR_SYSTEM (of the host), or ERR_DEVICE for any failure of the
 * operation, with its name and shape in the text. */
static int check_case(struct check_state *s, const struct op_case *c, struct op_error *worst)
{
    struct op_truth truth;
    size_t more = s->by_library ? LIBRARY_WORKSPACE : 0;
    TRY(op_truth_make(&truth, c));
    int code = OK;
    /* A library learns at the first call, which may add a gradient many times. */
    if (s->by_library) {
        code = op_truth_measure(&truth, s->device, more, NULL, NULL);
        if (code == ERR_DATA) code = OK;
    }
    if (code == OK) code = op_truth_measure(&truth, s->device, more, NULL, worst);
    op_truth_free(&truth);
    if (code == OK || code == ERR_DEVICE_MEMORY || code == ERR_SYSTEM) return code;
    if (code != ERR_DATA) fail_within(code, "%s %s", c->kind->name, c->text);
    char text[480];
    snprintf(text, sizeof text, "%s", error_message());
    s->lost = s->device->synchronize(s->device) < 0;
    return fail(ERR_DEVICE, "%s", text);
}

static void note_failure(struct finding *f, int code)
{
    if (code == OK || f->code == ERR_DEVICE) return;
    if (f->code != OK && code != ERR_DEVICE) return;
    f->code = code;
    snprintf(f->text, sizeof f->text, "%s", error_message());
}

/* Scattered: shapes, types and variants follow each other at even distances, which a step of four
 * would hit or miss for ever. */
int self_check_part(int index)
{
    return (int)((uint32_t)index * 0x9e3779b1u >> 30);
}

/* The cases of this part; of all, where it is negative. */
static void check_kind(struct check_state *s, const struct op_kind *kind, int part)
{
    struct finding found = {OK, ""};
    struct self_check_row row = {.kind = kind, .why = found.text};
    double begin = clock_seconds();
    int taken[2] = {0, 0};
    for (int i = 0; i < kind->cases && !s->lost; i++) {
        struct op_case c;
        if (part >= 0 && self_check_part(i) != part) continue;
        op_case_make(&c, kind, i);
        if (!is_wanted(s, &c) || (s->by_library && !library_takes(&c, taken))) continue;
        if (s->by_library) allow_for_library(&c);
        int code = check_case(s, &c, &row.worst);
        row.cases++;
        note_failure(&found, code);
        note_failure(&s->found, code);
        if (code == ERR_SYSTEM || (code == ERR_DEVICE && !s->check->whole)) break;
    }
    row.code = found.code;
    row.seconds = clock_seconds() - begin;
    if (s->check->row && row.cases > 0) s->check->row(s->check->context, &row);
}

static bool is_over(const struct check_state *s)
{
    return s->lost || s->found.code == ERR_SYSTEM ||
           (s->found.code == ERR_DEVICE && !s->check->whole);
}

static void check_tables(struct check_state *s)
{
    const struct self_check *check = s->check;
    double begin = clock_seconds();
    int parts = check->whole ? 1 : SELF_CHECK_PARTS;
    for (int part = 0; part < parts; part++)
        for (int i = 0; op_kinds[i] && !is_over(s); i++) {
            bool late = check->seconds > 0 && clock_seconds() - begin > check->seconds;
            if ((part > 0 && late) || !self_check_has_table(check->tables, op_kinds[i]->table))
                continue;
            check_kind(s, op_kinds[i], check->whole ? -1 : part);
        }
}

static void check_library(struct check_state *s)
{
    const struct conv_library *library = s->device->nn->conv_library;
    int code = library->begin(s->device, LIBRARY_WORKSPACE, LIBRARY_SECONDS, NULL);
    note_failure(&s->found, code);
    for (int i = 0; code == OK && op_kinds[i] && !is_over(s); i++)
        if (is_for_library(op_kinds[i])) check_kind(s, op_kinds[i], -1);
    bool used;
    library->open(s->device, CONV_NEVER, false, &used);
}

static int run_check(const struct self_check *check, struct device *device, bool by_library)
{
    struct check_state s = {.check = check, .device = device, .by_library = by_library};
    size_t peak = device->peak_bytes, host_peak = device->host_peak_bytes;
    if (by_library)
        check_library(&s);
    else
        check_tables(&s);
    device->peak_bytes = peak;
    device->host_peak_bytes = host_peak;
    return s.found.code == OK ? OK : fail(s.found.code, "%s", s.found.text);
}

int self_check_run(const struct self_check *check, struct device *device)
{
    return run_check(check, device, false);
}

int self_check_library(const struct self_check *check, struct device *device)
{
    return run_check(check, device, true);
}
