/* Allocates, fills, runs, compares. */
#include "check/op_check.h"

#include "base/clock.h"
#include "base/error.h"
#include "check/op_kinds.h"
#include "math/bf16.h"
#include "math/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void (*op_check_forget)(void *bytes, size_t count);

enum { GUARD = 64, GUARD_BYTE = 0xa5 }; /* behind each operand */

/* ---- operands on the host ---- */

static size_t operand_bytes(const struct op_operand *o)
{
    static const size_t bytes[] = {
        [OP_F32] = 4, [OP_BF16] = 2, [OP_F16] = 2, [OP_F64] = 8, [OP_I32] = 4,
        [OP_I64] = 8, [OP_U8] = 1,   [OP_I8] = 1,  [OP_RAW] = 1};
    return o->type == OP_MASK ? o->count / 8 : o->count * bytes[o->type];
}

static void operand_store(const struct op_operand *o, void *bytes, size_t i, double value)
{
    switch (o->type) {
    case OP_F32: ((float *)bytes)[i] = (float)value; break;
    case OP_BF16: ((uint16_t *)bytes)[i] = bf16_round((float)value); break;
    case OP_F16: ((uint16_t *)bytes)[i] = half_round((float)value); break;
    case OP_F64: ((double *)bytes)[i] = value; break;
    case OP_I32: ((int32_t *)bytes)[i] = (int32_t)value; break;
    case OP_I64: ((int64_t *)bytes)[i] = (int64_t)value; break;
    case OP_U8: ((uint8_t *)bytes)[i] = (uint8_t)value; break;
    case OP_I8: ((int8_t *)bytes)[i] = (int8_t)value; break;
    case OP_MASK:
        if (value > 0) ((uint8_t *)bytes)[i / 8] |= (uint8_t)(1 << i % 8);
        break;
    case OP_RAW: break;
    }
}

static double operand_load(const struct op_operand *o, const void *bytes, size_t i)
{
    switch (o->type) {
    case OP_F32: return (double)((const float *)bytes)[i];
    case OP_BF16: return (double)bf16_value(((const uint16_t *)bytes)[i]);
    case OP_F16: return (double)half_half_value(((const uint16_t *)bytes)[i]);
    case OP_F64: return ((const double *)bytes)[i];
    case OP_I32: return (double)((const int32_t *)bytes)[i];
    case OP_I64: return (double)((const int64_t *)bytes)[i];
    case OP_U8: return (double)((const uint8_t *)bytes)[i];
    case OP_I8: return (double)((const int8_t *)bytes)[i];
    case OP_MASK: return ((const uint8_t *)bytes)[i / 8] >> i % 8 & 1;
    case OP_RAW: break;
    }
    return 0;
}

static bool has_values(const struct op_operand *o)
{
    return o->type != OP_RAW;
}

static void operand_fill(const struct op_case *c, const struct op_operand *o, void *bytes)
{
    memset(bytes, o->role == OP_OUT ? 0xff : 0, operand_bytes(o));
    if (o->role == OP_OUT || o->role == OP_WORKSPACE) return;
    if (o->fill == OP_OWN) {
        c->kind->fill(c, o, bytes);
        return;
    }
    for (size_t i = 0; i < o->count && has_values(o); i++) {
        double u = op_uniform(o->name, i);
        double value = o->low + (o->high - o->low) * u;
        if (o->fill == OP_WHOLE) value = floor(o->low + (o->high - o->low + 1) * u);
        if (o->coarse) value = (double)bf16_value(bf16_round((float)value));
        operand_store(o, bytes, i, value);
    }
}

static void data_read(struct op_data *d)
{
    for (int k = 0; k < d->c->count; k++)
        for (size_t i = 0; d->values[k] && i < d->c->operands[k].count; i++)
            d->values[k][i] = operand_load(&d->c->operands[k], d->bytes[k], i);
}

static void data_free(struct op_data *d)
{
    for (int k = 0; k < OP_OPERANDS; k++) {
        free(d->bytes[k]);
        free(d->values[k]);
    }
    memset(d, 0, sizeof *d);
}

