#include "store/pickle.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 256,
    VALUES_MOST = 1 << 20,
    ITEMS_MOST = 1 << 22,
    STACK_MOST = 1 << 20,
    MEMO_MOST = 1 << 21
};

struct block {
    struct block *next;
    int used;
    struct pickle_value values[BLOCK];
};

struct pickle {
    struct block *blocks;
    int value_count;
    const struct pickle_value *root, *persistent;
};

/* The machine that a pickle is a program of. A mark is NULL on the stack. */
struct reader {
    struct pickle *pickle;
    const char *path;
    const uint8_t *start, *p, *end;
    struct pickle_value **stack, **memo;
    size_t depth, stack_room, memo_count, memo_room;
    size_t item_count; /* of all values: one value may be an item of many */
};

static int pickle_bad(const struct reader *in, const char *what)
{
    return fail(ERR_DATA, "%s: its pickle is damaged: %s at byte %zu", in->path, what,
                (size_t)(in->p - in->start));
}

/* ---- values ---- */

/* NULL with the message set. */
static struct pickle_value *new_value(struct reader *in, enum pickle_kind kind)
{
    struct pickle *pickle = in->pickle;
    if (++pickle->value_count > VALUES_MOST) {
        fail(ERR_DATA, "%s: its pickle has more than %d values", in->path, VALUES_MOST);
        return NULL;
    }
    if (!pickle->blocks || pickle->blocks->used == BLOCK) {
        struct block *block = calloc(1, sizeof *block);
        if (!block) {
            fail(ERR_SYSTEM, "out of memory");
            return NULL;
        }
        block->next = pickle->blocks;
        pickle->blocks = block;
    }
    struct pickle_value *value = &pickle->blocks->values[pickle->blocks->used++];
    value->kind = kind;
    return value;
}

/* ERR_DATA where memory was not what was missing. */
static int no_value(const struct reader *in)
{
    return in->pickle->value_count > VALUES_MOST ? ERR_DATA : ERR_SYSTEM;
}

static bool has_items(const struct pickle_value *value)
{
    return value->kind == PICKLE_TUPLE || value->kind == PICKLE_LIST ||
           value->kind == PICKLE_DICT || value->kind == PICKLE_CALL;
}

static int append_items(struct reader *in, struct pickle_value *value, struct pickle_value **items,
                        size_t count)
{
    if (count == 0) return OK;
    if (count > ITEMS_MOST - in->item_count)
        return fail(ERR_DATA, "%s: its pickle has more than %d items", in->path, ITEMS_MOST);
    in->item_count += count;
    if (value->count + count > value->room) {
        size_t room = value->room ? value->room : 4;
        while (room < value->count + count)
            room *= 2;
        struct pickle_value **grown = realloc(value->items, room * sizeof *grown);
        if (!grown) return fail(ERR_SYSTEM, "out of memory");
        value->items = grown;
        value->room = (uint32_t)room;
    }
    memcpy(value->items + value->count, items, count * sizeof *items);
    value->count += (uint32_t)count;
    return OK;
}

/* ---- the stack and the memo ---- */

/* An array with room for more behind `count`; false without memory. */
static bool grow_pointers(struct pickle_value ***array, size_t *room, size_t count)
{
    if (count < *room) return true;
    size_t larger = *room ? *room * 2 : 64;
    while (larger <= count)
        larger *= 2;
    struct pickle_value **grown = realloc(*array, larger * sizeof *grown);
    if (!grown) return false;
    *array = grown;
    *room = larger;
    return true;
}

static int push_value(struct reader *in, struct pickle_value *value)
{
    if (in->depth == STACK_MOST) return pickle_bad(in, "too deep a stack");
    if (!grow_pointers(&in->stack, &in->stack_room, in->depth))
        return fail(ERR_SYSTEM, "out of memory");
    in->stack[in->depth++] = value;
    return OK;
}

static int push_new(struct reader *in, enum pickle_kind kind, int64_t integer)
{
    struct pickle_value *value = new_value(in, kind);
    if (!value) return no_value(in);
    value->integer = integer;
    return push_value(in, value);
}

