/* Tokenizers: the ids of the tokenizers library (scripts/reference/tokenizer_goldens.py), the chat
 * template, texts that are cut or broken, files that are no tokenizers. */
#include "diffusion/text/byte_bpe.h"
#include "diffusion/text/text_split.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/tokenizer.h"
#include "diffusion/text/unicode_text.h"
#include "diffusion/text/unigram.h"
#include "store/json_file.h"
#include "test/diffusion/tiny_tokenizer.h"
#include "test/support.h"

#include <unistd.h>

static struct tokenizer *opened;

static void set_up_tokenizer(void)
{
    set_up();
    tiny_tokenizer_write(in_folder("t"));
    MUST(tokenizer_open(&opened, in_folder("t")));
}

static void tear_down_tokenizer(void)
{
    tokenizer_close(opened);
    folder_remove();
}

static void assert_ids(const struct tokens *tokens, const int *wanted, int count, const char *text)
{
    for (int i = 0; i < count || i < tokens->count; i++)
        ck_assert_msg(i < count && i < tokens->count && tokens->ids[i] == wanted[i],
                      "\"%s\": token %d of %d is %d, not %d (of %d)", text, i, tokens->count,
                      i < tokens->count ? tokens->ids[i] : -1, i < count ? wanted[i] : -1, count);
}

/* ids: the golden file tokenizer_NAME_ids.json, by the tokenizer at `path`. */
static void assert_golden_ids(const char *path, const char *ids)
{
    char name[64];
    struct tokenizer *t;
    cJSON *root;
    const cJSON *item, *id;
    MUST(tokenizer_open(&t, path));
    snprintf(name, sizeof name, "test/golden/tokenizer_%s_ids.json", ids);
    MUST(json_file_read(&root, name, 1 << 20));
    int strings = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, "ids"))
    {
        const char *text = cJSON_GetStringValue(item->child);
        int wanted[512], count = 0;
        struct tokens tokens;
        ck_assert_int_lt(cJSON_GetArraySize(item->child->next), 512);
        cJSON_ArrayForEach(id, item->child->next) wanted[count++] = id->valueint;
        MUST(tokenizer_encode(t, &tokens, text, strlen(text), 0));
        assert_ids(&tokens, wanted, count, text);
        ck_assert(tokens.lost == 0 && !tokens.lost_text && tokens.broken == 0);
        tokens_free(&tokens);
        strings++;
    }
    ck_assert_int_gt(strings, 30);
    cJSON_Delete(root);
    tokenizer_close(t);
}

/* A folder of vocab.json, merges.txt and the tokenizer_config.json `config`, out of a
 * tokenizer.json. */
static void write_vocab_folder(const char *json, const char *to, const char *config)
{
    cJSON *root;
    const cJSON *item;
    char merges[8192] = "#version: 0.2\n";
    size_t used = strlen(merges);
    MUST(json_file_read(&root, json, 1 << 20));
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    char *vocabulary = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(model, "vocab"));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(model, "merges"))
    {
        used += (size_t)snprintf(merges + used, sizeof merges - used, "%s %s\n",
                                 item->child->valuestring, item->child->next->valuestring);
        ck_assert_uint_lt(used, sizeof merges);
    }
    MUST(file_make_dirs(to));
    tiny_file_write(to, "vocab.json", vocabulary, strlen(vocabulary));
    tiny_file_write(to, "merges.txt", merges, used);
    tiny_file_write(to, "tokenizer_config.json", config, strlen(config));
    free(vocabulary);
    cJSON_Delete(root);
}

/* The added tokens of the golden files, as transformers keeps them. */
static const char clip_config[] =
    "{\"tokenizer_class\": \"CLIPTokenizer\", \"model_max_length\": 77, \"pad_token\": "
    "{\"content\": \"<|endoftext|>\"}, \"added_tokens_decoder\": {\"662\": {\"content\": "
    "\"<|startoftext|>\", \"normalized\": true, \"special\": true}, \"663\": {\"content\": "
    "\"<|endoftext|>\", \"normalized\": false, \"special\": true}}}";
