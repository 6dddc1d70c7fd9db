#include "diffusion/text/tokenizer_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "diffusion/text/spiece_file.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/tokenizer_json.h"
#include "store/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENIZER_CONFIG_MOST = 4 << 20, EXTRA_IDS = 100, EXTRA_IDS_MOST = 10000 };

/* A tokenizer on its way. */
struct tokenizer_files {
    struct tokenizer *t;
    const char *folder;
    char *config_path;
    cJSON *config; /* NULL: there is none */
};

/* A string of tokenizer_config.json, also where it stands as {"content": "..."}; NULL: none. */
static const char *config_text(const struct tokenizer_files *files, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(files->config, key);
    const char *text = cJSON_GetStringValue(item);
    return text ? text : cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "content"));
}

/* ---- without tokenizer.json: what transformers makes of the other files ---- */

/* "added_tokens_decoder": {"ID": {"content": ...}, ...}; NULL: there is none. */
static const cJSON *config_decoder(const struct tokenizer_files *files)
{
    return json_file_member(files->config, "added_tokens_decoder");
}

static int read_decoder(struct tokenizer_files *files, const cJSON *decoder)
{
    const cJSON *item;
    if (decoder && !cJSON_IsObject(decoder)) /* items of a list have no names */
        return fail(ERR_DATA, "%s: added_tokens_decoder: an object is expected",
                    files->config_path);
    cJSON_ArrayForEach(item, decoder)
    {
        int64_t id;
        if (!number_parse_int(item->string, &id) || id < 0 || id >= VOCABULARY_MOST) id = -1;
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "content"));
        if (text && added_tokens_named(&files->t->added, text)) continue;
        int code = tokenizer_json_added(files->t, item, (int)id);
        if (code < 0) return fail_within(code, "%s", files->config_path);
    }
    return OK;
}

static int add_named(struct tokenizer *t, const char *word)
{
    int id = vocabulary_find(&t->words, word, strlen(word));
    if (id < 0) return fail(ERR_DATA, "%s: the word %.40s is missing", t->path, word);
    if (added_tokens_named(&t->added, word)) return OK;
    int code = added_tokens_add(&t->added, word, id, false, true);
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* CLIP's: lower case, words that end with a suffix, an end token before and behind. */
static int make_clip(struct tokenizer_files *files)
{
    static const enum text_step steps[] = {TEXT_STEP_COMPOSE, TEXT_STEP_ONE_BLANK, TEXT_STEP_LOWER};
    struct tokenizer *t = files->t;
    const char *first = config_text(files, "bos_token"), *last = config_text(files, "eos_token");
    if (!first) first = "<|startoftext|>";
    if (!last) last = token_end;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        TRY(text_normalizer_add(&t->normalizer, steps[i]));
    t->word = text_word_clip;
    t->inner = text_word_gpt2;
    t->drops_spaces = true;
    TRY(add_named(t, first));
    TRY(add_named(t, last));
    t->before = (struct token_frame){{tokenizer_json_find(t, first)}, 1};
    t->after = (struct token_frame){{tokenizer_json_find(t, last)}, 1};
    return OK;
}

static int make_qwen(struct tokenizer *t)
{
    t->word = text_word_qwen;
    return text_normalizer_add(&t->normalizer, TEXT_STEP_COMPOSE);
}

/* Lines of "LEFT RIGHT", by rank; the first may say "#version: ...". */
static int read_merges(struct tokenizer *t, char *text)
{
    int rank = 0, number = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        bool is_version = number++ == 0 && strncmp(line, "#version", 8) == 0;
        if (is_version || !*line) continue;
        char *right = strchr(line, ' ');
        if (!right) return fail(ERR_DATA, "%s:%d: LEFT RIGHT is expected", t->path, number);
        int code = byte_bpe_add(&t->bpe, &t->words, rank++, line, (size_t)(right - line), right + 1,
                                strlen(right + 1));
        if (code < 0) return fail_within(code, "%s:%d", t->path, number);
    }
    return OK;
}

static int read_merges_file(struct tokenizer_files *files)
{
    struct tokenizer *t = files->t;
    uint8_t *text;
    size_t bytes;
    free(t->path);
    t->path = path_join(files->folder, "merges.txt");
    if (!t->path) return ERR_SYSTEM;
    TRY(file_read(t->path, TOKENIZER_FILE_MOST, &text, &bytes));
    int code = strlen((char *)text) == bytes
                   ? read_merges(t, (char *)text)
                   : fail(ERR_DATA, "%s: a zero byte, or damaged", t->path);
    free(text);
    return code;
}

/* vocab.json, which t->path is, and merges.txt. Words that end with </w> are CLIP's. */
static int read_vocab(struct tokenizer_files *files)
{
    static const char suffix[] = "</w>";
    struct tokenizer *t = files->t;
    const char *class = config_text(files, "tokenizer_class");
    cJSON *root;
    TRY(json_file_read(&root, t->path, TOKENIZER_FILE_MOST));
    int code = tokenizer_json_words(t, root);
    cJSON_Delete(root);
    TRY(code);
    bool is_clip = vocabulary_find(&t->words, "a</w>", 5) >= 0;
    if (class && strncmp(class, is_clip ? "CLIPTokenizer" : "Qwen2Tokenizer", is_clip ? 13 : 14))
        return fail(ERR_DATA,
                    "%s: tokenizer_class %.60s: vocab.json is read of CLIPTokenizer and "
                    "Qwen2Tokenizer",
                    files->config_path, class);
    t->kind = TOKENIZER_BPE;
    if (is_clip) strcpy(t->suffix, suffix);
    code = byte_bpe_open(&t->bpe, &t->words, t->suffix);
    if (code < 0) return fail_within(code, "%s", t->path);
    TRY(read_decoder(files, config_decoder(files)));
    TRY(is_clip ? make_clip(files) : make_qwen(t));
    return read_merges_file(files);
}

