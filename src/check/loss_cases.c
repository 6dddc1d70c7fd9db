/* Losses of whole images (device/nn_losses.h). Right results come from plain sums by definition. */
#include "check/op_kinds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The images, and what a loss of them writes: its sums, and what it adds to a gradient. */
static void describe_pair_of_images(struct op_case *c, int n, int side)
{
    size_t all = 3 * (size_t)n * (size_t)side * (size_t)side;
    c->n = n, c->h = c->w = side, c->c = 3;
    op_add_in(c, "out", NN_F32, all)->low = 0;
    op_add_in(c, "target", NN_F32, all)->low = 0;
    op_add(c, "sums", OP_OUT, OP_F64, (size_t)n)->tolerance = 1e-5;
    op_add_sum(c, "grad", all, 1e-5);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
}

/* What the gradient is of. */
static double sums_times(const struct op_data *after, float weight)
{
    double sum = 0;
    for (int i = 0; i < after->c->n; i++)
        sum += (double)weight * op_values(after, "sums")[i];
    return sum;
}

static const char *const slopes[] = {"out", "grad", NULL};

/* ---- reduced images: n, side, factor, bicubic, colour ---- */

static const int reductions[][5] = {
    {2, 12, 2, 1, NN_COLOUR_RGB},   {3, 12, 3, 1, NN_COLOUR_RGB}, {2, 8, 8, 1, NN_COLOUR_RGB},
    {1, 2, 2, 1, NN_COLOUR_RGB},    {2, 16, 4, 0, NN_COLOUR_RGB}, {3, 9, 3, 0, NN_COLOUR_CHROMA},
    {2, 7, 1, 0, NN_COLOUR_LUMA},   {2, 6, 1, 1, NN_COLOUR_RGB},  {1, 48, 4, 1, NN_COLOUR_RGB},
    {16, 256, 4, 1, NN_COLOUR_RGB},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions }; /* the last one is large */
static const float reduced_weight = 0.75f;

static struct nn_reduction reduction_of(const struct op_case *c)
{
    const int *r = reductions[c->index];
    return r[3] ? nn_reduction_bicubic(r[2]) : nn_reduction_box(r[2]);
}

static void describe_reduced_loss(struct op_case *c)
{
    static const char *const colours[] = {"RGB", "chroma", "luma"};
    const int *r = reductions[c->index];
    describe_pair_of_images(c, r[0], r[1]);
    c->large = c->index == REDUCTIONS - 1;
    c->k = r[2];
    c->bytes = 48.0 * c->n * c->h * c->w;
    snprintf(c->text, sizeof c->text, "%dx%dx%d by %d, %s, %s", c->n, c->h, c->w, c->k,
             r[3] ? "bicubic" : "box", colours[r[4]]);
}

static size_t reduced_workspace(const struct device *device, const struct op_case *c)
{
    (void)device;
    return nn_reduced_loss_floats(c->n, c->h, c->k) * sizeof(float);
}

static int run_reduced_loss(const struct op_call *call)
{
    const struct op_case *c = call->c;
    struct nn_reduced_loss loss = {.sums = op_memory(call, "sums"),
                                   .grad = op_memory(call, "grad"),
                                   .out = op_memory(call, "out"),
                                   .target = op_memory(call, "target"),
                                   .n = c->n,
                                   .side = c->h,
                                   .colour = (enum nn_loss_colour)reductions[c->index][4],
                                   .weight = reduced_weight,
                                   .workspace = op_memory(call, "workspace"),
                                   .reduction = reduction_of(c)};
    return call->device->nn->reduced_loss(call->device, &loss);
}

/* The pixel that a mirror without end shows at p, one step after the other. */
static int pixel_in_mirror(int p, int n)
{
    while (p < 0 || p >= n)
        p = p < 0 ? -1 - p : 2 * n - 1 - p;
    return p;
}

/* weights[reduced][side]: what a reduced pixel takes of each. */
static void matrix_of_reduction(const struct op_case *c, double *weights)
{
    const struct nn_reduction r = reduction_of(c);
    int side = c->h;
    memset(weights, 0, (size_t)(side / c->k * side) * sizeof *weights);
    for (int to = 0; to < side / c->k; to++)
        for (int k = 0; k < r.taps; k++)
            weights[to * side + pixel_in_mirror(to * c->k + r.first + k, side)] += (double)r.tap[k];
}

