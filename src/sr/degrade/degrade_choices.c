/* From the keys of the config to what may be drawn. */
#include "base/error.h"
#include "config/config.h"
#include "sr/degrade/degradation.h"

#include <stdbool.h>

static int read_probability_list(const char *key, const struct config_reals *list, int count,
                                 double *out)
{
    double sum = 0;
    if (list->count != count)
        return fail(ERR_CONFIG, "%s: expected %d numbers, got %d", key, count, list->count);
    for (int i = 0; i < count; i++)
        sum += out[i] = list->values[i];
    return sum > 0 ? OK : fail(ERR_CONFIG, "%s: all are 0", key);
}

static int read_choice(struct degrade_choice *choice, const char *key,
                       const struct config_words *words, const char *weights_key,
                       const struct config_reals *weights)
{
    if (words->count < 1 || words->count > DEGRADE_CHOICES)
        return fail(ERR_CONFIG, "%s: expected 1 to %d words", key, DEGRADE_CHOICES);
    choice->count = words->count;
    for (int i = 0; i < words->count; i++)
        choice->value[i] = words->values[i];
    return read_probability_list(weights_key, weights, words->count, choice->weight);
}

static int read_range(struct degrade_range *range, const char *key, const struct config_reals *list)
{
    if (list->count != 2 || !(list->values[0] <= list->values[1]))
        return fail(ERR_CONFIG, "%s: expected two numbers, the first not above the second", key);
    *range = (struct degrade_range){list->values[0], list->values[1]};
    return OK;
}

/* Sides of kernels are odd, from the first to the second. */
static int read_sides(int *low, int *high, const char *key, const struct config_list *list)
{
    if (list->count != 2 || list->values[0] > list->values[1])
        return fail(ERR_CONFIG, "%s: expected two whole numbers, the first not above the second",
                    key);
    *low = (int)list->values[0] | 1;
    *high = ((int)list->values[1] - 1) | 1;
    if (*low <= *high) return OK;
    return fail(ERR_CONFIG, "%s: there is no odd number from %d to %d", key, (int)list->values[0],
                (int)list->values[1]);
}

static int read_sharpening(struct degrade_choices *c, const struct config *config)
{
    const struct config_list *list = &config->sr.lq_usm_radius_range;
    if (list->count != 2 || list->values[0] > list->values[1])
        return fail(ERR_CONFIG, "lq_usm_radius_range: expected two whole numbers, the first not "
                                "above the second");
    c->usm = config->sr.lq_usm;
    c->usm_low = (int)list->values[0];
    c->usm_high = (int)list->values[1] | 1;
    return OK;
}

#define READ_ROUND(c, sr, n)                                                                       \
    do {                                                                                           \
        (c)->blur_prob = (sr)->blur_prob##n;                                                       \
        (c)->sinc_prob = (sr)->sinc_prob##n;                                                       \
        (c)->gaussian_prob = (sr)->gaussian_noise_prob##n;                                         \
        (c)->grey_prob = (sr)->gray_noise_prob##n;                                                 \
        (c)->jpeg_prob = (sr)->jpeg_prob##n;                                                       \
        TRY(read_choice(&(c)->kernels, "kernel_list" #n, &(sr)->kernel_list##n, "kernel_prob" #n,  \
                        &(sr)->kernel_prob##n));                                                   \
        TRY(read_choice(&(c)->modes, "resize_mode_list" #n, &(sr)->resize_mode_list##n,            \
                        "resize_mode_prob" #n, &(sr)->resize_mode_prob##n));                       \
        TRY(read_sides(&(c)->side_low, &(c)->side_high, "kernel_range" #n,                         \
                       &(sr)->kernel_range##n));                                                   \
        TRY(read_range(&(c)->sigma, "blur_sigma" #n, &(sr)->blur_sigma##n));                       \
        TRY(read_range(&(c)->betag, "betag_range" #n, &(sr)->betag_range##n));                     \
        TRY(read_range(&(c)->betap, "betap_range" #n, &(sr)->betap_range##n));                     \
        TRY(read_range(&(c)->resize, "resize_range" #n, &(sr)->resize_range##n));                  \
        TRY(read_range(&(c)->noise, "noise_range" #n, &(sr)->noise_range##n));                     \
        TRY(read_range(&(c)->poisson, "poisson_scale_range" #n, &(sr)->poisson_scale_range##n));   \
        TRY(read_range(&(c)->jpeg, "jpeg_range" #n, &(sr)->jpeg_range##n));                        \
        TRY(read_probability_list("resize_prob" #n, &(sr)->resize_prob##n, 3, (c)->resize_prob));  \
    } while (0)

int degrade_choices_of(struct degrade_choices *choices, const struct config *config)
{
    const struct config_sr *sr = &config->sr;
    *choices = (struct degrade_choices){.scale = (int)sr->scale,
                                        .thick_prob = sr->thicklines_prob,
                                        .last_sinc_prob = sr->final_sinc_prob,
                                        .paired_prob = sr->dataroot_lq_prob};
    TRY(read_sharpening(choices, config));
    READ_ROUND(&choices->round[0], sr, );
    READ_ROUND(&choices->round[1], sr, 2);
    TRY(read_choice(&choices->last_modes, "resize_mode_list3", &sr->resize_mode_list3,
                    "resize_mode_prob3", &sr->resize_mode_prob3));
    return read_sides(&choices->last_side_low, &choices->last_side_high, "final_kernel_range",
                      &sr->final_kernel_range);
}
