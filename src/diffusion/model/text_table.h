/* Conditions as rows of a learned table: classes by name, or captions byte by byte; and the
 * tokenizer folder that says so to other programs as well (tokenizer.json: a WordLevel model of the
 * names, or a BPE without merges). */
#ifndef IMGTRAIN_DIFFUSION_MODEL_TEXT_TABLE_H
#define IMGTRAIN_DIFFUSION_MODEL_TEXT_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum text_kind { TEXT_LABELS, TEXT_BYTES };

enum { TEXT_MOST_ROWS = 512, TEXT_MOST_LABELS = 65536, TEXT_BYTE_ROWS = 257 };

struct text_table {
    enum text_kind kind;
    int rows;      /* of the table */
    int none;      /* the row that says nothing */
    char **labels; /* TEXT_LABELS: [rows], NULL at `none`; owned */
    int row_of_byte[256];
};

/* Whether class `row` can have this name: ERR_DATA for that of the row that says nothing, and for
 * more classes than a tokenizer's file may have. */
int text_table_check_label(int row, const char *name);
/* Row k is class k, the last one says nothing. names: NULL for "0", "1", ... ERR_DATA for a name
 * that stands twice, and as above. */
int text_table_of_labels(struct text_table *table, int count, const char *const *names);
/* Row b is byte b, row 256 says nothing. */
void text_table_of_bytes(struct text_table *table);
void text_table_free(struct text_table *table); /* accepts a zeroed struct */

/* FOLDER/tokenizer.json. ERR_DATA for one of another kind, naming it. */
int text_table_read(struct text_table *table, const char *folder);
/* tokenizer.json and tokenizer_config.json, into a folder that is there. */
int text_table_write(const struct text_table *table, const char *folder);

/* "circle, square, ...": of classes. */
struct text_names {
    char text[256];
};
struct text_names text_table_names(const struct text_table *table);

/* The row of a class by its name, else by its number. ERR_USAGE names what there is. */
int text_table_label(const struct text_table *table, const char *text, int *row);

/* A prompt, in UTF-8, as rows [TEXT_MOST_ROWS], at least one: of classes that of its name, of
 * captions its bytes. *lost: bytes behind the last that count. An empty caption is the row that
 * says nothing. */
int text_table_encode(const struct text_table *table, const char *text, size_t bytes, int *rows,
                      int *count, size_t *lost);

#endif
