/* The formulas of src/math in double against finite differences, and the gradients of a whole step
 * against finite differences of a plain reference in double. */
#include "base/random.h"
#include "device/device.h"
#include "device/splat_ops.h"
#include "registry/devices.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL double
#define FORMULA(name) name##_f64
#define REAL_FMA(a, b, c) ((a) * (b) + (c))
#include "math/gaussian.h"

#define REAL double
#define FORMULA(name) name##_f64
#define REAL_FMA(a, b, c) ((a) * (b) + (c))
#define REAL_SET(x) ((double)(x))
#include "math/ssim.h"

#define REAL double
#define FORMULA(name) name##_f64
#define REAL_FMA(a, b, c) ((a) * (b) + (c))
#define REAL_SQRT(x) sqrt(x)
#include "math/adam.h"

static double uniform(uint64_t index, uint32_t which)
{
    struct philox4 r = philox_draw(7, STREAM_TEST, which, index);
    return (double)philox_uniform(r.v[0]);
}

/* A weighted sum of the conic's entries: the scalar whose derivatives are checked. */
static double conic_sum(const double *p, const double *weight)
{
    double a, b, d;
    gaussian_conic_f64(p[0], p[1], cos(p[2]), sin(p[2]), &a, &b, &d);
    return weight[0] * a + weight[1] * b + weight[2] * d;
}

START_TEST(conic_adjoint_is_exact)
{
    double p[3], weight[3], gradient[3], h = 1e-6;
    for (int k = 0; k < 3; k++) {
        p[k] = 0.2 + 3 * uniform((uint64_t)_i, (uint32_t)k);
        weight[k] = uniform((uint64_t)_i, (uint32_t)(k + 3)) - 0.5;
    }
    gaussian_conic_adjoint_f64(p[0], p[1], cos(p[2]), sin(p[2]), weight[0], weight[1], weight[2],
                               &gradient[0], &gradient[1], &gradient[2]);
    for (int k = 0; k < 3; k++) {
        double up[3] = {p[0], p[1], p[2]}, down[3] = {p[0], p[1], p[2]};
        up[k] += h;
        down[k] -= h;
        double slope = (conic_sum(up, weight) - conic_sum(down, weight)) / (2 * h);
        ck_assert_msg(!!(fabs(slope - gradient[k]) <= 1e-7), "parameter %d: %g, not %g", k,
                      gradient[k], slope);
    }
}
END_TEST

START_TEST(ssim_derivatives_are_exact)
{
    /* moments of a window that can exist: ss >= mx^2 + my^2 */
    double mx = uniform((uint64_t)_i, 10), my = uniform((uint64_t)_i, 11), h = 1e-6;
    double ss = mx * mx + my * my + 0.01 + 0.1 * uniform((uint64_t)_i, 12);
    double xy = mx * my + 0.02 * (uniform((uint64_t)_i, 13) - 0.5), d[3], unused[3];
    ssim_pixel_f64(mx, my, ss, xy, &d[0], &d[1], &d[2]);
    const double step[3][3] = {{h, 0, 0}, {0, h, 0}, {0, 0, h}};
    for (int k = 0; k < 3; k++) {
        const double *s = step[k];
        double up =
            ssim_pixel_f64(mx + s[0], my, ss + s[1], xy + s[2], unused, unused + 1, unused + 2);
        double down =
            ssim_pixel_f64(mx - s[0], my, ss - s[1], xy - s[2], unused, unused + 1, unused + 2);
        double slope = (up - down) / (2 * h);
        ck_assert_msg(!!(fabs(slope - d[k]) <= 1e-6 * (1 + fabs(slope))), "moment %d: %g, not %g",
                      k, d[k], slope);
    }
}
END_TEST

START_TEST(adam_follows_the_paper)
{
    const double decay = _i ? 0.01 * 0.1 : 0; /* of AdamW: beside the gradient */
    double p = 2, m = 0, v = 0, reference_m = 0, reference_v = 0;
    for (int t = 1; t <= 50; t++) {
        double g = uniform((uint64_t)t, 20) - 0.4;
        struct adam_f64 rate = {
            0.9, 0.999, 1e-8, 0.01 / (1 - pow(0.9, t)), 1 / sqrt(1 - pow(0.999, t)), decay};
        double before = p;
        p = adam_update_f64(&rate, t % 2 ? ADAM_SQUARE_FIRST : ADAM_SQUARE_LAST, p, g, &m, &v);
        double ours = before - p - decay * before;
        reference_m = 0.9 * reference_m + 0.1 * g;
        reference_v = 0.999 * reference_v + 0.001 * g * g;
        double m_hat = reference_m / (1 - pow(0.9, t)), v_hat = reference_v / (1 - pow(0.999, t));
        ck_assert_msg(!!(fabs(ours - 0.01 * m_hat / (sqrt(v_hat) + 1e-8)) <= 1e-12), "t %d", t);
    }
}
END_TEST

