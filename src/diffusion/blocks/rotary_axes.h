/* Angles of rotary positions on several axes: pairs of a head's numbers, axis by axis, turn by
 * position * theta^(-2 m / width) of pair m of an axis of that width. */
#ifndef IMGTRAIN_DIFFUSION_BLOCKS_ROTARY_AXES_H
#define IMGTRAIN_DIFFUSION_BLOCKS_ROTARY_AXES_H

#include "device/token_ops.h"

enum { ROTARY_AXES = 3 };

struct rotary_axes {
    int axes[ROTARY_AXES];
    bool rounds; /* angles are rounded to float before their cosine and sine are taken */
    double speeds[TOKEN_HEAD_MOST / 2];
};

/* ERR_DATA, naming the key, unless the axes are even and make up a head's width, which `width_name`
 * is what a user reads for. */
int rotary_axes_check(const char *key, const int *axes, int width, const char *width_name);
/* axes: even, TOKEN_HEAD_MOST in all at most. */
void rotary_axes_make(struct rotary_axes *rotary, const int *axes, double theta, bool rounds);
/* A line of the tables of struct token_rope: of a token at `position`, one number for each axis. */
void rotary_axes_line(const struct rotary_axes *rotary, const int *position, float *cosines,
                      float *sines);

#endif
