#include "store/store_header.h"

#include "base/error.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Integers that every reader of the format represents exactly, those with doubles too. */
#define INTEGER_MAX (UINT64_C(1) << 53)

struct parser {
    const char *path;
    const char *start, *p, *end;
    char *out; /* where the next decoded string goes */
    struct store_header *header;
};

static int store_header_bad(const struct parser *in, const char *what)
{
    return fail(ERR_DATA, "%s: damaged or no safetensors file: %s at byte %zu", in->path, what,
                8 + (size_t)(in->p - in->start));
}

static void skip_space(struct parser *in)
{
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\n' || *in->p == '\t' || *in->p == '\r'))
        in->p++;
}

/* Takes `c` if it comes next, behind white space. */
static bool store_header_take(struct parser *in, char c)
{
    skip_space(in);
    if (in->p >= in->end || *in->p != c) return false;
    in->p++;
    return true;
}

static int store_header_expect(struct parser *in, char c, const char *what)
{
    return store_header_take(in, c) ? OK : store_header_bad(in, what);
}

static bool take_hex4(struct parser *in, uint32_t *value)
{
    if (in->end - in->p < 4) return false;
    *value = 0;
    for (int i = 0; i < 4; i++) {
        char c = *in->p++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

static void put_utf8(struct parser *in, uint32_t code)
{
    if (code < 0x80) {
        *in->out++ = (char)code;
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint32_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    *in->out++ = (char)(lead[more] | code >> 6 * more);
    while (more-- > 0)
        *in->out++ = (char)(0x80 | (code >> 6 * more & 0x3F));
}

/* Parses the digits behind "\u". A zero would end the string for C. */
static int parse_unicode(struct parser *in)
{
    uint32_t code, low;
    if (!take_hex4(in, &code) || code == 0) return store_header_bad(in, "a broken \\u escape");
    if (code >= 0xD800 && code < 0xE000) {
        if (code >= 0xDC00 || in->end - in->p < 6 || in->p[0] != '\\' || in->p[1] != 'u')
            return store_header_bad(in, "half a surrogate pair");
        in->p += 2;
        if (!take_hex4(in, &low) || low < 0xDC00 || low >= 0xE000)
            return store_header_bad(in, "half a surrogate pair");
        code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
    }
    put_utf8(in, code);
    return OK;
}

static int parse_escape(struct parser *in)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (in->p >= in->end) return store_header_bad(in, "an unfinished string");
    char c = *in->p++;
    if (c == 'u') return parse_unicode(in);
    const char *found = c ? strchr(names, c) : NULL;
    if (!found) return store_header_bad(in, "an unknown escape");
    *in->out++ = values[found - names];
    return OK;
}

/* A decoded string and its zero never need more room than the text with its two quotes. */
static int parse_string(struct parser *in, const char **string)
{
    TRY(store_header_expect(in, '"', "no string"));
    *string = in->out;
    while (in->p < in->end && *in->p != '"') {
        if (*in->p == '\\') {
            in->p++;
            TRY(parse_escape(in));
            continue;
        }
        size_t length = utf8_length(in->p, (size_t)(in->end - in->p));
        if (length == 0) return store_header_bad(in, "broken UTF-8");
        if ((unsigned char)*in->p < 0x20) return store_header_bad(in, "a control character");
        memcpy(in->out, in->p, length);
        in->out += length;
        in->p += length;
    }
    if (in->p >= in->end) return store_header_bad(in, "an unfinished string");
    in->p++;
    *in->out++ = '\0';
    return OK;
}

/* Parses a name: without control characters, as messages print it. */
static int store_header_parse_name(struct parser *in, const char **name)
{
    TRY(parse_string(in, name));
    for (const char *c = *name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return store_header_bad(in, "a control character in a name");
    return OK;
}

static int parse_integer(struct parser *in, uint64_t *value)
{
    skip_space(in);
    const char *first = in->p;
    for (*value = 0; in->p < in->end && *in->p >= '0' && *in->p <= '9'; in->p++) {
        *value = *value * 10 + (uint64_t)(*in->p - '0');
        if (*value > INTEGER_MAX) return store_header_bad(in, "a number that is too large");
    }
    if (in->p == first || (*first == '0' && in->p > first + 1))
        return store_header_bad(in, "no whole number");
    return OK;
}

/* The next member of an object or array whose opening bracket is taken: *more tells if there is
 * one.
 */
static int next_item(struct parser *in, char close, bool *first, bool *more)
{
    *more = !store_header_take(in, close);
    if (*more && !*first) TRY(store_header_expect(in, ',', "no comma"));
    *first = false;
    return OK;
}

static int parse_type(struct parser *in, struct store_tensor *tensor)
{
    const char *name;
    TRY(store_header_parse_name(in, &name));
    if (tensor_type_find(name, &tensor->type)) return OK;
    if (strncmp(name, "F8_", 3) == 0)
        return fail(ERR_DATA, "%s: tensor %s: fp8 is not read yet", in->path, tensor->name);
    return fail(ERR_DATA, "%s: tensor %s: dtype %s is not known", in->path, tensor->name, name);
}

static int parse_shape(struct parser *in, struct store_tensor *tensor)
{
    bool first = true, more;
    TRY(store_header_expect(in, '[', "no shape"));
    for (tensor->dims = 0;;) {
        TRY(next_item(in, ']', &first, &more));
        if (!more) return OK;
        if (tensor->dims == TENSOR_MAX_DIMS) return store_header_bad(in, "too many dimensions");
        uint64_t size;
        TRY(parse_integer(in, &size));
        tensor->shape[tensor->dims++] = (int64_t)size;
    }
}

static int parse_offsets(struct parser *in, struct store_entry *entry)
{
    TRY(store_header_expect(in, '[', "no data_offsets"));
    TRY(parse_integer(in, &entry->begin));
    TRY(store_header_expect(in, ',', "no comma"));
    TRY(parse_integer(in, &entry->end));
    return store_header_expect(in, ']', "no two data_offsets");
}

static int parse_field(struct parser *in, struct store_entry *entry, unsigned *seen)
{
    static const char *const names[] = {"dtype", "shape", "data_offsets"};
    const char *key;
    TRY(store_header_parse_name(in, &key));
    TRY(store_header_expect(in, ':', "no colon"));
    unsigned field = 0;
    while (field < 3 && strcmp(key, names[field]) != 0)
        field++;
    if (field == 3) return store_header_bad(in, "an unknown key of a tensor");
    if (*seen & 1u << field) return store_header_bad(in, "a key that stands twice");
    *seen |= 1u << field;
    if (field == 0) return parse_type(in, &entry->tensor);
    if (field == 1) return parse_shape(in, &entry->tensor);
    return parse_offsets(in, entry);
}

/* `array` with room for one more element behind `count`, moved or not; NULL with the message set.
 */
static void *store_header_grown(void *array, size_t *room, size_t count, size_t element)
{
    if (count < *room) return array;
    size_t larger = *room ? *room * 2 : 64;
    void *moved = realloc(array, larger * element);
    if (!moved) {
        fail(ERR_SYSTEM, "out of memory");
        return NULL;
    }
    *room = larger;
    return moved;
}

static int parse_tensor(struct parser *in, const char *name)
{
    struct store_header *h = in->header;
    struct store_entry entry = {.tensor.name = name};
    unsigned seen = 0;
    bool first = true, more;
    TRY(store_header_expect(in, '{', "no tensor"));
    for (;;) {
        TRY(next_item(in, '}', &first, &more));
        if (!more) break;
        TRY(parse_field(in, &entry, &seen));
    }
    if (seen != 7) return store_header_bad(in, "a tensor without dtype, shape or data_offsets");
    struct store_entry *entries =
        store_header_grown(h->entries, &h->entry_room, h->entry_count, sizeof *h->entries);
    if (!entries) return ERR_SYSTEM;
    h->entries = entries;
    h->entries[h->entry_count++] = entry;
    return OK;
}

static int parse_metadata(struct parser *in)
{
    struct store_header *h = in->header;
    bool first = true, more;
    if (h->pairs) return store_header_bad(in, "__metadata__ for the second time");
    TRY(store_header_expect(in, '{', "no metadata"));
    for (;;) {
        struct store_pair *pairs =
            store_header_grown(h->pairs, &h->pair_room, h->pair_count, sizeof *h->pairs);
        if (!pairs) return ERR_SYSTEM;
        h->pairs = pairs;
        TRY(next_item(in, '}', &first, &more));
        if (!more) return OK;
        struct store_pair *pair = &h->pairs[h->pair_count];
        TRY(parse_string(in, &pair->key));
        TRY(store_header_expect(in, ':', "no colon"));
        TRY(parse_string(in, &pair->value));
        h->pair_count++;
    }
}

static int parse_header(struct parser *in)
{
    bool first = true, more;
    if (in->p >= in->end || *in->p != '{')
        return store_header_bad(in, "no '{'"); /* the format: no space before */
    in->p++;
    for (;;) {
        TRY(next_item(in, '}', &first, &more));
        if (!more) break;
        const char *name;
        TRY(store_header_parse_name(in, &name));
        TRY(store_header_expect(in, ':', "no colon"));
        TRY(strcmp(name, "__metadata__") == 0 ? parse_metadata(in) : parse_tensor(in, name));
    }
    while (in->p < in->end && *in->p == ' ')
        in->p++;
    return in->p == in->end ? OK : store_header_bad(in, "something behind the header");
}

int store_header_parse(struct store_header *header, const char *json, size_t bytes,
                       const char *path)
{
    *header = (struct store_header){.text = malloc(bytes + 1)};
    if (!header->text) return fail(ERR_SYSTEM, "%s: out of memory", path);
    struct parser in = {.path = path,
                        .start = json,
                        .p = json,
                        .end = json + bytes,
                        .out = header->text,
                        .header = header};
    int code = parse_header(&in);
    if (code < 0) store_header_free(header);
    return code;
}

void store_header_free(struct store_header *header)
{
    free(header->entries);
    free(header->pairs);
    free(header->text);
    *header = (struct store_header){0};
}

/* zlib counts in 32 bits. */
uint32_t store_crc(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        uInt part = bytes > 1u << 30 ? 1u << 30 : (uInt)bytes;
        crc = (uint32_t)crc32(crc, at, part);
        at += part;
        bytes -= part;
    }
    return crc;
}