/* Takes `count` values off, none of them a mark: they stay readable at *values. */
static int pop_values(struct reader *in, size_t count, struct pickle_value ***values)
{
    if (in->depth < count) return pickle_bad(in, "an empty stack");
    for (size_t i = in->depth - count; i < in->depth; i++)
        if (!in->stack[i]) return pickle_bad(in, "a mark in place of a value");
    in->depth -= count;
    *values = in->stack + in->depth;
    return OK;
}

/* Takes the mark off and what lies on it. */
static int pop_to_mark(struct reader *in, struct pickle_value ***values, size_t *count)
{
    size_t at = in->depth;
    while (at > 0 && in->stack[at - 1])
        at--;
    if (at == 0) return pickle_bad(in, "no mark");
    *values = in->stack + at;
    *count = in->depth - at;
    in->depth = at - 1;
    return OK;
}

static int top_value(struct reader *in, struct pickle_value **value)
{
    if (in->depth == 0 || !in->stack[in->depth - 1]) return pickle_bad(in, "an empty stack");
    *value = in->stack[in->depth - 1];
    return OK;
}

/* Numbers count up, so there is no larger one than there are bytes. */
static int memo_put(struct reader *in, uint64_t number)
{
    struct pickle_value *value = NULL;
    TRY(top_value(in, &value));
    if (number >= MEMO_MOST || number > (uint64_t)(in->p - in->start))
        return pickle_bad(in, "too high a number of a value");
    if (!grow_pointers(&in->memo, &in->memo_room, (size_t)number))
        return fail(ERR_SYSTEM, "out of memory");
    while (in->memo_count <= number)
        in->memo[in->memo_count++] = NULL;
    in->memo[number] = value;
    return OK;
}

static int memo_get(struct reader *in, uint64_t number)
{
    if (number >= in->memo_count || !in->memo[number])
        return pickle_bad(in, "the number of no value");
    return push_value(in, in->memo[number]);
}

/* ---- bytes ---- */

static int pickle_read_number(struct reader *in, int bytes, uint64_t *number)
{
    if (in->end - in->p < bytes) return pickle_bad(in, "its end");
    *number = 0;
    for (int i = 0; i < bytes; i++)
        *number |= (uint64_t)*in->p++ << 8 * i;
    return OK;
}

/* What a number of `bytes` bytes counts: *text points to so many. */
static int read_counted(struct reader *in, int bytes, const char **text, uint64_t *count)
{
    TRY(pickle_read_number(in, bytes, count));
    if (*count > (uint64_t)(in->end - in->p) || *count > INT32_MAX)
        return pickle_bad(in, "a text beyond the end");
    *text = (const char *)in->p;
    in->p += *count;
    return OK;
}

static int push_counted(struct reader *in, enum pickle_kind kind, int bytes)
{
    uint64_t count = 0;
    const char *text = NULL;
    TRY(read_counted(in, bytes, &text, &count));
    TRY(push_new(in, kind, 0));
    struct pickle_value *value = in->stack[in->depth - 1];
    if (kind != PICKLE_TEXT) return OK;
    value->text = text;
    value->count = (uint32_t)count;
    return OK;
}

/* Two's complement of any length. */
static int push_long(struct reader *in, int bytes)
{
    uint64_t count = 0, number = 0;
    const char *text = NULL;
    TRY(read_counted(in, bytes, &text, &count));
    if (count > 8) return push_new(in, PICKLE_OTHER, 0);
    for (uint64_t i = 0; i < count; i++)
        number |= (uint64_t)(uint8_t)text[i] << 8 * i;
    if (count > 0 && count < 8 && text[count - 1] & 0x80) number |= UINT64_MAX << 8 * count;
    return push_new(in, PICKLE_INT, (int64_t)number);
}

/* MODULE newline NAME newline */
static int push_global(struct reader *in)
{
    const uint8_t *first = in->p, *module, *name;
    module = memchr(first, '\n', (size_t)(in->end - first));
    name = module ? memchr(module + 1, '\n', (size_t)(in->end - module - 1)) : NULL;
    if (!name || name - first > 4096) return pickle_bad(in, "a name without an end");
    in->p = name + 1;
    TRY(push_new(in, PICKLE_GLOBAL, 0));
    struct pickle_value *value = in->stack[in->depth - 1];
    value->text = (const char *)first;
    value->count = (uint32_t)(name - first);
    return OK;
}

