/* How the sums of weight gradients are cut. A chunk is cut into pieces, the same ones whatever the
 * threads. A wave of whole chunks is summed, each piece into its own partial sums by jobs that may
 * also cut the columns (or groups); then the pieces of each chunk are added in order. */
#ifndef IMGTRAIN_CPU_NN_CONV_CUT_H
#define IMGTRAIN_CPU_NN_CONV_CUT_H

#include "device/nn_ops.h"

#include <stddef.h>

static inline int conv_ceil_div(size_t a, size_t b)
{
    return (int)((a + b - 1) / b);
}

static inline int conv_clamp(size_t x, int low, int high)
{
    return x < (size_t)low ? low : x > (size_t)high ? high : (int)x;
}

/* Tiles of 2x2 outputs. */
static inline size_t conv_tiles_of(const struct nn_conv *s)
{
    return (size_t)s->n * (size_t)((s->h + 1) / 2) * (size_t)((s->w + 1) / 2);
}

struct conv_cut {
    size_t chunk;  /* rows (or tiles) of a chunk */
    size_t total;  /* of all */
    int pieces;    /* of a chunk */
    size_t piece;  /* rows of a piece but the last */
    int wave;      /* chunks of a wave */
    int blocks;    /* of columns or groups */
    size_t floats; /* of one piece's sums */
};

/* Partial sums of up to 4 MiB, or four of them. */
static inline struct conv_cut conv_cut_of(const struct nn_conv *s, size_t total, size_t least,
                                          size_t floats)
{
    struct conv_cut c = {.total = total, .floats = floats};
    /* Also where there are fewer images: the end of a batch is cut alike, alone or not. */
    size_t pictures = (size_t)(s->chunk > 0 ? s->chunk : s->n);
    c.chunk = total / (size_t)s->n * pictures;
    int most = conv_clamp(((size_t)1 << 20) / floats, 4, 16);
    c.pieces = conv_clamp(c.chunk / least, 1, most);
    c.piece = (c.chunk + (size_t)c.pieces - 1) / (size_t)c.pieces;
    c.wave = most / c.pieces;
    return c;
}

/* The rows of a wave's p-th piece, when the wave starts with chunk `chunk`; 0 when there are none.
 */
static inline size_t conv_piece_rows(const struct conv_cut *c, size_t chunk, int p, size_t *first)
{
    size_t begin = (chunk + (size_t)(p / c->pieces)) * c->chunk;
    size_t end = begin + c->chunk < c->total ? begin + c->chunk : c->total;
    *first = begin + (size_t)(p % c->pieces) * c->piece;
    size_t last = *first + c->piece < end ? *first + c->piece : end;
    return *first < last ? last - *first : 0;
}

#endif
