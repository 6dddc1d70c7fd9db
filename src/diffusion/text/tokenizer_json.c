#include "diffusion/text/tokenizer_json.h"

#include "base/base64.h"
#include "base/error.h"
#include "diffusion/text/token_tables.h"
#include "store/json_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The member "type"; "none" where there is none. */
static const char *type_of(const cJSON *object)
{
    const char *type = cJSON_GetStringValue(json_file_member(object, "type"));
    return type ? type : "none";
}

static bool type_is(const cJSON *object, const char *type)
{
    return strcmp(type_of(object), type) == 0;
}

/* {"Regex": "..."} or {"String": "..."}; NULL: neither. */
static const char *pattern_of(const cJSON *step)
{
    const cJSON *pattern = json_file_member(step, "pattern");
    const char *regex = cJSON_GetStringValue(json_file_member(pattern, "Regex"));
    return regex ? regex : cJSON_GetStringValue(json_file_member(pattern, "String"));
}

int tokenizer_json_id(const cJSON *item)
{
    double id = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
    return id >= 0.0 && id < VOCABULARY_MOST && id == (double)(int)id ? (int)id : -1;
}

int tokenizer_json_find(const struct tokenizer *t, const char *word)
{
    const struct added_token *added = added_tokens_named(&t->added, word);
    return added ? added->id : vocabulary_find(&t->words, word, strlen(word));
}

/* ---- the model: words, merges, scores ---- */

