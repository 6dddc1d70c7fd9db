#include "diffusion/model/text_table.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/json.h"
#include "base/parse_number.h"
#include "base/utf8.h"
#include "store/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENIZER_MAX = 16 << 20, LETTER_BYTES = 5 };

static const char none_word[] = "<none>", end_word[] = "<|endoftext|>";

static int text_table_rows(struct text_table *table, enum text_kind kind, int rows, int none)
{
    *table = (struct text_table){.kind = kind, .rows = rows, .none = none};
    if (kind == TEXT_BYTES) return OK;
    table->labels = calloc((size_t)rows, sizeof *table->labels);
    return table->labels ? OK : fail(ERR_SYSTEM, "out of memory");
}

static int text_table_set_label(struct text_table *table, int row, const char *name)
{
    table->labels[row] = string_format("%s", name);
    return table->labels[row] ? OK : ERR_SYSTEM;
}

static int text_table_find(const struct text_table *table, const char *name)
{
    for (int row = 0; row < table->rows; row++)
        if (table->labels[row] && strcmp(table->labels[row], name) == 0) return row;
    return -1;
}

int text_table_check_label(int row, const char *name)
{
    if (strcmp(name, none_word) == 0)
        return fail(ERR_DATA, "class %s: this name is that of no class; call it otherwise", name);
    if (row < TEXT_MOST_LABELS - 1) return OK;
    return fail(ERR_DATA, "class %.60s is one too many: there may be %d", name,
                TEXT_MOST_LABELS - 1);
}

int text_table_of_labels(struct text_table *table, int count, const char *const *names)
{
    char number[16];
    TRY(text_table_rows(table, TEXT_LABELS, count + 1, count));
    for (int row = 0; row < count; row++) {
        snprintf(number, sizeof number, "%d", row);
        const char *name = names ? names[row] : number;
        TRY(text_table_check_label(row, name));
        if (text_table_find(table, name) >= 0) return fail(ERR_DATA, "class %s stands twice", name);
        TRY(text_table_set_label(table, row, name));
    }
    return OK;
}

void text_table_of_bytes(struct text_table *table)
{
    *table = (struct text_table){.kind = TEXT_BYTES, .rows = TEXT_BYTE_ROWS, .none = 256};
    for (int byte = 0; byte < 256; byte++)
        table->row_of_byte[byte] = byte;
}

void text_table_free(struct text_table *table)
{
    for (int row = 0; table->labels && row < table->rows; row++)
        free(table->labels[row]);
    free(table->labels);
    *table = (struct text_table){0};
}

/* ---- the tokenizer's file ---- */

/* The letter that byte-level tokenizers write for a byte: itself where it can be printed, else one
 * of those from U+0100 on. */
static void letter_of_byte(int byte, char letter[LETTER_BYTES])
{
    int code = 256;
    for (int b = 0; b <= byte; b++) {
        bool printed = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) {
            if (printed) code = b;
        } else if (!printed) {
            code++;
        }
    }
    if (code < 0x80)
        snprintf(letter, LETTER_BYTES, "%c", code);
    else
        snprintf(letter, LETTER_BYTES, "%c%c", 0xC0 | code >> 6, 0x80 | (code & 0x3F));
}

/* The row of a word of the vocabulary; -1: it has none. */
static int vocabulary_row(const cJSON *vocabulary, const char *word, int rows)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(vocabulary, word);
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
    return id >= 0.0 && id < rows && id == (double)(int)id ? (int)id : -1;
}

static int read_bytes(struct text_table *table, const cJSON *vocabulary, const char *path)
{
    int rows = cJSON_GetArraySize(vocabulary);
    text_table_of_bytes(table);
    table->rows = rows;
    table->none = vocabulary_row(vocabulary, end_word, rows);
    bool whole = rows == TEXT_BYTE_ROWS && table->none >= 0;
    for (int byte = 0; byte < 256; byte++) {
        char letter[LETTER_BYTES];
        letter_of_byte(byte, letter);
        table->row_of_byte[byte] = vocabulary_row(vocabulary, letter, rows);
        whole = whole && table->row_of_byte[byte] >= 0;
    }
    return whole ? OK
                 : fail(ERR_DATA, "%s: 256 bytes and %s are expected as its words", path, end_word);
}

