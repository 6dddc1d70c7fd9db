/* libFuzzer: files of tokenizers and texts. The first byte says which file the others are; what is
 * accepted must make ids of its table out of any text, and text of these again. */
#include "diffusion/text/byte_bpe.h"
#include "diffusion/text/charsmap.h"
#include "diffusion/text/token_tables.h"
#include "diffusion/text/tokenizer.h"
#include "test/fuzz/fuzz.h"

#include <string.h>
#include <sys/stat.h>

enum kind { JSON, MERGES, SPIECE, CONFIG, CHARSMAP, TEXT, KINDS };

static const char mixed[] = "  A red Cat's caf\xC3\xA9 \xE6\xBC\xA2\xE5\xAD\x97 e\xCC\x81 12\r\n"
                            "<|im_end|> \xEF\xBC\xA1\xFF\xF0\x9F\x91\x8D\xE2\x80\x8D \xE2\x96\x81x"
                            "\0aaaaabab</s>";

/* ---- sound files ---- */

static void print_letters(FILE *out, const char *suffix, int first)
{
    char letter[BYTE_LETTER_BYTES];
    for (int byte = 0; byte < 256; byte++) {
        byte_letter(byte, letter);
        const char *escape = byte == '"' || byte == '\\' ? "\\" : "";
        fprintf(out, "\"%s%s%s\": %d, ", escape, letter, suffix, first + byte);
    }
}

/* Byte pair encoding with three merges; where words end with `suffix`, CLIP's. */
static void print_bpe(FILE *out, const char *suffix)
{
    fprintf(out,
            "{\"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
            "\"add_prefix_space\": false}, \"added_tokens\": [{\"id\": 600, \"content\": "
            "\"<|im_end|>\", \"special\": true}, {\"id\": 601, \"content\": \"<|im_start|>\"}], "
            "\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"%s\", \"vocab\": {",
            suffix);
    print_letters(out, "", 0);
    if (*suffix) print_letters(out, suffix, 256);
    fprintf(out, "\"ab\": 512, \"aa\": 513, \"abaa\": 514}, "
                 "\"merges\": [\"a b\", [\"a\", \"a\"], \"ab aa\"]}}");
}

static void print_unigrams(FILE *out)
{
    fputs(
        "{\"normalizer\": {\"type\": \"Strip\", \"strip_left\": false}, \"pre_tokenizer\": {"
        "\"type\": \"Metaspace\"}, \"added_tokens\": [{\"id\": 0, \"content\": \"</s>\"}], "
        "\"model\": {\"type\": \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"</s>\", 0], "
        "[\"<unk>\", 0], [\"\xE2\x96\x81\", -2.5], [\"a\", -3], [\"aa\", -5.5], [\"\xE6\xBC\xA2\", "
        "-4], [\"\xE2\x96\x81\x61\x61\x61\", -7]]}}",
        out);
}

static void print_vocabulary(FILE *out)
{
    fputc('{', out);
    print_letters(out, "", 0);
    fputs("\"ab\": 512, \"aa\": 513, \"abaa\": 514, \"i\xC4\xA0\": 515}", out);
}

static void fuzz_write(const char *name, void (*print)(FILE *))
{
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    require(out != NULL);
    print(out);
    require(fclose(out) == 0);
    fuzz_put(name, text, bytes);
    free(text);
}

static void print_qwen(FILE *out)
{
    print_bpe(out, "");
}

static void print_clip(FILE *out)
{
    print_bpe(out, "</w>");
}

/* ---- use ---- */

static void use_tokens(const struct tokenizer *t, struct tokens *tokens, int most)
{
    char *text;
    size_t bytes;
    require(tokens->count >= 0 && (most == 0 || tokens->count <= most));
    require(tokens->lost >= 0 && (most > 0 || tokens->lost == 0));
    for (int i = 0; i < tokens->count; i++)
        require(tokens->ids[i] >= 0 && tokens->ids[i] < tokenizer_rows(t));
    require(tokenizer_decode(t, &text, &bytes, tokens->ids, tokens->count) == 0);
    require(strlen(text) <= bytes);
    free(text);
    tokens_free(tokens);
}

