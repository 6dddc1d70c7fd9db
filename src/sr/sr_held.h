/* Images that are measured with or shown, of data_mode otf: the middle of each, degraded by draws
 * of its own that no step has, once for the whole run. */
#ifndef IMGTRAIN_SR_SR_HELD_H
#define IMGTRAIN_SR_SR_HELD_H

#include "base/spill.h"
#include "data/pairs.h"
#include "sr/degrade/degradation.h"

struct sr_held {
    struct pair *pairs; /* [count], whose samples are in `samples` */
    int count;
    struct spill samples;
};

/* From `count` pairs, whose own LQ is not looked at. spill_dir: where the samples may lie, in
 * memory where it is NULL. sizes_only: for a forecast, there are no samples. ERR_SYSTEM, ERR_IO. */
int sr_held_open(struct sr_held *held, const struct pair *const *pairs, int count,
                 const struct degrade_choices *choices, uint64_t seed, const char *spill_dir,
                 bool sizes_only);
void sr_held_close(struct sr_held *held); /* accepts a zeroed one */

#endif
