/* Weight gradients of 1x1 convolutions: sums of outer products over very many rows. */
#include "cpu/conv_kernels.h"
#include "cpu/isa/conv_isa.h"

#if defined(ISA_avx512)
enum { ROWS = 8 };
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
enum { ROWS = 4 };
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#endif
enum { PANEL = 2 * VF };

/* sums[ROWS][PANEL] += sum over i < count of a[i][ROWS] b[i][PANEL] */
static void tile(float *sums, ptrdiff_t stride, int count, const float *a, const float *b)
{
#define ZERO(r) vf c##r##0 = vf_set(0), c##r##1 = c##r##0;
    EACH_ROW(ZERO)
    for (int i = 0; i < count; i++, a += ROWS, b += PANEL) {
        vf b0 = vf_load(b), b1 = vf_load(b + VF);
#define STEP(r)                                                                                    \
    {                                                                                              \
        vf x = vf_set(a[r]);                                                                       \
        c##r##0 = vf_fma(x, b0, c##r##0);                                                          \
        c##r##1 = vf_fma(x, b1, c##r##1);                                                          \
    }
        EACH_ROW(STEP)
    }
#define ADD(r, j)                                                                                  \
    vf_store(sums + r * stride + j * VF, vf_load(sums + r * stride + j * VF) + c##r##j);
#define STORE(r) ADD(r, 0) ADD(r, 1)
    EACH_ROW(STORE)
}

static void tile_edge(float *dw, int n, int rows, int columns, int count, const float *a,
                      const float *b)
{
    float sums[ROWS * PANEL] __attribute__((aligned(64))) = {0};
    tile(sums, PANEL, count, a, b);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            dw[(ptrdiff_t)r * n + c] += sums[r * PANEL + c];
}

/* packed[i][width] = from[i][first ... first + width), zero filled past n columns. */
INLINE void pack(float *packed, const float *from, int count, int n, int first, int width)
{
    if (first + width <= n) {
        for (int i = 0; i < count; i++)
            memcpy(packed + i * width, from + (ptrdiff_t)i * n + first,
                   (size_t)width * sizeof *packed);
        return;
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < width; j++)
            packed[i * width + j] = first + j < n ? from[(ptrdiff_t)i * n + first + j] : 0;
}

void ISA_NAME(conv_wgrad)(float *dw, const float *a, const float *b, int rows, int n, int k,
                          int first, int last, float *scratch)
{
    float *panel = scratch, *strips = scratch + CONV_WGRAD_CHUNK * PANEL;
    for (int r = 0; r < k; r += ROWS)
        pack(strips + r * CONV_WGRAD_CHUNK, a, rows, k, r, ROWS);
    for (int c = first; c < last; c += PANEL) {
        int columns = n - c < PANEL ? n - c : PANEL;
        pack(panel, b, rows, n, c, PANEL);
        for (int r = 0; r < k; r += ROWS) {
            float *out = dw + (size_t)r * (size_t)n + (size_t)c;
            const float *strip = strips + r * CONV_WGRAD_CHUNK;
            if (k - r >= ROWS && columns == PANEL)
                tile(out, n, rows, strip, panel);
            else
                tile_edge(out, n, k - r < ROWS ? k - r : ROWS, columns, rows, strip, panel);
        }
    }
}
