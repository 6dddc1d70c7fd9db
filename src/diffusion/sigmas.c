#include "diffusion/sigmas.h"

#include "base/error.h"
#include "math/portable.h"

#include <inttypes.h>
#include <math.h>

struct sigma_schedule sigma_schedule_of_shift(double shift)
{
    return (struct sigma_schedule){.kind = SIGMA_SHIFT_STATIC,
                                   .shift = shift,
                                   .base_shift = 0.5,
                                   .max_shift = 1.15,
                                   .base_tokens = 256,
                                   .max_tokens = 4096};
}

/* The line through both ends, as the reference's calculate_shift writes it. */
static double sigma_mu(const struct sigma_schedule *schedule, int64_t tokens)
{
    double slope = (schedule->max_shift - schedule->base_shift) /
                   (double)(schedule->max_tokens - schedule->base_tokens);
    return (double)tokens * slope + (schedule->base_shift - slope * (double)schedule->base_tokens);
}

/* In float, as the reference's arrays are. */
static float sigma_shifted(const struct sigma_schedule *schedule, double mu, float s)
{
    if (schedule->kind == SIGMA_SHIFT_STATIC) {
        float a = (float)schedule->shift, less = (float)(schedule->shift - 1.0);
        /* Rounding may take the first level above 1. */
        return fminf(a * s / (1.0f + less * s), 1.0f);
    }
    float m = (float)(schedule->kind == SIGMA_SHIFT_EXPONENTIAL ? portable_exp(mu) : mu);
    return m / (m + (1.0f / s - 1.0f));
}

/* Levels that depend on the size run together near 1 far above those that they are made for. */
static int sigmas_fail(const struct sigma_schedule *schedule, int steps, int64_t tokens)
{
    if (schedule->kind == SIGMA_SHIFT_STATIC || tokens <= schedule->max_tokens)
        return fail(ERR_DATA, "the schedule's %d levels of noise do not fall from 1 to 0", steps);
    return fail(ERR_USAGE,
                "images of %" PRId64
                " tokens are too large: the schedule is made for up to %" PRId64
                ", and its %d levels of noise do not fall from 1 to 0",
                tokens, schedule->max_tokens, steps);
}

int sigmas_make(float *sigmas, const struct sigma_schedule *schedule, int steps, int64_t tokens)
{
    if (steps < 1 || steps > SIGMAS_MOST_STEPS)
        return fail(ERR_USAGE, "%d steps: 1 to %d are possible", steps, SIGMAS_MOST_STEPS);
    double mu = schedule->kind == SIGMA_SHIFT_STATIC ? 0.0 : sigma_mu(schedule, tokens);
    double stride = steps > 1 ? (1.0 / steps - 1.0) / (steps - 1) : 0.0;
    for (int i = 0; i < steps; i++) {
        double even = i > 0 && i == steps - 1 ? 1.0 / steps : 1.0 + i * stride;
        sigmas[i] = sigma_shifted(schedule, mu, (float)even);
    }
    sigmas[steps] = 0.0f;
    for (int i = 0; i < steps; i++)
        if (!(sigmas[i] > sigmas[i + 1] && sigmas[i] <= 1.0f))
            return sigmas_fail(schedule, steps, tokens);
    return OK;
}

int sigmas_first_step(int *first, int steps, double strength)
{
    if (!(strength > 0.0 && strength <= 1.0))
        return fail(ERR_USAGE, "strength %g: above 0, which would leave the image as it is, to 1",
                    strength);
    *first = (int)(steps - steps * strength);
    return OK;
}

float sigmas_model_time(float sigma)
{
    return (1000.0f - sigma * 1000.0f) / 1000.0f;
}

void sigmas_step(float *x, const float *velocity, size_t count, float sigma, float next)
{
    float by = next - sigma;
    for (size_t i = 0; i < count; i++)
        x[i] += by * velocity[i];
}

static float sigma_mixed(float image, float noise, float sigma)
{
    return sigma * noise + (1.0f - sigma) * image;
}

void sigmas_add_noise(float *x, const float *image, const float *noise, size_t count, float sigma)
{
    for (size_t i = 0; i < count; i++)
        x[i] = sigma_mixed(image[i], noise[i], sigma);
}

void sigmas_keep_image(float *x, const float *image, const float *noise, const float *mask,
                       int channels, size_t count, float next)
{
    for (int c = 0; c < channels; c++)
        for (size_t i = 0; i < count; i++) {
            size_t at = (size_t)c * count + i;
            if (mask[i] < 0.5f)
                x[at] = next > 0.0f ? sigma_mixed(image[at], noise[at], next) : image[at];
        }
}

void sigmas_guide(float *velocity, const float *without, size_t count, double guidance)
{
    float g = (float)guidance;
    for (size_t i = 0; i < count; i++)
        velocity[i] += g * (velocity[i] - without[i]);
}
