#include "cmd/seed_list.h"

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

int seed_list_add(struct seed_list *list, uint64_t seed)
{
    if (list->count == SEED_LIST_MOST) return fail(ERR_USAGE, "more than %d seeds", SEED_LIST_MOST);
    if (list->count == list->room) {
        int room = list->room ? 2 * list->room : 256;
        uint64_t *seeds = realloc(list->seeds, (size_t)room * sizeof *seeds);
        if (!seeds) return fail(ERR_SYSTEM, "out of memory");
        list->seeds = seeds;
        list->room = room;
    }
    list->seeds[list->count++] = seed;
    return OK;
}

/* A whole number at *text, which moves behind it. */
static bool take_number(const char **text, uint64_t *number)
{
    const char *from = *text;
    *number = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        if (*number > (UINT64_MAX - digit) / 10) return false;
        *number = *number * 10 + digit;
    }
    return *text > from;
}

int seed_list_parse(struct seed_list *list, const char *option, const char *text)
{
    const char *at = text;
    for (;; at++) {
        uint64_t first, last;
        bool good = take_number(&at, &first);
        last = first;
        if (good && *at == '-') {
            at++;
            good = take_number(&at, &last) && last >= first;
        }
        if (!good || (*at != ',' && *at != '\0'))
            return fail(ERR_USAGE, "%s %s: numbers and ranges are needed, like 0-63,100", option,
                        text);
        for (uint64_t seed = first;; seed++) {
            TRY(seed_list_add(list, seed));
            if (seed == last) break;
        }
        if (*at == '\0') return OK;
    }
}

void seed_list_free(struct seed_list *list)
{
    free(list->seeds);
    *list = (struct seed_list){0};
}
