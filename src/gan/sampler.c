#include "gan/sampler.h"

#include "base/error.h"
#include "base/file.h"
#include "data/tags.h"
#include "device/device.h"
#include "gan/gan_checkpoint.h"
#include "memory/plan.h"
#include "nn/pass_memory.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sampler {
    struct device *device;
    struct net_design design;
    struct net net;
    struct plan *plan;
    struct network_pass pass;
    float *parameters;
    float *host_parameters, *host_z; /* where the device has memory of its own */
    int *labels, *label_sets;
    struct tag_sets tags; /* of labels that are sets; count 0: they are classes */
    float *mixture;       /* [embedding] in place of a class's vector; NULL: by the labels */
    int micro;
    char *path; /* of the file, for messages */
};

static int sampler_declare_host(struct sampler *s)
{
    TRY(plan_declare(s->plan, "g.host", PLAN_HOST, s->net.floats * sizeof(float), PLAN_ALWAYS,
                     (void **)&s->host_parameters));
    return plan_declare(s->plan, "z.host", PLAN_HOST,
                        (size_t)s->micro * net_elements(&s->net, 0) * sizeof(float), PLAN_ALWAYS,
                        (void **)&s->host_z);
}

static int sampler_load(struct sampler *s, const struct store_file *file)
{
    float *to = s->host_parameters ? s->host_parameters : s->parameters;
    TRY(gan_load_generator(&s->net, to, file));
    if (to == s->parameters) return OK;
    TRY(s->device->upload(s->device, s->parameters, to, s->net.floats * sizeof(float)));
    return s->device->synchronize(s->device);
}

static int sampler_declare(struct sampler *s, const struct device *device)
{
    TRY(plan_declare(s->plan, "g", PLAN_PARAMETERS, s->net.floats * sizeof(float), PLAN_ALWAYS,
                     (void **)&s->parameters));
    TRY(plan_declare(s->plan, "workspace", PLAN_WORKSPACE,
                     pass_workspace(&s->net, device, s->micro, 1), PLAN_ALWAYS,
                     &s->pass.workspace));
    TRY(plan_declare(s->plan, "labels", PLAN_DATA, (size_t)s->micro * sizeof *s->labels,
                     PLAN_ALWAYS, (void **)&s->labels));
    TRY(net_declare_label_sets(&s->design, s->plan, &s->label_sets));
    if (!device->is_host) TRY(sampler_declare_host(s));
    struct pass_use use = {.plan = s->plan, .net = &s->net, .name = "g", .n = s->micro, .chunk = 1};
    return pass_plan_values(&use, &s->pass, false, 0, NULL);
}

int sampler_open(struct sampler **out, struct device *device, const struct store_file *file,
                 int micro)
{
    struct sampler *s = calloc(1, sizeof *s);
    int code = OK;
    *out = NULL;
    if (!s) return fail(ERR_SYSTEM, "out of memory");
    s->device = device;
    s->micro = micro > 0 ? micro : 1;
    s->plan = plan_create();
    s->path = string_format("%s", store_path(file));
    if (!s->plan || !s->path) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(gan_load_design(&s->design, file));
    TRY_CLEANUP(gan_load_tags(&s->tags, &s->design, file));
    if (net_generator(&s->net, &s->design, false) < 0) /* no fault of a config's, as in training */
        TRY_CLEANUP(fail_within(ERR_DATA, "%s", store_path(file)));
    TRY_CLEANUP(gan_expect_generator(&s->net, file));
    TRY_CLEANUP(pass_open(&s->pass, &s->net));
    TRY_CLEANUP(sampler_declare(s, device));
    TRY_CLEANUP(plan_commit(s->plan, device));
    TRY_CLEANUP(sampler_load(s, file));
    TRY_CLEANUP(net_send_label_sets(&s->design, device, s->label_sets));
    s->pass.device = device;
    s->pass.parameters = s->parameters;
    s->pass.chunk = 1;
    s->pass.labels = (struct nn_labels){s->labels, s->label_sets};
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
    pass_close(&s->pass);
    net_free(&s->net);
    tag_sets_free(&s->tags);
    free(s->mixture);
    free(s->path);
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

int sampler_channels(const struct sampler *s)
{
    return s->design.channels;
}

int sampler_classes(const struct sampler *s)
{
    return net_labels(&s->design);
}

int sampler_z(const struct sampler *s)
{
    return s->design.z;
}

void sampler_latent(const struct sampler *s, uint64_t seed, float *latent)
{
    gan_latent(latent, s->design.z, seed);
}

/* The vectors of all classes, or tags: [embedding][classes]. */
static int sampler_fetch_classes(const struct sampler *s, float **table)
{
    const struct net_parameter *p = &s->net.parameters[s->net.layers[0].weight];
    *table = malloc(p->count * sizeof **table);
    if (!*table) return fail(ERR_SYSTEM, "out of memory");
    int code = device_fetch(s->device, *table, s->parameters + p->offset, p->count * sizeof(float));
    if (code < 0) free(*table);
    return code;
}

/* Into s->mixture: the sum of the vectors, each times its class's or tag's weight. */
static int sampler_add_vectors(struct sampler *s, const double *weights)
{
    int classes = s->design.classes, embedding = s->design.embedding;
    float *table, *mixture;
    TRY(sampler_fetch_classes(s, &table));
    mixture = malloc((size_t)embedding * sizeof *mixture);
    for (int i = 0; mixture && i < embedding; i++) {
        double sum = 0;
        for (int k = 0; k < classes; k++)
            sum += weights[k] * (double)table[(ptrdiff_t)i * classes + k];
        mixture[i] = (float)sum;
    }
    free(table);
    free(s->mixture);
    s->mixture = mixture;
    return mixture ? OK : fail(ERR_SYSTEM, "out of memory");
}

int sampler_mix(struct sampler *s, const double *weights)
{
    double all = 0;
    free(s->mixture);
    s->mixture = NULL;
    if (!weights) return OK;
    double *columns = calloc((size_t)s->design.classes, sizeof *columns);
    if (!columns) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < sampler_classes(s); i++)
        all += weights[i];
    for (int i = 0; i < sampler_classes(s); i++) {
        struct label_columns of = label_columns_of((struct nn_labels){&i, s->tags.table}, 0);
        for (int t = 0; t < of.count; t++)
            columns[of.column[t]] += weights[i] / all * (double)of.scale;
    }
    int code = sampler_add_vectors(s, columns);
    free(columns);
    return code;
}

