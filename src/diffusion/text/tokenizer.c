#include "diffusion/text/tokenizer.h"

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/tokenizer_file.h"
#include "diffusion/text/unicode_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MOST = 64 << 20, LOST_SHOWN = 160, BAR_BYTES = sizeof TEXT_BAR - 1 };

bool tokenizer_is_at(const char *path)
{
    return file_is_dir(path) ? tokenizer_file_of(path) != NULL : file_exists(path);
}

int tokenizer_open(struct tokenizer **tokenizer, const char *path)
{
    *tokenizer = token_model_create();
    return *tokenizer ? token_model_filled(tokenizer, tokenizer_file_read(*tokenizer, path))
                      : ERR_SYSTEM;
}

void tokenizer_close(struct tokenizer *tokenizer)
{
    token_model_free(tokenizer);
}

enum tokenizer_kind tokenizer_kind_of(const struct tokenizer *tokenizer)
{
    return tokenizer->kind;
}

bool tokenizer_has_labels(const struct tokenizer *tokenizer)
{
    return tokenizer->kind == TOKENIZER_LABELS;
}

int tokenizer_pad(const struct tokenizer *tokenizer)
{
    return tokenizer->pad;
}

int tokenizer_most(const struct tokenizer *tokenizer)
{
    return tokenizer->most;
}

int tokenizer_none(const struct tokenizer *tokenizer)
{
    return tokenizer->none;
}

int tokenizer_rows(const struct tokenizer *tokenizer)
{
    int rows = tokenizer->words.rows;
    for (size_t i = 0; i < tokenizer->added.count; i++)
        if (tokenizer->added.list[i].id >= rows) rows = tokenizer->added.list[i].id + 1;
    return rows;
}

void tokens_free(struct tokens *tokens)
{
    free(tokens->ids);
    free(tokens->lost_text);
    *tokens = (struct tokens){0};
}

/* ---- encoding ---- */

/* One text on its way. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct token_ids ids;
    struct text_bytes text;          /* sound UTF-8 */
    struct text_bytes normal, spare; /* a piece of it, normalised */
    struct text_bytes words;         /* of unigrams: with U+2581 in place of blanks */
    struct bpe_work bpe;
    struct unigram_work unigram;
};

static void encoding_free(struct encoding *e)
{
    token_ids_free(&e->ids);
    text_bytes_free(&e->text);
    text_bytes_free(&e->normal);
    text_bytes_free(&e->spare);
    text_bytes_free(&e->words);
    bpe_work_free(&e->bpe);
    unigram_work_free(&e->unigram);
}

static int encode_bpe(struct encoding *e, const char *text, size_t bytes)
{
    const struct tokenizer *t = e->tokenizer;
    for (size_t at = 0, wide, end; at < bytes; at = end) {
        size_t first;
        end = at + t->word(text + at, bytes - at);
        if (t->drops_spaces &&
            unicode_class_of(unicode_next(text + at, bytes - at, &first)) == UNICODE_SPACE)
            continue;
        for (; at < end; at += wide) {
            wide = t->inner ? t->inner(text + at, end - at) : end - at;
            TRY(byte_bpe_encode(&t->bpe, &e->bpe, text + at, wide, &e->ids));
        }
    }
    return OK;
}

static bool begins_with_bar(const char *text, size_t bytes)
{
    return bytes >= BAR_BYTES && memcmp(text, TEXT_BAR, BAR_BYTES) == 0;
}

/* Text that begins with a word: U+2581 before it, and in place of each blank; a word ends before
 * the next one. */
static int encode_unigrams(struct encoding *e, const char *text, size_t bytes)
{
    const struct tokenizer *t = e->tokenizer;
    struct text_bytes *words = &e->words;
    words->count = 0;
    if (bytes == 0 || (*text != ' ' && !begins_with_bar(text, bytes)))
        TRY(text_bytes_add(words, TEXT_BAR, BAR_BYTES));
    for (size_t i = 0; i < bytes; i++)
        TRY(text[i] == ' ' ? text_bytes_add(words, TEXT_BAR, BAR_BYTES)
                           : text_bytes_add(words, text + i, 1));
    for (size_t at = 0, end; at < words->count; at = end) {
        for (end = at + 1; end < words->count; end++)
            if (begins_with_bar(words->bytes + end, words->count - end)) break;
        TRY(unigram_encode(&t->unigram, &t->words, &e->unigram, words->bytes + at, end - at,
                           &e->ids));
    }
    return OK;
}

/* What lies between white space, each by itself. */
static int encode_between_spaces(struct encoding *e, const char *text, size_t bytes)
{
    for (size_t at = 0, from, wide; at < bytes;) {
        for (from = at; at < bytes; at += wide)
            if (unicode_class_of(unicode_next(text + at, bytes - at, &wide)) == UNICODE_SPACE)
                break;
        if (at > from) TRY(encode_unigrams(e, text + from, at - from));
        if (at < bytes) at += wide;
    }
    return OK;
}

