/* Drawing, and what was drawn as text. */
#include "base/random.h"
#include "math/portable.h"
#include "sr/degrade/degradation.h"

#include <inttypes.h>

/* Kinds of kernels, as sr.kernel_list has them. */
enum degrade_kernel_kind {
    KERNEL_ISO,
    KERNEL_ANISO,
    KERNEL_GENERALIZED_ISO,
    KERNEL_GENERALIZED_ANISO,
    KERNEL_PLATEAU_ISO,
    KERNEL_PLATEAU_ANISO,
};

/* Stages have numbers of their own each, so that a draw more in one leaves the others as they are.
 */
enum { STAGE_FIRST, STAGE_BLUR, STAGE_RESIZE, STAGE_NOISE, STAGE_JPEG, STAGE_LAST = 16, STAGE_CUT };
enum { STAGES_OF_ROUND = 4, STAGE_BITS = 14, SAMPLE_BITS = 20 };

struct degrade_dice {
    uint64_t seed, step, index;
};

/* In (0, 1), to 32 bits: below a probability of 1, never below one of 0. */
static double degrade_throw(struct degrade_dice *dice)
{
    struct philox4 words = philox_draw(dice->seed, STREAM_SR_DEGRADE, dice->step, dice->index++);
    return ((double)words.v[0] + 0.5) * 0x1p-32;
}

static void degrade_stage(struct degrade_dice *dice, uint32_t sample, int stage)
{
    dice->index = (uint64_t)sample << SAMPLE_BITS | (uint64_t)stage << STAGE_BITS;
}

static double throw_between(struct degrade_dice *dice, double low, double high)
{
    return low + (high - low) * degrade_throw(dice);
}

static double throw_range(struct degrade_dice *dice, const struct degrade_range *range)
{
    return throw_between(dice, range->low, range->high);
}

/* One of low .. high. */
static int throw_whole(struct degrade_dice *dice, int low, int high)
{
    return low + (int)(degrade_throw(dice) * (high - low + 1));
}

static int throw_weighted(struct degrade_dice *dice, const double *weights, int count)
{
    double sum = 0.0, at;
    for (int i = 0; i < count; i++)
        sum += weights[i];
    at = degrade_throw(dice) * sum;
    for (int i = 0; i < count; i++) {
        if (at < weights[i]) return i;
        at -= weights[i];
    }
    while (count > 1 && !(weights[count - 1] > 0.0))
        count--; /* what rounding has left is the last's that is possible */
    return count - 1;
}

static int throw_choice(struct degrade_dice *dice, const struct degrade_choice *choice)
{
    return choice->value[throw_weighted(dice, choice->weight, choice->count)];
}

/* ---- kernels ---- */

static struct degrade_kernel throw_sinc(struct degrade_dice *dice, int size, double low)
{
    return (struct degrade_kernel){
        .shape = DEGRADE_SINC, .size = size, .omega = throw_between(dice, low, PORTABLE_PI)};
}

/* Below 1 or above it, with equal chances, as far as the range has both. */
static double throw_exponent(struct degrade_dice *dice, const struct degrade_range *range)
{
    double middle = range->low > 1.0 ? range->low : range->high < 1.0 ? range->high : 1.0;
    bool below = degrade_throw(dice) < 0.5;
    return below ? throw_between(dice, range->low, middle)
                 : throw_between(dice, middle, range->high);
}

static struct degrade_kernel throw_smooth(struct degrade_dice *dice, int size,
                                          const struct degrade_round_choices *c)
{
    struct degrade_kernel kernel = {.shape = DEGRADE_GAUSSIAN, .size = size, .beta = 1.0};
    int kind = throw_choice(dice, &c->kernels);
    kernel.sigma_x = kernel.sigma_y = throw_range(dice, &c->sigma);
    if (kind == KERNEL_ANISO || kind == KERNEL_GENERALIZED_ANISO || kind == KERNEL_PLATEAU_ANISO) {
        kernel.sigma_y = throw_range(dice, &c->sigma);
        kernel.angle = throw_between(dice, -PORTABLE_PI, PORTABLE_PI);
    }
    if (kind == KERNEL_GENERALIZED_ISO || kind == KERNEL_GENERALIZED_ANISO) {
        kernel.shape = DEGRADE_GENERALIZED;
        kernel.beta = throw_exponent(dice, &c->betag);
    } else if (kind == KERNEL_PLATEAU_ISO || kind == KERNEL_PLATEAU_ANISO) {
        kernel.shape = DEGRADE_PLATEAU;
        kernel.beta = throw_exponent(dice, &c->betap);
    }
    return kernel;
}

