#include "diffusion/text/unigram.h"

#include "diffusion/text/unicode_text.h"

#include <math.h>
#include <stdbool.h>

static const double UNKNOWN_PENALTY = 10.0; /* below the least score of a piece */

static int unigram_add(struct unigram *u, int *nodes, const char *word, size_t bytes, int id)
{
    int node = 0;
    for (size_t i = 0; i < bytes; i++) {
        struct pair_slot slot = *pair_table_at(&u->trie, node, (unsigned char)word[i]);
        bool is_new = slot.left < 0, ends = i + 1 == bytes;
        if (is_new) slot = (struct pair_slot){node, (unsigned char)word[i], ++*nodes, -1};
        if (ends) slot.id = id;
        if (is_new || ends) TRY(pair_table_put(&u->trie, slot));
        node = slot.rank;
    }
    return OK;
}

int unigram_open(struct unigram *u, const struct vocabulary *words, double *scores, int unknown)
{
    double least = (double)INFINITY;
    int nodes = 0;
    *u = (struct unigram){.scores = scores, .unknown = unknown};
    TRY(pair_table_open(&u->trie, PAIR_TABLE_FIRST));
    for (int id = 0; id < words->rows; id++) {
        const struct vocabulary_word *word = &words->words[id];
        if (!word->text) continue;
        least = fmin(least, scores[id]);
        TRY(unigram_add(u, &nodes, word->text, word->bytes, id));
    }
    u->unknown_score = least - UNKNOWN_PENALTY;
    return OK;
}

void unigram_free(struct unigram *u)
{
    free(u->scores);
    pair_table_free(&u->trie);
    *u = (struct unigram){0};
}

/* The best way to a place in the word. */
struct unigram_node {
    double score;
    int id;   /* of its last piece */
    int from; /* where that begins; -1: no way leads here yet */
    int next; /* where the next piece ends, once the way is known */
};

static void unigram_reach(struct unigram_node *nodes, int from, int to, double score, int id)
{
    struct unigram_node *node = &nodes[to];
    double sum = score + nodes[from].score;
    if (node->from >= 0 && !(sum > node->score)) return;
    *node = (struct unigram_node){sum, id, from, -1};
}

/* Offers all pieces that begin at `from`. */
static void unigram_step(const struct unigram *u, struct unigram_node *nodes, const char *word,
                         int bytes, int from, int character)
{
    bool has_single = false;
    for (int at = from, node = 0; at < bytes; at++) {
        const struct pair_slot *slot = pair_table_at(&u->trie, node, (unsigned char)word[at]);
        if (slot->left < 0) break;
        if (slot->id >= 0) {
            unigram_reach(nodes, from, at + 1, u->scores[slot->id], slot->id);
            has_single = has_single || at + 1 - from == character;
        }
        node = slot->rank;
    }
    if (!has_single) unigram_reach(nodes, from, from + character, u->unknown_score, u->unknown);
}

/* From the end of the best way back to its beginning, then forth. */
static int unigram_collect(const struct unigram *u, const struct vocabulary *words,
                           struct unigram_node *nodes, const char *word, int bytes,
                           struct token_ids *to)
{
    for (int at = bytes; at > 0; at = nodes[at].from)
        nodes[nodes[at].from].next = at;
    for (int from = 0, end; from < bytes; from = end) {
        end = nodes[from].next;
        int id = nodes[end].id;
        if (id == u->unknown) {
            while (end < bytes && nodes[nodes[end].next].id == u->unknown)
                end = nodes[end].next;
            /* All together may be a piece after all. */
            int whole = vocabulary_find(words, word + from, (size_t)(end - from));
            if (whole >= 0) id = whole;
        }
        TRY(token_ids_add(to, id));
    }
    return OK;
}

int unigram_encode(const struct unigram *u, const struct vocabulary *words,
                   struct unigram_work *work, const char *word, size_t bytes, struct token_ids *to)
{
    TRY(text_reserve(&work->nodes, &work->room, bytes + 1, sizeof *work->nodes));
    for (size_t i = 0; i <= bytes; i++)
        work->nodes[i] = (struct unigram_node){.from = -1, .next = -1};
    for (size_t at = 0, wide; at < bytes; at += wide) {
        unicode_next(word + at, bytes - at, &wide);
        unigram_step(u, work->nodes, word, (int)bytes, (int)at, (int)wide);
    }
    return unigram_collect(u, words, work->nodes, word, (int)bytes, to);
}

void unigram_work_free(struct unigram_work *work)
{
    free(work->nodes);
    *work = (struct unigram_work){0};
}
