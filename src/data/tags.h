/* Pictures with several labels each: tags, out of the names of their folders and of a text beside
 * them (NAME.txt: "red, round"). A picture's label is its set of tags, one of those that the data
 * has; a network has a column for each tag (math/label_columns.h). */
#ifndef IMGTRAIN_DATA_TAGS_H
#define IMGTRAIN_DATA_TAGS_H

#include <stddef.h>

enum {
    TAGS_MOST = 4096,         /* of all pictures */
    TAG_BYTES_MOST = 15 << 20 /* of all sets as JSON: a model's header may have 16 MiB */
};

struct tag_sets {
    int tag_count, count; /* tags, and sets of them */
    char **tags;          /* sorted, each once */
    char **sets;          /* each its sorted tags: "red, round"; "" for none */
    int *table;           /* nn_labels.sets: numbers of tags */
    int numbers;          /* of the table */
};

/* The set that a picture has: the folders of `name` ("red/round/3.png") and the words of `text`
 * between commas or ends of lines (NULL: none). *set is owned. ERR_SYSTEM. */
int tags_of_picture(char **set, const char *name, const char *text);

/* Of sets as tags_of_picture writes them. ERR_DATA, naming `whose`, for more tags than TAGS_MOST,
 * longer texts than TAG_BYTES_MOST, no tag at all; ERR_SYSTEM. *made is to be freed in any case. */
int tag_sets_make(struct tag_sets *made, const char *whose, int count, const char *const *sets);
void tag_sets_free(struct tag_sets *sets);

/* The numbers of tags that `text` names, each once ("round,red"), into columns [tag_count]:
 * *count of them. ERR_USAGE, naming `option` and some of the tags that are there. */
int tags_find(const struct tag_sets *sets, const char *option, const char *text, int *columns,
              int *count);

/* The tags, or as many as there is room for: "big, red, round". */
void tags_tell(const struct tag_sets *sets, char *to, size_t room);

/* The sets as one text, a line for each, which is owned; and back again, as in tag_sets_make. */
int tag_sets_write(const struct tag_sets *sets, char **text);
int tag_sets_read(struct tag_sets *sets, const char *whose, const char *text);

#endif
