/* Values between text and the fields of struct config. */
#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "base/parse_number.h"
#include "base/utf8.h"
#include "config/config_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(const struct config_row *row)
{
    static const char *const names[] = {
        [CONFIG_TYPE_BOOL] = "true or false",
        [CONFIG_TYPE_INT] = "a whole number",
        [CONFIG_TYPE_UINT] = "a whole number",
        [CONFIG_TYPE_FLOAT] = "a number",
        [CONFIG_TYPE_STRING] = "a text",
        [CONFIG_TYPE_PATH] = "a path",
        [CONFIG_TYPE_LIST] = "a list of whole numbers",
        [CONFIG_TYPE_REALS] = "a list of numbers",
        [CONFIG_TYPE_WORDS] = "words of",
        [CONFIG_TYPE_DURATION] = "a time (90, 90s, 5m, 3h50m)",
        [CONFIG_TYPE_PERIOD] = "a number of steps (1000), or of epochs (20ep), above 0",
        [CONFIG_TYPE_BYTES] = "a size (1500, 512MB, 8GB, 8GiB)",
        [CONFIG_TYPE_ENUM] = "one of",
        [CONFIG_TYPE_IGNORED] = "",
        [CONFIG_TYPE_ALIAS] = "",
    };
    return names[row->type];
}

/* Reads one UTF-8 character; 0 for bytes that are none. *length: its bytes. */
static uint32_t config_value_decode(const char *s, size_t *length)
{
    static const unsigned char first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    *length = utf8_length(s, 4); /* no byte behind the end is looked at: it ends with 0 */
    uint32_t c = (unsigned char)s[0] & first_bits[*length];
    for (size_t i = 1; i < *length; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3Fu);
    return c;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

char *config_value_shown(const char *text, char shown[CONFIG_SHOWN_BYTES])
{
    size_t n = strnlen(text, CONFIG_SHOWN_BYTES);
    bool cut = n >= CONFIG_SHOWN_BYTES;
    if (cut) n = utf8_cut(text, CONFIG_SHOWN_BYTES - 4);
    for (size_t i = 0, length; i < n; i += length) {
        bool kept = !is_control(config_value_decode(text + i, &length));
        if (length == 0) length = 1;
        if (kept)
            memcpy(shown + i, text + i, length);
        else
            memset(shown + i, '?', length);
    }
    memcpy(shown + n, "...", cut ? 4 : 0);
    if (!cut) shown[n] = '\0';
    return shown;
}

static int wrong_type(const struct config_row *row, const char *text)
{
    char shown[CONFIG_SHOWN_BYTES];
    bool is_enum = row->type == CONFIG_TYPE_ENUM || row->type == CONFIG_TYPE_WORDS;
    return fail(ERR_CONFIG, "%s: expected %s%s%s%s, got '%s'", row->key, type_name(row),
                is_enum ? " " : "", is_enum ? row->range : "", row->or_auto ? " or auto" : "",
                config_value_shown(text, shown));
}

static int out_of_range(const struct config_row *row, const char *text)
{
    char shown[CONFIG_SHOWN_BYTES];
    return fail(ERR_CONFIG, "%s: %s is out of range %s%s%s%s", row->key,
                config_value_shown(text, shown), *row->range ? row->range : "0..1e12",
                *row->unit ? " (" : "", row->unit, *row->unit ? ")" : "");
}

bool config_value_parse_bool(const char *text, bool *value)
{
    static const char *const words[] = {"true", "True", "TRUE", "yes",   "Yes",   "YES",
                                        "on",   "On",   "ON",   "false", "False", "FALSE",
                                        "no",   "No",   "NO",   "off",   "Off",   "OFF"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *value = i < 9;
        return true;
    }
    return false;
}

/* Says of a text that fits no 64-bit type whether it is too far out or no whole number at all. */
static int no_integer(const struct config_row *row, const char *text)
{
    double v;
    bool number = number_parse_double(text, &v);
    bool far_out = number && (fabs(v) >= 0x1p53 || (v < 0 && row->type == CONFIG_TYPE_UINT));
    return far_out ? out_of_range(row, text) : wrong_type(row, text);
}

static int parse_int(const struct config_row *row, const char *text, int64_t *value)
{
    int64_t v;
    if (row->or_auto && strcmp(text, "auto") == 0) {
        *value = 0;
        return OK;
    }
    if (!number_parse_int(text, &v)) return no_integer(row, text);
    if (v < row->int_low || (v > 0 && (uint64_t)v > row->int_high)) return out_of_range(row, text);
    *value = v;
    return OK;
}

static int parse_uint(const struct config_row *row, const char *text, uint64_t *value)
{
    uint64_t v;
    if (!number_parse_uint(text, &v)) return no_integer(row, text);
    if (v < (uint64_t)row->int_low || v > row->int_high) return out_of_range(row, text);
    *value = v;
    return OK;
}

/* Floats and durations. */
static int parse_real(const struct config_row *row, const char *text, double *value)
{
    double v;
    bool good = row->type == CONFIG_TYPE_DURATION ? number_parse_duration(text, &v)
                                                  : number_parse_double(text, &v);
    if (!good) return wrong_type(row, text);
    if (!(v >= row->low && v <= row->high)) return out_of_range(row, text);
    *value = v;
    return OK;
}

static int parse_period(const struct config_row *row, const char *text, int64_t *value)
{
    int64_t v;
    if (!number_parse_period(text, &v)) return wrong_type(row, text);
    *value = v;
    return OK;
}

static int parse_bytes(const struct config_row *row, const char *text, uint64_t *value)
{
    uint64_t v;
    if (!number_parse_bytes(text, &v)) return wrong_type(row, text);
    if (!((double)v >= row->low && (double)v <= row->high)) return out_of_range(row, text);
    *value = v;
    return OK;
}

static int parse_enum(const struct config_row *row, const char *text, int *value)
{
    for (const struct config_name *name = row->names; name->name; name++) {
        if (strcmp(name->name, text) != 0) continue;
        *value = name->value;
        return OK;
    }
    return wrong_type(row, text);
}

static int set_text(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy) return fail(ERR_SYSTEM, "out of memory");
    free(*field);
    *field = copy;
    return OK;
}

