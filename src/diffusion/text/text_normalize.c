#include "diffusion/text/text_normalize.h"

#include "base/error.h"
#include "diffusion/text/unicode_text.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

enum { CAPITAL_I_DOT = 0x130, DOT_ABOVE = 0x307 };

int text_normalizer_add(struct text_normalizer *normalizer, enum text_step step)
{
    if (normalizer->count == TEXT_STEPS_MOST)
        return fail(ERR_DATA, "its normalizer has more than %d steps", TEXT_STEPS_MOST);
    normalizer->steps[normalizer->count++] = step;
    return OK;
}

void text_normalizer_free(struct text_normalizer *normalizer)
{
    charsmap_free(&normalizer->charsmap);
    *normalizer = (struct text_normalizer){0};
}

/* Bytes that a text begins with of blanks (any: of white space), *count of them; blank false: of
 * other characters. */
static size_t run_bytes(const char *text, size_t bytes, bool any, bool blank, size_t *count)
{
    size_t at = 0, wide;
    for (*count = 0; at < bytes; at += wide, ++*count) {
        int32_t code = unicode_next(text + at, bytes - at, &wide);
        if ((code == ' ' || (any && unicode_class_of(code) == UNICODE_SPACE)) != blank) break;
    }
    return at;
}

/* Adds `text` with each run of at least `least` blanks (any: of white space) as `with`. */
static int replace_blanks(struct text_bytes *to, const char *text, size_t bytes, bool any,
                          size_t least, const char *with)
{
    for (size_t at = 0, count, run; at < bytes; at += run) {
        run = run_bytes(text + at, bytes - at, any, true, &count);
        TRY(count >= least ? text_bytes_add(to, with, strlen(with))
                           : text_bytes_add(to, text + at, run));
        at += run;
        run = run_bytes(text + at, bytes - at, any, false, &count);
        TRY(text_bytes_add(to, text + at, run));
    }
    return OK;
}

/* Unicode's full mapping: of one character only it has two. */
static int lower_case(struct text_bytes *to, const char *text, size_t bytes)
{
    for (size_t at = 0, wide; at < bytes; at += wide) {
        int32_t code = unicode_next(text + at, bytes - at, &wide);
        TRY(text_bytes_add_code(to, utf8proc_tolower(code)));
        if (code == CAPITAL_I_DOT) TRY(text_bytes_add_code(to, DOT_ABOVE));
    }
    return OK;
}

static int strip_end(struct text_bytes *to, const char *text, size_t bytes)
{
    size_t end = 0;
    for (size_t at = 0, wide; at < bytes; at += wide)
        if (unicode_class_of(unicode_next(text + at, bytes - at, &wide)) != UNICODE_SPACE)
            end = at + wide;
    return text_bytes_add(to, text, end);
}

static int text_step_run(const struct text_normalizer *normalizer, enum text_step step,
                         struct text_bytes *to, const char *text, size_t bytes)
{
    switch (step) {
    case TEXT_STEP_COMPOSE: return unicode_compose(to, text, bytes);
    case TEXT_STEP_ONE_BLANK: return replace_blanks(to, text, bytes, true, 1, " ");
    case TEXT_STEP_LOWER: return lower_case(to, text, bytes);
    case TEXT_STEP_CHARSMAP: return charsmap_apply(&normalizer->charsmap, to, text, bytes);
    case TEXT_STEP_STRIP_END: return strip_end(to, text, bytes);
    case TEXT_STEP_BLANKS_TO_BAR: return replace_blanks(to, text, bytes, false, 2, TEXT_BAR);
    case TEXT_STEP_BLANKS_TO_ONE: return replace_blanks(to, text, bytes, false, 2, " ");
    }
    return OK;
}

int text_normalize(const struct text_normalizer *normalizer, struct text_bytes *to,
                   struct text_bytes *spare, const char *text, size_t bytes)
{
    to->count = 0;
    TRY(text_bytes_add(to, text, bytes));
    for (int i = 0; i < normalizer->count; i++) {
        struct text_bytes before = *to;
        *to = *spare;
        *spare = before;
        to->count = 0;
        TRY(text_step_run(normalizer, normalizer->steps[i], to, spare->bytes, spare->count));
    }
    return OK;
}
