/* Doing what was drawn. */
#include "sr/degrade/degradation.h"

#include "base/error.h"
#include "math/shown_sample.h"

#include <math.h>

/* ---- memory ---- */

struct degrade_size {
    int w, h;
};

static int degrade_side(int side, double factor)
{
    int result = (int)floor(side * factor + 0.5);
    return result > 1 ? result : 1;
}

static struct degrade_size degrade_size_of(struct degrade_size size, double factor)
{
    return (struct degrade_size){degrade_side(size.w, factor), degrade_side(size.h, factor)};
}

static size_t size_floats(struct degrade_size size)
{
    return (size_t)size.w * (size_t)size.h * 3;
}

static size_t degrade_most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The largest that a round may make of a size: reducing is from `low` to 1, whatever `low` is. */
static struct degrade_size round_largest(const struct degrade_round_choices *c,
                                         struct degrade_size from)
{
    double up = c->resize_prob[0] > 0 ? c->resize.high : 1.0;
    double down = c->resize_prob[1] > 0 ? c->resize.low : 1.0;
    return degrade_size_of(from, fmax(1.0, fmax(up, down)));
}

/* Two images and what an operation takes. None takes more for a smaller image. */
struct degrade_room {
    size_t image, scratch;
};

static void room_for_resize(struct degrade_room *room, struct degrade_size from,
                            struct degrade_size to)
{
    room->image = degrade_most_of(room->image, degrade_most_of(size_floats(from), size_floats(to)));
    room->scratch = degrade_most_of(room->scratch, degrade_resize_floats(from.w, from.h, to.w));
}

/* A blur, and a resize of what comes of it. */
static void room_for_blur_resize(struct degrade_room *room, struct degrade_size from,
                                 struct degrade_size to, int side)
{
    size_t floats = degrade_blur_resize_floats(from.w, to.w, side);
    room->scratch = degrade_most_of(room->scratch, floats);
}

static void room_for_blur(struct degrade_room *room, struct degrade_size size, int side)
{
    room->scratch = degrade_most_of(room->scratch, degrade_blur_floats(size.w, side));
}

static struct degrade_room degrade_room_of(const struct degrade_choices *c, int w, int h)
{
    struct degrade_size lq = {w, h}, gt = {w * c->scale, h * c->scale};
    struct degrade_size first = round_largest(&c->round[0], gt);
    struct degrade_size second = round_largest(&c->round[1], lq);
    struct degrade_room room = {0, degrade_poisson_bytes() / sizeof(float) + 1};
    if (c->usm)
        room.scratch =
            degrade_most_of(room.scratch, degrade_sharpen_floats(gt.w, gt.h, c->usm_high));
    if (c->thick_prob > 0)
        room.scratch = degrade_most_of(room.scratch, degrade_thicken_floats(gt.w, gt.h));
    room_for_blur(&room, gt, c->round[0].side_high);
    room_for_blur(&room, first, c->round[1].side_high);
    room_for_blur(&room, lq, c->last_side_high);
    room_for_blur_resize(&room, gt, first, c->round[0].side_high);
    room_for_blur_resize(&room, first, second, c->round[1].side_high);
    room_for_resize(&room, gt, first);
    room_for_resize(&room, first, second);
    room_for_resize(&room, second, lq);
    room.image = (room.image + 15) / 16 * 16; /* each begins as memory does */
    return room;
}

size_t degrade_window_bytes(const struct degrade_choices *choices, int w, int h)
{
    struct degrade_room room = degrade_room_of(choices, w, h);
    return (2 * room.image + room.scratch) * sizeof(float);
}

/* ---- stages ---- */

struct degrade_state {
    struct degrade_size size;
    float *image, *other;
    void *scratch;
    int scale;
};

static void degrade_swap(struct degrade_state *s)
{
    float *image = s->image;
    s->image = s->other;
    s->other = image;
}

static void degrade_to_size(struct degrade_state *s, struct degrade_size to,
                            enum degrade_resize mode)
{
    if (to.w == s->size.w && to.h == s->size.h) return;
    degrade_resize(s->other, to.w, to.h, s->image, s->size.w, s->size.h, mode, s->scratch);
    degrade_swap(s);
    s->size = to;
}

