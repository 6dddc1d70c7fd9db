/* Splats: a step, what a viewer sees, renders, importance, rounding. The right results come
 * from a plain render in double, gradients of a step from differences of its loss. */
#include "base/error.h"
#include "check/op_kinds.h"
#include "check/splat_case.h"
#include "math/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct splat_blend blends[] = {{3, false}, {0, false}, {32, false}, {0, true}};
static const char *const blend_names[] = {"top 3", "all", "top 32", "additive"};
static const struct splat_loss losses[] = {
    {.pixel = {0, 1}},
    {.pixel = {0.5, 0.5}, .ssim = 0.7},
    {.pixel = {0.5, 0.5}, .ssim = 0.7, .ssim_rows = SPLAT_SSIM_ODD},
    {.pixel = {0.5, 0.5}, .ssim = 0.7, .ssim_rows = SPLAT_SSIM_FOURTH_2}};
static const char *const loss_names[] = {"L2", "L1 + L2 + SSIM", "L1 + L2 + SSIM of odd rows",
                                         "L1 + L2 + SSIM of every fourth row"};
enum { BLENDS = sizeof blends / sizeof *blends, LOSSES = sizeof losses / sizeof *losses };

/* All cases come a second time, for devices that store images in half precision. */
static void describe_halves(struct op_case *c, int cases)
{
    c->halves = c->index >= cases;
    c->variant = c->index % cases / BLENDS;
}

static void end_text(struct op_case *c)
{
    if (c->halves) strncat(c->text, ", halves", sizeof c->text - strlen(c->text) - 1);
}

/* ---- the scene ---- */

void splat_case_add_range(struct op_case *c, const char *name, size_t count, double low,
                          double high)
{
    struct op_operand *o = op_add_in(c, name, NN_F32, count);
    o->low = low, o->high = high;
}

void splat_case_add_scene(struct op_case *c)
{
    splat_case_add_range(c, "xy", 2 * COUNT, 0, 1);
    splat_case_add_range(c, "scale", 2 * COUNT, 0.2, 0.6); /* 1 / sigma */
    splat_case_add_range(c, "rot", COUNT, 0, 6);
    splat_case_add_range(c, "feat", COUNT * CHANNELS, 0, 1);
    splat_case_add_range(c, "weight", COUNT, 0, 2);
    op_add(c, "workspace", OP_WORKSPACE, OP_RAW, 0);
}

void splat_case_add_target(struct op_case *c)
{
    splat_case_add_range(c, "target", SAMPLES, 0.1, 0.9);
}

const struct splat_blend *splat_case_blend(const struct op_case *c)
{
    return &blends[c->index % BLENDS];
}

struct splat_view splat_case_view(const struct op_call *call)
{
    return (struct splat_view){.xy = op_memory(call, "xy"),
                               .scale = op_memory(call, "scale"),
                               .rot = op_memory(call, "rot"),
                               .feat = op_memory(call, "feat"),
                               .weight = op_memory(call, "weight"),
                               .count = COUNT,
                               .channels = CHANNELS,
                               .width = WIDTH,
                               .height = HEIGHT};
}

struct splat_target splat_case_target(const struct op_call *call)
{
    return (struct splat_target){.width = WIDTH,
                                 .height = HEIGHT,
                                 .channels = CHANNELS,
                                 .sample_bits = 32,
                                 .data = op_memory(call, "target")};
}

enum { LARGER = 3, SMALLER = 2, LARGEST = 10 }; /* renders: enlarged by half, or by ten */
enum { WINDOW_REGIONS = 2 };

static struct splat_storage storage_of(const struct op_case *c)
{
    return (struct splat_storage){.half = c->halves};
}

size_t splat_case_workspace(const struct device *device, const struct op_case *c)
{
    struct splat_storage storage = storage_of(c);
    int by = c->kind == &op_splat_render && c->variant == WINDOW_REGIONS ? 2 * LARGEST : LARGER;
    return device->splat->workspace_bytes(device, WIDTH * by / SMALLER, HEIGHT * by / SMALLER,
                                          CHANNELS, COUNT, &storage);
}

