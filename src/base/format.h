/* Numbers for people to read. */
#ifndef IMGTRAIN_BASE_FORMAT_H
#define IMGTRAIN_BASE_FORMAT_H

#include <stdint.h>

struct format_text {
    char text[24];
};

/* "512 B", "3.2 MiB", "11.8 GiB": powers of 1024, three digits at most. Negative: "?". */
struct format_text format_bytes(int64_t bytes);

#endif
