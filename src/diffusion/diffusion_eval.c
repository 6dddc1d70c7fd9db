#include "diffusion/diffusion_eval.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/compared_images.h"
#include "diffusion/diffusion_sampler.h"
#include "diffusion/eval_baselines.h"
#include "diffusion/model/model_trained.h"
#include "diffusion/nearest_class.h"
#include "metrics/inception.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES_MOST = 15 };

struct diffusion_eval {
    const struct task_evaluation *wanted;
    struct model_folder model;
    struct config *config; /* of the model's file; a folder's has the defaults */
    struct diffusion_sampler *sampler;
    struct dataset *set;
    int classes; /* texts count as classes */
    struct compared_images images;
    int *nearest; /* [images.held + images.count]: classes that those look like */
};

/* ---- what is compared ---- */

/* Which says what images were held out. */
static uint64_t eval_seed(const struct diffusion_eval *e)
{
    if (e->wanted->model || e->model.defaults.seed < 0) return (uint64_t)e->config->seed;
    return (uint64_t)e->model.defaults.seed;
}

static int eval_open_images(struct diffusion_eval *e)
{
    const struct diffusion_design *design = diffusion_sampler_design(e->sampler);
    bool captions = design->conditions.captions, classes = design->conditions.count > 1;
    /* A model folder is no place for it. */
    char *cache = dataset_cache_folder(
        e->wanted->model && file_is_dir(e->wanted->path) ? e->wanted->path : NULL);
    const struct dataset_options options = {
        .folder = e->wanted->input,
        .width = diffusion_shown_width(design),
        .height = diffusion_shown_height(design),
        .labels = captions  ? SCAN_LABELS_CAPTIONS
                  : classes ? scan_labels_known(e->config->diffusion.labels)
                            : SCAN_LABELS_NONE,
        .label_file = e->config->diffusion.labels,
        .seed = eval_seed(e),
        .grey = diffusion_is_grey(design),
        .cache_dir = cache,
        .stop_requested = e->wanted->stop_requested,
    };
    int code = dataset_open(&e->set, &options);
    free(cache);
    TRY(code);
    e->classes = dataset_classes(e->set);
    if (captions || e->classes == design->conditions.count - 1) return OK;
    return fail(ERR_DATA, "%s has %d classes, but the model %d", e->wanted->input, e->classes,
                design->conditions.count - 1);
}

static int eval_list_images(struct diffusion_eval *e)
{
    const struct diffusion_design *design = diffusion_sampler_design(e->sampler);
    struct compared_images *c = &e->images;
    TRY(compared_images_open(c, e->set, e->wanted->samples, diffusion_shown_width(design),
                             diffusion_shown_height(design), e->classes > 0,
                             design->conditions.captions));
    e->nearest = calloc((size_t)c->count + (size_t)c->held + 1, sizeof *e->nearest);
    return e->nearest ? OK : fail(ERR_SYSTEM, "out of memory for %d samples", c->count);
}

static int eval_make_samples(struct diffusion_eval *e)
{
    const struct model_defaults *usual = &e->model.defaults;
    const struct compared_images *c = &e->images;
    double guidance = e->classes && usual->guidance > 0 ? usual->guidance : 0;
    int most = e->wanted->at_once;
    for (int first = 0; first < c->count; first += most) {
        int n = c->count - first < most ? c->count - first : most;
        TRY(diffusion_sampler_make(e->sampler, model_usual_steps(&e->model), guidance,
                                   c->wishes + first, n, c->samples + (size_t)first * c->image));
    }
    return OK;
}

/* Shares of samples, and of held-out images, that look like their class; NaN where there are none.
 */
static int eval_measure_right(const struct diffusion_eval *e, double *samples, double *images)
{
    const struct compared_images *c = &e->images;
    int right = 0, right_images = 0;
    *samples = *images = (double)NAN;
    if (e->classes == 0) return OK;
    TRY(nearest_class_find(e->set, c->width, c->height, c->kept.pixels, c->held + c->count,
                           e->wanted->stop_requested, e->nearest));
    for (int i = 0; i < c->held; i++)
        right_images += e->nearest[i] == dataset_held(e->set, i).label;
    for (int i = 0; i < c->count; i++)
        right += e->nearest[c->held + i] == c->wishes[i].label;
    *samples = (double)right / c->count;
    if (c->held) *images = (double)right_images / c->held;
    return OK;
}

/* ---- printing ---- */

struct diffusion_figure {
    const char *key, *meaning;
    double value;
};

