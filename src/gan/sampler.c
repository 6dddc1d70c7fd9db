#include "gan/sampler.h"

#include "base/error.h"
#include "device/device.h"
#include "gan/state.h"
#include "memory/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sampler {
    struct net_design design;
    struct net net;
    struct plan *plan;
    struct sweep sweep;
    float *parameters;
    int micro;
};

static int declare(struct sampler *s, const struct device *device)
{
    TRY(plan_declare(s->plan, "g", PLAN_PARAMETERS, s->net.floats * sizeof(float), PLAN_ALWAYS,
                     (void **)&s->parameters));
    TRY(plan_declare(s->plan, "workspace", PLAN_WORKSPACE,
                     sweep_workspace(&s->net, device->nn, s->micro, 1), PLAN_ALWAYS,
                     &s->sweep.workspace));
    for (int i = 0; i < s->net.layer_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "value%d", i);
        int last = i == s->net.layer_count - 1 ? i + 1 : net_last_use(&s->net, i);
        TRY(plan_declare(s->plan, name, PLAN_ACTIVATIONS, (size_t)s->micro * net_bytes(&s->net, i),
                         i, last, &s->sweep.value[i]));
    }
    return OK;
}

int sampler_open(struct sampler **out, struct device *device, const struct store_file *file,
                 int micro)
{
    struct sampler *s = calloc(1, sizeof *s);
    int code = OK;
    *out = NULL;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->micro = micro > 0 ? micro : 1;
    s->plan = plan_create();
    if (!s->plan) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(gan_load_design(&s->design, file));
    TRY_CLEANUP(net_generator(&s->net, &s->design));
    TRY_CLEANUP(declare(s, device));
    TRY_CLEANUP(plan_commit(s->plan, device));
    TRY_CLEANUP(gan_load_generator(&s->net, s->parameters, file));
    s->sweep.net = &s->net;
    s->sweep.ops = device->nn;
    s->sweep.parameters = s->parameters;
    s->sweep.slice = 1;
    *out = s;
    return OK;
cleanup:
    sampler_close(s);
    return code;
}

void sampler_close(struct sampler *s)
{
    if (!s) return;
    plan_free(s->plan);
    free(s);
}

int sampler_width(const struct sampler *s)
{
    return s->design.base_w << (s->design.stages - 1);
}

int sampler_height(const struct sampler *s)
{
    return s->design.base_h << (s->design.stages - 1);
}

int sampler_classes(const struct sampler *s)
{
    return s->design.classes;
}

int sampler_z(const struct sampler *s)
{
    return s->design.z;
}

void sampler_latent(const struct sampler *s, uint64_t seed, float *latent)
{
    gan_latent(latent, s->design.z, seed);
}

void sampler_make(struct sampler *s, const float *latents, const int *labels, int n, float *out)
{
    struct sweep *sweep = &s->sweep;
    int last = s->net.layer_count - 1, z = s->design.z, stride = z + s->design.embedding;
    size_t one = net_elements(&s->net, last);
    for (int first = 0; first < n; first += s->micro) {
        sweep->n = n - first < s->micro ? n - first : s->micro;
        sweep->labels = labels ? labels + first : NULL;
        for (int i = 0; i < sweep->n; i++)
            sweep->ops->copy((float *)sweep->value[0] + (ptrdiff_t)i * stride,
                             latents + (ptrdiff_t)(first + i) * z, (size_t)z * sizeof(float));
        sweep_forward(sweep, SWEEP_NO_MASKS, false);
        sweep->ops->copy(out + (size_t)first * one, sweep->value[last],
                         (size_t)sweep->n * one * sizeof(float));
    }
}

uint8_t sampler_byte(float x)
{
    float u = x * 128 + 128.5f;
    return u > 0 ? (uint8_t)(u < 255 ? u : 255) : 0; /* NaN becomes black */
}