/* One value of a list. */
static int parse_element(const struct config_row *row, const char *text, void *value)
{
    if (row->type == CONFIG_TYPE_LIST) return parse_int(row, text, value);
    if (row->type == CONFIG_TYPE_REALS) return parse_real(row, text, value);
    return parse_enum(row, text, value);
}

/* In place of the values that the field has; it owns these. */
static void put_elements(const struct config_row *row, void *field, void *values, int count)
{
    struct config_list *list = field;
    struct config_reals *reals = field;
    struct config_words *words = field;
    if (row->type == CONFIG_TYPE_LIST) {
        free(list->values);
        *list = (struct config_list){values, count};
    } else if (row->type == CONFIG_TYPE_REALS) {
        free(reals->values);
        *reals = (struct config_reals){values, count};
    } else {
        free(words->values);
        *words = (struct config_words){values, count};
    }
}

static int set_list(const struct config_row *row, void *field, char *const *texts, int count)
{
    size_t bytes = row->type == CONFIG_TYPE_LIST    ? sizeof(int64_t)
                   : row->type == CONFIG_TYPE_REALS ? sizeof(double)
                                                    : sizeof(int);
    char *values = calloc((size_t)count + 1, bytes);
    int code = values ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < count && code == OK; i++)
        code = parse_element(row, texts[i], values + (size_t)i * bytes);
    if (code == OK)
        put_elements(row, field, values, count);
    else
        free(values);
    return code;
}

int config_value_set(struct config *config, const struct config_row *row, char *const *texts,
                     int count)
{
    void *field = (char *)config + row->offset;
    const char *text = count > 0 ? texts[0] : "";
    switch (row->type) {
    case CONFIG_TYPE_BOOL: return config_value_parse_bool(text, field) ? OK : wrong_type(row, text);
    case CONFIG_TYPE_INT: return parse_int(row, text, field);
    case CONFIG_TYPE_UINT: return parse_uint(row, text, field);
    case CONFIG_TYPE_FLOAT:
    case CONFIG_TYPE_DURATION: return parse_real(row, text, field);
    case CONFIG_TYPE_PERIOD: return parse_period(row, text, field);
    case CONFIG_TYPE_BYTES: return parse_bytes(row, text, field);
    case CONFIG_TYPE_ENUM: return parse_enum(row, text, field);
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH: return set_text(field, text);
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_REALS:
    case CONFIG_TYPE_WORDS: return set_list(row, field, texts, count);
    case CONFIG_TYPE_IGNORED:
    case CONFIG_TYPE_ALIAS: break;
    }
    return fail(ERR_INTERNAL, "key %s has no value", row->key);
}

void config_value_clear(struct config *config, const struct config_row *row)
{
    void *field = (char *)config + row->offset;
    if (row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_PATH) {
        char **text = field;
        free(*text);
        *text = NULL;
    } else if (config_row_is_list(row)) {
        put_elements(row, field, NULL, 0);
    }
}

bool config_value_is_utf8(const char *text)
{
    size_t length;
    for (; *text; text += length)
        if (!config_value_decode(text, &length)) return false;
    return true;
}

/* What a YAML reader refuses or takes for a line break when it stands there as it is. */
static bool needs_escape(uint32_t c)
{
    return is_control(c) || c == 0x2028 || c == 0x2029 || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF;
}

/* Bytes that are no UTF-8 (a file's name): YAML has a type for them. */
static char *quote_bytes(const char *text)
{
    char *digits = base64_encode(text, strlen(text));
    char *value = digits ? string_format("!!binary %s", digits) : NULL;
    free(digits);
    return value;
}