/* Normalised text without added tokens. */
static int encode_words(struct encoding *e, const char *text, size_t bytes)
{
    const struct tokenizer *t = e->tokenizer;
    if (t->kind != TOKENIZER_UNIGRAM) return encode_bpe(e, text, bytes);
    return t->splits_spaces ? encode_between_spaces(e, text, bytes)
                            : encode_unigrams(e, text, bytes);
}

/* Cuts added tokens out of a text; what lies between goes to `rest`. */
static int encode_between_added(struct encoding *e, bool normalized, const char *text, size_t bytes,
                                int (*rest)(struct encoding *, const char *, size_t))
{
    size_t from = 0, at = 0;
    while (at < bytes) {
        const struct added_token *token =
            added_tokens_at(&e->tokenizer->added, normalized, text + at, bytes - at);
        if (!token) {
            at++;
            continue;
        }
        if (at > from) TRY(rest(e, text + from, at - from));
        TRY(token_ids_add(&e->ids, token->id));
        at += token->bytes;
        from = at;
    }
    return bytes > from ? rest(e, text + from, bytes - from) : OK;
}

static int encode_piece(struct encoding *e, const char *text, size_t bytes)
{
    TRY(text_normalize(&e->tokenizer->normalizer, &e->normal, &e->spare, text, bytes));
    return encode_between_added(e, true, e->normal.bytes, e->normal.count, encode_words);
}

/* Keeps the first `most` ids, with the frame. ending: ids at the end that are none of the user's
 * text. */
static int tokens_keep(const struct tokenizer *t, struct tokens *tokens,
                       const struct token_ids *ids, size_t most, size_t ending)
{
    size_t frame = (size_t)(t->before.count + t->after.count), room = SIZE_MAX;
    if (most > 0) room = most > frame ? most - frame : 0;
    size_t kept = ids->count < room ? ids->count : room, lost = ids->count - kept;
    if (lost > ending)
        TRY(tokenizer_decode(t, &tokens->lost_text, NULL, ids->ids + kept, (int)(lost - ending)));
    tokens->ids = malloc((kept + frame + 1) * sizeof *tokens->ids);
    if (!tokens->ids) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < t->before.count; i++)
        tokens->ids[tokens->count++] = t->before.ids[i];
    for (size_t i = 0; i < kept; i++)
        tokens->ids[tokens->count++] = ids->ids[i];
    for (int i = 0; i < t->after.count; i++)
        tokens->ids[tokens->count++] = t->after.ids[i];
    if (most > 0 && (size_t)tokens->count > most) tokens->count = (int)most;
    tokens->lost = (int)lost;
    return OK;
}

/* The whole text is a name, or a number. */
static int encode_label(struct encoding *e)
{
    int row;
    if (e->text.count == 0) return fail(ERR_USAGE, "an empty prompt names no class of this model");
    if (memchr(e->text.bytes, 0, e->text.count))
        return fail(ERR_USAGE, "a text with a zero byte names no class of this model");
    TRY(text_bytes_add(&e->text, "", 1));
    TRY(tokenizer_label(e->tokenizer, e->text.bytes, &row));
    return token_ids_add(&e->ids, row);
}

static int encode_all(struct encoding *e, const char *text, size_t bytes, size_t *broken)
{
    if (bytes > TEXT_BYTES_MOST)
        return fail(ERR_DATA, "a text of %zu bytes; %d at most are read", bytes, TEXT_BYTES_MOST);
    TRY(unicode_mend(&e->text, text, bytes, broken));
    if (e->tokenizer->kind == TOKENIZER_LABELS) return encode_label(e);
    return encode_between_added(e, false, e->text.bytes, e->text.count, encode_piece);
}

int tokenizer_encode(const struct tokenizer *tokenizer, struct tokens *tokens, const char *text,
                     size_t bytes, int most)
{
    struct encoding e = {.tokenizer = tokenizer};
    *tokens = (struct tokens){0};
    int code = encode_all(&e, text, bytes, &tokens->broken);
    if (code == OK) code = tokens_keep(tokenizer, tokens, &e.ids, (size_t)most, 0);
    encoding_free(&e);
    if (code < 0) tokens_free(tokens);
    return code;
}

/* ---- a conversation ---- */

static const char chat_before[] = "<|im_start|>user\n",
                  chat_after[] = "<|im_end|>\n<|im_start|>assistant\n";

static int expect_chat(const struct tokenizer *t)
{
    if (t->chat == CHAT_NONE)
        return fail(ERR_DATA, "%s: no chat template beside it (tokenizer_config.json)", t->path);
    if (t->chat == CHAT_UNKNOWN)
        return fail(ERR_DATA, "%s: the chat template beside it is not that of Qwen3", t->path);
    if (!added_tokens_named(&t->added, "<|im_start|>") ||
        !added_tokens_named(&t->added, "<|im_end|>"))
        return fail(ERR_DATA, "%s: added_tokens: <|im_start|> and <|im_end|> are missing", t->path);
    return OK;
}

