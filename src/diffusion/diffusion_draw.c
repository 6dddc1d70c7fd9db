#include "diffusion/diffusion_draw.h"

#include "base/error.h"
#include "diffusion/noise.h"
#include "diffusion/sigmas.h"

#include <math.h>
#include <string.h>

static size_t draw_image_floats(const struct diffusion_drawing *d)
{
    return (size_t)d->width * (size_t)d->height * (size_t)d->channels;
}

/* Noise as `imgtrain generate` draws it: plane after plane. */
static int draw_noise(const struct diffusion_drawing *d, uint64_t seed, float *image)
{
    int pixels = d->width * d->height;
    float *planes = d->without; /* free before the first step */
    struct noise_stream stream;
    noise_open(&stream, NOISE_TORCH, seed);
    TRY(noise_draw(&stream, planes, draw_image_floats(d)));
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < d->channels; c++)
            image[i * d->channels + c] = planes[c * pixels + i];
    return OK;
}

/* The velocity of n images at one level: noise less image. wishes NULL: of no condition. */
static int draw_velocity(const struct diffusion_drawing *d, const float *images,
                         const struct diffusion_wish *wishes, int n, float sigma, float *velocity)
{
    size_t count = (size_t)n * draw_image_floats(d);
    memcpy(d->in.noisy, images, count * sizeof *images);
    for (int i = 0; i < n; i++) {
        int *rows = d->in.condition + (ptrdiff_t)i * d->conditions.rows_most;
        d->in.time[i] = sigmas_model_time(sigma);
        diffusion_condition_set(&d->conditions, wishes ? wishes[i].label : -1,
                                wishes ? wishes[i].text : NULL, rows, d->in.length + i);
    }
    TRY(d->predict(d->context, n, velocity));
    for (size_t i = 0; i < count; i++)
        velocity[i] = -velocity[i];
    return OK;
}

int diffusion_draw(const struct diffusion_drawing *d, const struct diffusion_wish *wishes, int n,
                   float *images)
{
    const struct sigma_schedule schedule = sigma_schedule_of_shift(d->shift);
    size_t count = (size_t)n * draw_image_floats(d);
    float sigmas[SIGMAS_MOST_STEPS + 1];
    TRY(sigmas_make(sigmas, &schedule, d->steps, 0));
    for (int i = 0; i < n; i++)
        TRY(draw_noise(d, wishes[i].seed, images + (size_t)i * draw_image_floats(d)));
    for (int step = 0; step < d->steps; step++) {
        TRY(draw_velocity(d, images, wishes, n, sigmas[step], d->out));
        if (d->guidance > 0) {
            TRY(draw_velocity(d, images, NULL, n, sigmas[step], d->without));
            sigmas_guide(d->out, d->without, count, d->guidance);
        }
        sigmas_step(images, d->out, count, sigmas[step], sigmas[step + 1]);
    }
    return OK;
}

uint8_t diffusion_byte(float x)
{
    return (uint8_t)rintf(fminf(fmaxf(x / 2 + 0.5f, 0), 1) * 255);
}
