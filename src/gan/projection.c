#include "gan/projection.h"

#include "base/error.h"
#include "data/tags.h"
#include "device/device.h"
#include "device/nn_ops.h"
#include "gan/gan_checkpoint.h"
#include "math/optimiser.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"
#include "nn/weights_file.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double PROJECTION_B1 = 0.9, PROJECTION_B2 = 0.999;

struct projection {
    struct device *device;
    struct net_design design;
    struct net net;
    struct plan *plan;
    struct network_pass pass;
    int most;                                  /* images at a time */
    bool tunes;                                /* the next four have memory */
    float *parameters, *gradients, *g_m, *g_v; /* of the generator, on the device */
    struct adam_f32 *rates;                    /* likewise: of one step */
    int *labels, *label_sets;                  /* [most], likewise; the sets that they are */
    struct tag_sets tags;                      /* count 0: labels are classes */
    float *host_parameters;                    /* what is loaded and stored */
    float *z, *z_gradient, *z_m, *z_v;         /* [most][z] */
    float *rows, *targets, *images;            /* [most] rows of G's input, images; host */
    float *slopes;                             /* d error / d image */
    double z_missing[2], g_missing[2];         /* products of all b1 and b2 */
};

static size_t projection_floats(const struct projection *p)
{
    return net_elements(&p->net, p->net.layer_count - 1);
}

static int projection_declare_host(struct projection *p)
{
    size_t n = (size_t)p->most, z = n * (size_t)p->design.z * sizeof(float);
    size_t rows = n * net_elements(&p->net, 0) * sizeof(float);
    size_t images = n * projection_floats(p) * sizeof(float);
    const struct {
        const char *name;
        size_t bytes;
        float **slot;
    } list[] = {{"g.host", p->net.floats * sizeof(float), &p->host_parameters},
                {"z", z, &p->z},
                {"z.gradient", z, &p->z_gradient},
                {"z.m", z, &p->z_m},
                {"z.v", z, &p->z_v},
                {"rows", rows, &p->rows},
                {"targets", images, &p->targets},
                {"images", images, &p->images},
                {"slopes", images, &p->slopes}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        TRY(plan_declare(p->plan, list[i].name, PLAN_HOST, list[i].bytes, PLAN_ALWAYS,
                         (void **)list[i].slot));
    return OK;
}

static int projection_declare_generator(struct projection *p)
{
    size_t bytes = p->net.floats * sizeof(float);
    TRY(plan_declare(p->plan, "g", PLAN_PARAMETERS, bytes, PLAN_ALWAYS, (void **)&p->parameters));
    if (!p->tunes) return OK;
    TRY(plan_declare(p->plan, "g.gradients", PLAN_PARAMETERS, bytes, PLAN_ALWAYS,
                     (void **)&p->gradients));
    TRY(plan_declare(p->plan, "g.m", PLAN_PARAMETERS, bytes, PLAN_ALWAYS, (void **)&p->g_m));
    TRY(plan_declare(p->plan, "rates", PLAN_DATA, sizeof *p->rates, PLAN_ALWAYS,
                     (void **)&p->rates));
    return plan_declare(p->plan, "g.v", PLAN_PARAMETERS, bytes, PLAN_ALWAYS, (void **)&p->g_v);
}

static int projection_declare(struct projection *p)
{
    struct pass_use use = {.plan = p->plan,
                           .net = &p->net,
                           .name = "g",
                           .backward = p->net.layer_count + 1,
                           .n = p->most,
                           .chunk = 1};
    TRY(projection_declare_generator(p));
    TRY(projection_declare_host(p));
    TRY(plan_declare(p->plan, "labels", PLAN_DATA, (size_t)p->most * sizeof *p->labels, PLAN_ALWAYS,
                     (void **)&p->labels));
    TRY(net_declare_label_sets(&p->design, p->plan, &p->label_sets));
    TRY(plan_declare(p->plan, "workspace", PLAN_WORKSPACE,
                     pass_workspace(&p->net, p->device, p->most, 1), PLAN_ALWAYS,
                     &p->pass.workspace));
    TRY(pass_plan_values(&use, &p->pass, true, 0, NULL));
    TRY(pass_plan_masks(&use, &p->pass, -1));
    return pass_plan_gradients(&use, &p->pass, -1, NULL, 0);
}

static int projection_set_up(struct projection *p, const struct store_file *file)
{
    TRY(gan_load_design(&p->design, file));
    TRY(gan_load_tags(&p->tags, &p->design, file));
    if (net_generator(&p->net, &p->design, false) < 0)
        return fail_within(ERR_DATA, "%s", store_path(file));
    TRY(gan_expect_generator(&p->net, file));
    TRY(pass_open(&p->pass, &p->net));
    TRY(projection_declare(p));
    TRY(plan_commit(p->plan, p->device));
    p->pass.device = p->device;
    p->pass.parameters = p->parameters;
    p->pass.gradients = p->gradients;
    p->pass.chunk = 1;
    p->pass.labels = (struct nn_labels){p->labels, p->label_sets};
    TRY(net_send_label_sets(&p->design, p->device, p->label_sets));
    TRY(gan_load_generator(&p->net, p->host_parameters, file));
    return device_send(p->device, p->parameters, p->host_parameters, p->net.floats * sizeof(float));
}

int projection_open(struct projection **out, struct device *device, const struct store_file *file,
                    int n, bool tunes)
{
    struct projection *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return fail(ERR_SYSTEM, "out of memory");
    p->device = device;
    p->most = n;
    p->tunes = tunes;
    p->plan = plan_create();
    int code = p->plan ? projection_set_up(p, file) : ERR_SYSTEM;
    if (code == OK)
        *out = p;
    else
        projection_close(p);
    return code;
}

void projection_close(struct projection *p)
{
    if (!p) return;
    plan_free(p->plan);
    pass_close(&p->pass);
    net_free(&p->net);
    tag_sets_free(&p->tags);
    free(p);
}

int projection_begin(struct projection *p, int n, const float *latents, const int *labels,
                     const float *targets)
{
    size_t z = (size_t)n * (size_t)p->design.z;
    p->pass.n = n;
    memcpy(p->z, latents, z * sizeof *p->z);
    memset(p->z_m, 0, z * sizeof *p->z_m);
    memset(p->z_v, 0, z * sizeof *p->z_v);
    memcpy(p->targets, targets, (size_t)n * projection_floats(p) * sizeof *targets);
    for (int i = 0; i < 2; i++)
        p->z_missing[i] = p->g_missing[i] = 1;
    if (p->tunes) {
        TRY(p->device->nn->zero(p->device, p->g_m, p->net.floats * sizeof(float)));
        TRY(p->device->nn->zero(p->device, p->g_v, p->net.floats * sizeof(float)));
    }
    return labels ? device_send(p->device, p->labels, labels, (size_t)n * sizeof *labels) : OK;
}

/* Latents to images, and how far they are from the targets; the slopes of that, too. */
static int projection_look(struct projection *p, enum pass_masks masks, double *errors)
{
    int z = p->design.z, stride = z + p->design.embedding, n = p->pass.n;
    size_t one = projection_floats(p);
    for (int i = 0; i < n; i++)
        memcpy(p->rows + (ptrdiff_t)i * stride, p->z + (ptrdiff_t)i * z, (size_t)z * sizeof *p->z);
    TRY(device_send(p->device, p->pass.value[0], p->rows, (size_t)(n * stride) * sizeof(float)));
    TRY(pass_forward(&p->pass, masks, false));
    TRY(device_fetch(p->device, p->images, p->pass.value[p->net.layer_count - 1],
                     (size_t)n * one * sizeof(float)));
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (size_t k = (size_t)i * one; k < (size_t)(i + 1) * one; k++) {
            double difference = (double)p->images[k] - (double)p->targets[k];
            sum += difference * difference;
            p->slopes[k] = (float)(2 * difference / (double)one);
        }
        errors[i] = sum / (double)one;
        if (!isfinite(errors[i])) return fail(ERR_DIVERGED, "image %d is no finite numbers", i);
    }
    return OK;
}

