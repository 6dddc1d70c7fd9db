/* Rendering and backward pass of Gaussians, 16 pixels at a time. Compiled once per instruction set.
 */
#include "cpu/isa/splat_ellipse.h"
#include "cpu/isa/splat_isa.h"

#include <float.h>

enum {
    CHUNK = 128,     /* Gaussians whose alphas a tile keeps at a time */
    ROW = CHUNK + 1, /* not a power of two, so that rows do not share cache sets */
    MAX_GROUP = 4,   /* channels blended in registers at once */
    AT_ONCE = LANES < 8 ? 2 : TILE / LANES, /* vectors likewise */
};

/* Alphas of up to CHUNK Gaussians in each row of a tile, compacted row by row. */
struct tile_rows {
    float alpha[TILE][ROW][TILE];
    int32_t id[TILE][ROW];
    int count[TILE];
    float best[TILE][SPLAT_MAX_TOPK][TILE]; /* sorted, largest first; used past CHUNK only */
};

size_t ISA_NAME(splat_tile_workspace)(void)
{
    return sizeof(struct tile_rows) / sizeof(float);
}

int ISA_NAME(splat_spans)(const struct splat_projected *projected, float cut_power, int y0,
                          int from, int to, struct splat_item *items, int count)
{
    int kept = 0;
    for (int k = 0; k < count; k++) {
        struct splat_item *item = &items[kept];
        struct ellipse_rows rows;
        item->id = items[k].id;
        item->record = items[k].record;
        find_rows(&projected[item->id].form, cut_power, y0, &rows);
        vf lo = rows.lo[0], hi = rows.hi[0];
        for (int v = 1; v < TILE / LANES; v++) {
            lo = vf_min(lo, rows.lo[v]);
            hi = vf_max(hi, rows.hi[v]);
        }
        float least = vf_least(lo), most = vf_most(hi);
        if (!(most > (float)from) || !(least < (float)to)) continue;
        item->left = least > (float)from + 0.5f ? (int)(least - 0.5f) : from;
        item->right = most < (float)to ? (int)most : to - 1;
        kept++;
    }
    return kept;
}

/* Where a tile's sums are: those of a chunk of its Gaussians are added to those before. */
struct tile_out {
    float *const *color, *const *threshold, *const *inverse; /* NULL: none */
    int x0, K;
    bool first, last; /* chunk: sums begin with zero; they are divided by the weights */
};

/* Pass 1: alphas of `count` Gaussians into the rows they reach. */
static void splat_tile_collect(struct tile_rows *rows, const struct splat_projected *projected,
                               const struct splat_item *items, const int32_t *list, int count,
                               float cut_power, int y0, int x0)
{
    for (int r = 0; r < TILE; r++)
        rows->count[r] = 0;
    for (int k = 0; k < count; k++) {
        const struct splat_item *item = &items[list[k]];
        const struct gaussian_form *g = &projected[item->id].form;
        struct ellipse_rows ellipse;
        int first, last;
        find_rows(g, cut_power, y0, &ellipse);
        if (!rows_reached(&ellipse, (float)x0, TILE, &first, &last)) continue;
        vf square[TILE / LANES], linear[TILE / LANES], cut = vf_set(cut_power);
        vf weight = vf_set(projected[item->id].weight);
        for (int v = 0; v < TILE / LANES; v++) {
            vf dx = column_distance(g, x0 + v * LANES);
            square[v] = vf_set(g->A) * dx * dx;
            linear[v] = vf_set(g->B) * dx;
        }
        for (int r = first; r <= last; r++) {
            int n = rows->count[r]++;
            rows->id[r][n] = item->id;
            for (int v = 0; v < TILE / LANES; v++)
                vf_store(&rows->alpha[r][n][v * LANES],
                         alpha_within(square[v], linear[v], &ellipse, r, weight, cut));
        }
    }
}

/* Inserts n alphas into the sorted list of the K largest, which stays in registers. */
ALWAYS_INLINE void insert_largest(vf *best, int K, const float (*alpha)[TILE], int n, int v)
{
    for (int j = 0; j < n; j++) {
        vf a = vf_load(&alpha[j][v]);
        if (!vm_any(vf_lt(best[K - 1], a))) continue;
#pragma GCC unroll 32
        for (int k = 0; k < K; k++) {
            vf low = vf_min(best[k], a);
            best[k] = vf_max(best[k], a);
            a = low;
        }
    }
}

