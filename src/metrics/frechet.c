#include "metrics/frechet.h"

#include "base/error.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* [rows][columns] */
struct matrix {
    int rows, columns;
    double *data; /* owned */
};

static double *row_at(const struct matrix *m, int64_t i)
{
    return m->data + (size_t)i * (size_t)m->columns;
}

static int matrix_create(struct matrix *m, int rows, int columns)
{
    *m = (struct matrix){rows, columns, calloc((size_t)rows * (size_t)columns, sizeof *m->data)};
    return m->data ? OK : fail(ERR_SYSTEM, "out of memory for the metrics");
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* ---- eigenvalues: Householder's reflections to three diagonals, then QL with implicit shifts
 * (Golub and Van Loan, "Matrix Computations", 8.3) ---- */

/* One reflection I - beta v v' of what lies behind row and column k. */
struct reflection {
    struct matrix *m;
    int k; /* rows and columns from k + 1 on */
    double beta, *v, *w;
};

static void reflect_products(void *context, int64_t from, int64_t to)
{
    const struct reflection *r = context;
    for (int64_t i = from; i < to; i++) {
        int64_t row = r->k + 1 + i;
        r->w[row] =
            r->beta * dot(row_at(r->m, row) + r->k + 1, r->v + r->k + 1, r->m->rows - r->k - 1);
    }
}

static void reflect_rows(void *context, int64_t from, int64_t to)
{
    const struct reflection *r = context;
    for (int64_t i = from; i < to; i++) {
        int64_t row = r->k + 1 + i;
        double *at = row_at(r->m, row), v = r->v[row], w = r->w[row];
        for (int j = r->k + 1; j < r->m->rows; j++)
            at[j] -= v * r->w[j] + w * r->v[j];
    }
}

/* v [n] from `first` on becomes the vector of the reflection that leaves one number of it, which is
 * returned. */
static double householder(double *v, int first, int n, double *beta)
{
    double square = dot(v + first, v + first, n - first), head = v[first];
    double left = head > 0 ? -sqrt(square) : sqrt(square);
    v[first] -= left;
    square = square - head * head + v[first] * v[first];
    *beta = square > 0 ? 2 / square : 0;
    return left;
}

static int three_diagonals(struct matrix *m, double *diagonal, double *beside,
                           bool (*stop_requested)(void))
{
    int n = m->rows;
    double *v = calloc(2 * (size_t)n, sizeof *v);
    struct reflection r = {.m = m, .v = v, .w = v + n};
    int code = v ? OK : fail(ERR_SYSTEM, "out of memory for the metrics");
    for (int k = 0; k < n && code == OK; k++) {
        int left = n - k - 1;
        diagonal[k] = row_at(m, k)[k];
        if (left == 0) break;
        memcpy(v + k + 1, row_at(m, k) + k + 1, (size_t)left * sizeof *v);
        beside[k] = householder(v, k + 1, n, &r.beta);
        r.k = k;
        threads_for(left, threads_grain(left), reflect_products, &r);
        double half = r.beta / 2 * dot(r.w + k + 1, v + k + 1, left);
        for (int j = k + 1; j < n; j++)
            r.w[j] -= half * v[j];
        threads_for(left, threads_grain(2 * left), reflect_rows, &r);
        code = metrics_poll(stop_requested);
    }
    free(v);
    return code;
}

/* Turns the block first .. last once, so that beside[first] shrinks. */
static void ql_sweep(double *d, double *e, int first, int last)
{
    double g = (d[first + 1] - d[first]) / (2 * e[first]), r = hypot(g, 1);
    double sine = 1, cosine = 1, moved = 0;
    g = d[last] - d[first] + e[first] / (g + (g >= 0 ? r : -r));
    for (int i = last - 1; i >= first; i--) {
        double f = sine * e[i], b = cosine * e[i];
        r = hypot(f, g);
        e[i + 1] = r;
        if (!(r > 0)) { /* what is before it has come apart */
            d[i + 1] -= moved;
            e[last] = 0;
            return;
        }
        sine = f / r;
        cosine = g / r;
        g = d[i + 1] - moved;
        r = (d[i] - g) * sine + 2 * cosine * b;
        moved = sine * r;
        d[i + 1] = g + moved;
        g = cosine * r - b;
    }
    d[first] -= moved;
    e[first] = g;
    e[last] = 0;
}

/* d [n]: the diagonal, and then the eigenvalues; e [n]: beside it, of which the last is free. */
static int ql_eigenvalues(double *d, double *e, int n)
{
    enum { SWEEPS_MOST = 60 };
    e[n - 1] = 0;
    for (int first = 0; first < n; first++)
        for (int sweep = 0;; sweep++) {
            int last = first;
            while (last < n - 1 && fabs(e[last]) > 0x1p-53 * (fabs(d[last]) + fabs(d[last + 1])))
                last++;
            if (last == first) break;
            if (!(sweep < SWEEPS_MOST))
                return fail(ERR_INTERNAL, "eigenvalues of %d rows were not found", n);
            ql_sweep(d, e, first, last);
        }
    return OK;
}

int symmetric_eigenvalues(double *matrix, int n, double *values, bool (*stop_requested)(void))
{
    struct matrix m = {n, n, matrix};
    double *beside = calloc((size_t)n, sizeof *beside);
    int code = beside ? OK : fail(ERR_SYSTEM, "out of memory for the metrics");
    if (code == OK) code = three_diagonals(&m, values, beside, stop_requested);
    if (code == OK) code = ql_eigenvalues(values, beside, n);
    free(beside);
    return code;
}

/* ---- a set as a factor F of its covariance F' F ---- */

/* Columns of a QR step: those behind k, of rows from k on. */
struct qr_step {
    struct matrix *m;
    int k;
    double beta, *v; /* [rows] */
};

static void qr_columns(void *context, int64_t from, int64_t to)
{
    const struct qr_step *s = context;
    double sums[256];
    for (int64_t begin = from; begin < to; begin += 256) {
        int64_t at = s->k + 1 + begin, count = to - begin < 256 ? to - begin : 256;
        memset(sums, 0, sizeof sums);
        for (int i = s->k; i < s->m->rows; i++)
            for (int64_t j = 0; j < count; j++)
                sums[j] += s->v[i] * row_at(s->m, i)[at + j];
        for (int i = s->k; i < s->m->rows; i++)
            for (int64_t j = 0; j < count; j++)
                row_at(s->m, i)[at + j] -= s->beta * s->v[i] * sums[j];
    }
}

/* More rows than columns become as many: R of F = Q R, for F' F = R' R. */
static int factor_shorten(struct matrix *f, bool (*stop_requested)(void))
{
    if (f->rows <= f->columns) return OK;
    double *v = malloc((size_t)f->rows * sizeof *v);
    struct qr_step s = {.m = f, .v = v};
    int code = v ? OK : fail(ERR_SYSTEM, "out of memory for the metrics");
    for (int k = 0; k < f->columns && code == OK; k++) {
        for (int i = k; i < f->rows; i++)
            v[i] = row_at(f, i)[k];
        double left = householder(v, k, f->rows, &s.beta);
        s.k = k;
        threads_for(f->columns - k - 1, threads_grain(2 * (int64_t)(f->rows - k)), qr_columns, &s);
        row_at(f, k)[k] = left;
        for (int i = k + 1; i < f->rows; i++)
            row_at(f, i)[k] = 0;
        code = metrics_poll(stop_requested);
    }
    if (code == OK) f->rows = f->columns;
    free(v);
    return code;
}

/* mean [dims]; *trace: of the covariance. */
static int factor_of(struct matrix *f, const struct metrics_rows *rows, double *mean, double *trace)
{
    int n = rows->n, dims = rows->dims;
    double scale = 1 / sqrt(n - 1.0);
    TRY(matrix_create(f, n, dims));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < dims; j++)
            mean[j] += (double)rows->data[(size_t)i * (size_t)dims + (size_t)j] / n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < dims; j++) {
            double value = (double)rows->data[(size_t)i * (size_t)dims + (size_t)j] - mean[j];
            row_at(f, i)[j] = scale * value;
            *trace += scale * value * scale * value;
        }
    return OK;
}

