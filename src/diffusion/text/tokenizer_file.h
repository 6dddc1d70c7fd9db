/* The files of a tokenizer: which there are, and what stands beside them. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_FILE_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_FILE_H

#include "diffusion/text/token_model.h"

/* The name of the file that the tokenizer of a folder is read from, the first of tokenizer.json,
 * vocab.json with merges.txt, spiece.model; NULL: there is none. */
const char *tokenizer_file_of(const char *folder);

/* Into a model of no words: a folder, a tokenizer.json or a spiece.model, with the
 * tokenizer_config.json beside it. ERR_INPUT where there is none; ERR_DATA, naming the file, for
 * one that this program does not compute. */
int tokenizer_file_read(struct tokenizer *t, const char *path);

#endif