static int text_table_read_labels(struct text_table *table, const cJSON *model,
                                  const cJSON *vocabulary, const char *path)
{
    const char *none = none_word;
    const cJSON *item;
    int rows = 0;
    cJSON_ArrayForEach(item, vocabulary) if (++rows > TEXT_MOST_LABELS) break;
    TRY(json_file_string(model, path, "unk_token", &none));
    int row = vocabulary_row(vocabulary, none, rows);
    if (rows < 1 || rows > TEXT_MOST_LABELS || row < 0)
        return fail(ERR_DATA, "%s: 1 to %d words are expected, one of them %s", path,
                    TEXT_MOST_LABELS, none_word);
    TRY(text_table_rows(table, TEXT_LABELS, rows, row));
    cJSON_ArrayForEach(item, vocabulary)
    {
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
        row = id >= 0.0 && id < rows && id == (double)(int)id ? (int)id : -1;
        if (row < 0 || table->labels[row])
            return fail(ERR_DATA, "%s: its words are not numbered from 0 on", path);
        TRY(text_table_set_label(table, row, item->string));
    }
    free(table->labels[table->none]);
    table->labels[table->none] = NULL;
    return OK;
}

static int text_table_parse(struct text_table *table, const cJSON *root, const char *path)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *vocabulary = cJSON_GetObjectItemCaseSensitive(model, "vocab");
    const cJSON *merges = cJSON_GetObjectItemCaseSensitive(model, "merges");
    const char *type = "none";
    TRY(json_file_string(model, path, "type", &type));
    if (strcmp(type, "WordLevel") == 0 && cJSON_IsObject(vocabulary))
        return text_table_read_labels(table, model, vocabulary, path);
    if (strcmp(type, "BPE") != 0 || !cJSON_IsObject(vocabulary))
        return fail(ERR_DATA,
                    "%s: a tokenizer of type %.40s; WordLevel (names of classes) and BPE "
                    "without merges (bytes) are read",
                    path, type);
    if (merges && merges->child)
        return fail(ERR_DATA, "%s: tokenizers with merges are not read yet", path);
    return read_bytes(table, vocabulary, path);
}

int text_table_read(struct text_table *table, const char *folder)
{
    cJSON *root = NULL;
    *table = (struct text_table){0};
    char *path = path_join(folder, "tokenizer.json");
    int code = path ? json_file_read(&root, path, TOKENIZER_MAX) : ERR_SYSTEM;
    if (code == OK) code = text_table_parse(table, root, path);
    cJSON_Delete(root);
    free(path);
    return code;
}

static void write_vocabulary(const struct text_table *table, FILE *out)
{
    for (int row = 0; row < table->rows; row++) {
        char letter[LETTER_BYTES];
        const char *word = table->kind == TEXT_BYTES ? end_word : none_word;
        if (table->kind == TEXT_LABELS && row != table->none) word = table->labels[row];
        for (int byte = 0; table->kind == TEXT_BYTES && byte < 256; byte++)
            if (table->row_of_byte[byte] == row) {
                letter_of_byte(byte, letter);
                word = letter;
            }
        fputs(row ? ", " : "", out);
        json_write_string(out, word);
        fprintf(out, ": %d", row);
    }
}

static void write_tokenizer(const struct text_table *table, FILE *out)
{
    bool bytes = table->kind == TEXT_BYTES;
    fprintf(out,
            "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n"
            "\"added_tokens\": [{\"id\": %d, \"content\": \"%s\", \"single_word\": false, "
            "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}],\n"
            "\"normalizer\": null, \"pre_tokenizer\": ",
            table->none, bytes ? end_word : none_word);
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
    write_vocabulary(table, out);
    fprintf(out, "},\n%s}}\n", bytes ? "\"merges\": []" : "\"unk_token\": \"<none>\"");
}