/* from: whose numbers they are; NULL: those of the generator. */
static int data_make(struct op_data *d, const struct op_case *c, const struct op_data *from)
{
    *d = (struct op_data){.c = c};
    for (int k = 0; k < c->count; k++) {
        const struct op_operand *o = &c->operands[k];
        d->bytes[k] = malloc(operand_bytes(o) + GUARD);
        if (has_values(o)) d->values[k] = malloc((o->count + 1) * sizeof(double));
        if (!d->bytes[k] || (has_values(o) && !d->values[k])) {
            data_free(d);
            return fail(ERR_SYSTEM, "out of memory for %s", c->kind->name);
        }
        if (from)
            memcpy(d->bytes[k], from->bytes[k], operand_bytes(o));
        else
            operand_fill(c, o, d->bytes[k]);
        memset((char *)d->bytes[k] + operand_bytes(o), GUARD_BYTE, GUARD);
    }
    data_read(d);
    return OK;
}

/* ---- operands on the device ---- */

static size_t call_bytes(const struct op_call *call, int k)
{
    const struct op_operand *o = &call->c->operands[k];
    return o->role == OP_WORKSPACE ? call->workspace_bytes : operand_bytes(o) + GUARD;
}

static void call_close(struct op_call *call)
{
    struct device *device = call->device;
    for (int k = 0; k < call->c->count; k++)
        if (call->c->operands[k].host)
            free(call->memory[k]);
        else if (call->memory[k])
            device->free(device, call->memory[k], call_bytes(call, k));
}

static int upload_operand(struct op_call *call, const struct op_data *d, int k)
{
    struct device *device = call->device;
    if (call->c->operands[k].host) {
        memcpy(call->memory[k], d->bytes[k], call_bytes(call, k));
        return OK;
    }
    return device->upload(device, call->memory[k], d->bytes[k], call_bytes(call, k));
}

/* NaN, as nothing may rely on what a workspace holds. */
static int upload_workspace(struct op_call *call, int k)
{
    struct device *device = call->device;
    size_t bytes = call->workspace_bytes;
    void *image = malloc(bytes + 1);
    if (!image) return fail(ERR_SYSTEM, "out of memory for a workspace");
    memset(image, 0xff, bytes);
    if (op_check_forget) op_check_forget(image, bytes);
    int code = device->upload(device, call->memory[k], image, bytes);
    if (code == OK) code = device->synchronize(device);
    free(image);
    return code;
}

static int call_open(struct op_call *call, const struct op_data *d, struct device *device,
                     size_t more_workspace)
{
    const struct op_case *c = d->c;
    int code = OK;
    *call = (struct op_call){.device = device, .c = c};
    call->workspace_bytes =
        (c->kind->workspace ? c->kind->workspace(device, c) : 0) + more_workspace;
    for (int k = 0; k < c->count; k++) {
        size_t bytes = call_bytes(call, k);
        if (c->operands[k].host) {
            call->memory[k] = malloc(bytes);
            if (!call->memory[k]) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for an operand"));
        } else {
            TRY_CLEANUP(device->alloc(device, bytes, &call->memory[k]));
        }
        if (c->operands[k].role == OP_WORKSPACE)
            TRY_CLEANUP(upload_workspace(call, k));
        else
            TRY_CLEANUP(upload_operand(call, d, k));
    }
    return device->synchronize(device);
cleanup:
    call_close(call);
    return code;
}

/* All operands back, once the operations are done. */
static int call_fetch(struct op_call *call, struct op_data *d)
{
    struct device *device = call->device;
    for (int k = 0; k < call->c->count; k++) {
        const struct op_operand *o = &call->c->operands[k];
        if (o->role == OP_WORKSPACE || o->host) continue;
        TRY(device->download(device, d->bytes[k], call->memory[k], call_bytes(call, k)));
    }
    TRY(device->synchronize(device));
    for (int k = 0; k < call->c->count; k++)
        if (call->c->operands[k].host) memcpy(d->bytes[k], call->memory[k], call_bytes(call, k));
    data_read(d);
    return OK;
}

/* The case with the numbers of `d`, which become those after it. */
static int data_run(struct op_data *d, struct device *device, size_t more_workspace)
{
    struct op_call call;
    TRY(call_open(&call, d, device, more_workspace));
    int code = d->c->kind->run(&call);
    if (code == OK) code = call_fetch(&call, d);
    call_close(&call);
    return code;
}