static void use_tokenizer(const struct tokenizer *t, const char *text, size_t bytes)
{
    struct tokens tokens;
    static const int lengths[] = {0, 1, 7};
    require(tokenizer_none(t) < tokenizer_rows(t) && tokenizer_pad(t) < tokenizer_rows(t));
    for (int i = 0; i < 3; i++) {
        if (tokenizer_encode(t, &tokens, text, bytes, lengths[i]) == 0)
            use_tokens(t, &tokens, lengths[i]);
        else
            require(tokenizer_has_labels(t) && !tokens.ids);
        if (tokenizer_encode_chat(t, &tokens, text, bytes, lengths[i]) == 0)
            use_tokens(t, &tokens, lengths[i]);
        require(!tokens.ids && !tokens.lost_text);
    }
}

static void open_and_use(const char *path)
{
    struct tokenizer *t;
    if (tokenizer_open(&t, path) == 0)
        use_tokenizer(t, mixed, sizeof mixed - 1);
    else
        require(t == NULL);
    tokenizer_close(t);
}

/* data: a number below 256, so many times 16 bytes of a table, and a text. */
static void use_charsmap(const uint8_t *data, size_t bytes)
{
    struct charsmap map = {0};
    struct text_bytes to = {0};
    size_t table = bytes > 0 ? (size_t)data[0] * 16 : 0;
    if (bytes == 0 || table > bytes - 1) return;
    if (charsmap_open(&map, data + 1, table) == 0)
        require(charsmap_apply(&map, &to, mixed, sizeof mixed - 1) == 0);
    charsmap_free(&map);
    text_bytes_free(&to);
}

/* Those that print_qwen, print_clip and print_unigrams describe, and that of bytes. */
static struct tokenizer *sound[4];

static void use_text(const char *text, size_t bytes)
{
    struct tokens tokens;
    for (int i = 0; i < 4; i++)
        use_tokenizer(sound[i], text, bytes);
    require(tokenizer_encode(sound[3], &tokens, text, bytes, 0) == 0);
    require((size_t)tokens.count <= bytes + 2 * tokens.broken); /* U+FFFD has three bytes */
    tokens_free(&tokens);
}

static void fuzz_make_folder_in(const char *name)
{
    require(mkdir(fuzz_path(name), 0700) == 0);
}

static void fuzz_begin(void)
{
    fuzz_make_folder();
    fuzz_write("qwen.json", print_qwen);
    fuzz_write("clip.json", print_clip);
    fuzz_write("unigrams.json", print_unigrams);
    fuzz_write("vocab.json", print_vocabulary);
    fuzz_make_folder_in("f");
    fuzz_write("f/tokenizer.json", print_qwen);
    fuzz_make_folder_in("g");
    fuzz_write("g/vocab.json", print_vocabulary);
    fuzz_put("g/merges.txt", "a b\n", 4);
    require(tokenizer_open(&sound[0], fuzz_path("qwen.json")) == 0);
    require(tokenizer_open(&sound[1], fuzz_path("clip.json")) == 0);
    require(tokenizer_open(&sound[2], fuzz_path("unigrams.json")) == 0);
    require(tokenizer_of_bytes(&sound[3]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int begun;
    if (!begun++) fuzz_begin();
    if (bytes == 0) return 0;
    enum kind kind = data[0] % KINDS;
    data++, bytes--;
    switch (kind) {
    case JSON: open_and_use(fuzz_file(data, bytes)); break;
    case MERGES:
        fuzz_put("merges.txt", data, bytes);
        open_and_use(fuzz_folder);
        break;
    case SPIECE:
        fuzz_put("spiece.model", data, bytes);
        open_and_use(fuzz_path("spiece.model"));
        break;
    case CONFIG:
        fuzz_put("f/tokenizer_config.json", data, bytes);
        open_and_use(fuzz_path("f"));
        fuzz_put("g/tokenizer_config.json", data, bytes); /* which says more of these files */
        open_and_use(fuzz_path("g"));
        break;
    case CHARSMAP: use_charsmap(data, bytes); break;
    case TEXT:
    case KINDS: use_text((const char *)data, bytes); break;
    }
    return 0;
}
