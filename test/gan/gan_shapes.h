/* Images that tests draw: 4 shapes in 6 colours on a grey background, at random places and sizes.
 */
#ifndef IMGTRAIN_TEST_GAN_GAN_SHAPES_H
#define IMGTRAIN_TEST_GAN_GAN_SHAPES_H

#include "base/random.h"

#include <math.h>
#include <stdint.h>

enum { SHAPES = 4, SHAPE_COLOURS = 6, SHAPE_MODES = SHAPES * SHAPE_COLOURS };

static inline int shape_inside(int shape, float x, float y)
{
    float ax = fabsf(x), ay = fabsf(y);
    switch (shape) {
    case 0: return x * x + y * y < 1;                                 /* disc */
    case 1: return ax < 0.85f && ay < 0.85f;                          /* square */
    case 2: return y < 0.8f && y > -0.9f && ax < (y + 0.9f) * 0.6f;   /* triangle */
    default: return (ax < 0.35f && ay < 1) || (ay < 0.35f && ax < 1); /* cross */
    }
}

/* Draws image `index` of `set` into [side][side][3]; returns its mode. */
static inline int shape_draw(uint8_t *out, int side, uint32_t set, uint64_t index)
{
    static const uint8_t colours[SHAPE_COLOURS][3] = {{220, 40, 40},  {40, 190, 60},
                                                      {50, 80, 230},  {230, 200, 40},
                                                      {190, 60, 200}, {40, 200, 210}};
    struct philox4 a = philox_draw(7, STREAM_TEST, set, 2 * index);
    struct philox4 b = philox_draw(7, STREAM_TEST, set, 2 * index + 1);
    int mode = (int)(a.v[0] % SHAPE_MODES), shape = mode % SHAPES;
    const uint8_t *colour = colours[mode / SHAPES];
    float r = (float)side * (0.24f + 0.12f * philox_uniform(a.v[1]));
    float cx = (float)side * (0.38f + 0.24f * philox_uniform(a.v[2]));
    float cy = (float)side * (0.38f + 0.24f * philox_uniform(a.v[3]));
    float grey = 20 + 40 * philox_uniform(b.v[0]);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int hits = 0; /* of 4 x 4 samples */
            for (int s = 0; s < 16; s++) {
                float px = (float)x + ((float)(s % 4) + 0.5f) / 4, py = (float)y;
                py += ((float)(s / 4) + 0.5f) / 4;
                hits += shape_inside(shape, (px - cx) / r, (py - cy) / r);
            }
            for (int c = 0; c < 3; c++) {
                float k = (float)hits / 16;
                *out++ = (uint8_t)(k * (float)colour[c] + (1 - k) * grey + 0.5f);
            }
        }
    return mode;
}

#endif
