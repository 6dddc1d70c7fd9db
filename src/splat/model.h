/* An image as 2D Gaussians, and its file.
 *
 * The safetensors file holds Image-GS's tensors under their names: xy [N,2] (0..1), scale [N,2]
 * (1 / sigma in pixels, or sigma where metadata `scale` says so), rot [N,1] (radians), feat [N,C];
 * and weight [N,1] where Gaussians have weights (alpha = 2^-weight exp(-q / 2)), which that program
 * does not know.
 * Metadata: width, height (the pixels that sigma counts), channels, topk, blend (normalised |
 * additive), scale (inverse | sigma), gamma, sample_bits (8, 16 or 32: of the image fitted),
 * alpha (none | premultiplied: the last channel), cut (in sigmas). */
#ifndef IMGTRAIN_SPLAT_MODEL_H
#define IMGTRAIN_SPLAT_MODEL_H

#include "device/splat_ops.h"
#include "memory/plan.h"

#include <stdbool.h>
#include <stdint.h>

struct device;
struct store_file;
struct store_writer;

struct splat_model {
    int width, height, channels;
    int64_t count, capacity;
    float *group[SPLAT_GROUPS]; /* [capacity][columns] */
    bool sigma_scale;           /* scale holds sigma instead of 1 / sigma */
    bool weighted;              /* there are weights; else group[SPLAT_WEIGHT] is NULL */
    struct splat_blend blend;
    double gamma;    /* rendered values are shown ^(1/gamma) */
    int sample_bits; /* of the image it was fitted to */
    bool alpha;      /* the last channel is alpha, colours are premultiplied */
    void *owned;     /* memory of a model that was read from a file; NULL: the plan's */
};

const char *splat_group_name(int group);
int splat_group_columns(const struct splat_model *model, int group);

/* Numbers of a Gaussian in all groups. */
int splat_model_columns(const struct splat_model *model);

/* Declares arrays for `capacity` Gaussians, named PREFIX.xy ..., to be put into groups[]. */
int splat_model_declare(const struct splat_model *model, struct plan *plan, const char *prefix,
                        enum plan_kind kind, float **groups);

/* The model as operations take it; `groups` may hold other values of the same shapes (quantised
 * ones), NULL = the model's own. */
struct splat_view splat_model_view(const struct splat_model *model, float *const *groups);

/* Adds tensors and metadata; data is borrowed until the write. */
int splat_model_save(const struct splat_model *model, float *const *groups,
                     struct store_writer *writer);

/* Reads the metadata of a model or checkpoint into *model (count = capacity, no arrays). */
int splat_model_describe(struct splat_model *model, const struct store_file *file);

/* Copies the file's parameters into groups[] of at least that many rows. ERR_DATA when shapes do
 * not fit or a value is out of its range. trained: by this program, which keeps scales away from 0.
 */
int splat_model_read(const struct splat_model *model, const struct store_file *file, bool trained,
                     float *const *groups);

/* Opens the model, checkpoint or run folder at `path`: a model of its own. ERR_INPUT, ERR_DATA. */
int splat_model_open(struct splat_model *model, const char *path);

/* The parameters of a model of its own (host memory) for a device that cannot read them there:
 * *memory, `bytes` large, is to be given back to the device; NULL where none is needed. */
int splat_model_upload(const struct splat_model *model, struct device *device, float **groups,
                       void **memory, size_t *bytes);
void splat_model_close(struct splat_model *model); /* accepts a zeroed one */

#endif
