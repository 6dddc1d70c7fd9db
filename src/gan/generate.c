/* The networks between steps: images of G, scores of D. What steps still copy is waited for
 * first, as inputs go through the memory of theirs. */
#include "base/error.h"
#include "device/device.h"
#include "gan/core.h"

#include <string.h>

/* Labels of `n` images to the device; they may lie in `host` already. */
static int send_labels(struct gan_core *core, int *device, int *host, const int *labels, int n)
{
    if (!labels) return OK;
    if (host != labels) memcpy(host, labels, (size_t)n * sizeof *host);
    return device_upload(core->device, device, host, (size_t)n * sizeof *host);
}

int gan_generate(struct gan_core *core, const float *parameters, const float *z, const int *labels,
                 int n, float *out)
{
    struct network_pass s = core->g_make;
    const struct gan_block *b = &core->inputs.step[GAN_D], *host = &core->host[0].step[GAN_D];
    size_t stride = (size_t)core->shape.z_stride, one = gan_picture_floats(core);
    s.parameters = parameters;
    s.labels.label = b->labels;
    TRY(core->device->synchronize(core->device));
    if (parameters == core->g.ema)
        TRY(trained_net_reach_average(&core->g, core->device, core->stepper.staging != NULL,
                                      &s.parameters));
    for (int first = 0; first < n; first += core->mode.micro) {
        s.n = n - first < core->mode.micro ? n - first : core->mode.micro;
        for (int i = 0; i < s.n; i++)
            memcpy(host->z + (size_t)i * stride, z + (first + i) * core->design.z,
                   (size_t)core->design.z * sizeof(float));
        TRY(device_upload(core->device, b->z, host->z, (size_t)s.n * stride * sizeof(float)));
        TRY(core->device->nn->copy(core->device, s.value[0], b->z,
                                   (size_t)s.n * stride * sizeof(float)));
        TRY(send_labels(core, b->labels, host->labels, labels ? labels + first : NULL, s.n));
        TRY(pass_forward(&s, PASS_NO_MASKS, false));
        TRY(device_fetch(core->device, out + (size_t)first * one, s.value[s.net->layer_count - 1],
                         (size_t)s.n * one * sizeof(float)));
    }
    return OK;
}

int gan_score(struct gan_core *core, const uint8_t *const *pictures, const int *labels, int n,
              float *scores)
{
    struct network_pass s = core->d_score;
    const struct gan_block *b = &core->inputs.step[GAN_D], *host = &core->host[0].step[GAN_D];
    size_t one = gan_picture_floats(core);
    s.labels.label = b->pair_labels;
    TRY(core->device->synchronize(core->device));
    for (int first = 0; first < n; first += core->mode.micro) {
        s.n = n - first < core->mode.micro ? n - first : core->mode.micro;
        for (int i = 0; i < s.n; i++)
            memcpy(host->pixels + (size_t)i * one, pictures[first + i], one);
        TRY(device_upload(core->device, b->pixels, host->pixels, (size_t)s.n * one));
        TRY(send_labels(core, b->pair_labels, host->pair_labels, labels ? labels + first : NULL,
                        s.n));
        TRY(core->device->nn->from_u8(core->device, s.value[0], b->pixels, NULL, s.n, core->shape.h,
                                      core->shape.w, core->shape.c));
        TRY(pass_forward(&s, PASS_NO_MASKS, false));
        TRY(device_fetch(core->device, scores + first, s.value[s.net->layer_count - 1],
                         (size_t)s.n * sizeof(float)));
    }
    return OK;
}
