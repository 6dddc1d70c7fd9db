/* What tokenizers want to know of Unicode, from utf8proc: text that is sound, its composed form,
 * classes of characters. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_UNICODE_TEXT_H
#define IMGTRAIN_DIFFUSION_TEXT_UNICODE_TEXT_H

#include "diffusion/text/text_bytes.h"

#include <stddef.h>
#include <stdint.h>

/* As regular expressions have them: \p{L}, \p{N}, \s; no character is in two of these. */
enum unicode_class { UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE, UNICODE_OTHER };

enum unicode_class unicode_class_of(int32_t code);

/* The character at `text`, which is sound UTF-8, of which `left` bytes are there (at least one).
 * *bytes: how many it takes. */
int32_t unicode_next(const char *text, size_t left, size_t *bytes);

/* Adds `text` with U+FFFD for each byte that is no UTF-8; *broken: how many these are. */
int unicode_mend(struct text_bytes *to, const char *text, size_t bytes, size_t *broken);

/* Adds the canonical composition (NFC) of sound UTF-8. Linear in the text, but for the sorting of
 * runs of combining marks. */
int unicode_compose(struct text_bytes *to, const char *text, size_t bytes);

#endif
