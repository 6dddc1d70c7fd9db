/* Resampling by two, weights for each channel and pixel, embeddings. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"
#include "math/fir.h"

#include <stdbool.h>
#include <string.h>

/* One row of the vertical pass for both directions: a x + b y, or 0 for a row that is outside
 * (NULL).
 */
static void mix_rows(float *out, const float *near, const float *far, size_t count)
{
    if (near && far)
        for (size_t i = 0; i < count; i++)
            out[i] = fir_mix(near[i], far[i]);
    else if (near)
        for (size_t i = 0; i < count; i++)
            out[i] = FIR_NEAR * near[i];
    else
        memset(out, 0, count * sizeof *out);
}

enum { STRIP = 64 }; /* channels handled together: a pixel's piece of stack */

static void mix_strips(float *out, const void *near, const void *far, enum nn_type type, size_t at,
                       size_t count)
{
    float a[STRIP], b[STRIP];
    mix_rows(out, near ? nn_floats(near, type, at, count, a) : NULL,
             far ? nn_floats(far, type, at, count, b) : NULL, count);
}

/* out pixel = scale * (3/8 near column + 1/8 far column) of the row mixed vertically */
static void up_row(void *out, enum nn_type out_type, const void *near, const void *far,
                   enum nn_type in_type, int w, int c, float scale, bool repeat)
{
    float left[STRIP], here[STRIP], right[STRIP], room[2][STRIP];
    for (int first = 0; first < c; first += STRIP) {
        size_t count = (size_t)(c - first < STRIP ? c - first : STRIP), at = (size_t)first;
        mix_strips(here, near, far, in_type, at, count);
        mix_rows(left, NULL, NULL, count);
        if (repeat) memcpy(left, here, count * sizeof *left);
        for (int x = 0; x < w; x++) {
            size_t next = (size_t)(x + 1) * (size_t)c + at, to = (size_t)(2 * x) * (size_t)c + at;
            bool inside = x + 1 < w;
            if (repeat && !inside)
                memcpy(right, here, count * sizeof *right);
            else
                mix_strips(right, inside ? near : NULL, inside ? far : NULL, in_type, next, count);
            float *even = nn_target(out, out_type, to, room[0]);
            float *odd = nn_target(out, out_type, to + (size_t)c, room[1]);
            for (size_t i = 0; i < count; i++) {
                even[i] = scale * fir_mix(here[i], left[i]);
                odd[i] = scale * fir_mix(here[i], right[i]);
                left[i] = here[i], here[i] = right[i];
            }
            nn_rounded(out, out_type, to, count, even);
            nn_rounded(out, out_type, to + (size_t)c, count, odd);
        }
    }
}

static void up_lines(void *context, int64_t from, int64_t to)
{
    const struct nn_fir f = *(const struct nn_fir *)context;
    size_t row = (size_t)f.w * (size_t)f.c;
    for (int line = (int)from; line < (int)to; line++) {
        int y = line % f.h;
        size_t at = (size_t)line * row;
        const void *here = nn_from(f.in, f.in_type, at);
        const void *outside = f.repeat ? here : NULL;
        const void *above = y > 0 ? nn_from(f.in, f.in_type, at - row) : outside;
        const void *below = y + 1 < f.h ? nn_from(f.in, f.in_type, at + row) : outside;
        up_row(nn_to(f.out, f.out_type, 4 * at), f.out_type, here, above, f.in_type, f.w, f.c,
               f.scale, f.repeat);
        up_row(nn_to(f.out, f.out_type, 4 * at + 2 * row), f.out_type, here, below, f.in_type, f.w,
               f.c, f.scale, f.repeat);
    }
}

static int cpu_fir_up(struct device *device, const struct nn_fir *fir)
{
    (void)device;
    TRY(nn_check_fir(fir));
    struct nn_fir work = *fir;
    threads_for((int64_t)fir->n * fir->h, threads_grain(4 * (int64_t)fir->w * fir->c), up_lines,
                &work);
    return OK;
}

