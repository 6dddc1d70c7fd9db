/* Normalisation of groups of channels, and of rows; samples of latents. */
#include "check/op_kinds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* n rows width c groups, rows of the whole images, SiLU. */
static const int norms[][7] = {
    {2, 3, 4, 8, 2, 3, 1},      {1, 1, 1, 6, 3, 1, 0},   {3, 5, 7, 96, 32, 5, 1},
    {2, 4, 3, 5, 1, 9, 1},      {1, 6, 5, 130, 2, 6, 0}, {2, 16, 9, 32, 32, 16, 1},
    {8, 64, 64, 64, 32, 64, 1},
};
enum { NORMS = sizeof norms / sizeof *norms }; /* the last one is large */
enum { NORM_TYPES = 3 };
static const float norm_eps = 1e-6f;

/* The numbers of x and y. */
static size_t describe_norm(struct op_case *c, int index)
{
    const int *s = norms[index / NORM_TYPES];
    int types = index % NORM_TYPES;
    size_t all = (size_t)s[0] * (size_t)s[1] * (size_t)s[2] * (size_t)s[3];
    c->n = s[0], c->h = s[1], c->w = s[2], c->c = s[3], c->k = s[4], c->variant = s[6];
    c->large = index / NORM_TYPES == NORMS - 1;
    c->in_type = types ? NN_BF16 : NN_F32;
    c->out_type = types == 1 ? NN_BF16 : NN_F32;
    op_add_in(c, "x", c->in_type, all)->low = -0.5;
    op_add_in(c, "weight", NN_F32, (size_t)c->c);
    op_add_in(c, "bias", NN_F32, (size_t)c->c);
    snprintf(c->text, sizeof c->text, "%dx%dx%dx%d in %d groups%s%s, %s>%s", c->n, c->h, c->w, c->c,
             c->k, s[5] > s[1] ? ", a band" : "", s[6] ? ", SiLU" : "", op_type_name(c->in_type),
             op_type_name(c->out_type));
    return all;
}

static double norm_pixels_of(const struct op_case *c)
{
    for (int i = 0; i < NORMS; i++)
        if (norms[i][0] == c->n && norms[i][1] == c->h && norms[i][3] == c->c)
            return (double)norms[i][5] * c->w;
    return 0;
}

static struct nn_group_norm group_norm_case_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct nn_group_norm){.x = op_memory(call, "x"),
                                  .weight = op_memory(call, "weight"),
                                  .bias = op_memory(call, "bias"),
                                  .x_type = c->in_type,
                                  .y_type = c->out_type,
                                  .n = c->n,
                                  .rows = c->h,
                                  .width = c->w,
                                  .c = c->c,
                                  .groups = c->k,
                                  .pixels = norm_pixels_of(c),
                                  .eps = norm_eps,
                                  .silu = c->variant != 0,
                                  .sums = op_memory(call, "sums")};
}

/* The sums over whole images: of these rows, and as if the others had the mean and square of 0.3.
 */
