/* Kernels of blurs, and blurring. */
#include "math/portable.h"
#include "math/resampling.h"
#include "math/shown_sample.h"
#include "sr/degrade/degrade_taps.h"
#include "sr/degrade/degrade_weigh.h"

#include <string.h>

/* What is less counts nothing: numbers that are close to no float cost a hundred times as much. */
static const double WEIGHT_LEAST = 1e-10;

static double degrade_weight(const struct degrade_kernel *of, double x, double y)
{
    if (of->shape == DEGRADE_SINC) {
        double r = sqrt(x * x + y * y);
        if (!(r > 0.0)) return of->omega * of->omega / (4.0 * PORTABLE_PI);
        return of->omega * portable_bessel_j1(of->omega * r) / (2.0 * PORTABLE_PI * r);
    }
    double c = portable_cos(of->angle), s = portable_sin(of->angle);
    double u = (c * x + s * y) / of->sigma_x, v = (c * y - s * x) / of->sigma_y;
    double q = u * u + v * v;
    if (of->shape == DEGRADE_GAUSSIAN) return portable_exp(-0.5 * q);
    double power = portable_pow(q, of->beta);
    return of->shape == DEGRADE_PLATEAU ? 1.0 / (1.0 + power) : portable_exp(-0.5 * power);
}

void degrade_kernel_make(float *kernel, const struct degrade_kernel *of)
{
    double weights[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE], sum = 0.0;
    int size = of->size, half = size / 2, count = size * size;
    for (int i = 0; i < count; i++)
        sum += weights[i] = degrade_weight(of, i % size - half, i / size - half);
    for (int i = 0; i < count; i++) {
        double weight = weights[i] / sum;
        kernel[i] = fabs(weight) < WEIGHT_LEAST ? 0.0f : (float)weight;
    }
}

/* Rows that are copied with their border at a time; rows that are made together, and floats of each
 * of them at a time; floats of a vector. */
enum { COPIED = 64, BAND = 8, COLUMNS = 256, VECTOR = 16 };

/* Floats from one row with its border to the next: whole vectors. */
static size_t degrade_stride(int w, int size)
{
    return ((size_t)(w + size / 2 * 2) * 3 + VECTOR - 1) / VECTOR * VECTOR;
}

/* Of sums, whose first sample behind the border lies where a vector begins. */
static size_t degrade_sums_stride(int w, int size)
{
    return degrade_stride(w, size) + VECTOR;
}

static size_t degrade_copies_floats(int w, int size)
{
    return degrade_stride(w, size) * (COPIED + (size_t)(size / 2) * 2);
}

/* Rows with their mirrored border; sums of a band for each part of a kernel. */
size_t degrade_blur_floats(int w, int size)
{
    size_t sums = BAND * (size_t)(size / 2 + 1);
    return degrade_copies_floats(w, size) + degrade_sums_stride(w, size) * sums;
}

/* A row's mirrored border. */
static void degrade_pad_row(float *inner, int w, int half)
{
    for (int x = 1; x <= half; x++) {
        memcpy(inner - 3 * (ptrdiff_t)x, inner + 3 * (ptrdiff_t)resampling_reflected(-x, w),
               3 * sizeof *inner);
        memcpy(inner + 3 * (ptrdiff_t)(w - 1 + x),
               inner + 3 * (ptrdiff_t)resampling_reflected(w - 1 + x, w), 3 * sizeof *inner);
    }
}

/* Rows first .. first + count - 1, which may lie beyond the border. */
static void degrade_pad(float *to, const float *in, int w, int h, int first, int count, int half)
{
    size_t row = (size_t)w * 3, border = 3 * (size_t)half;
    size_t stride = degrade_stride(w, 2 * half + 1), used = row + 2 * border;
    for (int y = first; y < first + count; y++, to += stride) {
        memcpy(to + border, in + (size_t)resampling_reflected(y, h) * row, row * sizeof *to);
        degrade_pad_row(to + border, w, half);
        memset(to + used, 0, (stride - used) * sizeof *to); /* what fills the last vector up */
    }
}

/* ---- a kernel as a sum of products of a column and a row ---- */

enum { PARTS = DEGRADE_KERNEL_SIDE / 2 };
static const double PARTS_LEFT = 3e-7; /* of a kernel, whose sum is 1 */

struct kernel_parts {
    int count;
    float column[PARTS][DEGRADE_KERNEL_SIDE], row[PARTS][DEGRADE_KERNEL_SIDE];
};

/* Elimination by the largest number that is left: smooth kernels are done after a few parts. False
 * where there would be so many that the kernel itself is cheaper. */
