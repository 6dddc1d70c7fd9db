#include "diffusion/text/token_tables.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/json.h"
#include "base/parse_number.h"
#include "diffusion/text/token_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char token_none_label[] = "<none>", token_end[] = "<|endoftext|>";

enum { LABEL_NUMBER_BYTES = 16 };

/* ---- classes ---- */

int tokenizer_check_label(int row, const char *name)
{
    if (strcmp(name, token_none_label) == 0)
        return fail(ERR_DATA, "class %s: this name is that of no class; call it otherwise", name);
    if (row < TEXT_MOST_LABELS - 1) return OK;
    return fail(ERR_DATA, "class %.60s is one too many: there may be %d", name,
                TEXT_MOST_LABELS - 1);
}

static int labels_add(struct tokenizer *t, int count, const char *const *names)
{
    size_t bytes = sizeof token_none_label;
    char number[LABEL_NUMBER_BYTES];
    for (int row = 0; row < count; row++)
        bytes += names ? strlen(names[row]) : LABEL_NUMBER_BYTES;
    TRY(vocabulary_open(&t->words, count + 1, bytes));
    for (int row = 0; row < count; row++) {
        snprintf(number, sizeof number, "%d", row);
        const char *name = names ? names[row] : number;
        TRY(tokenizer_check_label(row, name));
        if (vocabulary_find(&t->words, name, strlen(name)) >= 0)
            return fail(ERR_DATA, "class %s stands twice", name);
        TRY(vocabulary_add(&t->words, row, name, strlen(name)));
    }
    t->kind = TOKENIZER_LABELS;
    t->none = count;
    return vocabulary_add(&t->words, count, token_none_label, sizeof token_none_label - 1);
}

int tokenizer_of_labels(struct tokenizer **tokenizer, int count, const char *const *names)
{
    *tokenizer = token_model_create();
    return *tokenizer ? token_model_filled(tokenizer, labels_add(*tokenizer, count, names))
                      : ERR_SYSTEM;
}

const char *tokenizer_label_name(const struct tokenizer *t, int row)
{
    bool is_class = t->kind == TOKENIZER_LABELS && row >= 0 && row < t->words.rows;
    return is_class && row != t->none ? t->words.words[row].text : NULL;
}

struct label_names tokenizer_label_names(const struct tokenizer *t)
{
    struct label_names names = {""};
    size_t used = 0, room = sizeof names.text - 5;
    for (int row = 0; row < t->words.rows; row++) {
        const char *label = tokenizer_label_name(t, row);
        if (!label) continue;
        if (used + strlen(label) + 2 > room) {
            strcpy(names.text + used, " ...");
            break;
        }
        used += (size_t)snprintf(names.text + used, room - used, "%s%s", used ? ", " : "", label);
    }
    return names;
}

int tokenizer_find_label(const struct tokenizer *t, const char *name)
{
    int row = t->kind == TOKENIZER_LABELS ? vocabulary_find(&t->words, name, strlen(name)) : -1;
    return row == t->none ? -1 : row;
}

int tokenizer_label(const struct tokenizer *t, const char *text, int *row)
{
    int64_t number;
    if (t->kind != TOKENIZER_LABELS)
        return fail(ERR_USAGE, "%.60s: this model has no classes, it reads --prompt", text);
    *row = tokenizer_find_label(t, text);
    if (*row >= 0) return OK;
    if (number_parse_int(text, &number) && number >= 0 && number < t->words.rows &&
        number != t->none) {
        *row = (int)number;
        return OK;
    }
    const struct label_names known = tokenizer_label_names(t);
    return fail(ERR_USAGE, "%.60s: no class of this model, which are %s", text, known.text);
}

/* ---- bytes ---- */

