/* LDR-FLIP: Andersson et al., "FLIP: A Difference Evaluator for Alternating Images", HPG 2020.
 * Every filter of the paper is a sum of products of one-dimensional ones, so tile by tile rows are
 * filtered along x into a ring of rows, and the ring along y. */
#include "base/error.h"
#include "base/threads.h"
#include "image/colour.h"
#include "metrics/compare.h"
#include "metrics/image_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    RADIUS = COMPARE_MARGIN, /* of the widest filter */
    TAPS = 2 * RADIUS + 1,
    TILE_WIDTH = 512,
    TILE_ROWS = COMPARE_TILE_ROWS,
    PADDED = TILE_WIDTH + 2 * RADIUS,
    COLOURS = 3, /* Y, Cx, Cz of the opponent space */
    ACROSS = 7,
    FEATURES = 4,
};

/* 0.7 m from a 0.7 m wide screen of 3840 pixels: the authors' default, 67.02. */
#define PIXELS_PER_DEGREE (3840.0 * M_PI / 180.0)
static const float COLOUR_EXPONENT = 0.7f, FEATURE_EXPONENT = 0.5f;
static const float KNEE_AT = 0.4f, KNEE_VALUE = 0.95f; /* p_c and p_t of the paper */
static const double FEATURE_WIDTH = 0.082;             /* degrees */

/* One filter along an axis; zero beyond its own radius. */
struct kernel {
    float weights[TAPS];
};

/* The filters, each used along x and along y. Blue-yellow sums two Gaussians. */
struct flip {
    struct compare_rows rows; /* those at hand */
    struct kernel achromatic, red_green, blue_yellow[2];
    float blend[2]; /* of blue_yellow */
    struct kernel smooth, edge, point;
    float *linear; /* integer sample -> linear light */
    float largest; /* colour difference between green and blue, to COLOUR_EXPONENT */
    float *map;    /* NULL, or [height][width] */
};

/* Rows filtered along x; what each plane was filtered with. */
enum { RING_Y, RING_CX, RING_CZ0, RING_CZ1, RING_SMOOTH, RING_EDGE, RING_POINT };

struct workspace {
    float opponent[COLOURS][PADDED];
    float ring[2][TAPS][ACROSS][TILE_WIDTH];
    float colour[2][COLOURS][TILE_WIDTH]; /* then Hunt-adjusted Lab */
    float feature[2][FEATURES][TILE_WIDTH];
};

/* ---- kernels ---- */

static void scale_kernel(struct kernel *kernel, double positive, double negative)
{
    for (int k = 0; k < TAPS; k++) {
        float *w = &kernel->weights[k];
        *w = (float)((double)*w / (*w > 0.0f ? positive : negative));
    }
}

/* The Gaussian exp(-pi^2 x^2 / b), x in degrees, normalised. Returns the sum before that. Table 1
 * and section 4.1.1 of the paper. */
static double make_contrast_kernel(struct kernel *kernel, double b)
{
    double sum = 0.0;
    for (int k = 0; k < TAPS; k++) {
        double x = (k - RADIUS) / PIXELS_PER_DEGREE;
        kernel->weights[k] = (float)exp(-M_PI * M_PI * x * x / b);
        sum += (double)kernel->weights[k];
    }
    scale_kernel(kernel, sum, sum);
    return sum;
}

/* Gaussian (order 0), its first or second derivative; positive and negative weights each sum to 1.
 * Section 4.2 of the paper. */
static void make_feature_kernel(struct kernel *kernel, int order)
{
    double deviation = 0.5 * FEATURE_WIDTH * PIXELS_PER_DEGREE, positive = 0.0, negative = 0.0;
    int radius = (int)ceil(3.0 * deviation);
    for (int k = 0; k < TAPS; k++) {
        double x = k - RADIUS, g = exp(-x * x / (2.0 * deviation * deviation));
        double factor = order == 0 ? 1.0 : order == 1 ? -x : x * x / (deviation * deviation) - 1.0;
        double w = abs(k - RADIUS) <= radius ? factor * g : 0.0;
        kernel->weights[k] = (float)w;
        if (w > 0.0)
            positive += w;
        else
            negative -= w;
    }
    scale_kernel(kernel, positive, order ? negative : 1.0);
}

static void make_kernels(struct flip *flip)
{
    static const double a[2] = {34.1, 13.5}, b[2] = {0.04, 0.025}; /* blue-yellow */
    make_contrast_kernel(&flip->achromatic, 0.0047);
    make_contrast_kernel(&flip->red_green, 0.0053);
    double volume[2];
    for (int i = 0; i < 2; i++) {
        double sum = make_contrast_kernel(&flip->blue_yellow[i], b[i]);
        volume[i] = a[i] * sqrt(M_PI / b[i]) * sum * sum;
    }
    for (int i = 0; i < 2; i++)
        flip->blend[i] = (float)(volume[i] / (volume[0] + volume[1]));
    make_feature_kernel(&flip->smooth, 0);
    make_feature_kernel(&flip->edge, 1);
    make_feature_kernel(&flip->point, 2);
}