static const char qwen_config[] =
    "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"added_tokens_decoder\": {"
    "\"400\": {\"content\": \"<|endoftext|>\", \"special\": true}, \"401\": {\"content\": "
    "\"<|im_start|>\", \"special\": true}, \"402\": {\"content\": \"<|im_end|>\", \"special\": "
    "true}, \"403\": {\"content\": \"<|im\", \"special\": true}, \"404\": {\"content\": "
    "\"<think>\"}, \"405\": {\"content\": \"</think>\"}}}";

START_TEST(ids_are_the_library_s)
{
    assert_golden_ids("test/golden/tokenizer_qwen.json", "qwen");
    assert_golden_ids("test/golden/tokenizer_clip.json", "clip");
    assert_golden_ids("test/golden/tokenizer_t5.json", "t5");
}
END_TEST

/* Words of white space are left out where the expression does not match it. */
static int next_word(text_word *word, bool drops, const char *text, size_t *at)
{
    size_t left = strlen(text + *at), wide, first;
    for (; left > 0; *at += wide, left -= wide) {
        wide = word(text + *at, left);
        ck_assert(wide > 0 && wide <= left);
        if (drops && unicode_class_of(unicode_next(text + *at, left, &first)) == UNICODE_SPACE)
            continue;
        *at += wide;
        return (int)wide;
    }
    return 0;
}

START_TEST(words_are_those_of_expressions)
{
    static const struct {
        const char *name;
        text_word *word;
        bool drops;
    } kinds[] = {{"qwen", text_word_qwen, false},
                 {"clip", text_word_clip, true},
                 {"gpt2", text_word_gpt2, false}};
    cJSON *root;
    const cJSON *item, *wanted;
    MUST(json_file_read(&root, "test/golden/tokenizer_words.json", 1 << 20));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, kinds[i].name);
        ck_assert_int_gt(cJSON_GetArraySize(list), 20);
        cJSON_ArrayForEach(item, list)
        {
            const char *text = item->child->valuestring;
            size_t at = 0;
            cJSON_ArrayForEach(wanted, item->child->next)
            {
                int got = next_word(kinds[i].word, kinds[i].drops, text, &at);
                ck_assert_msg(got == wanted->valueint, "%s: \"%s\" up to byte %zu: %d, not %d",
                              kinds[i].name, text, at, got, wanted->valueint);
            }
            ck_assert_int_eq(next_word(kinds[i].word, kinds[i].drops, text, &at), 0);
        }
    }
    cJSON_Delete(root);
}
END_TEST

static void assert_list(const struct token_ids *ids, const int *wanted, size_t count)
{
    ck_assert_uint_eq(ids->count, count);
    ck_assert_int_eq(memcmp(ids->ids, wanted, count * sizeof *wanted), 0);
}

START_TEST(letters_of_bytes)
{
    static const char *const some[] = {"\xC4\x80", "\xC4\xA1", "\xC5\x82", "\xC5\x83", "~"};
    static const int bytes[] = {0, 127, 160, 173, '~'};
    struct text_bytes to = {0};
    char letter[BYTE_LETTER_BYTES];
    for (int i = 0; i < 5; i++) {
        byte_letter(bytes[i], letter);
        ck_assert_str_eq(letter, some[i]);
    }
    for (int byte = 0; byte < 256; byte++) {
        byte_letter(byte, letter);
        MUST(byte_letters_decode(&to, letter, strlen(letter)));
        ck_assert(to.count == (size_t)byte + 1 && (unsigned char)to.bytes[byte] == byte);
    }
    MUST(byte_letters_decode(&to, " \xC2\xAD\xC5\x84", 5)); /* letters of none */
    ck_assert_int_eq(memcmp(to.bytes + 256, " \xC2\xAD\xC5\x84", 5), 0);
    ck_assert_uint_eq(to.count, 256 + 5);
    text_bytes_free(&to);
}
END_TEST

/* What a merge takes away can be offered no longer: after b c, a b is not, and x a comes before
 * a bc. */
