#include "diffusion/text/byte_bpe.h"

#include "base/error.h"
#include "diffusion/text/unicode_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SUFFIX_MOST = 16 };

/* ---- bytes as letters ---- */

/* Bytes that cannot be printed: their letters are U+0100 and on, one run behind the other. */
static const struct {
    int byte, count, code;
} hidden_bytes[] = {{0, 33, 256}, {127, 34, 256 + 33}, {173, 1, 256 + 33 + 34}};
enum { HIDDEN_RUNS = sizeof hidden_bytes / sizeof *hidden_bytes };

static int byte_code(int byte)
{
    for (int i = 0; i < HIDDEN_RUNS; i++) {
        int place = byte - hidden_bytes[i].byte;
        if (place >= 0 && place < hidden_bytes[i].count) return hidden_bytes[i].code + place;
    }
    return byte;
}

/* -1: this letter stands for none. */
static int byte_of_code(int32_t code)
{
    for (int i = 0; i < HIDDEN_RUNS; i++) {
        int place = code - hidden_bytes[i].code;
        if (place >= 0 && place < hidden_bytes[i].count) return hidden_bytes[i].byte + place;
    }
    return code < 256 && byte_code(code) == code ? code : -1;
}

void byte_letter(int byte, char letter[BYTE_LETTER_BYTES])
{
    int code = byte_code(byte);
    memset(letter, 0, BYTE_LETTER_BYTES);
    letter[0] = (char)(code < 0x80 ? code : 0xC0 | code >> 6);
    if (code >= 0x80) letter[1] = (char)(0x80 | (code & 0x3F));
}

int byte_letters_decode(struct text_bytes *to, const char *word, size_t bytes)
{
    for (size_t at = 0, wide; at < bytes; at += wide) {
        int32_t code = unicode_next(word + at, bytes - at, &wide);
        int byte = byte_of_code(code);
        char plain = (char)byte;
        TRY(byte >= 0 ? text_bytes_add(to, &plain, 1) : text_bytes_add(to, word + at, wide));
    }
    return OK;
}

/* ---- the table of merges ---- */

int byte_bpe_open(struct byte_bpe *bpe, const struct vocabulary *words, const char *suffix)
{
    *bpe = (struct byte_bpe){.letters = {0}};
    if (strlen(suffix) > SUFFIX_MOST) return fail(ERR_DATA, "the suffix %.40s is too long", suffix);
    for (int byte = 0; byte < 256; byte++) {
        char letter[BYTE_LETTER_BYTES + SUFFIX_MOST];
        byte_letter(byte, letter);
        bpe->letters[byte] = vocabulary_find(words, letter, strlen(letter));
        strcat(letter, suffix);
        bpe->last_letters[byte] = vocabulary_find(words, letter, strlen(letter));
        if (bpe->letters[byte] < 0 || bpe->last_letters[byte] < 0)
            return fail(ERR_DATA, "no word %s, the letter of byte %d", letter, byte);
    }
    return pair_table_open(&bpe->merges, PAIR_TABLE_FIRST);
}

void byte_bpe_free(struct byte_bpe *bpe)
{
    pair_table_free(&bpe->merges);
    *bpe = (struct byte_bpe){0};
}

int byte_bpe_add(struct byte_bpe *bpe, const struct vocabulary *words, int rank, const char *left,
                 size_t left_bytes, const char *right, size_t right_bytes)
{
    struct text_bytes both = {0};
    int first = vocabulary_find(words, left, left_bytes);
    int second = vocabulary_find(words, right, right_bytes), id = -1;
    int code = text_bytes_add(&both, left, left_bytes);
    if (code == OK) code = text_bytes_add(&both, right, right_bytes);
    if (code == OK) id = vocabulary_find(words, both.bytes, both.count);
    if (code == OK && (first < 0 || second < 0 || id < 0))
        code = fail(ERR_DATA, "merge %d, of %.*s and %.*s: %s is no word", rank + 1,
                    vocabulary_shown(left_bytes), left, vocabulary_shown(right_bytes), right,
                    first < 0    ? "the first"
                    : second < 0 ? "the second"
                                 : "both together");
    if (code == OK)
        code = pair_table_put(&bpe->merges, (struct pair_slot){first, second, rank, id});
    text_bytes_free(&both);
    return code;
}

