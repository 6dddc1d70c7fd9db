#include "diffusion/diffusion_eval.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "config/config.h"
#include "data/dataset.h"
#include "diffusion/diffusion_sampler.h"
#include "diffusion/eval_baselines.h"
#include "diffusion/model/model_trained.h"
#include "diffusion/nearest_class.h"
#include "metrics/sample_metrics.h"
#include "metrics/sample_metrics_internal.h"
#include "store/safetensors.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_SEED = 1, FIGURES_MOST = 13 };

struct diffusion_eval {
    const struct task_evaluation *wanted;
    struct model_folder model;
    struct config *config; /* of the model's file; a folder's has the defaults */
    struct diffusion_sampler *sampler;
    struct dataset *set;
    int classes, count, held; /* texts count as classes; samples; images held out */
    size_t image;             /* bytes */
    uint8_t *samples;         /* [count] */
    int *labels;              /* [count] */
    const uint8_t **pixels;   /* training images, held-out ones, samples */
    int *nearest;             /* [held + count]: classes that those look like */
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

static int eval_allocate(struct diffusion_eval *e)
{
    int n = dataset_train_count(e->set);
    e->count = n < e->wanted->samples ? n : e->wanted->samples;
    e->held = dataset_held_count(e->set);
    size_t count = (size_t)e->count;
    e->samples = malloc(count * e->image + 1);
    e->labels = calloc(count + 1, sizeof *e->labels);
    e->pixels = calloc(2 * count + (size_t)e->held + 1, sizeof *e->pixels);
    e->nearest = calloc(count + (size_t)e->held + 1, sizeof *e->nearest);
    bool is_there = e->samples && e->labels && e->pixels && e->nearest;
    return is_there ? OK : fail(ERR_SYSTEM, "out of memory for %d samples", e->count);
}

/* As many training images as samples, spread over all; samples are of their classes, of seeds 0, 1,
 * ... */
static int eval_make_samples(struct diffusion_eval *e)
{
    bool captions = diffusion_sampler_design(e->sampler)->conditions.captions;
    const struct model_defaults *usual = &e->model.defaults;
    double guidance = e->classes && usual->guidance > 0 ? usual->guidance : 0;
    for (int i = 0; i < e->held; i++)
        e->pixels[e->count + i] = dataset_held(e->set, i).pixels;
    for (int i = 0; i < e->count; i++) {
        int index = metrics_spread(i, e->count, dataset_train_count(e->set));
        struct dataset_item item = dataset_train(e->set, index);
        uint8_t *sample = e->samples + (size_t)i * e->image;
        e->labels[i] = item.label;
        e->pixels[i] = item.pixels;
        e->pixels[e->count + e->held + i] = sample;
    }
    struct diffusion_wish *wishes = calloc((size_t)e->count + 1, sizeof *wishes);
    int code = wishes ? OK : fail(ERR_SYSTEM, "out of memory"), most = e->wanted->at_once;
    for (int i = 0; wishes && i < e->count; i++)
        wishes[i] = (struct diffusion_wish){
            .seed = (uint64_t)i,
            .label = e->classes ? e->labels[i] : -1,
            .text = captions ? dataset_class_name(e->set, e->labels[i]) : NULL};
    for (int first = 0; first < e->count && code == OK; first += most) {
        int n = e->count - first < most ? e->count - first : most;
        code = diffusion_sampler_make(e->sampler, model_usual_steps(&e->model), guidance,
                                      wishes + first, n, e->samples + (size_t)first * e->image);
    }
    free(wishes);
    return code;
}

/* Shares of samples, and of held-out images, that look like their class; NaN where there are none.
 */
static int eval_measure_right(const struct diffusion_eval *e, double *samples, double *images)
{
    const struct diffusion_design *design = diffusion_sampler_design(e->sampler);
    int right = 0, right_images = 0;
    *samples = *images = (double)NAN;
    if (e->classes == 0) return OK;
    TRY(nearest_class_find(e->set, diffusion_shown_width(design), diffusion_shown_height(design),
                           e->pixels + e->count, e->held + e->count, e->wanted->stop_requested,
                           e->nearest));
    for (int i = 0; i < e->held; i++)
        right_images += e->nearest[i] == dataset_held(e->set, i).label;
    for (int i = 0; i < e->count; i++)
        right += e->nearest[e->held + i] == e->labels[i];
    *samples = (double)right / e->count;
    if (e->held) *images = (double)right_images / e->held;
    return OK;
}

/* ---- printing ---- */

struct diffusion_figure {
    const char *key, *meaning;
    double value;
};

static int eval_measure(const struct diffusion_eval *e, struct diffusion_figure *figures)
{
    const struct diffusion_design *design = diffusion_sampler_design(e->sampler);
    struct sample_metrics m;
    double right, right_images;
    TRY(sample_metrics_measure(&m, (struct image_list){e->pixels, e->count},
                               (struct image_list){e->pixels + e->count, e->held},
                               (struct image_list){e->pixels + e->count + e->held, e->count},
                               diffusion_shown_width(design), diffusion_shown_height(design),
                               METRICS_SEED, e->wanted->stop_requested));
    TRY(eval_measure_right(e, &right, &right_images));
    struct eval_baselines than;
    TRY(eval_baselines_measure(&than, e->set, (struct image_list){e->pixels, e->count},
                               (struct image_list){e->pixels + e->count, e->held},
                               diffusion_shown_width(design), diffusion_shown_height(design),
                               e->wanted->stop_requested));
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
    };
    memcpy(figures, list, sizeof list);
    return OK;
}

static void eval_print(const struct diffusion_eval *e, const struct diffusion_figure *figures)
{
    printf("samples    %d against %d of %d training images, %d held out\n", e->count, e->count,
           dataset_train_count(e->set), e->held);
    for (int i = 0; i < FIGURES_MOST; i++) {
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
    printf(", \"samples\": %d, \"training\": %d, \"held_out\": %d", e->count,
           dataset_train_count(e->set), e->held);
    for (int i = 0; i < FIGURES_MOST; i++) {
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
    const struct diffusion_design *design = diffusion_sampler_design(e.sampler);
    e.image = (size_t)diffusion_shown_width(design) * (size_t)diffusion_shown_height(design) * 3;
    TRY_CLEANUP(eval_open_images(&e));
    TRY_CLEANUP(eval_allocate(&e));
    TRY_CLEANUP(eval_make_samples(&e));
    TRY_CLEANUP(eval_measure(&e, figures));
    if (wanted->json)
        eval_print_json(&e, figures);
    else
        eval_print(&e, figures);
cleanup:
    free(e.samples);
    free(e.labels);
    free(e.pixels);
    free(e.nearest);
    dataset_close(e.set);
    diffusion_sampler_close(e.sampler);
    model_folder_close(&e.model);
    config_free(e.config);
    return code;
}