START_TEST(merges_by_rank)
{
    static const char *const merges[][2] = {{"b", "c"}, {"a", "b"}, {"x", "a"}, {"a", "bc"}};
    static const char *const made[] = {"bc", "ab", "xa", "abc"};
    struct vocabulary words;
    struct byte_bpe bpe;
    struct bpe_work work = {0};
    struct token_ids ids = {0};
    char letter[BYTE_LETTER_BYTES];
    MUST(vocabulary_open(&words, 260, 1024));
    for (int byte = 0; byte < 256; byte++) {
        byte_letter(byte, letter);
        MUST(vocabulary_add(&words, byte, letter, strlen(letter)));
    }
    for (int i = 0; i < 4; i++)
        MUST(vocabulary_add(&words, 256 + i, made[i], strlen(made[i])));
    MUST(byte_bpe_open(&bpe, &words, ""));
    for (int i = 0; i < 4; i++)
        MUST(byte_bpe_add(&bpe, &words, i, merges[i][0], strlen(merges[i][0]), merges[i][1],
                          strlen(merges[i][1])));
    MUST(byte_bpe_encode(&bpe, &work, "xabc", 4, &ids));
    assert_list(&ids, (int[]){258, 256}, 2);
    ids.count = 0;
    MUST(byte_bpe_encode(&bpe, &work, "abcabx", 6, &ids));
    assert_list(&ids, (int[]){259, 257, 'x'}, 3);
    token_ids_free(&ids);
    bpe_work_free(&work);
    byte_bpe_free(&bpe);
    vocabulary_free(&words);
}
END_TEST

/* Of equal scores the way that is found first; an unknown character costs more than any piece. */
START_TEST(pieces_by_score)
{
    static const char *const pieces[] = {"<unk>", "a", "bc", "c", "d", "dd"};
    static const double scores[] = {0, -5, -9.5, 1, -1, -2};
    struct vocabulary words;
    struct unigram unigram;
    struct unigram_work work = {0};
    struct token_ids ids = {0};
    double *owned = malloc(sizeof scores);
    ck_assert_ptr_nonnull(owned);
    memcpy(owned, scores, sizeof scores);
    MUST(vocabulary_open(&words, 6, 64));
    for (int i = 0; i < 6; i++)
        MUST(vocabulary_add(&words, i, pieces[i], strlen(pieces[i])));
    MUST(unigram_open(&unigram, &words, owned, 0));
    MUST(unigram_encode(&unigram, &words, &work, "abc", 3, &ids));
    MUST(unigram_encode(&unigram, &words, &work, "ddd", 3, &ids));
    MUST(unigram_encode(&unigram, &words, &work, "bbcq", 4, &ids));
    assert_list(&ids, (int[]){1, 2, 4, 5, 0, 2, 0}, 7);
    token_ids_free(&ids);
    unigram_work_free(&work);
    unigram_free(&unigram);
    vocabulary_free(&words);
}
END_TEST

/* Without a tokenizer.json: as transformers puts it together. */
START_TEST(folders_of_other_files)
{
    uint8_t *data;
    size_t bytes;
    write_vocab_folder("test/golden/tokenizer_qwen.json", in_folder("q"), qwen_config);
    assert_golden_ids(in_folder("q"), "qwen");
    write_vocab_folder("test/golden/tokenizer_clip.json", in_folder("c"), clip_config);
    assert_golden_ids(in_folder("c"), "clip");
    MUST(file_read("test/golden/tokenizer_spiece.model", 1 << 20, &data, &bytes));
    MUST(file_make_dirs(in_folder("s")));
    tiny_file_write(in_folder("s"), "spiece.model", (char *)data, bytes);
    tiny_file_write(in_folder("s"), "tokenizer_config.json", "{\"extra_ids\": 10}", 17);
    assert_golden_ids(in_folder("s"), "spiece");
    free(data);
}
END_TEST

