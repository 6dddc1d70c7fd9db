/* Rendering and backward pass of Gaussians, 16 pixels at a time. Compiled once per instruction set.
 */
#include "cpu/isa/splat_ellipse.h"
#include "cpu/isa/splat_isa.h"

enum {
    CHUNK = 128,     /* Gaussians whose alphas a tile keeps at a time */
    ROW = CHUNK + 1, /* not a power of two, so that rows do not share cache sets */
    MAX_GROUP = 4,   /* channels blended in registers at once */
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
                          int width, struct splat_item *items, int count)
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
        if (!(most > 0) || !(least < (float)width)) continue;
        item->left = least > 0.5f ? (int)(least - 0.5f) : 0;
        item->right = most < (float)width ? (int)most : width - 1;
        kept++;
    }
    return kept;
}

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
        if (!rows_reached(&ellipse, (float)x0, &first, &last)) continue;
        vf square[TILE / LANES], linear[TILE / LANES], cut = vf_set(cut_power);
        vf weight = vf_set(projected[item->id].weight);
        for (int v = 0; v < TILE / LANES; v++) {
            vf dx = column_distance(g, x0 + v * LANES);
            square[v] = vf_set(g->A) * dx * dx;
            linear[v] = vf_set(g->B) * dx;
        }
        for (int r = first; r <= last; r++) {
            float dy = (float)(y0 + r) + 0.5f - g->my;
            vf row_square = vf_set(g->C * dy * dy);
            int n = rows->count[r]++;
            rows->id[r][n] = item->id;
            for (int v = 0; v < TILE / LANES; v++)
                vf_store(&rows->alpha[r][n][v * LANES],
                         alpha_within(square[v], linear[v], vf_set(dy), row_square, weight, cut));
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
    for (int k = 0; k < K; k++)
        best[k] = vf_set(0);
    insert_largest(best, K, alpha, n, v);
    return best[K - 1];
}

/* The K-th largest of n alphas in each lane, 0 when there are no more than K. */
static vf threshold_row(const float (*alpha)[TILE], int n, int v, int K)
{
    if (K == 0 || n <= K) return vf_set(0);
    return K == 10 ? threshold_of(alpha, n, v, 10) : threshold_of(alpha, n, v, K);
}

/* Adds alpha and alpha c of n Gaussians to the sums of `group` channels. */
ALWAYS_INLINE void splat_tile_blend_group(const float (*alpha)[TILE], const int32_t *id, int n,
                                          int v, vf threshold, const float *feat, int channels,
                                          int group, vf *weight, vf *sum)
{
    for (int j = 0; j < n; j++) {
        vf a = vf_load(&alpha[j][v]);
        a = vf_keep(vf_le(threshold, a), a);
        *weight = *weight + a;
        const float *c = feat + (int64_t)id[j] * channels;
        for (int k = 0; k < group; k++)
            sum[k] = vf_fma(a, vf_set(c[k]), sum[k]);
    }
}

static void blend_any(const float (*alpha)[TILE], const int32_t *id, int n, int v, vf threshold,
                      const float *feat, int channels, int group, vf *weight, vf *sum)
{
    switch (group) {
    case 1:
        splat_tile_blend_group(alpha, id, n, v, threshold, feat, channels, 1, weight, sum);
        break;
    case 2:
        splat_tile_blend_group(alpha, id, n, v, threshold, feat, channels, 2, weight, sum);
        break;
    case 3:
        splat_tile_blend_group(alpha, id, n, v, threshold, feat, channels, 3, weight, sum);
        break;
    default:
        splat_tile_blend_group(alpha, id, n, v, threshold, feat, channels, 4, weight, sum);
        break;
    }
}

/* A tile that has more Gaussians than fit into `rows` at once: the thresholds first. */
static void large_thresholds(struct tile_rows *rows, const struct splat_projected *projected,
                             const struct splat_item *items, const int32_t *list, int count, int K,
                             float cut_power, int y0, int x0, float *const *threshold)
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
        memcpy(threshold[r] + x0, rows->best[r][K - 1], sizeof(float) * TILE);
}

/* Adds the chunk in `rows` to the unnormalised image; `first`: starts from zero. The sum of the
 * weights is kept in `inverse` until finish_tile. */
static void blend_chunk(const struct tile_rows *rows, const float *feat, int channels, bool first,
                        int x0, float *const *color, float *const *threshold, float *const *inverse)
{
    for (int r = 0; r < TILE; r++) {
        const float(*alpha)[TILE] = (const float(*)[TILE])rows->alpha[r];
        for (int v = 0; v < TILE; v += LANES) {
            vf limit = threshold ? vf_load(threshold[r] + x0 + v) : vf_set(0);
            for (int c = 0; c < channels; c += MAX_GROUP) {
                int group = channels - c < MAX_GROUP ? channels - c : MAX_GROUP;
                vf weight = vf_set(0), sum[MAX_GROUP] = {vf_set(0)};
                if (!first && inverse) weight = vf_load(inverse[r] + x0 + v);
                for (int k = 0; k < group; k++)
                    sum[k] = first ? vf_set(0) : vf_load(color[(c + k) * TILE + r] + x0 + v);
                blend_any(alpha, rows->id[r], rows->count[r], v, limit, feat + c, channels, group,
                          &weight, sum);
                for (int k = 0; k < group; k++)
                    vf_store(color[(c + k) * TILE + r] + x0 + v, sum[k]);
                /* every group finds the same sum of weights: the last one stores it */
                if (inverse && c + group == channels) vf_store(inverse[r] + x0 + v, weight);
            }
        }
    }
}

