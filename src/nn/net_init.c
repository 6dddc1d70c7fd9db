#include "nn/net_init.h"

#include "base/random.h"

#include <math.h>
#include <string.h>

/* Two normal numbers of two words (Box and Muller). */
static void normal_pair(const uint32_t *words, float *out)
{
    double radius = sqrt(-2 * log(((double)words[0] + 1) * 0x1p-32));
    double angle = 6.283185307179586 * (double)words[1] * 0x1p-32;
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

void net_normal(float *out, size_t count, uint64_t seed, uint32_t stream, uint64_t step,
                uint64_t first)
{
    for (size_t i = 0; i < count; i += 4) {
        struct philox4 draw = philox_draw(seed, stream, step, first + i / 4);
        float four[4];
        normal_pair(draw.v, four);
        normal_pair(draw.v + 2, four + 2);
        memcpy(out + i, four, (count - i < 4 ? count - i : 4) * sizeof *out);
    }
}

void net_initialise(const struct net *net, float *parameters, uint64_t seed, uint32_t stream,
                    int which)
{
    memset(parameters, 0, net->floats * sizeof *parameters);
    for (int i = 0; i < net->parameter_count; i++) {
        const struct net_parameter *p = &net->parameters[i];
        float *to = parameters + p->offset;
        for (size_t j = 0; !(p->std > 0) && j < p->count; j++)
            to[j] = p->start;
        if (!(p->std > 0)) continue;
        net_normal(to, p->count, seed, stream, (uint64_t)which, p->offset);
        for (size_t j = 0; j < p->count; j++)
            to[j] *= p->std;
    }
}