int text_table_write(const struct text_table *table, const char *folder)
{
    struct printed_text table_text = {.text = NULL};
    char *text = NULL, *path = path_join(folder, "tokenizer.json");
    char *config = path_join(folder, "tokenizer_config.json");
    FILE *out = path && config ? printed_text_open(&table_text) : NULL;
    int code = out ? OK : fail(ERR_SYSTEM, "out of memory");
    if (!out) goto cleanup;
    write_tokenizer(table, out);
    TRY_CLEANUP(printed_text_close(&table_text, out));
    TRY_CLEANUP(file_atomic_write_whole(path, table_text.text, table_text.bytes, false));
    const char *word = table->kind == TEXT_BYTES ? end_word : none_word;
    text = string_format("{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"pad_token\": "
                         "\"%s\",\n\"%s\": \"%s\", \"model_max_length\": %d,\n\"chat_template\": "
                         "\"{{ messages[0].content }}\"}\n",
                         word, table->kind == TEXT_BYTES ? "eos_token" : "unk_token", word,
                         TEXT_MOST_ROWS);
    if (!text) TRY_CLEANUP(ERR_SYSTEM);
    TRY_CLEANUP(file_atomic_write_whole(config, text, strlen(text), false));
cleanup:
    free(table_text.text);
    free(text);
    free(path);
    free(config);
    return code;
}

/* ---- prompts ---- */

struct text_names text_table_names(const struct text_table *table)
{
    struct text_names names = {""};
    size_t used = 0, room = sizeof names.text - 5;
    for (int row = 0; row < table->rows; row++) {
        const char *label = table->labels ? table->labels[row] : NULL;
        if (!label) continue;
        if (used + strlen(label) + 2 > room) {
            strcpy(names.text + used, " ...");
            break;
        }
        used += (size_t)snprintf(names.text + used, room - used, "%s%s", used ? ", " : "", label);
    }
    return names;
}

int text_table_label(const struct text_table *table, const char *text, int *row)
{
    int64_t number;
    if (table->kind != TEXT_LABELS)
        return fail(ERR_USAGE, "%.60s: this model has no classes, it reads --prompt", text);
    *row = text_table_find(table, text);
    if (*row >= 0) return OK;
    if (number_parse_int(text, &number) && number >= 0 && number < table->rows &&
        number != table->none) {
        *row = (int)number;
        return OK;
    }
    const struct text_names known = text_table_names(table);
    return fail(ERR_USAGE, "%.60s: no class of this model, which are %s", text, known.text);
}

/* Whole characters, as many as there is room for. */
static int encode_bytes(const struct text_table *table, const char *text, size_t bytes, int *rows,
                        size_t *lost)
{
    size_t count = 0, wide;
    for (; count < bytes; count += wide) {
        wide = utf8_length(text + count, bytes - count);
        if (wide == 0) wide = 1;
        if (count + wide > TEXT_MOST_ROWS) break;
        for (size_t k = 0; k < wide; k++)
            rows[count + k] = table->row_of_byte[(unsigned char)text[count + k]];
    }
    *lost = bytes - count;
    return (int)count;
}

int text_table_encode(const struct text_table *table, const char *text, size_t bytes, int *rows,
                      int *count, size_t *lost)
{
    *count = 1;
    *lost = 0;
    if (table->kind == TEXT_LABELS) {
        if (bytes == 0) return fail(ERR_USAGE, "an empty prompt names no class of this model");
        return text_table_label(table, text, rows);
    }
    if (bytes == 0)
        rows[0] = table->none;
    else
        *count = encode_bytes(table, text, bytes, rows, lost);
    return OK;
}