int tokenizer_json_words(struct tokenizer *t, const cJSON *vocabulary)
{
    const cJSON *item;
    size_t bytes = 0;
    int last = -1, code = OK;
    cJSON_ArrayForEach(item, vocabulary)
    {
        int id = tokenizer_json_id(item);
        if (id < 0)
            return fail(ERR_DATA, "%s: vocab: %.60s: an id from 0 to %d is expected", t->path,
                        item->string, VOCABULARY_MOST - 1);
        if (id > last) last = id;
        bytes += strlen(item->string);
    }
    TRY(vocabulary_open(&t->words, last + 1, bytes));
    cJSON_ArrayForEach(item, vocabulary)
    {
        code =
            vocabulary_add(&t->words, tokenizer_json_id(item), item->string, strlen(item->string));
        if (code < 0) return fail_within(code, "%s", t->path);
    }
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
static int refuse_switches(const struct tokenizer *t, const cJSON *model)
{
    static const char *const off[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    const char *prefix = "";
    if (json_file_member(model, "dropout"))
        return fail(ERR_DATA, "%s: dropout is not computed here", t->path);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        bool on = false;
        TRY(json_file_bool(model, t->path, off[i], &on));
        if (on) return fail(ERR_DATA, "%s: %s is not computed here", t->path, off[i]);
    }
    TRY(json_file_string(model, t->path, "continuing_subword_prefix", &prefix));
    if (!*prefix) return OK;
    return fail(ERR_DATA, "%s: continuing_subword_prefix is not computed here", t->path);
}

static int read_bpe(struct tokenizer *t, const cJSON *model)
{
    const cJSON *vocabulary = json_file_member(model, "vocab"),
                *merges = json_file_member(model, "merges");
    const cJSON *item;
    const char *suffix = "";
    int rank = 0;
    TRY(refuse_switches(t, model));
    TRY(json_file_string(model, t->path, "end_of_word_suffix", &suffix));
    if (!cJSON_IsObject(vocabulary) || (merges && !cJSON_IsArray(merges)))
        return fail(ERR_DATA, "%s: vocab and merges are expected", t->path);
    if (strlen(suffix) >= sizeof t->suffix)
        return fail(ERR_DATA, "%s: end_of_word_suffix %.40s is too long", t->path, suffix);
    strcpy(t->suffix, suffix);
    t->kind = merges && merges->child ? TOKENIZER_BPE : TOKENIZER_BYTES;
    TRY(tokenizer_json_words(t, vocabulary));
    int code = byte_bpe_open(&t->bpe, &t->words, suffix);
    if (code == OK)
        cJSON_ArrayForEach(item, merges) if ((code = read_merge(t, item, rank++)) < 0) break;
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* [["PIECE", SCORE], ...]: the place of a piece is its id. */
static int read_pieces(struct tokenizer *t, const cJSON *list, double *scores)
{
    const cJSON *item;
    size_t bytes = 0;
    int id = 0;
    cJSON_ArrayForEach(item, list)
    {
        const char *piece = cJSON_IsArray(item) ? cJSON_GetStringValue(item->child) : NULL;
        const cJSON *score = piece ? item->child->next : NULL;
        if (!cJSON_IsNumber(score) || !isfinite(score->valuedouble))
            return fail(ERR_DATA, "%s: vocab: piece %d: [\"PIECE\", SCORE] is expected", t->path,
                        id);
        scores[id++] = score->valuedouble;
        bytes += strlen(piece);
    }
    TRY(vocabulary_open(&t->words, id, bytes));
    id = 0;
    cJSON_ArrayForEach(item, list)
    {
        const char *piece = item->child->valuestring;
        int code = vocabulary_add(&t->words, id++, piece, strlen(piece));
        if (code < 0) return fail_within(code, "%s", t->path);
    }
    return OK;
}

static int read_unigram(struct tokenizer *t, const cJSON *model)
{
    const cJSON *list = json_file_member(model, "vocab");
    int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    int unknown = tokenizer_json_id(json_file_member(model, "unk_id"));
    bool falls_back = false;
    TRY(json_file_bool(model, t->path, "byte_fallback", &falls_back));
    if (falls_back) return fail(ERR_DATA, "%s: byte_fallback is not computed here", t->path);
    if (count < 1 || count > VOCABULARY_MOST)
        return fail(ERR_DATA, "%s: vocab: a list of 1 to %d pieces is expected", t->path,
                    VOCABULARY_MOST);
    if (unknown < 0 || unknown >= count)
        return fail(ERR_DATA, "%s: unk_id: the number of a piece is expected", t->path);
    double *scores = malloc((size_t)count * sizeof *scores);
    if (!scores) return fail(ERR_SYSTEM, "out of memory");
    int code = read_pieces(t, list, scores);
    if (code == OK) return unigram_open(&t->unigram, &t->words, scores, unknown);
    free(scores);
    return code;
}

/* Names of classes, numbered from 0 on; the one that stands for unknown words is that of no class.
 */
static int read_labels(struct tokenizer *t, const cJSON *model)
{
    const cJSON *vocabulary = json_file_member(model, "vocab");
    const char *none = token_none_label;
    TRY(json_file_string(model, t->path, "unk_token", &none));
    if (!cJSON_IsObject(vocabulary)) return fail(ERR_DATA, "%s: vocab is expected", t->path);
    TRY(tokenizer_json_words(t, vocabulary));
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
    const cJSON *model = json_file_member(root, "model");
    if (type_is(model, "BPE")) return read_bpe(t, model);
    t->kind = TOKENIZER_UNIGRAM;
    if (type_is(model, "Unigram")) return read_unigram(t, model);
    t->kind = TOKENIZER_LABELS;
    if (type_is(model, "WordLevel")) return read_labels(t, model);
    return fail(ERR_DATA, "%s: a tokenizer of type %.40s; BPE, Unigram and WordLevel are read",
                t->path, type_of(model));
}

/* ---- what becomes of a text before ---- */

static int read_charsmap(struct tokenizer *t, const cJSON *step)
{
    const char *text = cJSON_GetStringValue(json_file_member(step, "precompiled_charsmap"));
    size_t bytes = 0;
    if (!text || t->normalizer.charsmap.units)
        return fail(ERR_DATA, "%s: one precompiled_charsmap is expected", t->path);
    char *data = base64_decode(text, &bytes);
    if (!data && bytes == (size_t)-1)
        return fail(ERR_DATA, "%s: precompiled_charsmap is no base64", t->path);
    if (!data) return fail(ERR_SYSTEM, "out of memory");
    int code = charsmap_open(&t->normalizer.charsmap, (const uint8_t *)data, bytes);
    if (code == OK) code = text_normalizer_add(&t->normalizer, TEXT_STEP_CHARSMAP);
    free(data);
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

static int read_replace(struct tokenizer *t, const cJSON *step)
{
    static const struct {
        const char *pattern, *content;
        enum text_step step;
    } known[] = {{"\\s+", " ", TEXT_STEP_ONE_BLANK},
                 {" {2,}", TEXT_BAR, TEXT_STEP_BLANKS_TO_BAR},
                 {" {2,}", " ", TEXT_STEP_BLANKS_TO_ONE}};
    const char *pattern = pattern_of(step);
    const char *content = cJSON_GetStringValue(json_file_member(step, "content"));
    for (size_t i = 0; pattern && content && i < sizeof known / sizeof *known; i++)
        if (strcmp(pattern, known[i].pattern) == 0 && strcmp(content, known[i].content) == 0)
            return text_normalizer_add(&t->normalizer, known[i].step);
    return fail(ERR_DATA, "%s: its normalizer replaces %.40s by \"%.20s\": not computed here",
                t->path, pattern ? pattern : "nothing", content ? content : "");
}

static int read_strip(struct tokenizer *t, const cJSON *step)
{
    bool left = true, right = true;
    TRY(json_file_bool(step, t->path, "strip_left", &left));
    TRY(json_file_bool(step, t->path, "strip_right", &right));
    if (!left && right) return text_normalizer_add(&t->normalizer, TEXT_STEP_STRIP_END);
    return fail(ERR_DATA, "%s: Strip at the beginning is not computed here", t->path);
}

static int read_step(struct tokenizer *t, const cJSON *step)
{
    if (type_is(step, "NFC")) return text_normalizer_add(&t->normalizer, TEXT_STEP_COMPOSE);
    if (type_is(step, "Lowercase")) return text_normalizer_add(&t->normalizer, TEXT_STEP_LOWER);
    if (type_is(step, "Precompiled")) return read_charsmap(t, step);
    if (type_is(step, "Replace")) return read_replace(t, step);
    if (type_is(step, "Strip")) return read_strip(t, step);
    return fail(ERR_DATA, "%s: a normalizer of type %.40s is not computed here", t->path,
                type_of(step));
}

static int read_normalizer(struct tokenizer *t, const cJSON *root)
{
    const cJSON *normalizer = json_file_member(root, "normalizer"), *step;
    if (!normalizer) return OK;
    if (!type_is(normalizer, "Sequence")) return read_step(t, normalizer);
    if (cJSON_GetArraySize(json_file_member(normalizer, "normalizers")) > TEXT_STEPS_MOST)
        return fail(ERR_DATA, "%s: more than %d normalizers", t->path, TEXT_STEPS_MOST);
    cJSON_ArrayForEach(step, json_file_member(normalizer, "normalizers")) TRY(read_step(t, step));
    return OK;
}

/* ---- words ---- */

/* Bytes to letters; *regex: GPT-2's words before. */
static int read_byte_level(const struct tokenizer *t, const cJSON *step, bool *regex)
{
    bool prefix = true;
    *regex = true;
    if (!type_is(step, "ByteLevel"))
        return fail(ERR_DATA, "%s: a pre_tokenizer of type %.40s; ByteLevel is expected", t->path,
                    type_of(step));
    TRY(json_file_bool(step, t->path, "add_prefix_space", &prefix));
    TRY(json_file_bool(step, t->path, "use_regex", regex));
    if (!prefix) return OK;
    return fail(ERR_DATA, "%s: ByteLevel with add_prefix_space is not computed here", t->path);
}

static int read_split(struct tokenizer *t, const cJSON *step)
{
    const char *behavior = "", *pattern = pattern_of(step);
    bool invert = false;
    TRY(json_file_string(step, t->path, "behavior", &behavior));
    TRY(json_file_bool(step, t->path, "invert", &invert));
    t->word = pattern ? text_word_of_pattern(pattern) : NULL;
    t->drops_spaces = t->word != text_word_qwen;
    if (type_is(step, "Split") && t->word && invert == t->drops_spaces &&
        strcmp(behavior, invert ? "Removed" : "Isolated") == 0)
        return OK;
    return fail(ERR_DATA, "%s: its pre_tokenizer splits otherwise than Qwen's or CLIP's", t->path);
}

static int read_bpe_words(struct tokenizer *t, const cJSON *pre)
{
    const cJSON *list = json_file_member(pre, "pretokenizers");
    bool regex;
    if (!type_is(pre, "Sequence")) {
        TRY(read_byte_level(t, pre, &regex));
        t->word = regex ? text_word_gpt2 : text_word_whole;
        return OK;
    }
    if (cJSON_GetArraySize(list) != 2)
        return fail(ERR_DATA, "%s: a pre_tokenizer of Split and ByteLevel is expected", t->path);
    TRY(read_split(t, list->child));
    TRY(read_byte_level(t, list->child->next, &regex));
    t->inner = regex ? text_word_gpt2 : NULL;
    return OK;
}

static int read_unigram_words(struct tokenizer *t, const cJSON *pre)
{
    const cJSON *list = json_file_member(pre, "pretokenizers");
    const char *bar = TEXT_BAR, *scheme = "always";
    bool prefix = true, split = true;
    if (type_is(pre, "Sequence") && cJSON_GetArraySize(list) == 2 &&
        type_is(list->child, "WhitespaceSplit")) {
        t->splits_spaces = true;
        pre = list->child->next;
    }
    TRY(json_file_string(pre, t->path, "replacement", &bar));
    TRY(json_file_string(pre, t->path, "prepend_scheme", &scheme));
    TRY(json_file_bool(pre, t->path, "add_prefix_space", &prefix));
    TRY(json_file_bool(pre, t->path, "split", &split));
    if (type_is(pre, "Metaspace") && prefix && split && strcmp(bar, TEXT_BAR) == 0 &&
        strcmp(scheme, "always") == 0)
        return OK;
    return fail(ERR_DATA, "%s: a pre_tokenizer of Metaspace before every word is expected",
                t->path);
}

/* ---- tokens that are cut out first, and those around a text ---- */

int tokenizer_json_added(struct tokenizer *t, const cJSON *item, int id)
{
    static const char *const flags[] = {"normalized", "special", "single_word", "lstrip", "rstrip"};
    const char *text = cJSON_GetStringValue(json_file_member(item, "content"));
    bool set[sizeof flags / sizeof *flags] = {false};
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
    int code = added_tokens_add(&t->added, text, id, set[0], set[1]);
    return code < 0 ? fail_within(code, "%s", t->path) : OK;
}

/* One that is looked for in normalised text, and would not be found there as it is written. */
static int refuse_changed_token(const struct tokenizer *t, const struct added_token *token)
{
    struct text_bytes normal = {0}, spare = {0};
    int code = text_normalize(&t->normalizer, &normal, &spare, token->text, token->bytes);
    if (code == OK &&
        (normal.count != token->bytes || memcmp(normal.bytes, token->text, token->bytes) != 0))
        code = fail(ERR_DATA,
                    "%s: the added token %.60s is another text once it is normalised: "
                    "not computed here",
                    t->path, token->text);
    text_bytes_free(&normal);
    text_bytes_free(&spare);
    return code;
}

static int read_added_tokens(struct tokenizer *t, const cJSON *root)
{
    const cJSON *list = json_file_member(root, "added_tokens"), *item;
    if (list && !cJSON_IsArray(list))
        return fail(ERR_DATA, "%s: added_tokens: a list is expected", t->path);
    cJSON_ArrayForEach(item, list)
        TRY(tokenizer_json_added(t, item, tokenizer_json_id(json_file_member(item, "id"))));
    int code = added_tokens_sort(&t->added);
    if (code < 0) return fail_within(code, "%s", t->path);
    for (size_t i = 0; i < t->added.count; i++)
        if (t->added.list[i].normalized) TRY(refuse_changed_token(t, &t->added.list[i]));
    return OK;
}

static int frame_add(const struct tokenizer *t, struct token_frame *frame, const cJSON *item)
{
    int id = tokenizer_json_id(item);
    bool is_word = id >= 0 && id < t->words.rows && t->words.words[id].text;
    if (frame->count == TOKEN_FRAME_MOST || (!is_word && !added_tokens_of_id(&t->added, id)))
        return fail(ERR_DATA, "%s: post_processor: up to %d ids of tokens are expected", t->path,
                    TOKEN_FRAME_MOST);
    frame->ids[frame->count++] = id;
    return OK;
}

/* {"single": [{"SpecialToken": {"id": NAME}}, {"Sequence": ...}, ...], "special_tokens": {NAME:
 * {"ids": [...]}}} */
static int read_template(struct tokenizer *t, const cJSON *processor)
{
    const cJSON *names = json_file_member(processor, "special_tokens"), *part, *id;
    struct token_frame *frame = &t->before;
    cJSON_ArrayForEach(part, json_file_member(processor, "single"))
    {
        if (json_file_member(part, "Sequence")) {
            frame = &t->after;
            continue;
        }
        const char *name =
            cJSON_GetStringValue(json_file_member(json_file_member(part, "SpecialToken"), "id"));
        const cJSON *ids = json_file_member(name ? json_file_member(names, name) : NULL, "ids");
        if (!cJSON_IsArray(ids))
            return fail(ERR_DATA, "%s: post_processor: no ids of %.40s", t->path,
                        name ? name : "a token without a name");
        cJSON_ArrayForEach(id, ids) TRY(frame_add(t, frame, id));
    }
    return OK;
}

/* Tokens before and behind each text. */
static int read_frame(struct tokenizer *t, const cJSON *root)
{
    const cJSON *processor = json_file_member(root, "post_processor");
    if (!processor || type_is(processor, "ByteLevel")) return OK;
    if (type_is(processor, "TemplateProcessing")) return read_template(t, processor);
    if (!type_is(processor, "RobertaProcessing"))
        return fail(ERR_DATA, "%s: a post_processor of type %.40s is not computed here", t->path,
                    type_of(processor));
    TRY(frame_add(t, &t->before, cJSON_GetArrayItem(json_file_member(processor, "cls"), 1)));
    return frame_add(t, &t->after, cJSON_GetArrayItem(json_file_member(processor, "sep"), 1));
}

/* ---- the file ---- */

static int tokenizer_parse(struct tokenizer *t, const cJSON *root)
{
    TRY(read_model(t, root));
    if (t->kind == TOKENIZER_LABELS) return OK;
    TRY(read_normalizer(t, root));
    const cJSON *pre = json_file_member(root, "pre_tokenizer");
    TRY(t->kind == TOKENIZER_UNIGRAM ? read_unigram_words(t, pre) : read_bpe_words(t, pre));
    TRY(read_added_tokens(t, root));
    TRY(read_frame(t, root));
    t->none = tokenizer_json_find(t, token_end);
    /* Words, or text that is composed, are more than bytes. */
    if (t->kind == TOKENIZER_BYTES && (t->normalizer.count > 0 || t->word != text_word_whole))
        t->kind = TOKENIZER_BPE;
    return OK;
}

int tokenizer_json_read(struct tokenizer *t)
{
    cJSON *root;
    TRY(json_file_read(&root, t->path, TOKENIZER_FILE_MOST));
    int code = tokenizer_parse(t, root);
    cJSON_Delete(root);
    return code;
}
