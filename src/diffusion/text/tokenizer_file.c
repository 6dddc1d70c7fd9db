#include "diffusion/text/tokenizer_file.h"

#include "base/error.h"
#include "base/file.h"
#include "diffusion/text/token_tables.h"
#include "store/json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENIZER_MOST = 64 << 20, TOKENIZER_CONFIG_MOST = 4 << 20 };

static const cJSON *json_value(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

/* The member "type"; "" where there is none. */
static const char *type_of(const cJSON *object)
{
    const char *type = cJSON_GetStringValue(json_value(object, "type"));
    return type ? type : "";
}

/* An id; -1: it is none. */
static int id_of(const cJSON *item)
{
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
    return id >= 0.0 && id < VOCABULARY_MOST && id == (double)(int)id ? (int)id : -1;
}

/* ---- the model: words and merges ---- */

static int read_words(struct tokenizer *t, const cJSON *vocabulary)
{
    const cJSON *item;
    size_t bytes = 0;
    int last = -1;
    cJSON_ArrayForEach(item, vocabulary)
    {
        int id = id_of(item);
        if (id < 0)
            return fail(ERR_DATA, "vocab: %.60s: an id from 0 to %d is expected", item->string,
                        VOCABULARY_MOST - 1);
        if (id > last) last = id;
        bytes += strlen(item->string);
    }
    TRY(vocabulary_open(&t->words, last + 1, bytes));
    cJSON_ArrayForEach(item, vocabulary)
        TRY(vocabulary_add(&t->words, id_of(item), item->string, strlen(item->string)));
    return OK;
}

/* "left right", or ["left", "right"]. */
static int read_merge(struct tokenizer *t, const cJSON *item, int rank)
{
    const char *left = cJSON_GetStringValue(item), *right = left ? strchr(left, ' ') : NULL;
    size_t left_bytes = right ? (size_t)(right++ - left) : 0;
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
        left = cJSON_GetStringValue(item->child);
        right = cJSON_GetStringValue(item->child->next);
        left_bytes = left ? strlen(left) : 0;
    }
    if (!left || !right)
        return fail(ERR_DATA, "merge %d: \"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"] is expected",
                    rank + 1);
    return byte_bpe_add(&t->bpe, &t->words, rank, left, left_bytes, right, strlen(right));
}

/* Switches that would make other tokens of a text. */
static int refuse_switches(const cJSON *model, const char *path)
{
    static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    if (json_value(model, "dropout"))
        return fail(ERR_DATA, "%s: dropout is not computed here", path);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        bool on = false;
        TRY(json_file_bool(model, path, off[i], &on));
        if (on) return fail(ERR_DATA, "%s: %s is not computed here", path, off[i]);
    }
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        const char *text = "";
        TRY(json_file_string(model, path, empty[i], &text));
        if (*text) return fail(ERR_DATA, "%s: %s is not computed here", path, empty[i]);
    }
    return OK;
}

