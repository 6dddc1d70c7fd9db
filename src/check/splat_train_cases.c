/* What a fit does with splats besides a step: training, which is held against the operations that
 * it is made of, and drawing pixels. */
#include "base/error.h"
#include "base/random.h"
#include "check/op_kinds.h"
#include "check/splat_case.h"
#include "device/splat_draws.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- training: three steps, by graph where a device has graphs, beside rounding, step, Adam ----
 */

enum {
    STEPS = 3,
    BITS = 8,
    ARRAY = 48, /* floats of an array: COUNT rows of three columns at most, aligned */
    SCRATCH = (2 * SPLAT_GROUPS * 5 + 1) * ARRAY * (int)sizeof(float),
};

static const char *const start_names[SPLAT_GROUPS] = {"xy", "scale", "rot", "feat", "weight"};
static const char *const end_names[SPLAT_GROUPS] = {"xy_end", "scale_end", "rot_end", "feat_end",
                                                    "weight_end"};
static const int group_columns[SPLAT_GROUPS] = {2, 2, 1, CHANNELS, 1};
static const struct splat_loss train_loss = {.pixel = {0.5, 0.5}, .ssim = 0.7};
static const double train_decay = 0.97;

/* A state in training. */
struct train_arrays {
    float *parameter[SPLAT_GROUPS], *first[SPLAT_GROUPS], *second[SPLAT_GROUPS];
    float *gradient[SPLAT_GROUPS], *quantized[SPLAT_GROUPS];
};

static size_t train_scene_bytes(const struct device *device, const struct op_case *c)
{
    return (splat_case_workspace(device, c) + 63) / 64 * 64;
}

static size_t train_workspace(const struct device *device, const struct op_case *c)
{
    return train_scene_bytes(device, c) + SCRATCH;
}

static int train_bits(const struct op_case *c)
{
    return c->index % 2 ? BITS : 0;
}

static void describe_train(struct op_case *c)
{
    splat_case_add_scene(c);
    splat_case_add_target(c);
    op_add(c, "factors", OP_IN, OP_F32, 2)->fill = OP_OWN;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        op_add_out(c, end_names[g], NN_F32, (size_t)(COUNT * group_columns[g]), 1e-5);
    op_add(c, "skipped", OP_OUT, OP_I64, 1)->host = true;
    snprintf(c->text, sizeof c->text, "%dx%d, %d Gaussians, %d steps%s", WIDTH, HEIGHT, COUNT,
             STEPS, train_bits(c) ? ", rounded" : "");
    c->bytes = 4.0 * SAMPLES * STEPS;
}

static void fill_train(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    (void)c, (void)operand;
    ((float *)bytes)[0] = 1;
    ((float *)bytes)[1] = -1;
}

/* Arrays of a state out of `memory`, from where the operands say; returns what is behind. */
static int train_open(const struct op_call *call, struct train_arrays *a, float **memory)
{
    const struct nn_ops *nn = call->device->nn;
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        float **const arrays[] = {&a->parameter[g], &a->first[g], &a->second[g], &a->gradient[g],
                                  &a->quantized[g]};
        for (int i = 0; i < 5; i++) {
            *arrays[i] = *memory;
            *memory += ARRAY;
            TRY(nn->zero(call->device, *arrays[i], ARRAY * sizeof(float)));
        }
        TRY(nn->copy(call->device, a->parameter[g], op_memory(call, start_names[g]),
                     (size_t)(COUNT * group_columns[g]) * sizeof(float)));
    }
    return OK;
}

static struct splat_training training_of(const struct op_call *call, const struct train_arrays *a,
                                         const int32_t *born, int step)
{
    static const enum splat_ssim_rows rows[STEPS] = {SPLAT_SSIM_ALL, SPLAT_SSIM_FOURTH_3,
                                                     SPLAT_SSIM_ODD};
    struct splat_training t;
    memset(&t, 0, sizeof t);
    bool rounded = train_bits(call->c) > 0;
    float *const *shown = rounded ? a->quantized : a->parameter;
    t.view = splat_case_view(call);
    t.view.xy = shown[0];
    t.view.scale = shown[1];
    t.view.rot = shown[2];
    t.view.feat = shown[3];
    t.view.weight = shown[4];
    t.blend = *splat_case_blend(call->c);
    t.target = splat_case_target(call);
    t.loss = train_loss;
    t.loss.ssim_rows = rows[step]; /* old ones would show */
    t.gradients = (struct splat_gradients){a->gradient[0], a->gradient[1], a->gradient[2],
                                           a->gradient[3], a->gradient[4]};
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        t.groups[g].parameter = a->parameter[g];
        t.groups[g].first = a->first[g];
        t.groups[g].second = a->second[g];
        t.groups[g].gradient = a->gradient[g];
        t.groups[g].columns = group_columns[g];
        t.groups[g].rate = 0.002f * (float)((g + 1) * (step + 1)); /* old ones would show */
        for (int k = 0; k < 2; k++) {
            t.groups[g].low[k] = -100;
            t.groups[g].high[k] = 100;
        }
        t.quantized[g] = a->quantized[g];
        t.bits[g] = train_bits(call->c);
    }
    t.rows.born = born;
    t.b2 = train_decay;
    t.t = step + 1;
    return t;
}

