/* The forward pass of MMDiT over a batch, out of the operations of device/token_ops.h.
 *
 * Images are latents [samples][height][width][channels], as those of dit/s3dit.h; packing 2 x 2 of
 * them into a token is done here. Text is `text_rows` rows of features for each sample, all of
 * which take part in attention, pads too. What the network puts out is the velocity: v = out.
 *
 * A sample's result does not depend on its neighbours, to the bit. */
#ifndef IMGTRAIN_DIFFUSION_MMDIT_MMDIT_H
#define IMGTRAIN_DIFFUSION_MMDIT_MMDIT_H

#include "diffusion/mmdit/mmdit_model.h"

struct device;
struct plan;

struct mmdit_size {
    int samples;       /* at a time, at most */
    int height, width; /* of the latents: mmdit_check_size */
    int text_rows;     /* of features of each sample */
};

/* Rows of a sample that go through a matrix of the network. */
int mmdit_matrix_rows(const struct mmdit_model *model, const struct mmdit_size *size, int block,
                      int slot);
/* Multiplications, each with an addition, of a sample's forward pass. */
double mmdit_macs(const struct mmdit_model *model, const struct mmdit_size *size);

struct mmdit {
    const struct mmdit_model *model;
    struct mmdit_size size;
    struct device *device;
    int image_tokens; /* of a sample */
    struct mmdit_buffers *buffers;
};

/* Declares every buffer in `plan`; lifetimes are phases from `first` on, one a block
 * (model->list.block_count). The struct must stay where it is, model and device too; mmdit_close
 * takes it in any case. ERR_USAGE for a size that the network does not take, or a device without
 * the operations. */
int mmdit_memory(struct mmdit *mmdit, const struct mmdit_model *model,
                 const struct mmdit_size *size, struct device *device, struct plan *plan,
                 int first);
/* After plan_commit: angles of positions. */
int mmdit_connect(struct mmdit *mmdit);
void mmdit_close(struct mmdit *mmdit);

/* A batch; all of the device. */
struct mmdit_batch {
    int samples;                  /* up to size.samples */
    const float *image;           /* [samples][height][width][channels]: x_t */
    const float *time;            /* [samples][MMDIT_TIME_FEATURES]: mmdit_time_features of sigma */
    const float *guidance;        /* likewise, of the guidance; not read where !config.guidance */
    const float *pooled;          /* [samples][pooled_dim] */
    const float *text;            /* [samples][text_rows][text_dim] */
    bool (*stop_requested)(void); /* looked at before each block: ERR_STOPPED; NULL: never */
};

/* Features of n numbers, sigma or guidance (host memory): [MMDIT_TIME_FEATURES] for each. */
void mmdit_time_features(const float *numbers, int n, float *features);

/* out: like image, overwritten. */
int mmdit_forward(struct mmdit *mmdit, const struct block_source *source,
                  const struct mmdit_batch *batch, float *out);

#endif