bool op_kind_is_there(const struct op_kind *kind, const struct device *device)
{
    const void *table = strcmp(kind->table, "nn") == 0      ? (const void *)device->nn
                        : strcmp(kind->table, "gan") == 0   ? (const void *)device->gan
                        : strcmp(kind->table, "token") == 0 ? (const void *)device->token
                                                            : (const void *)device->splat;
    void (*operation)(void);
    if (!table) return false;
    memcpy(&operation, (const char *)table + kind->offset, sizeof operation);
    return operation != NULL;
}

/* ---- truth ---- */

int op_truth_make(struct op_truth *truth, const struct op_case *c)
{
    *truth = (struct op_truth){.c = c};
    TRY(data_make(&truth->before, c, NULL));
    int code = data_make(&truth->after, c, &truth->before);
    if (code < 0)
        data_free(&truth->before);
    else
        c->kind->truth(&truth->after);
    return code;
}

void op_truth_free(struct op_truth *truth)
{
    data_free(&truth->before);
    data_free(&truth->after);
}

static int compare_mask(const struct op_case *c, const struct op_operand *o, const double *right,
                        const double *got, double most)
{
    for (size_t i = 0; i < o->count; i++)
        if (!(fabs(right[i]) <= o->tolerance * most) && (got[i] > 0) != (right[i] > 0))
            return fail(ERR_DATA, "%s %s: bit %zu of %s is %d of %.9g", c->kind->name, c->text, i,
                        o->name, got[i] > 0, right[i]);
    return OK;
}

/* NaN is further off than anything. */
static bool is_further(const struct op_error *a, const struct op_error *b)
{
    if (isnan(b->error)) return false;
    return isnan(a->error) || a->error * b->bound > b->error * a->bound ||
           (a->error > 0 && !(a->bound > 0) && b->bound > 0);
}

static int compare_operand(const struct op_case *c, const struct op_operand *o, const double *right,
                           const double *got, struct op_error *worst)
{
    struct op_error own = {0, 0};
    double most = 0;
    size_t at = 0;
    for (size_t i = 0; i < o->count; i++)
        if (isfinite(right[i])) most = fmax(most, fabs(right[i]));
    if (o->type == OP_MASK) return compare_mask(c, o, right, got, most);
    for (size_t i = 0; i < o->count; i++) {
        double rounding = o->type == OP_BF16 ? 0x1p-8 * fabs(right[i]) : 0;
        bool same = got[i] == right[i] || (isnan(got[i]) && isnan(right[i]));
        struct op_error one = {same ? 0 : fabs(got[i] - right[i]), o->tolerance * most + rounding};
        if (i > 0 && !is_further(&one, &own)) continue;
        own = one;
        at = i;
    }
    if (own.error > 0 || isnan(own.error) || !(worst->bound > 0))
        if (!(worst->bound > 0) || is_further(&own, worst)) *worst = own;
    if (o->count == 0 || own.error <= own.bound) return OK;
    return fail(ERR_DATA, "%s %s: %s[%zu] is %.9g, not %.9g: off by %.3g, %.3g is allowed",
                c->kind->name, c->text, o->name, at, got[at], right[at], own.error, own.bound);
}

static int compare_guard(const struct op_case *c, const struct op_operand *o, const void *bytes)
{
    const unsigned char *guard = (const unsigned char *)bytes + operand_bytes(o);
    for (int i = 0; i < GUARD; i++)
        if (guard[i] != GUARD_BYTE)
            return fail(ERR_DATA, "%s %s: writes %d bytes behind %s", c->kind->name, c->text, i + 1,
                        o->name);
    return OK;
}

static uint64_t checksum(uint64_t sum, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return sum;
}

int op_truth_check(const struct op_truth *truth, struct device *device, size_t more_workspace,
                   uint64_t *bits)
{
    return op_truth_measure(truth, device, more_workspace, bits, NULL);
}

/* What is to be written counts as never written before; gaps between rows keep what they hold. */
static void forget_results(const struct op_truth *truth, const struct op_data *got)
{
    for (int k = 0; op_check_forget && k < truth->c->count; k++) {
        const struct op_operand *o = &truth->c->operands[k];
        const double *right = truth->after.values[k];
        size_t bytes = operand_bytes(o), each = o->count ? bytes / o->count : 0;
        if (o->role != OP_OUT) continue;
        if (!right || o->type == OP_MASK) op_check_forget(got->bytes[k], bytes);
        for (size_t i = 0; right && o->type != OP_MASK && i < o->count; i++)
            if (!isnan(right[i])) op_check_forget((char *)got->bytes[k] + i * each, each);
    }
}

