/* Features without any downloaded network: responses of random filters tell distributions of
 * images apart too, if less like an eye would (Naeem et al. 2020 use such networks for images
 * unlike ImageNet's).
 *
 * Stages on the image, its half, its quarter ...: 1x1 convolution, grouped 3x3 convolution, each
 * with a bias and a leaky ReLU, then 2x2 means to the next stage. A stage's features are the means
 * of its channels over the cells of a 2x2 grid (the last one's: 4x4). Images are halved
 * beforehand until they have at most 96 pixels a side; finer detail is the sliced Wasserstein
 * distance's part. The weights are the same in every program run. */
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "device/nn_ops.h"
#include "metrics/sample_metrics_internal.h"
#include "nn/net_init.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 32, SIDE_MOST = 96, SIDE_LEAST = 8, CHANNELS_MOST = 64, NET_SEED = 1 };
#define BIAS_STD 0.2f

struct stage {
    int h, w, cin, c, grid;
    float *point, *point_bias; /* [c][cin], [c] */
    float *area, *area_bias;   /* [c][16][3][3], [c] */
};

struct extractor {
    const struct nn_ops *ops;
    int width, height, halvings;
    struct stage stages[METRICS_STAGES];
    int count, dims;
    float *weights;        /* of all stages */
    float *front, *behind; /* [CHUNK] of the largest activations */
    void *workspace;
};

/* ---- the network ---- */

static struct nn_conv conv_of(const struct stage *s, int n, int kernel)
{
    return (struct nn_conv){.n = n,
                            .h = s->h,
                            .w = s->w,
                            .cin = kernel == 1 ? s->cin : s->c,
                            .cout = s->c,
                            .kernel = kernel,
                            .groups = kernel == 1 ? 1 : s->c / 16,
                            .chunk = 1};
}

static void features_design(struct extractor *x)
{
    static const int widths[METRICS_STAGES] = {32, 64, 64, 64};
    int w = x->width, h = x->height, channels = 3;
    for (; w > SIDE_MOST || h > SIDE_MOST; x->halvings++) {
        w = w > 1 ? w / 2 : 1;
        h = h > 1 ? h / 2 : 1;
    }
    for (bool last = false; !last; w /= 2, h /= 2) {
        struct stage *s = &x->stages[x->count++];
        last = x->count == METRICS_STAGES || w / 2 < SIDE_LEAST || h / 2 < SIDE_LEAST;
        int grid = last ? 4 : 2, side = w < h ? w : h;
        *s = (struct stage){.h = h, .w = w, .cin = channels, .c = widths[x->count - 1]};
        s->grid = grid < side ? grid : side;
        x->dims += s->c * s->grid * s->grid;
        channels = s->c;
    }
}

/* Normal numbers with the spread that keeps the activations' size (He et al. 2015). */
static float *features_draw_weights(float *to, int stage, int part, size_t count, float std)
{
    net_normal(to, count, NET_SEED, STREAM_GAN_METRICS, (uint64_t)(4 * stage + part), 0);
    for (size_t i = 0; i < count; i++)
        to[i] *= std;
    return to + count;
}

static float features_he(int fan_in)
{
    return sqrtf(2.0f / ((1.0f + NET_SLOPE * NET_SLOPE) * (float)fan_in));
}

static void features_initialise(struct extractor *x)
{
    float *next = x->weights;
    for (int i = 0; i < x->count; i++) {
        struct stage *s = &x->stages[i];
        size_t c = (size_t)s->c;
        s->point = next;
        next = features_draw_weights(next, i, 0, c * (size_t)s->cin, features_he(s->cin));
        s->point_bias = next;
        next = features_draw_weights(next, i, 1, c, BIAS_STD);
        s->area = next;
        next = features_draw_weights(next, i, 2, c * 16 * 9, features_he(16 * 9));
        s->area_bias = next;
        next = features_draw_weights(next, i, 3, c, BIAS_STD);
    }
}

static void extractor_close(struct extractor *x)
{
    free(x->weights);
    free(x->front);
    free(x->behind);
    free(x->workspace);
}

static float *features_floats(size_t count)
{
    return aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
}

static int extractor_open(struct extractor *x, int width, int height)
{
    *x = (struct extractor){.ops = nn_ops_cpu(), .width = width, .height = height};
    features_design(x);
    size_t weights = 0, workspace = 0, largest = (size_t)width * (size_t)height * 3;
    for (int i = 0; i < x->count; i++) {
        const struct stage *s = &x->stages[i];
        size_t values = (size_t)s->h * (size_t)s->w * (size_t)s->c;
        weights += (size_t)s->c * (size_t)(s->cin + 16 * 9 + 2);
        if (values > largest) largest = values;
        for (int kernel = 1; kernel <= 3; kernel += 2) {
            struct nn_conv shape = conv_of(s, CHUNK, kernel);
            size_t bytes = x->ops->conv_workspace(NULL, &shape);
            if (bytes > workspace) workspace = bytes;
        }
    }
    x->weights = features_floats(weights);
    x->front = features_floats(CHUNK * largest);
    x->behind = features_floats(CHUNK * largest);
    x->workspace = features_floats(workspace / sizeof(float) + 16);
    if (!x->weights || !x->front || !x->behind || !x->workspace) {
        extractor_close(x);
        return fail(ERR_SYSTEM, "out of memory for the metrics");
    }
    features_initialise(x);
    return OK;
}

