/* A model of SentencePiece (spiece.model), as T5 has it. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_SPIECE_FILE_H
#define IMGTRAIN_DIFFUSION_TEXT_SPIECE_FILE_H

#include "diffusion/text/token_model.h"

/* The file t->path into a model of no words: unigrams with the table of characters, words at white
 * space, control pieces as added tokens. ERR_INPUT; ERR_DATA for one of another kind. */
int spiece_file_read(struct tokenizer *t);

#endif
