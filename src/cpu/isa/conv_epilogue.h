/* nn_epilogue on a vector, and on the values that fill none. */
#ifndef IMGTRAIN_CPU_ISA_CONV_EPILOGUE_H
#define IMGTRAIN_CPU_ISA_CONV_EPILOGUE_H

#include "cpu/isa/conv_stored.h"
#include "device/nn_ops.h"

/* Finishes the sums of the elements from `at` on, whose first channel is `channel`, and stores them
 * at out[at]. */
INLINE void epilogue_store(stored *out, size_t at, int channel, vf v, const struct nn_epilogue *e)
{
    if (e->bias) v += vf_load(e->bias + channel);
    if (e->residual) v += vs_load((const stored *)e->residual + at);
    if (e->mask_out) vf_mask_store(e->mask_out, at, v);
    if (e->slope != 1) v = vf_lrelu(v, vf_set(e->slope));
    if (e->mask_in) v = vf_mask_mul(e->mask_in, at, v, vf_set(e->mask_slope));
    vs_store(out + at, v);
}

/* The same for one value. */
static inline void epilogue_store_one(stored *out, size_t at, int channel, float v,
                                      const struct nn_epilogue *e)
{
    if (e->bias) v += e->bias[channel];
    if (e->residual) v += stored_value(((const stored *)e->residual)[at]);
    if (e->mask_out) {
        uint8_t bit = (uint8_t)(1U << at % 8), *byte = e->mask_out + at / 8;
        *byte = (uint8_t)(v > 0 ? *byte | bit : *byte & ~bit);
    }
    if (!(v > 0)) v *= e->slope;
    if (e->mask_in && !(e->mask_in[at / 8] >> at % 8 & 1)) v *= e->mask_slope;
    out[at] = stored_round(v);
}

/* Fewer channels than a vector has, from `channel` on. */
INLINE void epilogue_store_part(stored *out, size_t at, int channel, vf v, int count,
                                const struct nn_epilogue *e)
{
    if (e->mask_in || e->mask_out) {
        float values[VF];
        vf_store(values, v);
        for (int i = 0; i < count; i++)
            epilogue_store_one(out, at + (size_t)i, channel + i, values[i], e);
        return;
    }
    if (e->bias) v += vf_load_some(e->bias + channel, count);
    if (e->residual) v += vs_load_some((const stored *)e->residual + at, count);
    if (e->slope != 1) v = vf_lrelu(v, vf_set(e->slope));
    vs_store_some(out + at, v, count);
}

INLINE void epilogue_store_some(stored *out, size_t at, int channel, vf v, int count,
                                const struct nn_epilogue *e)
{
    if (count == VF)
        epilogue_store(out, at, channel, v, e);
    else
        epilogue_store_part(out, at, channel, v, count, e);
}

#endif