static int throw_kernel_side(struct degrade_dice *dice, int low, int high)
{
    return low + 2 * throw_whole(dice, 0, (high - low) / 2);
}

/* ---- a recipe ---- */

static void throw_round(struct degrade_round *round, const struct degrade_round_choices *c,
                        struct degrade_dice *dice, uint32_t sample, int first_stage)
{
    degrade_stage(dice, sample, first_stage + STAGE_BLUR);
    round->blur = degrade_throw(dice) < c->blur_prob;
    int side = throw_kernel_side(dice, c->side_low, c->side_high);
    if (degrade_throw(dice) < c->sinc_prob)
        round->kernel = throw_sinc(dice, side, side < 13 ? PORTABLE_PI / 3 : PORTABLE_PI / 5);
    else
        round->kernel = throw_smooth(dice, side, c);
    degrade_stage(dice, sample, first_stage + STAGE_RESIZE);
    int way = throw_weighted(dice, c->resize_prob, 3);
    double factor = way == 0 ? throw_between(dice, 1.0, c->resize.high)
                             : throw_between(dice, c->resize.low, 1.0);
    round->factor = way == 2 ? 1.0 : factor;
    round->mode = (enum degrade_resize)throw_choice(dice, &c->modes);
    degrade_stage(dice, sample, first_stage + STAGE_NOISE);
    round->gaussian = degrade_throw(dice) < c->gaussian_prob;
    round->amount =
        round->gaussian ? throw_range(dice, &c->noise) / 255.0 : throw_range(dice, &c->poisson);
    round->grey = degrade_throw(dice) < c->grey_prob;
    degrade_stage(dice, sample, first_stage + STAGE_JPEG);
    bool jpeg = degrade_throw(dice) < c->jpeg_prob;
    int quality = (int)(throw_range(dice, &c->jpeg) + 0.5);
    round->quality = jpeg ? quality : 0;
}

void degrade_recipe_draw(struct degrade_recipe *recipe, const struct degrade_choices *choices,
                         uint64_t seed, uint64_t step, uint32_t index)
{
    struct degrade_dice dice = {.seed = seed, .step = step};
    *recipe = (struct degrade_recipe){.noise = {seed, step, 2 * index}};
    degrade_stage(&dice, index, STAGE_FIRST);
    recipe->paired = degrade_throw(&dice) < choices->paired_prob;
    recipe->thick = degrade_throw(&dice) < choices->thick_prob;
    if (choices->usm) recipe->usm = throw_whole(&dice, choices->usm_low, choices->usm_high) | 1;
    for (int r = 0; r < DEGRADE_ROUNDS; r++)
        throw_round(&recipe->round[r], &choices->round[r], &dice, index, r * STAGES_OF_ROUND);
    degrade_stage(&dice, index, STAGE_LAST);
    recipe->last_mode = (enum degrade_resize)throw_choice(&dice, &choices->last_modes);
    recipe->last_sinc = degrade_throw(&dice) < choices->last_sinc_prob;
    int side = throw_kernel_side(&dice, choices->last_side_low, choices->last_side_high);
    recipe->last_kernel = throw_sinc(&dice, side, PORTABLE_PI / 3);
    recipe->jpeg_last = degrade_throw(&dice) < 0.5;
    degrade_stage(&dice, index, STAGE_CUT);
    recipe->x = throw_whole(&dice, 0, DEGRADE_SHIFTS - 1);
    recipe->y = throw_whole(&dice, 0, DEGRADE_SHIFTS - 1);
}

/* ---- how far it reaches ---- */

/* Pixels of the coarser of two grids that a resize looks at, in pixels of LQ; `from` and `to`: of
 * each grid, pixels in one of LQ. */