/* Double quotes with the escapes that YAML and JSON share. JSON has no place for bytes that are no
 * UTF-8: they become U+FFFD. */
static char *config_value_quote_text(const char *text, bool json)
{
    if (!json && !config_value_is_utf8(text)) return quote_bytes(text);
    char *out = malloc(6 * strlen(text) + 3), *p = out;
    if (!out) {
        fail(ERR_SYSTEM, "out of memory");
        return NULL;
    }
    *p++ = '"';
    size_t length;
    for (const char *s = text; *s; s += length) {
        uint32_t c = config_value_decode(s, &length);
        if (c == 0) {
            p += sprintf(p, "\\ufffd");
            length = 1;
            continue;
        }
        if (needs_escape(c)) {
            p += sprintf(p, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') *p++ = '\\';
        memcpy(p, s, length);
        p += length;
    }
    *p++ = '"';
    *p = '\0';
    return out;
}

char *config_value_quote(const struct config_row *row, const char *text, bool json)
{
    bool is_text = row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_PATH;
    bool is_word = row->type == CONFIG_TYPE_ENUM || (row->or_auto && strcmp(text, "auto") == 0);
    return is_text || (json && is_word) ? config_value_quote_text(text, json)
                                        : string_format("%s", text);
}

static const char *enum_text(const struct config_row *row, int value)
{
    const struct config_name *name = row->names;
    while (name->name && name->value != value)
        name++;
    return name->name ? name->name : "?";
}

/* Value `i` of a list; false behind its end. */
static bool element_text(char text[CONFIG_SHOWN_BYTES], const struct config_row *row,
                         const void *field, int i, bool json)
{
    const struct config_list *list = field;
    const struct config_reals *reals = field;
    const struct config_words *words = field;
    char number[NUMBER_TEXT_BYTES];
    int count = row->type == CONFIG_TYPE_LIST    ? list->count
                : row->type == CONFIG_TYPE_REALS ? reals->count
                                                 : words->count;
    if (i >= count) return false;
    if (row->type == CONFIG_TYPE_LIST)
        snprintf(text, CONFIG_SHOWN_BYTES, "%" PRId64, list->values[i]);
    else if (row->type == CONFIG_TYPE_REALS)
        snprintf(text, CONFIG_SHOWN_BYTES, "%s", number_format(number, reals->values[i]));
    else
        snprintf(text, CONFIG_SHOWN_BYTES, json ? "\"%s\"" : "%s",
                 enum_text(row, words->values[i]));
    return true;
}

static char *list_text(const struct config_row *row, const void *field, bool json)
{
    char *text = string_format("["), element[CONFIG_SHOWN_BYTES];
    for (int i = 0; text && element_text(element, row, field, i, json); i++) {
        char *longer = string_format("%s%s%s", text, i ? ", " : "", element);
        free(text);
        text = longer;
    }
    char *closed = text ? string_format("%s]", text) : NULL;
    free(text);
    return closed;
}

/* Beyond 2^53 many JSON readers would round a number: such ones are strings there. */
static char *uint_text(uint64_t value, bool json)
{
    return string_format(json && value > UINT64_C(1) << 53 ? "\"%" PRIu64 "\"" : "%" PRIu64, value);
}

static char *period_text(int64_t value, bool json)
{
    if (value >= 0) return string_format("%" PRId64, value);
    return string_format(json ? "\"%" PRId64 "ep\"" : "%" PRId64 "ep", -value);
}

char *config_value_text(const struct config *config, const struct config_row *row, bool json)
{
    const void *field = (const char *)config + row->offset;
    char number[NUMBER_TEXT_BYTES];
    switch (row->type) {
    case CONFIG_TYPE_BOOL: return string_format(*(const bool *)field ? "true" : "false");
    case CONFIG_TYPE_INT:
        if (row->or_auto && *(const int64_t *)field == 0)
            return string_format(json ? "\"auto\"" : "auto");
        return string_format("%" PRId64, *(const int64_t *)field);
    case CONFIG_TYPE_PERIOD: return period_text(*(const int64_t *)field, json);
    case CONFIG_TYPE_UINT:
    case CONFIG_TYPE_BYTES: return uint_text(*(const uint64_t *)field, json);
    case CONFIG_TYPE_FLOAT:
    case CONFIG_TYPE_DURATION:
        return string_format("%s", number_format(number, *(const double *)field));
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH: return config_value_quote_text(*(char *const *)field, json);
    case CONFIG_TYPE_ENUM:
        return string_format(json ? "\"%s\"" : "%s", enum_text(row, *(const int *)field));
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_REALS:
    case CONFIG_TYPE_WORDS: return list_text(row, field, json);
    case CONFIG_TYPE_IGNORED:
    case CONFIG_TYPE_ALIAS: break;
    }
    return string_format("null");
}
