/* Resampling by two, weights for each channel and pixel, embeddings. */
#include "cpu/nn_cpu.h"

#include <stdbool.h>
#include <string.h>

/* One row of the vertical pass for both directions: a x + b y, or 0 for a row that is outside
 * (NULL).
 */
static void mix_rows(float *out, const float *near, const float *far, size_t count)
{
    if (near && far)
        for (size_t i = 0; i < count; i++)
            out[i] = 0.375f * near[i] + 0.125f * far[i];
    else if (near)
        for (size_t i = 0; i < count; i++)
            out[i] = 0.375f * near[i];
    else
        memset(out, 0, count * sizeof *out);
}

enum { STRIP = 64 }; /* channels handled together: a pixel's piece of stack */

/* out pixel = scale * (3/8 near column + 1/8 far column) of the row mixed vertically */
static void up_row(float *out, const float *near, const float *far, int w, int c, float scale)
{
    float left[STRIP], here[STRIP], right[STRIP];
    for (int first = 0; first < c; first += STRIP) {
        size_t count = (size_t)(c - first < STRIP ? c - first : STRIP), at = (size_t)first;
        mix_rows(left, NULL, NULL, count);
        mix_rows(here, near + at, far ? far + at : NULL, count);
        for (int x = 0; x < w; x++) {
            size_t next = (size_t)(x + 1) * (size_t)c + at;
            bool inside = x + 1 < w;
            mix_rows(right, inside ? near + next : NULL, inside && far ? far + next : NULL, count);
            float *even = out + (size_t)(2 * x) * (size_t)c + at, *odd = even + c;
            for (size_t i = 0; i < count; i++) {
                even[i] = scale * (0.375f * here[i] + 0.125f * left[i]);
                odd[i] = scale * (0.375f * here[i] + 0.125f * right[i]);
                left[i] = here[i], here[i] = right[i];
            }
        }
    }
}

static void fir_up(void *out, const void *in, int n, int h, int w, int c, float scale)
{
    size_t row = (size_t)w * (size_t)c;
#pragma omp parallel for
    for (int line = 0; line < n * h; line++) {
        int y = line % h;
        const float *here = (const float *)in + (size_t)line * row;
        float *to = (float *)out + (size_t)line * 4 * row;
        up_row(to, here, y > 0 ? here - row : NULL, w, c, scale);
        up_row(to + 2 * row, here, y + 1 < h ? here + row : NULL, w, c, scale);
    }
}

/* vertical pass of down: 1/8, 3/8, 3/8, 1/8 of four rows, NULL outside */
static void down_column(float *sum, const float *const rows[4], size_t at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] = 0.375f * rows[1][at + i] + 0.375f * rows[2][at + i];
    for (int r = 0; r < 4; r += 3)
        if (rows[r])
            for (size_t i = 0; i < count; i++)
                sum[i] += 0.125f * rows[r][at + i];
}

static void fir_down(void *out, const void *in, int n, int h, int w, int c, float scale)
{
    size_t row = 2 * (size_t)w * (size_t)c; /* of the input */
#pragma omp parallel for
    for (int line = 0; line < n * h; line++) {
        int y = line % h;
        const float *top = (const float *)in + (size_t)line * 2 * row;
        const float *const rows[4] = {y > 0 ? top - row : NULL, top, top + row,
                                      y + 1 < h ? top + 2 * row : NULL};
        float *to = (float *)out + (size_t)line * row / 2;
        for (int first = 0; first < c; first += STRIP) {
            float a[STRIP], b[STRIP], d[STRIP], e[STRIP]; /* columns 2x-1 .. 2x+2 */
            size_t count = (size_t)(c - first < STRIP ? c - first : STRIP);
            memset(a, 0, sizeof a);
            down_column(b, rows, (size_t)first, count);
            for (int x = 0; x < w; x++) {
                size_t at = (size_t)(2 * x + 1) * (size_t)c + (size_t)first;
                down_column(d, rows, at, count);
                if (x + 1 < w)
                    down_column(e, rows, at + (size_t)c, count);
                else
                    memset(e, 0, sizeof e);
                float *pixel = to + (size_t)x * (size_t)c + (size_t)first;
                for (size_t i = 0; i < count; i++) {
                    pixel[i] = scale * (0.375f * (b[i] + d[i]) + 0.125f * (a[i] + e[i]));
                    a[i] = d[i], b[i] = e[i];
                }
            }
        }
    }
}

