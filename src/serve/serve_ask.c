#include "serve/serve_ask.h"

#include "base/error.h"
#include "base/parse_number.h"
#include "base/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LARGEST_WHOLE = 9007199254740992; /* 2^53: JSON's numbers are exact to here */

static const struct {
    const char *path, *method;
} serve_endpoints[SERVE_ENDPOINTS] = {
    [SERVE_GENERATIONS] = {"/v1/images/generations", "POST"},
    [SERVE_SAMPLE] = {"/sample", "POST"},
    [SERVE_RENDER] = {"/render", "GET"},
    [SERVE_UPSCALE] = {"/upscale", "POST"},
    [SERVE_MODELS] = {"/v1/models", "GET"},
    [SERVE_HEALTH] = {"/healthz", "GET"},
    [SERVE_METRICS] = {"/metrics", "GET"},
    [SERVE_PAGE] = {"/", "GET"},
    [SERVE_ELSEWHERE] = {"other", "GET"},
};

const char *serve_endpoint_path(enum serve_endpoint endpoint)
{
    return serve_endpoints[endpoint].path;
}

const char *serve_endpoint_method(enum serve_endpoint endpoint)
{
    return serve_endpoints[endpoint].method;
}

enum serve_endpoint serve_endpoint_find(const char *path)
{
    for (int i = 0; i < SERVE_ELSEWHERE; i++)
        if (strcmp(path, serve_endpoints[i].path) == 0) return (enum serve_endpoint)i;
    return SERVE_ELSEWHERE;
}

/* ---- the keys ---- */

enum ask_kind {
    ASK_TEXT,    /* a string */
    ASK_WORD,    /* a string or a number, kept as a text */
    ASK_SEED,    /* a whole number, or a string of digits for those that JSON's cannot hold */
    ASK_COUNT,   /* a whole number from 1 on */
    ASK_GRID,    /* "4x4" */
    ASK_FORMAT,  /* "b64_json" or "png" */
    ASK_IGNORED, /* OpenAI's clients send it */
};

enum { GENERATIONS = 1 << SERVE_GENERATIONS, SAMPLE = 1 << SERVE_SAMPLE };
enum { RENDER = 1 << SERVE_RENDER, UPSCALE = 1 << SERVE_UPSCALE };

static const struct ask_key {
    const char *name;
    unsigned endpoints;
    enum ask_kind kind;
    size_t offset; /* of the text in struct serve_ask */
} ask_keys[] = {
    {"model", GENERATIONS | SAMPLE | RENDER | UPSCALE, ASK_TEXT, offsetof(struct serve_ask, model)},
    {"prompt", GENERATIONS | SAMPLE, ASK_TEXT, offsetof(struct serve_ask, prompt)},
    {"negative_prompt", GENERATIONS | SAMPLE, ASK_TEXT, offsetof(struct serve_ask, negative)},
    {"class", GENERATIONS | SAMPLE, ASK_WORD, offsetof(struct serve_ask, label)},
    {"size", GENERATIONS | SAMPLE | RENDER, ASK_TEXT, offsetof(struct serve_ask, size)},
    {"steps", GENERATIONS | SAMPLE, ASK_WORD, offsetof(struct serve_ask, steps)},
    {"guidance", GENERATIONS | SAMPLE, ASK_WORD, offsetof(struct serve_ask, guidance)},
    {"crop", RENDER, ASK_TEXT, offsetof(struct serve_ask, crop)},
    {"scale", UPSCALE, ASK_WORD, offsetof(struct serve_ask, scale)},
    {"alpha", UPSCALE, ASK_TEXT, offsetof(struct serve_ask, alpha)},
    {"seed", GENERATIONS | SAMPLE, ASK_SEED, 0},
    {"n", GENERATIONS | SAMPLE, ASK_COUNT, 0},
    {"grid", SAMPLE, ASK_GRID, 0},
    {"response_format", GENERATIONS | SAMPLE | RENDER | UPSCALE, ASK_FORMAT, 0},
    {"quality", GENERATIONS, ASK_IGNORED, 0},
    {"style", GENERATIONS, ASK_IGNORED, 0},
    {"background", GENERATIONS, ASK_IGNORED, 0},
    {"moderation", GENERATIONS, ASK_IGNORED, 0},
    {"user", GENERATIONS, ASK_IGNORED, 0},
};

enum { ASK_KEYS = sizeof ask_keys / sizeof *ask_keys };

static int ask_find_key(const struct serve_ask *ask, const char *name)
{
    for (int i = 0; i < ASK_KEYS; i++)
        if (strcmp(name, ask_keys[i].name) == 0 && ask_keys[i].endpoints >> ask->endpoint & 1)
            return i;
    return -1;
}