ALWAYS_INLINE vf threshold_of(const float (*alpha)[TILE], int n, int v, int K)
{
    vf best[SPLAT_MAX_TOPK];
#pragma GCC unroll 10
    for (int j = 0; j < K; j++) { /* the list grows: no zeros to compare with */
        vf a = vf_load(&alpha[j][v]);
#pragma GCC unroll 10
        for (int k = 0; k < j; k++) {
            vf low = vf_min(best[k], a);
            best[k] = vf_max(best[k], a);
            a = low;
        }
        best[j] = a;
    }
    insert_largest(best, K, alpha + K, n - K, v);
    return best[K - 1];
}

/* The m-th smallest of n alphas in each lane; m is at most n. */
ALWAYS_INLINE vf smallest_of(const float (*alpha)[TILE], int n, int v, int m)
{
    vf least[SPLAT_MAX_TOPK];
    for (int k = 0; k < m; k++)
        least[k] = vf_set(FLT_MAX);
    for (int j = 0; j < n; j++) {
        vf a = vf_load(&alpha[j][v]);
        if (!vm_any(vf_lt(a, least[m - 1]))) continue;
#pragma GCC unroll 8
        for (int k = 0; k < m; k++) {
            vf high = vf_max(least[k], a);
            least[k] = vf_min(least[k], a);
            a = high;
        }
    }
    return least[m - 1];
}

/* The K-th largest of n alphas in each lane, 0 when there are no more than K. From the other end it
 * is the (n - K + 1)-th smallest: where that is less, so is the work. */
static vf threshold_row(const float (*alpha)[TILE], int n, int v, int K)
{
    if (K == 0 || n <= K) return vf_set(0);
    if (n < 2 * K) switch (n - K) {
        case 1: return smallest_of(alpha, n, v, 2);
        case 2: return smallest_of(alpha, n, v, 3);
        case 3: return smallest_of(alpha, n, v, 4);
        case 4: return smallest_of(alpha, n, v, 5);
        case 5: return smallest_of(alpha, n, v, 6);
        case 6: return smallest_of(alpha, n, v, 7);
        case 7: return smallest_of(alpha, n, v, 8);
        }
    return K == 10 ? threshold_of(alpha, n, v, 10) : threshold_of(alpha, n, v, K);
}

/* Adds alpha and alpha c of a row's Gaussians to the sums of `group` channels. limited: only those
 * that reach the limit. */
ALWAYS_INLINE void blend_row(const struct tile_rows *rows, int r, int v, const vf *limit,
                             bool limited, const float *feat, int channels, int group, vf *weight,
                             vf sum[][AT_ONCE])
{
    for (int j = 0; j < rows->count[r]; j++) {
        const float *c = feat + (int64_t)rows->id[r][j] * channels;
        for (int u = 0; u < AT_ONCE; u++) {
            vf a = vf_load(&rows->alpha[r][j][v + u * LANES]);
            if (limited) a = vf_keep(vf_le(limit[u], a), a);
            weight[u] = weight[u] + a;
            for (int k = 0; k < group; k++)
                sum[k][u] = vf_fma(a, vf_set(c[k]), sum[k][u]);
        }
    }
}

/* Adds the chunk in `rows` to `group` channels from `c` on. Until the last chunk the sum of weights
 * is kept in `inverse`; every group finds the same: the last one stores it. */
