/* Text to the ids of a text encoder's tokens, as the tokenizers library does for the same files. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_H

#include "diffusion/text/token_kind.h"

#include <stdbool.h>
#include <stddef.h>

struct tokenizer;

/* Whether this is a file, or a folder that has a tokenizer's. */
bool tokenizer_is_at(const char *path);
/* A folder with tokenizer.json, with vocab.json and merges.txt, or with spiece.model; or such a
 * tokenizer.json or spiece.model. ERR_INPUT where there is none; ERR_DATA, naming the
 * file, for one that this program does not compute. May be used by several threads at once. */
int tokenizer_open(struct tokenizer **tokenizer, const char *path);
void tokenizer_close(struct tokenizer *tokenizer); /* accepts NULL */

enum tokenizer_kind tokenizer_kind_of(const struct tokenizer *tokenizer);
/* Whether texts are names of classes; else they may say anything. */
bool tokenizer_has_labels(const struct tokenizer *tokenizer);
/* Whether tokenizer_encode_chat can write it as a conversation. */
bool tokenizer_has_chat(const struct tokenizer *tokenizer);
/* The id that says nothing: of no class, "<|endoftext|>"; -1: there is none. */
int tokenizer_none(const struct tokenizer *tokenizer);
/* The id that fills up a row of ids; -1: there is none. */
int tokenizer_pad(const struct tokenizer *tokenizer);
/* How many ids its text encoder reads; 0: its files do not say. */
int tokenizer_most(const struct tokenizer *tokenizer);
/* Ids are below this: the rows that a table of embeddings has to have. */
int tokenizer_rows(const struct tokenizer *tokenizer);

/* What a text becomes. */
struct tokens {
    int *ids; /* [count], owned */
    int count;
    int lost;        /* ids that there was no room for, behind the others */
    char *lost_text; /* the end of the text that they stood for, owned; NULL: nothing of it */
    size_t broken;   /* bytes of the text that were no UTF-8: each was read as U+FFFD */
};
void tokens_free(struct tokens *tokens); /* accepts a zeroed struct */
/* A line for each thing that is not as the user meant it; name: of the text, "--prompt". */
void tokens_warn(const struct tokens *tokens, const char *name);

/* Any bytes, zeros too. most: ids to keep, the first ones, but of those that stand before and
 * behind every text (CLIP's and T5's) all; 0: no limit. *tokens is empty after an error:
 * ERR_SYSTEM; ERR_DATA for more than 64 MiB; ERR_USAGE for what names no class, saying which there
 * are. */
int tokenizer_encode(const struct tokenizer *tokenizer, struct tokens *tokens, const char *text,
                     size_t bytes, int most);

/* The same of a user's message, in the form that the folder's chat template gives it with
 * add_generation_prompt (Qwen3's for Z-Image: "<|im_start|>user\n" TEXT "<|im_end|>\n"
 * "<|im_start|>assistant\n"): `most` counts the template's ids too, so a long text loses its end
 * and the template's. Of names of classes and of bytes it is the text itself. ERR_DATA for a folder
 * without a template, or with one of another kind. */
int tokenizer_encode_chat(const struct tokenizer *tokenizer, struct tokens *tokens,
                          const char *text, size_t bytes, int most);

/* The text (malloc, ends with 0) that ids stand for; special tokens (<|im_end|>) say nothing.
 * Ids cut within a character leave U+FFFD. *bytes (may be NULL): without the 0. */
int tokenizer_decode(const struct tokenizer *tokenizer, char **text, size_t *bytes, const int *ids,
                     int count);
/* One token as its file writes it ("\u0120red"); NULL: no token has this id. Borrowed. */
const char *tokenizer_token(const struct tokenizer *tokenizer, int id);

#endif