static void degrade_by_kernel(struct degrade_state *s, const struct degrade_kernel *of)
{
    float kernel[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    degrade_kernel_make(kernel, of);
    degrade_blur(s->other, s->image, s->size.w, s->size.h, kernel, of->size, s->scratch);
    degrade_swap(s);
}

static void degrade_by_noise(struct degrade_state *s, const struct degrade_round *round,
                             const struct degrade_draws *draws)
{
    if (round->gaussian)
        degrade_gaussian_noise(s->image, s->size.w, s->size.h, round->amount, round->grey, draws);
    else
        degrade_poisson_noise(s->scratch, s->image, s->size.w, s->size.h, round->amount,
                              round->grey, draws);
}

static int degrade_by_jpeg(struct degrade_state *s, int quality)
{
    return quality > 0 ? degrade_jpeg(s->image, s->size.w, s->size.h, quality) : OK;
}

/* The same as both, one after the other. */
static void degrade_blur_to_size(struct degrade_state *s, const struct degrade_kernel *of,
                                 struct degrade_size to, enum degrade_resize mode)
{
    float kernel[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    degrade_kernel_make(kernel, of);
    if (to.h < s->size.h && degrade_blur_resize(s->other, to.w, to.h, s->image, s->size.w,
                                                s->size.h, kernel, of->size, mode, s->scratch)) {
        degrade_swap(s);
        s->size = to;
        return;
    }
    degrade_blur(s->other, s->image, s->size.w, s->size.h, kernel, of->size, s->scratch);
    degrade_swap(s);
    degrade_to_size(s, to, mode);
}

/* Blur, size and noise; `whole`: the size that the factor is relative to. */
static void degrade_by_round(struct degrade_state *s, const struct degrade_round *round,
                             struct degrade_size whole, const struct degrade_draws *draws)
{
    struct degrade_size to = degrade_size_of(whole, round->factor);
    if (round->blur)
        degrade_blur_to_size(s, &round->kernel, to, round->mode);
    else
        degrade_to_size(s, to, round->mode);
    degrade_by_noise(s, round, draws);
}

static int degrade_to_lq(struct degrade_state *s, struct degrade_size lq,
                         const struct degrade_recipe *recipe)
{
    int quality = recipe->round[1].quality;
    if (!recipe->jpeg_last) TRY(degrade_by_jpeg(s, quality));
    degrade_to_size(s, lq, recipe->last_mode);
    if (recipe->last_sinc) degrade_by_kernel(s, &recipe->last_kernel);
    return recipe->jpeg_last ? degrade_by_jpeg(s, quality) : OK;
}

int degrade_window(const float **lq, void *memory, int w, int h,
                   const struct degrade_choices *choices, const struct degrade_recipe *recipe)
{
    const struct degrade_room room = degrade_room_of(choices, w, h);
    const struct degrade_size small = {w, h}, large = {w * choices->scale, h * choices->scale};
    struct degrade_state s = {.size = large,
                              .image = memory,
                              .other = (float *)memory + room.image,
                              .scratch = (float *)memory + 2 * room.image};
    struct degrade_draws draws = recipe->noise;
    if (recipe->usm) degrade_sharpen(s.image, large.w, large.h, recipe->usm, s.scratch);
    if (recipe->thick) degrade_thicken(s.image, large.w, large.h, s.scratch);
    degrade_by_round(&s, &recipe->round[0], large, &draws);
    TRY(degrade_by_jpeg(&s, recipe->round[0].quality));
    draws.field++;
    degrade_by_round(&s, &recipe->round[1], small, &draws);
    TRY(degrade_to_lq(&s, small, recipe));
    for (size_t i = 0; i < size_floats(small); i++)
        s.image[i] = (float)(int)(shown_clamped(s.image[i]) * 255.0f + 0.5f) * (1.0f / 255.0f);
    *lq = s.image;
    return OK;
}