/* vertical pass of down: 1/8, 3/8, 3/8, 1/8 of four rows, NULL outside */
static void down_column(float *sum, const void *const rows[4], enum nn_type type, size_t at,
                        size_t count)
{
    float a[STRIP], b[STRIP];
    const float *near = nn_floats(rows[1], type, at, count, a);
    const float *next = nn_floats(rows[2], type, at, count, b);
    for (size_t i = 0; i < count; i++)
        sum[i] = FIR_NEAR * near[i] + FIR_NEAR * next[i];
    for (int r = 0; r < 4; r += 3) {
        if (!rows[r]) continue;
        const float *far = nn_floats(rows[r], type, at, count, a);
        for (size_t i = 0; i < count; i++)
            sum[i] += FIR_FAR * far[i];
    }
}

static void down_row(void *out, enum nn_type out_type, const void *const rows[4],
                     enum nn_type in_type, int w, int c, float scale, bool repeat)
{
    float a[STRIP], b[STRIP], d[STRIP], e[STRIP], room[STRIP]; /* columns 2x-1 .. 2x+2 */
    for (int first = 0; first < c; first += STRIP) {
        size_t count = (size_t)(c - first < STRIP ? c - first : STRIP);
        down_column(b, rows, in_type, (size_t)first, count);
        memset(a, 0, sizeof a);
        if (repeat) memcpy(a, b, count * sizeof *a);
        for (int x = 0; x < w; x++) {
            size_t at = (size_t)(2 * x + 1) * (size_t)c + (size_t)first;
            down_column(d, rows, in_type, at, count);
            if (x + 1 < w)
                down_column(e, rows, in_type, at + (size_t)c, count);
            else if (repeat)
                memcpy(e, d, count * sizeof *e);
            else
                memset(e, 0, sizeof e);
            size_t to = (size_t)x * (size_t)c + (size_t)first;
            float *pixel = nn_target(out, out_type, to, room);
            for (size_t i = 0; i < count; i++) {
                pixel[i] = scale * fir_mix(b[i] + d[i], a[i] + e[i]);
                a[i] = d[i], b[i] = e[i];
            }
            nn_rounded(out, out_type, to, count, pixel);
        }
    }
}

static void down_lines(void *context, int64_t from, int64_t to)
{
    const struct nn_fir f = *(const struct nn_fir *)context;
    size_t row = 2 * (size_t)f.w * (size_t)f.c; /* of the input */
    for (int line = (int)from; line < (int)to; line++) {
        int y = line % f.h;
        size_t top = (size_t)line * 2 * row;
        const void *first = nn_from(f.in, f.in_type, top);
        const void *second = nn_from(f.in, f.in_type, top + row);
        const void *above = f.repeat ? first : NULL, *below = f.repeat ? second : NULL;
        if (y > 0) above = nn_from(f.in, f.in_type, top - row);
        if (y + 1 < f.h) below = nn_from(f.in, f.in_type, top + 2 * row);
        const void *const rows[4] = {above, first, second, below};
        down_row(nn_to(f.out, f.out_type, (size_t)line * row / 2), f.out_type, rows, f.in_type, f.w,
                 f.c, f.scale, f.repeat);
    }
}

static int cpu_fir_down(struct device *device, const struct nn_fir *fir)
{
    (void)device;
    TRY(nn_check_fir(fir));
    struct nn_fir work = *fir;
    threads_for((int64_t)fir->n * fir->h, threads_grain(4 * (int64_t)fir->w * fir->c), down_lines,
                &work);
    return OK;
}

/* Tensors of n x pixels x c and tables of c x pixels. */
struct grid_work {
    void *out;          /* [n][pixels][c] */
    float *sum;         /* what is added to */
    const void *x;      /* [n][pixels][c] */
    enum nn_type type;  /* of out or x */
    const float *s;     /* [n][c] */
    const float *table; /* [c][pixels] */
    int n, pixels, c;
};

