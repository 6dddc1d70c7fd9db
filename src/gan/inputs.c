#include "gan/inputs.h"

#include "base/error.h"
#include "device/device.h"
#include "gan/core.h"
#include "math/augment.h"
#include "memory/plan.h"

static size_t inputs_picture_bytes(const struct gan_core *core)
{
    return (size_t)(core->h * core->w * core->c);
}

/* The next array. */
static char *inputs_place(char *memory, size_t *used, size_t bytes)
{
    char *at = memory ? memory + *used : NULL;
    *used += (bytes + PLAN_ALIGNMENT - 1) / PLAN_ALIGNMENT * PLAN_ALIGNMENT;
    return at;
}

static struct gan_block place_block(const struct gan_core *core, char *memory, size_t *used)
{
    size_t span = (size_t)gan_span(core), draws = sizeof(struct nn_augment);
    size_t row = (size_t)gan_z_stride(core) * sizeof(float);
    struct gan_block b;
    b.real_draws = (void *)inputs_place(memory, used, span * draws);
    b.fake_draws = (void *)inputs_place(memory, used, span * draws);
    b.pair_draws = (void *)inputs_place(memory, used, 2 * span * draws);
    b.labels = (void *)inputs_place(memory, used, span * sizeof(int));
    b.pair_labels = (void *)inputs_place(memory, used, 2 * span * sizeof(int));
    b.z = (void *)inputs_place(memory, used, span * row);
    b.flips = (void *)inputs_place(memory, used, span);
    b.pixels = (void *)inputs_place(memory, used, span * inputs_picture_bytes(core));
    return b;
}

size_t gan_step_inputs_layout(const struct gan_core *core, struct gan_step_inputs *inputs,
                              char *memory)
{
    struct gan_step_inputs f = {.memory = memory};
    size_t used = 0;
    f.numbers = (void *)inputs_place(memory, &used, sizeof *f.numbers);
    f.step[GAN_D] = place_block(core, memory, &used);
    f.step[GAN_G] = core->ahead ? place_block(core, memory, &used) : f.step[GAN_D];
    if (inputs) *inputs = f;
    return used;
}

struct gan_block gan_block_from(const struct gan_core *core, const struct gan_block *block,
                                int first)
{
    struct gan_block b = *block;
    b.real_draws += first;
    b.fake_draws += first;
    b.pair_draws += 2 * first;
    b.labels += first;
    b.pair_labels += 2 * first;
    b.z += first * gan_z_stride(core);
    b.flips += first;
    b.pixels += (size_t)first * inputs_picture_bytes(core);
    return b;
}

/* The inputs as D sees them: pairs that alternate (D step), or fakes before reals (G step), in each
 * micro-batch. */
static void arrange_pairs(const struct gan_core *core, const struct gan_block *block,
                          enum gan_which which, int total)
{
    int micro = core->choices.micro;
    for (int first = 0; first < total; first += micro) {
        struct gan_block b = gan_block_from(core, block, first);
        int n = total - first < micro ? total - first : micro;
        for (int i = 0; i < n; i++) {
            int real = which == GAN_D ? 2 * i : n + i, fake = which == GAN_D ? 2 * i + 1 : i;
            b.pair_draws[real] = b.real_draws[i];
            b.pair_draws[fake] = b.fake_draws[i];
            b.pair_labels[real] = b.pair_labels[fake] = b.labels[i];
        }
    }
}

int gan_block_fill(struct gan_core *core, const struct gan_block *b, enum gan_which which,
                   int first, int n)
{
    struct gan_inputs inputs = {
        .first = first,
        .n = n,
        .pixels = b->pixels,
        .flips = b->flips,
        .z = b->z,
        .z_count = core->design.z,
        .z_stride = gan_z_stride(core),
        .labels = b->labels,
        .real_draws = b->real_draws,
        .fake_draws = b->fake_draws,
    };
    TRY(core->fill(core->fill_context, which, &inputs));
    arrange_pairs(core, b, which, n);
    return OK;
}

int gan_upload(struct gan_core *core, void *to, const void *from, size_t bytes)
{
    return to == from ? OK : core->device->upload(core->device, to, from, bytes);
}