/* The same of two texts on the stack. */
static int push_stack_global(struct reader *in)
{
    struct pickle_value **two = NULL;
    TRY(pop_values(in, 2, &two));
    struct pickle_value *module = two[0], *name = two[1];
    if (module->kind != PICKLE_TEXT || name->kind != PICKLE_TEXT)
        return pickle_bad(in, "a name that is no text");
    TRY(push_new(in, PICKLE_GLOBAL, 0));
    struct pickle_value *value = in->stack[in->depth - 1];
    value->function = module;
    value->arguments = name;
    value->text = "";
    return OK;
}

/* ---- what a pickle builds ---- */

static int push_of(struct reader *in, enum pickle_kind kind, struct pickle_value **items,
                   size_t count)
{
    struct pickle_value *value = new_value(in, kind);
    if (!value) return no_value(in);
    TRY(append_items(in, value, items, count));
    return push_value(in, value);
}

static int push_tuple(struct reader *in, size_t count)
{
    struct pickle_value **items = NULL;
    TRY(pop_values(in, count, &items));
    return push_of(in, PICKLE_TUPLE, items, count);
}

static int push_marked(struct reader *in, enum pickle_kind kind)
{
    struct pickle_value **items = NULL;
    size_t count = 0;
    TRY(pop_to_mark(in, &items, &count));
    if (kind == PICKLE_DICT && count % 2) return pickle_bad(in, "a key without a value");
    return push_of(in, kind, items, count);
}

/* Fills a list or a dict (or what a call makes one of), with what lies on the mark or with the last
 * `count` values. */
static int fill_with(struct reader *in, struct pickle_value **items, size_t count, bool pairs)
{
    struct pickle_value *value = NULL;
    TRY(top_value(in, &value));
    if (!has_items(value) || value->kind == PICKLE_TUPLE || (value->kind == PICKLE_DICT && !pairs))
        return pickle_bad(in, "items of what has none");
    if (pairs && (count % 2 || value->kind == PICKLE_LIST))
        return pickle_bad(in, "a key without a value");
    /* A list that a call makes is nothing that is read here. */
    return value->kind == PICKLE_CALL && !pairs ? OK : append_items(in, value, items, count);
}

static int fill_last(struct reader *in, size_t count, bool pairs)
{
    struct pickle_value **items = NULL;
    TRY(pop_values(in, count, &items));
    return fill_with(in, items, count, pairs);
}

static int fill_marked(struct reader *in, bool pairs)
{
    struct pickle_value **items = NULL;
    size_t count = 0;
    TRY(pop_to_mark(in, &items, &count));
    return fill_with(in, items, count, pairs);
}

/* The pairs that Python 2 makes an ordered dict of: ([[key, value], ...],). */
static const struct pickle_value *list_of_pairs(const struct pickle_value *arguments)
{
    if (arguments->kind != PICKLE_TUPLE || arguments->count != 1) return NULL;
    const struct pickle_value *list = arguments->items[0];
    if (list->kind != PICKLE_LIST) return NULL;
    for (uint32_t i = 0; i < list->count; i++)
        if ((list->items[i]->kind != PICKLE_LIST && list->items[i]->kind != PICKLE_TUPLE) ||
            list->items[i]->count != 2)
            return NULL;
    return list;
}

/* function, arguments -> the call. An ordered dict is a dict. */
static int push_call(struct reader *in, size_t operands)
{
    struct pickle_value **two = NULL;
    TRY(pop_values(in, operands, &two));
    const struct pickle_value *function = two[0], *arguments = two[1];
    bool ordered = pickle_is_global(function, "collections.OrderedDict");
    bool empty = has_items(arguments) && arguments->count == 0;
    const struct pickle_value *pairs = ordered ? list_of_pairs(arguments) : NULL;
    TRY(push_new(in, ordered && (empty || pairs) ? PICKLE_DICT : PICKLE_CALL, 0));
    struct pickle_value *value = in->stack[in->depth - 1];
    if (value->kind == PICKLE_CALL) {
        value->function = function;
        value->arguments = arguments;
        return OK;
    }
    for (uint32_t i = 0; pairs && i < pairs->count; i++)
        TRY(append_items(in, value, pairs->items[i]->items, 2));
    return OK;
}

