/* Which way each convolution goes: found by measuring, remembered, written down. */
#ifndef IMGTRAIN_CUDA_CUDNN_CUDNN_CHOICE_H
#define IMGTRAIN_CUDA_CUDNN_CUDNN_CHOICE_H

#include "cuda/cudnn/cudnn_graph.h"
#include "device/conv_library.h"

enum conv_mode {
    CONV_NATIVE, /* our own kernel */
    CONV_PLAIN,  /* cuDNN's convolution, then our epilogue in place */
    CONV_FUSED   /* bias, residual and leaky ReLU by cuDNN, masks by us */
};

/* All that tells one convolution from another. */
struct conv_key {
    struct cudnn_problem problem; /* as fused; shape.chunk is 0 */
    bool mask_out, mask_in;
};

struct conv_choice {
    struct conv_key key;
    enum conv_mode mode;
    struct cudnn_graph graph; /* of modes other than native */
    struct cudnn_plan plan;
    bool ready; /* graph and plan are there */
};

struct conv_choices {
    struct cudnn_library cudnn;
    enum conv_use use;
    size_t workspace;
    struct conv_choice **list; /* each stays where it is */
    int count, room;
    int next;   /* where the last search ended: calls come in the same order every step */
    int learnt; /* chosen since the last summary */
};

/* Runs the convolution at hand as `choice` says; milliseconds of one run. */
typedef int conv_trial(void *context, const struct conv_choice *choice, float *milliseconds);

/* NULL: not met yet. */
struct conv_choice *conv_choices_find(struct conv_choices *choices, const struct conv_key *key);
/* Tries the modes that are open to it. NULL only without memory. */
struct conv_choice *conv_choices_learn(struct conv_choices *choices, const struct conv_key *key,
                                       conv_trial *trial, void *context);
/* From now on the convolution takes our own kernel. */
void conv_choices_give_up(struct conv_choices *choices, struct conv_choice *choice);
void conv_choices_forget(struct conv_choices *choices);

/* conv_library's store and restore. */
int conv_choices_store(const struct conv_choices *choices, char **text);
int conv_choices_restore(struct conv_choices *choices, const char *text);
/* "31 of 40 convolutions, 12 of them fused". Returns text. */
char *conv_choices_describe(const struct conv_choices *choices, char *text, size_t room);

#endif
