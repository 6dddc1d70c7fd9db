/* The updates of splats: Adam, number by number and along axes of each row. */
#include "check/op_kinds.h"
#include "check/splat_case.h"
#include "math/optimiser.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows of all ages, two whose gradient is not finite, and in axes. */

enum { ROWS = 300, LARGE_ROWS = 1 << 18, UPDATES = 31, AXES = 9 };
enum adam_variant { ADAM_PLAIN, ADAM_NOT_FINITE, ADAM_LARGE, ADAM_IN_AXES, ADAM_VARIANTS };
static const int columns[SPLAT_GROUPS] = {2, 2, 1, 3, 1};
static const char *const adam_names[SPLAT_GROUPS][4] = {{"p0", "m0", "v0", "g0"},
                                                        {"p1", "m1", "v1", "g1"},
                                                        {"p2", "m2", "v2", "g2"},
                                                        {"p3", "m3", "v3", "g3"},
                                                        {"p4", "m4", "v4", "g4"}};
static const double decay_of_squares = 0.97;

static void describe_adam(struct op_case *c)
{
    c->large = c->index == ADAM_LARGE;
    double tolerance = c->index == ADAM_IN_AXES ? 2e-5 : 1e-6;
    c->n = c->large ? LARGE_ROWS : ROWS;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t count = (size_t)(c->n * columns[g]);
        c->bytes += 28.0 * (double)count;
        op_add_sum(c, adam_names[g][0], count, tolerance)->low = 0;
        op_add_sum(c, adam_names[g][1], count, tolerance);
        op_add_sum(c, adam_names[g][2], count, tolerance)->low = 0;
        op_add(c, adam_names[g][3], OP_IN, OP_F32, count)->fill = OP_OWN;
    }
    op_add(c, "born", OP_IN, OP_I32, (size_t)c->n)->fill = OP_OWN;
    op_add(c, "skipped", OP_OUT, OP_I64, 1)->host = true;
    snprintf(c->text, sizeof c->text, "%d rows%s", c->n,
             c->index == ADAM_NOT_FINITE ? ", two not finite"
             : c->index == ADAM_IN_AXES  ? ", in axes, one not finite"
                                         : "");
    if (c->index != ADAM_IN_AXES) return;
    op_add(c, "axes", OP_INOUT, OP_F32, (size_t)(c->n * AXES * AXES))->fill = OP_OWN;
    op_add(c, "moments", OP_INOUT, OP_F32, (size_t)(c->n * axes_moments(AXES)))->fill = OP_OWN;
    for (int k = 1; k <= 2; k++)
        c->operands[c->count - k].tolerance = tolerance;
}

/* Axes that are turned in the plane of two columns, by the row. */
static float first_axes(int row, int axis, int k)
{
    int a = row % AXES, b = (row + 1 + row / AXES % (AXES - 1)) % AXES;
    if (axis == a || axis == b) {
        if (k != a && k != b) return 0;
        return k == axis ? cosf((float)row) : axis == a ? sinf((float)row) : -sinf((float)row);
    }
    return axis == k;
}

static void fill_adam(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    /* in axes: renewed now, at the first update that does so, and not; and the first update */
    static const int32_t ages[] = {30, 20, 31, 10, 26, 1, 7};
    int square = AXES * AXES;
    if (operand->type == OP_I32)
        for (int i = 0; i < c->n; i++)
            ((int32_t *)bytes)[i] = c->index == ADAM_IN_AXES ? UPDATES - ages[i % 7] : i % 7 * 4;
    else if (strcmp(operand->name, "axes") == 0)
        for (int i = 0; i < c->n * square; i++)
            ((float *)bytes)[i] = first_axes(i / square, i % square / AXES, i % AXES);
    else if (strcmp(operand->name, "moments") == 0) /* more on the diagonal than beside it */
        for (int i = 0, at = 0; i < c->n; i++)
            for (int r = 0; r < AXES; r++)
                for (int k = 0; k <= r; k++, at++)
                    ((float *)bytes)[at] = k == r
                                               ? (float)(1 << r)
                                               : (float)op_uniform("moments", (uint64_t)at) * 0.1f;
    else
        for (size_t i = 0; i < operand->count; i++)
            ((float *)bytes)[i] = (float)op_uniform(operand->name, i) - 0.5f;
    bool spoilt = c->index == ADAM_NOT_FINITE || c->index == ADAM_IN_AXES;
    if (spoilt && operand->name == adam_names[2][3]) ((float *)bytes)[5] = NAN;
    if (c->index == ADAM_NOT_FINITE && operand->name == adam_names[3][3])
        ((float *)bytes)[(c->n - 1) * 3 + 2] = INFINITY;
}

