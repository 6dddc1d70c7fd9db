/* What a tokenizer consists of, read from its files (tokenizer_file.h) and put to work by
 * tokenizer.h. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKEN_MODEL_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKEN_MODEL_H

#include "diffusion/text/added_tokens.h"
#include "diffusion/text/byte_bpe.h"
#include "diffusion/text/text_normalize.h"
#include "diffusion/text/text_split.h"
#include "diffusion/text/token_kind.h"
#include "diffusion/text/unigram.h"
#include "diffusion/text/vocabulary.h"

enum { TOKEN_FRAME_MOST = 4, TOKEN_SUFFIX_BYTES = 16 };

/* Tokens that stand before or behind every text. */
struct token_frame {
    int ids[TOKEN_FRAME_MOST];
    int count;
};

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
    int pad;  /* the token that fills up a row of tokens; -1: there is none */
    int most; /* tokens that its model reads, all counted; 0: it does not say */
    struct vocabulary words;
    struct added_tokens added;
    struct text_normalizer normalizer;
    struct token_frame before, after;
    enum token_chat chat;
    /* of byte pair encoding */
    struct byte_bpe bpe;
    text_word *word, *inner;         /* inner: cuts words once more; NULL: it does not */
    bool drops_spaces;               /* words of white space are left out */
    char suffix[TOKEN_SUFFIX_BYTES]; /* of a word's last letter; "": none */
    /* of unigrams */
    struct unigram unigram;
    bool splits_spaces; /* no word has white space within; else only blanks end one */
};

/* Of no words; NULL without memory, with the message set. */
struct tokenizer *token_model_create(void);
void token_model_free(struct tokenizer *tokenizer); /* accepts NULL */
/* Gives back `code`, with which a model was filled: after an error it is freed, *tokenizer NULL. */
int token_model_filled(struct tokenizer **tokenizer, int code);

#endif
