/* Keys that allow some of a task's memory modes only, and what they come to. */
#ifndef IMGTRAIN_MEMORY_RESTRICTION_H
#define IMGTRAIN_MEMORY_RESTRICTION_H

#include "memory/mode.h"

enum { RESTRICTION_LINE_BYTES = 256 };

struct memory_modes {
    const struct memory_mode *list;
    int count;
};

/* One such key as it is set, and the modes that there would be if it were not. */
struct memory_restriction {
    const char *key; /* "gan.scheme block" */
    struct memory_modes without;
};

/* One line for users: "gan.scheme block leaves 3 of 14 memory modes; gan.micro_batch 16 has no
 * effect". now: the modes that there are; total: how many there would be without any of the keys.
 * "" for no keys. */
void memory_restrictions_describe(char line[RESTRICTION_LINE_BYTES],
                                  const struct memory_restriction *keys, int count,
                                  const struct memory_modes *now, int total);

#endif
