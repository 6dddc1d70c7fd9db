/* The flat range of a network's parameters (or of numbers that go with them) in a file: each
 * parameter a tensor of its own, named as in the graph with `prefix` before it. Numbers of half
 * precision, which other programs write, are widened. */
#ifndef IMGTRAIN_NN_WEIGHTS_FILE_H
#define IMGTRAIN_NN_WEIGHTS_FILE_H

#include "nn/graph.h"
#include "store/store_bounds.h"

struct store_file;
struct store_writer;

/* range: [net->floats], borrowed until the writer is done. */
int weights_store(struct store_writer *writer, const char *prefix, const struct net *net,
                  const float *range);
/* ERR_DATA for a tensor that is missing, of another shape, or with numbers outside `allowed`. */
int weights_load(const struct store_file *file, const char *prefix, const struct net *net,
                 struct store_range allowed, float *range);
/* How many tensors the file has in the net's shape. */
int weights_count_fitting(const struct store_file *file, const char *prefix, const struct net *net);
/* Those; the others stay as they are in `range`, and `left` is told their names. ERR_DATA for
 * numbers outside `allowed`. */
int weights_take_fitting(const struct store_file *file, const char *prefix, const struct net *net,
                         struct store_range allowed, float *range,
                         void (*left)(void *context, const char *name), void *context);
/* The same; the others, named in the log, and both counted there. */
int weights_load_fitting(const struct store_file *file, const char *prefix, const struct net *net,
                         struct store_range allowed, float *range);
/* ERR_DATA unless the file has all of its tensors, with their shapes: to be asked before memory is
 * planned by what metadata says. */
int weights_expect(const struct store_file *file, const char *prefix, const struct net *net);

#endif
