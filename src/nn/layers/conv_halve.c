/* A 3x3 convolution at every second pixel of every second row, with zeros to the right and below:
 * output (y, x) reads the rows 2y .. 2y + 2. The nine pixels of each are put side by side in the
 * workspace, and a 1x1 convolution does the rest: on whole images, some at a time, or on bands of
 * rows of large ones. How many depends on the shape alone. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers/conv_layer.h"

enum { HALVE_TAPS = 9, HALVE_BYTES = 2 << 20 };

/* Some rows of the output: images of whole rows, or a band of one. */
struct halve_part {
    int first, n;     /* images */
    int row, rows;    /* rows of each */
    char *columns;    /* [n][rows][w][9][cin], of the input's type */
    float *weights;   /* [c][9][cin] */
    void *workspace;  /* of the convolution */
    size_t row_bytes; /* of `columns` */
};

static size_t halve_row_bytes(const struct net *net, int i)
{
    const struct net_layer *l = &net->layers[i], *from = &net->layers[l->input[0]];
    return (size_t)l->w * (size_t)(HALVE_TAPS * from->c) * nn_type_bytes(from->type);
}

static int halve_rows(const struct net *net, int i)
{
    size_t rows = HALVE_BYTES / halve_row_bytes(net, i);
    if (rows < 1) rows = 1;
    return rows < (size_t)net->layers[i].h ? (int)rows : net->layers[i].h;
}

static int halve_images(const struct net *net, int i, int n, int chunk)
{
    int rows = halve_rows(net, i), h = net->layers[i].h;
    if (rows < h) return 1;
    return conv_layer_part(HALVE_BYTES, (int64_t)(halve_row_bytes(net, i) * (size_t)h), n, chunk);
}

static size_t halve_columns_bytes(const struct net *net, int i, int n, int chunk)
{
    return plan_aligned((size_t)halve_images(net, i, n, chunk) * (size_t)halve_rows(net, i) *
                        halve_row_bytes(net, i));
}

static size_t halve_weight_bytes(const struct net *net, int i)
{
    return plan_aligned(conv_layer_weight_floats(net, &net->layers[i]) * sizeof(float));
}

static struct halve_part halve_begin(const struct network_pass *s, int i)
{
    struct halve_part p = {.columns = s->workspace, .row_bytes = halve_row_bytes(s->net, i)};
    p.weights = (void *)(p.columns + halve_columns_bytes(s->net, i, s->n, s->chunk));
    p.workspace = (char *)p.weights + halve_weight_bytes(s->net, i);
    return p;
}

/* The next part; false behind the last. */
static bool halve_next(const struct network_pass *s, int i, struct halve_part *p)
{
    int h = s->net->layers[i].h, rows = halve_rows(s->net, i);
    int images = halve_images(s->net, i, s->n, s->chunk);
    if (p->n && p->row + p->rows < h) {
        p->row += p->rows;
    } else {
        p->first += p->n;
        p->row = 0;
    }
    p->n = s->n - p->first < images ? s->n - p->first : images;
    p->rows = h - p->row < rows ? h - p->row : rows;
    return p->n > 0;
}

static struct nn_conv halve_conv(const struct net *net, int i, const struct halve_part *p,
                                 int chunk)
{
    bool is_band = p->rows < net->layers[i].h && chunk > 0;
    struct nn_conv conv = net_conv(net, i, p->n, is_band ? 1 : chunk);
    conv.h = p->rows;
    conv.cin *= HALVE_TAPS;
    conv.kernel = 1;
    conv.groups = 1;
    return conv;
}

/* From the input, whose pixels begin at `all`, to the columns: pixel `tap` of the nine. False where
 * all of them lie outside. */
static bool halve_copy(const struct network_pass *s, int i, const struct halve_part *p, int tap,
                       void *all, struct nn_strided *copy)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    int ky = tap / 3, kx = tap % 3, c = from->c;
    int rows = ky == 2 && p->row + p->rows == l->h ? p->rows - 1 : p->rows;
    int pixels = kx == 2 ? l->w - 1 : l->w;
    ptrdiff_t line = (ptrdiff_t)from->w * c, column = (ptrdiff_t)HALVE_TAPS * c;
    ptrdiff_t skip = (2 * p->row + ky) * line + (ptrdiff_t)kx * c;
    size_t bytes = nn_type_bytes(from->type);
    *copy = (struct nn_strided){
        .out = p->columns + (size_t)tap * (size_t)c * bytes,
        .in = (char *)pass_image(s, l->input[0], all, p->first) + skip * (ptrdiff_t)bytes,
        .out_type = from->type,
        .in_type = from->type,
        .count = {1, p->n, rows, pixels, c},
        .out_stride = {0, p->rows * l->w * column, l->w * column, column, 1},
        .in_stride = {0, from->h * line, 2 * line, 2 * (ptrdiff_t)c, 1},
    };
    return rows > 0 && pixels > 0;
}

static int halve_columns(const struct network_pass *s, int i, const struct halve_part *p)
{
    struct nn_strided copy;
    size_t bytes = (size_t)p->n * (size_t)p->rows * p->row_bytes;
    TRY(s->device->nn->zero(s->device, p->columns, bytes));
    for (int tap = 0; tap < HALVE_TAPS; tap++)
        if (halve_copy(s, i, p, tap, s->value[s->net->layers[i].input[0]], &copy))
            TRY(s->device->nn->strided_copy(s->device, &copy));
    return OK;
}