static void bias_grad(float *db, const void *dout, int n, int pixels, int c)
{
#pragma omp parallel for
    for (int first = 0; first < c; first += STRIP) {
        int count = c - first < STRIP ? c - first : STRIP;
        for (int p = 0; p < n; p++) {
            float sum[STRIP] = {0};
            const float *from =
                (const float *)dout + (size_t)p * (size_t)pixels * (size_t)c + first;
            for (int i = 0; i < pixels; i++, from += c)
                for (int j = 0; j < count; j++)
                    sum[j] += from[j];
            for (int j = 0; j < count; j++)
                db[first + j] += sum[j];
        }
    }
}

static void grid_expand(float *out, const float *s, const float *table, int n, int pixels, int c)
{
#pragma omp parallel for
    for (int i = 0; i < n; i++)
        for (int p = 0; p < pixels; p++)
            for (int j = 0; j < c; j++)
                out[((size_t)i * (size_t)pixels + (size_t)p) * (size_t)c + (size_t)j] =
                    table[j * pixels + p] * s[i * c + j];
}

static void grid_contract(float *out, const float *x, const float *table, int n, int pixels, int c)
{
#pragma omp parallel for
    for (int i = 0; i < n; i++) {
        float *sum = out + (size_t)i * (size_t)c;
        memset(sum, 0, (size_t)c * sizeof *sum);
        for (int p = 0; p < pixels; p++) {
            const float *pixel = x + ((size_t)i * (size_t)pixels + (size_t)p) * (size_t)c;
            for (int j = 0; j < c; j++)
                sum[j] += table[j * pixels + p] * pixel[j];
        }
    }
}

static void grid_grad(float *dtable, const float *s, const float *x, int n, int pixels, int c)
{
#pragma omp parallel for
    for (int p = 0; p < pixels; p++)
        for (int i = 0; i < n; i++) {
            const float *pixel = x + ((size_t)i * (size_t)pixels + (size_t)p) * (size_t)c;
            for (int j = 0; j < c; j++)
                dtable[j * pixels + p] += s[i * c + j] * pixel[j];
        }
}

static void embed_gather(float *out, const float *table, const int *labels, int n, int e, int k,
                         int stride)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < e; j++)
            out[i * stride + j] = table[j * k + labels[i]];
}

static void embed_grad(float *dtable, const float *d, const int *labels, int n, int e, int k,
                       int stride)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < e; j++)
            dtable[j * k + labels[i]] += d[i * stride + j];
}

static void project(float *out, const float *f, const float *table, const int *labels, int n, int e,
                    int k)
{
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int j = 0; j < e; j++)
            sum += f[i * e + j] * table[j * k + labels[i]];
        out[i] = sum;
    }
}

static void project_dgrad(float *df, const float *dout, const float *table, const int *labels,
                          int n, int e, int k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < e; j++)
            df[i * e + j] = dout[i] * table[j * k + labels[i]];
}

static void project_grad(float *dtable, const float *dout, const float *f, const int *labels, int n,
                         int e, int k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < e; j++)
            dtable[j * k + labels[i]] += dout[i] * f[i * e + j];
}

void nn_install_grid(struct nn_ops *ops)
{
    ops->fir_up = fir_up;
    ops->fir_down = fir_down;
    ops->bias_grad = bias_grad;
    ops->grid_expand = grid_expand;
    ops->grid_contract = grid_contract;
    ops->grid_grad = grid_grad;
    ops->embed_gather = embed_gather;
    ops->embed_grad = embed_grad;
    ops->project = project;
    ops->project_dgrad = project_dgrad;
    ops->project_grad = project_grad;
}
