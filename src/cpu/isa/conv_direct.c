/* Grouped 3x3 convolutions with 16 channels a group of bf16 tensors, by the definition: vdpbf16ps
 * does in 72 instructions a pixel what Winograd's transforms do in more, and sums stay exact. Tiles
 * of 4x4 outputs; their 6x6 inputs lie side by side in scratch, with zeros around the picture. */
#include "cpu/conv_kernels.h"

#if defined(CONV_BF16)
#include "cpu/isa/conv_epilogue.h"
#include "cpu/isa/conv_isa.h"

enum { SIDE = CONV_DIRECT_TILE, REACH = SIDE + 2, PAIRS = GROUP / 2, TAPS = 9 };
enum { AT_ONCE = 12 }; /* tiles of wgrad whose pairs stay in the first-level cache */
enum { IN_PAIRS = (REACH - 1) * REACH, OUT_PAIRS = SIDE / 2 * SIDE };
_Static_assert(AT_ONCE *(IN_PAIRS + OUT_PAIRS) <= 2 * 16 * GROUP_TILES, "scratch of wgrad");

struct tile {
    ptrdiff_t pixel; /* its top left output pixel, counted over the whole batch */
    int y, x;        /* the same in its picture */
};

static struct tile tile_at(const struct nn_conv *s, size_t t)
{
    size_t across = (size_t)(s->w + SIDE - 1) / SIDE, down = (size_t)(s->h + SIDE - 1) / SIDE;
    size_t x = SIDE * (t % across), y = SIDE * (t / across % down), n = t / across / down;
    return (struct tile){(ptrdiff_t)((n * (size_t)s->h + y) * (size_t)s->w + x), (int)y, (int)x};
}

/* A group's pixels [rows][columns] from (y + from, x + from) of the tile on, zeros outside. */
INLINE void copy_pixels(__m256i *to, int side, const struct nn_conv *s, const stored *in,
                        int channels, const struct tile *t, int from)
{
    const stored *corner = in + (t->pixel + (ptrdiff_t)from * (s->w + 1)) * channels;
    bool whole = t->y + from >= 0 && t->x + from >= 0 && t->y + from + side <= s->h &&
                 t->x + from + side <= s->w;
    for (int r = 0; r < side; r++, corner += (ptrdiff_t)s->w * channels)
        for (int c = 0; c < side; c++) {
            bool inside = whole || ((unsigned)(t->y + from + r) < (unsigned)s->h &&
                                    (unsigned)(t->x + from + c) < (unsigned)s->w);
            to[r * side + c] = inside ? _mm256_loadu_si256((const __m256i *)(corner + c * channels))
                                      : _mm256_setzero_si256();
        }
}

#define ROW_OF_4(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3)
#define EACH_PIXEL(X) ROW_OF_4(X, 0) ROW_OF_4(X, 1) ROW_OF_4(X, 2) ROW_OF_4(X, 3)

