#include "gan/inputs.h"

#include "base/error.h"
#include "math/augment.h"
#include "memory/plan.h"

static size_t gan_image_bytes(const struct gan_input_shape *shape)
{
    return (size_t)(shape->h * shape->w * shape->c);
}

/* The next array. */
static char *inputs_place(char *memory, size_t *used, size_t bytes)
{
    char *at = memory ? memory + *used : NULL;
    *used += plan_aligned(bytes);
    return at;
}

static struct gan_block place_block(const struct gan_input_shape *shape, char *memory, size_t *used)
{
    size_t span = (size_t)shape->span, draws = sizeof(struct nn_augment);
    size_t row = (size_t)shape->z_stride * sizeof(float);
    struct gan_block b;
    b.real_draws = (void *)inputs_place(memory, used, span * draws);
    b.fake_draws = (void *)inputs_place(memory, used, span * draws);
    b.pair_draws = (void *)inputs_place(memory, used, 2 * span * draws);
    b.labels = (void *)inputs_place(memory, used, span * sizeof(int));
    b.pair_labels = (void *)inputs_place(memory, used, 2 * span * sizeof(int));
    b.z = (void *)inputs_place(memory, used, span * row);
    b.flips = (void *)inputs_place(memory, used, span);
    b.pixels = (void *)inputs_place(memory, used, span * gan_image_bytes(shape));
    return b;
}

size_t gan_step_inputs_layout(const struct gan_input_shape *shape, struct gan_step_inputs *inputs,
                              char *memory)
{
    struct gan_step_inputs f = {.memory = memory};
    size_t used = 0;
    f.numbers = (void *)inputs_place(memory, &used, sizeof *f.numbers);
    f.step[GAN_D] = place_block(shape, memory, &used);
    f.step[GAN_G] = shape->ahead ? place_block(shape, memory, &used) : f.step[GAN_D];
    if (inputs) *inputs = f;
    return used;
}

struct gan_block gan_block_from(const struct gan_input_shape *shape, const struct gan_block *block,
                                int first)
{
    struct gan_block b = *block;
    b.real_draws += first;
    b.fake_draws += first;
    b.pair_draws += 2 * first;
    b.labels += first;
    b.pair_labels += 2 * first;
    b.z += first * shape->z_stride;
    b.flips += first;
    b.pixels += (size_t)first * gan_image_bytes(shape);
    return b;
}

/* The inputs as D sees them: pairs that alternate (D step), or fakes before reals (G step), in each
 * micro-batch. */
static void arrange_pairs(const struct gan_input_shape *shape, const struct gan_block *block,
                          enum gan_which which, int total, int micro)
{
    for (int first = 0; first < total; first += micro) {
        struct gan_block b = gan_block_from(shape, block, first);
        int n = total - first < micro ? total - first : micro;
        for (int i = 0; i < n; i++) {
            int real = which == GAN_D ? 2 * i : n + i, fake = which == GAN_D ? 2 * i + 1 : i;
            b.pair_draws[real] = b.real_draws[i];
            b.pair_draws[fake] = b.fake_draws[i];
            b.pair_labels[real] = b.pair_labels[fake] = b.labels[i];
        }
    }
}

int gan_block_fill(const struct gan_input_shape *shape, const struct gan_block *b,
                   enum gan_which which, int first, int n, int micro, gan_fill *fill, void *context)
{
    struct gan_inputs inputs = {
        .first = first,
        .n = n,
        .pixels = b->pixels,
        .flips = b->flips,
        .z = b->z,
        .z_count = shape->z,
        .z_stride = shape->z_stride,
        .labels = b->labels,
        .real_draws = b->real_draws,
        .fake_draws = b->fake_draws,
    };
    TRY(fill(context, which, &inputs));
    arrange_pairs(shape, b, which, n, micro);
    return OK;
}