static int ask_fail_unknown(const struct serve_ask *ask, const char *name)
{
    char known[256] = "";
    for (int i = 0; i < ASK_KEYS; i++)
        if (ask_keys[i].kind != ASK_IGNORED && ask_keys[i].endpoints >> ask->endpoint & 1)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                     *known ? ", " : "", ask_keys[i].name);
    return fail(ERR_USAGE, "%.40s: no key of this request; it takes %s", name, known);
}

/* ---- their values ---- */

static int ask_keep(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    return *text ? OK : fail(ERR_SYSTEM, "out of memory");
}

static int ask_read_format(struct serve_ask *ask, const char *text)
{
    ask->as_json = strcmp(text, "b64_json") == 0;
    if (ask->as_json || strcmp(text, "png") == 0) return OK;
    return fail(ERR_USAGE, "response_format %.40s: b64_json or png (no address is given out)",
                text);
}

static int ask_read_grid(struct serve_ask *ask, const char *text)
{
    int columns, rows;
    if (!number_parse_size(text, &columns, &rows) || columns < 1 || rows < 1 ||
        columns > SERVE_MOST_GRID || rows > SERVE_MOST_GRID || columns * rows > SERVE_MOST_GRID)
        return fail(ERR_USAGE, "grid %.40s: COLUMNSxROWS of at most %d images", text,
                    SERVE_MOST_GRID);
    ask->columns = columns;
    ask->rows = rows;
    return OK;
}

static int ask_read_count(struct serve_ask *ask, const char *text)
{
    int64_t n;
    int most = ask->endpoint == SERVE_SAMPLE ? SERVE_MOST_SAMPLES : SERVE_MOST_IMAGES;
    if (!number_parse_int(text, &n) || n < 1 || n > most)
        return fail(ERR_USAGE, "n %.40s: a whole number from 1 to %d", text, most);
    ask->n = (int)n;
    return OK;
}

static int ask_read_seed(struct serve_ask *ask, const char *text)
{
    ask->has_seed = number_parse_uint(text, &ask->seed);
    return ask->has_seed ? OK : fail(ERR_USAGE, "seed %.40s: a whole number from 0 on", text);
}

static bool ask_is_ignored(const struct serve_ask *ask, const char *key)
{
    size_t bytes = strlen(key);
    for (const char *at = ask->ignored; *at;) {
        size_t length = strcspn(at, ",");
        if (length == bytes && memcmp(at, key, bytes) == 0) return true;
        at += length;
        at += strspn(at, ", ");
    }
    return false;
}

void serve_ask_ignore(struct serve_ask *ask, const char *key)
{
    if (ask_is_ignored(ask, key)) return; /* as when a device failed and the CPU tries again */
    size_t used = strlen(ask->ignored);
    snprintf(ask->ignored + used, sizeof ask->ignored - used, "%s%s", used ? ", " : "", key);
}

static int ask_read_text(struct serve_ask *ask, const struct ask_key *key, const char *text)
{
    switch (key->kind) {
    case ASK_TEXT:
    case ASK_WORD: return ask_keep((char **)(void *)((char *)ask + key->offset), text);
    case ASK_SEED: return ask_read_seed(ask, text);
    case ASK_COUNT: return ask_read_count(ask, text);
    case ASK_GRID: return ask_read_grid(ask, text);
    case ASK_FORMAT: return ask_read_format(ask, text);
    case ASK_IGNORED: break;
    }
    serve_ask_ignore(ask, key->name);
    return OK;
}

static int ask_read_number(struct serve_ask *ask, const struct ask_key *key, double value)
{
    char text[NUMBER_TEXT_BYTES];
    bool is_count = key->kind == ASK_COUNT || key->kind == ASK_SEED;
    if (key->kind != ASK_WORD && key->kind != ASK_IGNORED && !is_count)
        return fail(ERR_USAGE, "%s: a string is needed", key->name);
    if (!isfinite(value)) return fail(ERR_USAGE, "%s: a finite number is needed", key->name);
    if (is_count && !(value >= 0 && value == floor(value)))
        return fail(ERR_USAGE, "%s: a whole number from %d on is needed", key->name,
                    key->kind == ASK_COUNT);
    if (is_count && value > LARGEST_WHOLE)
        return fail(ERR_USAGE, "%s: beyond 2^53 a string is needed, as JSON's numbers end there",
                    key->name);
    return ask_read_text(ask, key, number_format(text, value));
}