static int push_persistent(struct reader *in)
{
    struct pickle_value **one = NULL;
    TRY(pop_values(in, 1, &one));
    const struct pickle_value *arguments = *one;
    TRY(push_new(in, PICKLE_PERSISTENT, 0));
    struct pickle_value *value = in->stack[in->depth - 1];
    value->arguments = arguments;
    value->previous = in->pickle->persistent;
    in->pickle->persistent = value;
    return OK;
}

static int drop_top(struct reader *in)
{
    if (in->depth == 0) return pickle_bad(in, "an empty stack");
    in->depth--;
    return OK;
}

static int drop_to_mark(struct reader *in)
{
    struct pickle_value **items = NULL;
    size_t count = 0;
    return pop_to_mark(in, &items, &count);
}

/* The state that an object would be given: not looked at. */
static int drop_state(struct reader *in)
{
    struct pickle_value **state = NULL;
    return pop_values(in, 1, &state);
}

static int push_top(struct reader *in)
{
    struct pickle_value *value = NULL;
    TRY(top_value(in, &value));
    return push_value(in, value);
}

/* ---- the language ---- */

/* Texts and numbers of a length, or by a number of so many bytes. */
static const struct counted {
    char code;
    int bytes;
    enum pickle_kind kind;
} counted[] = {
    {'X', 4, PICKLE_TEXT},  {'\x8c', 1, PICKLE_TEXT},  {'\x8d', 8, PICKLE_TEXT},
    {'T', 4, PICKLE_TEXT},  {'U', 1, PICKLE_TEXT},     {'B', 4, PICKLE_OTHER},
    {'C', 1, PICKLE_OTHER}, {'\x8e', 8, PICKLE_OTHER}, {'\x96', 8, PICKLE_OTHER},
};

static int run_counted(struct reader *in, uint8_t code, bool *known)
{
    *known = true;
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        if (code == (uint8_t)counted[i].code)
            return push_counted(in, counted[i].kind, counted[i].bytes);
    *known = false;
    return OK;
}

static int pickle_run_number(struct reader *in, uint8_t code, bool *known)
{
    uint64_t number = 0;
    *known = true;
    switch (code) {
    case 'J':
        TRY(pickle_read_number(in, 4, &number));
        return push_new(in, PICKLE_INT, (int32_t)number);
    case 'K':
        TRY(pickle_read_number(in, 1, &number));
        return push_new(in, PICKLE_INT, (int64_t)number);
    case 'M':
        TRY(pickle_read_number(in, 2, &number));
        return push_new(in, PICKLE_INT, (int64_t)number);
    case 'G': TRY(pickle_read_number(in, 8, &number)); return push_new(in, PICKLE_FLOAT, 0);
    case 0x8a: return push_long(in, 1);
    case 0x8b: return push_long(in, 4);
    case 'N': return push_new(in, PICKLE_NONE, 0);
    case 0x88: return push_new(in, PICKLE_BOOL, 1);
    case 0x89: return push_new(in, PICKLE_BOOL, 0);
    case 'q': TRY(pickle_read_number(in, 1, &number)); return memo_put(in, number);
    case 'r': TRY(pickle_read_number(in, 4, &number)); return memo_put(in, number);
    case 0x94: return memo_put(in, in->memo_count);
    case 'h': TRY(pickle_read_number(in, 1, &number)); return memo_get(in, number);
    case 'j': TRY(pickle_read_number(in, 4, &number)); return memo_get(in, number);
    case 0x80: /* the version */
        TRY(pickle_read_number(in, 1, &number));
        return number <= 5 ? OK : pickle_bad(in, "an unknown version");
    case 0x95: return pickle_read_number(in, 8, &number); /* a frame's bytes */
    default: *known = false; return OK;
    }
}