static struct splat_adam adam_group(int g)
{
    return (struct splat_adam){.columns = columns[g],
                               .unit = 2.0f + (float)g,
                               .in_axes = 1,
                               .rate = 0.01f * (float)(g + 1),
                               .low = {0.1f, 0.2f},
                               .high = {0.7f, 0.9f}};
}

static int run_adam(const struct op_call *call)
{
    struct splat_adam groups[SPLAT_GROUPS];
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        groups[g] = adam_group(g);
        groups[g].parameter = op_memory(call, adam_names[g][0]);
        groups[g].first = op_memory(call, adam_names[g][1]);
        groups[g].second = op_memory(call, adam_names[g][2]);
        groups[g].gradient = op_memory(call, adam_names[g][3]);
    }
    struct splat_rows rows = {.born = op_memory(call, "born"),
                              .axes = op_memory(call, "axes"),
                              .moments = op_memory(call, "moments")};
    return call->device->splat->adam(call->device, groups, SPLAT_GROUPS, call->c->n, &rows, UPDATES,
                                     decay_of_squares, op_memory(call, "skipped"));
}

static bool adam_row_is_finite(struct op_data *d, int row)
{
    for (int g = 0; g < SPLAT_GROUPS; g++)
        for (int k = 0; k < columns[g]; k++)
            if (!isfinite(op_values(d, adam_names[g][3])[row * columns[g] + k])) return false;
    return true;
}

/* y = C x, of the lower triangle. */
static void truth_times(const double *moments, const double *x, double *y)
{
    for (int i = 0; i < AXES; i++) {
        y[i] = 0;
        for (int k = 0; k < AXES; k++)
            y[i] += moments[i > k ? axes_moments(i) + k : axes_moments(k) + i] * x[k];
    }
}

static double truth_dot(const double *x, const double *y)
{
    double sum = 0;
    for (int k = 0; k < AXES; k++)
        sum += x[k] * y[k];
    return sum;
}

/* The axes after a power iteration, first moments along them, and second ones out of C. */
static void truth_renew(const double *moments, double (*axes)[AXES], double *m, double *v)
{
    double next[AXES][AXES], product[AXES], whole[AXES] = {0}, trace = 0;
    for (int i = 0; i < AXES; i++) {
        trace += moments[axes_moments(i) + i];
        for (int k = 0; k < AXES; k++)
            whole[k] += m[i] * axes[i][k];
    }
    for (int i = 0; i < AXES; i++) {
        truth_times(moments, axes[i], next[i]);
        for (int k = 0; k < AXES; k++)
            next[i][k] += 1e-4 * trace / AXES * axes[i][k];
        for (int j = 0; j < i; j++) {
            double along = truth_dot(next[i], next[j]);
            for (int k = 0; k < AXES; k++)
                next[i][k] -= along * next[j][k];
        }
        double length = sqrt(truth_dot(next[i], next[i]));
        for (int k = 0; k < AXES; k++)
            next[i][k] /= length;
    }
    memcpy(axes, next, sizeof next);
    for (int i = 0; i < AXES; i++) {
        m[i] = truth_dot(axes[i], whole);
        truth_times(moments, axes[i], product);
        v[i] = truth_dot(axes[i], product);
    }
}

/* Of a row's first update, whether its gradient is finite or not. */
static void truth_begin_axes(double *axes, double *moments)
{
    for (int i = 0; i < AXES * AXES; i++)
        axes[i] = i % (AXES + 1) == 0;
    memset(moments, 0, (size_t)axes_moments(AXES) * sizeof *moments);
}