int op_truth_measure(const struct op_truth *truth, struct device *device, size_t more_workspace,
                     uint64_t *bits, struct op_error *worst)
{
    const struct op_case *c = truth->c;
    struct op_error own = {0, 0};
    struct op_data got;
    TRY(data_make(&got, c, &truth->before));
    forget_results(truth, &got);
    int code = data_run(&got, device, more_workspace);
    uint64_t sum = 0;
    for (int k = 0; code == OK && k < c->count; k++) {
        const struct op_operand *o = &c->operands[k];
        size_t bytes = operand_bytes(o);
        if (o->role == OP_WORKSPACE) continue;
        code = compare_guard(c, o, got.bytes[k]);
        if (code == OK && o->role == OP_IN &&
            memcmp(got.bytes[k], truth->before.bytes[k], bytes) != 0)
            code = fail(ERR_DATA, "%s %s: writes into %s", c->kind->name, c->text, o->name);
        if (o->role == OP_IN) continue;
        if (code == OK && has_values(o))
            code =
                compare_operand(c, o, truth->after.values[k], got.values[k], worst ? worst : &own);
        sum = checksum(sum, got.bytes[k], bytes);
    }
    if (bits) *bits = sum;
    data_free(&got);
    return code;
}

/* ---- gradients ---- */

/* Moves an operand by `step` in a direction of its own; what storing makes of it counts. */
static void shift_operand(struct op_data *d, int k, size_t count, double step, uint64_t direction)
{
    const struct op_operand *o = &d->c->operands[k];
    for (size_t i = 0; i < count; i++) {
        double along = 2 * op_uniform("direction", i + (direction << 40)) - 1;
        operand_store(o, d->bytes[k], i, d->values[k][i] + step * along);
    }
    data_read(d);
}

/* <seed, outputs> of a forward case; adds the squares of its terms to *squares, their sizes to
 * *sizes. */
static double weighed(const struct op_data *after, const double *seed, double *sizes,
                      double *squares)
{
    double sum = 0;
    for (int k = 0; k < after->c->count; k++) {
        const struct op_operand *o = &after->c->operands[k];
        if (o->role != OP_OUT && o->role != OP_INOUT) continue;
        for (size_t i = 0; i < o->count; i++) {
            if (isnan(after->values[k][i])) continue; /* a gap, if the results are right */
            double term = seed[i] * after->values[k][i];
            sum += term;
            *sizes += fabs(term);
            *squares += term * term;
        }
        break; /* the output is the first one */
    }
    return sum;
}

struct slope {
    double there, claimed; /* by differences of the forward operation; by the adjoint */
    double sizes, squares; /* of the terms, by which rounding errors go */
};

/* Both sides of one direction, of a forward operation that is linear in what varies. */
static int linear_slope(const struct op_case *c, const struct op_case *forward,
                        struct device *device, uint64_t direction, struct slope *s)
{
    struct op_data before = {0}, adjoint = {0}, side[2] = {{0}, {0}};
    int result = op_find(c, c->kind->result), varied = op_find(forward, c->kind->varied);
    size_t count = forward->operands[varied].count;
    const double *moved[2];
    int code = OK;
    TRY_CLEANUP(data_make(&before, c, NULL));
    TRY_CLEANUP(data_make(&adjoint, c, &before));
    TRY_CLEANUP(data_run(&adjoint, device, 0));
    double *seed = op_values(&before, c->kind->seed), *kept[2] = {NULL, NULL};
    for (int k = 0; k < 2; k++) {
        TRY_CLEANUP(data_make(&side[k], forward, NULL));
        shift_operand(&side[k], varied, count, k ? -0.5 : 0.5, direction);
        kept[k] = malloc((count + 1) * sizeof *kept[k]);
        if (kept[k]) memcpy(kept[k], side[k].values[varied], count * sizeof *kept[k]);
        moved[k] = kept[k];
        if (kept[k])
            code = data_run(&side[k], device, 0);
        else
            code = fail(ERR_SYSTEM, "out of memory for a gradient");
        if (code < 0) break;
    }
    if (code == OK) {
        double up = weighed(&side[0], seed, &s->sizes, &s->squares);
        s->there = up - weighed(&side[1], seed, &s->sizes, &s->squares);
        bool adds = c->operands[result].role == OP_INOUT;
        for (size_t i = 0; i < count; i++) {
            double slope = adjoint.values[result][i] - (adds ? before.values[result][i] : 0);
            if (isnan(slope)) continue;
            double term = slope * (moved[0][i] - moved[1][i]);
            s->claimed += term;
            s->sizes += fabs(term);
            s->squares += term * term;
        }
    }
    free(kept[0]), free(kept[1]);
cleanup:
    data_free(&before);
    data_free(&adjoint);
    data_free(&side[0]);
    data_free(&side[1]);
    return code;
}