struct splat_workspace splat_case_workspace_of(const struct op_call *call)
{
    return (struct splat_workspace){.memory = op_memory(call, "workspace"),
                                    .bytes = call->workspace_bytes,
                                    .capacity = COUNT,
                                    .storage = storage_of(call->c)};
}

bool splat_case_truth_pixel(const struct op_data *d, double x, double y, int without, double *out)
{
    const struct splat_blend *blend = splat_case_blend(d->c);
    const double *xy = op_values(d, "xy"), *scale = op_values(d, "scale");
    const double *rot = op_values(d, "rot"), *feat = op_values(d, "feat");
    const double *weight = op_values(d, "weight");
    double alpha[COUNT], sum = 0, cut = (double)splat_cut(blend);
    for (int i = 0; i < COUNT; i++) {
        double dx = x - xy[2 * i] * WIDTH, dy = y - xy[2 * i + 1] * HEIGHT;
        double u = (cos(rot[i]) * dx + sin(rot[i]) * dy) * scale[2 * i];
        double v = (cos(rot[i]) * dy - sin(rot[i]) * dx) * scale[2 * i + 1];
        alpha[i] = u * u + v * v <= cut * cut ? exp(-(u * u + v * v) / 2) * exp2(-weight[i]) : 0;
    }
    bool among = false;
    memset(out, 0, CHANNELS * sizeof *out);
    for (int i = 0; i < COUNT; i++) {
        int larger = 0;
        for (int j = 0; j < COUNT; j++)
            larger += alpha[j] > alpha[i];
        if (!blend->additive && blend->topk > 0 && larger >= blend->topk) continue;
        if (i == without) among = alpha[i] > 0;
        if (i == without) continue;
        sum += alpha[i];
        for (int c = 0; c < CHANNELS; c++)
            out[c] += alpha[i] * feat[CHANNELS * i + c];
    }
    for (int c = 0; c < CHANNELS && !blend->additive; c++)
        out[c] /= sum + 1e-4;
    return among;
}

/* ---- comparing ---- */

enum { SUM_SSIM = PIXEL_SUMS, SUM_INNER, SUM_COUNT };

static double splat_case_window_weight(int k)
{
    double sum = 0;
    for (int i = -5; i <= 5; i++)
        sum += exp(-i * i / 4.5);
    return exp(-k * k / 4.5) / sum;
}

static size_t sample_at(int y, int x, int c) /* [height][channels][width] */
{
    return (size_t)((y * CHANNELS + c) * WIDTH + x);
}

static double truth_ssim_at(const double *a, const double *b, int y, int x, int c)
{
    static double weights[11];
    double m[5] = {0};
    for (int k = 0; k < 11 && !(weights[10] > 0); k++)
        weights[k] = splat_case_window_weight(k - 5);
    for (int i = -5; i <= 5; i++)
        for (int j = -5; j <= 5; j++) {
            if (y + i < 0 || y + i >= HEIGHT || x + j < 0 || x + j >= WIDTH) continue;
            double w = weights[i + 5] * weights[j + 5];
            double p = a[sample_at(y + i, x + j, c)], q = b[sample_at(y + i, x + j, c)];
            m[0] += w * p, m[1] += w * q, m[2] += w * p * p, m[3] += w * q * q, m[4] += w * p * q;
        }
    return (2 * m[0] * m[1] + 1e-4) * (2 * (m[4] - m[0] * m[1]) + 9e-4) /
           ((m[0] * m[0] + m[1] * m[1] + 1e-4) * (m[2] - m[0] * m[0] + m[3] - m[1] * m[1] + 9e-4));
}

