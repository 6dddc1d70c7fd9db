/* Writing JSON: the pieces that every writer of it needs. */
#ifndef IMGTRAIN_BASE_JSON_H
#define IMGTRAIN_BASE_JSON_H

#include <stdio.h>

/* `text` escaped for the inside of a JSON string. What is no UTF-8 becomes U+FFFD, so that every
 * reader accepts it. */
void json_write_escaped(FILE *out, const char *text);

/* With its quotes. */
void json_write_string(FILE *out, const char *text);

/* Nine digits, enough for a float; null when it is not finite, for which JSON has no number. */
void json_write_number(FILE *out, double value);

#endif