/* ---- products of rows: out[i][j] = a_i . b_j ---- */

struct product {
    const struct matrix *a, *b;
    struct matrix *out;
};

static void product_rows(void *context, int64_t from, int64_t to)
{
    const struct product *p = context;
    for (int64_t i = from; i < to; i++)
        for (int j = 0; j < p->b->rows; j++)
            row_at(p->out, i)[j] = dot(row_at(p->a, i), row_at(p->b, j), p->a->columns);
}

static int product_of(struct matrix *out, const struct matrix *a, const struct matrix *b,
                      bool (*stop_requested)(void))
{
    struct product product = {a, b, out};
    TRY(metrics_poll(stop_requested));
    TRY(matrix_create(out, a->rows, b->rows));
    threads_for(a->rows, 1, product_rows, &product);
    return OK;
}

/* tr (S1 S2)^(1/2), S = F' F: the singular values of M = F1 F2', of which M M' has the squares. */
static int root_trace(double *trace, const struct matrix *f1, const struct matrix *f2,
                      bool (*stop_requested)(void))
{
    struct matrix m = {0}, squares = {0};
    int code;
    bool swap = f1->rows > f2->rows;
    double *values = malloc((size_t)(swap ? f2 : f1)->rows * sizeof *values);
    if (!values) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for the metrics"));
    TRY_CLEANUP(product_of(&m, swap ? f2 : f1, swap ? f1 : f2, stop_requested));
    TRY_CLEANUP(product_of(&squares, &m, &m, stop_requested));
    TRY_CLEANUP(symmetric_eigenvalues(squares.data, squares.rows, values, stop_requested));
    *trace = 0;
    for (int i = 0; i < squares.rows; i++)
        *trace += values[i] > 0 ? sqrt(values[i]) : 0;
cleanup:
    free(m.data);
    free(squares.data);
    free(values);
    return code;
}

int frechet_distance(double *distance, const struct metrics_rows *a, const struct metrics_rows *b,
                     bool (*stop_requested)(void))
{
    struct matrix f1 = {0}, f2 = {0};
    int dims = a->dims, code;
    double *means = calloc(2 * (size_t)dims, sizeof *means), traces[2] = {0, 0}, root, square = 0;
    if (!means) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory for the metrics"));
    TRY_CLEANUP(factor_of(&f1, a, means, &traces[0]));
    TRY_CLEANUP(factor_of(&f2, b, means + dims, &traces[1]));
    TRY_CLEANUP(factor_shorten(&f1, stop_requested));
    TRY_CLEANUP(factor_shorten(&f2, stop_requested));
    TRY_CLEANUP(root_trace(&root, &f1, &f2, stop_requested));
    for (int j = 0; j < dims; j++)
        square += (means[j] - means[dims + j]) * (means[j] - means[dims + j]);
    *distance = square + traces[0] + traces[1] - 2 * root;
cleanup:
    free(means);
    free(f1.data);
    free(f2.data);
    return code;
}
