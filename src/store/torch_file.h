/* The tensors of a file that PyTorch's torch.save wrote: a zip archive with a pickle, or what it
 * wrote before 1.6. Nothing of the file is run. */
#ifndef IMGTRAIN_STORE_TORCH_FILE_H
#define IMGTRAIN_STORE_TORCH_FILE_H

#include "store/tensor.h"

struct torch_file;

/* The tensors of the dict `key` in the file. NULL: where the file's dict has none itself, of the
 * first of params_ema, params and other programs' names that is there. What all names begin with
 * because a network was wrapped (`module.`, `netG.`) is left out. ERR_INPUT, ERR_ACCESS, ERR_DATA
 * with what is wrong. */
int torch_file_open(struct torch_file **file, const char *path, const char *key);
void torch_file_close(struct torch_file *file); /* accepts NULL */

/* Of which dict its tensors are; "" for the file's own. */
const char *torch_file_key(const struct torch_file *file);
int torch_file_count(const struct torch_file *file);
/* Contiguous, outermost dimension first. */
const struct store_tensor *torch_file_at(const struct torch_file *file, int index);
/* Values of the dict that are no tensors, which were left out. */
int torch_file_left_out(const struct torch_file *file);
/* Whether checksums of the file's data have been compared: files can be written without. */
bool torch_file_is_checked(const struct torch_file *file);

#endif
