#include "gan/evaluate.h"

#include "base/error.h"
#include "data/dataset.h"
#include "image/premultiplied.h"
#include "metrics/sample_metrics_internal.h"

#include <stdlib.h>

enum { SEED = 1 };

struct pictures {
    const uint8_t **pointers; /* training, held out, samples */
    uint8_t *samples;
    uint8_t *shown; /* all of them as RGB; NULL: they are */
    uint64_t *seeds;
    int *classes;
};

static int evaluate_allocate(struct pictures *p, int count, int held, size_t bytes, int channels)
{
    size_t all = (size_t)count * 2 + (size_t)held;
    if (channels != 3) p->shown = malloc(all * (bytes / (size_t)channels) * 3);
    if (channels != 3 && !p->shown) return fail(ERR_SYSTEM, "out of memory for %d samples", count);
    p->pointers = malloc(all * sizeof *p->pointers);
    p->samples = malloc((size_t)count * bytes);
    p->seeds = malloc((size_t)count * sizeof *p->seeds);
    p->classes = malloc((size_t)count * sizeof *p->classes);
    if (p->pointers && p->samples && p->seeds && p->classes) return OK;
    return fail(ERR_SYSTEM, "out of memory for %d samples", count);
}

static void evaluate_gather(struct pictures *p, const struct dataset *set, int count, int held,
                            size_t bytes)
{
    for (int i = 0; i < count; i++) {
        int index = metrics_spread(i, count, dataset_train_count(set));
        struct dataset_item item = dataset_train(set, index);
        p->pointers[i] = item.pixels;
        p->pointers[count + held + i] = p->samples + (size_t)i * bytes;
        p->seeds[i] = (uint64_t)i;
        p->classes[i] = item.label;
    }
    for (int i = 0; i < held; i++)
        p->pointers[count + i] = dataset_held(set, i).pixels;
}

static void evaluate_show(struct pictures *p, int all, size_t pixels, int channels)
{
    for (int i = 0; p->shown && i < all; i++) {
        uint8_t *rgb = p->shown + (size_t)i * pixels * 3;
        premultiplied_over(rgb, p->pointers[i], pixels, channels, PREMULTIPLIED_GREY);
        p->pointers[i] = rgb;
    }
}

int gan_evaluate(struct sample_metrics *metrics, int *count, const struct dataset *set,
                 const struct evaluate_options *options, gan_draw *draw, void *context)
{
    int n = dataset_train_count(set), held = dataset_held_count(set), code;
    int channels = dataset_channels(set);
    size_t pixels = (size_t)options->width * (size_t)options->height;
    size_t bytes = pixels * (size_t)channels;
    struct pictures p = {0};
    if (n > options->samples) n = options->samples;
    *count = n;
    TRY_CLEANUP(evaluate_allocate(&p, n, held, bytes, channels));
    evaluate_gather(&p, set, n, held, bytes);
    for (int first = 0; first < n; first += options->batch) {
        int some = n - first < options->batch ? n - first : options->batch;
        TRY_CLEANUP(metrics_poll(options->stop_requested));
        TRY_CLEANUP(draw(context, p.seeds + first, p.classes + first, some,
                         p.samples + (size_t)first * bytes));
    }
    evaluate_show(&p, 2 * n + held, pixels, channels);
    const struct image_list real = {p.pointers, n}, fake = {p.pointers + n + held, n};
    TRY_CLEANUP(sample_metrics_measure(metrics, real, (struct image_list){p.pointers + n, held},
                                       fake, options->width, options->height, SEED,
                                       options->stop_requested));
    sample_metrics_leave_out(metrics, n);
    if (options->features)
        TRY_CLEANUP(inception_measure(options->inception, options->features, real, fake,
                                      options->width, options->height, options->stop_requested));
cleanup:
    free(p.pointers);
    free(p.samples);
    free(p.shown);
    free(p.seeds);
    free(p.classes);
    return code;
}
