/* What the config says of the network, of the steps of a run, and of how noise is drawn. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_SCHEDULE_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_SCHEDULE_H

#include "math/optimiser.h"

#include <stdbool.h>
#include <stdint.h>

struct config;

/* What schedules say of a step. */
struct diffusion_rates {
    struct adam_rates adam; /* with decay: of matrices */
    double ema;             /* the average's share of itself */
};

/* Whether the network works on what an autoencoder makes of images. */
bool diffusion_is_latent(const struct config *config);
int diffusion_width(const struct config *config);
int diffusion_height(const struct config *config);

/* progress: share of the run that is done, 0..1; images: of the run; batch: of the step. */
struct diffusion_rates diffusion_rates_at(const struct config *config, double progress,
                                          int64_t batch);

/* How much noise an image is shown with, in 0..1: drawn by (seed, step, image). */
struct diffusion_times {
    bool uniform;
    double mean, std, shift;
};
struct diffusion_times diffusion_times_of(const struct config *config);
/* words: two random ones. */
double diffusion_time_draw(const struct diffusion_times *times, const uint32_t *words);

/* Steps between measurements. */
int64_t diffusion_eval_every(const struct config *config, int64_t total);

#endif
