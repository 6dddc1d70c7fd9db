/* The files of a tokenizer. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_FILE_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_FILE_H

#include "diffusion/text/token_model.h"

/* Into a zeroed struct: a folder, or a tokenizer.json, with what stands beside it. ERR_INPUT where
 * there is none; ERR_DATA, naming the file, for one that this program does not compute. Whatever
 * has been read is to be freed in any case. */
int tokenizer_file_read(struct tokenizer *tokenizer, const char *path);

#endif
