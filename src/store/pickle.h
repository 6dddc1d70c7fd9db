/* Python's pickles as data: values are built, nothing of what a pickle asks for is called. What it
 * would call stands in the result as PICKLE_CALL, by name and arguments. */
#ifndef IMGTRAIN_STORE_PICKLE_H
#define IMGTRAIN_STORE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT, /* `integer`; wider ones than 64 bits are PICKLE_OTHER */
    PICKLE_FLOAT,
    PICKLE_TEXT,
    PICKLE_TUPLE, /* and sets */
    PICKLE_LIST,
    PICKLE_DICT,   /* items: key, value, key, value ... */
    PICKLE_GLOBAL, /* a name, "MODULE.NAME" */
    PICKLE_CALL,   /* of `function` with `arguments`; items as of a dict that was filled since */
    PICKLE_PERSISTENT, /* arguments: what the pickle's writer keeps elsewhere */
    PICKLE_OTHER,      /* bytes and such */
};

struct pickle_value {
    enum pickle_kind kind;
    union {
        int64_t integer;  /* and PICKLE_BOOL: 0, 1 */
        const char *text; /* `count` bytes, without a zero: a part of the pickle; a global's module,
                             newline, name */
        struct pickle_value **items; /* `count` */
    };
    uint32_t count, room;
    const struct pickle_value *function, *arguments; /* arguments: a tuple, or whatever was given */
    const struct pickle_value *previous;             /* of PICKLE_PERSISTENT: the one before */
};

struct pickle;

/* The pickle that `data` begins with; *used: its bytes. The data must outlive it. ERR_DATA, naming
 * `path`, for what is none, for what has more than a million values or four million items and for
 * the few parts of the language that no PyTorch writes. */
int pickle_open(struct pickle **pickle, const uint8_t *data, size_t bytes, const char *path,
                size_t *used);
void pickle_close(struct pickle *pickle); /* accepts NULL */
const struct pickle_value *pickle_root(const struct pickle *pickle);
/* The first of the list of all by `previous`; NULL: there is none. */
const struct pickle_value *pickle_last_persistent(const struct pickle *pickle);

/* Whether a text is `text`. */
bool pickle_is_text(const struct pickle_value *value, const char *text);
/* Whether a value is the global MODULE.NAME, written so. */
bool pickle_is_global(const struct pickle_value *value, const char *name);
/* "MODULE.NAME" of a global, or of what a call calls, printable; "" for what has no name. */
struct pickle_name {
    char text[96];
};
struct pickle_name pickle_global_name(const struct pickle_value *value);

#endif
