#include "device/nn_losses.h"

#include "base/error.h"
#include "math/fft.h"
#include "math/portable.h"
#include "math/resampling.h"

#include <math.h>

size_t nn_reduced_loss_floats(int n, int side, int factor)
{
    size_t reduced = (size_t)(side / factor);
    return 3 * (size_t)n * reduced * ((size_t)side + reduced);
}

size_t nn_reduced_loss_count(int side, int factor, enum nn_loss_colour colour)
{
    static const size_t channels[] = {
        [NN_COLOUR_RGB] = 3, [NN_COLOUR_CHROMA] = 2, [NN_COLOUR_LUMA] = 1};
    size_t reduced = (size_t)(side / factor);
    return reduced * reduced * channels[colour];
}

int nn_check_reduced_loss(const struct nn_reduced_loss *loss)
{
    const struct nn_reduction *r = &loss->reduction;
    if (loss->n > 0 && loss->side > 0 && r->factor > 0 && r->factor <= NN_FACTOR_MOST &&
        loss->side % r->factor == 0 && r->taps > 0 && r->taps <= NN_TAPS_MOST)
        return OK;
    return fail(ERR_USAGE, "reduced_loss: %d images of side %d, reduced by %d with %d taps",
                loss->n, loss->side, r->factor, r->taps);
}

struct nn_reduction nn_reduction_box(int factor)
{
    struct nn_reduction r = {.factor = factor, .taps = factor};
    for (int k = 0; k < factor; k++)
        r.tap[k] = 1 / (float)factor;
    return r;
}

static size_t ssim_room(size_t *used, size_t count)
{
    size_t at = *used;
    *used += (count + 15) / 16 * 16;
    return at;
}

struct nn_ssim_layout nn_ssim_layout_of(int n, int side)
{
    struct nn_ssim_layout l = {.scales = 0};
    size_t used = 0, images = (size_t)n, columns = 0;
    for (int s = side; l.scales < MS_SSIM_SCALES && s > MS_SSIM_MARGIN; s = (s + 1) / 2)
        l.side[l.scales++] = s;
    l.rows = ssim_room(&used, 3 * images * (size_t)side);
    l.means = ssim_room(&used, 3 * images * MS_SSIM_SCALES);
    l.factors = ssim_room(&used, 3 * images * MS_SSIM_SCALES);
    used *= sizeof(double) / sizeof(float);
    for (int s = 0; s < l.scales; s++) {
        size_t own = (size_t)l.side[s], padded = own + MS_SSIM_MARGIN;
        size_t windows = own - MS_SSIM_MARGIN;
        if (s > 0) {
            l.out[s] = ssim_room(&used, 3 * images * own * own);
            l.target[s] = ssim_room(&used, 3 * images * own * own);
            l.grad[s] = ssim_room(&used, 3 * images * own * own);
        }
        l.slopes[s] = ssim_room(&used, 9 * images * padded * padded);
        if (12 * windows * own > columns) columns = 12 * windows * own;
        if (9 * own * padded > columns) columns = 9 * own * padded;
    }
    l.columns = ssim_room(&used, images * columns);
    l.bytes = used * sizeof(float);
    return l;
}

int nn_check_ssim_loss(const struct nn_ssim_loss *loss)
{
    if (loss->n > 0 && loss->side > MS_SSIM_MARGIN) return OK;
    return fail(ERR_USAGE, "ssim_loss: %d images of side %d", loss->n, loss->side);
}

void nn_fft_turns(float *turns, int side)
{
    for (int k = 0; k < side; k++) {
        double angle = -2 * PORTABLE_PI * k / side;
        turns[2 * k] = (float)portable_cos(angle);
        turns[2 * k + 1] = (float)portable_sin(angle);
    }
}

size_t nn_fft_loss_floats(int n, int side)
{
    return 12 * (size_t)n * (size_t)side * (size_t)side;
}

size_t nn_fft_loss_count(int side)
{
    return 6 * (size_t)side * (size_t)fft_half(side);
}

int nn_check_fft_loss(const struct nn_fft_loss *loss)
{
    if (loss->n > 0 && loss->side > 0) return OK;
    return fail(ERR_USAGE, "fft_loss: %d images of side %d", loss->n, loss->side);
}

int nn_check_hsluv_loss(const struct nn_hsluv_loss *loss)
{
    if (loss->n > 0 && loss->side > 0) return OK;
    return fail(ERR_USAGE, "hsluv_loss: %d images of side %d", loss->n, loss->side);
}

struct nn_reduction nn_reduction_bicubic(int factor)
{
    struct nn_reduction r = {.factor = factor};
    double centre = (factor - 1) / 2.0, sum = 0; /* of reduced pixel 0 */
    if (factor == 1) return nn_reduction_box(1);
    r.first = (int)floor(centre - 2.0 * factor) + 1;
    r.taps = (int)ceil(centre + 2.0 * factor) - r.first;
    for (int k = 0; k < r.taps; k++)
        sum += resampling_cubic((r.first + k - centre) / factor);
    for (int k = 0; k < r.taps; k++)
        r.tap[k] = (float)(resampling_cubic((r.first + k - centre) / factor) / sum);
    return r;
}
