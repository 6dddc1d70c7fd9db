/* The images to learn from: a folder of any mix of sizes and formats, decoded once into a packed
 * cache of equally large uint8 images (scaled so that they cover width x height, centre crop,
 * alpha over white, grey to RGB; or with alpha, or grey: data/channels.h), which is then mapped.
 * Sub-folders are classes. */
#ifndef IMGTRAIN_DATA_DATASET_H
#define IMGTRAIN_DATA_DATASET_H

#include "data/dataset_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dataset;

/* Of fewer images none is held out. */
enum { DATASET_HELD_FROM = 20 };

/* One image of a batch. */
struct dataset_item {
    const uint8_t *pixels; /* [height][width][channels], borrowed (mapped) */
    int label;             /* class or caption; 0 without */
    int index;             /* among all images of the set, held-out ones too */
    bool flip;             /* to be mirrored left to right */
};

/* Unreadable files are named in one warning each (a few, then a count) and skipped. ERR_INPUT: no
 * such folder; ERR_DATA: no image in it, none readable or only one; with SCAN_LABELS_FOLDERS also
 * fewer than two sub-folders with images, or images beside them; ERR_STOPPED. The cache is made
 * again when a file's name, size or time changed, or it is damaged; where it cannot be written the
 * images stay in memory, with a warning. Without cache_dir nothing with a name is written. *set
 * is owned. */
int dataset_open(struct dataset **set, const struct dataset_options *options);
void dataset_close(struct dataset *set); /* accepts NULL */

/* Gives the cache of a set that was opened without cache_dir its name in that folder, so that no
 * image is decoded twice. Where that cannot be the set stays as it is, with a warning. */
int dataset_keep(struct dataset *set, const char *cache_dir);

/* For a task's open, with the set of its input so far: opened by the first (*set NULL), when there
 * may be no run folder yet, and kept by the one that has run_dir, so that each image is decoded
 * once. run_dir and planned_dir as in task_setup; options without cache_dir and look_dir. */
int dataset_open_once(struct dataset **set, const struct dataset_options *options,
                      const char *run_dir, const char *planned_dir);

int dataset_train_count(const struct dataset *set); /* >= 1 */
int dataset_held_count(
    const struct dataset *set); /* min(10 %, 200); 0 for fewer than DATASET_HELD_FROM */
int dataset_channels(const struct dataset *set); /* 1, 3 or 4 */
int dataset_classes(const struct dataset *set);  /* or captions; 0 without */
const char *dataset_class_name(const struct dataset *set, int label);
/* A checksum of the prepared images, their order and classes, whatever the files' times: so that
 * a resumed run notices another data set. */
uint64_t dataset_fingerprint(const struct dataset *set);

/* All images of the set, training and held-out ones, in one order; never mirrored. */
int dataset_count(const struct dataset *set);
struct dataset_item dataset_at(const struct dataset *set, int index);
/* Training or held-out image `index`, never mirrored. */
struct dataset_item dataset_train(const struct dataset *set, int index);
struct dataset_item dataset_held(const struct dataset *set, int index);
/* The file of a held-out image, below the folder; NULL where files that cannot be read have moved
 * the numbers. */
const char *dataset_held_name(const struct dataset *set, int index);
/* The images that a network is measured by in training: held-out ones, at most 64; where none are
 * held out, training images. */
int dataset_measured_count(const struct dataset *set);
struct dataset_item dataset_measured(const struct dataset *set, int index);

/* An image, mirrored where the item says so, as numbers -1..1, of sets of RGB; of each pixel all
 * three, or the first `channels`. */
void dataset_item_values(const struct dataset *set, const struct dataset_item *item, float *values);
void dataset_item_channels(const struct dataset *set, const struct dataset_item *item, int channels,
                           float *values);

/* Training images number first .. first + count - 1 of the endless sequence of shuffled epochs (a
 * new order each epoch): a pure function of (seed, number), without any state. */
void dataset_batch(const struct dataset *set, uint64_t first, int count,
                   struct dataset_item *items);

/* Where the cache of a run belongs, a new string (malloc): $XDG_CACHE_HOME/imgtrain where that is
 * set, so that runs share it; else RUN/cache, as nothing is written outside the run unasked. NULL
 * for neither (and without memory): the set then stays in memory. */
char *dataset_cache_folder(const char *run_dir);

#endif