START_TEST(texts_have_an_end)
{
    struct tokenizer *t;
    struct tokens tokens;
    write_vocab_folder("test/golden/tokenizer_clip.json", in_folder("c"), clip_config);
    MUST(tokenizer_open(&t, in_folder("c")));
    ck_assert(tokenizer_pad(t) == 663 && tokenizer_most(t) == 77 && tokenizer_none(t) == 663);
    MUST(tokenizer_encode(t, &tokens, "the cat in the rain", 19, 5));
    ck_assert(tokens.count == 5 && tokens.ids[0] == 662 && tokens.ids[4] == 663);
    ck_assert_int_gt(tokens.lost, 0);
    ck_assert_str_eq(tokens.lost_text + strlen(tokens.lost_text) - 5, "rain ");
    tokens_free(&tokens);
    MUST(tokenizer_encode(t, &tokens, "", 0, 77));
    ck_assert(tokens.count == 2 && tokens.ids[0] == 662 && tokens.ids[1] == 663);
    tokens_free(&tokens);
    tokenizer_close(t);
    MUST(tokenizer_open(&t, "test/golden/tokenizer_t5.json"));
    MUST(tokenizer_encode(t, &tokens, "the old house", 13, 3));
    ck_assert(tokens.count == 3 && tokens.ids[2] == 1);
    ck_assert_str_eq(tokens.lost_text + strlen(tokens.lost_text) - 2, "se");
    tokens_free(&tokens);
    tokenizer_close(t);
}
END_TEST

static int id_of(const char *token)
{
    for (int id = 0; id < tokenizer_rows(opened); id++) {
        const char *other = tokenizer_token(opened, id);
        if (other && strcmp(other, token) == 0) return id;
    }
    ck_abort_msg("no token %s", token);
    return -1;
}

START_TEST(any_bytes_are_a_text)
{
    struct tokens tokens;
    char *text;
    size_t bytes;
    MUST(tokenizer_encode(opened, &tokens,
                          "a\0\xFF"
                          "b",
                          4, 0));
    ck_assert_uint_eq(tokens.broken, 1);
    MUST(tokenizer_decode(opened, &text, &bytes, tokens.ids, tokens.count));
    ck_assert_uint_eq(bytes, 6);
    ck_assert_int_eq(memcmp(text,
                            "a\0\xEF\xBF\xBD"
                            "b",
                            7),
                     0);
    ck_assert_int_eq(tokens.ids[1], id_of("\xC4\x80")); /* the letter of byte 0 */
    free(text);
    tokens_free(&tokens);
    MUST(tokenizer_encode(opened, &tokens, NULL, 0, 0));
    ck_assert(tokens.count == 0 && tokens.lost == 0);
    tokens_free(&tokens);
    ck_assert_ptr_null(tokenizer_token(opened, -1));
    ck_assert_ptr_null(tokenizer_token(opened, tokenizer_rows(opened)));
}
END_TEST

/* Quadratic time would be minutes. */
START_TEST(long_texts_take_linear_time)
{
    enum { LONG = 400000 };
    static const char *const units[] = {"a", " ", "\xCC\x81\xCC\xA3", "the ", "<", "\xE2\x96\x81"};
    static const char *const kinds[] = {"qwen", "clip", "t5"};
    char *text = malloc(LONG), path[64];
    double begun = processor_seconds();
    ck_assert_ptr_nonnull(text);
    for (size_t kind = 0; kind < 3; kind++)
        for (size_t unit = 0; unit < sizeof units / sizeof *units; unit++) {
            struct tokenizer *t;
            struct tokens tokens;
            size_t step = strlen(units[unit]), bytes = 0;
            for (; bytes + step <= LONG; bytes += step)
                memcpy(text + bytes, units[unit], step);
            snprintf(path, sizeof path, "test/golden/tokenizer_%s.json", kinds[kind]);
            MUST(tokenizer_open(&t, path));
            MUST(tokenizer_encode(t, &tokens, text, bytes, 0));
            tokens_free(&tokens);
            tokenizer_close(t);
        }
    ck_assert(processor_seconds() - begun < 60.0);
    free(text);
}
END_TEST

static void encode_joined(struct tokens *tokens, const char *before, const char *text,
                          const char *after)
{
    char *whole = string_format("%s%s%s", before, text, after);
    ck_assert_ptr_nonnull(whole);
    MUST(tokenizer_encode(opened, tokens, whole, strlen(whole), 0));
    free(whole);
}