/* ---- colour ---- */

/* Linear RGB to XYZ relative to the white point (D65): rows X, Y, Z each sum to 1. */
static void rgb_to_relative_xyz(const float rgb[3], float xyz[3])
{
    static const float inverse_white[3] = {1.052156925f, 1.0f, 0.918357670f};
    static const float m[3][3] = {
        {10135552.0f / 24577794.0f, 8788810.0f / 24577794.0f, 4435075.0f / 24577794.0f},
        {2613072.0f / 12288897.0f, 8788810.0f / 12288897.0f, 887015.0f / 12288897.0f},
        {1425312.0f / 73733382.0f, 8788810.0f / 73733382.0f, 70074185.0f / 73733382.0f}};
    for (int i = 0; i < 3; i++)
        xyz[i] = inverse_white[i] * (m[i][0] * rgb[0] + m[i][1] * rgb[1] + m[i][2] * rgb[2]);
}

static float flip_unit_clamp(float v)
{
    return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f;
}

/* Opponent colour to linear RGB inside the unit cube. */
static void opponent_to_rgb(float y, float cx, float cz, float rgb[3])
{
    static const float m[3][3] = {{3.241003275f, -1.537398934f, -0.498615861f},
                                  {-0.969224334f, 1.875930071f, 0.041554224f},
                                  {0.055639423f, -0.204011202f, 1.057148933f}};
    float level = (y + 16.0f) / 116.0f;
    float xyz[3] = {0.950428545f * (level + cx / 500.0f), level,
                    1.088900371f * (level - cz / 200.0f)};
    for (int i = 0; i < 3; i++)
        rgb[i] = flip_unit_clamp(m[i][0] * xyz[0] + m[i][1] * xyz[1] + m[i][2] * xyz[2]);
}

static float lab_root(float v)
{
    const float delta = 6.0f / 29.0f;
    return v > delta * delta * delta ? cbrtf(v) : v / (3.0f * delta * delta) + 4.0f / 29.0f;
}

/* Linear RGB to L*a*b* with the Hunt effect: chroma grows with lightness. */
static void rgb_to_hunt_lab(const float rgb[3], float lab[3])
{
    float v[3];
    rgb_to_relative_xyz(rgb, v);
    for (int i = 0; i < 3; i++)
        v[i] = lab_root(v[i]);
    lab[0] = 116.0f * v[1] - 16.0f;
    lab[1] = 0.01f * lab[0] * 500.0f * (v[0] - v[1]);
    lab[2] = 0.01f * lab[0] * 200.0f * (v[1] - v[2]);
}

/* HyAB distance: city block in lightness, Euclidean in chroma. */
static float colour_distance(const float p[3], const float q[3])
{
    float a = p[1] - q[1], b = p[2] - q[2];
    return fabsf(p[0] - q[0]) + sqrtf(a * a + b * b);
}

static float largest_distance(void)
{
    float green[3], blue[3];
    rgb_to_hunt_lab((const float[3]){0.0f, 1.0f, 0.0f}, green);
    rgb_to_hunt_lab((const float[3]){0.0f, 0.0f, 1.0f}, blue);
    return powf(colour_distance(green, blue), COLOUR_EXPONENT);
}

static float linear_sample(const struct flip *flip, const struct image *image, size_t index)
{
    switch (image->type) {
    case SAMPLE_U8: return flip->linear[((const uint8_t *)image->data)[index] * 257];
    case SAMPLE_U16: return flip->linear[((const uint16_t *)image->data)[index]];
    case SAMPLE_F32: break;
    }
    return colour_srgb_to_linear(flip_unit_clamp(image_sample(image, index)));
}

/* ---- filtering ---- */

static int clamp_index(int i, int count)
{
    return i < 0 ? 0 : i < count ? i : count - 1;
}

