/* What is seen of an autoencoder in training: held-out images that its average has made again. */
#include "base/error.h"
#include "config/config.h"
#include "data/dataset.h"
#include "device/device.h"
#include "diffusion/vae/vae_eval.h"
#include "diffusion/vae/vae_task.h"
#include "image/contact_sheet.h"
#include "image/image.h"
#include "task/task.h"

#include <math.h>

enum { MEASUREMENTS = 20, LATENT_IMAGES = 256 };

static size_t shown_image_floats(const struct task_state *s)
{
    return (size_t)s->feed.side * (size_t)s->feed.side * KL_IMAGE_CHANNELS;
}

static void shown_take_item(const struct task_state *s, struct dataset_item item, float *to)
{
    dataset_item_values(s->set, &item, to);
}

/* Of the images that it is measured by; fewer than a sheet has are shown again. */
static void shown_take(const struct task_state *s, int index, float *to)
{
    shown_take_item(s, dataset_measured(s->set, index % dataset_measured_count(s->set)), to);
}

/* ---- PSNR ---- */

bool vae_held_is_due(const struct task_state *s, int64_t steps_done)
{
    int64_t total = vae_steps(s), every = s->config->vae.eval_every, lines = s->config->eval_steps;
    if (every <= 0) every = total / MEASUREMENTS;
    every = every <= lines ? lines : (every + lines - 1) / lines * lines;
    return steps_done % every == 0 || steps_done == total;
}

/* The mean over held-out images. */
static int held_measure_all(struct task_state *s, double *psnr)
{
    int count = dataset_measured_count(s->set), micro = s->core->mode.micro;
    size_t image = shown_image_floats(s);
    *psnr = 0;
    for (int first = 0; first < count; first += micro) {
        int n = count - first < micro ? count - first : micro;
        float *images = vae_core_images(s->core);
        if (s->stop_requested && s->stop_requested()) return fail(ERR_STOPPED, "stopped");
        for (int i = 0; i < n; i++)
            shown_take(s, first + i, images + (size_t)i * image);
        TRY(vae_core_try(s->core, n, NULL, s->made));
        for (int i = 0; i < n; i++)
            *psnr +=
                vae_psnr(s->made + (size_t)i * image, images + (size_t)i * image, image) / count;
    }
    return OK;
}

int vae_held_measure(struct task_state *s, int64_t steps_done)
{
    struct vae_held *held = &s->held;
    int code = s->device->synchronize(s->device);
    if (code == OK) code = held_measure_all(s, &held->psnr);
    held->pending = code == ERR_STOPPED ? steps_done : 0;
    if (code < 0) held->psnr = (double)NAN;
    return code == ERR_STOPPED ? OK : code;
}

int vae_complete(struct task_state *s, struct task_report *report)
{
    TRY(vae_held_measure(s, s->steps_done));
    vae_fill_report(s, s->steps_done - 1, report);
    return OK;
}

/* ---- latents ---- */

int vae_measure_latents(struct task_state *s, double *shift, double *scaling)
{
    int count = dataset_train_count(s->set), micro = s->core->mode.micro;
    int latents = s->design.latent_channels;
    size_t image = shown_image_floats(s), numbers = 0;
    size_t moments = net_elements(&s->core->net.net, s->core->moments);
    double sum = 0, squares = 0;
    if (count > LATENT_IMAGES) count = LATENT_IMAGES;
    TRY(s->device->synchronize(s->device));
    for (int first = 0; first < count; first += micro) {
        int n = count - first < micro ? count - first : micro;
        for (int i = 0; i < n; i++)
            shown_take_item(s, dataset_train(s->set, first + i),
                            vae_core_images(s->core) + (size_t)i * image);
        TRY(vae_core_try(s->core, n, s->moments, NULL));
        for (size_t i = 0; i < (size_t)n * moments; i++) {
            double mean = (double)s->moments[i];
            if (i % (size_t)(2 * latents) >= (size_t)latents) continue;
            sum += mean;
            squares += mean * mean;
            numbers++;
        }
    }
    *shift = sum / (double)numbers;
    *scaling = 1 / sqrt(fmax(squares / (double)numbers - *shift * *shift, 1e-12));
    return OK;
}

/* ---- images ---- */

size_t vae_show_floats(const struct task_state *s)
{
    return (size_t)s->config->vae.samples * shown_image_floats(s);
}

static int shown_sheet(const struct task_state *s, int max_side, struct image *image)
{
    size_t count = vae_show_floats(s);
    for (size_t i = 0; i < count; i++) { /* a sheet's numbers become bytes by (x + 1) 128 */
        double byte = nearbyint(fmin(fmax(((double)s->show[i] / 2 + 0.5) * 255, 0), 255));
        s->show[i] = (float)byte / 128 - 1;
    }
    return contact_sheet_draw(image, s->show, (int)s->config->vae.samples, s->feed.side,
                              s->feed.side, 3, max_side);
}

int vae_frame(struct task_state *s, int max_side, struct image *image)
{
    int total = (int)s->config->vae.samples, micro = s->core->mode.micro;
    size_t one = shown_image_floats(s);
    TRY(s->device->synchronize(s->device));
    for (int first = 0; first < total; first += micro) {
        int n = total - first < micro ? total - first : micro;
        for (int i = 0; i < n; i++)
            shown_take(s, first + i, vae_core_images(s->core) + (size_t)i * one);
        TRY(vae_core_try(s->core, n, NULL, s->show + (size_t)first * one));
    }
    return shown_sheet(s, max_side, image);
}

int vae_reference(struct task_state *s, int max_side, struct image *image)
{
    for (int i = 0; i < (int)s->config->vae.samples; i++)
        shown_take(s, i, s->show + (size_t)i * shown_image_floats(s));
    return shown_sheet(s, max_side, image);
}

int vae_write_final(struct task_state *s, const char *path)
{
    struct image image = {0};
    int code = vae_frame(s, 0, &image);
    if (code == OK) code = image_save(&image, path);
    image_free(&image);
    return code;
}

int vae_image_size(const struct task_state *s, int max_side, int *width, int *height)
{
    contact_sheet_size((int)s->config->vae.samples, s->feed.side, s->feed.side, max_side, width,
                       height);
    return OK;
}
