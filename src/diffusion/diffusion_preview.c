/* What is seen of a network in training: images of fixed seeds, drawn by its average, as `imgtrain
 * generate` draws them from the finished model. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/diffusion_task.h"
#include "diffusion/noise.h"
#include "diffusion/sigmas.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t preview_image_floats(const struct task_state *s)
{
    return (size_t)s->design.width * (size_t)s->design.height * DIFFUSION_CHANNELS;
}

size_t diffusion_show_floats(const struct task_state *s)
{
    return (size_t)s->config->diffusion.samples * preview_image_floats(s);
}

/* ---- samples ---- */

/* Noise as generate draws it: plane after plane. */
static int preview_noise(const struct task_state *s, uint64_t seed, float *image)
{
    int pixels = s->design.width * s->design.height;
    struct noise_stream stream;
    noise_open(&stream, NOISE_TORCH, seed);
    float *planes = s->guiding; /* free before the first step */
    TRY(noise_draw(&stream, planes, preview_image_floats(s)));
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < DIFFUSION_CHANNELS; c++)
            image[i * DIFFUSION_CHANNELS + c] = planes[c * pixels + i];
    return OK;
}

/* What the network says of n images at one level: with their classes (none: without), negated,
 * which is the velocity. */
static int preview_velocity(struct task_state *s, const float *images, const int *classes, int n,
                            float sigma, float *velocity)
{
    const struct diffusion_samples in = diffusion_core_samples(s->core);
    size_t count = (size_t)n * preview_image_floats(s);
    memcpy(in.noisy, images, count * sizeof *images);
    for (int i = 0; i < n; i++) {
        in.time[i] = sigmas_model_time(sigma);
        diffusion_condition_of(&s->data, classes ? classes[i] : -1,
                               in.condition + (ptrdiff_t)i * s->design.conditions.rows_most,
                               in.length + i);
    }
    TRY(diffusion_core_predict(s->core, n, velocity));
    for (size_t i = 0; i < count; i++)
        velocity[i] = -velocity[i];
    return OK;
}

/* n images of seeds first, first + 1, ...; classes take turns. */
static int preview_draw_some(struct task_state *s, const float *sigmas, int first, int n,
                             float *images)
{
    int steps = (int)s->config->diffusion.sample_steps, classes = s->data.classes;
    double guidance = classes ? s->config->diffusion.guidance : 0;
    size_t image = preview_image_floats(s);
    int *labels = calloc((size_t)n, sizeof *labels);
    int code = labels ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < n && code == OK; i++) {
        labels[i] = classes ? (first + i) % classes : -1;
        code = preview_noise(s, (uint64_t)(first + i), images + (size_t)i * image);
    }
    for (int step = 0; step < steps && code == OK; step++) {
        code = preview_velocity(s, images, labels, n, sigmas[step], s->predicted);
        if (code == OK && guidance > 0)
            code = preview_velocity(s, images, NULL, n, sigmas[step], s->guiding);
        if (code < 0) break;
        if (guidance > 0) sigmas_guide(s->predicted, s->guiding, (size_t)n * image, guidance);
        sigmas_step(images, s->predicted, (size_t)n * image, sigmas[step], sigmas[step + 1]);
    }
    free(labels);
    return code;
}

static int preview_draw(struct task_state *s)
{
    const struct sigma_schedule schedule = sigma_schedule_of_shift(s->config->diffusion.shift);
    int total = (int)s->config->diffusion.samples, micro = s->core->mode.micro;
    float sigmas[SIGMAS_MOST_STEPS + 1];
    TRY(sigmas_make(sigmas, &schedule, (int)s->config->diffusion.sample_steps, 0));
    TRY(s->device->synchronize(s->device));
    for (int first = 0; first < total; first += micro) {
        int n = total - first < micro ? total - first : micro;
        TRY(preview_draw_some(s, sigmas, first, n,
                              s->show + (size_t)first * preview_image_floats(s)));
    }
    return OK;
}

/* ---- images ---- */

/* Numbers of -1..1, as the network has them, as those of a contact sheet, which become the same
 * bytes. */
static void preview_as_sheet(float *images, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float byte = rintf(fminf(fmaxf(images[i] / 2 + 0.5f, 0), 1) * 255);
        images[i] = byte / 128 - 1;
    }
}

static int preview_sheet(const struct task_state *s, int max_side, struct image *image)
{
    preview_as_sheet(s->show, diffusion_show_floats(s));
    return contact_sheet_draw(image, s->show, (int)s->config->diffusion.samples, s->design.width,
                              s->design.height, max_side);
}

int diffusion_frame(struct task_state *s, int max_side, struct image *image)
{
    TRY(preview_draw(s));
    return preview_sheet(s, max_side, image);
}

/* Training images, of the classes that stand at their places in a frame. */
int diffusion_reference(struct task_state *s, int max_side, struct image *image)
{
    int total = (int)s->config->diffusion.samples, count = dataset_train_count(s->data.set);
    int classes = s->data.classes, at = 0;
    size_t one = preview_image_floats(s);
    for (int i = 0; i < total; i++, at++) {
        struct dataset_item item = dataset_train(s->data.set, at % count);
        for (int k = 0; classes && item.label != i % classes && k < count; k++)
            item = dataset_train(s->data.set, ++at % count);
        for (size_t j = 0; j < one; j++)
            s->show[(size_t)i * one + j] = (float)item.pixels[j] / 127.5f - 1;
    }
    return preview_sheet(s, max_side, image);
}

int diffusion_write_final(struct task_state *s, const char *path)
{
    struct image image = {0};
    int code = diffusion_frame(s, 0, &image);
    if (code == OK) code = image_save(&image, path);
    image_free(&image);
    return code;
}

int diffusion_image_size(const struct task_state *s, int max_side, int *width, int *height)
{
    contact_sheet_size((int)s->config->diffusion.samples, s->design.width, s->design.height,
                       max_side, width, height);
    return OK;
}