/* Opponent colours of row y, columns x - RADIUS on; the border repeats outside. */
static void flip_load_row(const struct flip *flip, const struct image *image, int y, int x, int n,
                          float opponent[COLOURS][PADDED])
{
    int inside = clamp_index(y, flip->rows.height) - flip->rows.first;
    size_t row = (size_t)inside * (size_t)image->width;
    for (int i = 0; i < n + 2 * RADIUS; i++) {
        size_t pixel = row + (size_t)clamp_index(x + i - RADIUS, image->width);
        size_t index = pixel * (size_t)image->channels;
        float rgb[3], v[3];
        for (size_t c = 0; c < 3; c++)
            rgb[c] = linear_sample(flip, image, image->channels == 3 ? index + c : index);
        rgb_to_relative_xyz(rgb, v);
        opponent[0][i] = 116.0f * v[1] - 16.0f;
        opponent[1][i] = 500.0f * (v[0] - v[1]);
        opponent[2][i] = 200.0f * (v[1] - v[2]);
    }
}

static void flip_filter_across(float *restrict to, const float *restrict from, int n,
                               const struct kernel *kernel)
{
    memset(to, 0, (size_t)n * sizeof *to);
    for (int k = 0; k < TAPS; k++) {
        float weight = kernel->weights[k];
        for (int i = 0; weight != 0.0f && i < n; i++)
            to[i] += weight * from[i + k];
    }
}

/* Adds the ring's plane filtered along y around row y, times `factor`. */
static void flip_filter_down(float *restrict to, float ring[TAPS][ACROSS][TILE_WIDTH], int plane,
                             int y, int n, const struct kernel *kernel, float factor)
{
    for (int k = 0; k < TAPS; k++) {
        const float *restrict from = ring[(y + k) % TAPS][plane];
        float weight = kernel->weights[k] * factor;
        for (int i = 0; weight != 0.0f && i < n; i++)
            to[i] += weight * from[i];
    }
}

/* Fills the ring's slot for row y of both images (slots are numbered from row -RADIUS on). */
static void fill_ring(const struct flip *flip, struct workspace *workspace, int y, int x, int n)
{
    const struct kernel *kernels[ACROSS] = {
        &flip->achromatic, &flip->red_green, &flip->blue_yellow[0], &flip->blue_yellow[1],
        &flip->smooth,     &flip->edge,      &flip->point};
    static const int source[ACROSS] = {0, 1, 2, 2, 0, 0, 0};
    for (int side = 0; side < 2; side++) {
        flip_load_row(flip, side ? &flip->rows.b : &flip->rows.a, y, x, n, workspace->opponent);
        for (int plane = 0; plane < ACROSS; plane++)
            flip_filter_across(workspace->ring[side][(y + RADIUS) % TAPS][plane],
                               workspace->opponent[source[plane]], n, kernels[plane]);
    }
}

static void filter_ring(const struct flip *flip, struct workspace *workspace, int side, int y,
                        int n)
{
    float(*ring)[ACROSS][TILE_WIDTH] = workspace->ring[side];
    float(*colour)[TILE_WIDTH] = workspace->colour[side];
    float(*feature)[TILE_WIDTH] = workspace->feature[side];
    memset(colour, 0, sizeof workspace->colour[side]);
    memset(feature, 0, sizeof workspace->feature[side]);
    flip_filter_down(colour[0], ring, RING_Y, y, n, &flip->achromatic, 1.0f);
    flip_filter_down(colour[1], ring, RING_CX, y, n, &flip->red_green, 1.0f);
    flip_filter_down(colour[2], ring, RING_CZ0, y, n, &flip->blue_yellow[0], flip->blend[0]);
    flip_filter_down(colour[2], ring, RING_CZ1, y, n, &flip->blue_yellow[1], flip->blend[1]);
    /* features see Y scaled to 0..1; its offset cancels in derivatives */
    flip_filter_down(feature[0], ring, RING_EDGE, y, n, &flip->smooth, 1.0f / 116.0f);
    flip_filter_down(feature[1], ring, RING_SMOOTH, y, n, &flip->edge, 1.0f / 116.0f);
    flip_filter_down(feature[2], ring, RING_POINT, y, n, &flip->smooth, 1.0f / 116.0f);
    flip_filter_down(feature[3], ring, RING_SMOOTH, y, n, &flip->point, 1.0f / 116.0f);
}

/* ---- the error ---- */

static float colour_error(const struct flip *flip, const struct workspace *workspace, int i)
{
    float lab[2][3];
    for (int side = 0; side < 2; side++) {
        float rgb[3];
        opponent_to_rgb(workspace->colour[side][0][i], workspace->colour[side][1][i],
                        workspace->colour[side][2][i], rgb);
        rgb_to_hunt_lab(rgb, lab[side]);
    }
    float distance = powf(colour_distance(lab[0], lab[1]), COLOUR_EXPONENT);
    float knee = KNEE_AT * flip->largest;
    if (distance < knee) return distance * KNEE_VALUE / knee;
    return KNEE_VALUE + (distance - knee) / (flip->largest - knee) * (1.0f - KNEE_VALUE);
}

