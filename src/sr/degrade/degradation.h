/* The degradation of second order of Real-ESRGAN: what may be drawn for a patch (the config says
 * it), what was drawn, and doing that. All is a function of (seed, step, index). */
#ifndef IMGTRAIN_SR_DEGRADE_DEGRADATION_H
#define IMGTRAIN_SR_DEGRADE_DEGRADATION_H

#include "sr/degrade/degrade.h"

#include <stdio.h>

struct config;

enum { DEGRADE_ROUNDS = 2, DEGRADE_CHOICES = 8 };

/* Some values and how likely each is. */
struct degrade_choice {
    int count;
    int value[DEGRADE_CHOICES];
    double weight[DEGRADE_CHOICES];
};

struct degrade_range {
    double low, high;
};

struct degrade_round_choices {
    double blur_prob, sinc_prob, gaussian_prob, grey_prob, jpeg_prob;
    struct degrade_choice kernels; /* enum degrade_kernel_kind */
    int side_low, side_high;       /* of kernels: odd */
    struct degrade_range sigma, betag, betap;
    double resize_prob[3]; /* up, down, keep: parts of their sum */
    struct degrade_range resize, noise, poisson, jpeg;
    struct degrade_choice modes; /* enum degrade_resize */
};

struct degrade_choices {
    int scale;
    bool usm;
    int usm_low, usm_high; /* of its blur's side */
    double thick_prob;
    struct degrade_round_choices round[DEGRADE_ROUNDS];
    struct degrade_choice last_modes;
    double last_sinc_prob;
    int last_side_low, last_side_high;
    double paired_prob; /* patches that are read instead */
};

struct degrade_round {
    bool blur;
    struct degrade_kernel kernel;
    double factor;            /* of GT's size in the first round, of LQ's in the second */
    enum degrade_resize mode; /* where it is resized */
    bool gaussian, grey;
    double amount; /* of noise: deviation, or the factor of Poisson's */
    int quality;   /* of JPEG; 0: none */
};

/* What was drawn for one patch. */
struct degrade_recipe {
    struct degrade_draws noise; /* of the first round; the second has the next field */
    int usm;                    /* side of its blur; 0: none */
    bool thick;
    struct degrade_round round[DEGRADE_ROUNDS];
    enum degrade_resize last_mode;
    bool last_sinc;
    struct degrade_kernel last_kernel;
    bool jpeg_last; /* the second JPEG comes behind the last resize */
    int x, y;       /* where the patch lies in its window, from 0 below DEGRADE_SHIFTS */
    bool paired;
};

/* A patch is cut out of a window that has some pixels of LQ more at each side, so many at most,
 * give or take half the shifts, which move the grid of JPEG's blocks. */
enum { DEGRADE_MARGIN = 32, DEGRADE_SHIFTS = 8, DEGRADE_AROUND = 2 * DEGRADE_MARGIN };

/* By the keys of section sr. ERR_CONFIG, naming the key. */
int degrade_choices_of(struct degrade_choices *choices, const struct config *config);

/* For patch `index` (below 2^30) of a step. */
void degrade_recipe_draw(struct degrade_recipe *recipe, const struct degrade_choices *choices,
                         uint64_t seed, uint64_t step, uint32_t index);
/* So many as all kernels and resizes together reach, and half the shifts. */
int degrade_recipe_margin(const struct degrade_recipe *recipe, int scale);
/* As a JSON object. */
void degrade_recipe_write(FILE *to, const struct degrade_recipe *recipe);

/* Bytes of memory that degrading a window takes, of w x h pixels of LQ. */
size_t degrade_window_bytes(const struct degrade_choices *choices, int w, int h);
/* memory begins with GT, [h scale][w scale][3], which does not stay. *lq: [h][w][3] within it, of 8
 * bits in 0..1. Aligned as malloc's. */
int degrade_window(const float **lq, void *memory, int w, int h,
                   const struct degrade_choices *choices, const struct degrade_recipe *recipe);

#endif