static int ask_read_value(struct serve_ask *ask, const struct ask_key *key, const cJSON *value)
{
    if (cJSON_IsNull(value)) return OK; /* as not given */
    if (cJSON_IsString(value)) return ask_read_text(ask, key, value->valuestring);
    if (cJSON_IsNumber(value)) return ask_read_number(ask, key, value->valuedouble);
    if (key->kind == ASK_IGNORED) return ask_read_text(ask, key, "");
    return fail(ERR_USAGE, "%s: a %s is needed", key->name,
                key->kind == ASK_COUNT || key->kind == ASK_SEED ? "number" : "string");
}

static int ask_read_key(struct serve_ask *ask, const cJSON *item, uint32_t *seen)
{
    int key = ask_find_key(ask, item->string);
    if (key < 0) return ask_fail_unknown(ask, item->string);
    ask->wrong = ask_keys[key].name;
    if (*seen >> key & 1) return fail(ERR_USAGE, "%s is given twice", ask_keys[key].name);
    *seen |= 1u << key;
    TRY(ask_read_value(ask, &ask_keys[key], item));
    ask->wrong = NULL;
    return OK;
}

/* ---- all of them ---- */

void serve_ask_begin(struct serve_ask *ask, enum serve_endpoint endpoint)
{
    *ask = (struct serve_ask){.endpoint = endpoint, .as_json = endpoint == SERVE_GENERATIONS};
}

static bool ask_ends(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at == end;
}

static int ask_check_text(const char *body, size_t bytes)
{
    if (memchr(body, 0, bytes)) return fail(ERR_USAGE, "the body holds a zero byte");
    for (size_t at = 0, length; at < bytes; at += length)
        if ((length = utf8_length(body + at, bytes - at)) == 0)
            return fail(ERR_USAGE, "the body is no UTF-8");
    return OK;
}

/* A text that has \u0000 within would end there. */
static bool ask_has_zero(const char *body, size_t bytes)
{
    static const char zero[] = {'\\', 'u', '0', '0', '0', '0'};
    for (size_t at = 0; at < bytes; at++) {
        if (body[at] != '\\') continue;
        if (bytes - at >= sizeof zero && memcmp(body + at, zero, sizeof zero) == 0) return true;
        at++; /* what follows is no escape */
    }
    return false;
}

int serve_ask_read_body(struct serve_ask *ask, const char *body, size_t bytes)
{
    const char *end = body;
    uint32_t seen = 0;
    TRY(ask_check_text(body, bytes));
    if (ask_has_zero(body, bytes)) return fail(ERR_USAGE, "the body holds a zero byte, as \\u0000");
    cJSON *root = cJSON_ParseWithLengthOpts(body, bytes, &end, false);
    int code = OK;
    if (!root || !cJSON_IsObject(root) || !ask_ends(end, body + bytes))
        code = fail(ERR_USAGE, "the body is no JSON object (byte %td)", end - body);
    for (const cJSON *item = root ? root->child : NULL; item && code == OK; item = item->next)
        code = ask_read_key(ask, item, &seen);
    cJSON_Delete(root);
    return code;
}

int serve_ask_read_parameter(struct serve_ask *ask, const char *key, const char *value)
{
    int at = ask_find_key(ask, key);
    if (at < 0) return ask_fail_unknown(ask, key);
    ask->wrong = ask_keys[at].name;
    if (!value) return fail(ERR_USAGE, "%s: a value is needed", ask_keys[at].name);
    TRY(ask_check_text(value, strlen(value)));
    TRY(ask_read_text(ask, &ask_keys[at], value));
    ask->wrong = NULL;
    return OK;
}

int serve_ask_check(struct serve_ask *ask)
{
    int cells = ask->columns * ask->rows;
    if (cells && ask->n > cells) {
        ask->wrong = "n";
        return fail(ERR_USAGE, "n %d: a grid of %dx%d holds %d images", ask->n, ask->columns,
                    ask->rows, cells);
    }
    if (ask->n == 0) ask->n = cells ? cells : 1;
    if (ask->n > 1 && !cells && !ask->as_json) {
        ask->wrong = "response_format";
        return fail(ERR_USAGE, "n %d: a PNG is one image: ask for b64_json%s", ask->n,
                    ask->endpoint == SERVE_SAMPLE ? " or a grid" : "");
    }
    return OK;
}

void serve_ask_free(struct serve_ask *ask)
{
    for (int i = 0; i < ASK_KEYS; i++)
        if (ask_keys[i].kind == ASK_TEXT || ask_keys[i].kind == ASK_WORD)
            free(*(char **)(void *)((char *)ask + ask_keys[i].offset));
    *ask = (struct serve_ask){0};
}