/* ---- words ---- */

struct bpe_symbol {
    int id;             /* -1: merged into its left neighbour */
    int previous, next; /* -1: none */
};

/* A merge that could be made: of the symbol at `at` and the one behind it. */
struct bpe_candidate {
    int rank, at, id;
};

static bool bpe_comes_before(struct bpe_candidate a, struct bpe_candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static int heap_push(struct bpe_work *work, struct bpe_candidate c)
{
    TRY(text_reserve(&work->heap, &work->heap_room, work->waiting + 1, sizeof c));
    size_t at = work->waiting++;
    for (; at > 0 && bpe_comes_before(c, work->heap[(at - 1) / 2]); at = (at - 1) / 2)
        work->heap[at] = work->heap[(at - 1) / 2];
    work->heap[at] = c;
    return OK;
}

static struct bpe_candidate heap_pop(struct bpe_work *work)
{
    struct bpe_candidate *heap = work->heap, first = heap[0], last = heap[--work->waiting];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < work->waiting; at = child) {
        if (child + 1 < work->waiting && bpe_comes_before(heap[child + 1], heap[child])) child++;
        if (!bpe_comes_before(heap[child], last)) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

/* Where the symbol at `at` and the one behind it can be merged, that is a candidate. */
static int bpe_offer(const struct byte_bpe *bpe, struct bpe_work *work, int at)
{
    const struct bpe_symbol *left = &work->symbols[at];
    if (left->next < 0) return OK;
    const struct pair_slot *merge =
        pair_table_at(&bpe->merges, left->id, work->symbols[left->next].id);
    if (merge->left < 0) return OK;
    return heap_push(work, (struct bpe_candidate){merge->rank, at, merge->id});
}

/* Makes a merge, unless one of its symbols has been merged otherwise since it was offered. */
static int bpe_take(const struct byte_bpe *bpe, struct bpe_work *work, struct bpe_candidate c)
{
    struct bpe_symbol *left = &work->symbols[c.at];
    if (left->id < 0 || left->next < 0) return OK;
    struct bpe_symbol *right = &work->symbols[left->next];
    const struct pair_slot *merge = pair_table_at(&bpe->merges, left->id, right->id);
    if (merge->left < 0 || merge->id != c.id) return OK;
    left->id = c.id;
    right->id = -1;
    left->next = right->next;
    if (left->next >= 0) work->symbols[left->next].previous = c.at;
    if (left->previous >= 0) TRY(bpe_offer(bpe, work, left->previous));
    return bpe_offer(bpe, work, c.at);
}

int byte_bpe_encode(const struct byte_bpe *bpe, struct bpe_work *work, const char *word,
                    size_t bytes, struct token_ids *to)
{
    int count = (int)bytes;
    TRY(text_reserve(&work->symbols, &work->symbol_room, bytes, sizeof *work->symbols));
    for (int i = 0; i < count; i++) {
        const int *letters = i + 1 < count ? bpe->letters : bpe->last_letters;
        work->symbols[i] =
            (struct bpe_symbol){letters[(unsigned char)word[i]], i - 1, i + 1 < count ? i + 1 : -1};
    }
    work->waiting = 0;
    for (int i = 0; i + 1 < count; i++)
        TRY(bpe_offer(bpe, work, i));
    while (work->waiting > 0)
        TRY(bpe_take(bpe, work, heap_pop(work)));
    for (int i = 0; i >= 0; i = work->symbols[i].next)
        TRY(token_ids_add(to, work->symbols[i].id));
    return OK;
}

void bpe_work_free(struct bpe_work *work)
{
    free(work->symbols);
    free(work->heap);
    *work = (struct bpe_work){0};
}
