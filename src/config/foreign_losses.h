/* Rules for what other trainers' option files say of losses and discriminators. `losses:` is a list
 * of mappings; older files name each loss. */
#ifndef IMGTRAIN_CONFIG_FOREIGN_LOSSES_H
#define IMGTRAIN_CONFIG_FOREIGN_LOSSES_H

#include "config/foreign_say.h"

foreign_rule foreign_translate_loss;
foreign_rule foreign_translate_perceptual_target;
foreign_rule foreign_translate_discriminator;
foreign_rule foreign_translate_pretrained_discriminator;
foreign_rule foreign_require_as_generator;

/* A file that names its losses means these and no others. */
int foreign_drop_default_loss(struct translation *t);

#endif