bool op_case_is_half(const struct op_case *c)
{
    for (int k = 0; k < c->count; k++)
        if (c->operands[k].type == OP_BF16) return true;
    return false;
}

/* The truth of one gradient beside differences of the truth of the forward operation. */
static int curved_slope(const struct op_case *c, const struct op_case *forward, const char *varied,
                        const char *gradient)
{
    const double step = 1e-5;
    struct op_truth adjoint, side[2];
    int k = op_find(forward, varied), result = op_find(c, gradient), code = OK, made = 0;
    if (k < 0 || result < 0) return OK;
    size_t count = forward->operands[k].count;
    double there = 0, claimed = 0, sizes = 0, squares = 0;
    TRY(op_truth_make(&adjoint, c));
    const double *seed = op_values(&adjoint.before, c->kind->seed);
    for (; made < 2 && code == OK; made++) {
        code = op_truth_make(&side[made], forward);
        if (code < 0) break;
        struct op_data *d = &side[made].after;
        memcpy(d->values[k], side[made].before.values[k], count * sizeof *d->values[k]);
        for (size_t i = 0; i < count; i++)
            d->values[k][i] += (made ? -step : step) * (2 * op_uniform("direction", i) - 1);
        for (int o = 0; o < forward->count; o++)
            if (forward->operands[o].role == OP_INOUT)
                memcpy(d->values[o], side[made].before.values[o],
                       forward->operands[o].count * sizeof *d->values[o]);
        forward->kind->truth(d);
        there += (made ? -1 : 1) * weighed(d, seed, &sizes, &squares) / (2 * step);
    }
    bool adds = c->operands[result].role == OP_INOUT;
    for (size_t i = 0; i < count && code == OK; i++) {
        double slope = adjoint.after.values[result][i];
        if (adds) slope -= adjoint.before.values[result][i];
        if (!isnan(slope)) claimed += slope * (2 * op_uniform("direction", i) - 1);
    }
    if (code == OK && !(fabs(there - claimed) <= 1e-7 * (sizes + 1)))
        code = fail(ERR_DATA, "%s %s: %s has a slope of %.9g, %s one of %.9g by %s", c->kind->name,
                    c->text, gradient, claimed, forward->kind->name, there, varied);
    for (int i = 0; i < made; i++)
        op_truth_free(&side[i]);
    op_truth_free(&adjoint);
    return code;
}

static int adjoint_check(const struct op_case *c, struct device *device, bool *checked)
{
    const struct op_kind *kind = op_kind_find(c->kind->adjoint_of);
    int index = c->kind->forward ? c->kind->forward(c->index) : c->index;
    struct op_case forward;
    if (!kind) return fail(ERR_INTERNAL, "%s: no operation %s", c->kind->name, c->kind->adjoint_of);
    if (index < 0) return OK;
    *checked = true;
    op_case_make(&forward, kind, index);
    for (int i = 0; c->kind->slopes && c->kind->slopes[i]; i += 2)
        TRY(curved_slope(c, &forward, c->kind->slopes[i], c->kind->slopes[i + 1]));
    if (c->kind->slopes) return OK;
    for (uint64_t direction = 0; direction < 2; direction++) {
        struct slope s = {0};
        TRY(linear_slope(c, &forward, device, direction, &s));
        double rounding =
            op_case_is_half(c) || op_case_is_half(&forward) ? 0x1p-6 * sqrt(s.squares) : 0;
        if (!(fabs(s.there - s.claimed) <= 1e-6 * s.sizes + rounding))
            return fail(ERR_DATA, "%s %s: a slope of %.9g, %s has one of %.9g", c->kind->name,
                        c->text, s.claimed, c->kind->adjoint_of, s.there);
    }
    return OK;
}