static double resize_reach(enum degrade_resize mode, double from, double to)
{
    static const int reach[] = {[DEGRADE_AREA] = 1,
                                [DEGRADE_BILINEAR] = 1,
                                [DEGRADE_BICUBIC] = 2,
                                [DEGRADE_NEAREST_EXACT] = 1,
                                [DEGRADE_LANCZOS3] = 3};
    return reach[mode] / (from < to ? from : to);
}

static double round_reach(const struct degrade_round *round, double from, double to)
{
    double blur = round->blur ? round->kernel.size / 2 / from : 0.0;
    return blur + resize_reach(round->mode, from, to);
}

int degrade_recipe_margin(const struct degrade_recipe *recipe, int scale)
{
    double first = scale * recipe->round[0].factor, second = recipe->round[1].factor;
    double reach = (double)(recipe->usm + recipe->thick) / scale; /* sharpening blurs twice */
    reach += round_reach(&recipe->round[0], scale, first);
    reach += round_reach(&recipe->round[1], first, second);
    reach += resize_reach(recipe->last_mode, second, 1.0);
    if (recipe->last_sinc) reach += recipe->last_kernel.size / 2;
    int margin = (int)reach + 1 + DEGRADE_SHIFTS / 2;
    return margin < DEGRADE_MARGIN ? margin : DEGRADE_MARGIN;
}

/* ---- text ---- */

static void write_kernel(FILE *to, const char *name, const struct degrade_kernel *kernel)
{
    static const char *const shapes[] = {"gaussian", "generalized", "plateau", "sinc"};
    fprintf(to, "\"%s\": {\"shape\": \"%s\", \"size\": %d", name, shapes[kernel->shape],
            kernel->size);
    if (kernel->shape == DEGRADE_SINC)
        fprintf(to, ", \"omega\": %.9g", kernel->omega);
    else
        fprintf(to, ", \"sigma_x\": %.9g, \"sigma_y\": %.9g, \"angle\": %.9g", kernel->sigma_x,
                kernel->sigma_y, kernel->angle);
    if (kernel->shape == DEGRADE_GENERALIZED || kernel->shape == DEGRADE_PLATEAU)
        fprintf(to, ", \"beta\": %.9g", kernel->beta);
    fputs("}, ", to);
}

static const char *resize_word(enum degrade_resize mode)
{
    static const char *const words[] = {"area", "bilinear", "bicubic", "nearest-exact", "lanczos"};
    return words[mode];
}

static void write_round(FILE *to, const struct degrade_round *round)
{
    fputc('{', to);
    if (round->blur) write_kernel(to, "blur", &round->kernel);
    fprintf(to, "\"resize\": %.9g, \"mode\": \"%s\", ", round->factor, resize_word(round->mode));
    fprintf(to, "\"%s\": %.9g, \"gray\": %s, ", round->gaussian ? "gaussian" : "poisson",
            round->gaussian ? 255.0 * round->amount : round->amount,
            round->grey ? "true" : "false");
    if (round->quality)
        fprintf(to, "\"jpeg\": %d}", round->quality);
    else
        fputs("\"jpeg\": null}", to);
}

void degrade_recipe_write(FILE *to, const struct degrade_recipe *recipe)
{
    if (recipe->paired) {
        fputs("{\"paired\": true}", to);
        return;
    }
    fputc('{', to);
    if (recipe->usm) fprintf(to, "\"usm\": %d, ", recipe->usm);
    if (recipe->thick) fputs("\"thicklines\": true, ", to);
    fputs("\"first\": ", to);
    write_round(to, &recipe->round[0]);
    fputs(",\n \"second\": ", to);
    write_round(to, &recipe->round[1]);
    fprintf(to, ",\n \"last\": {\"mode\": \"%s\", ", resize_word(recipe->last_mode));
    if (recipe->last_sinc) write_kernel(to, "sinc", &recipe->last_kernel);
    fprintf(to, "\"jpeg\": \"%s\"}, \"shift\": [%d, %d]}",
            recipe->round[1].quality ? recipe->jpeg_last ? "after" : "before" : "none", recipe->x,
            recipe->y);
}