/* The same by operations that have cases of their own. */
static int train_apart(struct device *device, const struct splat_workspace *workspace,
                       const struct splat_training *t)
{
    struct splat_sums sums;
    int64_t skipped;
    for (int g = 0; g < SPLAT_GROUPS; g++)
        if (t->bits[g] > 0)
            TRY(device->splat->fake_quantize(device, t->groups[g].parameter,
                                             t->view.count * t->groups[g].columns, t->bits[g],
                                             t->quantized[g]));
    TRY(device->splat->step(device, workspace, &t->view, &t->blend, &t->target, &t->loss,
                            &t->gradients, &sums));
    return device->splat->adam(device, t->groups, SPLAT_GROUPS, t->view.count, &t->rows,
                               (int32_t)t->t, t->b2, &skipped);
}

/* Ends at the start, plus what one way has made, less what the other one has. */
static int run_train(const struct op_call *call)
{
    struct device *device = call->device;
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct train_arrays whole, apart;
    workspace.bytes = train_scene_bytes(device, call->c);
    float *memory = (float *)((char *)workspace.memory + workspace.bytes);
    TRY(train_open(call, &whole, &memory));
    TRY(train_open(call, &apart, &memory));
    int32_t *born = (int32_t *)memory;
    TRY(device->nn->zero(device, born, ARRAY * sizeof *born));
    for (int step = 0; step < STEPS; step++) {
        struct splat_training t = training_of(call, &whole, born, step);
        struct splat_sums sums;
        TRY(device->splat->train(device, &workspace, &t, step == STEPS - 1, &sums,
                                 op_memory(call, "skipped")));
    }
    for (int step = 0; step < STEPS; step++) {
        struct splat_training t = training_of(call, &apart, born, step);
        TRY(train_apart(device, &workspace, &t));
    }
    const float *factors = op_memory(call, "factors");
    for (int g = 0; g < SPLAT_GROUPS; g++) {
        size_t count = (size_t)(COUNT * group_columns[g]);
        float *end = op_memory(call, end_names[g]);
        TRY(device->nn->copy(device, end, op_memory(call, start_names[g]), count * sizeof *end));
        TRY(device->nn->scale_add(device, end, whole.parameter[g], factors, 1, count));
        TRY(device->nn->scale_add(device, end, apart.parameter[g], factors + 1, 1, count));
    }
    return OK;
}

static void truth_train(struct op_data *d)
{
    for (int g = 0; g < SPLAT_GROUPS; g++)
        memcpy(op_values(d, end_names[g]), op_values(d, start_names[g]),
               (size_t)(COUNT * group_columns[g]) * sizeof(double));
    *op_values(d, "skipped") = 0;
}

const struct op_kind op_splat_train = {SPLAT_KIND(train), .cases = 4, .workspace = train_workspace,
                                       .fill = fill_train};

/* ---- drawing pixels: by the target's slopes, by the error, and where all weights are 0 ---- */

enum { DRAWN = 8, PIXELS = WIDTH * HEIGHT };

enum draw_variant { BY_ERROR, BY_SLOPE, BY_NOTHING, DRAW_VARIANTS }; /* first what sees most */

static struct splat_sample sample_of(const struct op_case *c)
{
    /* Seeds whose draws lie far from the borders between pixels: no rounding moves one. */
    static const uint64_t seeds[DRAW_VARIANTS] = {32, 14, 1};
    return (struct splat_sample){.weight = c->index == BY_ERROR ? SPLAT_SAMPLE_ERROR
                                                                : SPLAT_SAMPLE_GRADIENT,
                                 .residual = c->index == BY_ERROR,
                                 .seed = seeds[c->index],
                                 .step = 2,
                                 .stream = STREAM_TEST,
                                 .count = DRAWN};
}

static void describe_sample(struct op_case *c)
{
    static const char *const texts[DRAW_VARIANTS] = {"by error", "by slope", "where all is flat"};
    splat_case_add_scene(c);
    if (c->index == BY_NOTHING)
        splat_case_add_range(c, "target", SAMPLES, 0.5, 0.5);
    else
        splat_case_add_target(c);
    op_add_out(c, "xy_drawn", NN_F32, 2 * DRAWN, 1e-6);
    op_add_out(c, "color_drawn", NN_F32, CHANNELS * DRAWN, 2e-5);
    snprintf(c->text, sizeof c->text, "%d of %dx%d, %s", DRAWN, WIDTH, HEIGHT, texts[c->index]);
    c->bytes = 4.0 * SAMPLES;
}

