#include "device/splat_draws.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>

enum { ROUNDS = 16, REST = 99 };

static int compare_draws(const void *a, const void *b)
{
    const struct splat_draw *p = a, *q = b;
    if (p->mass < q->mass || p->mass > q->mass) return p->mass < q->mass ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

static double draw_unit(const struct splat_draws *d, int64_t index, int round)
{
    struct philox4 r =
        philox_draw(d->seed, d->stream, d->step, (uint64_t)index + ((uint64_t)round << 40));
    return ((double)r.v[0] + (double)(r.v[1] >> 6) * 0x1p-26) * 0x1p-32;
}

/* Gives the draws that are still to be done a place in `total`, sorted; returns how many. */
static int64_t throw_draws(struct splat_draws *d, double total, int round)
{
    int64_t n = 0, k = 0;
    for (int64_t i = 0; i < d->count; i++)
        if (d->pixel[i] < 0) d->draws[n++] = (struct splat_draw){draw_unit(d, i, round) * total, i};
    qsort(d->draws, (size_t)n, sizeof *d->draws, compare_draws);
    for (int y = 0; y < d->height; y++) {
        d->row_draw[y] = k;
        while (k < n && d->draws[k].mass < d->row_start[y + 1])
            k++;
    }
    d->row_draw[d->height] = k;
    return n;
}

/* Draws that no round could place (nearly all weight on a few pixels) fall anywhere. */
static int64_t throw_rest(struct splat_draws *d)
{
    int64_t pixels = (int64_t)d->width * d->height, n = 0;
    for (int64_t i = 0; i < d->count; i++)
        if (d->pixel[i] < 0)
            d->draws[n++] = (struct splat_draw){floor(draw_unit(d, i, REST) * (double)pixels), i};
    return n;
}

static int compare_pixels(const void *a, const void *b)
{
    int64_t p = *(const int64_t *)a, q = *(const int64_t *)b;
    return (p > q) - (p < q);
}

static void note_taken(struct splat_draws *d)
{
    d->taken_count = 0;
    for (int64_t i = 0; i < d->count; i++)
        if (d->pixel[i] >= 0) d->taken[d->taken_count++] = d->pixel[i];
    qsort(d->taken, (size_t)d->taken_count, sizeof *d->taken, compare_pixels);
}

size_t splat_draws_layout(struct splat_draws *d, void *memory)
{
    struct arena arena = {.base = memory};
    size_t rows = (size_t)d->height, n = (size_t)d->count;
    d->row_mass = arena_take(&arena, rows * sizeof *d->row_mass);
    d->row_start = arena_take(&arena, (rows + 1) * sizeof *d->row_start);
    d->row_draw = arena_take(&arena, (rows + 1) * sizeof *d->row_draw);
    d->draws = arena_take(&arena, n * sizeof *d->draws);
    d->pixel = arena_take(&arena, n * sizeof *d->pixel);
    d->taken = arena_take(&arena, n * sizeof *d->taken);
    return arena.used;
}

int splat_draws_run(struct splat_draws *d, const struct splat_drawing *drawing)
{
    for (int64_t i = 0; i < d->count; i++)
        d->pixel[i] = -1;
    d->taken_count = 0;
    d->row_start[0] = 0;
    TRY(drawing->sum(drawing->argument, d));
    for (int y = 0; y < d->height; y++)
        d->row_start[y + 1] = d->row_start[y] + d->row_mass[y];
    double total = d->row_start[d->height];
    for (int round = 0; round < ROUNDS && total > 0; round++) {
        int64_t n = throw_draws(d, total, round);
        if (n == 0) break;
        TRY(drawing->place(drawing->argument, d, n));
        note_taken(d);
    }
    int64_t left = throw_rest(d);
    return left > 0 ? drawing->rest(drawing->argument, d, left) : OK;
}
