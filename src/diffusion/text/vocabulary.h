/* The words of a tokenizer, by id and by their bytes. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_VOCABULARY_H
#define IMGTRAIN_DIFFUSION_TEXT_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

enum { VOCABULARY_MOST = 1 << 20 }; /* ids */

/* Zeroed: of no words. */
struct vocabulary {
    int rows;  /* ids are below this */
    int count; /* words; ids may be left out */
    struct vocabulary_word {
        const char *text; /* within `all`; NULL: no word has this id */
        uint32_t bytes;
    } * words;
    char *all;
    size_t used, room;
    int *slots; /* [mask + 1] hash table of ids; -1: free */
    size_t mask;
};

/* For ids below `rows` and words of `bytes` bytes in all, each with a 0 behind it. ERR_SYSTEM. */
int vocabulary_open(struct vocabulary *v, int rows, size_t bytes);
void vocabulary_free(struct vocabulary *v);
/* ERR_DATA, without a file's name, for an id or a word that is there already. */
int vocabulary_add(struct vocabulary *v, int id, const char *word, size_t bytes);
/* Of a word of so many bytes, those that a message shows ("%.*s"). */
int vocabulary_shown(size_t bytes);
/* The id of a word; -1: it is none. */
int vocabulary_find(const struct vocabulary *v, const char *word, size_t bytes);

#endif
