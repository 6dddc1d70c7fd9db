/* What the text encoders of this folder are alike in: rows of a width, one a token, pass through
 * layers of attention and feed-forward, whose weights come one layer at a time. An encoder says
 * what its layers do (struct text_network) and by which names files have their tensors. There is no
 * backward pass: nothing is trained through them. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ENCODER_TEXT_LAYERS_H
#define IMGTRAIN_DIFFUSION_TEXT_ENCODER_TEXT_LAYERS_H

#include "diffusion/blocks/block_list.h"

struct device;
struct plan;

/* ---- tensors ---- */

struct text_widths {
    int hidden, mlp;
    int queries, keys, head; /* all heads of queries, of keys, one head */
};

/* A tensor of a block. Lengths by a letter: h hidden, f mlp, q all heads of queries, k of keys, d
 * one head; columns ' ': a vector. */
struct text_row {
    const char *name;
    char rows, columns;
};

/* Blocks: layers, which are alike, then (last_count > 0) one of what comes behind them. */
struct text_layout {
    const char *prefix; /* of a layer's block, to which its number is added: "layers."; a dot joins
                           that and a row's name */
    const struct text_row *rows;
    int row_count;
    const char *last;
    const struct text_row *last_rows;
    int last_count;
};

/* block_list_free takes it in any case. */
int text_list_create(struct block_list *list, const struct text_layout *layout, int layers,
                     const struct text_widths *widths);

bool text_list_has(const struct block_list *list, const char *name);

/* ---- a pass ---- */

enum { TEXT_PROMPTS = 2 };

struct text_size {
    int prompts;
    int lengths[TEXT_PROMPTS]; /* tokens of each */
};

struct text_network;

/* A text encoder, whichever it is. */
struct text_encoder {
    const struct text_network *network;
    const void *model; /* struct qwen3_model and the like, as `network` has it */
    const struct block_list *list;
    int width;        /* of a row */
    int positions;    /* tokens of a prompt at most */
    double pair_macs; /* of a query with a key, in all layers */
};

/* Several prompts pass through a layer one behind the other, so that its weights are there once;
 * what becomes of a prompt does not depend on the others, to the bit. */
struct text_pass {
    struct text_encoder encoder;
    struct text_size size;
    struct device *device;
    int rows; /* tokens of all prompts */
    /* of the device: */
    float *x; /* [rows][width]: rows of the embedding become what the encoder gives */
    float *normed, *q, *k, *v, *o, *gate, *up;
    float *cosines, *sines; /* angles of positions, or NULL */
    float *bias;            /* of attention, or NULL */
    void *workspace;
};

struct text_network {
    bool is_causal;     /* a token sees what stands before it alone */
    bool pools;         /* leaves one row a prompt, in the first rows of x; else a row a token */
    bool has_positions; /* to each row of the embedding its position's is added beforehand */
    /* Every buffer but the workspace. */
    int (*declare)(struct text_pass *pass, struct plan *plan);
    /* What is sent to the device beforehand; NULL: nothing. table: of text_pass_connect. */
    int (*connect)(struct text_pass *pass, const float *table);
    int (*block)(struct text_pass *pass, int block, const struct block_weights *weights);
};

/* Multiplications, each with an addition, of a pass. */
double text_macs(const struct text_encoder *encoder, const struct text_size *size);

/* Declares every buffer in `plan`. The struct must stay where it is, model and device too.
 * ERR_USAGE for a size that the encoder does not take. */
int text_pass_memory(struct text_pass *pass, const struct text_encoder *encoder,
                     const struct text_size *size, struct device *device, struct plan *plan);
/* After plan_commit. table: numbers of the host that are read beside the blocks (t5_text.h); NULL
 * where there are none. */
int text_pass_connect(struct text_pass *pass, const float *table);
/* stop_requested: looked at before each block, ERR_STOPPED; NULL: never. */
int text_pass_forward(struct text_pass *pass, const struct block_source *source,
                      bool (*stop_requested)(void));

/* ---- for the encoders ---- */

/* Buffers of the two halves of a layer share memory. */
enum { TEXT_ATTENTION, TEXT_FEED };
struct text_buffer {
    const char *name;
    int width, first, last; /* [rows][width], in these phases */
    float **slot;
};
int text_declare(const struct text_pass *pass, struct plan *plan, const struct text_buffer *buffers,
                 size_t count);
/* x, normed, q, k, v, o: as all of them have. */
int text_declare_attention(struct text_pass *pass, struct plan *plan,
                           const struct text_widths *widths);

/* By the tensor in this slot of a layer, shaped alike in all. epilogue: NULL: none. Vectors of
 * norms and biases are in `weights`. */
int text_linear(const struct text_pass *pass, const struct block_weights *weights, int slot,
                float *y, const float *x, const struct token_epilogue *epilogue);

/* o of q, k, v; a prompt sees nothing of the others. heads: without samples, tokens
 * and causal. */
int text_attention(const struct text_pass *pass, const struct token_attention *heads);

#endif
