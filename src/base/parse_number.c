#include "base/parse_number.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static locale_t c_locale;

static void make_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The C locale, whatever the process is set to; 0 in the (theoretical) case that it fails. */
static locale_t locale_c(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    return c_locale;
}

static double to_double(const char *text)
{
    locale_t locale = locale_c();
    return locale ? strtod_l(text, NULL, locale) : strtod(text, NULL);
}

static size_t parse_number_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* Length of [+-] digits [. digits] at the start of `text`; 0 if there is no digit. */
static size_t decimal_length(const char *text)
{
    size_t sign = *text == '+' || *text == '-';
    size_t whole = parse_number_digits(text + sign), used = sign + whole, part = 0;
    if (text[used] == '.') {
        part = parse_number_digits(text + used + 1);
        used += 1 + part;
    }
    return whole + part ? used : 0;
}

static size_t float_length(const char *text)
{
    size_t used = decimal_length(text);
    if (used && (text[used] == 'e' || text[used] == 'E')) {
        size_t sign = text[used + 1] == '+' || text[used + 1] == '-';
        size_t exponent = parse_number_digits(text + used + 1 + sign);
        if (!exponent) return 0;
        used += 1 + sign + exponent;
    }
    return used;
}

bool number_parse_double(const char *text, double *value)
{
    size_t used = float_length(text);
    if (!used || text[used] != '\0') return false;
    double v = to_double(text);
    if (!isfinite(v)) return false;
    *value = v;
    return true;
}

/* Reads [+-] and digits into a sign and an absolute value. */
static bool parse_whole(const char *text, bool *negative, uint64_t *magnitude)
{
    const char *p = text + (*text == '+' || *text == '-');
    size_t n = parse_number_digits(p);
    *negative = *text == '-';
    if (n && p[n] == '\0') {
        if (n > 1 && p[0] == '0') return false; /* octal for some YAML readers: nobody's guess */
        errno = 0;
        unsigned long long v = strtoull(p, NULL, 10);
        if (errno) return false;
        *magnitude = v;
        return true;
    }
    double v;
    if (!number_parse_double(text, &v)) return false;
    v = fabs(v);
    if (v > 0x1p53 || v != floor(v)) return false;
    *magnitude = (uint64_t)v;
    return true;
}

bool number_parse_int(const char *text, int64_t *value)
{
    bool negative;
    uint64_t magnitude;
    if (!parse_whole(text, &negative, &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    if (negative && magnitude == (uint64_t)INT64_MAX + 1)
        *value = INT64_MIN;
    else
        *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

bool number_parse_uint(const char *text, uint64_t *value)
{
    bool negative;
    uint64_t magnitude;
    if (!parse_whole(text, &negative, &magnitude) || (negative && magnitude)) return false;
    *value = magnitude;
    return true;
}

/* One whole number below `limit`; *text moves behind it. */
static bool number_field(const char **text, double limit, double *value)
{
    size_t n = parse_number_digits(*text);
    if (n == 0 || n > 9) return false;
    for (*value = 0; n > 0; n--)
        *value = 10 * *value + (*(*text)++ - '0');
    return *value < limit;
}

bool number_parse_size(const char *text, int *width, int *height)
{
    const double limit = 1e9;
    double w, h;
    if (!number_field(&text, limit, &w) || *text++ != 'x') return false;
    if (!number_field(&text, limit, &h) || *text) return false;
    *width = (int)w;
    *height = (int)h;
    return true;
}

bool number_parse_sides(const char *text, int *width, int *height)
{
    const char *end = text;
    double side;
    if (!number_field(&end, 1e9, &side) || *end) return number_parse_size(text, width, height);
    *width = *height = (int)side;
    return true;
}

/* As SLURM writes times: M:S, H:M:S, D-H, D-H:M, D-H:M:S. */
static bool parse_clock(const char *text, double *seconds)
{
    double field[3] = {0, 0, 0}, days = 0;
    const char *dash = strchr(text, '-');
    int count = 0;
    if (dash && (!number_field(&text, 1e9, &days) || text++ != dash)) return false;
    do {
        double limit = count > 0 ? 60 : dash ? 24 : 1e9;
        if (count == 3 || !number_field(&text, limit, &field[count++])) return false;
    } while (*text == ':' && text++);
    if (*text || (!dash && count == 1)) return false;
    if (!dash && count == 2) { /* minutes and seconds */
        field[2] = field[1];
        field[1] = field[0];
        field[0] = 0;
    }
    *seconds = ((days * 24 + field[0]) * 60 + field[1]) * 60 + field[2];
    return true;
}

bool number_parse_duration(const char *text, double *seconds)
{
    if (number_parse_double(text, seconds) || parse_clock(text, seconds)) return true;
    static const struct {
        char letter;
        double seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    double sum = 0;
    size_t unit = 0;
    while (*text) { /* every unit at most once, larger ones first */
        size_t used = decimal_length(text);
        if (!used || *text == '-' || *text == '+') return false;
        while (unit < 4 && units[unit].letter != text[used])
            unit++;
        if (unit == 4) return false;
        sum += to_double(text) * units[unit++].seconds;
        text += used + 1;
    }
    if (unit == 0 || !isfinite(sum)) return false;
    *seconds = sum;
    return true;
}

bool number_parse_period(const char *text, int64_t *period)
{
    char digits[NUMBER_TEXT_BYTES] = "";
    size_t bytes = strlen(text);
    bool epochs = bytes > 2 && strcmp(text + bytes - 2, "ep") == 0;
    int64_t v;
    if (bytes >= sizeof digits) return false;
    memcpy(digits, text, epochs ? bytes - 2 : bytes);
    if (!number_parse_int(digits, &v) || v < 1 || v > INT64_C(1000000000000)) return false;
    *period = epochs ? -v : v;
    return true;
}

bool number_parse_bytes(const char *text, uint64_t *bytes)
{
    if (number_parse_uint(text, bytes)) return true;
    size_t used = decimal_length(text);
    if (!used || *text == '-') return false;
    const char *unit = text + used;
    static const char letters[] = "kmgt";
    double factor = 1;
    if (strcasecmp(unit, "b") != 0) {
        const char *letter = *unit ? strchr(letters, *unit | 0x20) : NULL;
        if (!letter || !*letter) return false;
        double base = strcasecmp(unit + 1, "b") == 0 ? 1000 : 1024;
        if (base > 1000 && unit[1] != '\0' && strcasecmp(unit + 1, "ib") != 0) return false;
        factor = pow(base, (double)(letter - letters + 1));
    }
    double v = to_double(text) * factor;
    if (!(v < 0x1p64)) return false;
    *bytes = (uint64_t)v;
    return true;
}

char *number_format(char text[NUMBER_TEXT_BYTES], double value)
{
    locale_t locale = locale_c(), before = locale ? uselocale(locale) : (locale_t)0;
    char buffer[NUMBER_TEXT_BYTES];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(buffer, sizeof buffer, "%.*g", precision, value);
        if (!(to_double(buffer) != value)) break;
    }
    memcpy(text, buffer, sizeof buffer);
    if (before) uselocale(before);
    return text;
}
