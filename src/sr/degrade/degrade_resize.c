/* Resizing as PyTorch's interpolate does it: rows first, then columns. */
#include "math/portable.h"
#include "math/resampling.h"
#include "sr/degrade/degrade.h"
#include "sr/degrade/degrade_weigh.h"

static double degrade_lanczos3(double x)
{
    if (!(x > 0.0)) return 1.0;
    if (x >= 3.0) return 0.0;
    double p = PORTABLE_PI * x;
    return 3.0 * portable_sin(p) * portable_sin(p / 3.0) / (p * p);
}

/* One output sample's inputs: weights of samples first .. first + count - 1. */
struct degrade_taps {
    int first, count;
};

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

static struct degrade_taps degrade_taps_of(enum degrade_resize mode, int i, int in, int out,
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

/* Weights of one axis' samples: `most` for each, so many as the widest needs. */
static size_t resize_taps_most(int in, int out)
{
    return 8 + 6 * (size_t)((in + out - 1) / out);
}

/* Taps and weights of all columns; weights of a row, and the row. */
size_t degrade_resize_floats(int w, int h, int out_w)
{
    size_t columns = 16 * (size_t)out_w + 6 * (size_t)w; /* no less for more columns */
    return columns + 14 + 6 * (size_t)h + (size_t)w * 3;
}

/* Three channels of one output sample. */
static void resize_sample(float *out, const float *in, const float *weights, int count)
{
    float r = 0.0f, g = 0.0f, b = 0.0f;
    for (int k = 0; k < count; k++, in += 3) {
        r += weights[k] * in[0];
        g += weights[k] * in[1];
        b += weights[k] * in[2];
    }
    out[0] = r;
    out[1] = g;
    out[2] = b;
}

void degrade_resize(float *out, int out_w, int out_h, const float *in, int w, int h,
                    enum degrade_resize mode, float *memory)
{
    size_t most = resize_taps_most(w, out_w), row = (size_t)w * 3;
    struct degrade_taps *columns = (struct degrade_taps *)memory, taps;
    float *weights = memory + 2 * (size_t)out_w, *line = weights + (size_t)out_w * most;
    float *across = line + resize_taps_most(h, out_h);
    for (int x = 0; x < out_w; x++)
        columns[x] = degrade_taps_of(mode, x, w, out_w, weights + (size_t)x * most);
    for (int y = 0; y < out_h; y++) {
        taps = degrade_taps_of(mode, y, h, out_h, line);
        degrade_weigh(across, in + (size_t)taps.first * row, row, line, taps.count, row, false);
        for (int x = 0; x < out_w; x++, out += 3)
            resize_sample(out, across + (size_t)columns[x].first * 3, weights + (size_t)x * most,
                          columns[x].count);
    }
}