static double clamped(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* power > 0: what a viewer sees. loss: whose SSIM; NULL: of all rows. */
static void truth_sums(const struct op_data *d, double power, const struct splat_loss *loss,
                       double *sums)
{
    enum splat_ssim_rows around = loss ? loss->ssim_rows : SPLAT_SSIM_ALL;
    bool ssim = !loss || loss->ssim > 0;
    static double shown[SAMPLES], wanted[SAMPLES];
    const double *target = op_values(d, "target");
    int inner = 0;
    memset(sums, 0, SUM_COUNT * sizeof *sums);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            double pixel[CHANNELS];
            splat_case_truth_pixel(d, x + 0.5, y + 0.5, -1, pixel);
            for (int c = 0; c < CHANNELS; c++) {
                size_t at = sample_at(y, x, c);
                shown[at] = power > 0 ? pow(clamped(pixel[c]), power) : pixel[c];
                wanted[at] = power > 0 ? pow(clamped(target[at]), power) : target[at];
                double off = shown[at] - wanted[at], seen = clamped(shown[at]) - wanted[at];
                sums[PIXEL_L1] += fabs(off) / SAMPLES;
                sums[PIXEL_L2] += off * off / SAMPLES;
                sums[PIXEL_MSE] += seen * seen / SAMPLES;
            }
        }
    for (int at = 0; ssim && at < SAMPLES; at++) {
        int x = at % WIDTH, c = at / WIDTH % CHANNELS, y = at / WIDTH / CHANNELS;
        if (!splat_ssim_has_row(around, y)) continue;
        double one = truth_ssim_at(shown, wanted, y, x, c);
        sums[SUM_SSIM] += one / SAMPLES * HEIGHT / splat_ssim_row_count(around, HEIGHT);
        if (y < 5 || y >= HEIGHT - 5 || x < 5 || x >= WIDTH - 5) continue;
        sums[SUM_INNER] += one;
        inner++;
    }
    if (inner) sums[SUM_INNER] /= inner;
}

static double *sums_of(struct op_data *d)
{
    return op_values(d, "sums");
}

static void add_sums(struct op_case *c)
{
    struct op_operand *sums = op_add(c, "sums", OP_INOUT, OP_F64, SUM_COUNT);
    sums->host = true;
    sums->tolerance = c->halves ? 1e-3 : 1e-5;
}

static void take_sums(const struct op_call *call, const struct splat_sums *sums, bool all)
{
    double *to = op_memory(call, "sums");
    memcpy(to, sums->pixel, sizeof sums->pixel);
    if (all || losses[call->c->variant].ssim > 0) to[SUM_SSIM] = sums->ssim;
    if (all) to[SUM_INNER] = sums->ssim_inner;
}

/* ---- a step ---- */

static const char *const step_slopes[] = {"xy",   "dxy",   "scale",  "dscale",  "rot", "drot",
                                          "feat", "dfeat", "weight", "dweight", NULL};

static void describe_step(struct op_case *c)
{
    describe_halves(c, BLENDS * LOSSES);
    splat_case_add_scene(c);
    splat_case_add_target(c);
    add_sums(c);
    for (int i = 0; step_slopes[i]; i += 2)
        op_add_out(c, step_slopes[i + 1], NN_F32, c->operands[op_find(c, step_slopes[i])].count,
                   c->halves ? 3e-2 : 1e-4);
    snprintf(c->text, sizeof c->text, "%dx%d, %d Gaussians, %s, %s", WIDTH, HEIGHT, COUNT,
             blend_names[c->index % BLENDS], loss_names[c->variant]);
    end_text(c);
    c->bytes = 4.0 * SAMPLES;
}

static int run_step(const struct op_call *call)
{
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_target target = splat_case_target(call);
    struct splat_gradients gradients = {op_memory(call, "dxy"), op_memory(call, "dscale"),
                                        op_memory(call, "drot"), op_memory(call, "dfeat"),
                                        op_memory(call, "dweight")};
    struct splat_sums sums = {{0}, 0, 0};
    TRY(call->device->splat->step(call->device, &workspace, &view, splat_case_blend(call->c),
                                  &target, &losses[call->c->variant], &gradients, &sums));
    take_sums(call, &sums, false);
    return OK;
}

static double loss_from(const struct op_case *c, const double *sums)
{
    const struct splat_loss *loss = &losses[c->variant];
    return loss->pixel[PIXEL_L1] * sums[PIXEL_L1] + loss->pixel[PIXEL_L2] * sums[PIXEL_L2] +
           (loss->ssim > 0 ? loss->ssim * (1 - sums[SUM_SSIM]) : 0);
}

