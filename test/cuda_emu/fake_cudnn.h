/* Between the two files of the library that stands in for cuDNN in the tests. It takes the part of
 * the backend API that cuda/ uses, refuses what the documentation does not allow, and computes in
 * plain loops.
 *
 * FAKE_CUDNN="WORD ..." (read at each cudnnCreate): none (no engine supports anything), no_handle,
 * no_memory (plans fail for want of device memory), execute=N (the N-th execution fails), slow
 * (every execution takes 30 ms longer), no_fusion (graphs of one operation only), only_mode=N (of
 * the lists of guesses, the others are empty), wrong (one number of every result is), version=N. */
#ifndef FAKE_CUDNN_H
#define FAKE_CUDNN_H

#include "cuda/cudnn/cudnn_api.h"

#include <stdbool.h>

enum { MAX_ATTRIBUTES = 16, MAX_BYTES = 512 };

struct attribute {
    int name, type;
    int64_t count;
    unsigned char values[MAX_BYTES];
};

struct descriptor {
    int type;
    bool final;
    int64_t number; /* of what a heuristic or an engine configuration found */
    struct attribute attributes[MAX_ATTRIBUTES];
    int count;
    struct computation *computation; /* of operation graphs and all that is made of them */
};

struct fake_tensor {
    int64_t uid, size[4], stride[4];
    int type;
    bool is_virtual;
};

/* What an operation graph means. */
struct computation {
    int references;
    int direction; /* the descriptor type of the convolution */
    int kernel, padding;
    struct fake_tensor x, w, y, result;
    bool bias, residual;
    int64_t bias_uid, residual_uid;
    double slope; /* 1: no leaky ReLU */
    int operations;
};

/* Engines: numbers, notes and scratch as described in fake_graph.c. */
struct fake_engine {
    int64_t index;
    int note; /* DNN_NUMERICAL_NOTE_..., -1: none */
    size_t workspace;
    bool fuses;
};
extern const struct fake_engine fake_engines[];
enum { FAKE_ENGINES = 5 };

struct fake_settings {
    bool none, no_handle, no_memory, slow, no_fusion, wrong;
    long execute;
    int only_mode; /* -1: all */
};
extern struct fake_settings fake_settings;

const struct attribute *fake_find(const struct descriptor *d, int name);
/* Checks an operation graph and reads it. A status. */
int fake_read_graph(const struct descriptor *graph, struct computation **out);
bool fake_engine_supports(const struct fake_engine *engine, const struct computation *c);
/* Runs it: pointers by uid. knob: as the configuration's. */
struct fake_run {
    struct computation c;
    struct fake_engine engine;
    int64_t uids[8];
    void *pointers[8];
    int count;
    void *workspace;
};
void fake_execute(void *run);

#endif
