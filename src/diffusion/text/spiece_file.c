#include "diffusion/text/spiece_file.h"

#include "base/error.h"
#include "base/file.h"
#include "store/protobuf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of fields and values in sentencepiece_model.proto. */
enum {
    SPIECE_FILE_MOST = 64 << 20,
    MODEL_PIECES = 1,
    MODEL_TRAINER = 2,
    MODEL_NORMALIZER = 3,
    PIECE_TEXT = 1,
    PIECE_SCORE = 2,
    PIECE_TYPE = 3,
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN = 2,
    PIECE_CONTROL = 3,
    TRAINER_TYPE = 3,
    TRAINER_BYTE_FALLBACK = 35,
    TYPE_UNIGRAM = 1,
    NORMALIZER_CHARSMAP = 2
};

struct spiece {
    const uint8_t *text; /* not ended by 0 */
    size_t bytes;
    double score;
    uint64_t type;
};

static int spiece_damaged(const struct tokenizer *t)
{
    return fail(ERR_DATA, "%s: no model of SentencePiece, or damaged", t->path);
}

static int spiece_read_piece(const struct tokenizer *t, const struct protobuf_field *message,
                             struct spiece *piece)
{
    const uint8_t *at = message->bytes, *end = at + message->count;
    struct protobuf_field f;
    bool sound;
    float score = 0.0f;
    *piece = (struct spiece){.type = PIECE_NORMAL};
    while (protobuf_next(&at, end, &f, &sound)) {
        if (f.number == PIECE_TEXT && f.is_bytes) piece->text = f.bytes, piece->bytes = f.count;
        if (f.number == PIECE_SCORE && f.count == sizeof score) memcpy(&score, f.bytes, f.count);
        if (f.number == PIECE_TYPE && !f.is_bytes) piece->type = f.value;
    }
    piece->score = (double)score;
    if (!sound || piece->bytes == 0 || memchr(piece->text, 0, piece->bytes) || !isfinite(score))
        return spiece_damaged(t);
    return OK;
}

/* The value of a number within a message; `without` where it does not say. */
static uint64_t spiece_number(const struct protobuf_field *message, int field, uint64_t without)
{
    const uint8_t *at = message->bytes, *end = at + message->count;
    struct protobuf_field f;
    bool sound;
    while (protobuf_next(&at, end, &f, &sound))
        if (f.number == field && !f.is_bytes) without = f.value;
    return without;
}

static int spiece_read_charsmap(struct tokenizer *t, const struct protobuf_field *message)
{
    const uint8_t *at = message->bytes, *end = at + message->count;
    struct protobuf_field f;
    bool sound;
    while (protobuf_next(&at, end, &f, &sound)) {
        if (f.number != NORMALIZER_CHARSMAP || !f.is_bytes || f.count == 0) continue;
        if (t->normalizer.count > 0) return spiece_damaged(t);
        int code = charsmap_open(&t->normalizer.charsmap, f.bytes, f.count);
        if (code == OK) code = text_normalizer_add(&t->normalizer, TEXT_STEP_CHARSMAP);
        if (code < 0) return fail_within(code, "%s", t->path);
    }
    return sound ? OK : spiece_damaged(t);
}

/* All but the pieces; *count and *bytes: of these. */
static int spiece_read_settings(struct tokenizer *t, const uint8_t *data, size_t size, int *count,
                                size_t *bytes)
{
    const uint8_t *at = data, *end = data + size;
    struct protobuf_field f;
    bool sound;
    while (protobuf_next(&at, end, &f, &sound)) {
        if (!f.is_bytes) continue;
        if (f.number == MODEL_PIECES) ++*count, *bytes += f.count;
        if (f.number == MODEL_TRAINER &&
            (spiece_number(&f, TRAINER_TYPE, TYPE_UNIGRAM) != TYPE_UNIGRAM ||
             spiece_number(&f, TRAINER_BYTE_FALLBACK, 0) != 0))
            return fail(ERR_DATA, "%s: a model of SentencePiece that is not of unigrams alone",
                        t->path);
        if (f.number == MODEL_NORMALIZER) TRY(spiece_read_charsmap(t, &f));
    }
    if (!sound || *count < 1 || *count > VOCABULARY_MOST) return spiece_damaged(t);
    return OK;
}

static int spiece_add(struct tokenizer *t, const struct spiece *piece, int id, int *unknown)
{
    TRY(vocabulary_add(&t->words, id, (const char *)piece->text, piece->bytes));
    if (piece->type == PIECE_UNKNOWN) *unknown = id;
    if (piece->type != PIECE_UNKNOWN && piece->type != PIECE_CONTROL) return OK;
    return added_tokens_add(&t->added, t->words.words[id].text, id, false, true);
}

static int spiece_read_pieces(struct tokenizer *t, const uint8_t *data, size_t size, double *scores,
                              int *unknown)
{
    const uint8_t *at = data, *end = data + size;
    struct protobuf_field f;
    bool sound;
    int id = 0;
    *unknown = -1;
    while (protobuf_next(&at, end, &f, &sound)) {
        struct spiece piece;
        if (f.number != MODEL_PIECES || !f.is_bytes) continue;
        TRY(spiece_read_piece(t, &f, &piece));
        scores[id] = piece.score;
        int code = spiece_add(t, &piece, id++, unknown);
        if (code < 0) return fail_within(code, "%s", t->path);
    }
    return *unknown >= 0 ? OK : fail(ERR_DATA, "%s: no piece stands for unknown ones", t->path);
}

static int spiece_parse(struct tokenizer *t, const uint8_t *data, size_t size)
{
    int count = 0, unknown;
    size_t bytes = 0;
    TRY(spiece_read_settings(t, data, size, &count, &bytes));
    double *scores = malloc((size_t)count * sizeof *scores);
    int code = scores ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) code = vocabulary_open(&t->words, count, bytes);
    if (code == OK) code = spiece_read_pieces(t, data, size, scores, &unknown);
    if (code == OK) return unigram_open(&t->unigram, &t->words, scores, unknown);
    free(scores);
    return code;
}

int spiece_file_read(struct tokenizer *t)
{
    uint8_t *data;
    size_t size;
    TRY(file_read(t->path, SPIECE_FILE_MOST, &data, &size));
    t->kind = TOKENIZER_UNIGRAM;
    t->splits_spaces = true;
    int code = spiece_parse(t, data, size);
    free(data);
    return code;
}
