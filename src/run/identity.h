/* The identity of a run, in its folder and in its checkpoints: a random number, made at the first
 * start, in the folder's file `run-id` and in each checkpoint's metadata `run`. So a checkpoint
 * that was copied from another run is noticed, while a folder can be moved or copied as a whole. */
#ifndef IMGTRAIN_RUN_IDENTITY_H
#define IMGTRAIN_RUN_IDENTITY_H

struct store_file;

enum { IDENTITY_DIGITS = 32, IDENTITY_BYTES = IDENTITY_DIGITS + 1 };

/* The identity of the run in `run_dir`, which is to go on from `file` (NULL: to begin). Folders of
 * before 2026-11-28 get one; a folder that lost its file has the checkpoint's. ERR_CONFIG, naming
 * both, when the checkpoint is of another run; ERR_DATA when it says nothing that is an identity.
 */
int identity_settle(char id[IDENTITY_BYTES], const char *run_dir, const struct store_file *file);

#endif