START_TEST(chat_template)
{
    static const char *const prompts[] = {"a red cat", "", "x<|im_end|>\ny", "  the house\n"};
    struct tokens plain, chat;
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        encode_joined(&plain, "<|im_start|>user\n", prompts[i],
                      "<|im_end|>\n<|im_start|>assistant\n");
        MUST(tokenizer_encode_chat(opened, &chat, prompts[i], strlen(prompts[i]), 512));
        assert_ids(&chat, plain.ids, plain.count, prompts[i]);
        ck_assert(chat.lost == 0 && !chat.lost_text);
        tokens_free(&chat);
        tokens_free(&plain);
    }
    ck_assert_int_gt(id_of("<|im_start|>"), 255);
}
END_TEST

START_TEST(long_text_is_cut)
{
    struct tokens all, cut;
    const char prompt[] = "a red cat and the old house";
    MUST(tokenizer_encode_chat(opened, &all, prompt, sizeof prompt - 1, 0));
    int template_end = 0;
    for (int i = 0; i < all.count; i++)
        if (all.ids[i] == id_of("<|im_end|>")) template_end = all.count - i;
    MUST(tokenizer_encode_chat(opened, &cut, prompt, sizeof prompt - 1, all.count - 2));
    assert_ids(&cut, all.ids, all.count - 2, prompt);
    ck_assert(cut.lost == 2 && !cut.lost_text); /* of the template alone */
    tokens_free(&cut);
    MUST(tokenizer_encode_chat(opened, &cut, prompt, sizeof prompt - 1,
                               all.count - template_end - 1));
    ck_assert_int_eq(cut.lost, template_end + 1);
    ck_assert_ptr_nonnull(cut.lost_text);
    size_t tail = strlen(cut.lost_text);
    ck_assert(tail > 0 && tail < 8);
    ck_assert_str_eq(cut.lost_text, prompt + sizeof prompt - 1 - tail);
    tokens_free(&cut);
    tokens_free(&all);
}
END_TEST

/* ---- those of trained models ---- */

START_TEST(bytes_are_tokens)
{
    struct tokenizer *made, *read;
    struct tokens tokens;
    char long_text[600];
    MUST(tokenizer_of_bytes(&made));
    MUST(file_make_dirs(in_folder("b")));
    MUST(tokenizer_write(made, in_folder("b")));
    MUST(tokenizer_open(&read, in_folder("b")));
    ck_assert_int_eq(tokenizer_kind_of(read), TOKENIZER_BYTES);
    ck_assert(tokenizer_none(read) == 256 && tokenizer_rows(read) == TEXT_BYTE_ROWS);
    for (int byte = 0; byte < 256; byte++)
        ck_assert(tokenizer_byte(read, byte) == byte && tokenizer_byte(made, byte) == byte);
    ck_assert_int_eq(tokenizer_byte(opened, 'a'), -1);
    const int wanted[] = {'r', 0, 0xC3, 0xA9, ' '};
    MUST(tokenizer_encode_chat(read, &tokens, "r\0\xC3\xA9 ", 5, 512));
    assert_ids(&tokens, wanted, 5, "bytes");
    tokens_free(&tokens);
    memset(long_text, 'x', sizeof long_text);
    MUST(tokenizer_encode(read, &tokens, long_text, sizeof long_text, TEXT_MOST_ROWS));
    ck_assert(tokens.count == TEXT_MOST_ROWS && tokens.lost == 600 - TEXT_MOST_ROWS);
    ck_assert_uint_eq(strlen(tokens.lost_text), 600 - TEXT_MOST_ROWS);
    tokens_free(&tokens);
    int row;
    ck_assert_int_eq(tokenizer_label(read, "circle", &row), ERR_USAGE);
    tokenizer_close(read);
    tokenizer_close(made);
}
END_TEST

