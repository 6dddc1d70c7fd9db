/* A network in training in a checkpoint: the ranges that it has, and how far its moments have come.
 */
#ifndef IMGTRAIN_NN_TRAINED_FILE_H
#define IMGTRAIN_NN_TRAINED_FILE_H

#include "nn/trained_net.h"

struct store_file;
struct store_writer;

/* Tensors are named as in the graph behind `prefix` and "", "v.", "ema." or "m."; metadata are
 * KEY.v_missing and KEY.m_missing. Stored are the network's views (trained_net.h), borrowed until
 * the writer is done. */
int trained_file_store(const struct trained_net *network, struct device *device, const char *prefix,
                       const char *key, struct store_writer *writer);
/* ERR_DATA unless the file has all of it: to be asked before memory is planned. */
int trained_file_expect(const struct trained_net *network, const char *prefix,
                        const struct store_file *file);
/* Into the views and the device. */
int trained_file_load(struct trained_net *network, struct device *device, const char *prefix,
                      const char *key, const struct store_file *file);

#endif
