#include "splat/least_important.h"

#include <stdbool.h>
#include <stdlib.h>

static bool candidate_before(const struct splat_candidate *p, const struct splat_candidate *q)
{
    if (p->importance < q->importance || p->importance > q->importance)
        return p->importance < q->importance;
    return p->row < q->row;
}

static int candidate_compare(const void *a, const void *b)
{
    return candidate_before(a, b) ? -1 : candidate_before(b, a);
}

static void candidate_swap(struct splat_candidate *p, struct splat_candidate *q)
{
    struct splat_candidate kept = *p;
    *p = *q;
    *q = kept;
}

/* Splits `count` >= 3 candidates around the median of three of them; returns where it stands: none
 * before it comes after it. */
static int64_t candidate_split(struct splat_candidate *c, int64_t count)
{
    int64_t last = count - 1, store = 0;
    if (candidate_before(&c[last / 2], &c[0])) candidate_swap(&c[last / 2], &c[0]);
    if (candidate_before(&c[last], &c[0])) candidate_swap(&c[last], &c[0]);
    if (candidate_before(&c[last / 2], &c[last])) candidate_swap(&c[last / 2], &c[last]);
    for (int64_t i = 0; i < last; i++) /* the median is the last one */
        if (candidate_before(&c[i], &c[last])) candidate_swap(&c[i], &c[store++]);
    candidate_swap(&c[store], &c[last]);
    return store;
}

void splat_least_important(struct splat_candidate *candidates, int64_t count, int64_t wanted)
{
    enum { ROUNDS = 128 }; /* then the splits are bad ones, and what is left is sorted */
    struct splat_candidate *c = candidates;
    int64_t left = wanted; /* to be found among `count` candidates from c on */
    for (int round = 0; round < ROUNDS && left > 0 && left < count && count >= 3; round++) {
        int64_t middle = candidate_split(c, count);
        if (middle >= left) {
            count = middle;
            continue;
        }
        c += middle + 1;
        count -= middle + 1;
        left -= middle + 1;
    }
    if (left > 0 && left < count) qsort(c, (size_t)count, sizeof *c, candidate_compare);
    if (wanted > 0) qsort(candidates, (size_t)wanted, sizeof *candidates, candidate_compare);
}
