/* Convolutions that halve the size: kernel 4, stride 2, zero padding 1, weights [c][cin][4][4] as
 * in their tensors. Four neighbouring pixels of the input are taken as one of four times as many
 * channels; then such a convolution is a 3x3 one that keeps the size, with zeros where the kernel
 * does not reach. By Winograd that is no more multiplications than 4x4 has, and the convolutions
 * that devices have serve. What is put together for it lies in the workspace, for some images at a
 * time: how many depends on the shape alone, and no bit on how many. */
#include "base/error.h"
#include "device/device.h"
#include "memory/plan.h"
#include "nn/layers/conv_layer.h"

enum { DOWN_KERNEL = 4, DOWN_PART_PIXELS = 16384 };

static int down_part(const struct net_layer *l, int n, int chunk)
{
    return conv_layer_part(DOWN_PART_PIXELS, (int64_t)4 * l->h * l->w, n, chunk);
}

/* The convolution that keeps the size, of `n` images. */
static struct nn_conv down_conv(const struct net *net, int i, int n, int chunk)
{
    struct nn_conv conv = net_conv(net, i, n, chunk);
    conv.cin *= 4;
    conv.kernel = 3;
    conv.groups = 1;
    return conv;
}

/* Where things lie in the workspace. */
struct down_room {
    void *pixels;   /* of one part: [part][h][w][2][2][cin] */
    float *weights; /* [c][2][2][cin][3][3] */
    void *conv;
    size_t weight_bytes;
};

static size_t down_pixel_bytes(const struct net *net, int i, int part)
{
    return plan_aligned((size_t)part * net_bytes(net, net->layers[i].input[0]));
}

static size_t down_weight_bytes(const struct net *net, int i)
{
    const struct net_layer *l = &net->layers[i], *from = &net->layers[l->input[0]];
    return (size_t)l->c * (size_t)(36 * from->c) * sizeof(float);
}

static struct down_room down_room_of(const struct network_pass *s, int i, int part)
{
    char *at = s->workspace;
    struct down_room room = {.pixels = at, .weight_bytes = down_weight_bytes(s->net, i)};
    at += down_pixel_bytes(s->net, i, part);
    room.weights = (void *)at;
    room.conv = at + plan_aligned(room.weight_bytes);
    return room;
}

/* Between an image's pixels and blocks of 2x2 of them. */
static struct nn_strided down_blocks(const struct network_pass *s, int i, int n)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    ptrdiff_t pair = 2 * (ptrdiff_t)from->c, row = l->w * pair;
    return (struct nn_strided){
        .out_type = from->type,
        .in_type = from->type,
        .count = {1, n * l->h, 2, l->w, (int)pair}, /* y, row of a block, x, a pair of pixels */
        .out_stride = {0, 2 * row, pair, 2 * pair, 1},
        .in_stride = {0, 2 * row, row, pair, 1},
    };
}

/* A quarter of the weights of 4x4 between their place and the 3x3 ones: those of the pixels in row
 * y and column x of the blocks, which the kernel meets twice on each axis. */
static struct nn_strided down_quarter(const struct network_pass *s, int i, float *large,
                                      const float *small, int y, int x)
{
    const struct net_layer *l = &s->net->layers[i], *from = &s->net->layers[l->input[0]];
    ptrdiff_t c = from->c, first = (2 * y + x) * c * 9 + 3 * (1 - y) + (1 - x);
    return (struct nn_strided){
        .out = large + first,
        .in = small + DOWN_KERNEL * (1 - y) + (1 - x),
        .out_type = NN_F32,
        .in_type = NN_F32,
        .count = {1, l->c, 2, 2, from->c},
        .out_stride = {0, 36 * c, 3, 1, 9},
        .in_stride = {0, 16 * c, 2 * DOWN_KERNEL, 2, 16},
    };
}

static int down_spread_weights(struct network_pass *s, int i, const struct down_room *room,
                               const float *weights)
{
    TRY(s->device->nn->zero(s->device, room->weights, room->weight_bytes));
    for (int k = 0; k < 4; k++) {
        struct nn_strided copy = down_quarter(s, i, room->weights, weights, k / 2, k % 2);
        TRY(s->device->nn->strided_copy(s->device, &copy));
    }
    return OK;
}

static int down_gather_weights(struct network_pass *s, int i, const struct down_room *room,
                               float *weights)
{
    for (int k = 0; k < 4; k++) {
        struct nn_strided from = down_quarter(s, i, room->weights, weights, k / 2, k % 2);
        struct nn_strided copy = nn_strided_adjoint(from);
        copy.out = (void *)from.in;
        copy.in = from.out;
        TRY(s->device->nn->strided_copy(s->device, &copy));
    }
    return OK;
}