/* A row in axes. p, m, v, g: of its columns, in the order of the groups. */
static void truth_axes_row(double age, double (*axes)[AXES], double *moments, double *const *p,
                           double *const *m, double *const *v, const double *g, const double *rate)
{
    double b2 = decay_of_squares, mean[AXES], square[AXES], change[AXES] = {0};
    for (int k = 0; k < AXES; k++) {
        mean[k] = age > 1 ? *m[k] : 0;
        square[k] = age > 1 ? *v[k] : 0;
    }
    if (age <= 1) truth_begin_axes(axes[0], moments);
    if (age >= AXES_FIRST && fmod(age, AXES_EVERY) == 0) truth_renew(moments, axes, mean, square);
    for (int i = 0, at = 0; i < AXES; i++)
        for (int k = 0; k <= i; k++, at++)
            moments[at] = b2 * moments[at] + (1 - b2) * g[i] * g[k];
    for (int i = 0; i < AXES; i++) {
        double along = truth_dot(axes[i], g);
        *m[i] = 0.9 * mean[i] + 0.1 * along;
        *v[i] = b2 * square[i] + (1 - b2) * along * along;
        double by = *m[i] / (1 - pow(0.9, age)) / (sqrt(*v[i] / (1 - pow(b2, age))) + 1e-8);
        for (int k = 0; k < AXES; k++)
            change[k] += by * axes[i][k];
    }
    for (int k = 0; k < AXES; k++)
        *p[k] -= rate[k] * change[k];
}

static void truth_adam_axes(struct op_data *d, int row, double age)
{
    double *p[AXES], *m[AXES], *v[AXES], slope[AXES], rate[AXES], axes[AXES][AXES];
    double *turned = op_values(d, "axes") + row * AXES * AXES;
    int at = 0;
    memcpy(axes, turned, sizeof axes);
    for (int g = 0; g < SPLAT_GROUPS; g++)
        for (int k = 0; k < columns[g]; k++, at++) {
            struct splat_adam group = adam_group(g);
            p[at] = op_values(d, adam_names[g][0]) + row * columns[g] + k;
            m[at] = op_values(d, adam_names[g][1]) + row * columns[g] + k;
            v[at] = op_values(d, adam_names[g][2]) + row * columns[g] + k;
            slope[at] = op_values(d, adam_names[g][3])[row * columns[g] + k] * (double)group.unit;
            rate[at] = (double)group.rate;
        }
    truth_axes_row(age, axes, op_values(d, "moments") + row * axes_moments(AXES), p, m, v, slope,
                   rate);
    memcpy(turned, axes, sizeof axes);
    at = 0;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        for (int k = 0; k < columns[g]; k++, at++) {
            struct splat_adam group = adam_group(g);
            *p[at] = fmin(fmax(*p[at], (double)group.low[k & 1]), (double)group.high[k & 1]);
        }
}

static void truth_adam(struct op_data *d)
{
    double *skipped = op_values(d, "skipped");
    *skipped = 0;
    for (int row = 0; row < d->c->n; row++) {
        double age = UPDATES - op_values(d, "born")[row];
        if (!adam_row_is_finite(d, row)) {
            if (d->c->index == ADAM_IN_AXES && age <= 1)
                truth_begin_axes(op_values(d, "axes") + row * AXES * AXES,
                                 op_values(d, "moments") + row * axes_moments(AXES));
            *skipped += 1;
            continue;
        }
        if (d->c->index == ADAM_IN_AXES) {
            truth_adam_axes(d, row, age);
            continue;
        }
        for (int g = 0; g < SPLAT_GROUPS; g++)
            for (int k = 0; k < columns[g]; k++) {
                struct splat_adam group = adam_group(g);
                int at = row * columns[g] + k;
                double *p = op_values(d, adam_names[g][0]) + at;
                double *m = op_values(d, adam_names[g][1]) + at;
                double *v = op_values(d, adam_names[g][2]) + at;
                double slope = op_values(d, adam_names[g][3])[at], b2 = decay_of_squares;
                *m = 0.9 * *m + 0.1 * slope;
                *v = b2 * *v + (1 - b2) * slope * slope;
                *p -= (double)group.rate * *m / (1 - pow(0.9, age)) /
                      (sqrt(*v / (1 - pow(b2, age))) + 1e-8);
                *p = fmin(fmax(*p, (double)group.low[k & 1]), (double)group.high[k & 1]);
            }
    }
}

const struct op_kind op_splat_adam = {SPLAT_KIND(adam), .cases = ADAM_VARIANTS, .fill = fill_adam};
