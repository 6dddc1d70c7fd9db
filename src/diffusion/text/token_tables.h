/* The tokenizers that this program makes itself, whose ids are the rows of a table that is learnt:
 * classes by name, or a text byte by byte. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TOKEN_TABLES_H
#define IMGTRAIN_DIFFUSION_TEXT_TOKEN_TABLES_H

struct tokenizer;

extern const char token_none_label[]; /* the name of no class */
extern const char token_end[];        /* of bytes, the token that says nothing */

/* Whether class `row` can have this name: ERR_DATA for that of the row that says nothing, and for
 * more classes than a tokenizer's file may have. */
int tokenizer_check_label(int row, const char *name);
/* Id k is class k, the last one says nothing. names: NULL for "0", "1", ... ERR_DATA for a name
 * that stands twice, and as above. *tokenizer is NULL after an error. */
int tokenizer_of_labels(struct tokenizer **tokenizer, int count, const char *const *names);
/* Id b is byte b, id 256 says nothing. */
int tokenizer_of_bytes(struct tokenizer **tokenizer);

/* "circle, square, ...": of classes. */
struct label_names {
    char text[256];
};
struct label_names tokenizer_label_names(const struct tokenizer *tokenizer);
/* The name of class `row`; NULL where it is none. Borrowed. */
const char *tokenizer_label_name(const struct tokenizer *tokenizer, int row);
/* The id of a class by its whole name; -1: there is none of that name. */
int tokenizer_find_label(const struct tokenizer *tokenizer, const char *name);
/* By its name, else by its number. ERR_USAGE names what there is. */
int tokenizer_label(const struct tokenizer *tokenizer, const char *text, int *row);

/* The id of a byte; -1 where tokens are none of bytes alone. */
int tokenizer_byte(const struct tokenizer *tokenizer, int byte);

/* tokenizer.json and tokenizer_config.json, into a folder that is there; of one of these two kinds.
 */
int tokenizer_write(const struct tokenizer *tokenizer, const char *folder);

#endif
