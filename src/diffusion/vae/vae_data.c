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

int vae_data_open(const struct dataset **set, struct task_input **own,
                  const struct task_setup *setup)
{
    const struct config *config = setup->config;
    const struct dataset_options options = {
        .folder = config->vae.data,
        .width = (int)config->vae.size,
        .height = (int)config->vae.size,
        .labels = SCAN_LABELS_NONE,
        .flip = config->vae.flip,
        .seed = (uint64_t)config->seed,
        .spill_dir = setup->spill_dir,
        .stop_requested = setup->stop_requested,
    };
    struct task_input **input = setup->input ? setup->input : own;
    if (setup->without_input) return OK;
    if (!config->vae.data[0])
        return fail(ERR_CONFIG, "data is not set: the folder of images to learn from");
    if (!*input) *input = calloc(1, sizeof **input);
    if (!*input) return fail(ERR_SYSTEM, "out of memory");
    TRY(dataset_open_once(&(*input)->set, &options, setup->run_dir, setup->planned_dir));
    *set = (*input)->set;
    return OK;
}

/* ---- samples ---- */

void vae_feed_fill(const struct vae_feed *feed, uint64_t step, int first, int n, float *images,
                   float *noise)
{
    uint64_t draws = ((uint64_t)feed->noise_floats + 3) / 4;
    size_t image = (size_t)feed->side * (size_t)feed->side * 3;
    for (int i = 0; i < n; i++) {
        uint64_t place = (uint64_t)(first + i);
        struct dataset_item item;
        dataset_batch(feed->set, step * (uint64_t)feed->batch + place, 1, &item);
        dataset_item_values(feed->set, &item, images + (size_t)i * image);
        net_normal(noise + (size_t)i * (size_t)feed->noise_floats, (size_t)feed->noise_floats,
                   feed->seed, STREAM_VAE_NOISE, step, place * draws);
    }
}
