/* Tokens that are cut out of a text before anything else is done with it: "<|im_end|>". */
#ifndef IMGTRAIN_DIFFUSION_TEXT_ADDED_TOKENS_H
#define IMGTRAIN_DIFFUSION_TEXT_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDED_TOKENS_MOST = 16384 }; /* as they are also looked for one by one */

struct added_token {
    char *text; /* owned */
    size_t bytes;
    int id;
    bool normalized; /* looked for in the normalised text, else in the text itself */
    bool special;    /* says nothing to people */
};

/* Zeroed: none. */
struct added_tokens {
    struct added_token *list; /* owned; by text, once sorted */
    size_t count, room;
    bool begins[2][256]; /* whether one begins so: [normalized][byte] */
};

/* One of no bytes is left out. ERR_SYSTEM; ERR_DATA, without a file's name, for too many. */
int added_tokens_add(struct added_tokens *added, const char *text, int id, bool normalized,
                     bool special);
/* Behind the last: ERR_DATA for one that stands twice. */
int added_tokens_sort(struct added_tokens *added);
void added_tokens_free(struct added_tokens *added);

/* The longest that `text`, of `left` bytes, begins with; NULL: none. */
const struct added_token *added_tokens_at(const struct added_tokens *added, bool normalized,
                                          const char *text, size_t left);
/* By its id or by its whole text; NULL: none. */
const struct added_token *added_tokens_of_id(const struct added_tokens *added, int id);
const struct added_token *added_tokens_named(const struct added_tokens *added, const char *text);

#endif