/* ---- a whole step against a plain reference ---- */

enum { WIDTH = 21, HEIGHT = 18, CHANNELS = 3, COUNT = 14, WEIGHT = 5 + CHANNELS, COLUMNS };

/* One Gaussian a row: x, y, scale x, scale y, angle, colours, weight. */
struct scene {
    double p[COUNT][COLUMNS];
    double target[HEIGHT][WIDTH][CHANNELS];
    struct splat_blend blend;
    struct splat_loss loss;
};

static double picture[HEIGHT][WIDTH][CHANNELS];

static void render_pixel(const struct scene *s, int y, int x)
{
    double alpha[COUNT], sorted[COUNT], sum = 0;
    double cut = (double)splat_cut(&s->blend);
    for (int i = 0; i < COUNT; i++) {
        const double *p = s->p[i];
        double dx = x + 0.5 - p[0] * WIDTH, dy = y + 0.5 - p[1] * HEIGHT;
        double u = (cos(p[4]) * dx + sin(p[4]) * dy) * p[2];
        double v = (-sin(p[4]) * dx + cos(p[4]) * dy) * p[3];
        double q = u * u + v * v;
        alpha[i] = sorted[i] = q <= cut * cut ? exp(-q / 2) * exp2(-p[WEIGHT]) : 0;
    }
    for (int i = 0; i < COUNT; i++) /* largest first */
        for (int j = i + 1; j < COUNT; j++)
            if (sorted[j] > sorted[i]) {
                double t = sorted[i];
                sorted[i] = sorted[j];
                sorted[j] = t;
            }
    bool limited = !s->blend.additive && s->blend.topk > 0 && s->blend.topk < COUNT;
    double least = limited ? sorted[s->blend.topk - 1] : 0;
    for (int c = 0; c < CHANNELS; c++)
        picture[y][x][c] = 0;
    for (int i = 0; i < COUNT; i++) {
        if (!(alpha[i] >= least)) continue;
        sum += alpha[i];
        for (int c = 0; c < CHANNELS; c++)
            picture[y][x][c] += alpha[i] * s->p[i][5 + c];
    }
    for (int c = 0; c < CHANNELS && !s->blend.additive; c++)
        picture[y][x][c] /= sum + 1e-4;
}

static double window_weight(int k)
{
    double sum = 0;
    for (int i = -5; i <= 5; i++)
        sum += exp(-i * i / 4.5);
    return exp(-k * k / 4.5) / sum;
}

static double ssim_at(const struct scene *s, int y, int x, int c)
{
    double mx = 0, mt = 0, xx = 0, tt = 0, xt = 0;
    for (int i = -5; i <= 5; i++)
        for (int j = -5; j <= 5; j++) {
            if (y + i < 0 || y + i >= HEIGHT || x + j < 0 || x + j >= WIDTH) continue;
            double w = window_weight(i) * window_weight(j);
            double a = picture[y + i][x + j][c], b = s->target[y + i][x + j][c];
            mx += w * a;
            mt += w * b;
            xx += w * a * a;
            tt += w * b * b;
            xt += w * a * b;
        }
    return (2 * mx * mt + 1e-4) * (2 * (xt - mx * mt) + 9e-4) /
           ((mx * mx + mt * mt + 1e-4) * (xx - mx * mx + tt - mt * mt + 9e-4));
}

static double reference_loss(const struct scene *s)
{
    double l1 = 0, l2 = 0, ssim = 0, n = WIDTH * HEIGHT * CHANNELS;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            render_pixel(s, y, x);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++) {
                double d = picture[y][x][c] - s->target[y][x][c];
                l1 += fabs(d);
                l2 += d * d;
                if (s->loss.ssim > 0 && splat_ssim_has_row(s->loss.ssim_rows, y))
                    ssim += ssim_at(s, y, x, c);
            }
    return s->loss.pixel[PIXEL_L1] * l1 / n + s->loss.pixel[PIXEL_L2] * l2 / n +
           s->loss.ssim *
               (1 - ssim / (WIDTH * CHANNELS * splat_ssim_row_count(s->loss.ssim_rows, HEIGHT)));
}