static float feature_error(const struct workspace *workspace, int i)
{
    float error = 0.0f;
    for (int kind = 0; kind < FEATURES; kind += 2) { /* edges, points */
        float length[2];
        for (int side = 0; side < 2; side++) {
            float fx = workspace->feature[side][kind][i],
                  fy = workspace->feature[side][kind + 1][i];
            length[side] = sqrtf(fx * fx + fy * fy);
        }
        error = fmaxf(error, fabsf(length[0] - length[1]));
    }
    return powf(error * (float)M_SQRT1_2, FEATURE_EXPONENT);
}

static double flip_sum_tile(const struct flip *flip, struct workspace *workspace, int y0, int x0)
{
    int width = flip->rows.a.width, height = flip->rows.height;
    int n = width - x0 < TILE_WIDTH ? width - x0 : TILE_WIDTH;
    int y1 = height - y0 < TILE_ROWS ? height : y0 + TILE_ROWS;
    double sum = 0.0;
    const uint8_t *weights = flip->rows.weights;
    for (int y = y0 - RADIUS; y < y0 + RADIUS; y++)
        fill_ring(flip, workspace, y, x0, n);
    for (int y = y0; y < y1; y++) {
        fill_ring(flip, workspace, y + RADIUS, x0, n);
        filter_ring(flip, workspace, 0, y, n);
        filter_ring(flip, workspace, 1, y, n);
        for (int i = 0; i < n; i++) {
            float error =
                powf(colour_error(flip, workspace, i), 1.0f - feature_error(workspace, i));
            double weight = weights ? weights[(size_t)y * (size_t)width + (size_t)(x0 + i)] : 1.0;
            sum += weight * (double)error;
            if (flip->map) flip->map[(size_t)y * (size_t)width + (size_t)(x0 + i)] = error;
        }
    }
    return sum;
}

struct flip_work {
    const struct flip *flip;
    struct workspace *workspace; /* of each thread */
    double *sums;                /* of each tile */
    int from, wide;              /* first row; tiles in a row of them */
};

static void flip_sum_tiles(void *context, int64_t from, int64_t to)
{
    const struct flip_work *work = context;
    for (int t = (int)from; t < (int)to; t++)
        work->sums[t] =
            flip_sum_tile(work->flip, &work->workspace[threads_self()],
                          work->from + t / work->wide * TILE_ROWS, t % work->wide * TILE_WIDTH);
}

int flip_add(struct flip *flip, double *sum, const struct compare_rows *rows, int from, int to,
             float *map)
{
    int wide = (rows->a.width + TILE_WIDTH - 1) / TILE_WIDTH;
    int tiles = wide * ((to - from + TILE_ROWS - 1) / TILE_ROWS);
    struct flip_work work = {flip, NULL, NULL, from, wide};
    work.sums = malloc((size_t)tiles * sizeof *work.sums); /* added in fixed order */
    work.workspace = malloc((size_t)threads_count() * sizeof *work.workspace);
    bool enough = work.sums && work.workspace;
    flip->rows = *rows;
    flip->map = map;
    if (enough) threads_for(tiles, 1, flip_sum_tiles, &work);
    for (int t = 0; enough && t < tiles; t++)
        *sum += work.sums[t];
    free(work.sums);
    free(work.workspace);
    return enough ? OK : fail(ERR_SYSTEM, "out of memory for FLIP");
}

/* A table of all 16-bit samples serves 8 bits too: 255 * 257 = 65535. */
int flip_open(struct flip **out)
{
    struct flip *flip = *out = calloc(1, sizeof *flip);
    if (flip) flip->linear = malloc(65536 * sizeof *flip->linear);
    if (!flip || !flip->linear) {
        flip_close(flip);
        *out = NULL;
        return fail(ERR_SYSTEM, "out of memory for FLIP");
    }
    for (int i = 0; i < 65536; i++)
        flip->linear[i] = colour_srgb_to_linear((float)i / 65535.0f);
    flip->largest = largest_distance();
    make_kernels(flip);
    return OK;
}

void flip_close(struct flip *flip)
{
    if (flip) free(flip->linear);
    free(flip);
}

int metric_flip(const struct image *a, const struct image *b, double *mean, float *map)
{
    TRY(compare_check(a, b));
    if (a->channels != 1 && a->channels != 3)
        return fail(ERR_USAGE, "FLIP compares images of 1 or 3 channels, not %d", a->channels);
    struct flip *flip;
    struct compare_rows rows = compare_whole(a, b);
    double sum = 0.0;
    TRY(flip_open(&flip));
    int code = flip_add(flip, &sum, &rows, 0, a->height, map);
    flip_close(flip);
    *mean = sum / ((double)a->width * a->height);
    return code;
}
