/* Distances between sets of points, a block of rows at a time: products of all pairs come from the
 * device's matrix product, |a - b|^2 = |a|^2 + |b|^2 - 2 a.b. Sums are over rows in their order, so
 * that results do not depend on the threads. */
#include "base/error.h"
#include "base/threads.h"
#include "device/nn_ops.h"
#include "metrics/sample_metrics_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, NEIGHBOURS_MOST = 64 };

int metrics_rows_create(struct metrics_rows *rows, int n, int dims)
{
    *rows = (struct metrics_rows){.n = n, .dims = dims};
    size_t bytes = ((size_t)n * (size_t)dims * sizeof(float) + 63) / 64 * 64;
    rows->data = aligned_alloc(64, bytes ? bytes : 64);
    if (!rows->data) return fail(ERR_SYSTEM, "out of memory for the metrics");
    return OK;
}

void metrics_rows_free(struct metrics_rows *rows)
{
    free(rows->data);
    *rows = (struct metrics_rows){0};
}

int metrics_poll(bool (*stop_requested)(void))
{
    return stop_requested && stop_requested() ? fail(ERR_STOPPED, "stopped while measuring") : OK;
}

/* ---- squared distances of a block of rows to all rows of a set ---- */

struct pairs {
    const struct metrics_rows *a, *b;
    const struct nn_ops *ops;
    double *a_norms, *b_norms; /* |row|^2 */
    float *products;           /* [BLOCK][b->n] */
    void *workspace;
    int first, count; /* rows of a in the block */
};

static void point_pairs_close(struct pairs *p)
{
    free(p->a_norms);
    free(p->b_norms);
    free(p->products);
    free(p->workspace);
}

struct norm_work {
    const struct metrics_rows *rows;
    double *norms;
};

static void sum_squares(void *context, int64_t from, int64_t to)
{
    const struct norm_work *work = context;
    for (int64_t i = from; i < to; i++) {
        const float *row = work->rows->data + (size_t)i * (size_t)work->rows->dims;
        double sum = 0;
        for (int d = 0; d < work->rows->dims; d++)
            sum += (double)row[d] * (double)row[d];
        work->norms[i] = sum;
    }
}

static double *norms_of(const struct metrics_rows *rows)
{
    double *norms = malloc(((size_t)rows->n + 1) * sizeof *norms);
    if (!norms) return NULL;
    struct norm_work work = {rows, norms};
    threads_for(rows->n, threads_grain(rows->dims), sum_squares, &work);
    return norms;
}

static struct nn_conv product_shape(const struct pairs *p, int count)
{
    return (struct nn_conv){.n = 1,
                            .h = count,
                            .w = 1,
                            .cin = p->a->dims,
                            .cout = p->b->n,
                            .kernel = 1,
                            .groups = 1,
                            .chunk = 1};
}

static int point_pairs_open(struct pairs *p, const struct metrics_rows *a,
                            const struct metrics_rows *b)
{
    *p = (struct pairs){.a = a, .b = b, .ops = nn_ops_cpu()};
    struct nn_conv shape = product_shape(p, BLOCK);
    size_t workspace = (p->ops->conv_workspace(NULL, &shape) + 127) / 64 * 64;
    p->a_norms = norms_of(a);
    p->b_norms = norms_of(b);
    p->products = aligned_alloc(64, ((size_t)BLOCK * (size_t)b->n * sizeof(float) + 63) / 64 * 64);
    p->workspace = aligned_alloc(64, workspace);
    if (p->a_norms && p->b_norms && p->products && p->workspace) return OK;
    point_pairs_close(p);
    return fail(ERR_SYSTEM, "out of memory for the metrics");
}

/* The products of rows first .. with all of b. */
static int pairs_block(struct pairs *p, int first)
{
    static const struct nn_epilogue plain = {.slope = 1};
    p->first = first;
    p->count = p->a->n - first < BLOCK ? p->a->n - first : BLOCK;
    struct nn_conv shape = product_shape(p, p->count);
    return p->ops->conv_forward(NULL, &shape, p->products,
                                p->a->data + (size_t)first * (size_t)p->a->dims, p->b->data, &plain,
                                p->workspace);
}

/* |a - b|^2 for row `row` of the block. */
static inline double square_at(const struct pairs *p, int row, int column)
{
    double product = (double)p->products[(size_t)row * (size_t)p->b->n + (size_t)column];
    double square = p->a_norms[p->first + row] + p->b_norms[column] - 2 * product;
    return square > 0 ? square : 0;
}

