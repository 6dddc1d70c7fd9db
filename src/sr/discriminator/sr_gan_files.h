/* What the config says of the discriminator, and what files hold of it: its tensors stand in a
 * checkpoint beside the generator's, with "d." before their names, and in no model. */
#ifndef IMGTRAIN_SR_SR_GAN_FILES_H
#define IMGTRAIN_SR_SR_GAN_FILES_H

#include "sr/discriminator/sr_gan.h"

struct config;
struct store_file;
struct store_writer;

struct sr_gan_choices sr_gan_of(const struct config *config);
/* ERR_CONFIG, naming the key, for what does not go together. */
int sr_gan_check(const struct config *config);

/* sr.pretrain_d, nothing where it is empty: whether the run can begin with it; and to begin so. */
int sr_gan_pretrained_check(const struct config *config);
int sr_gan_pretrained_load(const struct config *config, struct sr_gan *gan);

int sr_gan_save(struct sr_gan *gan, struct store_writer *writer);
int sr_gan_expect(const struct sr_gan *gan, const struct store_file *file);
int sr_gan_load(struct sr_gan *gan, const struct store_file *file);

#endif
