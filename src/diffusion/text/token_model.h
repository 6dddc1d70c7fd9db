/* What a tokenizer consists of, read from its files (tokenizer_file.h) and put to work by
 * tokenizer.h. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKEN_MODEL_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKEN_MODEL_H

#include "diffusion/text/added_tokens.h"
#include "diffusion/text/byte_bpe.h"
#include "diffusion/text/text_split.h"
#include "diffusion/text/token_kind.h"
#include "diffusion/text/vocabulary.h"

enum token_normalizer { NORMALIZE_NOTHING, NORMALIZE_NFC };

/* How a conversation is written for the model. */
enum token_chat {
    CHAT_NONE,   /* no template */
    CHAT_PLAIN,  /* the first message alone */
    CHAT_QWEN,   /* <|im_start|>user\n...<|im_end|>\n<|im_start|>assistant\n */
    CHAT_UNKNOWN /* another */
};

struct tokenizer {
    char *path; /* of the file, for messages; NULL: it comes from none */
    enum tokenizer_kind kind;
    int none; /* the token that says nothing: of no class, "<|endoftext|>"; -1: there is none */
    struct vocabulary words;
    struct added_tokens added;
    enum token_normalizer normalizer;
    text_word *word;
    struct byte_bpe bpe;
    enum token_chat chat;
};

/* Of no words; NULL without memory, with the message set. */
struct tokenizer *token_model_create(void);
void token_model_free(struct tokenizer *tokenizer); /* accepts NULL */

#endif
