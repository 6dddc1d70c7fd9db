/* Byte pair encoding: a word's bytes become letters, and neighbours are merged, the pair of the
 * lowest rank first, of equal ones the leftmost. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_BYTE_BPE_H
#define IMGTRAIN_DIFFUSION_TEXT_BYTE_BPE_H

#include "diffusion/text/pair_table.h"
#include "diffusion/text/text_bytes.h"
#include "diffusion/text/vocabulary.h"

#include <stdint.h>

/* Zeroed: not open. */
struct byte_bpe {
    int letters[256];         /* ids of bytes within a word */
    int last_letters[256];    /* and at its end: others where words end with a suffix */
    struct pair_table merges; /* (left, right): its rank, and the id of both together */
};

/* suffix: of letters that end a word ("</w>"), or "". Errors name no file. ERR_DATA where a byte
 * has no word. */
int byte_bpe_open(struct byte_bpe *bpe, const struct vocabulary *words, const char *suffix);
void byte_bpe_free(struct byte_bpe *bpe);
/* The pair of rank `rank`; a later one of the same pair takes the place of an earlier. ERR_DATA for
 * parts, or both together, that are no words. */
int byte_bpe_add(struct byte_bpe *bpe, const struct vocabulary *words, int rank, const char *left,
                 size_t left_bytes, const char *right, size_t right_bytes);

/* What encoding words needs, kept from one word to the next; zeroed at first. */
struct bpe_work {
    struct bpe_symbol *symbols;
    struct bpe_candidate *heap;
    size_t symbol_room, heap_room, waiting;
};

/* Adds the ids of a word of at least one byte. Time: n log n. */
int byte_bpe_encode(const struct byte_bpe *bpe, struct bpe_work *work, const char *word,
                    size_t bytes, struct token_ids *to);
void bpe_work_free(struct bpe_work *work);

enum { BYTE_LETTER_BYTES = 3 };
/* The letter that stands for a byte in a vocabulary: itself where it can be printed, else one of
 * those from U+0100 on. Ends with 0. */
void byte_letter(int byte, char letter[BYTE_LETTER_BYTES]);
/* Adds the bytes that a word's letters stand for; other letters as they are. */
int byte_letters_decode(struct text_bytes *to, const char *word, size_t bytes);

#endif