bool sampler_has_tags(const struct sampler *s)
{
    return s->design.tags != NULL;
}

const char *sampler_set(const struct sampler *s, int label)
{
    return s->tags.sets[label];
}

int sampler_tag(struct sampler *s, const char *option, const char *text)
{
    int code, count;
    if (!sampler_has_tags(s))
        return fail(ERR_USAGE, "%s: this model was trained without tags (labels: tags)", option);
    double *columns = calloc((size_t)s->design.classes, sizeof *columns);
    int *asked = calloc((size_t)s->design.classes, sizeof *asked);
    if (!columns || !asked) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    TRY_CLEANUP(tags_find(&s->tags, option, text, asked, &count));
    for (int t = 0; t < count; t++)
        columns[asked[t]] = 1 / sqrt(count);
    TRY_CLEANUP(sampler_add_vectors(s, columns));
cleanup:
    free(columns);
    free(asked);
    return code;
}

/* Latents and labels of the images from `first` on, to where the pass reads them. */
static int sampler_upload(struct sampler *s, const float *latents, const int *labels, int first)
{
    struct network_pass *pass = &s->pass;
    int z = s->design.z, stride = z + s->design.embedding, n = pass->n;
    float *rows = s->host_z ? s->host_z : pass->value[0];
    for (int i = 0; i < n; i++) {
        float *row = rows + (ptrdiff_t)i * stride;
        memcpy(row, latents + (ptrdiff_t)(first + i) * z, (size_t)z * sizeof(float));
        if (s->mixture) memcpy(row + z, s->mixture, (size_t)(stride - z) * sizeof(float));
    }
    if (rows != pass->value[0])
        TRY(s->device->upload(s->device, pass->value[0], rows,
                              (size_t)(n * stride) * sizeof(float)));
    if (!labels || s->mixture) return OK;
    return s->device->upload(s->device, s->labels, labels + first, (size_t)n * sizeof *labels);
}

/* Weights that are finite may be so large that what they make is not. */
static bool all_finite(const float *values, size_t count)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++)
        finite &= isfinite(values[i]) != 0;
    return finite;
}

int sampler_make(struct sampler *s, const float *latents, const int *labels, int n, float *out)
{
    struct network_pass *pass = &s->pass;
    int last = s->net.layer_count - 1;
    size_t one = net_elements(&s->net, last);
    for (int first = 0; first < n; first += s->micro) {
        pass->n = n - first < s->micro ? n - first : s->micro;
        TRY(sampler_upload(s, latents, labels, first));
        /* the first layer puts the vectors of classes behind the latents */
        TRY(pass_forward_through(pass, s->mixture ? 1 : 0, last, PASS_NO_MASKS, false));
        TRY(s->device->download(s->device, out + (size_t)first * one, pass->value[last],
                                (size_t)pass->n * one * sizeof(float)));
        TRY(s->device->synchronize(s->device));
    }
    if (all_finite(out, (size_t)n * one)) return OK;
    return fail(ERR_DATA, "%s: its weights make images that are no finite numbers", s->path);
}