/* ---- within a set, and between two ---- */

/* The sum of the kernel over a row's pairs, but for column `without`. */
static double kernel_sum(const struct pairs *p, int row, int without)
{
    double sum = 0, dims = p->a->dims;
    const float *products = p->products + (size_t)row * (size_t)p->b->n;
    for (int j = 0; j < p->b->n; j++) {
        double base = (double)products[j] / dims + 1;
        if (j != without) sum += base * base * base;
    }
    return sum;
}

/* The k-th smallest squared distance of a row, but for column `without`. */
static double point_sets_neighbour(const struct pairs *p, int row, int without, int k)
{
    double nearest[NEIGHBOURS_MOST];
    int kept = 0;
    for (int j = 0; j < p->b->n; j++) {
        double square = square_at(p, row, j);
        if (j == without || (kept == k && !(square < nearest[k - 1]))) continue;
        int at = kept < k ? kept++ : k - 1;
        for (; at > 0 && nearest[at - 1] > square; at--)
            nearest[at] = nearest[at - 1];
        nearest[at] = square;
    }
    return kept == k ? nearest[k - 1] : (double)NAN;
}

struct within_work {
    const struct pairs *p;
    int k;
    double *sums, *radii; /* of the block's rows */
};

static void look_at_rows(void *context, int64_t from, int64_t to)
{
    const struct within_work *w = context;
    for (int i = (int)from; i < (int)to; i++) {
        w->sums[i] = kernel_sum(w->p, i, w->p->first + i);
        w->radii[i] = point_sets_neighbour(w->p, i, w->p->first + i, w->k);
    }
}

/* Of a set with itself: the mean kernel over pairs of different points, and (k > 0) the squared
 * radius of each point's ball. */
static int look_within(const struct metrics_rows *set, int k, double *kernel, double *radii,
                       bool (*stop_requested)(void))
{
    struct pairs p;
    double sums[BLOCK], total = 0;
    TRY(point_pairs_open(&p, set, set));
    int code = OK;
    for (int first = 0; code == OK && first < set->n; first += BLOCK) {
        code = pairs_block(&p, first);
        if (code < 0) break;
        struct within_work work = {&p, k, sums, radii + first};
        threads_for(p.count, threads_grain(16 * (int64_t)set->n), look_at_rows, &work);
        for (int i = 0; i < p.count; i++)
            total += sums[i];
        code = metrics_poll(stop_requested);
    }
    *kernel = total / ((double)set->n * (set->n - 1));
    point_pairs_close(&p);
    return code;
}

/* Sums over the fakes of a block, beside all real points. */
struct crossing {
    double kernel;
    int64_t inside;  /* sum over fakes of the real balls each lies in */
    int accepted;    /* fakes that lie in any */
    double *nearest; /* [real] squared distance to the nearest fake */
    uint8_t *met;    /* [real] lies in the ball of a fake */
};

struct cross_work {
    struct crossing *c;
    const struct pairs *p;
    const double *real_radii, *fake_radii;
    double sums[BLOCK];
    int balls[BLOCK];
};

static void cross_fakes(void *context, int64_t from, int64_t to)
{
    struct cross_work *w = context;
    const struct pairs *p = w->p;
    for (int i = (int)from; i < (int)to; i++) {
        int balls = 0;
        w->sums[i] = kernel_sum(p, i, -1);
        for (int j = 0; j < p->b->n; j++)
            balls += square_at(p, i, j) < w->real_radii[j];
        w->balls[i] = balls;
    }
}

static void cross_reals(void *context, int64_t from, int64_t to)
{
    const struct cross_work *w = context;
    const struct pairs *p = w->p;
    for (int j = (int)from; j < (int)to; j++)
        for (int i = 0; i < p->count; i++) {
            double square = square_at(p, i, j);
            if (square < w->c->nearest[j]) w->c->nearest[j] = square;
            if (square < w->fake_radii[p->first + i]) w->c->met[j] = 1;
        }
}