static void make_scene(struct scene *s, int variant)
{
    static const struct splat_blend blends[] = {{3, false}, {0, false}, {32, false}, {0, true}};
    static const struct splat_loss losses[] = {
        {.pixel = {1, 0}},
        {.pixel = {0, 1}},
        {.pixel = {0.5, 0.5}, .ssim = 0.7},
        {.pixel = {0.5, 0.5}, .ssim = 0.7, .ssim_rows = SPLAT_SSIM_EVEN},
        {.pixel = {0.5, 0.5}, .ssim = 0.7, .ssim_rows = SPLAT_SSIM_ODD}};
    s->blend = blends[variant % 4];
    s->loss = losses[variant < 20 ? variant / 4 : 4];
    if (variant >= 20)
        s->loss.ssim_rows = (enum splat_ssim_rows)((int)SPLAT_SSIM_FOURTH_0 + variant - 20);
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COLUMNS; k++) {
            double r = (double)(float)uniform((uint64_t)i, (uint32_t)(30 + k));
            s->p[i][k] = k == 2 || k == 3 ? 1 / (1.5 + 3.5 * r)
                         : k == 4         ? 6 * r
                         : k == WEIGHT    ? 3 * r
                                          : r;
            s->p[i][k] = (double)(float)s->p[i][k];
        }
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++)
                s->target[y][x][c] =
                    (int)(255 * (0.5 + 0.4 * sin(0.5 * x + c) * cos(0.4 * y))) / 255.0;
}

/* Our gradient by parameter k of Gaussian i, out of the arrays. */
static double ours(const float *const *groups, int i, int k)
{
    if (k < 2) return (double)groups[0][2 * i + k];
    if (k < 4) return (double)groups[1][2 * i + k - 2];
    if (k == 4 || k == WEIGHT) return (double)groups[k == 4 ? 2 : 4][i];
    return (double)groups[3][CHANNELS * i + k - 5];
}

START_TEST(gradients_agree_with_finite_differences)
{
    struct scene s;
    make_scene(&s, _i);
    struct device *device;
    ck_assert_int_eq(device_open(&device, "cpu", 2), 0);

    float xy[COUNT][2], scale[COUNT][2], rot[COUNT], feat[COUNT][CHANNELS], weight[COUNT];
    float gweight[COUNT], gxy[COUNT][2], gscale[COUNT][2], grot[COUNT], gfeat[COUNT][CHANNELS];
    float target[HEIGHT][CHANNELS][WIDTH];
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < 2; k++) {
            xy[i][k] = (float)s.p[i][k];
            scale[i][k] = (float)s.p[i][2 + k];
        }
        rot[i] = (float)s.p[i][4];
        weight[i] = (float)s.p[i][WEIGHT];
        for (int c = 0; c < CHANNELS; c++)
            feat[i][c] = (float)s.p[i][5 + c];
    }
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < CHANNELS; c++)
                target[y][c][x] = (float)s.target[y][x][c];
    struct splat_view view = {&xy[0][0], &scale[0][0], rot,   &feat[0][0], COUNT,
                              CHANNELS,  false,        WIDTH, HEIGHT,      weight};
    struct splat_target t = {
        .width = WIDTH, .height = HEIGHT, .channels = CHANNELS, .sample_bits = 32, .data = target};
    struct splat_gradients gradients = {&gxy[0][0], &gscale[0][0], grot, &gfeat[0][0], gweight};
    struct splat_workspace workspace = {.capacity = COUNT};
    workspace.bytes =
        device->splat->workspace_bytes(device, WIDTH, HEIGHT, CHANNELS, COUNT, &workspace.storage);
    ck_assert_int_eq(device->alloc(device, workspace.bytes, &workspace.memory), 0);
    struct splat_sums sums;
    ck_assert_int_eq(
        device->splat->step(device, &workspace, &view, &s.blend, &t, &s.loss, &gradients, &sums),
        0);

    const float *const groups[] = {&gxy[0][0], &gscale[0][0], grot, &gfeat[0][0], gweight};
    double most[COLUMNS] = {0};
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COLUMNS; k++)
            most[k] = fmax(most[k], fabs(ours(groups, i, k)));
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < COLUMNS; k++) {
            double kept = s.p[i][k], h = 1e-7;
            s.p[i][k] = kept + h;
            double up = reference_loss(&s);
            s.p[i][k] = kept - h;
            double slope = (up - reference_loss(&s)) / (2 * h);
            s.p[i][k] = kept;
            ck_assert_msg(!!(fabs(slope - ours(groups, i, k)) <= 1e-4 * most[k] + 1e-8),
                          "variant %d, Gaussian %d, parameter %d: %.9g, not %.9g", _i, i, k,
                          ours(groups, i, k), slope);
        }
    device->free(device, workspace.memory, workspace.bytes);
    device_close(device);
}
END_TEST

Suite *splat_math_suite(void);
Suite *splat_math_suite(void)
{
    Suite *suite = suite_create("splat_math");
    TCase *formulas = tcase_create("formulas"), *gradients = tcase_create("gradients");
    tcase_add_loop_test(formulas, conic_adjoint_is_exact, 0, 20);
    tcase_add_loop_test(formulas, ssim_derivatives_are_exact, 0, 20);
    tcase_add_loop_test(formulas, adam_follows_the_paper, 0, 2);
    tcase_add_loop_test(gradients, gradients_agree_with_finite_differences, 0, 24);
    suite_add_tcase(suite, formulas);
    suite_add_tcase(suite, gradients);
    return suite;
}
