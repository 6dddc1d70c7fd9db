/* Places Gaussians, at the beginning and while more are added. */
#ifndef IMGTRAIN_SPLAT_INIT_H
#define IMGTRAIN_SPLAT_INIT_H

#include "splat/fit.h"

/* Sets grow_* from the config: how many Gaussians start and when more come. A run of `max_steps`
 * too short for add_steps x add_times grows in its first half. A checkpoint has its run's plan: it
 * is made once, whatever max_steps the run is resumed with. */
void splat_growth_plan(struct splat_fit *fit, int64_t max_steps);

/* Growth goes on at the pace of a fit of `steps` steps. */
void splat_growth_pace(struct splat_fit *fit, int64_t steps);

/* Sigma in pixels with which the final number of Gaussians covers the image. */
double splat_covering_sigma(const struct splat_fit *fit);

/* Sigma of new Gaussians in pixels: init_scale, or from the image and their final number. */
double splat_initial_sigma(const struct splat_fit *fit);

/* The least and greatest sigma that training may reach, in pixels. */
void splat_sigma_bounds(const struct splat_fit *fit, float *least, float *most);

/* Sets the other parameters of row i, whose position and colour are set, on the host. */
void splat_start_gaussian(struct splat_fit *fit, int64_t i);

/* Places the first Gaussians. */
int splat_init(struct splat_fit *fit);

/* Adds this step's Gaussians where the error is, when `step` is one of growth. */
int splat_grow(struct splat_fit *fit, int64_t step);

#endif
