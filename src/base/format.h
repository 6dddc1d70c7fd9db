/* Numbers for people to read, and text printed into memory. */
#ifndef IMGTRAIN_BASE_FORMAT_H
#define IMGTRAIN_BASE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct format_text {
    char text[24];
};

/* "512 B", "3.2 MiB", "11.8 GiB": powers of 1024, three digits at most. Negative: "?". */
struct format_text format_bytes(int64_t bytes);

/* Text that is printed into memory, whole or not at all: open_memstream leaves out bytes for which
 * it gets no memory, and neither ferror nor fclose says so. */
struct printed_text {
    char *text; /* ends with 0; NULL without memory */
    size_t bytes;
    bool failed;
};
/* The stream to print to; NULL without memory. */
FILE *printed_text_open(struct printed_text *to);
/* Closes it. ERR_SYSTEM, with no text; else it is the caller's, to be freed. */
int printed_text_close(struct printed_text *to, FILE *stream);

#endif