/* ---- running it ---- */

/* Halving images of [h][w][c]. */
struct halving {
    const struct extractor *x;
    int h, w, c;
};

static void halve_lines(void *context, int64_t from, int64_t to)
{
    const struct halving *halving = context;
    const struct extractor *x = halving->x;
    int h = halving->h, w = halving->w, c = halving->c;
    int h2 = h > 1 ? h / 2 : 1, w2 = w > 1 ? w / 2 : 1;
    size_t down = h > 1 ? (size_t)w * (size_t)c : 0, right = w > 1 ? (size_t)c : 0;
    for (int64_t line = from; line < to; line++) {
        size_t i = (size_t)(line / h2), y = (size_t)(line % h2);
        const float *in = x->front + (i * (size_t)h + 2 * y) * (size_t)(w * c);
        float *out = x->behind + (size_t)line * (size_t)(w2 * c);
        for (int p = 0; p < w2; p++)
            for (int k = 0; k < c; k++) {
                const float *at = in + 2 * p * c + k;
                out[p * c + k] = 0.25f * ((at[0] + at[right]) + (at[down] + at[down + right]));
            }
    }
}

/* Means of 2x2, without an odd last row or column: front -> behind, then swapped. */
static void features_halve(struct extractor *x, int n, int h, int w, int c)
{
    struct halving halving = {x, h, w, c};
    int h2 = h > 1 ? h / 2 : 1;
    threads_for((int64_t)n * h2, threads_grain(4 * (int64_t)w * c), halve_lines, &halving);
    float *swapped = x->front;
    x->front = x->behind;
    x->behind = swapped;
}

/* The means over the cells of the grid, [grid][grid][c]. */
static void features_pool(float *out, const float *in, const struct stage *s)
{
    for (int gy = 0; gy < s->grid; gy++)
        for (int gx = 0; gx < s->grid; gx++, out += s->c) {
            int y0 = gy * s->h / s->grid, y1 = (gy + 1) * s->h / s->grid;
            int x0 = gx * s->w / s->grid, x1 = (gx + 1) * s->w / s->grid;
            float scale = 1.0f / (float)((y1 - y0) * (x1 - x0));
            memset(out, 0, (size_t)s->c * sizeof *out);
            for (int y = y0; y < y1; y++)
                for (int p = x0; p < x1; p++)
                    for (int k = 0; k < s->c; k++)
                        out[k] += in[(y * s->w + p) * s->c + k];
            for (int k = 0; k < s->c; k++)
                out[k] *= scale;
        }
}

struct pooling {
    const struct extractor *x;
    const struct stage *stage;
    float *rows; /* at the stage's column */
};

static void pool_images(void *context, int64_t from, int64_t to)
{
    const struct pooling *pooling = context;
    const struct extractor *x = pooling->x;
    const struct stage *s = pooling->stage;
    for (size_t p = (size_t)from; p < (size_t)to; p++)
        features_pool(pooling->rows + p * (size_t)x->dims,
                      x->front + p * (size_t)s->h * (size_t)s->w * (size_t)s->c, s);
}

static int run_stage(struct extractor *x, const struct stage *s, int n)
{
    struct nn_conv point = conv_of(s, n, 1), area = conv_of(s, n, 3);
    struct nn_epilogue first = {.bias = s->point_bias, .slope = NET_SLOPE};
    struct nn_epilogue second = {.bias = s->area_bias, .slope = NET_SLOPE};
    TRY(x->ops->conv_forward(NULL, &point, x->behind, x->front, s->point, &first, x->workspace));
    return x->ops->conv_forward(NULL, &area, x->front, x->behind, s->area, &second, x->workspace);
}

/* Features of n <= CHUNK images into n rows. */
static int features_extract(struct extractor *x, float *rows, const uint8_t *const *images, int n)
{
    int w = x->width, h = x->height, column = 0;
    for (int i = 0; i < n; i++)
        TRY(x->ops->from_u8(NULL, x->front + (size_t)i * (size_t)(h * w * 3), images[i], NULL, 1, h,
                            w, 3));
    for (int i = 0; i < x->halvings; i++) {
        features_halve(x, n, h, w, 3);
        w = w > 1 ? w / 2 : 1;
        h = h > 1 ? h / 2 : 1;
    }
    for (int i = 0; i < x->count; i++) {
        const struct stage *s = &x->stages[i];
        TRY(run_stage(x, s, n));
        struct pooling pooling = {x, s, rows + column};
        threads_for(n, threads_grain((int64_t)s->h * s->w * s->c), pool_images, &pooling);
        column += s->c * s->grid * s->grid;
        if (i + 1 < x->count) features_halve(x, n, s->h, s->w, s->c);
    }
    return OK;
}

