#include "gan/gan_begin.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "gan/core.h"
#include "gan/gan_checkpoint.h"
#include "nn/weights_file.h"
#include "store/checkpoint.h"
#include "store/tensor_range.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BEGIN_NAMED = 8 }; /* tensors that are not taken */

static int begin_open(struct store_file **file, const char *path)
{
    int64_t step;
    int code = ERR_INPUT;
    *file = NULL;
    if (file_is_dir(path)) code = checkpoint_latest(path, file, &step);
    if (code == ERR_INPUT) code = checkpoint_open(path, file);
    if (code == OK) code = checkpoint_expect(*file, "gan", NULL);
    if (code == OK) return OK;
    store_close(*file);
    *file = NULL;
    return fail_within(code, "gan.init_from");
}

int gan_begin_check(const struct gan_core *core, const char *path)
{
    struct store_file *file;
    TRY(begin_open(&file, path));
    int count = weights_count_fitting(file, "", &core->g.net);
    count += weights_count_fitting(file, "", &core->d.net);
    store_close(file);
    if (count > 0) return OK;
    return fail(ERR_CONFIG, "gan.init_from: no tensor of %s has the shape that it has in this GAN",
                path);
}

/* What is not taken. */
struct begin_left {
    int count;
    bool in_part; /* G's first layer */
    char names[256];
};

static void begin_leave(void *context, const char *name)
{
    struct begin_left *left = context;
    size_t used = strlen(left->names);
    if (left->count++ < BEGIN_NAMED)
        snprintf(left->names + used, sizeof left->names - used, "%s%s", used ? ", " : "", name);
}

static const struct net_parameter *begin_find(const struct net *net, const char *name)
{
    for (int i = 0; i < net->parameter_count; i++)
        if (strcmp(net->parameters[i].name, name) == 0) return &net->parameters[i];
    return NULL;
}

/* G's first layer [width][z + embedding] where classes came, went or have vectors of another
 * length: what it makes of the latent, so that a latent stays the image that it was. */
static int begin_take_latent(const struct gan_core *core, const struct store_file *file,
                             const char *name, float *range, bool *taken)
{
    const struct net_parameter *own = begin_find(&core->g.net, "g.linear");
    const struct store_tensor *its = store_find(file, name);
    struct net_design design;
    *taken = false;
    TRY(gan_load_design(&design, file));
    if (!its || its->dims != 2 || its->shape[0] != own->shape[0] || design.z != core->design.z ||
        its->shape[1] != design.z + design.embedding || its->shape[1] == own->shape[1])
        return OK;
    for (int64_t row = 0; row < own->shape[0]; row++)
        for (int64_t i = 0; i < design.z; i++) {
            float value = (float)tensor_number(its, (size_t)(row * its->shape[1] + i));
            if (!isfinite(value))
                return fail(ERR_DATA, "%s: tensor %s holds a NaN or an infinity", store_path(file),
                            name);
            range[own->offset + (size_t)(row * own->shape[1] + i)] = value;
        }
    *taken = true;
    return OK;
}

/* One range of the core, from tensors of this prefix. */
static int begin_take(struct gan_core *core, const struct store_file *file, const char *prefix,
                      enum gan_range range, struct begin_left *left)
{
    const struct net *net = &gan_core_network(core, range)->net;
    float *view = gan_core_view(core, range);
    char first[32];
    TRY(weights_take_fitting(file, prefix, net, store_finite(), view, begin_leave, left));
    snprintf(first, sizeof first, "%sg.linear", prefix);
    if (range != GAN_RANGE_D) TRY(begin_take_latent(core, file, first, view, &left->in_part));
    return gan_core_push(core, range);
}

/* A checkpoint has the average beside G; a model is one. */
static int begin_take_all(struct gan_core *core, const struct store_file *file,
                          struct begin_left *g, struct begin_left *d)
{
    struct begin_left same = {0};
    const char *average = store_find(file, "ema.g.linear") ? "ema." : "";
    TRY(begin_take(core, file, "", GAN_RANGE_G, g));
    TRY(begin_take(core, file, "", GAN_RANGE_D, d));
    return begin_take(core, file, average, GAN_RANGE_EMA, &same);
}

static void begin_say(const struct gan_core *core, const char *path, const struct begin_left *g,
                      const struct begin_left *d)
{
    int g_all = core->g.net.parameter_count, d_all = core->d.net.parameter_count;
    int left = g->count + d->count, named = g->count < BEGIN_NAMED ? g->count : BEGIN_NAMED;
    char more[32] = "";
    named += d->count < BEGIN_NAMED ? d->count : BEGIN_NAMED;
    if (left > named) snprintf(more, sizeof more, " and %d more", left - named);
    log_info("gan.init_from: of %s %d of %d tensors are taken (G %d of %d, D %d of %d)%s%s%s%s%s%s",
             path, g_all + d_all - left, g_all + d_all, g_all - g->count, g_all, d_all - d->count,
             d_all, g->in_part ? ", and g.linear for the latent" : "",
             left ? "; as they were drawn: " : "", g->names, g->count && d->count ? ", " : "",
             d->names, more);
}

int gan_begin_with(struct gan_core *core, const char *path)
{
    struct begin_left g = {0}, d = {0};
    struct store_file *file;
    TRY(begin_open(&file, path));
    int code = begin_take_all(core, file, &g, &d);
    store_close(file);
    TRY(code);
    begin_say(core, path, &g, &d);
    return OK;
}
