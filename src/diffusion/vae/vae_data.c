#include "diffusion/vae/vae_data.h"

#include "base/error.h"
#include "base/random.h"
#include "config/config.h"
#include "data/dataset.h"
#include "nn/net_init.h"
#include "task/task.h"

#include <stdlib.h>

struct task_input {
    struct dataset *set;
};

void vae_free_input(struct task_input *input)
{
    if (!input) return;
    dataset_close(input->set);
    free(input);
}

/* cache: of the run, NULL while nothing may be written; look: where it may lie already. */
static int vae_read_images(struct dataset **set, const struct task_setup *setup, const char *cache,
                           const char *look)
{
    const struct config *config = setup->config;
    const struct dataset_options options = {
        .folder = config->vae.data,
        .width = (int)config->vae.size,
        .height = (int)config->vae.size,
        .labels = SCAN_LABELS_NONE,
        .flip = config->vae.flip,
        .seed = (uint64_t)config->seed,
        .cache_dir = cache,
        .look_dir = look,
        .spill_dir = setup->spill_dir,
        .stop_requested = setup->stop_requested,
    };
    return dataset_open(set, &options);
}

static int vae_keep_images(struct task_input **input, const struct task_setup *setup)
{
    char *cache = setup->run_dir ? dataset_cache_folder(setup->run_dir) : NULL;
    char *look = setup->planned_dir ? dataset_cache_folder(setup->planned_dir) : NULL;
    int code = OK;
    if (!*input) {
        struct task_input *made = calloc(1, sizeof *made);
        code = made ? vae_read_images(&made->set, setup, cache, look)
                    : fail(ERR_SYSTEM, "out of memory");
        if (code == OK) *input = made;
        if (code < 0) free(made);
    } else if (cache) {
        code = dataset_keep((*input)->set, cache);
    }
    free(cache);
    free(look);
    return code;
}

int vae_data_open(const struct dataset **set, struct task_input **own,
                  const struct task_setup *setup)
{
    struct task_input **input = setup->input ? setup->input : own;
    if (setup->without_input) return OK;
    if (!setup->config->vae.data[0])
        return fail(ERR_CONFIG, "data is not set: the folder of images to learn from");
    TRY(vae_keep_images(input, setup));
    *set = (*input)->set;
    return OK;
}

/* ---- samples ---- */

static void vae_image_floats_of(const struct vae_feed *feed, const struct dataset_item *item,
                                float *to)
{
    size_t row = (size_t)feed->side * 3, count = row * (size_t)feed->side;
    for (size_t i = 0; i < count; i++) {
        size_t x = i % row, at = item->flip ? i - x + (row - 3 - (x - x % 3)) + x % 3 : i;
        to[i] = (float)item->pixels[at] / 127.5f - 1;
    }
}

void vae_feed_fill(const struct vae_feed *feed, uint64_t step, int first, int n, float *images,
                   float *noise)
{
    uint64_t draws = ((uint64_t)feed->noise_floats + 3) / 4;
    size_t image = (size_t)feed->side * (size_t)feed->side * 3;
    for (int i = 0; i < n; i++) {
        uint64_t place = (uint64_t)(first + i);
        struct dataset_item item;
        dataset_batch(feed->set, step * (uint64_t)feed->batch + place, 1, &item);
        vae_image_floats_of(feed, &item, images + (size_t)i * image);
        net_normal(noise + (size_t)i * (size_t)feed->noise_floats, (size_t)feed->noise_floats,
                   feed->seed, STREAM_VAE_NOISE, step, place * draws);
    }
}

int vae_held_count(const struct dataset *set)
{
    enum { HELD_MOST = 64 };
    int held = dataset_held_count(set), count = held;
    if (!held) count = dataset_train_count(set);
    return count < HELD_MOST ? count : HELD_MOST;
}

void vae_held_image(const struct vae_feed *feed, int index, float *image)
{
    bool held = dataset_held_count(feed->set) > 0;
    struct dataset_item item =
        held ? dataset_held(feed->set, index) : dataset_train(feed->set, index);
    vae_image_floats_of(feed, &item, image);
}

void vae_train_image(const struct vae_feed *feed, int index, float *image)
{
    struct dataset_item item = dataset_train(feed->set, index);
    vae_image_floats_of(feed, &item, image);
}
