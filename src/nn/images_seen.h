/* How far a training is: in images, as the batch may grow on the way. */
#ifndef IMGTRAIN_NN_IMAGES_SEEN_H
#define IMGTRAIN_NN_IMAGES_SEEN_H

#include <stdint.h>

struct config;
struct store_file;
struct store_writer;

/* The last change of the batch: at `step`, after `images`. All 0: none yet. */
struct images_seen {
    int64_t step, images;
};

/* The last change of how many images a run is of: schedules had come to `t` (0..1) after `images`.
 * All 0: none yet. */
struct images_stretch {
    int64_t images;
    double t;
};

/* Real pictures that D has seen after `step` steps, the last of them with `batch`. */
int64_t images_seen_at(const struct images_seen *seen, int64_t step, int64_t batch);
/* Steps that `images` take in all, when the batch stays as it is. */
int64_t images_seen_steps(const struct images_seen *seen, int64_t images, int64_t batch);
/* From `step` on there is another batch than `batch`. */
void images_seen_change(struct images_seen *seen, int64_t step, int64_t batch);

/* Where schedules are, 0..1, after `seen` of `total` images: each goes on from where it was when
 * the total changed, neither jumping nor turning back, and comes to its end with the last image.
 * What had ended stays at its end. */
double images_seen_progress(const struct images_stretch *stretch, int64_t seen, int64_t total);
/* From `seen` on there is another total than `total`. */
void images_seen_restretch(struct images_stretch *stretch, int64_t seen, int64_t total);

/* The factor on learning rates where a batch of `asked` became `batch`: memory.grow_lr. */
double images_seen_rate(const struct config *config, int64_t asked, int64_t batch);

/* As metadata TASK.batch ... */
int images_seen_store(const struct images_seen *seen, const char *task, int64_t batch,
                      struct store_writer *writer);
/* *batch stays where the file has none. ERR_DATA. */
int images_seen_load(struct images_seen *seen, const char *task, int64_t *batch,
                     const struct store_file *file);

#endif