/* <extra_id_N>, the last first, behind all pieces. */
static int add_extra_ids(struct tokenizer_files *files)
{
    struct tokenizer *t = files->t;
    char name[32];
    int count = EXTRA_IDS, pieces = t->words.rows;
    TRY(json_file_int(files->config, files->config_path, "extra_ids", 0, EXTRA_IDS_MOST, &count));
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "<extra_id_%d>", count - 1 - i);
        if (vocabulary_find(&t->words, name, strlen(name)) >= 0) continue;
        int code = added_tokens_add(&t->added, name, pieces + i, false, true);
        if (code < 0) return fail_within(code, "%s", t->path);
    }
    return OK;
}

static int read_spiece(struct tokenizer_files *files)
{
    struct tokenizer *t = files->t;
    const cJSON *decoder = config_decoder(files);
    const char *last = config_text(files, "eos_token");
    if (!last) last = "</s>";
    TRY(spiece_file_read(t));
    TRY(decoder ? read_decoder(files, decoder) : add_extra_ids(files));
    int id = tokenizer_json_find(t, last);
    if (id < 0) return fail(ERR_DATA, "%s: the piece %.40s is missing", t->path, last);
    t->after = (struct token_frame){{id}, 1};
    return OK;
}

/* ---- which files ---- */

static const char vocab_name[] = "vocab.json";

const char *tokenizer_file_of(const char *folder)
{
    if (file_exists_in(folder, "tokenizer.json")) return "tokenizer.json";
    if (file_exists_in(folder, vocab_name) && file_exists_in(folder, "merges.txt"))
        return vocab_name;
    return file_exists_in(folder, "spiece.model") ? "spiece.model" : NULL;
}

static bool is_spiece(const char *path)
{
    size_t bytes = strlen(path);
    return bytes > 6 && strcmp(path + bytes - 6, ".model") == 0;
}

static int read_files(struct tokenizer_files *files, const char *path, bool is_folder)
{
    struct tokenizer *t = files->t;
    const char *name = is_folder ? tokenizer_file_of(path) : NULL;
    if (file_exists(files->config_path))
        TRY(json_file_read(&files->config, files->config_path, TOKENIZER_CONFIG_MOST));
    if (is_folder && !name)
        return fail(ERR_INPUT,
                    "%s: no tokenizer.json, no vocab.json with merges.txt and no spiece.model",
                    path);
    t->path = name ? path_join(path, name) : string_format("%s", path);
    if (!t->path) return ERR_SYSTEM;
    if (name != vocab_name && !is_spiece(t->path)) return tokenizer_json_read(t);
    TRY(name == vocab_name ? read_vocab(files) : read_spiece(files));
    int code = added_tokens_sort(&t->added);
    t->none = tokenizer_json_find(t, token_end);
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* ---- what tokenizer_config.json says of any ---- */

/* Of all templates these are told apart by what stands in them: that of Qwen3, which says nothing
 * before the first message, from that of Qwen2, which does. */
static enum token_chat chat_of_template(const char *template)
{
    static const char *const marks[] = {
        "'<|im_start|>' + message.role + '\\n' + content + '<|im_end|>'",
        "'<|im_start|>assistant\\n'", "add_generation_prompt", "enable_thinking"};
    if (strcmp(template, "{{ messages[0].content }}") == 0) return CHAT_PLAIN;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (!strstr(template, marks[i])) return CHAT_UNKNOWN;
    return CHAT_QWEN;
}

/* The template of a conversation: there, else in chat_template.jinja. */
static int read_chat(struct tokenizer_files *files)
{
    const char *template = NULL;
    uint8_t *text = NULL;
    size_t bytes;
    TRY(json_file_string(files->config, files->config_path, "chat_template", &template));
    char *path = path_join(files->folder, "chat_template.jinja");
    int code = path ? OK : ERR_SYSTEM;
    if (code == OK && !template && file_exists(path)) {
        code = file_read(path, TOKENIZER_CONFIG_MOST, &text, &bytes);
        template = (const char *)text;
    }
    if (code == OK && template) files->t->chat = chat_of_template(template);
    free(text);
    free(path);
    return code;
}

static int read_config(struct tokenizer_files *files)
{
    struct tokenizer *t = files->t;
    const cJSON *most = cJSON_GetObjectItemCaseSensitive(files->config, "model_max_length");
    const char *pad = config_text(files, "pad_token");
    /* where nobody knows, transformers writes 1e30 */
    if (cJSON_IsNumber(most) && most->valuedouble >= 1 && most->valuedouble <= TOKENIZER_FILE_MOST)
        t->most = (int)most->valuedouble;
    if (pad) t->pad = tokenizer_json_find(t, pad);
    return read_chat(files);
}

int tokenizer_file_read(struct tokenizer *t, const char *path)
{
    bool is_folder = file_is_dir(path);
    const char *slash = strrchr(path, '/');
    char *folder = is_folder ? string_format("%s", path)
                   : slash   ? string_format("%.*s", (int)(slash - path) + 1, path)
                             : string_format(".");
    struct tokenizer_files files = {.t = t, .folder = folder};
    files.config_path = folder ? path_join(folder, "tokenizer_config.json") : NULL;
    int code = files.config_path ? OK : ERR_SYSTEM;
    if (code == OK) code = read_files(&files, path, is_folder);
    if (code == OK) code = read_config(&files);
    cJSON_Delete(files.config);
    free(files.config_path);
    free(folder);
    return code;
}
