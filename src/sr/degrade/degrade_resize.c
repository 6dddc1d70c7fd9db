/* Resizing as PyTorch's interpolate does it: rows first, then columns. */
#include "math/portable.h"
#include "math/resampling.h"
#include "sr/degrade/degrade_taps.h"
#include "sr/degrade/degrade_weigh.h"

#include <string.h>

static double degrade_lanczos3(double x)
{
    if (!(x > 0.0)) return 1.0;
    if (x >= 3.0) return 0.0;
    double p = PORTABLE_PI * x;
    return 3.0 * portable_sin(p) * portable_sin(p / 3.0) / (p * p);
}

static int degrade_clamp(int i, int n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

static struct degrade_taps taps_area(int i, int in, int out, float *weights)
{
    int first = (int)((long long)i * in / out);
    int end = (int)(((long long)(i + 1) * in + out - 1) / out), count = end - first;
    for (int k = 0; k < count; k++)
        weights[k] = (float)(1.0 / count);
    return (struct degrade_taps){first, count};
}

static struct degrade_taps taps_bilinear(int i, int in, int out, float *weights)
{
    double at = (i + 0.5) * in / out - 0.5;
    if (at < 0.0) at = 0.0;
    int first = degrade_clamp((int)at, in), count = first + 1 < in ? 2 : 1;
    double t = count == 2 ? at - first : 0.0;
    weights[0] = (float)(1.0 - t);
    if (count == 2) weights[1] = (float)t;
    return (struct degrade_taps){first, count};
}

/* Of samples whose middle lies within `reach` reduced pixels; those beyond the border are left out.
 */
static struct degrade_taps taps_wide(int i, int in, int out, double reach, double (*weight)(double),
                                     float *weights)
{
    double factor = (double)in / out, narrow = factor > 1.0 ? factor : 1.0, sum = 0.0;
    double centre = factor * (i + 0.5);
    int first = (int)(centre - reach * narrow + 0.5), end = (int)(centre + reach * narrow + 0.5);
    if (centre - reach * narrow + 0.5 < 0.0) first = 0;
    if (end > in) end = in;
    for (int j = first; j < end; j++)
        sum += weight(fabs((j + 0.5 - centre) / narrow));
    for (int j = first; j < end; j++)
        weights[j - first] = (float)(weight(fabs((j + 0.5 - centre) / narrow)) / sum);
    return (struct degrade_taps){first, end - first};
}

struct degrade_taps degrade_taps_of(enum degrade_resize mode, int i, int in, int out,
                                    float *weights)
{
    switch (mode) {
    case DEGRADE_AREA: return taps_area(i, in, out, weights);
    case DEGRADE_BILINEAR: return taps_bilinear(i, in, out, weights);
    case DEGRADE_BICUBIC: return taps_wide(i, in, out, 2.0, resampling_cubic, weights);
    case DEGRADE_LANCZOS3: return taps_wide(i, in, out, 3.0, degrade_lanczos3, weights);
    case DEGRADE_NEAREST_EXACT: break;
    }
    weights[0] = 1.0f;
    return (struct degrade_taps){degrade_clamp((int)((i + 0.5) * in / out), in), 1};
}

size_t degrade_taps_most(int in, int out)
{
    return 8 + 6 * (size_t)((in + out - 1) / out);
}

/* No less for more columns. */
size_t degrade_columns_floats(int w, int out_w)
{
    return 16 * (size_t)out_w + 6 * (size_t)w;
}

struct degrade_columns degrade_columns_of(enum degrade_resize mode, int w, int out_w, float *memory)
{
    struct degrade_taps *taps = (struct degrade_taps *)memory;
    float *weights = memory + 2 * (size_t)out_w;
    size_t most = degrade_taps_most(w, out_w);
    for (int x = 0; x < out_w; x++)
        taps[x] = degrade_taps_of(mode, x, w, out_w, weights + (size_t)x * most);
    return (struct degrade_columns){taps, weights, most, out_w};
}

/* Three channels and the next sample's first, which is not used. */
typedef float pixel_lanes __attribute__((vector_size(4 * sizeof(float))));

void degrade_resize_line(float *out, const float *in, const struct degrade_columns *columns)
{
    for (int x = 0; x < columns->count; x++, out += 3) {
        const float *weights = columns->weights + (size_t)x * columns->most;
        const float *from = in + 3 * (size_t)columns->taps[x].first;
        pixel_lanes sum = {0}, sample;
        for (int k = 0; k < columns->taps[x].count; k++, from += 3) {
            memcpy(&sample, from, sizeof sample);
            sum += weights[k] * sample;
        }
        memcpy(out, &sum, 3 * sizeof *out);
    }
}

/* Columns; weights of a row, and the row. */
size_t degrade_resize_floats(int w, int h, int out_w)
{
    return degrade_columns_floats(w, out_w) + 14 + 6 * (size_t)h + (size_t)w * 3 + 1;
}

void degrade_resize(float *out, int out_w, int out_h, const float *in, int w, int h,
                    enum degrade_resize mode, float *memory)
{
    size_t row = (size_t)w * 3;
    const struct degrade_columns columns = degrade_columns_of(mode, w, out_w, memory);
    float *line = memory + degrade_columns_floats(w, out_w);
    float *across = line + degrade_taps_most(h, out_h);
    for (int y = 0; y < out_h; y++, out += 3 * (size_t)out_w) {
        struct degrade_taps taps = degrade_taps_of(mode, y, h, out_h, line);
        degrade_weigh(across, in + (size_t)taps.first * row, row, line, taps.count, row, false);
        degrade_resize_line(out, across, &columns);
    }
}