START_TEST(classes_are_tokens)
{
    static const char *const names[] = {"circle", "red square", "triangle"};
    static const char *const twice[] = {"a", "a"}, *const none[] = {"<none>"};
    struct tokenizer *t, *read;
    struct tokens tokens;
    int row;
    MUST(tokenizer_of_labels(&t, 3, names));
    MUST(file_make_dirs(in_folder("l")));
    MUST(tokenizer_write(t, in_folder("l")));
    tokenizer_close(t);
    MUST(tokenizer_open(&read, in_folder("l")));
    ck_assert(tokenizer_has_labels(read) && tokenizer_none(read) == 3);
    MUST(tokenizer_label(read, "triangle", &row));
    ck_assert_int_eq(row, 2);
    MUST(tokenizer_label(read, "0", &row));
    ck_assert_int_eq(row, 0);
    ck_assert_int_eq(tokenizer_label(read, "3", &row), ERR_USAGE);
    ck_assert_int_eq(tokenizer_label(read, "<none>", &row), ERR_USAGE);
    ck_assert_int_eq(tokenizer_label(read, "oval", &row), ERR_USAGE);
    ck_assert_ptr_nonnull(strstr(error_message(), "circle, red square, triangle"));
    ck_assert_int_eq(tokenizer_encode(read, &tokens, "", 0, 0), ERR_USAGE);
    ck_assert_int_eq(tokenizer_encode(read, &tokens, "circle\0s", 8, 0), ERR_USAGE);
    MUST(tokenizer_encode_chat(read, &tokens, "red square", 10, 512));
    ck_assert(tokens.count == 1 && tokens.ids[0] == 1);
    tokens_free(&tokens);
    tokenizer_close(read);
    ck_assert_int_eq(tokenizer_of_labels(&t, 2, twice), ERR_DATA);
    ck_assert_int_eq(tokenizer_of_labels(&t, 1, none), ERR_DATA);
    MUST(tokenizer_of_labels(&t, 2, NULL));
    ck_assert_str_eq(tokenizer_label_names(t).text, "0, 1");
    tokenizer_close(t);
}
END_TEST

/* ---- files that are no tokenizers ---- */

static void assert_refused(const char *path, int code, const char *says)
{
    struct tokenizer *t;
    int got = tokenizer_open(&t, path);
    ck_assert_msg(got == code, "%d, not %d: %s", got, code, error_message());
    ck_assert_msg(strstr(error_message(), says), "\"%s\" is not in: %s", says, error_message());
    ck_assert_ptr_null(strchr(error_message(), '\n'));
    ck_assert_ptr_null(t);
}

/* Replaces `from` in a golden file by `to`, and expects it to be refused. */
static void refuse_changed(const char *kind, const char *from, const char *to, const char *says)
{
    uint8_t *text;
    size_t bytes;
    char path[64];
    snprintf(path, sizeof path, "test/golden/tokenizer_%s.json", kind);
    MUST(file_read(path, 1 << 20, &text, &bytes));
    tiny_file_write(in_folder("t"), "tokenizer.json", (char *)text, bytes);
    free(text);
    edit_text("t/tokenizer.json", from, to);
    assert_refused(in_folder("t"), ERR_DATA, says);
}

