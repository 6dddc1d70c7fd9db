/* Noise levels of a generation and the arithmetic between them, as the reference pipelines have it:
 * sigma 1 is noise alone, 0 the image; an Euler step goes from one level to the next along the
 * velocity, noise minus image. */
#ifndef IMGTRAIN_DIFFUSION_SIGMAS_H
#define IMGTRAIN_DIFFUSION_SIGMAS_H

#include <stddef.h>
#include <stdint.h>

enum { SIGMAS_MOST_STEPS = 1000 };

enum sigma_shift_kind {
    SIGMA_SHIFT_STATIC,      /* a s / (1 + (a - 1) s), a = shift */
    SIGMA_SHIFT_EXPONENTIAL, /* e^mu / (e^mu + 1/s - 1), mu by the number of image tokens */
    SIGMA_SHIFT_LINEAR,      /* mu / (mu + 1/s - 1) */
};

/* What scheduler/scheduler_config.json says; sigma_schedule_of_shift() fills the rest with its
 * defaults. */
struct sigma_schedule {
    enum sigma_shift_kind kind;
    double shift;                 /* > 0 */
    double base_shift, max_shift; /* mu at base_tokens and at max_tokens: linear between and beyond
                                   */
    int64_t base_tokens, max_tokens;
};

/* The static schedule with this shift. */
struct sigma_schedule sigma_schedule_of_shift(double shift);

/* sigmas [steps + 1], falling from 1 at index 0, the last one 0. tokens: patches of the image,
 * which a dynamic schedule depends on. ERR_USAGE for steps outside 1..SIGMAS_MOST_STEPS, ERR_DATA
 * for a schedule whose levels do not fall; ERR_USAGE where the size is to blame. */
int sigmas_make(float *sigmas, const struct sigma_schedule *schedule, int steps, int64_t tokens);

/* The first of `steps` steps that is run from an image at `strength`, 0 < strength <= 1: the lower,
 * the nearer to noise. ERR_USAGE for other strengths. */
int sigmas_first_step(int *first, int steps, double strength);

/* The time that the denoiser is told: 1 - sigma in the reference's roundings. */
float sigmas_model_time(float sigma);

/* x [count] from level `sigma` to `next`: x += (next - sigma) velocity. */
void sigmas_step(float *x, const float *velocity, size_t count, float sigma, float next);

/* x [count] = sigma noise + (1 - sigma) image; x may be one of them. */
void sigmas_add_noise(float *x, const float *image, const float *noise, size_t count, float sigma);

/* Where mask [count] (of one channel, repeated for `channels` planes) is below 0.5, x becomes the
 * image at level `next`: the image's own bits where that is 0. */
void sigmas_keep_image(float *x, const float *image, const float *noise, const float *mask,
                       int channels, size_t count, float next);

/* velocity [count] += guidance (velocity - without): away from what is predicted without the
 * condition. Guidance here is 1 below the usual scale; 0 changes nothing. */
void sigmas_guide(float *velocity, const float *without, size_t count, double guidance);

#endif