static void truth_step(struct op_data *d)
{
    double sums[SUM_COUNT], h = 1e-7;
    const struct splat_loss *loss = &losses[d->c->variant];
    truth_sums(d, 0, loss, sums);
    memcpy(sums_of(d), sums, (loss->ssim > 0 ? SUM_INNER : SUM_SSIM) * sizeof *sums);
    for (int i = 0; step_slopes[i]; i += 2) {
        double *varied = op_values(d, step_slopes[i]), *slope = op_values(d, step_slopes[i + 1]);
        for (size_t k = 0; k < d->c->operands[op_find(d->c, step_slopes[i])].count; k++) {
            double kept = varied[k], up;
            varied[k] = kept + h;
            truth_sums(d, 0, loss, sums);
            up = loss_from(d->c, sums);
            varied[k] = kept - h;
            truth_sums(d, 0, loss, sums);
            slope[k] = (up - loss_from(d->c, sums)) / (2 * h);
            varied[k] = kept;
        }
    }
}

static double step_loss(const struct op_data *after)
{
    return loss_from(after->c, op_values(after, "sums"));
}

/* Which Gaussians are the top 3 changes at once; halves are too coarse for differences. */
static int step_is_smooth(int index)
{
    return index % BLENDS == 0 || index >= BLENDS * LOSSES ? -1 : index;
}

const struct op_kind op_splat_step = {
    SPLAT_KIND(step),
    .forward = step_is_smooth,
    .cases = 2 * BLENDS * LOSSES,
    .workspace = splat_case_workspace,
    .loss = step_loss,
    .slopes = step_slopes,
    .slope_step = 1e-3,
    .slope_tolerance = 5e-2,
};

/* ---- what a viewer sees ---- */

static void describe_evaluate(struct op_case *c)
{
    describe_halves(c, 2 * BLENDS);
    splat_case_add_scene(c);
    splat_case_add_target(c);
    add_sums(c);
    snprintf(c->text, sizeof c->text, "%dx%d, %d Gaussians, %s, power %s", WIDTH, HEIGHT, COUNT,
             blend_names[c->index % BLENDS], c->variant ? "2.2" : "1");
    end_text(c);
    c->bytes = 4.0 * SAMPLES;
}

static float power_of(const struct op_case *c)
{
    return c->variant ? 2.2f : 1;
}

static int run_evaluate(const struct op_call *call)
{
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_target target = splat_case_target(call);
    struct splat_sums sums = {{0}, 0, 0};
    TRY(call->device->splat->evaluate(call->device, &workspace, &view, splat_case_blend(call->c),
                                      &target, power_of(call->c), &sums));
    take_sums(call, &sums, true);
    return OK;
}

static void truth_evaluate(struct op_data *d)
{
    truth_sums(d, (double)power_of(d->c), NULL, sums_of(d));
}

const struct op_kind op_splat_evaluate = {SPLAT_KIND(evaluate), .cases = 4 * BLENDS,
                                          .workspace = splat_case_workspace};

/* ---- renders: whole, and a window of the enlarged image ---- */