/* The numbers of a step, counted in `missing`. */
static struct adam_f32 projection_rates(double lr, double missing[2])
{
    const struct adam_rates rates = {.lr = lr, .b1 = PROJECTION_B1, .b2 = PROJECTION_B2};
    missing[0] *= PROJECTION_B1;
    missing[1] *= PROJECTION_B2;
    return adam_of_network(&rates, missing[0], missing[1]);
}

static void projection_move_latents(struct projection *p, double lr)
{
    struct adam_f32 rates = projection_rates(lr, p->z_missing);
    for (int i = 0; i < p->pass.n * p->design.z; i++)
        p->z[i] = adam_update_f32(&rates, ADAM_SQUARE_FIRST, p->z[i], p->z_gradient[i], &p->z_m[i],
                                  &p->z_v[i]);
}

/* Along the sum of all errors: Adam's steps know no factor. */
static int projection_move_generator(struct projection *p, double lr)
{
    struct adam_f32 rates = projection_rates(lr, p->g_missing);
    TRY(device_send(p->device, p->rates, &rates, sizeof rates));
    TRY(p->device->nn->adam(p->device, p->parameters, p->g_m, p->g_v, p->gradients, p->net.floats,
                            p->rates));
    return p->device->synchronize(p->device);
}

static int projection_descend(struct projection *p, bool tune)
{
    int z = p->design.z, stride = z + p->design.embedding, n = p->pass.n;
    int last = p->net.layer_count - 1;
    if (tune) TRY(p->device->nn->zero(p->device, p->gradients, p->net.floats * sizeof(float)));
    TRY(device_send(p->device, p->pass.grad[last], p->slopes,
                    (size_t)n * projection_floats(p) * sizeof(float)));
    TRY(pass_backward(&p->pass, tune));
    TRY(device_fetch(p->device, p->rows, p->pass.grad[0], (size_t)(n * stride) * sizeof(float)));
    for (int i = 0; i < n; i++)
        memcpy(p->z_gradient + (ptrdiff_t)i * z, p->rows + (ptrdiff_t)i * stride,
               (size_t)z * sizeof *p->z_gradient);
    return OK;
}

int projection_step(struct projection *p, double lr_z, double lr_g, float *images, double *errors)
{
    bool moves = lr_z > 0 || lr_g > 0;
    TRY(projection_look(p, moves ? PASS_WRITE_MASKS : PASS_NO_MASKS, errors));
    if (images)
        memcpy(images, p->images, (size_t)p->pass.n * projection_floats(p) * sizeof *images);
    if (!moves) return OK;
    TRY(projection_descend(p, lr_g > 0));
    if (lr_z > 0) projection_move_latents(p, lr_z);
    return lr_g > 0 ? projection_move_generator(p, lr_g) : OK;
}

const float *projection_latents(const struct projection *p)
{
    return p->z;
}

const float *projection_gradient(const struct projection *p)
{
    return p->z_gradient;
}

int projection_store(struct projection *p, struct store_writer *writer)
{
    TRY(device_fetch(p->device, p->host_parameters, p->parameters, p->net.floats * sizeof(float)));
    TRY(weights_store(writer, "", &p->net, p->host_parameters));
    return gan_store_design(&p->design, writer);
}
