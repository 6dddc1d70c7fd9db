#include "nn/images_seen.h"

#include "base/error.h"
#include "config/config.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>

/* batch and memory.max_batch_size are at most so much. */
enum { PACE_MOST_BATCH = 65536 };

int64_t pace_images(const struct gan_pace *pace, int64_t step, int64_t batch)
{
    return pace->images + (step - pace->step) * batch;
}

int64_t pace_steps(const struct gan_pace *pace, int64_t images, int64_t batch)
{
    int64_t left = images > pace->images ? images - pace->images : 0;
    return pace->step + (left + batch - 1) / batch;
}

void pace_change(struct gan_pace *pace, int64_t step, int64_t batch)
{
    *pace = (struct gan_pace){.step = step, .images = pace_images(pace, step, batch)};
}

double pace_rate(const struct config *config, int64_t asked, int64_t batch)
{
    double ratio = (double)batch / (double)asked;
    if (config->memory.grow_lr == CONFIG_MEMORY_GROW_LR_LINEAR) return ratio;
    return config->memory.grow_lr == CONFIG_MEMORY_GROW_LR_SQRT ? sqrt(ratio) : 1;
}

int pace_store(const struct gan_pace *pace, int64_t batch, struct store_writer *writer)
{
    TRY(store_set_int(writer, "gan.batch", batch));
    TRY(store_set_int(writer, "gan.batch_step", pace->step));
    return store_set_int(writer, "gan.batch_images", pace->images);
}

int pace_load(struct gan_pace *pace, int64_t *batch, const struct store_file *file)
{
    int64_t done;
    if (!store_get(file, "gan.batch")) return OK;
    TRY(store_get_int_in(file, "step", 0, CHECKPOINT_MOST_STEPS, &done));
    TRY(store_get_int_in(file, "gan.batch_step", 0, done, &pace->step));
    TRY(store_get_int_in(file, "gan.batch_images", 0, pace->step * PACE_MOST_BATCH, &pace->images));
    return store_get_int_in(file, "gan.batch", 1, PACE_MOST_BATCH, batch);
}
