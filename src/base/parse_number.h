/* Numbers as users write them: strictly parsed (the whole text or nothing) and never touched by
 * the locale. Every parser returns false and leaves *value alone when the text is no such number;
 * none sets a message: the caller knows what the text was for. */
#ifndef IMGTRAIN_BASE_PARSE_NUMBER_H
#define IMGTRAIN_BASE_PARSE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* A decimal number: 5, -0.5, .5, 1e-4. No blanks, hex, inf or nan. */
bool number_parse_double(const char *text, double *value);

/* A whole number within int64: 100, -3, and 1e4 or 2.0 as they are whole too. No 010. */
bool number_parse_int(const char *text, int64_t *value);

/* Likewise within uint64. */
bool number_parse_uint(const char *text, uint64_t *value);

/* Seconds: 90, 0.5, 90s, 5m, 3h50m, 1d; and as SLURM has them 1:30 (minutes and seconds), 2:00:00,
 * 1-12, 1-12:30, 1-12:30:00 (days-hours), but a number alone is of seconds, not minutes. */
bool number_parse_duration(const char *text, double *seconds);

/* A number of steps, above 0: 1000; or of epochs, below 0 in *value: 20ep. At most 1e12. */
bool number_parse_period(const char *text, int64_t *value);

/* Width and height as 16x24; number_parse_sides takes 16 for 16x16 too. Digits alone, at most nine
 * on a side. */
bool number_parse_size(const char *text, int *width, int *height);
bool number_parse_sides(const char *text, int *width, int *height);

/* Bytes: 1500, 512MB, 1.5GB (powers of 1000); 512MiB, 512M (powers of 1024). */
bool number_parse_bytes(const char *text, uint64_t *bytes);

/* The shortest of %.15g, %.16g, %.17g that reads back as the same value. Returns `text`. */
enum { NUMBER_TEXT_BYTES = 40 };
char *number_format(char text[NUMBER_TEXT_BYTES], double value);

#endif