static struct splat_window window_of(const struct op_case *c)
{
    int w = WIDTH * LARGER / SMALLER, h = HEIGHT * LARGER / SMALLER;
    if (c->variant == WINDOW_REGIONS)
        return (struct splat_window){WIDTH * LARGEST, HEIGHT * LARGEST, 0, 0,
                                     WIDTH * LARGEST, HEIGHT * LARGEST};
    return c->variant ? (struct splat_window){w, h, w / 3, h / 4, w - w / 3 - w / 8, h / 2 + 1}
                      : (struct splat_window){WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
}

static void describe_render(struct op_case *c)
{
    describe_halves(c, 2 * BLENDS);
    if (c->index >= 4 * BLENDS) { /* as many Gaussians, listed for more than one region */
        c->variant = WINDOW_REGIONS;
        c->halves = false;
    }
    struct splat_window w = window_of(c);
    size_t samples = (size_t)w.width * (size_t)w.height * CHANNELS;
    splat_case_add_scene(c);
    op_add_out(c, "out", NN_F32, samples, c->halves ? 1e-3 : 1e-5)->host = true;
    snprintf(c->text, sizeof c->text, "%dx%d of %dx%d, %d Gaussians, %s", w.width, w.height,
             w.full_width, w.full_height, COUNT, blend_names[c->index % BLENDS]);
    end_text(c);
    c->bytes = 4.0 * (double)samples;
}

static int run_render(const struct op_call *call)
{
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_window window = window_of(call->c);
    return call->device->splat->render(call->device, &workspace, &view, splat_case_blend(call->c),
                                       &window, op_memory(call, "out"));
}

static void truth_render(struct op_data *d)
{
    struct splat_window w = window_of(d->c);
    for (int y = 0; y < w.height; y++)
        for (int x = 0; x < w.width; x++)
            splat_case_truth_pixel(d, (w.x + x + 0.5) * WIDTH / w.full_width,
                                   (w.y + y + 0.5) * HEIGHT / w.full_height, -1,
                                   op_values(d, "out") + (y * w.width + x) * CHANNELS);
}

const struct op_kind op_splat_render = {SPLAT_KIND(render), .cases = 5 * BLENDS,
                                        .workspace = splat_case_workspace};

/* ---- images as they are shown ---- */

enum { SHOWN_PLAIN, SHOWN_WEIGHED, SHOWN_GAMMA, SHOWN_VARIANTS };

static struct splat_display display_of(const struct op_case *c)
{
    switch (c->variant) {
    case SHOWN_WEIGHED: return (struct splat_display){15, 7, 32, true, true, -1};
    case SHOWN_GAMMA: return (struct splat_display){17, 18, 8, false, false, 0.45f};
    default: return (struct splat_display){WIDTH, HEIGHT, 8, false, false, -1};
    }
}

static void describe_show(struct op_case *c)
{
    c->variant = c->index / BLENDS;
    struct splat_display s = display_of(c);
    size_t samples = (size_t)s.width * (size_t)s.height * CHANNELS;
    splat_case_add_scene(c);
    struct op_operand *out = op_add(c, "out", OP_OUT, s.sample_bits == 8 ? OP_U8 : OP_F32, samples);
    out->host = true;
    out->tolerance = s.sample_bits == 8 ? 1.0 / 128 : 1e-5; /* of 8 bits one step */
    snprintf(c->text, sizeof c->text, "%dx%d as %dx%d%s, %s", WIDTH, HEIGHT, s.width, s.height,
             s.weighted ? ", alpha" : "", blend_names[c->index % BLENDS]);
    c->bytes = (double)samples * s.sample_bits / 8;
}

struct collected {
    char *out;
    size_t row; /* bytes */
};

static int collect_rows(void *argument, const void *rows, int y, int count)
{
    const struct collected *to = argument;
    memcpy(to->out + (size_t)y * to->row, rows, (size_t)count * to->row);
    return OK;
}

static int run_show(const struct op_call *call)
{
    const struct splat_window whole = {WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT};
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_display s = display_of(call->c);
    struct collected to = {op_memory(call, "out"),
                           (size_t)s.width * CHANNELS * (size_t)(s.sample_bits / 8)};
    const struct splat_receiver receiver = {collect_rows, &to};
    return call->device->splat->show(call->device, &workspace, &view, splat_case_blend(call->c),
                                     &whole, &s, &receiver);
}

/* The share of pixel j of `in` in pixel i of `out`. */
static double truth_share(int i, int in, int out, int j)
{
    double from = fmax(j, (double)i * in / out), to = fmin(j + 1, (double)(i + 1) * in / out);
    return to > from ? (to - from) * out / in : 0;
}

/* A pixel's samples as they are kept. */
static void truth_samples(const struct splat_display *s, double *pixel)
{
    double alpha = pixel[CHANNELS - 1];
    for (int c = 0; c < CHANNELS; c++) {
        bool colour = !s->alpha || c < CHANNELS - 1;
        if (colour && s->alpha) pixel[c] = alpha > 1.0 / 512 ? pixel[c] / alpha : 0;
        if (colour && s->power >= 0) pixel[c] = pow(fmax(pixel[c], 0), (double)s->power);
        if (s->sample_bits == 8) pixel[c] = floor(clamped(pixel[c]) * 255 + 0.5);
    }
}

static void truth_shown(const struct op_data *d, const struct splat_display *s, int y, int x,
                        double *out)
{
    const int last = CHANNELS - 1;
    memset(out, 0, CHANNELS * sizeof *out);
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++) {
            double pixel[CHANNELS], share = truth_share(y, HEIGHT, s->height, row) *
                                            truth_share(x, WIDTH, s->width, column);
            if (!(share > 0)) continue;
            splat_case_truth_pixel(d, column + 0.5, row + 0.5, -1, pixel);
            truth_samples(s, pixel);
            for (int c = 0; c < CHANNELS; c++)
                out[c] += share * pixel[c] * (s->weighted && c < last ? pixel[last] : 1);
        }
    for (int c = 0; c < CHANNELS; c++) {
        if (s->weighted && c < last) out[c] = out[last] > 0 ? out[c] / out[last] : 0;
        if (s->sample_bits == 8) out[c] = floor(out[c] + 0.5);
    }
}