static int conv_down_shape(const struct net *net, struct net_layer *l)
{
    const struct net_layer *from = &net->layers[l->input[0]];
    l->h = from->h / 2;
    l->w = from->w / 2;
    return from->h % 2 || from->w % 2
               ? fail(ERR_CONFIG, "%d x %d cannot be halved", from->w, from->h)
               : OK;
}

static int conv_down_weight_shape(const struct net *net, const struct net_layer *l, int64_t *shape)
{
    shape[0] = l->c;
    shape[1] = net->layers[l->input[0]].c;
    shape[2] = shape[3] = DOWN_KERNEL;
    return 4;
}

static int conv_down_forward(struct network_pass *s, int i, enum pass_masks masks)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[0], part = down_part(l, s->n, s->chunk), n;
    struct down_room room = down_room_of(s, i, part);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(down_spread_weights(s, i, &room, pass_weights(s, l->weight)));
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_strided blocks = down_blocks(s, i, n);
        struct nn_conv shape = down_conv(s->net, i, n, s->chunk);
        struct nn_epilogue e = conv_layer_epilogue(s, i, masks, first);
        blocks.out = room.pixels;
        blocks.in = pass_image(s, from, s->value[from], first);
        TRY(s->device->nn->strided_copy(s->device, &blocks));
        TRY(s->device->nn->conv_forward(s->device, &shape, pass_image(s, i, s->value[i], first),
                                        room.pixels, room.weights, &e, room.conv));
    }
    return OK;
}

static int conv_down_backward(struct network_pass *s, int i, int slot, void *to, bool add)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[slot], part = down_part(l, s->n, s->chunk), n;
    struct down_room room = down_room_of(s, i, part);
    const struct nn_epilogue e = {.slope = 1};
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(down_spread_weights(s, i, &room, pass_weights(s, l->weight)));
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_strided pixels = nn_strided_adjoint(down_blocks(s, i, n));
        struct nn_conv shape = down_conv(s->net, i, n, s->chunk);
        TRY(s->device->nn->conv_dgrad(s->device, &shape, room.pixels,
                                      pass_image(s, i, s->grad[i], first), room.weights, &e,
                                      room.conv));
        pixels.out = pass_image(s, from, to, first);
        pixels.in = room.pixels;
        pixels.add = add;
        TRY(s->device->nn->strided_copy(s->device, &pixels));
    }
    return OK;
}

/* What is there already is spread as well, so that all images are added to it in one order. */
static int conv_down_weight_gradient(struct network_pass *s, int i)
{
    const struct net_layer *l = &s->net->layers[i];
    int from = l->input[0], part = down_part(l, s->n, s->chunk), n;
    struct down_room room = down_room_of(s, i, part);
    float *gradient = pass_gradient(s, l->weight);
    s->macs += net_layer_macs(s->net, i) * s->n;
    TRY(down_spread_weights(s, i, &room, gradient));
    for (int first = 0; first < s->n; first += n) {
        n = s->n - first < part ? s->n - first : part;
        struct nn_strided blocks = down_blocks(s, i, n);
        struct nn_conv shape = down_conv(s->net, i, n, s->chunk);
        blocks.out = room.pixels;
        blocks.in = pass_image(s, from, s->value[from], first);
        TRY(s->device->nn->strided_copy(s->device, &blocks));
        TRY(s->device->nn->conv_wgrad(s->device, &shape, room.weights, room.pixels,
                                      pass_image(s, i, s->grad[i], first), room.conv));
    }
    TRY(down_gather_weights(s, i, &room, gradient));
    return conv_layer_bias_gradient(s, i, pass_gradient(s, l->bias));
}

static double conv_down_macs(const struct net *net, int i)
{
    const struct net_layer *l = &net->layers[i];
    return (double)l->h * l->w * l->c * net->layers[l->input[0]].c * DOWN_KERNEL * DOWN_KERNEL;
}

static size_t conv_down_workspace(const struct net *net, const struct device *device, int i, int n,
                                  int chunk)
{
    int part = down_part(&net->layers[i], n, chunk);
    struct nn_conv shape = down_conv(net, i, part, chunk);
    return down_pixel_bytes(net, i, part) + plan_aligned(down_weight_bytes(net, i)) +
           device->nn->conv_workspace(device, &shape);
}

const struct nn_layer_kind layer_conv_down = {
    .name = "conv_down",
    .inputs_least = 1,
    .inputs_most = 1,
    .shape = conv_down_shape,
    .weight_shape = conv_down_weight_shape,
    .forward = conv_down_forward,
    .backward = conv_down_backward,
    .weight_gradient = conv_down_weight_gradient,
    .keeps = NN_KEEPS_INPUTS,
    .can_fuse = true,
    .can_add = true,
    .is_piecewise_linear = true,
    .macs = conv_down_macs,
    .workspace = conv_down_workspace,
};
