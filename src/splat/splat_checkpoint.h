/* A fit's state to and from files: checkpoints, and the finished model. */
#ifndef IMGTRAIN_SPLAT_SPLAT_CHECKPOINT_H
#define IMGTRAIN_SPLAT_SPLAT_CHECKPOINT_H

#include "splat/fit.h"

struct store_file;
struct store_writer;

/* Adds the state that the next step depends on. */
int splat_state_save(struct splat_fit *fit, struct store_writer *writer);

/* The same back, after the commit. Of a fit that was trained at another size the Gaussians are
 * carried to the present one. ERR_DATA when the file is of an image of another shape, unless that
 * is known (`changed`), or has other channels. */
int splat_state_load(struct splat_fit *fit, const struct store_file *file, bool changed);

/* The size that a stored model was trained at, and whether that is the image's or a smaller one
 * of it. */
int splat_state_size(const struct splat_model *stored);
bool splat_state_has_axes(const struct store_file *file); /* its optimiser has */
bool splat_state_fits(const struct splat_model *stored, const struct splat_source *source);

/* Adds the model, of the whole image whatever size it is trained at. */
int splat_state_save_model(struct splat_fit *fit, struct store_writer *writer);

#endif
