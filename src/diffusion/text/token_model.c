#include "diffusion/text/token_model.h"

#include "base/error.h"

#include <stdlib.h>

struct tokenizer *token_model_create(void)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        fail(ERR_SYSTEM, "out of memory");
        return NULL;
    }
    t->none = t->pad = -1;
    t->word = text_word_whole;
    return t;
}

void token_model_free(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    vocabulary_free(&tokenizer->words);
    added_tokens_free(&tokenizer->added);
    text_normalizer_free(&tokenizer->normalizer);
    byte_bpe_free(&tokenizer->bpe);
    unigram_free(&tokenizer->unigram);
    free(tokenizer->path);
    free(tokenizer);
}

int token_model_filled(struct tokenizer **tokenizer, int code)
{
    if (code == OK) return OK;
    token_model_free(*tokenizer);
    *tokenizer = NULL;
    return code;
}