static int read_bpe(struct tokenizer *t, const cJSON *model)
{
    const cJSON *vocabulary = json_value(model, "vocab"), *merges = json_value(model, "merges"),
                *item;
    int rank = 0;
    TRY(refuse_switches(model, t->path));
    if (!cJSON_IsObject(vocabulary) || (merges && !cJSON_IsArray(merges)))
        return fail(ERR_DATA, "%s: vocab and merges are expected", t->path);
    t->kind = merges && merges->child ? TOKENIZER_BPE : TOKENIZER_BYTES;
    int code = read_words(t, vocabulary);
    if (code == OK) code = byte_bpe_open(&t->bpe, &t->words, "", cJSON_GetArraySize(merges));
    if (code == OK)
        cJSON_ArrayForEach(item, merges) if ((code = read_merge(t, item, rank++)) < 0) break;
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* Names of classes, numbered from 0 on; the one that stands for unknown words is that of no class.
 */
static int read_labels(struct tokenizer *t, const cJSON *model)
{
    const cJSON *vocabulary = json_value(model, "vocab");
    const char *none = token_none_label;
    t->kind = TOKENIZER_LABELS;
    TRY(json_file_string(model, t->path, "unk_token", &none));
    if (!cJSON_IsObject(vocabulary)) return fail(ERR_DATA, "%s: vocab is expected", t->path);
    int code = read_words(t, vocabulary);
    if (code < 0) return fail_within(code, "%s", t->path);
    t->none = vocabulary_find(&t->words, none, strlen(none));
    if (t->words.count < 1 || t->words.count > TEXT_MOST_LABELS || t->none < 0)
        return fail(ERR_DATA, "%s: 1 to %d words are expected, one of them %s", t->path,
                    TEXT_MOST_LABELS, none);
    if (t->words.count < t->words.rows)
        return fail(ERR_DATA, "%s: its words are not numbered from 0 on", t->path);
    return OK;
}

static int read_model(struct tokenizer *t, const cJSON *root)
{
    const cJSON *model = json_value(root, "model");
    if (strcmp(type_of(model), "BPE") == 0) return read_bpe(t, model);
    if (strcmp(type_of(model), "WordLevel") == 0) return read_labels(t, model);
    return fail(ERR_DATA, "%s: a tokenizer of type %.40s; BPE and WordLevel are read", t->path,
                *type_of(model) ? type_of(model) : "none");
}

/* ---- what happens to a text before ---- */

static int read_normalizer(struct tokenizer *t, const cJSON *root)
{
    const cJSON *normalizer = json_value(root, "normalizer");
    t->normalizer = NORMALIZE_NOTHING;
    if (!normalizer) return OK;
    if (strcmp(type_of(normalizer), "NFC") != 0)
        return fail(ERR_DATA, "%s: a normalizer of type %.40s; NFC is computed here", t->path,
                    type_of(normalizer));
    t->normalizer = NORMALIZE_NFC;
    return OK;
}

/* Bytes to letters, and nothing else. */
static int expect_byte_level(const cJSON *step, const char *path)
{
    bool prefix = true, regex = true;
    if (strcmp(type_of(step), "ByteLevel") != 0)
        return fail(ERR_DATA, "%s: a pre_tokenizer of type %.40s; ByteLevel is expected", path,
                    *type_of(step) ? type_of(step) : "none");
    TRY(json_file_bool(step, path, "add_prefix_space", &prefix));
    TRY(json_file_bool(step, path, "use_regex", &regex));
    if (prefix || regex)
        return fail(ERR_DATA, "%s: ByteLevel with a blank before or a pattern of its own", path);
    return OK;
}

static int read_split(struct tokenizer *t, const cJSON *step)
{
    const char *behavior = "",
               *pattern = cJSON_GetStringValue(json_value(json_value(step, "pattern"), "Regex"));
    bool invert = false;
    TRY(json_file_string(step, t->path, "behavior", &behavior));
    TRY(json_file_bool(step, t->path, "invert", &invert));
    t->word = pattern ? text_word_of_pattern(pattern) : NULL;
    if (strcmp(type_of(step), "Split") != 0 || !t->word || invert ||
        strcmp(behavior, "Isolated") != 0)
        return fail(ERR_DATA, "%s: its pre_tokenizer splits by another pattern than Qwen's",
                    t->path);
    return OK;
}

static int read_pre_tokenizer(struct tokenizer *t, const cJSON *root)
{
    const cJSON *pre = json_value(root, "pre_tokenizer"), *list = json_value(pre, "pretokenizers");
    t->word = text_word_whole;
    if (strcmp(type_of(pre), "Sequence") != 0) return expect_byte_level(pre, t->path);
    if (cJSON_GetArraySize(list) != 2)
        return fail(ERR_DATA, "%s: a pre_tokenizer of Split and ByteLevel is expected", t->path);
    TRY(read_split(t, list->child));
    return expect_byte_level(list->child->next, t->path);
}

/* ---- tokens that are cut out first ---- */

static int read_added_token(struct tokenizer *t, const cJSON *item)
{
    const char *text = cJSON_GetStringValue(json_value(item, "content"));
    static const char *const flags[] = {"normalized", "special", "single_word", "lstrip", "rstrip"};
    bool set[sizeof flags / sizeof *flags] = {false};
    int id = id_of(json_value(item, "id"));
    if (!text || id < 0)
        return fail(ERR_DATA, "%s: added_tokens: content and an id from 0 to %d are expected",
                    t->path, VOCABULARY_MOST - 1);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        TRY(json_file_bool(item, t->path, flags[i], &set[i]));
    for (size_t i = 2; i < sizeof flags / sizeof *flags; i++)
        if (set[i])
            return fail(ERR_DATA, "%s: the added token %.60s: %s is not computed here", t->path,
                        text, flags[i]);
    int known = vocabulary_find(&t->words, text, strlen(text));
    if (known >= 0 && known != id)
        return fail(ERR_DATA, "%s: the added token %.60s is %d, in its vocabulary %d", t->path,
                    text, id, known);
    return added_tokens_add(&t->added, text, id, set[0], set[1]);
}

static int read_added_tokens(struct tokenizer *t, const cJSON *root)
{
    const cJSON *list = json_value(root, "added_tokens"), *item;
    if (list && !cJSON_IsArray(list))
        return fail(ERR_DATA, "%s: added_tokens: a list is expected", t->path);
    cJSON_ArrayForEach(item, list) TRY(read_added_token(t, item));
    int code = added_tokens_sort(&t->added);
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* ---- the template of a conversation ---- */

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

/* tokenizer_config.json, else chat_template.jinja, in the folder of the tokenizer's file. */
static int read_chat(struct tokenizer *t, const char *folder)
{
    cJSON *config = NULL;
    uint8_t *text = NULL;
    size_t bytes;
    char *path = path_join(folder, "tokenizer_config.json");
    char *jinja = path_join(folder, "chat_template.jinja");
    const char *template = NULL;
    int code = path && jinja ? OK : ERR_SYSTEM;
    if (code == OK && file_exists(path)) {
        code = json_file_read(&config, path, TOKENIZER_CONFIG_MOST);
        if (code == OK) code = json_file_string(config, path, "chat_template", &template);
    }
    if (code == OK && !template && file_exists(jinja)) {
        code = file_read(jinja, TOKENIZER_CONFIG_MOST, &text, &bytes);
        template = (const char *)text;
    }
    if (code == OK && template) t->chat = chat_of_template(template);
    cJSON_Delete(config);
    free(text);
    free(path);
    free(jinja);
    return code;
}

/* ---- the file ---- */

static int tokenizer_parse(struct tokenizer *t, const cJSON *root)
{
    TRY(read_model(t, root));
    if (t->kind == TOKENIZER_LABELS) return OK;
    TRY(read_normalizer(t, root));
    TRY(read_pre_tokenizer(t, root));
    TRY(read_added_tokens(t, root));
    const struct added_token *end = added_tokens_named(&t->added, token_end);
    t->none = end ? end->id : vocabulary_find(&t->words, token_end, strlen(token_end));
    /* Of words or of composed text: the letters alone */
    if (t->kind == TOKENIZER_BYTES &&
        (t->normalizer != NORMALIZE_NOTHING || t->word != text_word_whole))
        t->kind = TOKENIZER_BPE;
    return OK;
}

int tokenizer_file_read(struct tokenizer *t, const char *path)
{
    cJSON *root = NULL;
    bool is_folder = file_is_dir(path);
    const char *slash = strrchr(path, '/');
    char *folder = is_folder ? string_format("%s", path)
                   : slash   ? string_format("%.*s", (int)(slash - path) + 1, path)
                             : string_format(".");
    t->path = is_folder ? path_join(path, "tokenizer.json") : string_format("%s", path);
    int code = folder && t->path ? json_file_read(&root, t->path, TOKENIZER_MOST) : ERR_SYSTEM;
    if (code == OK) code = tokenizer_parse(t, root);
    cJSON_Delete(root);
    if (code == OK) code = read_chat(t, folder);
    free(folder);
    return code;
}
