/* A training that begins with what another GAN has learnt (gan.init_from) instead of drawn weights.
 */
#ifndef IMGTRAIN_GAN_GAN_BEGIN_H
#define IMGTRAIN_GAN_GAN_BEGIN_H

struct gan_core;

/* Of a declared core: ERR_CONFIG unless a tensor at least of the GAN at `path` (a run, of which the
 * newest checkpoint is meant; a checkpoint; a model, which has no D) has the name and the shape of
 * one of its own. Reads no weights. */
int gan_begin_check(const struct gan_core *core, const char *path);
/* After gan_core_initialise: those tensors become the model's, of G, D and the average; of a first
 * layer of G that differs by classes alone the columns of the latent. All others stay as they were
 * drawn; one line counts both. */
int gan_begin_with(struct gan_core *core, const char *path);

#endif