static bool kernel_parts_find(struct kernel_parts *parts, const float *kernel, int size)
{
    double rest[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    int count = size * size;
    for (int i = 0; i < count; i++)
        rest[i] = (double)kernel[i];
    for (parts->count = 0; 2 * parts->count < size; parts->count++) {
        double left = 0.0;
        int at = 0;
        for (int i = 0; i < count; i++) {
            left += fabs(rest[i]);
            if (fabs(rest[i]) > fabs(rest[at])) at = i;
        }
        if (left <= PARTS_LEFT) return true;
        if (2 * (parts->count + 1) >= size) return false;
        double column[DEGRADE_KERNEL_SIDE], row[DEGRADE_KERNEL_SIDE];
        for (int i = 0; i < size; i++) {
            column[i] = rest[i * size + at % size] / rest[at];
            row[i] = rest[at / size * size + i];
            if (fabs(column[i]) < WEIGHT_LEAST) column[i] = 0.0;
            if (fabs(row[i]) < WEIGHT_LEAST) row[i] = 0.0;
            parts->column[parts->count][i] = (float)column[i];
            parts->row[parts->count][i] = (float)row[i];
        }
        for (int i = 0; i < count; i++)
            rest[i] -= column[i / size] * row[i % size];
    }
    return false;
}

/* The rows that one of the result depends on: `taps` of them, one behind the other; what they count
 * for in each part of the kernel, `apart` floats from part to part. */
struct blurred_row {
    const float *from, *weights;
    size_t apart;
    int taps;
};

/* Rows of sums for each part, of which sums_of says where a row's first sample lies. */
static float *sums_of(float *sums, int w, int size, int part, int y)
{
    size_t border = (3 * (size_t)(size / 2) + VECTOR - 1) / VECTOR * VECTOR;
    return sums + border + (size_t)(part * BAND + y) * degrade_sums_stride(w, size);
}

/* Along columns, a few of them at a time: what several rows and parts read is read from near. */
static void blur_columns(float *sums, const struct blurred_row *rows, int count, int w,
                         const struct kernel_parts *parts, int size)
{
    size_t n = 3 * (size_t)w;
    for (size_t x = 0; x < n; x += COLUMNS) {
        size_t most = n - x < COLUMNS ? n - x : COLUMNS;
        for (int y = 0; y < count; y++)
            for (int p = 0; p < parts->count; p++)
                degrade_weigh(sums_of(sums, w, size, p, y) + x, rows[y].from + x, n,
                              rows[y].weights + (size_t)p * rows[y].apart, rows[y].taps, most,
                              false);
    }
}

/* Along row y. */
static void blur_across(float *to, float *sums, int y, int w, const struct kernel_parts *parts,
                        int size)
{
    size_t n = 3 * (size_t)w, border = 3 * (size_t)(size / 2);
    for (int p = 0; p < parts->count; p++) {
        float *row = sums_of(sums, w, size, p, y);
        degrade_pad_row(row, w, size / 2);
        degrade_weigh(to, row - border, 3, parts->row[p], size, n, p > 0);
    }
}

/* Rows first .. first + count - 1: where they are, or copied into memory where some lie beyond the
 * border. */
static const float *degrade_rows_at(const float *in, int w, int h, int first, int count,
                                    float *memory)
{
    size_t row = (size_t)w * 3;
    if (first >= 0 && first + count <= h) return in + (size_t)first * row;
    for (int y = 0; y < count; y++)
        memcpy(memory + (size_t)y * row, in + (size_t)resampling_reflected(first + y, h) * row,
               row * sizeof *memory);
    return memory;
}

static void blur_by_parts(float *out, const float *in, int w, int h,
                          const struct kernel_parts *parts, int size, float *memory)
{
    struct blurred_row rows[BAND];
    size_t row = (size_t)w * 3;
    float *sums = memory + degrade_copies_floats(w, size);
    for (int y = 0; y < h; y += BAND) {
        int count = h - y < BAND ? h - y : BAND, all = count + size / 2 * 2;
        const float *from = degrade_rows_at(in, w, h, y - size / 2, all, memory);
        for (int i = 0; i < count; i++)
            rows[i] = (struct blurred_row){from + (size_t)i * row, parts->column[0],
                                           DEGRADE_KERNEL_SIDE, size};
        blur_columns(sums, rows, count, w, parts, size);
        for (int i = 0; i < count; i++)
            blur_across(out + (size_t)(y + i) * row, sums, i, w, parts, size);
    }
}

/* The size that a kernel has without a border of next to nothing. */
static int kernel_reach(const float *kernel, int size)
{
    double left = 0.0;
    int border = 0;
    for (; 2 * border + 1 < size; border++) {
        int low = border, high = size - 1 - border;
        for (int i = low; i <= high; i++)
            left += fabs((double)kernel[low * size + i]) + fabs((double)kernel[high * size + i]) +
                    fabs((double)kernel[i * size + low]) + fabs((double)kernel[i * size + high]);
        if (left > PARTS_LEFT) break;
    }
    return size - 2 * border;
}

/* Without that border. Its size. */
static int kernel_trim(float *kernel, const float *whole, int whole_size)
{
    int size = kernel_reach(whole, whole_size), border = (whole_size - size) / 2;
    for (int i = 0; i < size * size; i++)
        kernel[i] = whole[(i / size + border) * whole_size + i % size + border];
    return size;
}

void degrade_blur(float *out, const float *in, int w, int h, const float *whole, int whole_size,
                  float *memory)
{
    struct kernel_parts parts;
    float kernel[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    int size = kernel_trim(kernel, whole, whole_size), half = size / 2;
    if (kernel_parts_find(&parts, kernel, size)) {
        blur_by_parts(out, in, w, h, &parts, size, memory);
        return;
    }
    size_t row = (size_t)w * 3, width = degrade_stride(w, size);
    for (int y = 0; y < h; y++) {
        int i = y % COPIED, left = h - y < COPIED ? h - y : COPIED;
        const float *from = memory + (size_t)i * width;
        if (i == 0) degrade_pad(memory, in, w, h, y - half, left + 2 * half, half);
        for (int j = 0; j < size; j++)
            degrade_weigh(out + (size_t)y * row, from + (size_t)j * width, 3, kernel + j * size,
                          size, row, j > 0);
    }
}

/* ---- blurred and reduced at once ---- */

enum { TAPS_MOST = 68 }; /* of a reduction to a tenth */

/* Where each thing lies in memory, in floats: the columns of the resize; a row's taps; a blurred
 * row; what a band's rows are made of; rows near the border; sums. */
struct blur_resize_room {
    size_t taps, line, weights, rows, sums, all;
};

static struct blur_resize_room blur_resize_room_of(int w, int out_w, int size)
{
    size_t row = (size_t)w * 3, parts = (size_t)(size / 2 + 1), taps = TAPS_MOST + (size_t)size;
    struct blur_resize_room room;
    room.taps = degrade_columns_floats(w, out_w);
    room.line = room.taps + TAPS_MOST;
    room.weights = room.line + row + 1;
    room.rows = room.weights + BAND * parts * taps;
    room.sums = (room.rows + row * taps + VECTOR - 1) / VECTOR * VECTOR;
    room.all = room.sums + BAND * parts * degrade_sums_stride(w, size);
    return room;
}

size_t degrade_blur_resize_floats(int w, int out_w, int size)
{
    return blur_resize_room_of(w, out_w, size).all;
}

/* What rows first - half .. first + count - 1 + half count for when each of rows first ..
 * first + count - 1, blurred by `column`, counts for taps[]. */
static void blur_taps(float *weights, const float *taps, int count, const float *column, int size)
{
    for (int i = 0; i < count + size - 1; i++) {
        double sum = 0.0;
        for (int k = i < size ? 0 : i - size + 1; k <= i && k < count; k++)
            sum += (double)taps[k] * (double)column[i - k];
        weights[i] = (float)sum;
    }
}

struct blur_resize {
    const struct kernel_parts *parts;
    struct degrade_columns columns;
    struct blurred_row rows[BAND];
    float *line, *sums, *out; /* out: of the band's first row */
    int w, size, count;       /* count: of the band so far */
};

static void blur_resize_band(struct blur_resize *b)
{
    blur_columns(b->sums, b->rows, b->count, b->w, b->parts, b->size);
    for (int i = 0; i < b->count; i++, b->out += 3 * (size_t)b->columns.count) {
        blur_across(b->line, b->sums, i, b->w, b->parts, b->size);
        degrade_resize_line(b->out, b->line, &b->columns);
    }
    b->count = 0;
}

bool degrade_blur_resize(float *out, int out_w, int out_h, const float *in, int w, int h,
                         const float *whole, int whole_size, enum degrade_resize mode,
                         float *memory)
{
    struct kernel_parts parts;
    float kernel[DEGRADE_KERNEL_SIDE * DEGRADE_KERNEL_SIDE];
    const struct blur_resize_room room = blur_resize_room_of(w, out_w, whole_size);
    int size = kernel_trim(kernel, whole, whole_size);
    if (degrade_taps_most(h, out_h) > TAPS_MOST || !kernel_parts_find(&parts, kernel, size))
        return false;
    struct blur_resize b = {.parts = &parts,
                            .columns = degrade_columns_of(mode, w, out_w, memory),
                            .line = memory + room.line,
                            .sums = memory + room.sums,
                            .out = out,
                            .w = w,
                            .size = size};
    size_t apart = TAPS_MOST + (size_t)size;
    float *copies = memory + room.rows; /* room for those of one row of the result */
    for (int y = 0; y < out_h; y++) {
        struct degrade_taps taps = degrade_taps_of(mode, y, h, out_h, memory + room.taps);
        int first = taps.first - size / 2, all = taps.count + size - 1;
        const float *from = degrade_rows_at(in, w, h, first, all, copies);
        float *weights = memory + room.weights + (size_t)b.count * (size_t)parts.count * apart;
        for (int p = 0; p < parts.count; p++)
            blur_taps(weights + (size_t)p * apart, memory + room.taps, taps.count, parts.column[p],
                      size);
        b.rows[b.count++] = (struct blurred_row){from, weights, apart, all};
        if (from == copies || b.count == BAND || y + 1 == out_h) blur_resize_band(&b);
    }
    return true;
}

/* ---- sharpening ---- */

/* What blurring takes; the blurred image; the mask; that blurred. */
size_t degrade_sharpen_floats(int w, int h, int size)
{
    return degrade_blur_floats(w, size) + 3 * 3 * (size_t)w * (size_t)h;
}

/* By one line of a Gaussian, along y and along x. */
static void sharpen_blur(float *out, const float *in, int w, int h, const float *line, int size,
                         float *memory)
{
    int half = size / 2;
    size_t row = (size_t)w * 3, width = degrade_stride(w, size);
    float *sums = memory + degrade_copies_floats(w, size);
    for (int y = 0; y < h; y++) {
        int i = y % COPIED, left = h - y < COPIED ? h - y : COPIED;
        if (i == 0) degrade_pad(memory, in, w, h, y - half, left + 2 * half, half);
        degrade_weigh(sums, memory + (size_t)i * width, width, line, size, width, false);
        degrade_weigh(out + (size_t)y * row, sums, 3, line, size, row, false);
    }
}

void degrade_sharpen(float *image, int w, int h, int size, float *memory)
{
    const double sigma = 0.3 * ((size - 1) / 2.0 - 1.0) + 0.8;
    size_t count = (size_t)w * (size_t)h * 3;
    float *blurred = memory + degrade_blur_floats(w, size), *mask = blurred + count;
    float line[DEGRADE_KERNEL_SIDE];
    double weights[DEGRADE_KERNEL_SIDE], sum = 0.0;
    for (int i = 0; i < size; i++) {
        double x = (i - size / 2) / sigma;
        sum += weights[i] = portable_exp(-0.5 * x * x);
    }
    for (int i = 0; i < size; i++)
        line[i] = (float)(weights[i] / sum);
    sharpen_blur(blurred, image, w, h, line, size, memory);
    for (size_t i = 0; i < count; i++)
        mask[i] = fabsf(image[i] - blurred[i]) * 255.0f > 10.0f ? 1.0f : 0.0f;
    for (size_t i = 0; i < count; i++) /* the sharp image takes the blurred one's place */
        blurred[i] = shown_clamped(image[i] + 0.5f * (image[i] - blurred[i]));
    float *soft = mask + count;
    sharpen_blur(soft, mask, w, h, line, size, memory);
    for (size_t i = 0; i < count; i++)
        image[i] = soft[i] * blurred[i] + (1.0f - soft[i]) * image[i];
}

/* ---- thick lines ---- */

size_t degrade_thicken_floats(int w, int h)
{
    return 2 * (size_t)w * (size_t)h * 3;
}

/* The least of a sample and its neighbours `step` floats before and behind it. */
static void least_of_three(float *out, const float *in, size_t n, size_t step)
{
    for (size_t i = 0; i < n; i++) {
        float least = in[i];
        if (i >= step && in[i - step] < least) least = in[i - step];
        if (i + step < n && in[i + step] < least) least = in[i + step];
        out[i] = least;
    }
}

void degrade_thicken(float *image, int w, int h, float *memory)
{
    size_t row = (size_t)w * 3, count = row * (size_t)h;
    float *across = memory, *least = memory + count;
    for (size_t y = 0; y < (size_t)h; y++)
        least_of_three(across + y * row, image + y * row, row, 3);
    least_of_three(least, across, count, row);
    for (size_t i = 0; i < count; i++)
        image[i] = 0.75f * image[i] + 0.25f * least[i];
}
