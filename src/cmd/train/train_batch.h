/* Batches: a run for every combination of the lists in a config, one after the other or several at
 * a time. */
#ifndef IMGTRAIN_CMD_TRAIN_BATCH_H
#define IMGTRAIN_CMD_TRAIN_BATCH_H

#include "cmd/train/train_options.h"

/* config: with inputs expanded, which makes it a batch even where there is one combination. */
int train_batch(const struct config *config, const struct train_options *options, bool expanded);

#endif
