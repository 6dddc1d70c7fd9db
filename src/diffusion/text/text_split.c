#include "diffusion/text/text_split.h"

#include "diffusion/text/unicode_text.h"

#include <stdbool.h>
#include <string.h>

/* A place in a text and the character that stands there. */
struct text_place {
    const char *text;
    size_t at, bytes, wide;
    int32_t code; /* -1 at the end */
    enum unicode_class class;
};

static void place_look(struct text_place *p)
{
    p->wide = 0;
    p->code = -1;
    p->class = UNICODE_OTHER;
    if (p->at == p->bytes) return;
    p->code = unicode_next(p->text + p->at, p->bytes - p->at, &p->wide);
    p->class = unicode_class_of(p->code);
}

static void place_step(struct text_place *p)
{
    p->at += p->wide;
    place_look(p);
}

static bool place_is(const struct text_place *p, enum unicode_class class)
{
    return p->code >= 0 && p->class == class;
}

static void place_skip(struct text_place *p, enum unicode_class class)
{
    while (place_is(p, class))
        place_step(p);
}

static bool place_ends_line(const struct text_place *p)
{
    return p->code == '\r' || p->code == '\n';
}

/* Whether it is this letter; folded: or a capital, or U+017F, the long s, in place of s. */
static bool place_is_letter(const struct text_place *p, int32_t letter, bool folded)
{
    if (!folded) return p->code == letter;
    return p->code == letter || p->code == letter - 'a' + 'A' ||
           (letter == 's' && p->code == 0x17F);
}

/* Bytes of 's 't 're 've 'm 'll 'd at an apostrophe; 0: none of these. */
static size_t contraction_bytes(struct text_place p, bool folded)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    place_step(&p);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct text_place q = p;
        const char *letter = endings[i];
        for (; *letter && place_is_letter(&q, *letter, folded); letter++)
            place_step(&q);
        if (!*letter) return q.at;
    }
    return 0;
}

/* White space; lines: up to its last line end; else, before a word, all but its last character. */
static size_t space_bytes(struct text_place p, bool lines)
{
    size_t last = 0, line_end = 0, count = 0;
    while (place_is(&p, UNICODE_SPACE)) {
        bool ends_line = lines && place_ends_line(&p);
        last = p.at;
        count++;
        place_step(&p);
        if (ends_line) line_end = p.at;
    }
    if (line_end > 0) return line_end;
    return p.code >= 0 && count > 1 ? last : p.at;
}

size_t text_word_whole(const char *text, size_t bytes)
{
    (void)text;
    return bytes;
}

size_t text_word_qwen(const char *text, size_t bytes)
{
    struct text_place p = {.text = text, .bytes = bytes}, next;
    place_look(&p);
    if (p.code == '\'') {
        size_t taken = contraction_bytes(p, true);
        if (taken > 0) return taken;
    }
    if (p.class == UNICODE_NUMBER) return p.wide;
    next = p;
    place_step(&next);
    if (p.class == UNICODE_LETTER || (!place_ends_line(&p) && place_is(&next, UNICODE_LETTER))) {
        place_skip(&next, UNICODE_LETTER);
        return next.at;
    }
    if (p.class == UNICODE_OTHER || (p.code == ' ' && place_is(&next, UNICODE_OTHER))) {
        place_skip(&next, UNICODE_OTHER);
        while (place_ends_line(&next))
            place_step(&next);
        return next.at;
    }
    return space_bytes(p, true);
}

size_t text_word_gpt2(const char *text, size_t bytes)
{
    struct text_place p = {.text = text, .bytes = bytes};
    place_look(&p);
    size_t taken = p.code == '\'' ? contraction_bytes(p, false) : 0;
    if (taken > 0) return taken;
    struct text_place first = p;
    if (p.code == ' ') place_step(&first);
    if (first.code < 0 || first.class == UNICODE_SPACE) return space_bytes(p, false);
    enum unicode_class class = first.class;
    place_skip(&first, class);
    return first.at;
}

size_t text_word_clip_plain(const char *text, size_t bytes)
{
    struct text_place p = {.text = text, .bytes = bytes};
    place_look(&p);
    size_t taken = p.code == '\'' ? contraction_bytes(p, false) : 0;
    if (taken > 0) return taken;
    enum unicode_class class = p.class;
    if (class == UNICODE_NUMBER) return p.wide;
    place_skip(&p, class);
    return p.at;
}

size_t text_word_clip(const char *text, size_t bytes)
{
    static const char *const marks[] = {"<|startoftext|>", "<|endoftext|>"};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(marks[i]);
        if (bytes >= length && memcmp(text, marks[i], length) == 0) return length;
    }
    return text_word_clip_plain(text, bytes);
}

/* As tokenizer.json writes them. */
static const struct {
    const char *pattern;
    text_word *word;
} known_patterns[] = {
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
     "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     text_word_qwen},
    {"<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|"
     "[^\\s\\p{L}\\p{N}]+",
     text_word_clip},
    {"'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", text_word_clip_plain}};

text_word *text_word_of_pattern(const char *pattern)
{
    for (size_t i = 0; i < sizeof known_patterns / sizeof *known_patterns; i++)
        if (strcmp(pattern, known_patterns[i].pattern) == 0) return known_patterns[i].word;
    return NULL;
}