static void cross_block(struct crossing *c, const struct pairs *p, const double *real_radii,
                        const double *fake_radii)
{
    struct cross_work work = {.c = c, .p = p, .real_radii = real_radii, .fake_radii = fake_radii};
    threads_for(p->count, threads_grain(16 * (int64_t)p->b->n), cross_fakes, &work);
    threads_for(p->b->n, threads_grain(4 * p->count), cross_reals, &work);
    for (int i = 0; i < p->count; i++) {
        c->kernel += work.sums[i];
        c->inside += work.balls[i];
        c->accepted += work.balls[i] > 0;
    }
}

static int point_sets_cross(struct metrics_sets *sets, const struct metrics_rows *real,
                            const struct metrics_rows *fake, int k, const double *real_radii,
                            const double *fake_radii, bool (*stop_requested)(void))
{
    struct crossing c = {0};
    struct pairs p;
    TRY(point_pairs_open(&p, fake, real));
    c.nearest = malloc((size_t)real->n * sizeof *c.nearest);
    c.met = calloc((size_t)real->n, 1);
    int code = c.nearest && c.met ? OK : fail(ERR_SYSTEM, "out of memory for the metrics");
    for (int j = 0; code == OK && j < real->n; j++)
        c.nearest[j] = DBL_MAX;
    for (int first = 0; code == OK && first < fake->n; first += BLOCK) {
        code = pairs_block(&p, first);
        if (code < 0) break;
        cross_block(&c, &p, real_radii, fake_radii);
        code = metrics_poll(stop_requested);
    }
    int met = 0, covered = 0;
    for (int j = 0; code == OK && j < real->n; j++) {
        met += c.met[j];
        covered += c.nearest[j] < real_radii[j];
    }
    sets->kid -= 2 * c.kernel / ((double)fake->n * real->n);
    sets->precision = (double)c.accepted / fake->n;
    sets->density = (double)c.inside / ((double)k * fake->n);
    sets->recall = (double)met / real->n;
    sets->coverage = (double)covered / real->n;
    free(c.nearest);
    free(c.met);
    point_pairs_close(&p);
    return code;
}

int metrics_compare(struct metrics_sets *sets, const struct metrics_rows *real,
                    const struct metrics_rows *fake, int k, bool (*stop_requested)(void))
{
    const double nan = (double)NAN;
    *sets = (struct metrics_sets){nan, nan, nan, nan, nan};
    if (k < 1 || k > NEIGHBOURS_MOST || real->dims != fake->dims)
        return fail(ERR_INTERNAL, "metrics: k %d, %d and %d dimensions", k, real->dims, fake->dims);
    if (real->n < 2 || fake->n < 2) return OK;
    double *radii = malloc(((size_t)real->n + (size_t)fake->n) * sizeof *radii), of_fakes;
    if (!radii) return fail(ERR_SYSTEM, "out of memory for the metrics");
    int code;
    TRY_CLEANUP(look_within(real, k, &sets->kid, radii, stop_requested));
    TRY_CLEANUP(look_within(fake, k, &of_fakes, radii + real->n, stop_requested));
    sets->kid += of_fakes;
    TRY_CLEANUP(point_sets_cross(sets, real, fake, k, radii, radii + real->n, stop_requested));
    if (real->n <= k) sets->precision = sets->density = sets->coverage = nan;
    if (fake->n <= k) sets->recall = nan;
cleanup:
    free(radii);
    return code;
}

static void find_nearest(void *context, int64_t from, int64_t to)
{
    const struct within_work *w = context;
    for (int i = (int)from; i < (int)to; i++)
        w->radii[i] = sqrt(point_sets_neighbour(w->p, i, -1, 1));
}

int metrics_nearest(double *mean, const struct metrics_rows *from, const struct metrics_rows *to,
                    bool (*stop_requested)(void))
{
    double nearest[BLOCK], sum = 0;
    struct pairs p;
    *mean = (double)NAN;
    if (from->n < 1 || to->n < 1) return OK;
    TRY(point_pairs_open(&p, from, to));
    int code = OK;
    for (int first = 0; code == OK && first < from->n; first += BLOCK) {
        code = pairs_block(&p, first);
        if (code < 0) break;
        struct within_work work = {.p = &p, .radii = nearest};
        threads_for(p.count, threads_grain(4 * (int64_t)to->n), find_nearest, &work);
        for (int i = 0; i < p.count; i++)
            sum += nearest[i];
        code = metrics_poll(stop_requested);
    }
    point_pairs_close(&p);
    *mean = sum / from->n;
    return code;
}
