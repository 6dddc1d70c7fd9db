/* A model out of what a run of this program has saved: its result or a checkpoint, for `generate`
 * and whoever else takes a model folder. */
#ifndef IMGTRAIN_DIFFUSION_MODEL_MODEL_TRAINED_H
#define IMGTRAIN_DIFFUSION_MODEL_MODEL_TRAINED_H

#include "diffusion/model/model_folder.h"

/* What `path` is: a model folder (model_folder_open); a file of task diffusion, of a checkpoint the
 * averaged network; the folder of a run whose model/ is not there yet: its result, else its newest
 * checkpoint, which is said. Errors are those of model_folder_open, and of a file that does not say
 * its network's shape. model_folder_close takes it in any case. */
int model_open_any(struct model_folder *model, const char *path);

#endif