static int run_sample(const struct op_call *call)
{
    struct splat_workspace workspace = splat_case_workspace_of(call);
    struct splat_view view = splat_case_view(call);
    struct splat_target target = splat_case_target(call);
    struct splat_sample sample = sample_of(call->c);
    sample.xy = op_memory(call, "xy_drawn");
    sample.color = op_memory(call, "color_drawn");
    return call->device->splat->sample(call->device, &workspace,
                                       call->c->index == BY_ERROR ? &view : NULL,
                                       splat_case_blend(call->c), &target, &sample);
}

struct truth_drawing {
    struct op_data *data;
    double weight[PIXELS], rendered[PIXELS][CHANNELS];
};

/* The target at a pixel, those outside moved to the edge. */
static double truth_near(const struct op_data *d, int y, int x, int c)
{
    y = y < 0 ? 0 : y >= HEIGHT ? HEIGHT - 1 : y;
    x = x < 0 ? 0 : x >= WIDTH ? WIDTH - 1 : x;
    return op_values(d, "target")[(y * CHANNELS + c) * WIDTH + x];
}

static double truth_slopes(const struct op_data *d, int y, int x)
{
    double sum = 0;
    for (int c = 0; c < CHANNELS; c++) {
        double across = 0, down = 0;
        for (int k = -1; k <= 1; k++) {
            int weight = 2 - k * k;
            across += weight * (truth_near(d, y + k, x + 1, c) - truth_near(d, y + k, x - 1, c));
            down += weight * (truth_near(d, y + 1, x + k, c) - truth_near(d, y - 1, x + k, c));
        }
        sum += across * across + down * down;
    }
    return sum;
}

static double truth_error(const struct op_data *d, int y, int x, const double *rendered)
{
    double sum = 0;
    for (int c = 0; c < CHANNELS; c++) {
        double blurred = 0;
        for (int i = -1; i <= 1; i++)
            for (int j = -1; j <= 1; j++)
                blurred += truth_near(d, y + i, x + j, c) * (2 - i * i) * (2 - j * j) / 16;
        sum += fabs(blurred - rendered[c]) / CHANNELS;
    }
    return sum * sum;
}

static int truth_sum(void *argument, struct splat_draws *draws)
{
    struct truth_drawing *t = argument;
    for (int y = 0; y < HEIGHT; y++) {
        draws->row_mass[y] = 0;
        for (int x = 0; x < WIDTH; x++) {
            int pixel = y * WIDTH + x;
            splat_case_truth_pixel(t->data, x + 0.5, y + 0.5, -1, t->rendered[pixel]);
            t->weight[pixel] = t->data->c->index == BY_ERROR
                                   ? truth_error(t->data, y, x, t->rendered[pixel])
                                   : truth_slopes(t->data, y, x);
            draws->row_mass[y] += t->weight[pixel];
        }
    }
    return OK;
}

static void truth_take(struct truth_drawing *t, struct splat_draws *draws, int64_t index,
                       int64_t pixel, bool rendered)
{
    int y = (int)pixel / WIDTH, x = (int)pixel % WIDTH;
    double *xy = op_values(t->data, "xy_drawn") + 2 * index;
    xy[0] = (x + 0.5) / WIDTH;
    xy[1] = (y + 0.5) / HEIGHT;
    for (int c = 0; c < CHANNELS; c++)
        op_values(t->data, "color_drawn")[CHANNELS * index + c] =
            truth_near(t->data, y, x, c) - (rendered ? t->rendered[pixel][c] : 0);
    draws->pixel[index] = pixel;
}

static int truth_place(void *argument, struct splat_draws *draws, int64_t n)
{
    struct truth_drawing *t = argument;
    bool given[PIXELS] = {false};
    for (int64_t k = 0; k < n; k++) {
        double mass = 0;
        int pixel = 0;
        while (pixel < PIXELS - 1 && mass + t->weight[pixel] <= draws->draws[k].mass)
            mass += t->weight[pixel++];
        if (given[pixel] || splat_pixel_taken(draws->taken, draws->taken_count, pixel)) continue;
        given[pixel] = true;
        truth_take(t, draws, draws->draws[k].index, pixel, t->data->c->index == BY_ERROR);
    }
    return OK;
}

static int truth_rest(void *argument, struct splat_draws *draws, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        truth_take(argument, draws, draws->draws[k].index, (int64_t)draws->draws[k].mass, false);
    return OK;
}

static void truth_sample(struct op_data *d)
{
    static struct truth_drawing t;
    static double memory[1024]; /* far more than splat_draws_layout takes of it */
    struct splat_sample sample = sample_of(d->c);
    struct splat_draws draws = {.width = WIDTH,
                                .height = HEIGHT,
                                .count = DRAWN,
                                .seed = sample.seed,
                                .step = sample.step,
                                .stream = sample.stream};
    t.data = d;
    splat_draws_layout(&draws, memory);
    splat_draws_run(&draws, &(struct splat_drawing){&t, truth_sum, truth_place, truth_rest});
}

const struct op_kind op_splat_sample = {SPLAT_KIND(sample), .cases = DRAW_VARIANTS,
                                        .workspace = splat_case_workspace};
