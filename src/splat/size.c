#include "splat/size.h"

#include "base/error.h"
#include "config/config.h"
#include "splat/init.h"

#include <math.h>

/* Sizes are multiples of this, or the image's own. */
enum { SIZE_MULTIPLE = 16 };

int splat_size_of(const struct splat_target *target)
{
    return target->width > target->height ? target->width : target->height;
}

void splat_size_shape(const struct splat_target *of, int size, int *width, int *height)
{
    double factor = (double)size / splat_size_of(of);
    *width = (int)lround(of->width * factor);
    *height = (int)lround(of->height * factor);
    if (*width < 1) *width = 1;
    if (*height < 1) *height = 1;
}

static int64_t pixels_at(const struct splat_target *of, int size)
{
    int width, height;
    splat_size_shape(of, size, &width, &height);
    return (int64_t)width * height;
}

/* New Gaussians are drawn at different pixels: there must be one for each. */
static int least_size(const struct splat_fit *fit)
{
    int most = splat_size_of(&fit->source->fit), size = SIZE_MULTIPLE;
    while (size < most && pixels_at(&fit->source->fit, size) < fit->model.capacity)
        size += SIZE_MULTIPLE;
    return size < most ? size : most;
}

int splat_size_first(const struct splat_fit *fit)
{
    int64_t most = splat_size_of(&fit->source->fit), asked = fit->config->memory.max_size;
    int least = least_size(fit);
    if (!fit->config->memory.grow || asked == 0 || asked >= most) return (int)most;
    asked = asked / SIZE_MULTIPLE * SIZE_MULTIPLE;
    return asked > least ? (int)asked : least;
}

void splat_size_range(const struct splat_fit *fit, struct memory_range *range)
{
    int most = splat_size_of(&fit->source->fit);
    *range = (struct memory_range){.now = splat_size_of(&fit->target),
                                   .least = most,
                                   .floor = least_size(fit),
                                   .most = most,
                                   .multiple = SIZE_MULTIPLE};
}

void splat_size_describe(struct splat_fit *fit, int size)
{
    splat_size_shape(&fit->source->fit, size, &fit->target.width, &fit->target.height);
    fit->model.width = fit->target.width;
    fit->model.height = fit->target.height;
}

int splat_size_scale(struct splat_fit *fit)
{
    const struct splat_target *whole = &fit->source->fit, *t = &fit->target;
    struct splat_target image = *whole;
    struct spill bytes = {.fd = -1};
    if (t->width != whole->width || t->height != whole->height)
        TRY(splat_target_scale(&image, &bytes, whole, t->width, t->height, fit->spill_dir));
    spill_free(&fit->image_bytes);
    fit->image_bytes = bytes;
    fit->image = image;
    return OK;
}

/* ---- Gaussians ---- */

/* The ellipse after the plane was stretched by fx and fy, which are all but equal: its longer axis
 * exactly, the other one so that the area is right. */
static void size_stretch(double fx, double fy, double *sigma, double *rot)
{
    int major = sigma[1] > sigma[0];
    double angle = *rot + (major ? 1.57079632679489662 : 0);
    double x = fx * cos(angle), y = fy * sin(angle), length = hypot(x, y);
    sigma[major] *= length;
    sigma[!major] *= fx * fy / length;
    *rot += remainder(atan2(y, x) - angle, 2 * 3.14159265358979324);
}

/* Scales Adam's moments with a parameter: a gradient by p' = factor p is 1 / factor of that by p.
 */
static void carry_moments(const struct splat_host *host, int64_t at, double factor)
{
    float *first = host->first[SPLAT_SCALE], *second = host->second[SPLAT_SCALE];
    if (!first) return;
    first[at] = (float)((double)first[at] / factor);
    second[at] = (float)((double)second[at] / (factor * factor));
}

void splat_size_carry(struct splat_host *host, const struct splat_model *to,
                      const struct splat_model *from, float least, float most)
{
    float *scale = host->group[SPLAT_SCALE], *rot = host->group[SPLAT_ROT];
    double fx = (double)to->width / from->width, fy = (double)to->height / from->height;
    bool same_kind = to->sigma_scale == from->sigma_scale;
    for (int64_t i = 0; i < to->count; i++) {
        double sigma[2], angle = (double)rot[i];
        for (int k = 0; k < 2; k++) {
            double s = (double)scale[2 * i + k];
            sigma[k] = fabs(from->sigma_scale ? s : 1 / s);
        }
        double before[2] = {sigma[0], sigma[1]};
        size_stretch(fx, fy, sigma, &angle);
        for (int k = 0; k < 2; k++) {
            double factor = to->sigma_scale ? sigma[k] / before[k] : before[k] / sigma[k];
            if (same_kind) carry_moments(host, 2 * i + k, factor);
            sigma[k] = fmin(fmax(sigma[k], (double)least), (double)most);
            scale[2 * i + k] = (float)(to->sigma_scale ? sigma[k] : 1 / sigma[k]);
        }
        rot[i] = (float)angle;
    }
}

void splat_size_carry_fit(struct splat_fit *fit, const struct splat_model *from, bool moments)
{
    struct splat_host host = fit->host;
    float least, most;
    /* in axes gradients do not depend on the size */
    if (!moments || fit->in_axes) host.first[SPLAT_SCALE] = NULL;
    splat_sigma_bounds(fit, &least, &most);
    splat_size_carry(&host, &fit->model, from, least, most);
}
