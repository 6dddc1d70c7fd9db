#include "diffusion/blocks/time_features.h"

#include "math/portable.h"

void time_features(const float *numbers, int n, float scale, float *features)
{
    /* Frequencies and angles as the reference rounds them, in float. */
    enum { HALF = TIME_FEATURES / 2 };
    const float log_period = -(float)9.210340371976184;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < HALF; k++) {
            float exponent = log_period * (float)k / (float)HALF;
            float frequency = (float)portable_exp((double)exponent);
            float angle = numbers[i] * scale * frequency;
            features[i * TIME_FEATURES + k] = (float)portable_cos((double)angle);
            features[i * TIME_FEATURES + HALF + k] = (float)portable_sin((double)angle);
        }
}
