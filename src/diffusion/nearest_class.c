#include "diffusion/nearest_class.h"

#include "base/error.h"
#include "data/dataset.h"
#include "metrics/sample_metrics_internal.h"

#include <math.h>
#include <stdlib.h>

/* The training images in the order of their classes; those of class c from first[c] on. */
static void nearest_sort(const struct dataset *set, int *first, int *sorted)
{
    int classes = dataset_classes(set), images = dataset_train_count(set);
    for (int i = 0; i < images; i++)
        first[dataset_train(set, i).label + 1]++;
    for (int class = 0; class < classes; class ++)
        first[class + 1] += first[class];
    for (int i = 0; i < images; i++)
        sorted[first[dataset_train(set, i).label]++] = i;
    for (int class = classes; class > 0; class --)
        first[class] = first[class - 1];
    first[0] = 0;
}

static void nearest_mean(const struct dataset *set, const int *indices, int n, double *mean,
                         size_t bytes)
{
    for (size_t k = 0; k < bytes; k++)
        mean[k] = 0;
    for (int i = 0; i < n; i++) {
        struct dataset_item item = dataset_train(set, indices[i]);
        double share = 1 / (double)(i + 1);
        for (size_t k = 0; k < bytes; k++)
            mean[k] += (item.pixels[k] - mean[k]) * share;
    }
}

static double nearest_distance(const uint8_t *image, const double *mean, size_t bytes)
{
    double distance = 0;
    for (size_t k = 0; k < bytes; k++)
        distance += (image[k] - mean[k]) * (image[k] - mean[k]);
    return distance;
}

int nearest_class_find(const struct dataset *set, int width, int height,
                       const uint8_t *const *images, int count, bool (*stop_requested)(void),
                       int *nearest)
{
    size_t bytes = (size_t)width * (size_t)height * 3, some = (size_t)count + 1;
    int classes = dataset_classes(set), code = OK;
    int *first = calloc((size_t)classes + 1, sizeof *first);
    int *sorted = calloc((size_t)dataset_train_count(set), sizeof *sorted);
    double *mean = calloc(bytes, sizeof *mean), *least = calloc(some, sizeof *least);
    if (!first || !sorted || !mean || !least) TRY_CLEANUP(fail(ERR_SYSTEM, "out of memory"));
    for (int i = 0; i < count; i++) {
        nearest[i] = -1;
        least[i] = (double)INFINITY;
    }
    if (classes > 0) nearest_sort(set, first, sorted);
    for (int class = 0; class < classes; class ++) {
        int n = first[class + 1] - first[class];
        if (n == 0) continue;
        TRY_CLEANUP(metrics_poll(stop_requested));
        nearest_mean(set, sorted + first[class], n, mean, bytes);
        for (int i = 0; i < count; i++) {
            double distance = nearest_distance(images[i], mean, bytes);
            if (!(distance < least[i])) continue;
            least[i] = distance;
            nearest[i] = class;
        }
    }
cleanup:
    free(first);
    free(sorted);
    free(mean);
    free(least);
    return code;
}