static void fill_norm_sums(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    double *sums = bytes;
    int width = c->c / c->k;
    double rest = (norm_pixels_of(c) - (double)c->h * c->w) * width;
    for (size_t i = 0; i < operand->count; i++)
        sums[i] = rest * (i % 2 ? 0.09 + 0.1 : 0.3);
    for (size_t i = 0; i < (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->c; i++) {
        double x = -0.5 + 1.5 * op_uniform("x", i);
        size_t image = i / ((size_t)c->h * (size_t)c->w * (size_t)c->c);
        size_t group = i % (size_t)c->c / (size_t)width, at = image * (size_t)c->k + group;
        if (c->in_type == NN_BF16) x = (double)(float)x;
        sums[2 * at] += x;
        sums[2 * at + 1] += x * x;
    }
}

static void add_norm_sums(struct op_case *c)
{
    op_add(c, "sums", OP_IN, OP_F64, 2 * (size_t)c->n * (size_t)c->k)->fill = OP_OWN;
}

static double norm_bytes(const struct op_case *c, size_t all, int in, int out)
{
    return (double)all *
           (in * (double)nn_type_bytes(c->in_type) + out * (double)nn_type_bytes(c->out_type));
}

static void describe_group_norm_sums(struct op_case *c)
{
    size_t all = describe_norm(c, c->index);
    struct op_operand *sums = op_add(c, "sums", OP_INOUT, OP_F64, 2 * (size_t)c->n * (size_t)c->k);
    sums->tolerance = 1e-12;
    c->bytes = norm_bytes(c, all, 1, 0);
}

static void describe_group_norm_forward(struct op_case *c)
{
    size_t all = describe_norm(c, c->index);
    add_norm_sums(c);
    op_add_out(c, "y", c->out_type, all, 2e-6);
    c->bytes = norm_bytes(c, all, 1, 1);
}

static void describe_group_norm_slopes(struct op_case *c)
{
    size_t all = describe_norm(c, c->index);
    add_norm_sums(c);
    op_add_in(c, "dy", c->out_type, all);
    op_add(c, "slopes", OP_INOUT, OP_F64, 2 * (size_t)c->n * (size_t)c->c)->tolerance = 2e-6;
    c->bytes = norm_bytes(c, all, 1, 1);
}

static void describe_group_norm_dgrad(struct op_case *c)
{
    size_t all = describe_norm(c, c->index / 2);
    add_norm_sums(c);
    op_add_in(c, "dy", c->out_type, all);
    op_add(c, "slopes", OP_IN, OP_F64, 2 * (size_t)c->n * (size_t)c->c)->high = 3;
    op_add_out(c, "dx", c->in_type, all, 4e-6)->role = c->index % 2 ? OP_INOUT : OP_OUT;
    size_t used = strlen(c->text);
    snprintf(c->text + used, sizeof c->text - used, "%s", c->index % 2 ? ", added" : "");
    c->bytes = norm_bytes(c, all, 2 + c->index % 2, 1);
}

static const int norm_rows[][2] = {{1, 3}, {5, 33}, {64, 512}};
enum { NORM_ROWS = sizeof norm_rows / sizeof *norm_rows };

static void describe_group_norm_grad(struct op_case *c)
{
    c->n = norm_rows[c->index][0], c->c = norm_rows[c->index][1];
    c->large = c->index == NORM_ROWS - 1;
    c->bytes = 16.0 * c->n * c->c;
    snprintf(c->text, sizeof c->text, "%dx%d", c->n, c->c);
    op_add(c, "slopes", OP_IN, OP_F64, 2 * (size_t)c->n * (size_t)c->c);
    op_add_sum(c, "dweight", (size_t)c->c, 1e-6);
    op_add_sum(c, "dbias", (size_t)c->c, 1e-6);
}

static int run_group_norm_sums(const struct op_call *call)
{
    struct nn_group_norm norm = group_norm_case_of(call);
    norm.sums = NULL;
    return call->device->nn->group_norm_sums(call->device, &norm, op_memory(call, "sums"));
}

static int run_group_norm_forward(const struct op_call *call)
{
    struct nn_group_norm norm = group_norm_case_of(call);
    return call->device->nn->group_norm_forward(call->device, &norm, op_memory(call, "y"));
}

static int run_group_norm_slopes(const struct op_call *call)
{
    struct nn_group_norm norm = group_norm_case_of(call);
    return call->device->nn->group_norm_slopes(call->device, &norm, op_memory(call, "slopes"),
                                               op_memory(call, "dy"));
}

static int run_group_norm_dgrad(const struct op_call *call)
{
    struct nn_group_norm norm = group_norm_case_of(call);
    return call->device->nn->group_norm_dgrad(call->device, &norm, op_memory(call, "dx"),
                                              op_memory(call, "dy"), op_memory(call, "slopes"),
                                              call->c->index % 2 != 0);
}

static int run_group_norm_grad(const struct op_call *call)
{
    return call->device->nn->group_norm_grad(call->device, op_memory(call, "dweight"),
                                             op_memory(call, "dbias"), op_memory(call, "slopes"),
                                             call->c->n, call->c->c);
}

/* ---- by definition ---- */

struct norm_place {
    size_t channel, group; /* group: of all images */
    double normal, scale;
};

static struct norm_place norm_place_of(const struct op_data *d, size_t i)
{
    const struct op_case *c = d->c;
    size_t of_image = (size_t)c->h * (size_t)c->w * (size_t)c->c, width = (size_t)(c->c / c->k);
    struct norm_place p = {.channel = i % (size_t)c->c};
    p.group = i / of_image * (size_t)c->k + p.channel / width;
    const double *sums = op_values(d, "sums") + 2 * p.group;
    double count = norm_pixels_of(c) * (double)width, mean = sums[0] / count;
    p.scale = 1 / sqrt(sums[1] / count - mean * mean + (double)norm_eps);
    p.normal = (op_values(d, "x")[i] - mean) * p.scale;
    return p;
}

/* dy in front of the SiLU. */
static double group_norm_case_gradient(const struct op_data *d, size_t i,
                                       const struct norm_place *p)
{
    double dy = op_values(d, "dy")[i];
    double y = p->normal * op_values(d, "weight")[p->channel] + op_values(d, "bias")[p->channel];
    double s = 1 / (1 + exp(-y));
    return d->c->variant ? dy * (s + y * s * (1 - s)) : dy;
}

static size_t norm_count(const struct op_data *d)
{
    return (size_t)d->c->n * (size_t)d->c->h * (size_t)d->c->w * (size_t)d->c->c;
}

static void truth_group_norm_sums(struct op_data *d)
{
    const struct op_case *c = d->c;
    size_t of_image = (size_t)c->h * (size_t)c->w * (size_t)c->c;
    for (size_t i = 0; i < norm_count(d); i++) {
        double x = op_values(d, "x")[i];
        size_t group = i / of_image * (size_t)c->k + i % (size_t)c->c / (size_t)(c->c / c->k);
        op_values(d, "sums")[2 * group] += x;
        op_values(d, "sums")[2 * group + 1] += x * x;
    }
}

static void truth_group_norm_forward(struct op_data *d)
{
    for (size_t i = 0; i < norm_count(d); i++) {
        struct norm_place p = norm_place_of(d, i);
        double y = p.normal * op_values(d, "weight")[p.channel] + op_values(d, "bias")[p.channel];
        op_values(d, "y")[i] = d->c->variant ? y / (1 + exp(-y)) : y;
    }
}

static void truth_group_norm_slopes(struct op_data *d)
{
    size_t of_image = (size_t)d->c->h * (size_t)d->c->w * (size_t)d->c->c;
    for (size_t i = 0; i < norm_count(d); i++) {
        struct norm_place p = norm_place_of(d, i);
        double dy = group_norm_case_gradient(d, i, &p);
        size_t at = 2 * (i / of_image * (size_t)d->c->c + p.channel);
        op_values(d, "slopes")[at] += dy;
        op_values(d, "slopes")[at + 1] += dy * p.normal;
    }
}

static void truth_group_norm_dgrad(struct op_data *d)
{
    const struct op_case *c = d->c;
    size_t width = (size_t)(c->c / c->k);
    double count = norm_pixels_of(c) * (double)width;
    for (size_t i = 0; i < norm_count(d); i++) {
        struct norm_place p = norm_place_of(d, i);
        double dy = group_norm_case_gradient(d, i, &p) * op_values(d, "weight")[p.channel];
        double means[2] = {0, 0}, *dx = &op_values(d, "dx")[i];
        size_t first = p.group % (size_t)c->k * width, image = p.group / (size_t)c->k;
        for (size_t k = first; k < first + width; k++)
            for (size_t of = 0; of < 2; of++)
                means[of] += op_values(d, "weight")[k] / count *
                             op_values(d, "slopes")[2 * (image * (size_t)c->c + k) + of];
        *dx = (c->index % 2 ? *dx : 0) + p.scale * (dy - means[0] - p.normal * means[1]);
    }
}

static void truth_group_norm_grad(struct op_data *d)
{
    for (int i = 0; i < d->c->n * d->c->c; i++) {
        op_values(d, "dbias")[i % d->c->c] += op_values(d, "slopes")[2 * i];
        op_values(d, "dweight")[i % d->c->c] += op_values(d, "slopes")[2 * i + 1];
    }
}

const struct op_kind op_group_norm_sums = {OP_KIND(nn, group_norm_sums),
                                           .cases = NORM_TYPES * NORMS};
const struct op_kind op_group_norm_forward = {OP_KIND(nn, group_norm_forward),
                                              .fill = fill_norm_sums, .cases = NORM_TYPES * NORMS};
const struct op_kind op_group_norm_slopes = {OP_KIND(nn, group_norm_slopes), .fill = fill_norm_sums,
                                             .cases = NORM_TYPES * NORMS};
const struct op_kind op_group_norm_dgrad = {OP_KIND(nn, group_norm_dgrad), .fill = fill_norm_sums,
                                            .cases = 2 * NORM_TYPES * NORMS};
const struct op_kind op_group_norm_grad = {OP_KIND(nn, group_norm_grad), .cases = NORM_ROWS};

/* ---- rows ---- */

static const int softmax_rows[][2] = {{1, 1}, {3, 7}, {5, 300}, {128, 1024}};
enum { SOFTMAXES = sizeof softmax_rows / sizeof *softmax_rows }; /* the last one is large */
static const float softmax_scale = 1.5f;

static size_t describe_softmax(struct op_case *c, int passes)
{
    c->n = softmax_rows[c->index][0], c->w = softmax_rows[c->index][1];
    c->large = c->index == SOFTMAXES - 1;
    c->bytes = 4.0 * passes * c->n * c->w;
    snprintf(c->text, sizeof c->text, "%d rows of %d", c->n, c->w);
    return (size_t)c->n * (size_t)c->w;
}

static void describe_softmax_forward(struct op_case *c)
{
    struct op_operand *x = op_add_sum(c, "x", describe_softmax(c, 2), 2e-6);
    x->low = -90, x->high = 90;
}

static void describe_softmax_dgrad(struct op_case *c)
{
    size_t all = describe_softmax(c, 3);
    op_add_in(c, "y", NN_F32, all)->low = 0;
    op_add_sum(c, "dy", all, 2e-6);
}

static int run_softmax_forward(const struct op_call *call)
{
    return call->device->nn->softmax_forward(call->device, op_memory(call, "x"), call->c->n,
                                             call->c->w, softmax_scale);
}

static int run_softmax_dgrad(const struct op_call *call)
{
    return call->device->nn->softmax_dgrad(call->device, op_memory(call, "dy"),
                                           op_memory(call, "y"), call->c->n, call->c->w,
                                           softmax_scale);
}

static void truth_softmax_forward(struct op_data *d)
{
    for (int row = 0; row < d->c->n; row++) {
        double *x = op_values(d, "x") + row * d->c->w, sum = 0;
        for (int i = 0; i < d->c->w; i++)
            sum += x[i] = exp((double)softmax_scale * x[i]);
        for (int i = 0; i < d->c->w; i++)
            x[i] /= sum;
    }
}

static void truth_softmax_dgrad(struct op_data *d)
{
    for (int row = 0; row < d->c->n; row++) {
        double *dy = op_values(d, "dy") + row * d->c->w, sum = 0;
        const double *y = op_values(d, "y") + row * d->c->w;
        for (int i = 0; i < d->c->w; i++)
            sum += dy[i] * y[i];
        for (int i = 0; i < d->c->w; i++)
            dy[i] = (double)softmax_scale * y[i] * (dy[i] - sum);
    }
}

const struct op_kind op_softmax_forward = {OP_KIND(nn, softmax_forward), .cases = SOFTMAXES};
const struct op_kind op_softmax_dgrad = {OP_KIND(nn, softmax_dgrad), .cases = SOFTMAXES};

/* ---- latents ---- */

static const int latents[][3] = {{1, 1, 1}, {3, 7, 4}, {2, 300, 16}, {16, 1024, 16}};
enum { LATENTS = sizeof latents / sizeof *latents }; /* the last one is large */
static const float latent_weight = 0.25f;

/* Variances by the logarithms' ends too. */
static void fill_latent(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    float *moments = bytes;
    for (size_t i = 0; i < operand->count; i++) {
        double u = op_uniform("moments", i);
        bool is_mean = i / (size_t)c->c % 2 == 0;
        moments[i] = (float)(is_mean ? 4 * u - 2 : u < 0.05 ? -31 : u > 0.95 ? 20.5 : 6 * u - 3);
    }
}

static size_t describe_latent(struct op_case *c)
{
    const int *s = latents[c->index];
    c->n = s[0], c->h = s[1], c->c = s[2];
    c->large = c->index == LATENTS - 1;
    size_t all = (size_t)c->n * (size_t)c->h * (size_t)c->c;
    snprintf(c->text, sizeof c->text, "%dx%dx%d", c->n, c->h, c->c);
    op_add_in(c, "moments", NN_F32, 2 * all)->fill = OP_OWN;
    c->bytes = 16.0 * (double)all;
    return all;
}

static struct nn_latent latent_case_of(const struct op_call *call)
{
    return (struct nn_latent){.moments = op_memory(call, "moments"),
                              .noise = op_memory(call, "noise"),
                              .n = call->c->n,
                              .pixels = call->c->h,
                              .c = call->c->c};
}

static void describe_latent_sample(struct op_case *c)
{
    size_t all = describe_latent(c);
    if (c->index != 1) op_add_in(c, "noise", NN_F32, all);
    op_add_out(c, "z", NN_F32, all, 1e-6);
}

static void describe_latent_dgrad(struct op_case *c)
{
    size_t all = describe_latent(c);
    if (c->index != 1) op_add_in(c, "noise", NN_F32, all);
    op_add_in(c, "dz", NN_F32, all);
    op_add_out(c, "dmoments", NN_F32, 2 * all, 1e-6);
}

static void describe_latent_kl(struct op_case *c)
{
    size_t all = describe_latent(c);
    op_add(c, "sums", OP_OUT, OP_F64, (size_t)c->n)->tolerance = 1e-6;
    op_add_sum(c, "dmoments", 2 * all, 1e-6);
}

static int run_latent_sample(const struct op_call *call)
{
    struct nn_latent latent = latent_case_of(call);
    return call->device->nn->latent_sample(call->device, &latent, op_memory(call, "z"));
}

static int run_latent_dgrad(const struct op_call *call)
{
    struct nn_latent latent = latent_case_of(call);
    return call->device->nn->latent_dgrad(call->device, &latent, op_memory(call, "dmoments"),
                                          op_memory(call, "dz"));
}

static int run_latent_kl(const struct op_call *call)
{
    struct nn_latent latent = latent_case_of(call);
    return call->device->nn->latent_kl(call->device, &latent, op_memory(call, "sums"),
                                       op_memory(call, "dmoments"), latent_weight);
}

/* Number i of z: where its mean is; its logarithm lies `c` behind. */
static size_t latent_case_mean_at(const struct op_data *d, size_t i)
{
    size_t c = (size_t)d->c->c;
    return i / c * 2 * c + i % c;
}

static double latent_log_of(const struct op_data *d, size_t i, bool *held)
{
    double l = op_values(d, "moments")[latent_case_mean_at(d, i) + (size_t)d->c->c];
    *held = l < -30 || l > 20;
    return l < -30 ? -30 : l > 20 ? 20 : l;
}

static size_t latent_count(const struct op_data *d)
{
    return (size_t)d->c->n * (size_t)d->c->h * (size_t)d->c->c;
}

static void truth_latent_sample(struct op_data *d)
{
    const double *noise = op_values(d, "noise");
    for (size_t i = 0; i < latent_count(d); i++) {
        bool held;
        double l = latent_log_of(d, i, &held);
        op_values(d, "z")[i] = op_values(d, "moments")[latent_case_mean_at(d, i)] +
                               (noise ? exp(l / 2) * noise[i] : 0);
    }
}

static void truth_latent_dgrad(struct op_data *d)
{
    const double *noise = op_values(d, "noise"), *dz = op_values(d, "dz");
    for (size_t i = 0; i < latent_count(d); i++) {
        bool held;
        double l = latent_log_of(d, i, &held), *to = op_values(d, "dmoments");
        to[latent_case_mean_at(d, i)] = dz[i];
        to[latent_case_mean_at(d, i) + (size_t)d->c->c] =
            noise && !held ? dz[i] * noise[i] * exp(l / 2) / 2 : 0;
    }
}

static void truth_latent_kl(struct op_data *d)
{
    for (int n = 0; n < d->c->n; n++)
        op_values(d, "sums")[n] = 0;
    for (size_t i = 0; i < latent_count(d); i++) {
        bool held;
        size_t at = latent_case_mean_at(d, i);
        double l = latent_log_of(d, i, &held), *to = op_values(d, "dmoments");
        double mean = op_values(d, "moments")[at];
        op_values(d, "sums")[i / (size_t)(d->c->h * d->c->c)] += (mean * mean + exp(l) - 1 - l) / 2;
        to[at] += (double)latent_weight * mean;
        if (!held) to[at + (size_t)d->c->c] += (double)latent_weight * (exp(l) - 1) / 2;
    }
}

const struct op_kind op_latent_sample = {OP_KIND(nn, latent_sample), .fill = fill_latent,
                                         .cases = LATENTS};
const struct op_kind op_latent_dgrad = {OP_KIND(nn, latent_dgrad), .fill = fill_latent,
                                        .cases = LATENTS};
const struct op_kind op_latent_kl = {OP_KIND(nn, latent_kl), .fill = fill_latent, .cases = LATENTS};
