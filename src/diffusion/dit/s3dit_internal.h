/* What the files of S3-DiT share. Rows of tokens are [samples][tokens][dim], no gaps. */
#ifndef IMGTRAIN_DIFFUSION_DIT_S3DIT_INTERNAL_H
#define IMGTRAIN_DIFFUSION_DIT_S3DIT_INTERNAL_H

#include "diffusion/dit/s3dit.h"

/* What a block keeps for its backward pass; what lies between is made again there, as it costs no
 * matrix product. Without a backward pass all blocks share one, and buffers share their bytes. */
enum { S3DIT_HELD = 9 };
struct s3dit_block {
    float *x;         /* its input */
    float *m;         /* [samples][4 dim]: scale, gate of attention; scale, gate of feed-forward */
    float *q, *k, *v; /* before their norms */
    float *o, *lse;   /* of attention */
    float *u;         /* what attention adds, before its norm and gate */
    float *a, *c;     /* [rows][hidden]: w1's and w3's */
    float *f;         /* what the feed-forward adds, before its norm and gate */
    uint16_t *half[S3DIT_HELD]; /* S3DIT_HALVES: where it keeps them, but for m and lse */
};

/* Buffers of one block's pass at a time. */
struct s3dit_work {
    float *y; /* rows of dim */
    float *h; /* rows of hidden, or of turned q and k, one behind the other */
    float *e; /* as y; these, backward alone */
    float *dq, *dk, *dv;
    float *dm;   /* like m */
    void *space; /* of one operation */
};

struct s3dit_buffers {
    struct s3dit_block shared; /* where blocks do not keep their own */
    struct s3dit_work work;
    /* conditioning */
    float *time_in, *time_middle; /* [samples][S3DIT_TIME_HIDDEN]: before SiLU and behind it */
    float *c, *c_silu;            /* [samples][time_dim] */
    float *dc;
    /* ends */
    float *patches;     /* [samples][T_x][patch_dim] */
    float *text_in;     /* [samples][text_rows][text_dim]: behind its norm */
    float *text_rows;   /* [samples][text_rows][dim] */
    float *image_end;   /* behind the noise refiners, */
    float *text_end;    /* the context refiners, */
    float *end;         /* the layers */
    float *last;        /* [samples][T0][dim]: the image's own rows of `end` */
    float *final_scale; /* [samples][dim] */
    float *d_final_scale;
    float *tokens; /* [samples][T0][patch_dim]; backward, their gradient */
    float *d_image, *d_text, *d_all;
    /* positions */
    float *cosines, *sines; /* [variants][T_x + T_c][head_dim / 2] */
    int *lengths;           /* [S3DIT_LENGTHS][samples] */
    int *host_lengths;      /* what they are; first -1: not known */
    int *wanted_lengths;
};

enum s3dit_length_row {
    S3DIT_IMAGE_LENGTHS, /* T0 */
    S3DIT_TEXT_LENGTHS,  /* L */
    S3DIT_TEXT_KEYS,     /* T_c */
    S3DIT_ALL_KEYS,      /* T_x + T_c */
    S3DIT_LENGTHS
};

/* One pass, and the block that it is at. */
struct s3dit_pass {
    struct s3dit *dit;
    const struct block_source *source;
    const struct s3dit_batch *batch;
    float *gradients; /* NULL: forward */
    int n;            /* samples */
    int block;
    struct block_weights weights; /* of the block */
};

/* What a block's rows are. */
struct s3dit_stream {
    int tokens;      /* of a sample */
    int first_angle; /* line of the tables */
    bool unequal;    /* angles depend on the caption's length */
    enum s3dit_length_row keys;
};
struct s3dit_stream s3dit_stream_of(const struct s3dit *dit, int block);

/* Without a backward pass, rows of the feed-forward's middle that are there at a time. */
enum { S3DIT_FEED_ROWS = 1024 };

/* Variants of the tables of angles: one for each T_c. */
int s3dit_variants(const struct s3dit *dit);
void s3dit_make_angles(const struct s3dit *dit, float *cosines, float *sines);
/* Turns rows by their positions. */
int s3dit_turn(const struct s3dit_pass *pass, const struct s3dit_stream *stream, float *x,
               bool backwards);
/* The lengths of the batch to the device. */
int s3dit_send_lengths(const struct s3dit_pass *pass);
/* [samples] of the device; NULL where all keys are seen. */
const int *s3dit_keys(const struct s3dit_pass *pass, enum s3dit_length_row row);

/* ---- operations with the tensors of the pass's block; rows: of all samples ---- */

int s3dit_acquire(struct s3dit_pass *pass, int block);
int s3dit_release(struct s3dit_pass *pass);
int s3dit_linear(const struct s3dit_pass *pass, int slot, int rows, float *y, const float *x,
                 const struct token_epilogue *epilogue);
int s3dit_linear_dgrad(const struct s3dit_pass *pass, int slot, int rows, float *dx,
                       const float *dy, bool add);
/* bias_slot -1: it has none. */
int s3dit_linear_wgrad(const struct s3dit_pass *pass, int slot, int bias_slot, int rows,
                       const float *x, const float *dy);
float *s3dit_gradient(const struct s3dit_pass *pass, int slot);
/* [samples][rows][width], of which `rows` rows of each sample are copied. */
struct s3dit_copy {
    float *to;
    const float *from;
    int to_rows, from_rows; /* of a sample */
    int rows, width;
};
int s3dit_copy_rows(const struct s3dit_pass *pass, const struct s3dit_copy *copy);

/* Block `pass->block`: from kept->x to x_next, which may be the same where there is no backward
 * pass. */
int s3dit_block_forward(const struct s3dit_pass *pass, float *x_next);
/* d, the gradient at its output, becomes that at its input. */
int s3dit_block_backward(const struct s3dit_pass *pass, float *d);
/* Of S3DIT_HALVES, for the pass's block: stores its input; rounds q, k and v; stores the rest; and
 * brings all back for the backward pass. */
int s3dit_hold_input(const struct s3dit_pass *pass);
int s3dit_round_heads(const struct s3dit_pass *pass);
int s3dit_hold_rest(const struct s3dit_pass *pass);
int s3dit_bring_back(const struct s3dit_pass *pass);
/* The width of a row of half[index]. */
int s3dit_held_width(const struct s3dit_config *config, int index);
/* Rows stand in the place where they end: blocks have no buffer of their own for their input. */
static inline bool s3dit_is_in_place(enum s3dit_use use)
{
    return use == S3DIT_FORWARD_ONLY || use == S3DIT_HALVES;
}

/* Where block `block` writes to. */
float *s3dit_next_rows(const struct s3dit *dit, int block);

#endif