/* Weights [c][cin][9] in the order of the columns, [c][9][cin], or (back) the other way round. */
static int halve_weights(const struct network_pass *s, int i, float *ordered, const float *weights,
                         bool back)
{
    const struct net_layer *l = &s->net->layers[i];
    int c = s->net->layers[l->input[0]].c;
    struct nn_strided copy = {
        .out = ordered,
        .in = weights,
        .count = {1, 1, l->c, HALVE_TAPS, c},
        .out_stride = {0, 0, (ptrdiff_t)HALVE_TAPS * c, c, 1},
        .in_stride = {0, 0, (ptrdiff_t)HALVE_TAPS * c, 1, HALVE_TAPS},
    };
    if (back) {
        copy = nn_strided_adjoint(copy);
        copy.out = (void *)(uintptr_t)weights;
        copy.in = ordered;
    }
    return s->device->nn->strided_copy(s->device, &copy);
}

/* Row `row` of image `n` of the output. */
static void *halve_output(const struct network_pass *s, int i, void *all,
                          const struct halve_part *p)
{
    const struct net_layer *l = &s->net->layers[i];
    return (char *)pass_image(s, i, all, p->first) +
           (size_t)p->row * (size_t)l->w * (size_t)l->c * nn_type_bytes(l->type);
}

static int conv_halve_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    if (from->h % 2 || from->w % 2)
        return fail(ERR_CONFIG, "%d x %d cannot be halved", from->w, from->h);
    l->h = from->h / 2;
    l->w = from->w / 2;
    l->kernel = 3;
    return OK;
}

static int conv_halve_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    const struct nn_epilogue e = {.bias = pass_weights(s, l->bias), .slope = 1};
    struct halve_part p = halve_begin(s, i);
    (void)masks; /* nothing is fused */
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(halve_weights(s, i, p.weights, pass_weights(s, l->weight), false));
    while (halve_next(s, i, &p)) {
        struct nn_conv shape = halve_conv(s->net, i, &p, s->chunk);
        TRY(halve_columns(s, i, &p));
        TRY(s->device->nn->conv_forward(s->device, &shape, halve_output(s, i, s->value[i], &p),
                                        p.columns, p.weights, &e, p.workspace));
    }
    return OK;
}

static int conv_halve_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    const struct nn_epilogue e = {.slope = 1};
    struct halve_part p = halve_begin(s, i);
    s->macs += net_layer_macs(s->net, i) * s->n;
    if (!add)
        TRY(s->device->nn->zero(s->device, to, (size_t)s->n * net_bytes(s->net, l->input[slot])));
    TRY(halve_weights(s, i, p.weights, pass_weights(s, l->weight), false));
    while (halve_next(s, i, &p)) {
        struct nn_conv shape = halve_conv(s->net, i, &p, s->chunk);
        TRY(s->device->nn->conv_dgrad(s->device, &shape, p.columns,
                                      halve_output(s, i, s->grad[i], &p), p.weights, &e,
                                      p.workspace));
        for (int tap = 0; tap < HALVE_TAPS; tap++) {
            struct nn_strided from, copy;
            if (!halve_copy(s, i, &p, tap, to, &from)) continue;
            copy = nn_strided_adjoint(from);
            copy.out = (void *)(uintptr_t)from.in;
            copy.in = from.out;
            copy.add = true;
            TRY(s->device->nn->strided_copy(s->device, &copy));
        }
    }
    return OK;
}

/* What is there already is put in the columns' order as well, so that all images are added to it in
 * one order. */
static int conv_halve_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    float *gradient = pass_gradient(s, l->weight);
    struct halve_part p = halve_begin(s, i);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(halve_weights(s, i, p.weights, gradient, false));
    while (halve_next(s, i, &p)) {
        struct nn_conv shape = halve_conv(s->net, i, &p, s->chunk);
        TRY(halve_columns(s, i, &p));
        TRY(s->device->nn->conv_wgrad(s->device, &shape, p.weights, p.columns,
                                      halve_output(s, i, s->grad[i], &p), p.workspace));
    }
    TRY(halve_weights(s, i, p.weights, gradient, true));
    return conv_layer_bias_gradient(s, i, pass_gradient(s, l->bias));
}

/* Of a part with this many rows. */
static size_t halve_conv_workspace(const struct net *net, const struct device *device, int i, int n,
                                   int rows, int chunk)
{
    struct halve_part p = {.n = halve_images(net, i, n, chunk), .rows = rows};
    struct nn_conv shape = halve_conv(net, i, &p, chunk);
    return device->nn->conv_workspace(device, &shape);
}

/* The last band may be cut into more sums than a whole one. */
static size_t conv_halve_workspace(const struct net *net, const struct device *device, int i, int n,
                                   int chunk)
{
    int rows = halve_rows(net, i), rest = net->layers[i].h % rows;
    size_t bytes = halve_conv_workspace(net, device, i, n, rows, chunk);
    size_t last = rest > 0 ? halve_conv_workspace(net, device, i, n, rest, chunk) : 0;
    return halve_columns_bytes(net, i, n, chunk) + halve_weight_bytes(net, i) +
           (bytes > last ? bytes : last);
}

const struct nn_layer_kind layer_conv_halve = {
    .name = "conv_halve",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = conv_halve_shape,
    .weight_shape = conv_layer_weight_shape,
    .forward = conv_halve_forward,
    .backward = conv_halve_backward,
    .weight_gradient = conv_halve_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_add = true,
    .is_piecewise_linear = false,
    .macs = conv_layer_macs,
    .workspace = conv_halve_workspace,
};
