#include "diffusion/compared_images.h"

#include "base/error.h"
#include "data/dataset.h"
#include "metrics/sample_metrics_internal.h"

#include <stdlib.h>

enum { METRICS_SEED = 1 };

static void compared_images_list(struct compared_images *c, const struct dataset *set, bool labels,
                                 bool texts)
{
    for (int i = 0; i < c->held; i++)
        c->pixels[c->count + i] = dataset_held(set, i).pixels;
    for (int i = 0; i < c->count; i++) {
        int index = metrics_spread(i, c->count, dataset_train_count(set));
        const struct dataset_item item = dataset_train(set, index);
        c->pixels[i] = item.pixels;
        c->pixels[c->count + c->held + i] = c->samples + (size_t)i * c->image;
        c->wishes[i] =
            (struct diffusion_wish){.seed = (uint64_t)i,
                                    .label = labels ? item.label : -1,
                                    .text = texts ? dataset_class_name(set, item.label) : NULL};
    }
}

int compared_images_open(struct compared_images *c, const struct dataset *set, int most, int width,
                         int height, bool labels, bool texts)
{
    int all = dataset_train_count(set);
    *c = (struct compared_images){.width = width,
                                  .height = height,
                                  .count = most < all ? most : all,
                                  .held = dataset_held_count(set),
                                  .image = (size_t)width * (size_t)height * 3};
    size_t count = (size_t)c->count;
    c->samples = malloc(count * c->image + 1);
    c->wishes = calloc(count + 1, sizeof *c->wishes);
    c->pixels = calloc(2 * count + (size_t)c->held + 1, sizeof *c->pixels);
    if (!c->samples || !c->wishes || !c->pixels)
        return fail(ERR_SYSTEM, "out of memory for %d samples", c->count);
    c->real = (struct image_list){c->pixels, c->count};
    c->kept = (struct image_list){c->pixels + c->count, c->held};
    c->fake = (struct image_list){c->pixels + c->count + c->held, c->count};
    compared_images_list(c, set, labels, texts);
    return OK;
}

void compared_images_close(struct compared_images *c)
{
    free(c->samples);
    free(c->wishes);
    free(c->pixels);
}

int compared_images_measure(const struct compared_images *c, struct sample_metrics *metrics,
                            bool (*stop_requested)(void))
{
    return sample_metrics_measure(metrics, c->real, c->kept, c->fake, c->width, c->height,
                                  METRICS_SEED, stop_requested);
}
