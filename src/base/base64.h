/* Base64 (RFC 4648): bytes as text, as YAML's !!binary has them. */
#ifndef IMGTRAIN_BASE_BASE64_H
#define IMGTRAIN_BASE_BASE64_H

#include <stddef.h>

/* `bytes` of data as text, with padding: malloc, NULL (with the message set) without memory. */
char *base64_encode(const void *data, size_t bytes);

/* The data of `text`, in which blanks and line breaks do not count, and a zero byte behind it:
 * malloc, NULL without memory or when the text is no base64 (then *bytes is (size_t)-1). */
char *base64_decode(const char *text, size_t *bytes);

#endif
