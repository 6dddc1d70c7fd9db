/* Several inputs from one name: what a pattern matches, the images of a folder. */
#ifndef IMGTRAIN_CMD_TRAIN_INPUTS_H
#define IMGTRAIN_CMD_TRAIN_INPUTS_H

#include <stdbool.h>

struct config;

/* An input with *, ? or [ in its name that is no file becomes the list of what it matches; with
 * `each`, a folder where an image may be becomes the list of its images. *any: there was one.
 * ERR_INPUT where nothing matches. */
int train_expand_inputs(struct config *config, bool each, bool *any);

#endif
