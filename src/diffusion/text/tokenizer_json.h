/* tokenizer.json, as the tokenizers library writes it. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_JSON_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKENIZER_JSON_H

#include "diffusion/text/token_model.h"

#include <stdbool.h>

struct cJSON;

enum { TOKENIZER_FILE_MOST = 64 << 20 }; /* bytes */

/* The file t->path into a model of no words. ERR_INPUT, ERR_DATA, ERR_SYSTEM. */
int tokenizer_json_read(struct tokenizer *t);

/* ---- parts of it that other files have, too; errors name t->path ---- */

/* {"WORD": ID, ...} */
int tokenizer_json_words(struct tokenizer *t, const struct cJSON *vocabulary);
/* {"content": TEXT, "normalized": ..., ...}, which has this id. */
int tokenizer_json_added(struct tokenizer *t, const struct cJSON *token, int id);
/* A number as an id; -1: it is none. */
int tokenizer_json_id(const struct cJSON *item);
/* The id of a word or an added token; -1: there is none. */
int tokenizer_json_find(const struct tokenizer *t, const char *word);

#endif