/* inputs [REACH][REACH][GROUP]; packed [TAPS][PAIRS] vectors of pairs */
INLINE void direct_tile(const struct nn_conv *s, stored *out, const stored *inputs,
                        const float *packed, const struct nn_epilogue *e, const struct tile *t,
                        int channels, int group)
{
#define ZERO(r, j) vf c##r##j = vf_set(0);
    EACH_PIXEL(ZERO)
    for (int tap = 0; tap < TAPS; tap++) {
        const stored *from = inputs + (tap / 3 * REACH + tap % 3) * GROUP;
        for (int i = 0; i < PAIRS; i++, from += 2, packed += VF) {
            vf w = vf_load(packed);
#define STEP(r, j) c##r##j = vf_product(vs_each(from + (r * REACH + j) * GROUP), w, c##r##j);
            EACH_PIXEL(STEP)
        }
    }
    size_t at = (size_t)t->pixel * (size_t)channels + (size_t)(group * GROUP);
    size_t row = (size_t)s->w * (size_t)channels;
#define FINISH(r, j)                                                                               \
    if (t->y + r < s->h && t->x + j < s->w)                                                        \
        epilogue_store(out, at + r * row + j * (size_t)channels, group * GROUP, c##r##j, e);
    EACH_PIXEL(FINISH)
}

void ISA_NAME(conv_group_conv)(const struct nn_conv *s, void *out, const void *in,
                               const void *packed, const struct nn_epilogue *e, int group,
                               size_t first, int count, float *scratch)
{
    for (int i = 0; i < count; i++) {
        struct tile t = tile_at(s, first + (size_t)i);
        copy_pixels((__m256i *)scratch, REACH, s, (const stored *)in + group * GROUP, s->cin, &t,
                    -1);
        direct_tile(s, out, (const stored *)scratch, packed, e, &t, s->cin, group);
    }
}

/* to[r][c] = pairs of the pixels (r, c) and (r + 1, c), for every `step`-th r */
INLINE void pair_rows(__m512i *to, const __m256i *pixels, int side, int step)
{
    for (int r = 0; r + 1 < side; r += step)
        for (int c = 0; c < side; c++) {
            __m512i upper = _mm512_cvtepu16_epi32(pixels[r * side + c]);
            __m512i lower = _mm512_cvtepu16_epi32(pixels[(r + 1) * side + c]);
            _mm512_store_si512(to++, _mm512_or_si512(upper, _mm512_slli_epi32(lower, 16)));
        }
}

/* sums[TAPS][GROUP in][GROUP out] += over tiles of pairs of rows */
static void outer_products(float *sums, const __m512i *ins, const __m512i *outs, int count)
{
    for (int tap = 0; tap < TAPS; tap++, sums += GROUP * GROUP) {
        vf s[GROUP];
        for (int i = 0; i < GROUP; i++)
            s[i] = vf_load(sums + i * GROUP);
        for (int t = 0; t < count; t++) {
            const __m512i *x = ins + t * IN_PAIRS + tap / 3 * REACH + tap % 3;
            for (int p = 0; p < OUT_PAIRS; p++) {
                vf y = _mm512_castsi512_ps(outs[t * OUT_PAIRS + p]);
                const stored *from = (const stored *)(x + p / SIDE * 2 * REACH + p % SIDE);
#pragma GCC unroll 16
                for (int i = 0; i < GROUP; i++)
                    s[i] = vf_product(vs_each(from + 2 * i), y, s[i]);
            }
        }
        for (int i = 0; i < GROUP; i++)
            vf_store(sums + i * GROUP, s[i]);
    }
}

void ISA_NAME(conv_group_wgrad)(const struct nn_conv *s, float *sums, const void *in,
                                const void *dout, int group, size_t first, int count,
                                float *scratch)
{
    __m512i *ins = (__m512i *)scratch, *outs = ins + AT_ONCE * IN_PAIRS;
    for (int begin = 0; begin < count; begin += AT_ONCE) {
        int now = count - begin < AT_ONCE ? count - begin : AT_ONCE;
        for (int i = 0; i < now; i++) {
            __m256i pixels[REACH * REACH];
            struct tile t = tile_at(s, first + (size_t)(begin + i));
            copy_pixels(pixels, REACH, s, (const stored *)in + group * GROUP, s->cin, &t, -1);
            pair_rows(ins + i * IN_PAIRS, pixels, REACH, 1);
            copy_pixels(pixels, SIDE, s, (const stored *)dout + group * GROUP, s->cin, &t, 0);
            pair_rows(outs + i * OUT_PAIRS, pixels, SIDE, 2);
        }
        outer_products(sums, ins, outs, now);
    }
}

void ISA_NAME(conv_group_pack)(void *packed, const float *weights, int group, int adjoint)
{
    const float *w = weights + (ptrdiff_t)group * GROUP * GROUP * TAPS;
    stored *to = packed;
    for (int tap = 0; tap < TAPS; tap++)
        for (int i = 0; i < GROUP; i += 2)
            for (int o = 0; o < GROUP; o++)
                for (int d = 0; d < 2; d++) {
                    int at = adjoint ? ((i + d) * GROUP + o) * TAPS + TAPS - 1 - tap
                                     : (o * GROUP + i + d) * TAPS + tap;
                    *to++ = stored_round(w[at]);
                }
}

void ISA_NAME(conv_group_unpack)(float *dw, const float *sums, int group)
{
    float *w = dw + (ptrdiff_t)group * GROUP * GROUP * TAPS;
    for (int tap = 0; tap < TAPS; tap++)
        for (int i = 0; i < GROUP; i++)
            for (int o = 0; o < GROUP; o++)
                w[(o * GROUP + i) * TAPS + tap] += sums[(tap * GROUP + i) * GROUP + o];
}

#endif
