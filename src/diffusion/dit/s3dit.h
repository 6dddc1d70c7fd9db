/* The forward and the backward pass of S3-DiT over a batch, out of the operations of
 * device/token_ops.h. Straight code, no graph: one kind of block, repeated.
 *
 * Images are [samples][height][width][channels]; a caption is `text_rows` rows of features, of
 * which a sample may use fewer. What the network puts out is the negative velocity: v = -out.
 *
 * Tokens of a sample: T0 = patches of the image, filled up to T_x = s3dit_padded(T0) by
 * x_pad_token; L caption rows, filled up to T_c = s3dit_padded(L) by cap_pad_token; both take part
 * in attention. Layers see [image, caption]. In a batch of unequal captions what lies behind a
 * sample's T_c is no key to anybody, so a sample's result does not depend on its neighbours, to the
 * bit.
 *
 * Gradients are sums over chunks of size.chunk samples in the order of the samples, so a batch may
 * be handed over in several calls of whole chunks (micro-batches), and neither that nor
 * checkpointing nor the number of threads changes a bit. */
#ifndef IMGTRAIN_DIFFUSION_DIT_S3DIT_H
#define IMGTRAIN_DIFFUSION_DIT_S3DIT_H

#include "device/token_ops.h"
#include "diffusion/dit/s3dit_model.h"

#include <stdbool.h>
#include <stddef.h>

struct device;
struct plan;

/* ---- memory ---- */

enum s3dit_use {
    S3DIT_FORWARD_ONLY,
    S3DIT_TRAINING,     /* all blocks keep what their backward passes read */
    S3DIT_CHECKPOINTED, /* they keep their input alone, and work again in the backward pass */
    S3DIT_HALVES        /* as S3DIT_TRAINING, but what they keep is stored as bf16: half the memory,
                           and other bits (q, k, v are rounded in the forward pass already) */
};

struct s3dit_size {
    int samples;       /* at a time, at most */
    int height, width; /* of the images, in the network's pixels: s3dit_check_size */
    int text_rows;     /* of features that are handed over for each sample */
    bool mixed_text;   /* samples may have captions whose T_c differ; else all have that of
                          text_rows */
    int chunk;         /* samples summed as one in gradients; samples is a multiple, or smaller */
};

/* Rows of a sample that go through a matrix of the network. */
int s3dit_matrix_rows(const struct s3dit_model *model, const struct s3dit_size *size, int block,
                      int slot);
/* Multiplications, each with an addition, of a sample's forward pass: of the matrices and of
 * attention in all blocks; whole: of both ends and the modulation too. */
double s3dit_macs(const struct s3dit_model *model, const struct s3dit_size *size, bool whole);

struct s3dit_block; /* buffers of one: s3dit_internal.h */

struct s3dit {
    const struct s3dit_model *model;
    struct s3dit_size size;
    enum s3dit_use use;
    struct device *device;
    int image_tokens, image_padded, text_padded; /* T0, T_x, and the largest T_c */
    struct s3dit_block *blocks;
    struct s3dit_buffers *buffers;
};

/* Declares every buffer in `plan`; lifetimes are phases from `first` on: block b's forward pass is
 * first + b, its backward pass first + 2 block_count - 1 - b. s3dit_phases says how many there are.
 * The struct must stay where it is, model and device too; s3dit_close takes it in any case.
 * ERR_USAGE for a size that the network does not take, or a device without the operations. */
int s3dit_memory(struct s3dit *dit, const struct s3dit_model *model, const struct s3dit_size *size,
                 enum s3dit_use use, struct device *device, struct plan *plan, int first);
int s3dit_phases(const struct s3dit_model *model, enum s3dit_use use);
/* After plan_commit, and after every plan_replace: angles of positions, lengths. */
int s3dit_connect(struct s3dit *dit);
void s3dit_close(struct s3dit *dit);

/* ---- passes ---- */

/* A batch; all of the device but `lengths`. */
struct s3dit_batch {
    int samples;        /* up to size.samples */
    const float *image; /* [samples][height][width][channels]: x_t */
    const float *time;  /* [samples][S3DIT_TIME_FEATURES]: s3dit_time_features */
    const float *text;  /* [samples][text_rows][text_dim] */
    const int *lengths; /* [samples] of the host: rows of each caption, 1..text_rows; NULL: all. The
                           calls depend on them, so a recorded graph is for the same ones alone */
    bool (*stop_requested)(void); /* looked at before each block: ERR_STOPPED; NULL: never */
};

/* What the network is told of s = 1 - sigma (host memory): [S3DIT_TIME_FEATURES] for each of n. */
void s3dit_time_features(const struct s3dit_config *config, const float *s, int n, float *features);

/* out: like image, overwritten. */
int s3dit_forward(struct s3dit *dit, const struct block_source *source,
                  const struct s3dit_batch *batch, float *out);
/* After s3dit_forward of the same batch: gradients (of the model's flat range) += , text_gradient
 * (like text; NULL: not wanted) = , from d_out, the gradient at out. */
int s3dit_backward(struct s3dit *dit, const struct block_source *source,
                   const struct s3dit_batch *batch, const float *d_out, float *gradients,
                   float *text_gradient);

#endif