START_TEST(other_kinds_are_refused)
{
    static const struct {
        const char *kind, *from, *to, *says;
    } changes[] = {
        {"qwen", "\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "type WordPiece"},
        {"qwen", "\"type\":\"NFC\"", "\"type\":\"NFKC\"", "NFKC"},
        {"qwen", "\\\\p{N}|", "\\\\p{N}{1,3}|", "splits otherwise"},
        {"qwen", "\"Isolated\"", "\"Removed\"", "splits otherwise"},
        {"qwen", "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space"},
        {"qwen", "\"merges\":[[\"", "\"merges\":[[\"zz", "merge 1, of zz"},
        {"qwen", "\"merges\":[[\"", "\"merges\":[\"ab\",[\"", "merge 1: "},
        {"qwen", "\"vocab\":{\"!\":0,", "\"vocab\":{", "no word !, the letter of byte 33"},
        {"qwen", "\"vocab\":{\"!\":0,", "\"vocab\":{\"!\":1,", "have one id, 1"},
        {"qwen", "\"vocab\":{\"!\":0,", "\"vocab\":{\"!\":0,\"!\":2000,", "stands twice"},
        {"qwen", "\"vocab\":{\"!\":0,", "\"vocab\":{\"!\":2000000000,", "an id from 0"},
        {"qwen", "\"byte_fallback\":false", "\"byte_fallback\":true", "byte_fallback"},
        {"qwen", "\"dropout\":null", "\"dropout\":0.1", "dropout"},
        {"qwen", "\"lstrip\":false", "\"lstrip\":true", "lstrip"},
        {"qwen", "\"<|im_start|>\"", "\"<|im_end|>\"", "stands twice"},
        {"qwen", "\"<|im_start|>\"", "\"!\"", "in its vocabulary 0"},
        {"clip", "\"</w>\"", "\"</word>\"", "</word>, the letter of byte 0"},
        {"clip", "\"Lowercase\"", "\"Uppercase\"", "Uppercase"},
        {"clip", "\\\\s+\"", "\\\\d+\"", "replaces"},
        {"clip", "\"RobertaProcessing\"", "\"BertProcessing\"", "BertProcessing"},
        {"clip", "\"sep\":[", "\"sep\":[1,", "post_processor"},
        {"clip", "\"sep\":[\"<|endoftext|>\",663", "\"sep\":[\"<|endoftext|>\",664",
         "post_processor"},
        {"clip", "\"content\":\"<|startoftext|>\"", "\"content\":\"<|Start|>\"", "once it is"},
        {"t5", "\"unk_id\":2", "\"unk_id\":200000", "unk_id"},
        {"t5", "[\"<pad>\",0.0]", "[\"<pad>\",1e999]", "piece 0"},
        {"t5", "[\"<pad>\",0.0]", "[\"<pad>\"]", "piece 0"},
        {"t5", "[\"<pad>\",0.0]", "[\"</s>\",0.0]", "stands twice"},
        {"t5", "\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"!", "base64"},
        {"t5", "\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"////", "damaged"},
        {"t5", "\"strip_left\":false", "\"strip_left\":true", "Strip"},
        {"t5", "\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"first\"", "Metaspace"},
        {"t5", "\"SpecialToken\":{\"id\":\"</s>\"", "\"SpecialToken\":{\"id\":\"<s>\"", "no ids"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        refuse_changed(changes[i].kind, changes[i].from, changes[i].to, changes[i].says);
    tiny_file_write(in_folder("t"), "tokenizer.json", "{}", 2);
    assert_refused(in_folder("t"), ERR_DATA, "type none");
    tiny_file_write(in_folder("t"), "tokenizer.json", "{\"a\":\"\xFF", 6);
    assert_refused(in_folder("t"), ERR_DATA, "tokenizer.json: no JSON");
    ck_assert_int_eq(truncate(in_folder("t/tokenizer.json"), 200000000), 0);
    assert_refused(in_folder("t"), ERR_DATA, "more than the limit");
    assert_refused(in_folder("nowhere"), ERR_INPUT, "nowhere");
    MUST(file_make_dirs(in_folder("empty")));
    assert_refused(in_folder("empty"), ERR_INPUT, "tokenizer.json");
}
END_TEST

/* Of a folder without tokenizer.json. */
START_TEST(other_files_are_refused)
{
    uint8_t *data;
    size_t bytes;
    write_vocab_folder("test/golden/tokenizer_qwen.json", in_folder("q"),
                       "{\"tokenizer_class\": \"Llama\"}");
    assert_refused(in_folder("q"), ERR_DATA, "tokenizer_class Llama");
    write_vocab_folder("test/golden/tokenizer_qwen.json", in_folder("q"), qwen_config);
    tiny_file_write(in_folder("q"), "merges.txt", "#version: 0.2\na b\nab\n", 21);
    assert_refused(in_folder("q"), ERR_DATA, "merges.txt:2: merge 1, of a and b");
    tiny_file_write(in_folder("q"), "merges.txt", "i n\nab\n", 7);
    assert_refused(in_folder("q"), ERR_DATA, "merges.txt:2: LEFT RIGHT");
    tiny_file_write(in_folder("q"), "merges.txt", "i n\n\0", 5);
    assert_refused(in_folder("q"), ERR_DATA, "zero byte");
    write_vocab_folder("test/golden/tokenizer_qwen.json", in_folder("q"),
                       "{\"added_tokens_decoder\": [{\"content\": \"x\"}]}");
    assert_refused(in_folder("q"), ERR_DATA, "added_tokens_decoder: an object");
    MUST(file_read("test/golden/tokenizer_spiece.model", 1 << 20, &data, &bytes));
    tiny_file_write(folder, "spiece.model", (char *)data, bytes - 1);
    assert_refused(in_folder("spiece.model"), ERR_DATA, "damaged");
    tiny_file_write(folder, "spiece.model", "", 0);
    assert_refused(in_folder("spiece.model"), ERR_DATA, "damaged");
    free(data);
}
END_TEST

/* Fields of sentencepiece_model.proto: 1 a piece, 3 the normalizer with 2 its table. */
START_TEST(models_of_sentencepiece_are_refused)
{
    tiny_file_write(folder, "spiece.model", "\x1A\3\x12\1x", 5);
    assert_refused(in_folder("spiece.model"), ERR_DATA, "spiece.model: precompiled_charsmap");
    tiny_file_write(folder, "spiece.model", "\n\4\n\2ab\n\4\n\2ab", 12);
    assert_refused(in_folder("spiece.model"), ERR_DATA, "the word ab stands twice");
}
END_TEST

/* Each of them is compared with all before: so many would take minutes. */
START_TEST(too_many_added_tokens)
{
    enum { MANY = 16385, ITEM = 32 };
    size_t used = 0, room = MANY * ITEM;
    char *config = malloc(room);
    ck_assert_ptr_nonnull(config);
    for (int i = 0; i < MANY; i++)
        used += (size_t)snprintf(config + used, room - used, "%s\"9\":{\"content\":\"#%d\"}",
                                 i ? "," : "{\"added_tokens_decoder\":{", i);
    used += (size_t)snprintf(config + used, room - used, "}}");
    ck_assert_uint_lt(used, room);
    write_vocab_folder("test/golden/tokenizer_qwen.json", in_folder("q"), config);
    assert_refused(in_folder("q"), ERR_DATA, "vocab.json: more than 16384 added tokens");
    free(config);
}
END_TEST

START_TEST(other_templates_are_refused)
{
    struct tokenizer *t;
    struct tokens tokens;
    static const struct {
        const char *config, *says;
    } cases[] = {{"{}", "no chat template"},
                 {"{\"chat_template\": \"{{ bos_token }}\"}", "not that of Qwen3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_file_write(in_folder("t"), "tokenizer_config.json", cases[i].config,
                        strlen(cases[i].config));
        MUST(tokenizer_open(&t, in_folder("t")));
        ck_assert_int_eq(tokenizer_encode_chat(t, &tokens, "a", 1, 512), ERR_DATA);
        ck_assert_ptr_nonnull(strstr(error_message(), cases[i].says));
        ck_assert(!tokens.ids && tokens.count == 0);
        tokenizer_close(t);
    }
    tiny_file_write(in_folder("t"), "tokenizer_config.json", "[]", 2);
    assert_refused(in_folder("t"), ERR_DATA, "tokenizer_config.json");
}
END_TEST

Suite *tokenizer_test_suite(void);
Suite *tokenizer_test_suite(void)
{
    Suite *suite = suite_create("tokenizer_test");
    TCase *tests = tcase_create("tokenizer");
    tcase_add_checked_fixture(tests, set_up_tokenizer, tear_down_tokenizer);
    tcase_add_test(tests, ids_are_the_library_s);
    tcase_add_test(tests, words_are_those_of_expressions);
    tcase_add_test(tests, letters_of_bytes);
    tcase_add_test(tests, merges_by_rank);
    tcase_add_test(tests, pieces_by_score);
    tcase_add_test(tests, folders_of_other_files);
    tcase_add_test(tests, texts_have_an_end);
    tcase_add_test(tests, any_bytes_are_a_text);
    tcase_add_test(tests, long_texts_take_linear_time);
    tcase_add_test(tests, chat_template);
    tcase_add_test(tests, long_text_is_cut);
    tcase_add_test(tests, bytes_are_tokens);
    tcase_add_test(tests, classes_are_tokens);
    tcase_add_test(tests, other_kinds_are_refused);
    tcase_add_test(tests, other_files_are_refused);
    tcase_add_test(tests, models_of_sentencepiece_are_refused);
    tcase_add_test(tests, too_many_added_tokens);
    tcase_add_test(tests, other_templates_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
