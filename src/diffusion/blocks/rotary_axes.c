#include "diffusion/blocks/rotary_axes.h"

#include "base/error.h"
#include "diffusion/blocks/block_list.h"
#include "math/portable.h"

#include <stdio.h>
#include <string.h>

int rotary_axes_check(const char *key, const int *axes, int width, const char *width_name)
{
    char one[64];
    int64_t sum = 0;
    snprintf(one, sizeof one, "a number of %s", key);
    for (int i = 0; i < ROTARY_AXES; i++) {
        TRY(block_check_range(one, axes[i], 2, TOKEN_HEAD_MOST));
        if (axes[i] % 2) return fail(ERR_DATA, "%s must be even: %d", key, axes[i]);
        sum += axes[i];
    }
    if (sum == width) return OK;
    return fail(ERR_DATA, "%s make %lld: %s is %d", key, (long long)sum, width_name, width);
}

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
