/* The part of a batch that is one machine's. */
#ifndef IMGTRAIN_CMD_TRAIN_SHARD_H
#define IMGTRAIN_CMD_TRAIN_SHARD_H

struct train_shard {
    int index, count; /* it has runs index, index + count, ... from 0 */
};

/* "I/N"; "N": I is that of an array job of SLURM (SLURM_ARRAY_TASK_ID) or of an indexed job of
 * Kubernetes (JOB_COMPLETION_INDEX); "auto": SLURM says N too. NULL: all of it. ERR_USAGE. */
int train_shard_parse(struct train_shard *shard, const char *text);

#endif