static int eval_measure(const struct diffusion_eval *e, struct diffusion_figure *figures)
{
    const struct compared_images *c = &e->images;
    struct sample_metrics m;
    double right, right_images;
    TRY(compared_images_measure(c, &m, e->wanted->stop_requested));
    TRY(eval_measure_right(e, &right, &right_images));
    struct eval_baselines than;
    TRY(eval_baselines_measure(&than, e->set,
                               diffusion_is_grey(diffusion_sampler_design(e->sampler)) ? 1 : 3,
                               c->real, c->kept, c->width, c->height, e->wanted->stop_requested));
    struct inception_metrics inception = {(double)NAN, (double)NAN};
    if (e->wanted->features)
        TRY(inception_measure(&inception, e->wanted->features, c->real, c->fake, c->width,
                              c->height, e->wanted->stop_requested));
    const struct diffusion_figure list[FIGURES_MOST] = {
        {"right", "samples that are nearest to the mean image of their class or text", right},
        {"right_held", "images held out that are", right_images},
        {"rkid", "distance of random features (lower is better; 0 = the same)", m.rkid},
        {"rkid_held", "the same of images held out", than.held},
        {"rkid_mean", "of the mean image", than.mean},
        {"rkid_noise", "of noise", than.noise},
        {"swd", "sliced Wasserstein distance x 1000 (lower is better)", m.swd},
        {"precision", "samples that look like some image", m.precision},
        {"recall", "images that look like some sample", m.recall},
        {"density", "how closely images surround samples (1 = as each other)", m.density},
        {"coverage", "images with a sample nearby", m.coverage},
        {"ms_ssim", "likeness of pairs of samples (high = collapse)", m.ms_ssim},
        {"nn_ratio", "distance to training / held-out images (well below 1 = copies)", m.nn_ratio},
        {"fid", "Frechet distance of Inception's features (lower; of few images too high)",
         inception.fid},
        {"kid", "kernel distance of the same (lower is better; 0 = the same)", inception.kid},
    };
    memcpy(figures, list, sizeof list);
    return OK;
}

/* Those of Inception are last. */
static int figure_count(const struct diffusion_eval *e)
{
    return e->wanted->features ? FIGURES_MOST : FIGURES_MOST - 2;
}

static void eval_print(const struct diffusion_eval *e, const struct diffusion_figure *figures)
{
    printf("samples    %d against %d of %d training images, %d held out\n", e->images.count,
           e->images.count, dataset_train_count(e->set), e->images.held);
    for (int i = 0; i < figure_count(e); i++) {
        if (isnan(figures[i].value))
            printf("%-10s -: too few images, or no classes\n", figures[i].key);
        else
            printf("%-10s %-10.5g %s\n", figures[i].key, figures[i].value, figures[i].meaning);
    }
}

static void eval_print_json(const struct diffusion_eval *e, const struct diffusion_figure *figures)
{
    printf("{\"model\": ");
    json_write_string(stdout, e->wanted->path);
    printf(", \"data\": ");
    json_write_string(stdout, e->wanted->input);
    printf(", \"samples\": %d, \"training\": %d, \"held_out\": %d", e->images.count,
           dataset_train_count(e->set), e->images.held);
    for (int i = 0; i < figure_count(e); i++) {
        printf(", \"%s\": ", figures[i].key);
        json_write_number(stdout, figures[i].value);
    }
    printf("}\n");
}

/* ---- all of it ---- */

static int eval_open_config(struct config **config, const struct task_evaluation *wanted)
{
    const char *text = wanted->model ? store_get(wanted->model, "config") : NULL;
    return config_load_text(config, wanted->path, text ? text : "", text ? strlen(text) : 0, 0,
                            NULL);
}

int diffusion_eval(const struct task_evaluation *wanted)
{
    struct diffusion_eval e = {.wanted = wanted};
    struct diffusion_figure figures[FIGURES_MOST];
    int code;
    TRY_CLEANUP(model_open_any(&e.model, wanted->path));
    TRY_CLEANUP(eval_open_config(&e.config, wanted));
    TRY_CLEANUP(diffusion_sampler_open(&e.sampler, wanted->device, &e.model, wanted->at_once));
    diffusion_sampler_listen(e.sampler, wanted->stop_requested);
    TRY_CLEANUP(eval_open_images(&e));
    TRY_CLEANUP(eval_list_images(&e));
    TRY_CLEANUP(eval_make_samples(&e));
    TRY_CLEANUP(eval_measure(&e, figures));
    if (wanted->json)
        eval_print_json(&e, figures);
    else
        eval_print(&e, figures);
cleanup:
    compared_images_close(&e.images);
    free(e.nearest);
    dataset_close(e.set);
    diffusion_sampler_close(e.sampler);
    model_folder_close(&e.model);
    config_free(e.config);
    return code;
}
