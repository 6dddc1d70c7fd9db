/* The images of a run: those to learn from and those to measure with. */
#ifndef IMGTRAIN_SR_SR_DATA_H
#define IMGTRAIN_SR_SR_DATA_H

#include "data/crops.h"
#include "sr/sr_held.h"

struct task_input;
struct task_setup;

struct sr_data {
    const struct pair **train, **held; /* owned arrays of borrowed pairs */
    int train_count, held_count;
    struct crop_source crops; /* of the training images */
    struct sr_held degraded;  /* those that are shown, where they are degraded */
    bool cached;
    uint64_t fingerprint; /* of all of them, where they are cached */
    uint64_t listing;     /* of their names and sizes */
};

/* Opens both sets, or takes those that an earlier open has read (setup->input), and splits them.
 * *own: where nobody else keeps them. choices: of the degradations of data_mode otf. */
int sr_data_open(struct sr_data *data, struct task_input **own, const struct task_setup *setup,
                 const struct degrade_choices *choices);
void sr_data_close(struct sr_data *data);
void sr_free_input(struct task_input *input); /* accepts NULL */

#endif
