/* imgtrain tokenize: what a text encoder is shown of a text. */
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "diffusion/model/model_folder.h"
#include "diffusion/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_FILE_MOST = 64 << 20, ENCODERS_MOST = 9 };

struct tokenize_request {
    int64_t encoder, length; /* 0: not said */
    bool plain, ids, lines, json;
    const struct tokenizer *tokenizer;
    int most;
};

/* ---- which tokenizer ---- */

/* The folder of a model's N-th tokenizer (malloc). */
static int find_tokenizer(char **path, const char *operand, int64_t encoder)
{
    char *model = NULL;
    *path = NULL;
    if (tokenizer_is_at(operand)) {
        if (encoder > 0) log_warning("--encoder has no effect: %s is one tokenizer", operand);
        *path = string_format("%s", operand);
        return *path ? OK : ERR_SYSTEM;
    }
    TRY(model_folder_find(&model, operand));
    *path = encoder > 1 ? string_format("%s/tokenizer_%d", model, (int)encoder)
                        : path_join(model, "tokenizer");
    int code = *path ? OK : ERR_SYSTEM;
    if (code == OK && !file_is_dir(*path))
        code = fail(ERR_INPUT, "%s has no folder %s", model, strrchr(*path, '/') + 1);
    free(model);
    return code;
}

/* ---- a text ---- */

static void print_ids(const struct tokens *tokens)
{
    for (int i = 0; i < tokens->count; i++)
        printf("%s%d", i ? " " : "", tokens->ids[i]);
    putchar('\n');
}

static void print_json(const struct tokenizer *tokenizer, const struct tokens *tokens)
{
    printf("{\"ids\": [");
    for (int i = 0; i < tokens->count; i++)
        printf("%s%d", i ? ", " : "", tokens->ids[i]);
    printf("], \"tokens\": [");
    for (int i = 0; i < tokens->count; i++) {
        const char *token = tokenizer_token(tokenizer, tokens->ids[i]);
        fputs(i ? ", " : "", stdout);
        json_write_string(stdout, token ? token : "");
    }
    printf("], \"lost\": %d, \"lost_text\": ", tokens->lost);
    json_write_string(stdout, tokens->lost_text ? tokens->lost_text : "");
    printf("}\n");
}

/* A line a token, as its file writes it. */
static void print_table(const struct tokenizer *tokenizer, const struct tokens *tokens)
{
    for (int i = 0; i < tokens->count; i++) {
        const char *token = tokenizer_token(tokenizer, tokens->ids[i]);
        printf("%7d  ", tokens->ids[i]);
        json_write_escaped(stdout, token ? token : "");
        putchar('\n');
    }
}

static int tokenize(const struct tokenize_request *r, const char *text, size_t bytes,
                    const char *name)
{
    struct tokens tokens;
    bool chat = !r->plain && tokenizer_has_chat(r->tokenizer);
    TRY(chat ? tokenizer_encode_chat(r->tokenizer, &tokens, text, bytes, r->most)
             : tokenizer_encode(r->tokenizer, &tokens, text, bytes, r->most));
    tokens_warn(&tokens, name);
    if (r->json)
        print_json(r->tokenizer, &tokens);
    else if (r->ids || r->lines)
        print_ids(&tokens);
    else
        print_table(r->tokenizer, &tokens);
    tokens_free(&tokens);
    return OK;
}

static int tokenize_lines(const struct tokenize_request *r, const char *text, size_t bytes,
                          const char *name)
{
    int number = 1;
    for (size_t at = 0, end; at < bytes; at = end + 1) {
        const char *line_end = memchr(text + at, '\n', bytes - at);
        end = line_end ? (size_t)(line_end - text) : bytes;
        char *where = string_format("%s:%d", name, number++);
        int code = where ? tokenize(r, text + at, end - at, where) : ERR_SYSTEM;
        if (code < 0) code = fail_within(code, "%s", where ? where : name);
        free(where);
        TRY(code);
    }
    return OK;
}

/* TEXT, or what @FILE holds, any bytes. */
static int tokenize_text(const struct tokenize_request *r, const char *text)
{
    uint8_t *data = NULL;
    size_t bytes = strlen(text);
    const char *name = "TEXT";
    if (*text == '@') {
        name = text + 1;
        TRY(file_read(name, TEXT_FILE_MOST, &data, &bytes));
        text = (const char *)data;
        if (!r->lines && bytes > 0 && text[bytes - 1] == '\n') bytes--;
    }
    int code = r->lines ? tokenize_lines(r, text, bytes, name) : tokenize(r, text, bytes, name);
    free(data);
    return code;
}

static int tokenize_with(struct tokenize_request *r, const char *operand, const char *text)
{
    char *path;
    struct tokenizer *tokenizer = NULL;
    int code = find_tokenizer(&path, operand, r->encoder);
    if (code == OK) code = tokenizer_open(&tokenizer, path);
    if (code == OK) {
        int own = tokenizer_most(tokenizer);
        r->tokenizer = tokenizer;
        r->most = own > 0 && own < TEXT_MOST_ROWS ? own : TEXT_MOST_ROWS;
        if (r->length > 0) r->most = (int)r->length;
        if (r->plain && !tokenizer_has_chat(tokenizer))
            log_warning("--plain has no effect: %s has no template that is known here", path);
        code = tokenize_text(r, text);
    }
    tokenizer_close(tokenizer);
    free(path);
    return code;
}

int cmd_tokenize(int argc, char **argv)
{
    struct tokenize_request request = {.encoder = 0};
    const struct option_row rows[] = {
        {.name = "encoder",
         .argument = "N",
         .integer = &request.encoder,
         .low = 1,
         .high = ENCODERS_MOST,
         .help =
             "of a model with several text encoders the N-th (default 1): its folder tokenizer, "
             "tokenizer_2, ..."},
        {.name = "length",
         .argument = "N",
         .integer = &request.length,
         .low = 1,
         .high = TEXT_FILE_MOST,
         .help = "how many tokens are kept (default: as many as its files say, 512 at most)"},
        OPTION_FLAG("plain", &request.plain, "the text alone, without the model's chat template"),
        OPTION_FLAG("ids", &request.ids, "ids alone, in one line"),
        OPTION_FLAG("lines", &request.lines,
                    "each line of TEXT is a text, and becomes a line of ids"),
        OPTION_FLAG("json", &request.json, "print JSON"),
        {0},
    };
    const struct option_usage usage = {
        .usage = "imgtrain tokenize MODEL TEXT|@FILE [--encoder N] [--length N] [--plain] [--ids] "
                 "[--lines] [--json]",
        .about = "Prints the tokens that the text encoder of a diffusion model is shown of a text. "
                 "MODEL: a model\nfolder, one of its folders tokenizer, tokenizer_2, a "
                 "tokenizer.json or a spiece.model.",
        .options = rows,
        .min_operands = 2,
        .max_operands = 2,
        .texts = true,
        .examples = "imgtrain tokenize Z-Image-Turbo \"a red cat\"\n"
                    "imgtrain tokenize FLUX.1-schnell @prompt.txt --encoder 2 --ids\n",
    };
    int operands;
    OPTIONS_TRY(options_parse(&usage, argc, argv, &operands));
    if (request.ids && request.json) log_warning("--ids has no effect with --json");
    return tokenize_with(&request, argv[1], argv[2]);
}
