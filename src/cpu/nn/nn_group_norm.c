/* Normalisation of groups of channels: see struct nn_group_norm in device/nn_ops.h. */
#include "base/error.h"
#include "base/threads.h"
#include "cpu/nn/conv_kernels.h"
#include "cpu/nn/nn_cpu.h"
#include "cpu/nn/nn_types.h"
#include "math/formulas_f32.h"
#include "math/group_moments.h"

#include <math.h>
#include <string.h>

/* Of SiLU alone; NULL: the reference. */
static const struct conv_kernels *group_norm_kernels;

struct group_norm_work {
    struct nn_group_norm norm;
    const struct conv_kernels *kernels;
    double *sums, *slopes; /* NULL: not asked for */
    const double *slopes_in;
    void *to;
    const void *dy;
    bool add;
};

static void silu_of_numbers(const struct group_norm_work *w, float *y, size_t count)
{
    if (w->kernels) {
        w->kernels->pointwise_forward(NN_SILU, y, y, NULL, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        y[i] = pointwise_silu_f32(y[i]);
}

/* y, in front of the SiLU, becomes the gradient there. */
static void silu_gradient(const struct group_norm_work *w, float *y, const float *dy, size_t count)
{
    if (w->kernels) {
        w->kernels->pointwise_dgrad(NN_SILU, 0, y, dy, y, NULL, count, false);
        return;
    }
    for (size_t i = 0; i < count; i++)
        y[i] = pointwise_silu_slope_f32(y[i]) * dy[i];
}

/* ---- sums over an image: channels of whole groups, a row after the other ---- */

enum { NORM_STRIP = 64, NORM_ROOM = 512, NORM_SUMS = 2, NORM_LANES = 8 };

/* Pixels of a row that are read at a time: several where nothing lies between their channels. */
static size_t pixels_at_a_time(const struct nn_group_norm *g, size_t count)
{
    return count == (size_t)g->c ? NORM_ROOM / count : 1;
}

static inline void add_lanes(const float *a, const float *b, size_t pixels, size_t count,
                             size_t lanes, double *to)
{
    double sum[NORM_LANES], product[NORM_LANES];
    for (size_t k = 0; k < lanes; k++) {
        sum[k] = to[2 * k];
        product[k] = to[2 * k + 1];
    }
    for (size_t i = 0; i < pixels; i++, a += count, b += count)
        for (size_t k = 0; k < lanes; k++) {
            sum[k] += (double)a[k];
            product[k] += (double)a[k] * (double)b[k];
        }
    for (size_t k = 0; k < lanes; k++) {
        to[2 * k] = sum[k];
        to[2 * k + 1] = product[k];
    }
}

/* Adds a and a b [pixels][count] to to[count][2], a pixel after the other. */
static void add_pixels(const float *a, const float *b, size_t pixels, size_t count, double *to)
{
    size_t k = 0;
    for (; k + NORM_LANES <= count; k += NORM_LANES)
        add_lanes(a + k, b + k, pixels, count, NORM_LANES, to + 2 * k);
    if (k < count) add_lanes(a + k, b + k, pixels, count, count - k, to + 2 * k);
}

/* Of channels first .. first + count - 1 of a row at element `at`: to[count][2]. */
static void row_sums(const struct nn_group_norm *g, size_t at, size_t count, double *to)
{
    float room[NORM_ROOM];
    size_t width = (size_t)g->width, step = pixels_at_a_time(g, count);
    memset(to, 0, count * NORM_SUMS * sizeof *to);
    for (size_t i = 0; i < width; i += step) {
        size_t pixels = width - i < step ? width - i : step;
        const float *x = nn_floats(g->x, g->x_type, at + i * (size_t)g->c, pixels * count, room);
        add_pixels(x, x, pixels, count, to);
    }
}

static struct group_norm_moments moments_of(const struct nn_group_norm *g, size_t image, int group)
{
    const double *sums = g->sums + (image * (size_t)g->groups + (size_t)group) * NORM_SUMS;
    return group_norm_moments_of(sums, g->pixels * (g->c / g->groups), g->eps);
}

/* Likewise of the gradient in front of weights and bias, and of its product with what is
 * normalised. */
static void row_slopes(const struct group_norm_work *w, size_t image, size_t first, size_t at,
                       size_t count, double *to)
{
    const struct nn_group_norm *g = &w->norm;
    const float *weight = g->weight + first, *bias = g->bias + first;
    float x_room[NORM_ROOM], dy_room[NORM_ROOM], normal[NORM_ROOM], y[NORM_ROOM];
    struct group_norm_moments m[NORM_STRIP];
    size_t width = (size_t)g->width, step = pixels_at_a_time(g, count);
    memset(to, 0, count * NORM_SUMS * sizeof *to);
    for (size_t j = 0; j < count; j++)
        m[j] = moments_of(g, image, (int)(first + j) / (g->c / g->groups));
    for (size_t i = 0; i < width; i += step) {
        size_t pixels = width - i < step ? width - i : step, from = at + i * (size_t)g->c;
        const float *x = nn_floats(g->x, g->x_type, from, pixels * count, x_room);
        const float *dy = nn_floats(w->dy, g->y_type, from, pixels * count, dy_room);
        for (size_t k = 0; k < pixels * count; k += count)
            for (size_t j = 0; j < count; j++)
                normal[k + j] = group_norm_value(x[k + j], m[j]);
        if (g->silu) {
            for (size_t k = 0; k < pixels * count; k += count)
                for (size_t j = 0; j < count; j++)
                    y[k + j] = normal[k + j] * weight[j] + bias[j];
            silu_gradient(w, y, dy, pixels * count);
            dy = y;
        }
        add_pixels(dy, normal, pixels, count, to);
    }
}

/* Some channels of a row: into the sums of their groups, or their own. */
static void add_strip(const struct group_norm_work *w, size_t image, size_t row, size_t first,
                      size_t count)
{
    const struct nn_group_norm *g = &w->norm;
    double strip[NORM_STRIP * NORM_SUMS];
    size_t c = (size_t)g->c, at = (image * (size_t)g->rows + row) * (size_t)g->width * c + first;
    if (w->sums) {
        double *sums = w->sums + image * (size_t)g->groups * NORM_SUMS;
        row_sums(g, at, count, strip);
        for (size_t j = 0; j < count; j++)
            for (size_t k = 0; k < NORM_SUMS; k++)
                sums[(first + j) / (c / (size_t)g->groups) * NORM_SUMS + k] +=
                    strip[NORM_SUMS * j + k];
        return;
    }
    row_slopes(w, image, first, at, count, strip);
    for (size_t j = 0; j < count * NORM_SUMS; j++)
        w->slopes[(image * c + first) * NORM_SUMS + j] += strip[j];
}

/* Groups of all images, one after the other. */
static void norm_groups(void *context, int64_t begin, int64_t end)
{
    const struct group_norm_work w = *(const struct group_norm_work *)context;
    size_t groups = (size_t)w.norm.groups, width = (size_t)w.norm.c / groups;
    for (size_t at = (size_t)begin, next; at < (size_t)end; at = next) {
        size_t image = at / groups, last = (image + 1) * groups;
        next = last < (size_t)end ? last : (size_t)end;
        size_t from = at % groups * width, to = from + (next - at) * width, count;
        for (size_t row = 0; row < (size_t)w.norm.rows; row++)
            for (size_t first = from; first < to; first += count) {
                count = to - first < NORM_STRIP ? to - first : NORM_STRIP;
                add_strip(&w, image, row, first, count);
            }
    }
}

static int over_groups(struct group_norm_work *work, int64_t each)
{
    const struct nn_group_norm *g = &work->norm;
    TRY(nn_check_group_norm(g));
    int64_t numbers = (int64_t)g->rows * g->width * (g->c / g->groups);
    threads_for((int64_t)g->n * g->groups, threads_grain(each * numbers), norm_groups, work);
    return OK;
}

/* ---- each number: blocks of whole pixels ---- */

/* What a number of one image is normalised by: those of a pixel's channels, repeated for as many
 * pixels as NORM_STRIP holds. */
struct norm_channels {
    size_t count; /* of numbers: of one pixel or several */
    float mean[NN_GROUP_NORM_CHANNELS], scale[NN_GROUP_NORM_CHANNELS];
    float weight[NN_GROUP_NORM_CHANNELS], bias[NN_GROUP_NORM_CHANNELS];
    float mean_dy[NN_GROUP_NORM_CHANNELS], mean_product[NN_GROUP_NORM_CHANNELS];
};

static void channels_repeat(struct norm_channels *to, size_t c)
{
    float *const each[] = {to->mean, to->scale,   to->weight,
                           to->bias, to->mean_dy, to->mean_product};
    to->count = c < NORM_STRIP ? NORM_STRIP / c * c : c;
    for (size_t k = 0; k < sizeof each / sizeof *each; k++)
        for (size_t j = c; j < to->count; j++)
            each[k][j] = each[k][j - c];
}

static void channels_of(const struct group_norm_work *w, size_t image, struct norm_channels *to)
{
    const struct nn_group_norm *g = &w->norm;
    int width = g->c / g->groups;
    memcpy(to->weight, g->weight, (size_t)g->c * sizeof(float));
    memcpy(to->bias, g->bias, (size_t)g->c * sizeof(float));
    for (int group = 0; group < g->groups; group++) {
        struct group_norm_moments m = moments_of(g, image, group);
        double dy = 0, product = 0;
        for (int c = group * width; w->dy && c < (group + 1) * width; c++) {
            const double *slopes = w->slopes_in + (image * (size_t)g->c + (size_t)c) * NORM_SUMS;
            dy += (double)g->weight[c] * slopes[0];
            product += (double)g->weight[c] * slopes[1];
        }
        for (int c = group * width; c < (group + 1) * width; c++) {
            to->mean[c] = m.mean;
            to->scale[c] = m.scale;
            to->mean_dy[c] = (float)(dy / (g->pixels * width));
            to->mean_product[c] = (float)(product / (g->pixels * width));
        }
    }
    channels_repeat(to, (size_t)g->c);
}

/* What the normalisation makes of `count` numbers of x, whole pixels, in front of the SiLU. */
static void norm_affine(const struct norm_channels *by, const float *x, float *y, size_t count)
{
    for (size_t k = 0; k < count; k += by->count) {
        size_t n = count - k < by->count ? count - k : by->count;
        for (size_t j = 0; j < n; j++) {
            struct group_norm_moments m = {by->mean[j], by->scale[j]};
            y[k + j] = group_norm_value(x[k + j], m) * by->weight[j] + by->bias[j];
        }
    }
}

static void norm_block_forward(const struct group_norm_work *w, const struct norm_channels *by,
                               size_t at, size_t count)
{
    float x_room[NN_GROUP_NORM_CHANNELS], y_room[NN_GROUP_NORM_CHANNELS];
    const struct nn_group_norm *g = &w->norm;
    const float *x = nn_floats(g->x, g->x_type, at, count, x_room);
    float *y = nn_target(w->to, g->y_type, at, y_room);
    norm_affine(by, x, y, count);
    if (g->silu) silu_of_numbers(w, y, count);
    nn_rounded(w->to, g->y_type, at, count, y);
}

static void norm_block_dgrad(const struct group_norm_work *w, const struct norm_channels *by,
                             size_t at, size_t count)
{
    float x_room[NN_GROUP_NORM_CHANNELS], dy_room[NN_GROUP_NORM_CHANNELS];
    float y[NN_GROUP_NORM_CHANNELS], dx_room[NN_GROUP_NORM_CHANNELS];
    const struct nn_group_norm *g = &w->norm;
    const float *x = nn_floats(g->x, g->x_type, at, count, x_room);
    const float *dy = nn_floats(w->dy, g->y_type, at, count, dy_room);
    const float *before = w->add ? nn_floats(w->to, g->x_type, at, count, dx_room) : NULL;
    float *dx = nn_target(w->to, g->x_type, at, dx_room);
    if (g->silu) {
        norm_affine(by, x, y, count);
        silu_gradient(w, y, dy, count);
        dy = y;
    }
    for (size_t k = 0; k < count; k += by->count) {
        size_t n = count - k < by->count ? count - k : by->count;
        for (size_t j = 0; j < n; j++) {
            struct group_norm_moments m = {by->mean[j], by->scale[j]};
            float slope = group_norm_slope(x[k + j], by->weight[j], dy[k + j], m, by->mean_dy[j],
                                           by->mean_product[j]);
            dx[k + j] = before ? before[k + j] + slope : slope;
        }
    }
    nn_rounded(w->to, g->x_type, at, count, dx);
}

static void norm_pixels(void *context, int64_t begin, int64_t end)
{
    const struct group_norm_work w = *(const struct group_norm_work *)context;
    struct norm_channels by;
    size_t of_image = (size_t)w.norm.rows * (size_t)w.norm.width, c = (size_t)w.norm.c;
    size_t block = NN_GROUP_NORM_CHANNELS / c, known = SIZE_MAX;
    for (size_t at = (size_t)begin, next; at < (size_t)end; at = next) {
        size_t image = at / of_image, last = (image + 1) * of_image;
        next = at + block;
        if (next > last) next = last;
        if (next > (size_t)end) next = (size_t)end;
        if (known != image) channels_of(&w, known = image, &by);
        if (w.dy)
            norm_block_dgrad(&w, &by, at * c, (next - at) * c);
        else
            norm_block_forward(&w, &by, at * c, (next - at) * c);
    }
}

static int over_pixels(struct group_norm_work *work)
{
    const struct nn_group_norm *g = &work->norm;
    TRY(nn_check_group_norm(g));
    threads_for((int64_t)g->n * g->rows * g->width, threads_grain(4 * g->c), norm_pixels, work);
    return OK;
}

/* ---- the table ---- */

static int cpu_group_norm_sums(struct device *device, const struct nn_group_norm *g, double *sums)
{
    struct group_norm_work work = {.norm = *g, .sums = sums};
    (void)device;
    return over_groups(&work, 1);
}

static int reference_group_norm_forward(struct device *device, const struct nn_group_norm *g,
                                        void *y)
{
    struct group_norm_work work = {.norm = *g, .to = y};
    (void)device;
    return over_pixels(&work);
}

static int reference_group_norm_slopes(struct device *device, const struct nn_group_norm *g,
                                       double *slopes, const void *dy)
{
    struct group_norm_work work = {.norm = *g, .slopes = slopes, .dy = dy};
    (void)device;
    return over_groups(&work, 8);
}

static int reference_group_norm_dgrad(struct device *device, const struct nn_group_norm *g,
                                      void *dx, const void *dy, const double *slopes, bool add)
{
    struct group_norm_work work = {.norm = *g, .slopes_in = slopes, .to = dx, .dy = dy, .add = add};
    (void)device;
    return over_pixels(&work);
}

/* An image after the other. */
static int cpu_group_norm_grad(struct device *device, float *dweight, float *dbias,
                               const double *slopes, int n, int c)
{
    (void)device;
    TRY(nn_check_sizes("group_norm_grad", n, 1, c));
    for (int image = 0; image < n; image++)
        for (int j = 0; j < c; j++, slopes += NORM_SUMS) {
            dbias[j] += (float)slopes[0];
            dweight[j] += (float)slopes[1];
        }
    return OK;
}

void nn_install_group_norm(struct nn_ops *ops)
{
    ops->group_norm_sums = cpu_group_norm_sums;
    ops->group_norm_forward = reference_group_norm_forward;
    ops->group_norm_slopes = reference_group_norm_slopes;
    ops->group_norm_dgrad = reference_group_norm_dgrad;
    ops->group_norm_grad = cpu_group_norm_grad;
}

static int kernels_group_norm_forward(struct device *device, const struct nn_group_norm *g, void *y)
{
    struct group_norm_work work = {.norm = *g, .kernels = group_norm_kernels, .to = y};
    (void)device;
    return over_pixels(&work);
}

static int kernels_group_norm_slopes(struct device *device, const struct nn_group_norm *g,
                                     double *slopes, const void *dy)
{
    struct group_norm_work work = {
        .norm = *g, .kernels = group_norm_kernels, .slopes = slopes, .dy = dy};
    (void)device;
    return over_groups(&work, 4);
}

static int kernels_group_norm_dgrad(struct device *device, const struct nn_group_norm *g, void *dx,
                                    const void *dy, const double *slopes, bool add)
{
    struct group_norm_work work = {.norm = *g,
                                   .kernels = group_norm_kernels,
                                   .slopes_in = slopes,
                                   .to = dx,
                                   .dy = dy,
                                   .add = add};
    (void)device;
    return over_pixels(&work);
}

void nn_install_group_norm_kernels(struct nn_ops *ops, const struct conv_kernels *f32)
{
    group_norm_kernels = f32;
    ops->group_norm_forward = kernels_group_norm_forward;
    ops->group_norm_slopes = kernels_group_norm_slopes;
    ops->group_norm_dgrad = kernels_group_norm_dgrad;
}
