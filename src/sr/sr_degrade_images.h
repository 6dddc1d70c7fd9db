/* Pictures that a training with data_mode otf would learn from, as files, for users to look at. */
#ifndef IMGTRAIN_SR_SR_DEGRADE_IMAGES_H
#define IMGTRAIN_SR_SR_DEGRADE_IMAGES_H

#include <stdbool.h>

struct config;

/* Of `count`, each as NNNNNN_lq.png, NNNNNN_gt.png and NNNNNN.json, which holds what was drawn.
 * image NULL: the patches of the first steps, in their order. Else that image file as a whole, so
 * often, by the draws of the same patches. ERR_CONFIG, ERR_INPUT, ERR_DATA; ERR_OUTPUT where one of
 * the files is there already. */
int sr_degrade_images(const struct config *config, const char *image, const char *folder, int count,
                      bool (*stop_requested)(void));

#endif
