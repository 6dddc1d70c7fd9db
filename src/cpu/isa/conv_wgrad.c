/* Weight gradients of 1x1 convolutions: sums of outer products over very many rows. */
#include "cpu/isa/conv_isa.h"
#include "cpu/isa/conv_stored.h"
#include "cpu/nn/conv_kernels.h"

#if defined(ISA_avx512)
enum { ROWS = 8 };
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
enum { ROWS = 4 };
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#endif
enum { PANEL = 2 * VF };

/* A block of rows of an operand: as it lies in memory, or packed (bf16: pairs of rows, a pair in
 * the place of a float). */
struct rows {
    const float *at;
    ptrdiff_t stride;
};

/* sums[ROWS][cols * VF] += sum over i < count of a[i][ROWS] b[i][cols * VF] */
INLINE void conv_wgrad_tile(int cols, float *sums, ptrdiff_t stride, int count, struct rows a,
                            struct rows b)
{
#define ZERO(r) vf c##r##0 = vf_set(0), c##r##1 = c##r##0;
    EACH_ROW(ZERO)
    const float *x = a.at, *y = b.at;
    for (int i = 0; i < count; i++, x += a.stride, y += b.stride) {
        vf b0 = vf_load(y), b1 = cols > 1 ? vf_load(y + VF) : b0;
#define STEP(r)                                                                                    \
    {                                                                                              \
        vf one = vf_set(x[r]);                                                                     \
        c##r##0 = vf_product(one, b0, c##r##0);                                                    \
        if (cols > 1) c##r##1 = vf_product(one, b1, c##r##1);                                      \
    }
        EACH_ROW(STEP)
    }
#define ADD(r, j)                                                                                  \
    if (j < cols)                                                                                  \
        vf_store(sums + r * stride + j * VF, vf_load(sums + r * stride + j * VF) + c##r##j);
#define STORE(r) ADD(r, 0) ADD(r, 1)
    EACH_ROW(STORE)
}

static void tile_whole(int cols, float *dw, int n, int count, struct rows a, struct rows b)
{
    if (cols == 1)
        conv_wgrad_tile(1, dw, n, count, a, b);
    else
        conv_wgrad_tile(2, dw, n, count, a, b);
}

static void conv_wgrad_tile_edge(float *dw, int n, int rows, int columns, int count, struct rows a,
                                 struct rows b)
{
    float sums[ROWS * PANEL] __attribute__((aligned(64))) = {0};
    tile_whole(columns > VF ? 2 : 1, sums, PANEL, count, a, b);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            dw[(ptrdiff_t)r * n + c] += sums[r * PANEL + c];
}

#if defined(CONV_BF16)
/* packed[i][width] = pairs of rows 2i and 2i + 1, zero filled past n columns and `count` rows */
INLINE void conv_wgrad_pack(float *packed, const stored *from, int count, int n, int first,
                            int width)
{
    for (int i = 0; i < count; i += 2, packed += width) {
        const stored *even = from + (ptrdiff_t)i * n + first;
        for (int j = 0; j < width; j += VF) {
            int there = n - first - j < VF ? n - first - j : VF,
                room = width - j < VF ? width - j : VF;
            const stored *odd = i + 1 < count ? even + n + j : NULL;
            vf v = there > 0 ? vs_pairs(even + j, odd, there < room ? there : room) : vf_set(0);
            vf_store_some(packed + j, v, room);
        }
    }
}
#else
/* packed[i][width] = from[i][first ... first + width), zero filled past n columns. */
INLINE void conv_wgrad_pack(float *packed, const float *from, int count, int n, int first,
                            int width)
{
    if (first + width <= n) {
        for (int i = 0; i < count; i++)
            memcpy(packed + i * width, from + (ptrdiff_t)i * n + first,
                   (size_t)width * sizeof *packed);
        return;
    }
    for (int i = 0; i < count; i++) {
        const float *row = from + (ptrdiff_t)i * n + first;
        for (int j = 0; j < width; j += VF) {
            int there = n - first - j < VF ? n - first - j : VF;
            vf v = there > 0 ? vf_load_some(row + j, there) : vf_set(0);
            vf_store_some(packed + i * width + j, v, width - j < VF ? width - j : VF);
        }
    }
}

#endif

/* Whether rows of n floats are used where they lie: whole tiles of `width`, and so close together
 * that a chunk of them stays in the first-level cache. */
static int in_place(int n, int width)
{
    return DEPTH == 1 && n <= 64 && n % width == 0;
}

void ISA_NAME(conv_wgrad)(float *dw, const void *a, const void *b, int rows, int n, int k,
                          int first, int last, float *workspace)
{
    float *panel = workspace, *strips = workspace + CONV_WGRAD_CHUNK * PANEL;
    int count = (rows + DEPTH - 1) / DEPTH, a_lies = in_place(k, ROWS), b_lies = in_place(n, VF);
    for (int r = 0; r < k && !a_lies; r += ROWS)
        conv_wgrad_pack(strips + r * CONV_WGRAD_CHUNK, a, rows, k, r, ROWS);
    for (int c = first; c < last; c += PANEL) {
        int columns = n - c < PANEL ? n - c : PANEL;
        struct rows y =
            b_lies ? (struct rows){(const float *)b + c, n} : (struct rows){panel, PANEL};
        if (!b_lies) conv_wgrad_pack(panel, b, rows, n, c, PANEL);
        for (int r = 0; r < k; r += ROWS) {
            float *out = dw + (size_t)r * (size_t)n + (size_t)c;
            struct rows x = a_lies ? (struct rows){(const float *)a + r, k}
                                   : (struct rows){strips + r * CONV_WGRAD_CHUNK, ROWS};
            if (k - r >= ROWS && columns % VF == 0)
                tile_whole(columns / VF, out, n, count, x, y);
            else
                conv_wgrad_tile_edge(out, n, k - r < ROWS ? k - r : ROWS, columns, count, x, y);
        }
    }
}
