/* What the files of MMDiT share. Rows of tokens are [samples][tokens][dim], no gaps; a sample's
 * tokens are its text, then its image. */
#ifndef IMGTRAIN_DIFFUSION_MMDIT_MMDIT_INTERNAL_H
#define IMGTRAIN_DIFFUSION_MMDIT_MMDIT_INTERNAL_H

#include "diffusion/mmdit/mmdit.h"

/* Rows of the feed-forward's middle that are there at a time. */
enum { MMDIT_FEED_ROWS = 1024 };
/* Of a double block, for each stream: shift, scale, gate of attention; those of the feed-forward.
 * A single block has the first three, the final layer scale and shift. */
enum { MMDIT_MODULATIONS = 6, MMDIT_STREAMS = 2 };

struct mmdit_buffers {
    float *x, *y;           /* rows */
    float *q, *k, *v;       /* rows */
    float *feed;            /* [MMDIT_FEED_ROWS at most][dim + hidden] */
    float *modulation;      /* [samples][MMDIT_STREAMS][MMDIT_MODULATIONS][dim] */
    float *c;               /* [samples][dim]: SiLU of what time, guidance and pooled text make */
    float *middle;          /* [samples][dim] */
    float *patches;         /* [samples][image_tokens][patch_dim] */
    float *tokens;          /* as patches: what comes out */
    void *space;            /* of one operation */
    float *cosines, *sines; /* [tokens][head_dim / 2] */
};

/* One pass, and the block that it is at. */
struct mmdit_pass {
    struct mmdit *mmdit;
    const struct block_source *source;
    const struct mmdit_batch *batch;
    int n; /* samples */
    int block;
    struct block_weights weights; /* of the block */
};

/* Tokens of a sample, text and image. */
static inline int mmdit_tokens(const struct mmdit *mmdit)
{
    return mmdit->size.text_rows + mmdit->image_tokens;
}

/* y = x W' + b with the weight of `slot` and the bias behind it. Strides in floats from row to row;
 * 0: no gaps. */
struct mmdit_product {
    int slot, rows;
    float *y;
    const float *x;
    size_t y_stride, x_stride;
    enum token_activation activation;
    bool add; /* to y */
};
int mmdit_multiply(const struct mmdit_pass *pass, const struct mmdit_product *product);

/* y = LayerNorm(x) (1 + scale) + shift of `rows` rows, rows_per_sample of which (0: all) belong to
 * a sample; shift and scale are those of the first one, modulations apart. */
struct mmdit_norm {
    int rows, rows_per_sample;
    const float *shift, *scale;
    float *y;
    const float *x;
};
int mmdit_modulated_norm(const struct mmdit_pass *pass, const struct mmdit_norm *norm);
/* The modulation `which` of a stream, of a sample. */
float *mmdit_modulation(const struct mmdit_pass *pass, int sample, int stream, int which);

int mmdit_embed_forward(const struct mmdit_pass *pass);
int mmdit_double_forward(const struct mmdit_pass *pass);
int mmdit_single_forward(const struct mmdit_pass *pass);
int mmdit_final_forward(const struct mmdit_pass *pass, float *out);

#endif