ALWAYS_INLINE void blend_group(const struct tile_rows *rows, const struct tile_out *out,
                               const float *feat, int channels, int c, int group)
{
    for (int r = 0; r < TILE; r++)
        for (int v = 0; v < TILE; v += AT_ONCE * LANES) {
            int x = out->x0 + v;
            vf limit[AT_ONCE], weight[AT_ONCE], sum[MAX_GROUP][AT_ONCE];
            bool limited = out->threshold && !(out->first && out->last && rows->count[r] <= out->K);
            for (int u = 0; u < AT_ONCE; u++) {
                limit[u] = limited ? vf_load(out->threshold[r] + x + u * LANES) : vf_set(0);
                weight[u] = !out->first && out->inverse ? vf_load(out->inverse[r] + x + u * LANES)
                                                        : vf_set(0);
                for (int k = 0; k < group; k++)
                    sum[k][u] = out->first
                                    ? vf_set(0)
                                    : vf_load(out->color[(c + k) * TILE + r] + x + u * LANES);
            }
            if (limited)
                blend_row(rows, r, v, limit, true, feat + c, channels, group, weight, sum);
            else
                blend_row(rows, r, v, limit, false, feat + c, channels, group, weight, sum);
            for (int u = 0; u < AT_ONCE; u++) {
                if (out->last && out->inverse) {
                    weight[u] = vf_set(1.0f) / (weight[u] + vf_set(SPLAT_DENOMINATOR));
                    for (int k = 0; k < group; k++)
                        sum[k][u] = sum[k][u] * weight[u];
                }
                for (int k = 0; k < group; k++)
                    vf_store(out->color[(c + k) * TILE + r] + x + u * LANES, sum[k][u]);
                if (out->inverse && c + group == channels)
                    vf_store(out->inverse[r] + x + u * LANES, weight[u]);
            }
        }
}

static void blend_chunk(const struct tile_rows *rows, const struct tile_out *out, const float *feat,
                        int channels)
{
    for (int c = 0; c < channels; c += MAX_GROUP)
        switch (channels - c) {
        case 1: blend_group(rows, out, feat, channels, c, 1); break;
        case 2: blend_group(rows, out, feat, channels, c, 2); break;
        case 3: blend_group(rows, out, feat, channels, c, 3); break;
        default: blend_group(rows, out, feat, channels, c, MAX_GROUP); break;
        }
}

/* A tile that has more Gaussians than fit into `rows` at once: the thresholds first. */
static void large_thresholds(struct tile_rows *rows, const struct splat_projected *projected,
                             const struct splat_item *items, const int32_t *list, int count, int K,
                             float cut_power, int y0, int x0, const struct tile_out *out)
{
    memset(rows->best, 0, sizeof rows->best);
    for (int k = 0; k < count; k += CHUNK) {
        splat_tile_collect(rows, projected, items, list + k, count - k < CHUNK ? count - k : CHUNK,
                           cut_power, y0, x0);
        for (int r = 0; r < TILE; r++)
            for (int v = 0; v < TILE; v += LANES) {
                vf best[SPLAT_MAX_TOPK];
                for (int b = 0; b < K; b++)
                    best[b] = vf_load(&rows->best[r][b][v]);
                insert_largest(best, K, (const float(*)[TILE])rows->alpha[r], rows->count[r], v);
                for (int b = 0; b < K; b++)
                    vf_store(&rows->best[r][b][v], best[b]);
            }
    }
    for (int r = 0; r < TILE; r++)
        memcpy(out->threshold[r] + out->x0, rows->best[r][K - 1], sizeof(float) * TILE);
}

/* Of a tile whose Gaussians are all in `rows`. */
static void tile_thresholds(const struct tile_rows *rows, const struct tile_out *out)
{
    for (int r = 0; r < TILE; r++)
        for (int v = 0; v < TILE; v += LANES)
            vf_store(
                out->threshold[r] + out->x0 + v,
                threshold_row((const float(*)[TILE])rows->alpha[r], rows->count[r], v, out->K));
}

void ISA_NAME(splat_render_tile)(const struct splat_projected *projected,
                                 const struct splat_item *items, const int32_t *list, int count,
                                 const float *feat, int channels, const struct splat_blend *blend,
                                 float cut_power, int y0, int tile, int left, float *workspace,
                                 float *const *color, float *const *threshold,
                                 float *const *inverse)
{
    struct tile_rows *rows = (struct tile_rows *)(void *)workspace;
    int K = blend->additive ? 0 : blend->topk, x0 = tile * TILE;
    struct tile_out out = {.color = color,
                           .threshold = K ? threshold : NULL,
                           .inverse = blend->additive ? NULL : inverse,
                           .x0 = x0 - left,
                           .K = K};
    if (K && count > CHUNK)
        large_thresholds(rows, projected, items, list, count, K, cut_power, y0, x0, &out);
    for (int k = 0; k == 0 || k < count; k += CHUNK) {
        int size = count - k < CHUNK ? count - k : CHUNK;
        splat_tile_collect(rows, projected, items, list + k, size, cut_power, y0, x0);
        if (K && count <= CHUNK) tile_thresholds(rows, &out);
        out.first = k == 0;
        out.last = count - k <= CHUNK;
        blend_chunk(rows, &out, feat, channels);
    }
}

