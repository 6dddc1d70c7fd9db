/* Strings and numbers as JSON has them. */
#ifndef IMGTRAIN_BASE_JSON_H
#define IMGTRAIN_BASE_JSON_H

#include <stdio.h>

/* `text` escaped for the inside of a JSON string. Bytes that are no UTF-8 become U+FFFD, so that
 * every reader accepts the string. */
void json_write_escaped(FILE *out, const char *text);

/* The same between quotes. */
void json_write_string(FILE *out, const char *text);

/* Nine digits, enough for a float; null when it is not finite, for which JSON has no number. */
void json_write_number(FILE *out, double value);

#endif
