/* The training's state in checkpoints and models: tensors named as in GAN_TENSORS.md. */
#ifndef IMGTRAIN_GAN_GAN_CHECKPOINT_H
#define IMGTRAIN_GAN_GAN_CHECKPOINT_H

#include "gan/core.h"
#include "nn/images_seen.h"

struct config;
struct task_setup;
struct store_file;
struct store_writer;

/* What the next step depends on besides the tensors. */
struct gan_progress {
    double augment[2];    /* probability by feedback, [step % 2] after that step: of the last two */
    double sign;          /* running mean of E[sign(D(real) - D(fake))] */
    struct gan_half half; /* of the next step */
    struct images_stretch stretch;
    uint64_t fingerprint;  /* of the data set ... */
    int pictures, classes; /* ... and how many it has */
};

/* Compares the data set at hand with that of the checkpoint setup->resume, by contents. Another
 * one: ERR_CONFIG with what changed, or (setup->allow_changed_input) a warning, and
 * setup->input_changed is told. */
int gan_check_data(const struct gan_progress *now, const struct task_setup *setup);

/* The checkpoint: g.*, d.*, their second moments v.g.*, v.d.*, and ema.g.*. */
int gan_store(struct gan_core *core, const struct gan_progress *progress,
              struct store_writer *writer);
/* Into a connected core. ERR_DATA. */
int gan_load(struct gan_core *core, struct gan_progress *progress, const struct store_file *file);

/* The model: weights of a generator as g.*, and the design in the metadata. */
int gan_store_model(const struct gan_core *core, const float *parameters,
                    struct store_writer *writer);

/* Channels of the images of the run that goes on: of its checkpoint, or in a forecast of any that
 * the run folder has. Runs of older versions do not say: 3. 0: none has begun. */
int gan_known_channels(int *channels, const struct task_setup *setup);

/* The metadata "gan.width" ... */
int gan_store_design(const struct net_design *design, struct store_writer *writer);
/* The design that a model or checkpoint was trained with, of images that can be trained. It is
 * the metadata's word alone until weights_expect was asked. ERR_DATA. */
int gan_load_design(struct net_design *design, const struct store_file *file);
/* The sets of tags that its labels are, if they are: then design->tags, which borrows them. *tags
 * is zeroed by the caller, and to be freed in any case. ERR_DATA. */
int gan_load_tags(struct tag_sets *tags, struct net_design *design, const struct store_file *file);
/* The config that a model or checkpoint was trained with; the defaults where it names none. The
 * caller frees it. */
int gan_load_config(struct config **config, const struct store_file *file);
/* Of a checkpoint with its config: how schedules go on when `images` are asked for now, of which
 * `seen` were shown with batches of `batch`; says so where that is another number than then. */
int gan_load_stretch(struct images_stretch *stretch, const struct store_file *file,
                     const struct images_seen *seen, int64_t batch, int64_t images);
/* Whether a checkpoint's steps were made in mixed precision. */
bool gan_load_amp(const struct store_file *file);
/* ERR_DATA unless the whole state of a connected or only declared core is there. */
int gan_expect_state(const struct gan_core *core, const struct store_file *file);
/* EMA weights of either. */
int gan_expect_generator(const struct net *generator, const struct store_file *file);
int gan_load_generator(const struct net *generator, float *parameters,
                       const struct store_file *file);

/* The latent of sample `seed`: z normal numbers that depend on nothing else. */
void gan_latent(float *latent, int z, uint64_t seed);

#endif