/* The loops of backward_item for a fixed number of channels and blend, so that sums stay in
 * registers: down the rows of one column of vectors after the other. */
ALWAYS_INLINE void backward_columns(const struct splat_projected *p, const struct splat_item *item,
                                    const float *feat, int channels, bool additive,
                                    bool has_threshold, float cut_power, int y0,
                                    const struct splat_slopes *slopes, float *record)
{
    const struct gaussian_form *g = &p->form;
    const int64_t pitch = slopes->pitch, left = slopes->left;
    vf zero = vf_set(0), A = vf_set(g->A), B = vf_set(g->B), cut = vf_set(cut_power);
    vf sum = zero, sum_x = zero, sum_y = zero, sum_xx = zero, sum_xy = zero, sum_yy = zero;
    vf weight = vf_set(p->weight);
    vf sum_c[SPLAT_MAX_CHANNELS];
    for (int c = 0; c < channels; c++)
        sum_c[c] = zero;
    struct ellipse_rows ellipse;
    find_rows(g, cut_power, y0, &ellipse);
    for (int x = item->left; x <= item->right; x += LANES) {
        int first, last;
        if (!rows_reached(&ellipse, (float)x, LANES, &first, &last)) continue;
        vf dx = column_distance(g, x), square = A * dx * dx, linear = B * dx;
        vf column = zero, column_y = zero;
        const float *gradient = slopes->gradient + first * channels * pitch + x - left;
        const float *blended = slopes->blended + first * pitch + x - left;
        const float *threshold =
            (has_threshold ? slopes->threshold : slopes->blended) + first * pitch + x - left;
        for (int r = first; r <= last;
             r++, gradient += channels * pitch, blended += pitch, threshold += pitch) {
            vf w = alpha_within(square, linear, &ellipse, r, weight, cut);
            if (has_threshold) w = vf_keep(vf_le(vf_load(threshold), w), w);
            vf dot = additive ? zero : vf_load(blended);
#pragma GCC unroll 4
            for (int c = 0; c < channels; c++) {
                vf gc = vf_load(gradient + c * pitch);
                dot = vf_fma(gc, vf_set(feat[c]), dot);
                sum_c[c] = vf_fma(gc, w, sum_c[c]);
            }
            vf v = dot * w;
            column = column + v;
            column_y = vf_fma(v, vf_set(ellipse.dy[r]), column_y);
            sum_yy = vf_fma(v, vf_set(ellipse.dy_square[r]), sum_yy);
        }
        sum_y = sum_y + column_y;
        sum_xy = vf_fma(column_y, dx, sum_xy);
        sum = sum + column;
        column = column * dx;
        sum_x = sum_x + column;
        sum_xx = vf_fma(column, dx, sum_xx);
    }
    record[0] += vf_sum(sum_x);
    record[1] += vf_sum(sum_y);
    record[2] += vf_sum(sum_xx);
    record[3] += vf_sum(sum_xy);
    record[4] += vf_sum(sum_yy);
    record[5] += vf_sum(sum);
    for (int c = 0; c < channels; c++)
        record[SPLAT_GEOMETRY + c] += vf_sum(sum_c[c]);
}

void ISA_NAME(splat_backward_item)(const struct splat_projected *projected,
                                   const struct splat_item *item, const float *feat, int channels,
                                   bool additive, float cut_power, int y0,
                                   const struct splat_slopes *slopes, float *record)
{
    const struct splat_projected *p = &projected[item->id];
    const float *c = feat + (int64_t)item->id * channels;
    bool limited = slopes->threshold != NULL;
#define BACKWARD(n, sum, limit)                                                                    \
    backward_columns(p, item, c, n, sum, limit, cut_power, y0, slopes, record)
    if (channels == 3 && additive)
        BACKWARD(3, true, false);
    else if (channels == 3 && limited)
        BACKWARD(3, false, true);
    else if (channels == 3)
        BACKWARD(3, false, false);
    else if (channels == 1)
        BACKWARD(1, additive, limited);
    else if (channels == 4)
        BACKWARD(4, additive, limited);
    else
        BACKWARD(channels, additive, limited);
#undef BACKWARD
}
