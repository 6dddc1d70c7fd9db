/* Kinds of tokenizers. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKEN_KIND_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKEN_KIND_H

enum tokenizer_kind {
    TOKENIZER_LABELS, /* a text is the name of a class */
    TOKENIZER_BYTES,  /* each byte is a token: byte pair encoding without merges */
    TOKENIZER_BPE,    /* byte pair encoding: Qwen2, Qwen3, CLIP */
    TOKENIZER_UNIGRAM /* pieces of SentencePiece: T5 */
};

enum {
    TEXT_MOST_ROWS = 512,  /* tokens of a text that a text encoder is shown */
    TEXT_MOST_POOLED = 77, /* and that CLIP is shown */
    TEXT_MOST_LABELS = 65536,
    TEXT_BYTE_ROWS = 257
};

#endif