static int bytes_add(struct tokenizer *t)
{
    enum { ALL = TEXT_BYTE_ROWS * BYTE_LETTER_BYTES + sizeof token_end };
    TRY(vocabulary_open(&t->words, TEXT_BYTE_ROWS, ALL));
    for (int byte = 0; byte < 256; byte++) {
        char letter[BYTE_LETTER_BYTES];
        byte_letter(byte, letter);
        TRY(vocabulary_add(&t->words, byte, letter, strlen(letter)));
    }
    t->kind = TOKENIZER_BYTES;
    t->none = TEXT_BYTE_ROWS - 1;
    TRY(vocabulary_add(&t->words, t->none, token_end, sizeof token_end - 1));
    TRY(added_tokens_add(&t->added, token_end, t->none, false, true));
    return byte_bpe_open(&t->bpe, &t->words, "");
}

int tokenizer_of_bytes(struct tokenizer **tokenizer)
{
    *tokenizer = token_model_create();
    return *tokenizer ? token_model_filled(tokenizer, bytes_add(*tokenizer)) : ERR_SYSTEM;
}

int tokenizer_byte(const struct tokenizer *t, int byte)
{
    return t->kind == TOKENIZER_BYTES ? t->bpe.letters[byte] : -1;
}

/* ---- their files, as other programs read them ---- */

static void write_vocabulary(const struct tokenizer *t, FILE *out)
{
    for (int row = 0; row < t->words.rows; row++) {
        fputs(row ? ", " : "", out);
        json_write_string(out, t->words.words[row].text);
        fprintf(out, ": %d", row);
    }
}

static void write_tokenizer(const struct tokenizer *t, FILE *out)
{
    bool bytes = t->kind == TOKENIZER_BYTES;
    fprintf(out,
            "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n"
            "\"added_tokens\": [{\"id\": %d, \"content\": \"%s\", \"single_word\": false, "
            "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}],\n"
            "\"normalizer\": null, \"pre_tokenizer\": ",
            t->none, bytes ? token_end : token_none_label);
    if (bytes)
        fputs("{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, "
              "\"use_regex\": false},\n\"post_processor\": null, \"decoder\": {\"type\": "
              "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": "
              "true},\n\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
              "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": "
              "false, \"byte_fallback\": false, \"ignore_merges\": false,\n\"vocab\": {",
              out);
    else
        fputs("null,\n\"post_processor\": null, \"decoder\": null,\n"
              "\"model\": {\"type\": \"WordLevel\",\n\"vocab\": {",
              out);
    write_vocabulary(t, out);
    fprintf(out, "},\n%s}}\n", bytes ? "\"merges\": []" : "\"unk_token\": \"<none>\"");
}

int tokenizer_write(const struct tokenizer *tokenizer, const char *folder)
{
    struct printed_text printed = {.text = NULL};
    char *text = NULL, *path = path_join(folder, "tokenizer.json");
    char *config = path_join(folder, "tokenizer_config.json");
    bool bytes = tokenizer->kind == TOKENIZER_BYTES;
    FILE *out = path && config ? printed_text_open(&printed) : NULL;
    int code = out ? OK : fail(ERR_SYSTEM, "out of memory");
    if (!out) goto cleanup;
    write_tokenizer(tokenizer, out);
    TRY_CLEANUP(printed_text_close(&printed, out));
    TRY_CLEANUP(file_atomic_write_whole(path, printed.text, printed.bytes, false));
    const char *word = bytes ? token_end : token_none_label;
    text = string_format("{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"pad_token\": "
                         "\"%s\",\n\"%s\": \"%s\", \"model_max_length\": %d,\n\"chat_template\": "
                         "\"{{ messages[0].content }}\"}\n",
                         word, bytes ? "eos_token" : "unk_token", word, TEXT_MOST_ROWS);
    if (!text) TRY_CLEANUP(ERR_SYSTEM);
    TRY_CLEANUP(file_atomic_write_whole(config, text, strlen(text), false));
cleanup:
    free(printed.text);
    free(text);
    free(path);
    free(config);
    return code;
}
