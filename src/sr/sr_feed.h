/* The patches of a step: cut out of images, and degraded where data_mode is otf. All threads make
 * them, each one at a time; a device with memory of its own is at the step before meanwhile. */
#ifndef IMGTRAIN_SR_SR_FEED_H
#define IMGTRAIN_SR_SR_FEED_H

#include "data/crops.h"
#include "sr/degrade/degradation.h"

#include <stdbool.h>

struct config;

struct sr_feed {
    bool degrades;       /* data_mode otf */
    bool sharpens;       /* targets: l1_gt_usm */
    bool other_sharpens; /* their other form, where somebody sees that: sr_has_other_images */
    struct degrade_choices choices;
    uint64_t seed;
    unsigned turns;
    int scale;
    const struct crop_source *crops; /* borrowed */
    int workers;                     /* threads that have memory */
    size_t worker_bytes;
    char *memory; /* sr_feed_bytes, planned */
};

/* Whether VGG19's loss sees images after unsharp masking; whether it or the discriminator sees
 * other ones than pixel losses do: the plain ones where these see sharpened ones, and the reverse.
 */
bool sr_perceptual_sharpens(const struct config *config);
bool sr_has_other_images(const struct config *config);

/* ERR_CONFIG, naming the key. */
int sr_feed_open(struct sr_feed *feed, const struct config *config,
                 const struct crop_source *crops);
/* Host memory that up to `n` patches at a time of `side` pixels of LQ take; for the threads that
 * there are now. */
size_t sr_feed_bytes(struct sr_feed *feed, int side, int n);
/* Where patches go: lq [n][side][side][3], gt, scale times as large, and likewise their other
 * form, sharpened where they are not and not where they are (NULL: nobody sees it). */
struct sr_feed_out {
    float *lq, *gt, *other;
};
/* Patches first .. first + n - 1 of a step. */
int sr_feed_fill(const struct sr_feed *feed, uint64_t step, int first, int n, int side,
                 const struct sr_feed_out *out);

struct sr_feed_place {
    uint64_t step;
    int index;        /* of the patch in its step */
    const char *name; /* filled in: the image that it was cut out of, borrowed */
};
/* The same of one patch, with what was drawn for it; memory: sr_feed_bytes of one. */
int sr_feed_patch(const struct sr_feed *feed, struct sr_feed_place *place, int side,
                  const struct sr_feed_out *out, struct degrade_recipe *recipe, void *memory);

/* Processor time of one thread that a patch takes, in ms: of a few of the first step. 0: nothing to
 * speak of, as patches are read and not made. */
int sr_feed_time(const struct sr_feed *feed, int side, double *ms);

#endif