/* Of strips of channels. */
static void bias_strips(void *context, int64_t from, int64_t to)
{
    const struct grid_work g = *(const struct grid_work *)context;
    for (int first = (int)from * STRIP; first < g.c && first < (int)to * STRIP; first += STRIP) {
        int count = g.c - first < STRIP ? g.c - first : STRIP;
        for (int p = 0; p < g.n; p++) {
            float sum[STRIP] = {0}, room[STRIP];
            size_t at = (size_t)p * (size_t)g.pixels * (size_t)g.c + (size_t)first;
            for (int i = 0; i < g.pixels; i++, at += (size_t)g.c) {
                const float *line = nn_floats(g.x, g.type, at, (size_t)count, room);
                for (int j = 0; j < count; j++)
                    sum[j] += line[j];
            }
            for (int j = 0; j < count; j++)
                g.sum[first + j] += sum[j];
        }
    }
}

static int cpu_bias_grad(struct device *device, float *db, const void *dout, enum nn_type type,
                         int n, int pixels, int c)
{
    (void)device;
    TRY(nn_check_sizes("bias_grad", n, pixels, c));
    struct grid_work work = {.sum = db, .x = dout, .type = type, .n = n, .pixels = pixels, .c = c};
    threads_for((c + STRIP - 1) / STRIP, threads_grain((int64_t)n * pixels * STRIP), bias_strips,
                &work);
    return OK;
}

static void expand_pictures(void *context, int64_t from, int64_t to)
{
    const struct grid_work g = *(const struct grid_work *)context;
    for (int i = (int)from; i < (int)to; i++)
        for (int p = 0; p < g.pixels; p++)
            for (int j = 0; j < g.c; j++)
                nn_put(g.out, g.type,
                       ((size_t)i * (size_t)g.pixels + (size_t)p) * (size_t)g.c + (size_t)j,
                       g.table[j * g.pixels + p] * g.s[i * g.c + j]);
}

static int cpu_spatial_map_expand(struct device *device, void *out, enum nn_type type,
                                  const float *s, const float *table, int n, int pixels, int c)
{
    (void)device;
    TRY(nn_check_sizes("spatial_map_expand", n, pixels, c));
    struct grid_work work = {
        .out = out, .type = type, .s = s, .table = table, .n = n, .pixels = pixels, .c = c};
    threads_for(n, threads_grain((int64_t)pixels * c), expand_pictures, &work);
    return OK;
}

static void contract_pictures(void *context, int64_t from, int64_t to)
{
    const struct grid_work g = *(const struct grid_work *)context;
    for (int i = (int)from; i < (int)to; i++) {
        float *sum = g.sum + (size_t)i * (size_t)g.c;
        memset(sum, 0, (size_t)g.c * sizeof *sum);
        for (int p = 0; p < g.pixels; p++) {
            size_t pixel = ((size_t)i * (size_t)g.pixels + (size_t)p) * (size_t)g.c;
            for (int j = 0; j < g.c; j++)
                sum[j] += g.table[j * g.pixels + p] * nn_get(g.x, g.type, pixel + (size_t)j);
        }
    }
}

static int cpu_spatial_map_contract(struct device *device, float *out, const void *x,
                                    enum nn_type type, const float *table, int n, int pixels, int c)
{
    (void)device;
    TRY(nn_check_sizes("spatial_map_contract", n, pixels, c));
    struct grid_work work = {
        .sum = out, .x = x, .type = type, .table = table, .n = n, .pixels = pixels, .c = c};
    threads_for(n, threads_grain((int64_t)pixels * c), contract_pictures, &work);
    return OK;
}