bool tokenizer_has_chat(const struct tokenizer *tokenizer)
{
    return tokenizer->chat == CHAT_QWEN || tokenizer->chat == CHAT_PLAIN;
}

int tokenizer_encode_chat(const struct tokenizer *tokenizer, struct tokens *tokens,
                          const char *text, size_t bytes, int most)
{
    struct text_bytes whole = {0};
    struct tokens after = {0};
    struct encoding e = {.tokenizer = tokenizer};
    int code = OK;
    *tokens = (struct tokens){0};
    if (tokenizer->chat == CHAT_PLAIN || tokenizer->kind == TOKENIZER_LABELS ||
        tokenizer->kind == TOKENIZER_BYTES)
        return tokenizer_encode(tokenizer, tokens, text, bytes, most);
    TRY(expect_chat(tokenizer));
    TRY_CLEANUP(tokenizer_encode(tokenizer, &after, chat_after, sizeof chat_after - 1, 0));
    TRY_CLEANUP(text_bytes_add(&whole, chat_before, sizeof chat_before - 1));
    TRY_CLEANUP(text_bytes_add(&whole, text, bytes));
    TRY_CLEANUP(text_bytes_add(&whole, chat_after, sizeof chat_after - 1));
    TRY_CLEANUP(encode_all(&e, whole.bytes, whole.count, &tokens->broken));
    TRY_CLEANUP(tokens_keep(tokenizer, tokens, &e.ids, (size_t)most, (size_t)after.count));
cleanup:
    encoding_free(&e);
    text_bytes_free(&whole);
    tokens_free(&after);
    if (code < 0) tokens_free(tokens);
    return code;
}

/* ---- back to text ---- */

const char *tokenizer_token(const struct tokenizer *t, int id)
{
    if (id >= 0 && id < t->words.rows && t->words.words[id].text) return t->words.words[id].text;
    const struct added_token *added = added_tokens_of_id(&t->added, id);
    return added ? added->text : NULL;
}

/* U+2581 is a blank, but for the first. */
static int decode_piece(struct text_bytes *to, const char *word)
{
    for (size_t at = 0, bytes = strlen(word), wide; at < bytes; at += wide) {
        bool bar = begins_with_bar(word + at, bytes - at);
        wide = bar ? BAR_BYTES : 1;
        if (bar && to->count == 0) continue;
        TRY(text_bytes_add(to, bar ? " " : word + at, 1));
    }
    return OK;
}

static int decode_token(const struct tokenizer *t, struct text_bytes *to, int id)
{
    const struct added_token *added = added_tokens_of_id(&t->added, id);
    const char *word = tokenizer_token(t, id);
    if (added) return added->special ? OK : text_bytes_add(to, added->text, added->bytes);
    if (!word) return OK;
    switch (t->kind) {
    case TOKENIZER_LABELS: return text_bytes_add(to, word, strlen(word));
    case TOKENIZER_UNIGRAM: return decode_piece(to, word);
    case TOKENIZER_BYTES:
    case TOKENIZER_BPE: break;
    }
    size_t bytes = strlen(word), suffix = strlen(t->suffix);
    bool ends = suffix > 0 && bytes > suffix && strcmp(word + bytes - suffix, t->suffix) == 0;
    TRY(byte_letters_decode(to, word, ends ? bytes - suffix : bytes));
    return ends ? text_bytes_add(to, " ", 1) : OK;
}

int tokenizer_decode(const struct tokenizer *tokenizer, char **text, size_t *bytes, const int *ids,
                     int count)
{
    struct text_bytes raw = {0}, sound = {0};
    size_t broken;
    int code = OK;
    *text = NULL;
    for (int i = 0; i < count; i++)
        TRY_CLEANUP(decode_token(tokenizer, &raw, ids[i]));
    TRY_CLEANUP(unicode_mend(&sound, raw.bytes, raw.count, &broken));
    TRY_CLEANUP(text_bytes_add(&sound, "", 1));
    if (bytes) *bytes = sound.count - 1;
    *text = sound.bytes;
    sound = (struct text_bytes){0};
cleanup:
    text_bytes_free(&raw);
    text_bytes_free(&sound);
    return code;
}

void tokens_warn(const struct tokens *tokens, const char *name)
{
    size_t shown = tokens->lost_text ? strlen(tokens->lost_text) : 0;
    bool whole = shown <= LOST_SHOWN;
    if (!whole) shown = utf8_cut(tokens->lost_text, LOST_SHOWN);
    if (tokens->broken)
        log_warning("%s: %zu bytes are no UTF-8, each is read as U+FFFD", name, tokens->broken);
    if (tokens->lost_text)
        log_warning("%s: the text encoder reads %d tokens, the last %d are lost: \"%.*s\"%s", name,
                    tokens->count, tokens->lost, (int)shown, tokens->lost_text,
                    whole ? "" : " ...");
    else if (tokens->lost)
        log_warning("%s: the text encoder reads %d tokens, the last %d, of its template, are lost",
                    name, tokens->count, tokens->lost);
}
