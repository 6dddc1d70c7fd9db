/* Seeds as users list them. */
#ifndef IMGTRAIN_CMD_SEED_LIST_H
#define IMGTRAIN_CMD_SEED_LIST_H

#include <stdint.h>

enum { SEED_LIST_MOST = 10000000 };

struct seed_list {
    uint64_t *seeds; /* owned */
    int count, room;
};

/* Appends "0-63,100": numbers and rising ranges. option: for the message. ERR_USAGE, ERR_SYSTEM. */
int seed_list_parse(struct seed_list *list, const char *option, const char *text);
int seed_list_add(struct seed_list *list, uint64_t seed);
void seed_list_free(struct seed_list *list); /* accepts a zeroed struct */

#endif