static void table_pixels(void *context, int64_t from, int64_t to)
{
    const struct grid_work g = *(const struct grid_work *)context;
    for (int p = (int)from; p < (int)to; p++)
        for (int i = 0; i < g.n; i++) {
            size_t pixel = ((size_t)i * (size_t)g.pixels + (size_t)p) * (size_t)g.c;
            for (int j = 0; j < g.c; j++)
                g.sum[j * g.pixels + p] +=
                    g.s[i * g.c + j] * nn_get(g.x, g.type, pixel + (size_t)j);
        }
}

static int cpu_spatial_map_grad(struct device *device, float *dtable, const float *s, const void *x,
                                enum nn_type type, int n, int pixels, int c)
{
    (void)device;
    TRY(nn_check_sizes("spatial_map_grad", n, pixels, c));
    struct grid_work work = {
        .sum = dtable, .x = x, .type = type, .s = s, .n = n, .pixels = pixels, .c = c};
    threads_for(pixels, threads_grain((int64_t)n * c), table_pixels, &work);
    return OK;
}

static int cpu_embed_gather(struct device *device, float *out, const float *table,
                            struct nn_labels labels, int n, int e, int k, int stride)
{
    (void)device;
    TRY(nn_check_embedding("embed_gather", n, e, k, stride));
    for (int i = 0; i < n; i++) {
        struct label_columns columns = label_columns_of(labels, i);
        for (int j = 0; j < e; j++)
            out[i * stride + j] = label_entry(columns, table, k, j);
    }
    return OK;
}

static int cpu_embed_grad(struct device *device, float *dtable, const float *d,
                          struct nn_labels labels, int n, int e, int k, int stride)
{
    (void)device;
    TRY(nn_check_embedding("embed_grad", n, e, k, stride));
    for (int i = 0; i < n; i++) {
        struct label_columns columns = label_columns_of(labels, i);
        for (int j = 0; j < e; j++)
            label_entry_grad(columns, dtable, d[i * stride + j], 1, k, j);
    }
    return OK;
}

static int cpu_project(struct device *device, float *out, const float *f, const float *table,
                       struct nn_labels labels, int n, int e, int k)
{
    (void)device;
    TRY(nn_check_embedding("project", n, e, k, e));
    for (int i = 0; i < n; i++) {
        struct label_columns columns = label_columns_of(labels, i);
        float sum = 0;
        for (int j = 0; j < e; j++)
            sum += f[i * e + j] * label_entry(columns, table, k, j);
        out[i] = sum;
    }
    return OK;
}

static int cpu_project_dgrad(struct device *device, float *df, const float *dout,
                             const float *table, struct nn_labels labels, int n, int e, int k)
{
    (void)device;
    TRY(nn_check_embedding("project_dgrad", n, e, k, e));
    for (int i = 0; i < n; i++) {
        struct label_columns columns = label_columns_of(labels, i);
        for (int j = 0; j < e; j++)
            df[i * e + j] = dout[i] * label_entry(columns, table, k, j);
    }
    return OK;
}

static int cpu_project_grad(struct device *device, float *dtable, const float *dout, const float *f,
                            struct nn_labels labels, int n, int e, int k)
{
    (void)device;
    TRY(nn_check_embedding("project_grad", n, e, k, e));
    for (int i = 0; i < n; i++) {
        struct label_columns columns = label_columns_of(labels, i);
        for (int j = 0; j < e; j++)
            label_entry_grad(columns, dtable, dout[i], f[i * e + j], k, j);
    }
    return OK;
}

void nn_install_grid(struct nn_ops *ops)
{
    ops->fir_up = cpu_fir_up;
    ops->fir_down = cpu_fir_down;
    ops->bias_grad = cpu_bias_grad;
    ops->spatial_map_expand = cpu_spatial_map_expand;
    ops->spatial_map_contract = cpu_spatial_map_contract;
    ops->spatial_map_grad = cpu_spatial_map_grad;
    ops->embed_gather = cpu_embed_gather;
    ops->embed_grad = cpu_embed_grad;
    ops->project = cpu_project;
    ops->project_dgrad = cpu_project_dgrad;
    ops->project_grad = cpu_project_grad;
}
