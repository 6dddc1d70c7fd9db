#include "diffusion/text/tokenizer.h"

#include "base/error.h"
#include "base/log.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/tokenizer_file.h"
#include "diffusion/text/unicode_text.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MOST = 64 << 20, LOST_SHOWN = 160 };

int tokenizer_open(struct tokenizer **tokenizer, const char *path)
{
    *tokenizer = token_model_create();
    if (!*tokenizer) return ERR_SYSTEM;
    int code = tokenizer_file_read(*tokenizer, path);
    if (code == OK) return OK;
    token_model_free(*tokenizer);
    *tokenizer = NULL;
    return code;
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
    struct text_bytes text;   /* sound UTF-8 */
    struct text_bytes normal; /* a piece of it, normalised */
    struct bpe_work work;
};

static void encoding_free(struct encoding *e)
{
    token_ids_free(&e->ids);
    text_bytes_free(&e->text);
    text_bytes_free(&e->normal);
    bpe_work_free(&e->work);
}

/* Normalised text without added tokens: word by word. */
static int encode_words(struct encoding *e, const char *text, size_t bytes)
{
    for (size_t at = 0, wide; at < bytes; at += wide) {
        wide = e->tokenizer->word(text + at, bytes - at);
        TRY(byte_bpe_encode(&e->tokenizer->bpe, &e->work, text + at, wide, &e->ids));
    }
    return OK;
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
    e->normal.count = 0;
    TRY(e->tokenizer->normalizer == NORMALIZE_NFC ? unicode_compose(&e->normal, text, bytes)
                                                  : text_bytes_add(&e->normal, text, bytes));
    return encode_between_added(e, true, e->normal.bytes, e->normal.count, encode_words);
}

/* Keeps the first `most` ids. ending: ids at the end that are none of the user's text. */
static int tokens_keep(const struct tokenizer *tokenizer, struct tokens *tokens,
                       struct token_ids *ids, size_t most, size_t ending)
{
    size_t kept = most > 0 && ids->count > most ? most : ids->count;
    size_t text_end = ids->count > ending ? ids->count - ending : 0;
    if (kept < text_end)
        TRY(tokenizer_decode(tokenizer, &tokens->lost_text, NULL, ids->ids + kept,
                             (int)(text_end - kept)));
    tokens->ids = ids->ids;
    tokens->count = (int)kept;
    tokens->lost = (int)(ids->count - kept);
    *ids = (struct token_ids){0};
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

static int decode_token(const struct tokenizer *t, struct text_bytes *to, int id)
{
    const struct added_token *added = added_tokens_of_id(&t->added, id);
    const char *word = tokenizer_token(t, id);
    if (added) return added->special ? OK : text_bytes_add(to, added->text, added->bytes);
    if (word && t->kind == TOKENIZER_LABELS) return text_bytes_add(to, word, strlen(word));
    return word ? byte_letters_decode(to, word, strlen(word)) : OK;
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
    if (!whole) shown = LOST_SHOWN;
    while (shown > 0 && !whole && (tokens->lost_text[shown] & 0xC0) == 0x80)
        shown--; /* no part of a character */
    if (tokens->broken)
        log_warning("%s: %zu bytes are no UTF-8, each is read as U+FFFD", name, tokens->broken);
    if (shown > 0)
        log_warning("%s: the text encoder reads %d tokens, the last %d are lost: \"%.*s\"%s", name,
                    tokens->count, tokens->lost, (int)shown, tokens->lost_text,
                    whole ? "" : " ...");
    else if (tokens->lost)
        log_warning("%s: the text encoder reads %d tokens, the last %d, of its template, are lost",
                    name, tokens->count, tokens->lost);
}
