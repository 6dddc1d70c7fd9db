/* A unigram model: of all ways to cut a word into known pieces the one whose scores add up to
 * most. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_UNIGRAM_H
#define IMGTRAIN_DIFFUSION_TEXT_UNIGRAM_H

#include "diffusion/text/pair_table.h"
#include "diffusion/text/text_bytes.h"
#include "diffusion/text/vocabulary.h"

/* Zeroed: not open. */
struct unigram {
    double *scores;         /* [rows of the vocabulary], owned */
    double unknown_score;   /* of a character that is no piece */
    int unknown;            /* its id */
    struct pair_table trie; /* (node, byte): rank is the node behind it, id the piece or -1 */
};

/* scores: [words->rows], which it owns from now on, also after an error; of every id. unknown: an
 * id. ERR_SYSTEM. */
int unigram_open(struct unigram *unigram, const struct vocabulary *words, double *scores,
                 int unknown);
void unigram_free(struct unigram *unigram);

/* What encoding words needs, kept from one word to the next; zeroed at first. */
struct unigram_work {
    struct unigram_node *nodes;
    size_t room;
};

/* Adds the ids of a word in sound UTF-8. Characters that are no piece, side by side, are one
 * unknown token. Time: bytes of the word times those of the longest piece. */
int unigram_encode(const struct unigram *unigram, const struct vocabulary *words,
                   struct unigram_work *work, const char *word, size_t bytes, struct token_ids *to);
void unigram_work_free(struct unigram_work *work);

#endif
