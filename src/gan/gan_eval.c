#include "gan/gan_eval.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "config/config.h"
#include "data/dataset.h"
#include "gan/evaluate.h"
#include "gan/gan_checkpoint.h"
#include "gan/sample_seeds.h"
#include "gan/sampler.h"
#include "store/checkpoint.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIGURES = 10 };

struct figure {
    const char *key, *meaning;
    double value;
    int least; /* images that it takes */
};

/* ---- the data, split as in the training ---- */

static int gan_eval_open_data(struct dataset **set, const struct task_evaluation *wanted,
                              const struct sampler *sampler, const struct config *config)
{
    const char *folder = wanted->input;
    char *cache = dataset_cache_folder(file_is_dir(wanted->path) ? wanted->path : NULL);
    struct dataset_options options = {
        .folder = folder,
        .width = sampler_width(sampler),
        .height = sampler_height(sampler),
        .labels =
            sampler_classes(sampler) ? scan_labels_known(config->gan.labels) : SCAN_LABELS_NONE,
        .label_file = config->gan.labels,
        .channels = DATASET_AUTO,
        .must = sampler_channels(sampler),
        .seed = (uint64_t)config->seed,
        .cache_dir = cache,
        .stop_requested = wanted->stop_requested,
    };
    int code = dataset_open(set, &options);
    free(cache);
    TRY(code);
    if (dataset_classes(*set) != sampler_classes(sampler))
        return fail(ERR_DATA, "%s has %d classes, but the model %d", folder, dataset_classes(*set),
                    sampler_classes(sampler));
    for (int i = 0; sampler_has_tags(sampler) && i < dataset_classes(*set); i++)
        if (strcmp(dataset_class_name(*set, i), sampler_set(sampler, i)) != 0)
            return fail(ERR_DATA, "%s has images with other tags than the model: '%.60s'", folder,
                        dataset_class_name(*set, i));
    return OK;
}

/* ---- printing ---- */

struct measured {
    struct sample_metrics metrics;
    bool has_features;
    struct inception_metrics inception;
    int count; /* of samples */
};

/* How many: those of Inception where there are any. */
static int list_figures(struct figure figures[FIGURES], const struct measured *measured)
{
    const struct sample_metrics *m = &measured->metrics;
    const struct figure list[FIGURES] = {
        {"rkid", "distance of random features (lower is better; 0 = the same)", m->rkid,
         EVALUATE_LEAST},
        {"swd", "sliced Wasserstein distance x 1000 (lower is better)", m->swd, 1},
        {"precision", "samples that look like some image", m->precision, EVALUATE_LEAST},
        {"recall", "images that look like some sample", m->recall, EVALUATE_LEAST},
        {"density", "how closely images surround samples (1 = as each other)", m->density,
         EVALUATE_LEAST},
        {"coverage", "images with a sample nearby", m->coverage, EVALUATE_LEAST},
        {"ms_ssim", "likeness of pairs of samples (high = collapse)", m->ms_ssim,
         EVALUATE_LEAST_PAIR},
        {"nn_ratio", "distance to training / held-out images (well below 1 = copies)", m->nn_ratio,
         DATASET_HELD_FROM},
        {"fid", "Frechet distance of Inception's features (lower; of few images too high)",
         measured->inception.fid, 2},
        {"kid", "kernel distance of the same (lower is better; 0 = the same)",
         measured->inception.kid, 2},
    };
    memcpy(figures, list, sizeof list);
    return measured->has_features ? FIGURES : FIGURES - 2;
}

static void print_figures(const struct measured *measured, const struct dataset *set)
{
    struct figure figures[FIGURES];
    int figure_count = list_figures(figures, measured);
    printf("samples    %d against %d of %d training images, %d held out\n", measured->count,
           measured->count, dataset_train_count(set), dataset_held_count(set));
    for (int i = 0; i < figure_count; i++) {
        if (isnan(figures[i].value))
            printf("%-10s -: too few images, it takes %d\n", figures[i].key, figures[i].least);
        else
            printf("%-10s %-10.5g %s\n", figures[i].key, figures[i].value, figures[i].meaning);
    }
}

static void gan_eval_print_json(const struct measured *measured, const struct dataset *set,
                                const char *model, const char *folder)
{
    struct figure figures[FIGURES];
    int figure_count = list_figures(figures, measured);
    printf("{\"model\": ");
    json_write_string(stdout, model);
    printf(", \"data\": ");
    json_write_string(stdout, folder);
    printf(", \"samples\": %d, \"training\": %d, \"held_out\": %d", measured->count,
           dataset_train_count(set), dataset_held_count(set));
    for (int i = 0; i < figure_count; i++) {
        printf(", \"%s\": ", figures[i].key);
        json_write_number(stdout, figures[i].value);
        if (isnan(figures[i].value))
            log_warning("%s: too few images, it takes %d", figures[i].key, figures[i].least);
    }
    printf("}\n");
}

/* ---- all of it ---- */

static int gan_eval_draw(void *context, const uint64_t *seeds, const int *classes, int n,
                         uint8_t *out)
{
    return seeds_make(context, seeds, classes, n, out);
}

int gan_eval(const struct task_evaluation *wanted)
{
    const struct store_file *file = wanted->model;
    struct config *config = NULL;
    struct sampler *sampler = NULL;
    struct dataset *set = NULL;
    struct measured measured = {.has_features = wanted->features != NULL};
    int code;
    TRY_CLEANUP(checkpoint_expect(file, "gan", NULL));
    TRY_CLEANUP(gan_load_config(&config, file));
    code = sampler_open(&sampler, wanted->device, file, wanted->at_once);
    if (code < 0 && code != ERR_DATA) code = fail_within(code, "%s", store_path(file));
    TRY_CLEANUP(code);
    TRY_CLEANUP(gan_eval_open_data(&set, wanted, sampler, config));
    struct evaluate_options options = {.width = sampler_width(sampler),
                                       .height = sampler_height(sampler),
                                       .samples = wanted->samples,
                                       .batch = wanted->at_once,
                                       .features = wanted->features,
                                       .inception = &measured.inception,
                                       .stop_requested = wanted->stop_requested};
    TRY_CLEANUP(
        gan_evaluate(&measured.metrics, &measured.count, set, &options, gan_eval_draw, sampler));
    if (wanted->json)
        gan_eval_print_json(&measured, set, wanted->path, wanted->input);
    else
        print_figures(&measured, set);
cleanup:
    dataset_close(set);
    sampler_close(sampler);
    config_free(config);
    return code;
}
