#include "gan/sample_seeds.h"

#include "base/error.h"
#include "gan/sampler.h"
#include "image/contact_sheet.h"
#include "image/premultiplied.h"

#include <math.h>
#include <stdlib.h>

int seeds_class(const struct sampler *sampler, uint64_t seed)
{
    int classes = sampler_classes(sampler);
    return classes ? (int)(seed % (uint64_t)classes) : 0;
}

int seeds_draw(struct sampler *sampler, const float *latents, const int *classes, int n,
               uint8_t *out)
{
    int channels = sampler_channels(sampler);
    size_t one = (size_t)sampler_width(sampler) * (size_t)sampler_height(sampler);
    size_t samples = one * (size_t)channels;
    float *pictures = malloc((size_t)n * samples * sizeof *pictures);
    if (!pictures) return fail(ERR_SYSTEM, "out of memory for %d images", n);
    int code =
        sampler_make(sampler, latents, sampler_classes(sampler) ? classes : NULL, n, pictures);
    for (size_t i = 0; code == OK && i < (size_t)n * samples; i++)
        out[i] = contact_sheet_byte(pictures[i]);
    if (code == OK) premultiplied_clamp(out, (size_t)n * one, channels);
    free(pictures);
    return code;
}

int seeds_make(struct sampler *sampler, const uint64_t *seeds, const int *classes, int n,
               uint8_t *out)
{
    size_t z = (size_t)sampler_z(sampler);
    float *latents = malloc((size_t)n * z * sizeof *latents);
    int *own = malloc((size_t)n * sizeof *own);
    int code = latents && own ? OK : fail(ERR_SYSTEM, "out of memory for %d latents", n);
    for (int i = 0; code == OK && i < n; i++) {
        sampler_latent(sampler, seeds[i], latents + (size_t)i * z);
        own[i] = classes ? classes[i] : seeds_class(sampler, seeds[i]);
    }
    if (code == OK) code = seeds_draw(sampler, latents, own, n, out);
    free(latents);
    free(own);
    return code;
}

void seeds_truncate(float *latent, int z, double truncation)
{
    if (truncation == 1) return;
    for (int i = 0; i < z; i++)
        latent[i] = (float)(truncation * (double)latent[i]);
}

void seeds_between(float *latent, const float *a, const float *b, int z, double t)
{
    double aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < z; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    double length_a = sqrt(aa), length_b = sqrt(bb), length = length_a + (length_b - length_a) * t;
    double cosine = aa > 0 && bb > 0 ? ab / (length_a * length_b) : 1;
    double angle = acos(fmin(1, fmax(-1, cosine))), sine = sin(angle);
    double share_a = 1 - t, share_b = t; /* the same or opposite directions: a straight line */
    if (sine > 1e-6) {
        share_a = sin((1 - t) * angle) / sine * length / length_a;
        share_b = sin(t * angle) / sine * length / length_b;
    }
    for (int i = 0; i < z; i++)
        latent[i] = (float)(share_a * (double)a[i] + share_b * (double)b[i]);
}
