/* The leaky ReLU with a learnt slope for each channel, on tensors of one type: see struct nn_prelu
 * in device/nn_ops.h. */
#include "cpu/isa/conv_prelu.h"

#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_stored.h"
#include "cpu/nn/conv_kernels.h"

/* `count` values from p on, at most VF of them. */
INLINE vf prelu_load(const stored *p, int count)
{
    return count >= VF ? vs_load(p) : vs_load_some(p, count);
}

INLINE void prelu_store(stored *p, vf v, int count)
{
    if (count >= VF)
        vs_store(p, v);
    else
        vs_store_some(p, v, count);
}

void ISA_NAME(conv_prelu_forward)(void *y, const void *z, const float *slopes, size_t rows, int c)
{
    stored *to = y;
    const stored *from = z;
    for (size_t r = 0; r < rows; r++, to += c, from += c)
        for (int v = 0; v < c; v += VF) {
            vf value = prelu_load(from + v, c - v);
            prelu_store(to + v, prelu_select(value, value, prelu_slopes(slopes + v, c - v)), c - v);
        }
}

void ISA_NAME(conv_prelu_dgrad)(void *dz, const void *dy, const void *z, const float *slopes,
                                size_t rows, int c, int add)
{
    stored *to = dz;
    const stored *with = z, *from = dy;
    for (size_t r = 0; r < rows; r++, to += c, from += c, with += c)
        for (int v = 0; v < c; v += VF) {
            vf d = prelu_select(prelu_load(with + v, c - v), prelu_load(from + v, c - v),
                                prelu_slopes(slopes + v, c - v));
            if (add) d += prelu_load(to + v, c - v);
            prelu_store(to + v, d, c - v);
        }
}

/* dy z where z is not > 0. */
INLINE vf prelu_part(vf z, vf dy)
{
    return vf_select(vf_lt(vf_set(0), z), vf_set(0), z * dy);
}

/* `count` channels, up to CONV_PRELU_SUMS, in up to four vectors at once. */
void ISA_NAME(conv_prelu_sums)(float *sums, const void *dy, const void *z, size_t rows, int c,
                               int count)
{
    for (int v = 0; v < count; v += 4 * VF) {
        const stored *from = (const stored *)dy + v, *with = (const stored *)z + v;
        int left = count - v;
        vf s0 = vf_set(0), s1 = s0, s2 = s0, s3 = s0;
        if (left >= 4 * VF) {
            for (size_t r = 0; r < rows; r++, from += c, with += c) {
                s0 += prelu_part(vs_load(with), vs_load(from));
                s1 += prelu_part(vs_load(with + VF), vs_load(from + VF));
                s2 += prelu_part(vs_load(with + 2 * VF), vs_load(from + 2 * VF));
                s3 += prelu_part(vs_load(with + 3 * VF), vs_load(from + 3 * VF));
            }
            vf_store(sums + v, s0), vf_store(sums + v + VF, s1);
            vf_store(sums + v + 2 * VF, s2), vf_store(sums + v + 3 * VF, s3);
            continue;
        }
        for (int u = 0; u < left; u += VF) {
            int some = left - u;
            vf sum = vf_set(0);
            for (size_t r = 0, at = (size_t)u; r < rows; r++, at += (size_t)c)
                sum += prelu_part(prelu_load(with + at, some), prelu_load(from + at, some));
            if (some >= VF)
                vf_store(sums + v + u, sum);
            else
                vf_store_some(sums + v + u, sum, some);
        }
    }
}

/* One vector of each of both: its sum so far comes out. */
INLINE vf prelu_both_of(stored *to, const stored *from, const stored *with, vf slope, vf sum)
{
    vf z = vs_load(with), dy = vs_load(from);
    vs_store(to, prelu_select(z, dy, slope));
    return sum + prelu_part(z, dy);
}

void ISA_NAME(conv_prelu_both)(void *dz, float *sums, const void *dy, const void *z,
                               const float *slopes, size_t rows, int c, int count)
{
    for (int v = 0; v + 4 * VF <= count; v += 4 * VF) {
        stored *to = (stored *)dz + v;
        const stored *from = (const stored *)dy + v, *with = (const stored *)z + v;
        vf s0 = vf_set(0), s1 = s0, s2 = s0, s3 = s0;
        vf a0 = vf_load(slopes + v), a1 = vf_load(slopes + v + VF);
        vf a2 = vf_load(slopes + v + 2 * VF), a3 = vf_load(slopes + v + 3 * VF);
        for (size_t r = 0; r < rows; r++, to += c, from += c, with += c) {
            s0 = prelu_both_of(to, from, with, a0, s0);
            s1 = prelu_both_of(to + VF, from + VF, with + VF, a1, s1);
            s2 = prelu_both_of(to + 2 * VF, from + 2 * VF, with + 2 * VF, a2, s2);
            s3 = prelu_both_of(to + 3 * VF, from + 3 * VF, with + 3 * VF, a3, s3);
        }
        vf_store(sums + v, s0), vf_store(sums + v + VF, s1);
        vf_store(sums + v + 2 * VF, s2), vf_store(sums + v + 3 * VF, s3);
    }
    int v = count / (4 * VF) * 4 * VF;
    for (; v < count; v += VF) {
        int some = count - v < VF ? count - v : VF;
        stored *to = (stored *)dz + v;
        const stored *from = (const stored *)dy + v, *with = (const stored *)z + v;
        vf sum = vf_set(0), slope = prelu_slopes(slopes + v, some);
        for (size_t r = 0; r < rows; r++, to += c, from += c, with += c) {
            vf x = prelu_load(with, some), d = prelu_load(from, some);
            prelu_store(to, prelu_select(x, d, slope), some);
            sum += prelu_part(x, d);
        }
        if (some >= VF)
            vf_store(sums + v, sum);
        else
            vf_store_some(sums + v, sum, some);
    }
}