static void finish_tile(int channels, int x0, float *const *color, float *const *inverse)
{
    for (int r = 0; r < TILE; r++)
        for (int v = 0; v < TILE; v += LANES) {
            vf weight = vf_load(inverse[r] + x0 + v);
            vf scale = vf_set(1.0f) / (weight + vf_set(SPLAT_DENOMINATOR));
            vf_store(inverse[r] + x0 + v, scale);
            for (int c = 0; c < channels; c++) {
                float *p = color[c * TILE + r] + x0 + v;
                vf_store(p, vf_load(p) * scale);
            }
        }
}

void ISA_NAME(splat_render_tile)(const struct splat_projected *projected,
                                 const struct splat_item *items, const int32_t *list, int count,
                                 const float *feat, int channels, const struct splat_blend *blend,
                                 float cut_power, int y0, int tile, float *workspace,
                                 float *const *color, float *const *threshold,
                                 float *const *inverse)
{
    struct tile_rows *rows = (struct tile_rows *)(void *)workspace;
    int x0 = tile * TILE, K = blend->additive ? 0 : blend->topk;
    if (blend->additive) inverse = NULL;
    if (!K) threshold = NULL;

    int size = count < CHUNK ? count : CHUNK;
    if (K && count > CHUNK) {
        large_thresholds(rows, projected, items, list, count, K, cut_power, y0, x0, threshold);
    }
    int k = 0;
    do {
        splat_tile_collect(rows, projected, items, list + k, size, cut_power, y0, x0);
        if (K && count <= CHUNK)
            for (int r = 0; r < TILE; r++)
                for (int v = 0; v < TILE; v += LANES)
                    vf_store(
                        threshold[r] + x0 + v,
                        threshold_row((const float(*)[TILE])rows->alpha[r], rows->count[r], v, K));
        blend_chunk(rows, feat, channels, k == 0, x0, color, threshold, inverse);
        k += size;
        size = count - k < CHUNK ? count - k : CHUNK;
    } while (k < count);
    if (inverse) finish_tile(channels, x0, color, inverse);
}

/* The loops of backward_item for a fixed number of channels and blend, so that sums stay in
 * registers: down the rows of one column of vectors after the other. */
ALWAYS_INLINE void backward_columns(const struct splat_projected *p, const struct splat_item *item,
                                    const float *feat, int channels, bool additive,
                                    bool has_threshold, float cut_power, int y0,
                                    const float *const *gradient, const float *const *blended,
                                    const float *const *threshold, const float *const *inverse,
                                    float *record)
{
    const struct gaussian_form *g = &p->form;
    vf zero = vf_set(0), A = vf_set(g->A), B = vf_set(g->B), cut = vf_set(cut_power);
    vf sum = zero, sum_x = zero, sum_y = zero, sum_xx = zero, sum_xy = zero, sum_yy = zero;
    vf weight = vf_set(p->weight);
    vf sum_c[SPLAT_MAX_CHANNELS];
    for (int c = 0; c < channels; c++)
        sum_c[c] = zero;
    struct ellipse_rows ellipse;
    find_rows(g, cut_power, y0, &ellipse);
    int x = item->left, end = item->right;
    for (; x <= end; x += LANES) {
        int first, last;
        if (!rows_reached(&ellipse, (float)x, &first, &last)) continue;
        vf dx = column_distance(g, x), square = A * dx * dx, linear = B * dx;
        vf column = zero, column_y = zero;
        for (int r = first; r <= last; r++) {
            float dy = (float)(y0 + r) + 0.5f - g->my;
            vf y = vf_set(dy);
            vf w = alpha_within(square, linear, y, vf_set(g->C * dy * dy), weight, cut);
            if (has_threshold) w = vf_keep(vf_le(vf_load(threshold[r] + x), w), w);
            vf dot = zero;
            if (!additive) {
                w = w * vf_load(inverse[r] + x);
                dot = zero - vf_load(blended[r] + x);
            }
            const float *const *gr = gradient + r * channels;
#pragma GCC unroll 4
            for (int c = 0; c < channels; c++) {
                vf gc = vf_load(gr[c] + x);
                dot = vf_fma(gc, vf_set(feat[c]), dot);
                sum_c[c] = vf_fma(gc, w, sum_c[c]);
            }
            vf v = dot * w, vy = v * y;
            column = column + v;
            column_y = column_y + vy;
            sum_yy = vf_fma(vy, y, sum_yy);
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
                                   const float *const *gradient, const float *const *blended,
                                   const float *const *threshold, const float *const *inverse,
                                   float *record)
{
    const struct splat_projected *p = &projected[item->id];
    const float *c = feat + (int64_t)item->id * channels;
#define BACKWARD(n, sum, limit)                                                                    \
    backward_columns(p, item, c, n, sum, limit, cut_power, y0, gradient, blended, threshold,       \
                     inverse, record)
    if (channels == 3 && additive)
        BACKWARD(3, true, false);
    else if (channels == 3 && threshold)
        BACKWARD(3, false, true);
    else if (channels == 3)
        BACKWARD(3, false, false);
    else if (channels == 1)
        BACKWARD(1, additive, threshold != NULL);
    else if (channels == 4)
        BACKWARD(4, additive, threshold != NULL);
    else
        BACKWARD(channels, additive, threshold != NULL);
#undef BACKWARD
}
