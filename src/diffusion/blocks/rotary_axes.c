#include "diffusion/blocks/rotary_axes.h"

#include "math/portable.h"

#include <string.h>

void rotary_axes_make(struct rotary_axes *rotary, const int *axes, double theta, bool rounds)
{
    double *speed = rotary->speeds;
    memcpy(rotary->axes, axes, sizeof rotary->axes);
    rotary->rounds = rounds;
    for (int axis = 0; axis < ROTARY_AXES; axis++)
        for (int m = 0; m < axes[axis] / 2; m++)
            *speed++ = portable_pow(theta, -2.0 * m / axes[axis]);
}

void rotary_axes_line(const struct rotary_axes *rotary, const int *position, float *cosines,
                      float *sines)
{
    int pair = 0;
    for (int axis = 0; axis < ROTARY_AXES; axis++)
        for (int m = 0; m < rotary->axes[axis] / 2; m++, pair++) {
            double angle = position[axis] * rotary->speeds[pair];
            if (rotary->rounds) angle = (double)(float)angle;
            cosines[pair] = (float)portable_cos(angle);
            sines[pair] = (float)portable_sin(angle);
        }
}
