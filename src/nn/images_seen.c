#include "nn/images_seen.h"

#include "base/error.h"
#include "config/config.h"
#include "store/checkpoint.h"
#include "store/safetensors.h"
#include "store/store_bounds.h"

#include <math.h>
#include <stdio.h>

/* batch and memory.max_batch_size are at most so much. */
enum { PACE_MOST_BATCH = 65536 };

int64_t images_seen_at(const struct images_seen *seen, int64_t step, int64_t batch)
{
    return seen->images + (step - seen->step) * batch;
}

int64_t images_seen_steps(const struct images_seen *seen, int64_t images, int64_t batch)
{
    int64_t left = images > seen->images ? images - seen->images : 0;
    return seen->step + (left + batch - 1) / batch;
}

void images_seen_change(struct images_seen *seen, int64_t step, int64_t batch)
{
    *seen = (struct images_seen){.step = step, .images = images_seen_at(seen, step, batch)};
}

double images_seen_progress(const struct images_stretch *stretch, int64_t seen, int64_t total)
{
    if (stretch->t >= 1 || total <= stretch->images) return 1;
    double way = (double)(seen - stretch->images) / (double)(total - stretch->images);
    return fmin(1, stretch->t + (1 - stretch->t) * way);
}

void images_seen_restretch(struct images_stretch *stretch, int64_t seen, int64_t total)
{
    double t = images_seen_progress(stretch, seen, total);
    *stretch = (struct images_stretch){.images = seen, .t = t};
}

double images_seen_rate(const struct config *config, int64_t asked, int64_t batch)
{
    double ratio = (double)batch / (double)asked;
    if (config->memory.grow_lr == CONFIG_MEMORY_GROW_LR_LINEAR) return ratio;
    return config->memory.grow_lr == CONFIG_MEMORY_GROW_LR_SQRT ? sqrt(ratio) : 1;
}

/* The three keys of a task. */
struct seen_keys {
    char batch[32], step[32], images[32];
};

static struct seen_keys seen_keys_of(const char *task)
{
    struct seen_keys keys;
    snprintf(keys.batch, sizeof keys.batch, "%s.batch", task);
    snprintf(keys.step, sizeof keys.step, "%s.batch_step", task);
    snprintf(keys.images, sizeof keys.images, "%s.batch_images", task);
    return keys;
}

int images_seen_store(const struct images_seen *seen, const char *task, int64_t batch,
                      struct store_writer *writer)
{
    const struct seen_keys keys = seen_keys_of(task);
    TRY(store_set_int(writer, keys.batch, batch));
    TRY(store_set_int(writer, keys.step, seen->step));
    return store_set_int(writer, keys.images, seen->images);
}

int images_seen_load(struct images_seen *seen, const char *task, int64_t *batch,
                     const struct store_file *file)
{
    const struct seen_keys keys = seen_keys_of(task);
    int64_t done;
    if (!store_get(file, keys.batch)) return OK;
    TRY(store_get_int_in(file, "step", 0, CHECKPOINT_MOST_STEPS, &done));
    TRY(store_get_int_in(file, keys.step, 0, done, &seen->step));
    TRY(store_get_int_in(file, keys.images, 0, seen->step * PACE_MOST_BATCH, &seen->images));
    return store_get_int_in(file, keys.batch, 1, PACE_MOST_BATCH, batch);
}