int metrics_features(struct metrics_rows *rows, struct metrics_blocks *blocks,
                     struct image_list images, int width, int height, bool (*stop_requested)(void))
{
    struct extractor x;
    *rows = (struct metrics_rows){0};
    TRY(extractor_open(&x, width, height));
    int code = metrics_rows_create(rows, images.n, x.dims);
    *blocks = (struct metrics_blocks){.count = x.count};
    for (int i = 0, end = 0; i < x.count; i++)
        blocks->end[i] = end += x.stages[i].c * x.stages[i].grid * x.stages[i].grid;
    for (int first = 0; code == OK && first < images.n; first += CHUNK) {
        int n = images.n - first < CHUNK ? images.n - first : CHUNK;
        code = features_extract(&x, rows->data + (size_t)first * (size_t)x.dims,
                                images.pixels + first, n);
        if (code == OK) code = metrics_poll(stop_requested);
    }
    extractor_close(&x);
    if (code < 0) metrics_rows_free(rows);
    return code;
}

struct conversion {
    struct metrics_rows *rows;
    const uint8_t *const *pixels;
    size_t samples;
};

static void convert_images(void *context, int64_t from, int64_t to)
{
    const struct conversion *c = context;
    for (size_t i = (size_t)from; i < (size_t)to; i++)
        for (size_t j = 0; j < c->samples; j++)
            c->rows->data[i * c->samples + j] = (float)c->pixels[i][j] * (1.0f / 255.0f);
}

int metrics_pixels(struct metrics_rows *rows, struct image_list images, int width, int height)
{
    size_t samples = (size_t)width * (size_t)height * 3;
    TRY(metrics_rows_create(rows, images.n, (int)samples));
    struct conversion conversion = {rows, images.pixels, samples};
    threads_for(images.n, threads_grain((int64_t)samples), convert_images, &conversion);
    return OK;
}

/* ---- scaling ---- */

int metrics_scaling_of(struct metrics_scaling *scaling, const struct metrics_rows *real,
                       const struct metrics_blocks *blocks)
{
    int dims = real->dims, begin = 0;
    double *means = calloc((size_t)dims, sizeof *means);
    double *squares = calloc((size_t)dims, sizeof *squares);
    *scaling = (struct metrics_scaling){.shift = malloc((size_t)dims * sizeof(float))};
    bool enough = means && squares && scaling->shift;
    for (int pass = 0; enough && pass < 2; pass++)
        for (int i = 0; i < real->n; i++)
            for (int d = 0; d < dims; d++) {
                double value = (double)real->data[(size_t)i * (size_t)dims + (size_t)d];
                if (pass == 0) means[d] += value / real->n;
                if (pass == 1) squares[d] += (value - means[d]) * (value - means[d]);
            }
    for (int b = 0; enough && b < blocks->count; begin = blocks->end[b++]) {
        double sum = 0, values = (double)real->n * (blocks->end[b] - begin);
        for (int d = begin; d < blocks->end[b]; d++)
            sum += squares[d];
        scaling->factor[b] = sum > 0 ? (float)sqrt(values / sum) : 1.0f;
    }
    for (int d = 0; enough && d < dims; d++)
        scaling->shift[d] = (float)means[d];
    free(means);
    free(squares);
    if (enough) return OK;
    free(scaling->shift);
    scaling->shift = NULL;
    return fail(ERR_SYSTEM, "out of memory for the metrics");
}

struct scale_work {
    struct metrics_rows *rows;
    const struct metrics_scaling *scaling;
    const struct metrics_blocks *blocks;
};

static void scale_rows(void *context, int64_t from, int64_t to)
{
    const struct scale_work *work = context;
    const struct metrics_scaling *scaling = work->scaling;
    for (int64_t i = from; i < to; i++) {
        float *row = work->rows->data + (size_t)i * (size_t)work->rows->dims;
        for (int b = 0, d = 0; b < work->blocks->count; b++)
            for (; d < work->blocks->end[b]; d++)
                row[d] = (row[d] - scaling->shift[d]) * scaling->factor[b];
    }
}

void metrics_scale(struct metrics_rows *rows, const struct metrics_scaling *scaling,
                   const struct metrics_blocks *blocks)
{
    struct scale_work work = {rows, scaling, blocks};
    threads_for(rows->n, threads_grain(rows->dims), scale_rows, &work);
}