static void truth_show(struct op_data *d)
{
    struct splat_display s = display_of(d->c);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++)
            truth_shown(d, &s, y, x, op_values(d, "out") + (y * s.width + x) * CHANNELS);
}

const struct op_kind op_splat_show = {SPLAT_KIND(show), .cases = SHOWN_VARIANTS * BLENDS,
                                      .workspace = splat_case_workspace};

/* ---- importance: the squared error of the image without each Gaussian, less that with it ---- */

static void describe_importance(struct op_case *c)
{
    splat_case_add_scene(c);
    splat_case_add_target(c);
    struct op_operand *out = op_add(c, "importance", OP_OUT, OP_F64, COUNT);
    out->host = true;
    out->tolerance = 2e-4; /* of a difference of sums that are much larger */
    snprintf(c->text, sizeof c->text, "%dx%d, %d Gaussians, %s", WIDTH, HEIGHT, COUNT,
             blend_names[c->index % BLENDS]);
    c->bytes = 4.0 * SAMPLES;
}

static int run_importance(const struct op_call *call)
{
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_target target = splat_case_target(call);
    return call->device->splat->importance(call->device, &workspace, &view,
                                           splat_case_blend(call->c), &target,
                                           op_memory(call, "importance"));
}

static void truth_importance(struct op_data *d)
{
    const double *target = op_values(d, "target");
    double *importance = op_values(d, "importance");
    memset(importance, 0, COUNT * sizeof *importance);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            double whole[CHANNELS], less[CHANNELS];
            splat_case_truth_pixel(d, x + 0.5, y + 0.5, -1, whole);
            for (int i = 0; i < COUNT; i++) {
                if (!splat_case_truth_pixel(d, x + 0.5, y + 0.5, i, less)) continue;
                for (int c = 0; c < CHANNELS; c++) {
                    double t = target[sample_at(y, x, c)];
                    importance[i] +=
                        (less[c] - t) * (less[c] - t) - (whole[c] - t) * (whole[c] - t);
                }
            }
        }
}

const struct op_kind op_splat_importance = {SPLAT_KIND(importance), .cases = BLENDS,
                                            .workspace = splat_case_workspace};

/* ---- rounding ---- */

static void describe_fake_quantize(struct op_case *c)
{
    static const int counts[] = {1, 40, 2100}, bits[] = {4, 8, 16};
    c->n = counts[c->index];
    c->k = bits[c->index];
    c->bytes = 8.0 * c->n;
    splat_case_add_range(c, "values", (size_t)c->n, -3, 5);
    op_add_out(c, "out", NN_F32, (size_t)c->n, 1e-6);
    snprintf(c->text, sizeof c->text, "%d to %d bits", c->n, c->k);
}

static int run_fake_quantize(const struct op_call *call)
{
    return call->device->splat->fake_quantize(call->device, op_memory(call, "values"), call->c->n,
                                              call->c->k, op_memory(call, "out"));
}

static void truth_fake_quantize(struct op_data *d)
{
    double *values = op_values(d, "values"), low = values[0], high = values[0];
    for (int i = 0; i < d->c->n; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    struct quantizer q = quantizer_of(low, high, d->c->k);
    for (int i = 0; i < d->c->n; i++)
        op_values(d, "out")[i] = (double)quantize_quantized(&q, (float)values[i]);
}

const struct op_kind op_splat_fake_quantize = {SPLAT_KIND(fake_quantize), .cases = 3};
