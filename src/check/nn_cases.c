/* Layers of networks but convolutions: resampling, weights for each pixel, slopes, embeddings. */
#include "check/op_kinds.h"
#include "math/bf16.h"

#include <stdio.h>
#include <string.h>

/* ---- resampling: four pairs of types, zeros outside or the edge ---- */

static const int grids[][4] = {{2, 5, 3, 70}, {1, 1, 1, 8}, {3, 4, 9, 16}, {16, 32, 32, 128}};
enum { GRIDS = sizeof grids / sizeof *grids }; /* n h w c; the last one is large */

static void describe_fir(struct op_case *c, bool up)
{
    const int *g = grids[c->index / 4 % GRIDS];
    c->large = c->index / 4 % GRIDS == GRIDS - 1;
    c->variant = c->index / (4 * GRIDS); /* the edge repeated */
    c->n = g[0], c->h = g[1], c->w = g[2], c->c = g[3];
    c->out_type = c->index & 1 ? NN_BF16 : NN_F32;
    c->in_type = c->index & 2 ? NN_BF16 : NN_F32;
    size_t small = (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->c;
    size_t in = up ? small : 4 * small, out = up ? 4 * small : small;
    c->bytes = (double)(in * nn_type_bytes(c->in_type) + out * nn_type_bytes(c->out_type));
    op_add_in(c, "in", c->in_type, in);
    op_add_out(c, "out", c->out_type, out, 1e-6);
    snprintf(c->text, sizeof c->text, "%dx%dx%dx%d %s>%s%s", c->n, c->h, c->w, c->c,
             op_type_name(c->in_type), op_type_name(c->out_type), c->variant ? ", edge" : "");
}

static void describe_fir_up(struct op_case *c)
{
    describe_fir(c, true);
}

static void describe_fir_down(struct op_case *c)
{
    describe_fir(c, false);
}

static int run_fir(const struct op_call *call, bool up)
{
    const struct op_case *c = call->c;
    const struct nn_ops *ops = call->device->nn;
    struct nn_fir fir = {.out = op_memory(call, "out"),
                         .in = op_memory(call, "in"),
                         .out_type = c->out_type,
                         .in_type = c->in_type,
                         .n = c->n,
                         .h = c->h,
                         .w = c->w,
                         .c = c->c,
                         .scale = 3,
                         .repeat = c->variant != 0};
    return up ? ops->fir_up(call->device, &fir) : ops->fir_down(call->device, &fir);
}

static int run_fir_up(const struct op_call *call)
{
    return run_fir(call, true);
}

static int run_fir_down(const struct op_call *call)
{
    return run_fir(call, false);
}

static int truth_clamp(int at, int size)
{
    return at < 0 ? 0 : at < size ? at : size - 1;
}

/* Large pixel yy, xx with the small ones whose distance has a weight: those of an edge that is
 * repeated stand for more than one. */
static void truth_fir_repeat(struct op_data *d, bool up)
{
    static const double taps[2][2] = {{0.125, 0.375}, {0.375, 0.125}};
    const struct op_case *c = d->c;
    double *in = op_values(d, "in"), *out = op_values(d, "out");
    for (int line = 0; line < c->n * 2 * c->h; line++)
        for (int xx = 0; xx < 2 * c->w; xx++)
            for (int k = 0; k < 4; k++) {
                int yy = line % (2 * c->h), odd_y = yy % 2, odd_x = xx % 2;
                int y = truth_clamp(yy / 2 - 1 + odd_y + k / 2, c->h);
                int x = truth_clamp(xx / 2 - 1 + odd_x + k % 2, c->w);
                double tap = 3 * taps[odd_y][k / 2] * taps[odd_x][k % 2];
                size_t small = (size_t)(((line / (2 * c->h) * c->h + y) * c->w + x) * c->c);
                size_t large = (size_t)((line * 2 * c->w + xx) * c->c);
                for (size_t j = 0; j < (size_t)c->c; j++)
                    if (up)
                        out[large + j] += tap * in[small + j];
                    else
                        out[small + j] += tap * in[large + j];
            }
}

/* Every pair of a small and a large pixel whose distance has a weight. */
static void truth_fir(struct op_data *d, bool up)
{
    static const double taps[4] = {0.125, 0.375, 0.375, 0.125};
    const struct op_case *c = d->c;
    double *in = op_values(d, "in"), *out = op_values(d, "out");
    size_t outs = c->operands[op_find(c, "out")].count;
    int h = c->h, w = c->w;
    for (size_t i = 0; i < outs; i++)
        out[i] = 0;
    if (c->variant) {
        truth_fir_repeat(d, up);
        return;
    }
    for (int line = 0; line < c->n * h; line++)
        for (int x = 0; x < w; x++)
            for (int ky = 0; ky < 4; ky++)
                for (int kx = 0; kx < 4; kx++) {
                    int yy = 2 * (line % h) + ky - 1, xx = 2 * x + kx - 1;
                    if (yy < 0 || yy >= 2 * h || xx < 0 || xx >= 2 * w) continue;
                    size_t small = (size_t)((line * w + x) * c->c);
                    size_t large = (size_t)(((line / h * 2 * h + yy) * 2 * w + xx) * c->c);
                    for (size_t j = 0; j < (size_t)c->c; j++)
                        if (up)
                            out[large + j] += 3 * taps[ky] * taps[kx] * in[small + j];
                        else
                            out[small + j] += 3 * taps[ky] * taps[kx] * in[large + j];
                }
}

static void truth_fir_up(struct op_data *d)
{
    truth_fir(d, true);
}

static void truth_fir_down(struct op_data *d)
{
    truth_fir(d, false);
}

/* The forward case has the types the other way round. */
static int fir_case_forward(int index)
{
    static const int swapped[4] = {0, 2, 1, 3};
    return index / 4 % GRIDS == GRIDS - 1 ? -1 : index / 4 * 4 + swapped[index % 4];
}

const struct op_kind op_fir_up = {
    OP_KIND(nn, fir_up), .cases = 8 * GRIDS, .adjoint_of = "fir_down",    .varied = "in",
    .seed = "in",        .result = "out",    .forward = fir_case_forward,
};

const struct op_kind op_fir_down = {
    OP_KIND(nn, fir_down), .cases = 8 * GRIDS, .adjoint_of = "fir_up",      .varied = "in",
    .seed = "in",          .result = "out",    .forward = fir_case_forward,
};

/* ---- a weight for each channel and pixel ---- */

static const int maps[][3] = {{3, 6, 40}, {3, 6, 24}, {3, 6, 16}, {64, 16, 512}}; /* n pixels c */
enum { MAPS = sizeof maps / sizeof *maps };

static void describe_map(struct op_case *c)
{
    const int *m = maps[c->index / 2];
    c->large = c->index / 2 == MAPS - 1;
    c->n = m[0], c->w = m[1], c->c = m[2];
    c->in_type = c->index % 2 ? NN_BF16 : NN_F32;
    size_t all = (size_t)c->n * (size_t)c->w * (size_t)c->c;
    c->bytes = (double)(all * nn_type_bytes(c->in_type) + (size_t)(c->w * c->c) * sizeof(float));
    snprintf(c->text, sizeof c->text, "%dx%dx%d %s", c->n, c->w, c->c, op_type_name(c->in_type));
}

static size_t map_all(const struct op_case *c)
{
    return (size_t)c->n * (size_t)c->w * (size_t)c->c;
}

static void describe_spatial_map_expand(struct op_case *c)
{
    describe_map(c);
    op_add_in(c, "s", NN_F32, (size_t)(c->n * c->c));
    op_add_in(c, "table", NN_F32, (size_t)(c->w * c->c));
    op_add_out(c, "out", c->in_type, map_all(c), 1e-6);
}

static void describe_spatial_map_contract(struct op_case *c)
{
    describe_map(c);
    op_add_in(c, "x", c->in_type, map_all(c));
    op_add_in(c, "table", NN_F32, (size_t)(c->w * c->c));
    op_add_out(c, "sums", NN_F32, (size_t)(c->n * c->c), 1e-6);
}

static void describe_spatial_map_grad(struct op_case *c)
{
    describe_map(c);
    op_add_in(c, "s", NN_F32, (size_t)(c->n * c->c));
    op_add_in(c, "x", c->in_type, map_all(c));
    op_add_sum(c, "dtable", (size_t)(c->w * c->c), 1e-6);
}

static int run_spatial_map_expand(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->spatial_map_expand(call->device, op_memory(call, "out"), c->in_type,
                                                op_memory(call, "s"), op_memory(call, "table"),
                                                c->n, c->w, c->c);
}

static int run_spatial_map_contract(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->spatial_map_contract(call->device, op_memory(call, "sums"),
                                                  op_memory(call, "x"), c->in_type,
                                                  op_memory(call, "table"), c->n, c->w, c->c);
}

static int run_spatial_map_grad(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->spatial_map_grad(call->device, op_memory(call, "dtable"),
                                              op_memory(call, "s"), op_memory(call, "x"),
                                              c->in_type, c->n, c->w, c->c);
}

/* Index of (channel, pixel) in a table and of (image, channel) in s for element i. */
static size_t map_cell(const struct op_case *c, size_t i)
{
    return i % (size_t)c->c * (size_t)c->w + i / (size_t)c->c % (size_t)c->w;
}

static size_t map_picture(const struct op_case *c, size_t i)
{
    return i / (size_t)(c->c * c->w) * (size_t)c->c + i % (size_t)c->c;
}

static void truth_spatial_map_expand(struct op_data *d)
{
    double *s = op_values(d, "s"), *table = op_values(d, "table"), *out = op_values(d, "out");
    for (size_t i = 0; i < map_all(d->c); i++)
        out[i] = table[map_cell(d->c, i)] * s[map_picture(d->c, i)];
}

static void truth_spatial_map_contract(struct op_data *d)
{
    double *x = op_values(d, "x"), *table = op_values(d, "table"), *sums = op_values(d, "sums");
    for (int i = 0; i < d->c->n * d->c->c; i++)
        sums[i] = 0;
    for (size_t i = 0; i < map_all(d->c); i++)
        sums[map_picture(d->c, i)] += table[map_cell(d->c, i)] * x[i];
}

static void truth_spatial_map_grad(struct op_data *d)
{
    double *x = op_values(d, "x"), *s = op_values(d, "s"), *dtable = op_values(d, "dtable");
    for (size_t i = 0; i < map_all(d->c); i++)
        dtable[map_cell(d->c, i)] += s[map_picture(d->c, i)] * x[i];
}

static int map_forward(int index)
{
    return index / 2 == MAPS - 1 ? -1 : index;
}

const struct op_kind op_spatial_map_expand = {
    OP_KIND(nn, spatial_map_expand),
    .cases = 2 * MAPS,
    .adjoint_of = "spatial_map_contract",
    .varied = "x",
    .seed = "s",
    .result = "out",
    .forward = map_forward,
};

const struct op_kind op_spatial_map_contract = {
    OP_KIND(nn, spatial_map_contract),
    .cases = 2 * MAPS,
    .adjoint_of = "spatial_map_expand",
    .varied = "s",
    .seed = "x",
    .result = "sums",
    .forward = map_forward,
};

const struct op_kind op_spatial_map_grad = {
    OP_KIND(nn, spatial_map_grad),
    .cases = 2 * MAPS,
    .adjoint_of = "spatial_map_expand",
    .varied = "table",
    .seed = "x",
    .result = "dtable",
    .forward = map_forward,
};

/* ---- slopes of a leaky ReLU: four pairs of types ---- */

static const int slopes[][3] = {{3, 35, 70}, {3, 300, 40}, {1, 1, 8}, {16, 1024, 128}};
enum { SLOPES = sizeof slopes / sizeof *slopes }; /* n pixels c; the last one is large */

static size_t describe_prelu(struct op_case *c, int index)
{
    const int *s = slopes[index / 4];
    c->large = index / 4 == SLOPES - 1;
    c->n = s[0], c->w = s[1], c->c = s[2];
    c->in_type = index & 1 ? NN_BF16 : NN_F32;
    c->out_type = index & 2 ? NN_BF16 : NN_F32;
    size_t all = map_all(c);
    c->bytes = (double)(all * (nn_type_bytes(c->in_type) + nn_type_bytes(c->out_type)));
    op_add_in(c, "z", c->in_type, all)->fill = OP_OWN;
    snprintf(c->text, sizeof c->text, "%dx%dx%d %s>%s", c->n, c->w, c->c, op_type_name(c->in_type),
             op_type_name(c->out_type));
    return all;
}

/* Numbers of 1..2 and -1..-2, so that differences do not meet the corner; in the second size some
 * are 0. */
static void fill_prelu(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    bool zeros = c->w == slopes[1][1];
    for (size_t i = 0; i < operand->count; i++) {
        float u = (float)op_uniform(operand->name, i), z = u < 0.5f ? -1 - 2 * u : 2 * u;
        if (zeros && i % 11 == 0) z = 0;
        if (operand->type == OP_BF16)
            ((uint16_t *)bytes)[i] = bf16_round(z);
        else
            ((float *)bytes)[i] = z;
    }
}

static struct nn_prelu prelu_case_of(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return (struct nn_prelu){.z = op_memory(call, "z"),
                             .slopes = op_memory(call, "slopes"),
                             .z_type = c->in_type,
                             .y_type = c->out_type,
                             .n = c->n,
                             .pixels = c->w,
                             .c = c->c};
}

static void describe_prelu_forward(struct op_case *c)
{
    size_t all = describe_prelu(c, c->index);
    op_add_in(c, "slopes", NN_F32, (size_t)c->c);
    op_add_out(c, "y", c->out_type, all, 1e-6);
}

static void describe_prelu_dgrad(struct op_case *c)
{
    size_t all = describe_prelu(c, c->index / 2);
    c->variant = c->index % 2; /* added */
    op_add_in(c, "slopes", NN_F32, (size_t)c->c);
    op_add_in(c, "dy", c->out_type, all);
    op_add_out(c, "dz", c->in_type, all, 1e-6)->role = c->variant ? OP_INOUT : OP_OUT;
    if (c->variant) strcat(c->text, ", added");
}

static void describe_prelu_grad(struct op_case *c)
{
    size_t all = describe_prelu(c, c->index);
    op_add_in(c, "dy", c->out_type, all);
    op_add_sum(c, "dslopes", (size_t)c->c, 2e-6);
}

static int run_prelu_forward(const struct op_call *call)
{
    struct nn_prelu p = prelu_case_of(call);
    return call->device->nn->prelu_forward(call->device, &p, op_memory(call, "y"));
}

static int run_prelu_dgrad(const struct op_call *call)
{
    struct nn_prelu p = prelu_case_of(call);
    return call->device->nn->prelu_dgrad(call->device, &p, op_memory(call, "dz"),
                                         op_memory(call, "dy"), call->c->variant != 0);
}

static int run_prelu_grad(const struct op_call *call)
{
    struct nn_prelu p = prelu_case_of(call);
    return call->device->nn->prelu_grad(call->device, &p, op_memory(call, "dslopes"),
                                        op_memory(call, "dy"));
}

static double truth_slope(struct op_data *d, size_t i)
{
    return op_values(d, "z")[i] > 0 ? 1 : op_values(d, "slopes")[i % (size_t)d->c->c];
}

static void truth_prelu_forward(struct op_data *d)
{
    for (size_t i = 0; i < map_all(d->c); i++)
        op_values(d, "y")[i] = op_values(d, "z")[i] * truth_slope(d, i);
}

static void truth_prelu_dgrad(struct op_data *d)
{
    double *dz = op_values(d, "dz"), *dy = op_values(d, "dy");
    for (size_t i = 0; i < map_all(d->c); i++)
        dz[i] = (d->c->variant ? dz[i] : 0) + dy[i] * truth_slope(d, i);
}

static void truth_prelu_grad(struct op_data *d)
{
    double *z = op_values(d, "z"), *dy = op_values(d, "dy");
    for (size_t i = 0; i < map_all(d->c); i++)
        if (!(z[i] > 0)) op_values(d, "dslopes")[i % (size_t)d->c->c] += z[i] * dy[i];
}

static int prelu_forward_of(int index)
{
    return index / 4 == SLOPES - 1 ? -1 : index;
}

/* Not where some are 0: there is the corner. */
static int prelu_forward_by_z(int index)
{
    return index / 8 == 1 ? -1 : prelu_forward_of(index / 2);
}

const struct op_kind op_prelu_forward = {OP_KIND(nn, prelu_forward), .cases = 4 * SLOPES,
                                         .fill = fill_prelu};
const struct op_kind op_prelu_dgrad = {
    OP_KIND(nn, prelu_dgrad),
    .cases = 8 * SLOPES,
    .fill = fill_prelu,
    .adjoint_of = "prelu_forward",
    .varied = "z",
    .seed = "dy",
    .result = "dz",
    .forward = prelu_forward_by_z,
};
const struct op_kind op_prelu_grad = {
    OP_KIND(nn, prelu_grad),       .cases = 4 * SLOPES,         .fill = fill_prelu,
    .adjoint_of = "prelu_forward", .varied = "slopes",          .seed = "dy",
    .result = "dslopes",           .forward = prelu_forward_of,
};

/* ---- embeddings ---- */

/* n e k stride, and whether labels are sets */
static const int embeddings[][5] = {
    {5, 37, 4, 50, 0}, {3, 5, 4, 5, 0}, {1, 8, 1, 8, 0}, {6, 37, 4, 50, 1}, {3, 5, 4, 5, 1}};
/* nothing, a column, all, some */
static const int label_sets[] = {5, 5, 6, 10, 12, 2, 0, 1, 2, 3, 3, 1};
enum {
    EMBEDDINGS = sizeof embeddings / sizeof *embeddings,
    LABEL_SETS = 4,
    LABEL_SETS_NUMBERS = sizeof label_sets / sizeof *label_sets
};

static bool has_label_sets(const struct op_case *c)
{
    return embeddings[c->index][4];
}

static void fill_label_sets(const struct op_case *c, const struct op_operand *operand, void *bytes)
{
    (void)c, (void)operand;
    memcpy(bytes, label_sets, sizeof label_sets);
}

static void describe_embedding(struct op_case *c)
{
    const int *e = embeddings[c->index];
    c->n = e[0], c->w = e[1], c->k = e[2], c->h = e[3];
    c->bytes = 4.0 * c->n * c->w * 2;
    snprintf(c->text, sizeof c->text, "%d of %dx%d, stride %d%s", c->n, c->w, c->k, c->h,
             has_label_sets(c) ? ", sets" : "");
    struct op_operand *labels = op_add(c, "labels", OP_IN, OP_I32, (size_t)c->n);
    labels->fill = OP_WHOLE;
    labels->low = 0, labels->high = (has_label_sets(c) ? LABEL_SETS : c->k) - 1;
    if (has_label_sets(c)) op_add(c, "sets", OP_IN, OP_I32, LABEL_SETS_NUMBERS)->fill = OP_OWN;
}

static struct nn_labels labels_of(const struct op_call *call)
{
    return (struct nn_labels){op_memory(call, "labels"),
                              has_label_sets(call->c) ? op_memory(call, "sets") : NULL};
}

static void describe_embed_gather(struct op_case *c)
{
    describe_embedding(c);
    op_add_in(c, "table", NN_F32, (size_t)(c->w * c->k));
    op_add_sum(c, "rows", (size_t)(c->n * c->h), 0);
}

static void describe_embed_grad(struct op_case *c)
{
    describe_embedding(c);
    op_add_in(c, "d", NN_F32, (size_t)(c->n * c->h));
    op_add_sum(c, "dtable", (size_t)(c->w * c->k), 1e-6);
}

static void describe_project(struct op_case *c)
{
    describe_embedding(c);
    op_add_in(c, "table", NN_F32, (size_t)(c->w * c->k));
    op_add_in(c, "f", NN_F32, (size_t)(c->n * c->w));
    op_add_out(c, "score", NN_F32, (size_t)c->n, 1e-6);
}

static void describe_project_dgrad(struct op_case *c)
{
    describe_embedding(c);
    op_add_in(c, "table", NN_F32, (size_t)(c->w * c->k));
    op_add_in(c, "dout", NN_F32, (size_t)c->n);
    op_add_out(c, "df", NN_F32, (size_t)(c->n * c->w), 1e-6);
}

static void describe_project_grad(struct op_case *c)
{
    describe_embedding(c);
    op_add_in(c, "dout", NN_F32, (size_t)c->n);
    op_add_in(c, "f", NN_F32, (size_t)(c->n * c->w));
    op_add_sum(c, "dtable", (size_t)(c->w * c->k), 1e-6);
}

static int run_embed_gather(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->embed_gather(call->device, op_memory(call, "rows"),
                                          op_memory(call, "table"), labels_of(call), c->n, c->w,
                                          c->k, c->h);
}

static int run_embed_grad(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->embed_grad(call->device, op_memory(call, "dtable"),
                                        op_memory(call, "d"), labels_of(call), c->n, c->w, c->k,
                                        c->h);
}

static int run_project(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->project(call->device, op_memory(call, "score"), op_memory(call, "f"),
                                     op_memory(call, "table"), labels_of(call), c->n, c->w, c->k);
}

static int run_project_dgrad(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->project_dgrad(call->device, op_memory(call, "df"),
                                           op_memory(call, "dout"), op_memory(call, "table"),
                                           labels_of(call), c->n, c->w, c->k);
}

static int run_project_grad(const struct op_call *call)
{
    const struct op_case *c = call->c;
    return call->device->nn->project_grad(call->device, op_memory(call, "dtable"),
                                          op_memory(call, "dout"), op_memory(call, "f"),
                                          labels_of(call), c->n, c->w, c->k);
}

/* The columns of image i's label, as places in `sets`; a label that is a column is its only one. */
static int columns_of(const struct op_data *d, int i, const int **columns, int *own)
{
    *own = (int)op_values(d, "labels")[i];
    *columns = has_label_sets(d->c) ? label_sets + label_sets[*own] : own;
    return has_label_sets(d->c) ? label_sets[*own + 1] - label_sets[*own] : 1;
}

static double entry_of(const struct op_data *d, int i, int j)
{
    const int *columns;
    int own, count = columns_of(d, i, &columns, &own);
    double sum = 0;
    for (int t = 0; t < count; t++)
        sum += op_values(d, "table")[j * d->c->k + columns[t]] / sqrt(count);
    return sum;
}

static void add_to_entry(const struct op_data *d, int i, int j, double value)
{
    const int *columns;
    int own, count = columns_of(d, i, &columns, &own);
    for (int t = 0; t < count; t++)
        op_values(d, "dtable")[j * d->c->k + columns[t]] += value / sqrt(count);
}

static void truth_embed_gather(struct op_data *d)
{
    for (int i = 0; i < d->c->n; i++)
        for (int j = 0; j < d->c->w; j++)
            op_values(d, "rows")[i * d->c->h + j] = entry_of(d, i, j);
}

static void truth_embed_grad(struct op_data *d)
{
    for (int i = 0; i < d->c->n; i++)
        for (int j = 0; j < d->c->w; j++)
            add_to_entry(d, i, j, op_values(d, "d")[i * d->c->h + j]);
}

static void truth_project(struct op_data *d)
{
    for (int i = 0; i < d->c->n; i++) {
        double sum = 0;
        for (int j = 0; j < d->c->w; j++)
            sum += op_values(d, "f")[i * d->c->w + j] * entry_of(d, i, j);
        op_values(d, "score")[i] = sum;
    }
}

static void truth_project_dgrad(struct op_data *d)
{
    for (int i = 0; i < d->c->n; i++)
        for (int j = 0; j < d->c->w; j++)
            op_values(d, "df")[i * d->c->w + j] = op_values(d, "dout")[i] * entry_of(d, i, j);
}

static void truth_project_grad(struct op_data *d)
{
    for (int i = 0; i < d->c->n; i++)
        for (int j = 0; j < d->c->w; j++)
            add_to_entry(d, i, j, op_values(d, "dout")[i] * op_values(d, "f")[i * d->c->w + j]);
}

const struct op_kind op_embed_gather = {OP_KIND(nn, embed_gather), .fill = fill_label_sets,
                                        .cases = EMBEDDINGS};
const struct op_kind op_embed_grad = {
    OP_KIND(nn, embed_grad),      .fill = fill_label_sets, .cases = EMBEDDINGS,
    .adjoint_of = "embed_gather", .varied = "table",       .seed = "d",
    .result = "dtable",
};
const struct op_kind op_project = {OP_KIND(nn, project), .fill = fill_label_sets,
                                   .cases = EMBEDDINGS};
const struct op_kind op_project_dgrad = {
    OP_KIND(nn, project_dgrad),
    .fill = fill_label_sets,
    .cases = EMBEDDINGS,
    .adjoint_of = "project",
    .varied = "f",
    .seed = "dout",
    .result = "df",
};
const struct op_kind op_project_grad = {
    OP_KIND(nn, project_grad), .fill = fill_label_sets, .cases = EMBEDDINGS,
    .adjoint_of = "project",   .varied = "table",       .seed = "dout",
    .result = "dtable",
};
