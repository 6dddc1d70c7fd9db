/* What becomes of a text before it is cut into words: a few steps, one after the other. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TEXT_NORMALIZE_H
#define IMGTRAIN_DIFFUSION_TEXT_TEXT_NORMALIZE_H

#include "diffusion/text/charsmap.h"
#include "diffusion/text/text_bytes.h"

enum text_step {
    TEXT_STEP_COMPOSE,       /* NFC */
    TEXT_STEP_ONE_BLANK,     /* \s+ becomes a blank */
    TEXT_STEP_LOWER,         /* lower case, character by character */
    TEXT_STEP_CHARSMAP,      /* SentencePiece's table */
    TEXT_STEP_STRIP_END,     /* no white space at the end */
    TEXT_STEP_BLANKS_TO_BAR, /* two blanks and more become U+2581 */
    TEXT_STEP_BLANKS_TO_ONE  /* or one blank */
};

enum { TEXT_STEPS_MOST = 8 };

#define TEXT_BAR "\xE2\x96\x81" /* U+2581, which stands for a blank */

/* Zeroed: leaves a text as it is. */
struct text_normalizer {
    enum text_step steps[TEXT_STEPS_MOST];
    int count;
    struct charsmap charsmap;
};

/* ERR_DATA where there are too many. */
int text_normalizer_add(struct text_normalizer *normalizer, enum text_step step);
void text_normalizer_free(struct text_normalizer *normalizer);

/* Puts what becomes of `text` (sound UTF-8) into *to, which need not be empty; *spare: a workspace.
 */
int text_normalize(const struct text_normalizer *normalizer, struct text_bytes *to,
                   struct text_bytes *spare, const char *text, size_t bytes);

#endif