/* One operand that a sum of doubles depends on, and its gradient by the same operation. */
static int loss_slope(const struct op_case *c, struct device *device, const char *varied,
                      const char *gradient)
{
    struct op_data before = {0}, at = {0}, side[2] = {{0}, {0}};
    int k = op_find(c, varied), result = op_find(c, gradient), code = OK;
    size_t count = c->operands[result].count;
    bool adds = c->operands[result].role == OP_INOUT;
    double there = 0, claimed = 0, sizes = 0, *moved[2] = {NULL, NULL};
    TRY_CLEANUP(data_make(&before, c, NULL));
    TRY_CLEANUP(data_make(&at, c, NULL));
    TRY_CLEANUP(data_run(&at, device, 0));
    for (int i = 0; i < 2; i++) {
        TRY_CLEANUP(data_make(&side[i], c, NULL));
        double step = c->kind->slope_step * (c->operands[k].high - c->operands[k].low) / 2;
        shift_operand(&side[i], k, count, i ? -step : step, 7);
        moved[i] = malloc((count + 1) * sizeof *moved[i]);
        if (!moved[i]) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for a gradient"));
        memcpy(moved[i], side[i].values[k], count * sizeof *moved[i]);
        TRY_CLEANUP(data_run(&side[i], device, 0));
        there += (i ? -1 : 1) * c->kind->loss(&side[i]);
    }
    for (size_t i = 0; i < count; i++) {
        double slope = at.values[result][i] - (adds ? before.values[result][i] : 0);
        double term = slope * (moved[0][i] - moved[1][i]);
        claimed += term;
        sizes += fabs(term);
    }
    if (!(fabs(there - claimed) <= c->kind->slope_tolerance * sizes))
        code = fail(ERR_DATA, "%s %s: %s has a slope of %.9g, the loss one of %.9g by %s",
                    c->kind->name, c->text, gradient, claimed, there, varied);
cleanup:
    free(moved[0]);
    free(moved[1]);
    data_free(&before);
    data_free(&at);
    data_free(&side[0]);
    data_free(&side[1]);
    return code;
}

int op_gradient_check(const struct op_case *c, struct device *device, bool *checked)
{
    *checked = false;
    if (c->large) return OK;
    if (c->kind->adjoint_of) return adjoint_check(c, device, checked);
    if (!c->kind->loss || (c->kind->forward && c->kind->forward(c->index) < 0)) return OK;
    *checked = true;
    for (int i = 0; c->kind->slopes[i]; i += 2)
        TRY(loss_slope(c, device, c->kind->slopes[i], c->kind->slopes[i + 1]));
    return OK;
}

/* ---- speed ---- */

int op_speed(const struct op_case *c, struct device *device, double least, double *seconds)
{
    enum { ROUNDS = 3, CALLS_MOST = 1 << 24 };
    struct op_data d;
    struct op_call call;
    TRY(data_make(&d, c, NULL));
    int code = call_open(&call, &d, device, 0), calls = 1;
    bool is_open = code == OK;
    *seconds = (double)INFINITY;
    for (int round = 0; code == OK && round < ROUNDS;) {
        double begin = clock_seconds();
        for (int i = 0; code == OK && i < calls; i++)
            code = c->kind->run(&call);
        if (code == OK) code = device->synchronize(device);
        double took = clock_seconds() - begin;
        if (took < least && calls < CALLS_MOST) {
            calls *= 2;
            continue;
        }
        *seconds = fmin(*seconds, took / calls);
        round++;
    }
    if (is_open) call_close(&call);
    data_free(&d);
    return code;
}

char *op_speed_line(char *text, size_t room, const struct op_case *c, double seconds)
{
    if (!c)
        snprintf(text, room, "%-22s %-44s %12s %9s %9s", "operation", "shape", "seconds", "GB/s",
                 "Gmac/s");
    else
        snprintf(text, room, "%-22s %-44s %12.3e %9.2f %9.2f", c->kind->name, c->text, seconds,
                 1e-9 * c->bytes / seconds, 1e-9 * c->macs / seconds);
    return text;
}
