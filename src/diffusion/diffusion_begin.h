/* A training that begins with the weights of a model (diffusion.init_from) instead of drawn ones.
 */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_BEGIN_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_BEGIN_H

struct diffusion_design;
struct task_state;

/* ERR_CONFIG, naming key and both values, unless the model at `path` is a network of this design,
 * conditions aside; errors of model_open_any. Reads no weights. */
int diffusion_begin_check(const struct diffusion_design *design, const char *path);
/* After diffusion_core_initialise: parameters and average become the model's. Of its conditions
 * those are taken that this training has too (classes of the same name; bytes of texts): the others
 * stay as they were drawn. */
int diffusion_begin_with(struct task_state *s, const char *path);

#endif