static void truth_reduced_loss(struct op_data *d)
{
    static const double rows[3][3][3] = {
        {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
        {{-37.797 / 255, -74.203 / 255, 112.0 / 255}, {112.0 / 255, -93.786 / 255, -18.214 / 255}},
        {{.299, .587, .114}}};
    static const int compared[3] = {3, 2, 1};
    const struct op_case *c = d->c;
    int side = c->h, reduced = side / c->k, colour = reductions[c->index][4];
    double *weights = malloc((size_t)(reduced * side) * sizeof *weights);
    if (!weights) return;
    matrix_of_reduction(c, weights);
    for (int n = 0; n < c->n; n++) {
        const double *out = op_values(d, "out") + n * side * side * 3;
        const double *target = op_values(d, "target") + n * side * side * 3;
        double *grad = op_values(d, "grad") + n * side * side * 3, sum = 0;
        for (int at = 0; at < reduced * reduced; at++) {
            const double *down = weights + at / reduced * side;
            const double *across = weights + at % reduced * side;
            double mean[3] = {0}, slope[3] = {0};
            for (int p = 0; p < side * side; p++)
                for (int k = 0; k < 3; k++)
                    mean[k] +=
                        down[p / side] * across[p % side] * (out[3 * p + k] - target[3 * p + k]);
            for (int row = 0; row < compared[colour]; row++) {
                const double *of = rows[colour][row];
                double value = of[0] * mean[0] + of[1] * mean[1] + of[2] * mean[2];
                sum += fabs(value);
                for (int k = 0; k < 3; k++)
                    slope[k] += of[k] * ((value > 0) - (value < 0)) * (double)reduced_weight;
            }
            for (int p = 0; p < side * side; p++)
                for (int k = 0; k < 3; k++)
                    grad[3 * p + k] += down[p / side] * across[p % side] * slope[k];
        }
        op_values(d, "sums")[n] = sum;
    }
    free(weights);
}

static bool reduced_is_quick(const struct op_case *c)
{
    return !c->large && c->h <= 16;
}

static double reduced_loss_of(const struct op_data *after)
{
    return sums_times(after, reduced_weight);
}

const struct op_kind op_reduced_loss = {
    OP_KIND(nn, reduced_loss),
    .loss = reduced_loss_of,
    .slopes = slopes,
    .slope_step = 1e-4,
    .slope_tolerance = 1e-3,
    .cases = REDUCTIONS,
    .workspace = reduced_workspace,
    .is_quick = reduced_is_quick,
};

/* ---- MS-SSIM: n, side ---- */

static const int ssim_sides[][2] = {{2, 11}, {1, 13}, {2, 21}, {1, 45}, {1, 161}, {16, 256}};
enum { SSIMS = sizeof ssim_sides / sizeof *ssim_sides }; /* the last one is large */
static const float ssim_weight = 0.75f;

static void describe_ssim_loss(struct op_case *c)
{
    const int *s = ssim_sides[c->index];
    describe_pair_of_images(c, s[0], s[1]);
    c->operands[op_find(c, "target")].fill = OP_OWN;
    c->operands[op_find(c, "sums")].tolerance = 1e-4; /* differences of squares */
    c->operands[op_find(c, "grad")].tolerance = 1e-4;
    c->large = c->index == SSIMS - 1;
    c->bytes = 12.0 * c->n * c->h * c->w * 3;
    c->macs = 2.5 * c->n * c->h * c->w * 3 * 11 * 7;
    snprintf(c->text, sizeof c->text, "%dx%dx%d", c->n, c->h, c->w);
}

/* An image like the other one: of others the index is about 0. */
static void fill_target(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    (void)c;
    for (size_t i = 0; i < operand->count; i++)
        ((float *)bytes)[i] = (float)(0.6 * op_uniform("out", i) + 0.4 * op_uniform("target", i));
}

static size_t ssim_workspace(const struct device *device, const struct op_case *c)
{
    (void)device;
    return nn_ssim_layout_of(c->n, c->h).bytes;
}

static int run_ssim_loss(const struct op_call *call)
{
    struct nn_ssim_loss loss = {.sums = op_memory(call, "sums"),
                                .grad = op_memory(call, "grad"),
                                .out = op_memory(call, "out"),
                                .target = op_memory(call, "target"),
                                .n = call->c->n,
                                .side = call->c->h,
                                .weight = ssim_weight,
                                .workspace = op_memory(call, "workspace")};
    return call->device->nn->ssim_loss(call->device, &loss);
}

/* One channel at one scale, [side][side]: the mean over windows of SSIM, or (without) of contrast
 * and structure; factor times its gradient is added to grad. */
static double ssim_of_channel(const double *x, const double *y, int side, bool whole, double factor,
                              double *grad)
{
    double window[11], sum = 0, total = 0, count = (side - 10.0) * (side - 10.0);
    for (int k = 0; k < 11; k++)
        sum += window[k] = exp(-(k - 5) * (k - 5) / 4.5);
    for (int at = 0; at < (side - 10) * (side - 10); at++) {
        int first = at / (side - 10) * side + at % (side - 10);
        double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
        for (int k = 0; k < 121; k++) {
            double w = window[k / 11] * window[k % 11] / (sum * sum);
            double a = x[first + k / 11 * side + k % 11], b = y[first + k / 11 * side + k % 11];
            mx += w * a, my += w * b, xx += w * a * a, yy += w * b * b, xy += w * a * b;
        }
        double a1 = 2 * mx * my + 1e-4, b1 = mx * mx + my * my + 1e-4;
        double a2 = 2 * (xy - mx * my) + 9e-4, b2 = xx - mx * mx + yy - my * my + 9e-4;
        double cs = a2 / b2, l = whole ? a1 / b1 : 1;
        double dl = whole ? 2 * my / b1 - 2 * mx * a1 / (b1 * b1) : 0;
        total += l * cs / count;
        for (int k = 0; k < 121; k++) { /* of l cs by each pixel of x */
            double w = window[k / 11] * window[k % 11] / (sum * sum);
            int p = first + k / 11 * side + k % 11;
            double dcs = 2 * (y[p] - my) / b2 - 2 * (x[p] - mx) * a2 / (b2 * b2);
            grad[p] += factor / count * w * (l * dcs + dl * cs);
        }
    }
    return total;
}

static void halve_channel(double *out, const double *in, int side)
{
    int half = (side + 1) / 2;
    memset(out, 0, (size_t)(half * half) * sizeof *out);
    for (int i = 0; i < 4 * half * half; i++) {
        int y = i / (2 * half), x = i % (2 * half);
        out[y / 2 * half + x / 2] +=
            0.25 * in[(y < side ? y : side - 1) * side + (x < side ? x : side - 1)];
    }
}

static void halve_channel_back(double *grad, const double *of_half, int side)
{
    int half = (side + 1) / 2;
    for (int i = 0; i < 4 * half * half; i++) {
        int y = i / (2 * half), x = i % (2 * half);
        grad[(y < side ? y : side - 1) * side + (x < side ? x : side - 1)] +=
            0.25 * of_half[y / 2 * half + x / 2];
    }
}

/* The room that a channel takes at all scales: x, y, gradient. */
static double ms_ssim_of_channel(double *room, int side, double weight)
{
    static const double exponents[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    double *scale[5], means[5], product = 1, sum = 0;
    int sides[5], scales = 0;
    for (int s = side; scales < 5 && s >= 11; s = (s + 1) / 2) {
        sides[scales] = s;
        scale[scales++] = room;
        room += 3 * s * s;
    }
    for (int s = 0; s < scales; s++) {
        int all = sides[s] * sides[s];
        if (s > 0)
            for (int k = 0; k < 2; k++)
                halve_channel(scale[s] + k * all, scale[s - 1] + k * sides[s - 1] * sides[s - 1],
                              sides[s - 1]);
        memset(scale[s] + 2 * all, 0, (size_t)all * sizeof(double));
        means[s] = ssim_of_channel(scale[s], scale[s] + all, sides[s], s + 1 == scales, 0,
                                   scale[s] + 2 * all);
        sum += exponents[s];
    }
    if (scales == 5) sum = 1;
    for (int s = 0; s < scales; s++)
        product *= pow(means[s], exponents[s] / sum);
    for (int s = scales - 1; s >= 0; s--) {
        int all = sides[s] * sides[s];
        ssim_of_channel(scale[s], scale[s] + all, sides[s], s + 1 == scales,
                        -weight * product * exponents[s] / sum / means[s], scale[s] + 2 * all);
        if (s > 0)
            halve_channel_back(scale[s - 1] + 2 * sides[s - 1] * sides[s - 1], scale[s] + 2 * all,
                               sides[s - 1]);
    }
    return product;
}

static void truth_ssim_loss(struct op_data *d)
{
    int side = d->c->h, all = side * side;
    double *room = malloc((size_t)all * 8 * sizeof *room);
    if (!room) return;
    for (int n = 0; n < d->c->n; n++) {
        double loss = 1;
        for (int c = 0; c < 3; c++) {
            for (int p = 0; p < all; p++) {
                room[p] = op_values(d, "out")[(n * all + p) * 3 + c];
                room[all + p] = op_values(d, "target")[(n * all + p) * 3 + c];
            }
            loss -= ms_ssim_of_channel(room, side, (double)ssim_weight / 3) / 3;
            for (int p = 0; p < all; p++)
                op_values(d, "grad")[(n * all + p) * 3 + c] += room[2 * all + p];
        }
        op_values(d, "sums")[n] = loss;
    }
    free(room);
}

static double ssim_loss_of(const struct op_data *after)
{
    return sums_times(after, ssim_weight);
}

const struct op_kind op_ssim_loss = {
    OP_KIND(nn, ssim_loss),      .loss = ssim_loss_of,    .slopes = slopes,
    .slope_step = 1e-2,          .slope_tolerance = 1e-3, .cases = SSIMS,
    .workspace = ssim_workspace, .fill = fill_target,     .is_quick = reduced_is_quick,
};

/* ---- spectra: n, side ---- */

static const int fft_sides[][2] = {{2, 2},  {1, 3},  {2, 8},  {3, 12},
                                   {1, 14}, {2, 20}, {1, 64}, {16, 256}};
enum { FFTS = sizeof fft_sides / sizeof *fft_sides }; /* the last one is large */
static const float fft_weight = 0.125f;

static void describe_fft_loss(struct op_case *c)
{
    const int *s = fft_sides[c->index];
    describe_pair_of_images(c, s[0], s[1]);
    op_add(c, "turns", OP_IN, OP_F32, 2 * (size_t)s[1])->fill = OP_OWN;
    c->large = c->index == FFTS - 1;
    c->bytes = 12.0 * c->n * c->h * c->w * 3;
    snprintf(c->text, sizeof c->text, "%dx%dx%d", c->n, c->h, c->w);
}

static void fill_turns(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    (void)operand;
    nn_fft_turns(bytes, c->h);
}

static size_t fft_workspace(const struct device *device, const struct op_case *c)
{
    (void)device;
    return nn_fft_loss_floats(c->n, c->h) * sizeof(float);
}

static int run_fft_loss(const struct op_call *call)
{
    struct nn_fft_loss loss = {.sums = op_memory(call, "sums"),
                               .grad = op_memory(call, "grad"),
                               .out = op_memory(call, "out"),
                               .target = op_memory(call, "target"),
                               .turns = op_memory(call, "turns"),
                               .n = call->c->n,
                               .side = call->c->h,
                               .weight = fft_weight,
                               .workspace = op_memory(call, "workspace")};
    return call->device->nn->fft_loss(call->device, &loss);
}

/* to[ky][kx] = sum of from[y][x] exp(-2 pi i (ky y + kx x) / side), line by line. */
static void transform_plane(double *re, double *im, int side, double *room)
{
    const double turn = -2 * 3.14159265358979323846 / side;
    for (int axis = 0; axis < 2; axis++)
        for (int line = 0; line < side; line++) {
            int first = axis ? line : line * side, step = axis ? side : 1;
            for (int k = 0; k < side; k++) {
                room[2 * k] = room[2 * k + 1] = 0;
                for (int i = 0; i < side; i++) {
                    double c = cos(turn * (k * i % side)), s = sin(turn * (k * i % side));
                    double a = re[first + i * step], b = im[first + i * step];
                    room[2 * k] += a * c - b * s;
                    room[2 * k + 1] += a * s + b * c;
                }
            }
            for (int k = 0; k < side; k++) {
                re[first + k * step] = room[2 * k];
                im[first + k * step] = room[2 * k + 1];
            }
        }
}

static double sign_of(double x)
{
    return fabs(x) > 1e-9 ? (x > 0) - (x < 0) : 0;
}

static void truth_fft_loss(struct op_data *d)
{
    int side = d->c->h, all = side * side;
    double *re = malloc((size_t)(2 * all + 2 * side) * sizeof *re), *im = re + all;
    for (int i = 0; re && i < 3 * d->c->n; i++) {
        int n = i / 3, c = i % 3;
        if (c == 0) op_values(d, "sums")[n] = 0;
        for (int p = 0; p < all; p++) {
            int at = (n * all + p) * 3 + c;
            re[p] = op_values(d, "out")[at] - op_values(d, "target")[at];
            im[p] = 0;
        }
        transform_plane(re, im, side, im + all);
        for (int p = 0; p < all; p++) {
            if (p % side <= side / 2) op_values(d, "sums")[n] += fabs(re[p]) + fabs(im[p]);
            re[p] = p % side <= side / 2 ? sign_of(re[p]) : 0;
            im[p] = p % side <= side / 2 ? -sign_of(im[p]) : 0;
        }
        transform_plane(re, im, side, im + all);
        for (int p = 0; p < all; p++)
            op_values(d, "grad")[(n * all + p) * 3 + c] += (double)fft_weight * re[p];
    }
    free(re);
}

static double fft_loss_of(const struct op_data *after)
{
    return sums_times(after, fft_weight);
}

const struct op_kind op_fft_loss = {
    OP_KIND(nn, fft_loss),      .loss = fft_loss_of,     .slopes = slopes,
    .slope_step = 1e-4,         .slope_tolerance = 1e-3, .cases = FFTS,
    .workspace = fft_workspace, .fill = fill_turns,      .is_quick = reduced_is_quick,
};

/* ---- HSLuv: n, side ---- */

static const int hsluv_sides[][2] = {{2, 7}, {1, 16}, {3, 33}, {16, 256}};
enum { HSLUVS = sizeof hsluv_sides / sizeof *hsluv_sides }; /* the last one is large */
static const float hsluv_weight = 0.75f;

static void describe_hsluv_loss(struct op_case *c)
{
    const int *s = hsluv_sides[c->index];
    describe_pair_of_images(c, s[0], s[1]);
    c->operands[op_find(c, "out")].fill = OP_OWN;
    c->operands[op_find(c, "target")].fill = OP_OWN;
    c->large = c->index == HSLUVS - 1;
    c->bytes = 12.0 * c->n * c->h * c->w * 3;
    snprintf(c->text, sizeof c->text, "%dx%dx%d", c->n, c->h, c->w);
}

/* Of eight pixels one is almost grey in both, one in `out` alone, one in `target` alone, one almost
 * black, one almost white, one reaches beyond 0..1. */
static void fill_colours(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    bool target = strcmp(operand->name, "target") == 0;
    (void)c;
    for (size_t i = 0; i < operand->count; i++) {
        double v = 0.01 + 0.98 * op_uniform(operand->name, i);
        double grey = 0.3 + 0.4 * op_uniform(operand->name, i / 3 * 3);
        int kind = (int)(i / 3 % 8);
        if (kind == 0 || kind == (target ? 2 : 1)) v = grey + 0.01 * v;
        if (kind == 3) v *= 0.01;
        if (kind == 4) v = 1 - 0.02 * v;
        if (kind == 5) v = 1.3 * v - 0.15;
        ((float *)bytes)[i] = (float)v;
    }
}

static size_t hsluv_workspace(const struct device *device, const struct op_case *c)
{
    (void)device;
    return (size_t)c->n * (size_t)c->h * sizeof(double);
}

static int run_hsluv_loss(const struct op_call *call)
{
    struct nn_hsluv_loss loss = {.sums = op_memory(call, "sums"),
                                 .grad = op_memory(call, "grad"),
                                 .out = op_memory(call, "out"),
                                 .target = op_memory(call, "target"),
                                 .n = call->c->n,
                                 .side = call->c->h,
                                 .weight = hsluv_weight,
                                 .rows = op_memory(call, "workspace")};
    return call->device->nn->hsluv_loss(call->device, &loss);
}

/* As hsluv.org defines them, by angles and lines in the plane of chroma: hue (turns), saturation
 * and lightness (0..1). */
static void hsluv_by_definition(const double *rgb, double *hsl)
{
    static const double m[3][3] = {{3.240969941904521, -1.537383177570093, -0.498610760293},
                                   {-0.96924363628087, 1.87596750150772, 0.041555057407175},
                                   {0.055630079696993, -0.20397695888897, 1.056971514242878}};
    static const double inverse[3][3] = {{0.41239079926595, 0.35758433938387, 0.18048078840183},
                                         {0.21263900587151, 0.71516867876775, 0.072192315360733},
                                         {0.019330818715591, 0.11919477979462, 0.95053215224966}};
    const double kappa = 903.2962962, epsilon = 0.0088564516, pi = 3.14159265358979323846;
    double xyz[3] = {0}, most = 1e9;
    for (int c = 0; c < 3; c++) {
        double s = fmin(fmax(rgb[c], 1e-12), 1);
        double light = s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4);
        for (int row = 0; row < 3; row++)
            xyz[row] += inverse[row][c] * light;
    }
    double l = xyz[1] > epsilon ? 116 * cbrt(xyz[1]) - 16 : xyz[1] * kappa;
    double all = xyz[0] + 15 * xyz[1] + 3 * xyz[2];
    double u = 13 * l * (4 * xyz[0] / all - 0.19783000664283);
    double v = 13 * l * (9 * xyz[1] / all - 0.46831999493879);
    double chroma = hypot(u, v), angle = atan2(v, u);
    double cube = pow(l + 16, 3) / 1560896, sub = cube > epsilon ? cube : l / kappa;
    for (int line = 0; line < 6; line++) {
        const double *r = m[line / 2], t = line % 2;
        double bottom = (632260 * r[2] - 126452 * r[1]) * sub + 126452 * t;
        double slope = (284517 * r[0] - 94839 * r[2]) * sub / bottom;
        double at =
            ((838422 * r[2] + 769860 * r[1] + 731718 * r[0]) * l * sub - 769860 * t * l) / bottom;
        double length = at / (sin(angle) - slope * cos(angle));
        if (length >= 0) most = fmin(most, length);
    }
    hsl[0] = chroma < 0.028972067 ? 0 : angle / (2 * pi);
    hsl[1] = l > 99.99 || l < 0.01 ? 0 : fmin(chroma / most, 1);
    hsl[2] = l / 100;
}

/* The loss of one pixel as traiNNer-redux has it. */
static double hsluv_loss_by_definition(const double *out, const double *target)
{
    double a[3], b[3];
    hsluv_by_definition(out, a);
    hsluv_by_definition(target, b);
    double hue = fabs(a[0] - b[0]);
    hue = 2 * fmin(hue, 1 - hue);
    if (a[1] < .1 && b[1] < .1) hue = 0;
    if ((a[1] < .1) != (b[1] < .1)) hue = fmax(a[1], b[1]);
    if ((a[2] < .1 && b[2] < .1) || (a[2] > .9 && b[2] > .9)) hue = 0;
    double weight = fmax(fmin(a[2], 1 - a[2]), 0) + fmax(fmin(b[2], 1 - b[2]), 0);
    return (hue + weight * sqrt((a[1] - b[1]) * (a[1] - b[1]) + 1e-12) +
            sqrt((a[2] - b[2]) * (a[2] - b[2]) + 1e-12)) /
           3;
}

/* Gradients by central differences, in double. */
static void truth_hsluv_loss(struct op_data *d)
{
    const double step = 1e-8; /* channels that are about equal are a fold */
    int pixels = d->c->h * d->c->w;
    for (int n = 0; n < d->c->n; n++)
        op_values(d, "sums")[n] = 0;
    for (int p = 0; p < d->c->n * pixels; p++) {
        const double *out = op_values(d, "out") + (ptrdiff_t)3 * p;
        const double *target = op_values(d, "target") + (ptrdiff_t)3 * p;
        op_values(d, "sums")[p / pixels] += hsluv_loss_by_definition(out, target);
        for (int c = 0; c < 3; c++) {
            double more[3] = {out[0], out[1], out[2]}, less[3] = {out[0], out[1], out[2]};
            more[c] += step;
            less[c] -= step;
            op_values(d, "grad")[3 * p + c] +=
                (double)hsluv_weight *
                (hsluv_loss_by_definition(more, target) - hsluv_loss_by_definition(less, target)) /
                (2 * step);
        }
    }
}

static double hsluv_loss_of(const struct op_data *after)
{
    return sums_times(after, hsluv_weight);
}

const struct op_kind op_hsluv_loss = {
    OP_KIND(nn, hsluv_loss),      .loss = hsluv_loss_of,   .slopes = slopes,
    .slope_step = 1e-4,           .slope_tolerance = 2e-3, .cases = HSLUVS,
    .workspace = hsluv_workspace, .fill = fill_colours,    .is_quick = reduced_is_quick,
};

/* ---- the largest of 2 x 2 pixels: n h w c ---- */

static const int pools[][4] = {{2, 4, 6, 5}, {1, 2, 2, 1}, {3, 5, 7, 64}, {16, 128, 128, 64}};
enum { POOLS = sizeof pools / sizeof *pools }; /* the last one is large */

static size_t describe_pool(struct op_case *c)
{
    const int *p = pools[c->index];
    c->n = p[0], c->h = p[1], c->w = p[2], c->c = p[3];
    c->large = c->index == POOLS - 1;
    c->bytes = 5.0 * c->n * c->h * c->w * c->c;
    snprintf(c->text, sizeof c->text, "%dx%dx%dx%d", c->n, c->h, c->w, c->c);
    op_add_in(c, "in", NN_F32, (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->c);
    return (size_t)c->n * (size_t)(c->h / 2) * (size_t)(c->w / 2) * (size_t)c->c;
}

static void describe_max_pool_forward(struct op_case *c)
{
    size_t small = describe_pool(c);
    op_add_out(c, "out", NN_F32, small, 0);
}

static void describe_max_pool_dgrad(struct op_case *c)
{
    size_t small = describe_pool(c);
    op_add_in(c, "dout", NN_F32, small);
    op_add_sum(c, "din", c->operands[0].count, 1e-6);
}

static int run_max_pool_forward(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->max_pool_forward(call->device, op_memory(call, "out"),
                                              op_memory(call, "in"), c->n, c->h, c->w, c->c);
}

static int run_max_pool_dgrad(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->max_pool_dgrad(call->device, op_memory(call, "din"),
                                            op_memory(call, "dout"), op_memory(call, "in"), c->n,
                                            c->h, c->w, c->c);
}

/* Every block of the larger images: its largest, or the place of that gets what is at `dout`. */
static void truth_pool(struct op_data *d, bool back)
{
    const struct op_case *c = d->c;
    int rows = c->h / 2, pixels = c->w / 2;
    for (int i = 0; i < c->n * rows * pixels * c->c; i++) {
        int channel = i % c->c, x = i / c->c % pixels, y = i / c->c / pixels % rows;
        int image = i / c->c / pixels / rows, best = -1;
        for (int k = 0; k < 4; k++) {
            int at = ((image * c->h + 2 * y + k / 2) * c->w + 2 * x + k % 2) * c->c + channel;
            if (best < 0 || op_values(d, "in")[at] > op_values(d, "in")[best]) best = at;
        }
        if (back)
            op_values(d, "din")[best] += op_values(d, "dout")[i];
        else
            op_values(d, "out")[i] = op_values(d, "in")[best];
    }
}

static void truth_max_pool_forward(struct op_data *d)
{
    truth_pool(d, false);
}

static void truth_max_pool_dgrad(struct op_data *d)
{
    truth_pool(d, true);
}

const struct op_kind op_max_pool_forward = {OP_KIND(nn, max_pool_forward), .cases = POOLS};
const struct op_kind op_max_pool_dgrad = {OP_KIND(nn, max_pool_dgrad), .cases = POOLS};
