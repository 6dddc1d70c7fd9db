/* Images out of noise by Euler steps, of any network that says what image less noise is. Each
 * depends on its own seed and condition alone. */
#ifndef IMGTRAIN_DIFFUSION_DIFFUSION_DRAW_H
#define IMGTRAIN_DIFFUSION_DIFFUSION_DRAW_H

#include "diffusion/diffusion_data.h"

struct diffusion_drawing {
    int width, height, channels;
    struct diffusion_conditions conditions;
    int steps;
    double guidance, shift;
    struct diffusion_samples in; /* where the network reads n images at a time, its targets aside */
    float *out, *without;        /* n images, host: what it says with and without condition */
    /* Of the n images at `in`. */
    int (*predict)(void *context, int n, float *out);
    void *context;
};

/* What is asked for: a seed, and a class or (of captions) a text; label < 0, text NULL: neither. */
struct diffusion_wish {
    uint64_t seed;
    int label;
    const char *text;
};

/* images: [n][height][width][channels] in -1..1 and a little beyond; host memory. */
int diffusion_draw(const struct diffusion_drawing *drawing, const struct diffusion_wish *wishes,
                   int n, float *images);
/* One value of such an image as a byte. */
uint8_t diffusion_byte(float x);

#endif
