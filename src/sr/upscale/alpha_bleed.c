#include "sr/upscale/alpha_bleed.h"

#include "base/error.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

struct bleeding {
    struct image *image;
    uint8_t *known; /* generation in which a pixel got its colour, + 1; 0: not yet */
    size_t *edge, edge_count, *next, next_count;
};

static double bleed_get(const struct image *image, size_t at)
{
    return (double)image_sample(image, at);
}

static void bleed_set(struct image *image, size_t at, double value)
{
    switch (image->type) {
    case SAMPLE_U8: ((uint8_t *)image->data)[at] = (uint8_t)(value * 255 + 0.5); break;
    case SAMPLE_U16: ((uint16_t *)image->data)[at] = (uint16_t)(value * 65535 + 0.5); break;
    case SAMPLE_F32: ((float *)image->data)[at] = (float)value; break;
    }
}

/* Calls for the neighbours of `pixel`: those that have no colour join the next edge; or (colour)
 * those that have one of an earlier generation add to the mean. */
static void bleed_visit(struct bleeding *b, size_t pixel, int generation, bool colour)
{
    const struct image *image = b->image;
    int w = image->width, h = image->height, colours = image->channels - 1, count = 0;
    int x = (int)(pixel % (size_t)w), y = (int)(pixel / (size_t)w);
    double sum[3] = {0};
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) {
            if (x + dx < 0 || x + dx >= w || y + dy < 0 || y + dy >= h) continue;
            size_t at = (size_t)(y + dy) * (size_t)w + (size_t)(x + dx);
            if (!colour && b->known[at] == 0) {
                b->known[at] = UINT8_MAX; /* waits for its turn */
                b->next[b->next_count++] = at;
            } else if (colour && b->known[at] > 0 && b->known[at] <= generation) {
                for (int c = 0; c < colours; c++)
                    sum[c] += bleed_get(image, at * (size_t)image->channels + (size_t)c);
                count++;
            }
        }
    for (int c = 0; colour && c < colours; c++)
        bleed_set(b->image, pixel * (size_t)image->channels + (size_t)c, sum[c] / count);
}

static void bleed_all(struct bleeding *b, int reach)
{
    size_t pixels = (size_t)b->image->width * (size_t)b->image->height;
    size_t channels = (size_t)b->image->channels;
    for (size_t i = 0; i < pixels; i++)
        if (image_sample(b->image, i * channels + channels - 1) > 0) b->known[i] = 1;
    for (size_t i = 0; i < pixels; i++)
        if (b->known[i] == 1) bleed_visit(b, i, 1, false);
    for (int generation = 1; generation <= reach && b->next_count; generation++) {
        size_t *edge = b->edge;
        b->edge = b->next;
        b->edge_count = b->next_count;
        b->next = edge;
        b->next_count = 0;
        for (size_t i = 0; i < b->edge_count; i++)
            bleed_visit(b, b->edge[i], generation, true);
        for (size_t i = 0; i < b->edge_count; i++)
            b->known[b->edge[i]] = (uint8_t)(generation + 1);
        for (size_t i = 0; i < b->edge_count; i++)
            bleed_visit(b, b->edge[i], generation, false);
    }
}

int alpha_bleed(struct image *image, int reach)
{
    size_t pixels = (size_t)image->width * (size_t)image->height;
    if (!image_has_alpha(image)) return OK;
    if (reach > UINT8_MAX - 2) reach = UINT8_MAX - 2;
    struct bleeding b = {.image = image,
                         .known = calloc(pixels, 1),
                         .edge = malloc(pixels * sizeof *b.edge),
                         .next = malloc(pixels * sizeof *b.next)};
    int code = b.known && b.edge && b.next ? OK : fail(ERR_SYSTEM, "out of memory");
    if (code == OK) bleed_all(&b, reach);
    free(b.known);
    free(b.edge);
    free(b.next);
    return code;
}
