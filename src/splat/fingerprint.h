/* The image that a run is of, told by the decoded samples, whatever the file's place or packing. */
#ifndef IMGTRAIN_SPLAT_FINGERPRINT_H
#define IMGTRAIN_SPLAT_FINGERPRINT_H

#include "splat/target.h"

#include <stdbool.h>

struct store_file;
struct store_writer;
struct task_setup;

/* Into a checkpoint's metadata: input.width, .height, .channels, .sample_bits, .samples (checksum
 * of the decoded samples) and .maps (the names of a stack's images in their order; "" of an
 * image). */
int splat_fingerprint_store(const struct splat_source *source, struct store_writer *writer);

/* Compares the image with that of the checkpoint setup->resume. Another one: ERR_CONFIG with what
 * changed, or (setup->allow_changed_input) a warning, *changed true and setup->input_changed told.
 * Of a checkpoint without a fingerprint a line, and ERR_CONFIG where the config names the image
 * otherwise than then. */
int splat_fingerprint_check(const struct splat_source *source, const struct task_setup *setup,
                            bool *changed);

#endif