static int run_structure(struct reader *in, uint8_t code, bool *known)
{
    *known = true;
    switch (code) {
    case '(': return push_value(in, NULL);
    case ')': return push_new(in, PICKLE_TUPLE, 0);
    case 0x85: return push_tuple(in, 1);
    case 0x86: return push_tuple(in, 2);
    case 0x87: return push_tuple(in, 3);
    case 't': return push_marked(in, PICKLE_TUPLE);
    case 0x91: return push_marked(in, PICKLE_TUPLE);
    case ']': return push_new(in, PICKLE_LIST, 0);
    case 0x8f: return push_new(in, PICKLE_LIST, 0);
    case 'l': return push_marked(in, PICKLE_LIST);
    case 'a': return fill_last(in, 1, false);
    case 'e': return fill_marked(in, false);
    case 0x90: return fill_marked(in, false);
    case '}': return push_new(in, PICKLE_DICT, 0);
    case 'd': return push_marked(in, PICKLE_DICT);
    case 's': return fill_last(in, 2, true);
    case 'u': return fill_marked(in, true);
    case 'c': return push_global(in);
    case 0x93: return push_stack_global(in);
    case 'R': return push_call(in, 2);
    case 0x81: return push_call(in, 2);
    case 0x92: return push_call(in, 3);
    case 'b': return drop_state(in);
    case 'Q': return push_persistent(in);
    case '0': return drop_top(in);
    case '1': return drop_to_mark(in);
    case '2': return push_top(in);
    default: *known = false; return OK;
    }
}

static int read_pickle(struct reader *in)
{
    for (;;) {
        bool known;
        if (in->p >= in->end) return pickle_bad(in, "its end");
        uint8_t code = *in->p++;
        if (code == '.') break;
        TRY(run_structure(in, code, &known));
        if (!known) TRY(pickle_run_number(in, code, &known));
        if (!known) TRY(run_counted(in, code, &known));
        if (known) continue;
        in->p--;
        return pickle_bad(in, "an unknown instruction");
    }
    struct pickle_value *root = NULL;
    TRY(top_value(in, &root));
    in->pickle->root = root;
    return OK;
}

/* ---- */

int pickle_open(struct pickle **out, const uint8_t *data, size_t bytes, const char *path,
                size_t *used)
{
    struct reader in = {.path = path, .start = data, .p = data, .end = data + bytes};
    *out = NULL;
    in.pickle = calloc(1, sizeof *in.pickle);
    if (!in.pickle) return fail(ERR_SYSTEM, "out of memory");
    int code = read_pickle(&in);
    free(in.stack);
    free(in.memo);
    if (code < 0) {
        pickle_close(in.pickle);
        return code;
    }
    *used = (size_t)(in.p - data);
    *out = in.pickle;
    return OK;
}

void pickle_close(struct pickle *pickle)
{
    if (!pickle) return;
    for (struct block *block = pickle->blocks, *next; block; block = next) {
        next = block->next;
        for (int i = 0; i < block->used; i++)
            if (has_items(&block->values[i])) free(block->values[i].items);
        free(block);
    }
    free(pickle);
}

const struct pickle_value *pickle_root(const struct pickle *pickle)
{
    return pickle->root;
}

const struct pickle_value *pickle_last_persistent(const struct pickle *pickle)
{
    return pickle->persistent;
}

bool pickle_is_text(const struct pickle_value *value, const char *text)
{
    return value->kind == PICKLE_TEXT && value->count == strlen(text) &&
           memcmp(value->text, text, value->count) == 0;
}

/* What is no printable ASCII becomes a question mark. */
static void append_printable(struct pickle_name *name, const char *text, size_t count)
{
    size_t at = strlen(name->text);
    for (size_t i = 0; i < count && at + 1 < sizeof name->text; i++, at++)
        name->text[at] = text[i] == '\n' ? '.' : text[i] >= 0x20 && text[i] < 0x7F ? text[i] : '?';
    name->text[at] = '\0';
}

struct pickle_name pickle_global_name(const struct pickle_value *value)
{
    struct pickle_name name = {""};
    if (value->kind == PICKLE_CALL) value = value->function;
    if (value->kind != PICKLE_GLOBAL) return name;
    if (!value->function) {
        append_printable(&name, value->text, value->count);
        return name;
    }
    append_printable(&name, value->function->text, value->function->count);
    append_printable(&name, ".", 1);
    append_printable(&name, value->arguments->text, value->arguments->count);
    return name;
}

bool pickle_is_global(const struct pickle_value *value, const char *name)
{
    return value->kind == PICKLE_GLOBAL && strcmp(pickle_global_name(value).text, name) == 0;
}
