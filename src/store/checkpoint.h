/* Checkpoints of a run: RUN/checkpoints/step-%09d.safetensors, newest by number. And the metadata
 * that every file of this program carries:
 *   format   "imgtrain"
 *   version  of the program that wrote it
 *   kind     "checkpoint" (all that the next step depends on) or "model" (what using it needs)
 *   task     "splat", "gan", "sr"
 *   step     steps that are done
 *   config   the resolved configuration as YAML text
 * and a checkpoint's
 *   run      which run it is of (run/identity.h) */
#ifndef IMGTRAIN_STORE_CHECKPOINT_H
#define IMGTRAIN_STORE_CHECKPOINT_H

#include "store/safetensors.h"

/* The most steps of any task. */
#define CHECKPOINT_MOST_STEPS ((int64_t)1000000000000)

/* Sets the metadata above. */
int checkpoint_describe(struct store_writer *writer, const char *kind, const char *task,
                        int64_t step, const char *config);

/* Which checkpoints stay: the newest ones, and those of steps that are multiples of `every`. */
struct checkpoint_keep {
    int newest;    /* 1 at least */
    int64_t every; /* 0: none beside them */
};

/* Writes the checkpoint of `step` atomically, and only then removes the old ones that do not stay.
 * Checkpoints of later steps are renamed (.bad): they belong to a past that the run has
 * left. The writer must have been described; `step` is set here. A failure leaves every older
 * checkpoint. */
int checkpoint_write(const char *run_dir, int64_t step, struct store_writer *writer,
                     struct checkpoint_keep keep, bool sync);

/* Opens the newest checkpoint that is sound; damaged newer ones are passed over with a warning, but
 * not one that cannot be opened or read for the moment: ERR_SYSTEM, ERR_IO, ERR_ACCESS. ERR_INPUT
 * when there is none, ERR_DATA when none is sound. Changes nothing in the folder. */
int checkpoint_latest(const char *run_dir, struct store_file **file, int64_t *step);
/* The same for the owner of the run's lock: those that are passed over are renamed to NAME.bad. */
int checkpoint_resume(const char *run_dir, struct store_file **file, int64_t *step);
/* How many damaged checkpoints were renamed. */
int checkpoint_rejected(const char *run_dir);

/* Steps of the checkpoints that are there, newest first: *steps is owned by the caller. No check of
 * what is in them; a missing folder counts as an empty one. */
int checkpoint_list(const char *run_dir, int64_t **steps, int *count);

/* Name of a step's checkpoint (malloc). */
char *checkpoint_path(const char *run_dir, int64_t step);

/* Removes what killed processes left of unfinished writes. For the owner of the run's lock. */
void checkpoint_clean(const char *run_dir);

/* Opens what `path` means to somebody who wants to use a result: a file itself; of a run folder
 * model.safetensors, else the newest checkpoint. Checks that this program wrote it (ERR_DATA). */
int checkpoint_open(const char *path, struct store_file **file);

/* ERR_DATA unless `file` holds the `task` and is of `kind` (NULL: any). */
int checkpoint_expect(const struct store_file *file, const char *task, const char *kind);

#endif
