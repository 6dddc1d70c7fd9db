#include "video/layout.h"

#include "base/error.h"
#include "video/video.h"

#include <stdio.h>
#include <string.h>

static const uint8_t background[3] = {24, 24, 27};
static const uint8_t caption_colour[3] = {240, 240, 240}, label_colour[3] = {150, 150, 158};
static const uint8_t track_colour[3] = {58, 58, 64}, progress_colour[3] = {88, 166, 255};

enum {
    WATCHABLE = 512,         /* smaller images are enlarged to this about */
    MIN_CAPTION_WIDTH = 320, /* of the video, so that a caption has room */
    MARGIN = 3,              /* around text, in dots */
    MIN_CAPTION_SIZE = 128,  /* no caption below this max_size */
    MAX_LINES = 2,           /* of a caption, as long as smaller letters help */
};

static int layout_smaller(int a, int b)
{
    return a < b ? a : b;
}

static int layout_larger(int a, int b)
{
    return a > b ? a : b;
}

/* ---- captions ---- */

/* The length of the first line when `columns` fit: up to the last gap between two fields, else the
 * last blank, else as much as fits. */
static int line_length(const char *text, int columns)
{
    int length = (int)strlen(text);
    if (length <= columns) return length;
    for (int i = columns; i > 0; i--)
        if (text[i] == ' ' && (text[i + 1] == ' ' || text[i - 1] == ' ')) return i;
    for (int i = columns; i > 0; i--)
        if (text[i] == ' ') return i;
    return columns;
}

static const char *next_line(const char *text, int length)
{
    text += length;
    return text + strspn(text, " ");
}

static int columns_in(int width, int scale)
{
    int advance = text_width(scale, "MM") - text_width(scale, "M");
    return layout_larger(1, (width - 2 * MARGIN * scale + 1) / advance);
}

static int layout_count_lines(const char *text, int columns)
{
    int lines = 0;
    for (; *text; text = next_line(text, line_length(text, columns)))
        lines++;
    return lines;
}

static int most_lines(const char *const *captions, int count, int columns)
{
    int lines = 1;
    for (int i = 0; i < count; i++)
        lines = layout_larger(lines, layout_count_lines(captions[i], columns));
    return lines;
}

static int bar_height(int scale)
{
    return scale + 1;
}

/* ---- geometry ---- */

/* Letters of a size that suits the width; somewhat smaller for a caption in one line, and as small
 * as can be for one in two. */
static void fit_strip(struct layout *layout, const char *const *captions, int count)
{
    int scale =
        layout_larger(layout->width >= MIN_CAPTION_WIDTH ? 2 : 1, (layout->width + 300) / 600);
    int lines = most_lines(captions, count, columns_in(layout->width, scale));
    while (scale > (lines > MAX_LINES ? 1 : 2) && lines > 1)
        lines = most_lines(captions, count, columns_in(layout->width, --scale));
    layout->text_scale = scale;
    layout->caption_lines = lines;
    int labelled = layout->columns ? layout->render.width / layout->columns
                   : layout->reference.y == layout->render.y
                       ? layout_smaller(layout->reference.width, layout->render.width)
                       : 0;
    layout->labels = labelled > text_width(scale, "samples") + 2 * MARGIN * scale;
    int rows = lines + (layout->labels ? 1 : 0);
    layout->strip.height = rows * text_height(scale) + 2 * MARGIN * scale + bar_height(scale);
}

/* How large one image is when columns x rows of them share a box: shrunk to fit, or enlarged by a
 * whole factor until they are watchable. */
static void fit_cell(struct rectangle *cell, int width, int height, int columns, int rows, int gap,
                     int box_width, int box_height)
{
    double across = (double)(box_width - (columns - 1) * gap) / columns / width;
    double down = (double)(box_height - (rows - 1) * gap) / rows / height;
    double scale = across < down ? across : down;
    if (scale >= 1) {
        int side = layout_larger(width * columns, height * rows);
        scale = layout_smaller((int)scale, layout_larger(1, (WATCHABLE + side - 1) / side));
    }
    cell->width = layout_larger(1, (int)(width * scale + 1e-6)); /* rounded down: it has to fit */
    cell->height = layout_larger(1, (int)(height * scale + 1e-6));
}

/* Puts the cells into a video whose images may take box_height of max_size. */
static void layout_place(struct layout *layout, int width, int height, int columns, int rows,
                         int max_size, bool captions)
{
    int gap = columns * rows > 1 ? layout_larger(2, layout_smaller(max_size, 1920) / 240) : 0;
    struct rectangle cell;
    fit_cell(&cell, width, height, columns, rows, gap, max_size, max_size - layout->strip.height);
    int across = columns * cell.width + (columns - 1) * gap;
    int down = rows * cell.height + (rows - 1) * gap;
    layout->width =
        captions ? layout_larger(across, layout_smaller(max_size, MIN_CAPTION_WIDTH)) : across;
    layout->height = down + layout->strip.height;
    int x = (layout->width - across) / 2;
    layout->all = (struct rectangle){x, 0, across, down};
    layout->render =
        (struct rectangle){x + across - cell.width, down - cell.height, cell.width, cell.height};
    layout->reference = columns * rows > 1 ? (struct rectangle){x, 0, cell.width, cell.height}
                                           : (struct rectangle){0};
    layout->strip = (struct rectangle){0, down, layout->width, layout->strip.height};
}

/* The share of a 16:9 screen that an image of this shape fills. */
static double screen_share(double shape)
{
    double ratio = shape / (16.0 / 9.0);
    return ratio < 1 ? ratio : 1 / ratio;
}

void layout_compute(struct layout *layout, int width, int height, bool reference, int columns,
                    int max_size, const char *const *captions, int count)
{
    double shape = (double)width / height;
    bool stacked = screen_share(shape / 2) > screen_share(shape * 2) + 1e-9;
    int across = reference && !stacked ? 2 : 1, rows = reference && stacked ? 2 : 1;
    if (max_size < MIN_CAPTION_SIZE) count = 0;
    *layout = (struct layout){.columns = reference ? 0 : columns};
    layout_place(layout, width, height, across, rows, max_size, count > 0);
    /* The strip takes height from the images, which may make them narrower, which may make the
     * strip higher: it only grows here, so this ends. */
    for (int turn = 0; turn < 4 && count > 0; turn++) {
        int before = layout->strip.height;
        fit_strip(layout, captions, count);
        layout->strip.height = layout_larger(layout->strip.height, before);
        if (layout->strip.height > max_size / 2) layout->strip.height = max_size / 2;
        layout_place(layout, width, height, across, rows, max_size, true);
        if (layout->strip.height == before) break;
    }
}

/* ---- drawing ---- */

void layout_clear(struct image *canvas)
{
    text_fill(canvas, 0, 0, canvas->width, canvas->height, background);
}

/* Each pixel becomes a block of factor x factor. */
static void draw_enlarged(struct image *canvas, int left, int top, const struct image *image,
                          int factor)
{
    const uint8_t *rgb = image->data;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++, rgb += 3)
            text_fill(canvas, left + x * factor, top + y * factor, factor, factor, rgb);
}

static void draw_rows(struct image *canvas, int left, int top, const struct image *image)
{
    size_t row_bytes = 3 * (size_t)image->width;
    for (int y = 0; y < image->height; y++)
        memcpy((uint8_t *)canvas->data +
                   3 * ((size_t)(top + y) * (size_t)canvas->width + (size_t)left),
               (const uint8_t *)image->data + (size_t)y * row_bytes, row_bytes);
}

/* The part of the cell that an image of this shape fills: all of it but for rounding, else as much
 * as fits. */
static struct rectangle fit_shape(const struct rectangle *cell, int width, int height)
{
    double across = (double)cell->width / width, down = (double)cell->height / height;
    double scale = across < down ? across : down;
    struct rectangle fit = *cell;
    if (cell->height - height * scale > 1)
        fit.height = layout_larger(1, (int)(height * scale + 0.5));
    if (cell->width - width * scale > 1) fit.width = layout_larger(1, (int)(width * scale + 0.5));
    fit.x += (cell->width - fit.width) / 2;
    fit.y += (cell->height - fit.height) / 2;
    return fit;
}

int layout_draw_image(struct image *canvas, const struct rectangle *cell, const struct image *image)
{
    struct rectangle fit = fit_shape(cell, image->width, image->height);
    if (fit.width != cell->width || fit.height != cell->height)
        text_fill(canvas, cell->x, cell->y, cell->width, cell->height, background);
    int factor = fit.width / image->width;
    if (factor == 1 && fit.height == image->height && fit.width == image->width) {
        draw_rows(canvas, fit.x, fit.y, image);
        return OK;
    }
    if (fit.width == factor * image->width && fit.height == factor * image->height) {
        draw_enlarged(canvas, fit.x, fit.y, image, factor);
        return OK;
    }
    struct image scaled;
    TRY(image_resize(&scaled, image, fit.width, fit.height));
    draw_rows(canvas, fit.x, fit.y, &scaled);
    image_free(&scaled);
    return OK;
}

static void draw_labels(struct image *canvas, const struct layout *layout, int y,
                        const char (*labels)[8])
{
    int scale = layout->text_scale, inset = MARGIN * scale;
    const struct rectangle *image = &layout->render;
    for (int i = 0; i < layout->columns; i++)
        text_draw_plain(canvas, image->x + i * image->width / layout->columns + inset, y, scale,
                        label_colour, labels[i]);
    if (layout->columns) return;
    text_draw_plain(canvas, layout->reference.x + inset, y, scale, label_colour, labels[0]);
    text_draw_plain(canvas, image->x + inset, y, scale, label_colour, labels[1]);
}

void layout_draw_strip(struct image *canvas, const struct layout *layout, const char *caption,
                       const char (*labels)[8], double progress)
{
    const struct rectangle *strip = &layout->strip;
    if (strip->height == 0) return;
    int scale = layout->text_scale, y = strip->y + MARGIN * scale, bar = bar_height(scale);
    text_fill(canvas, strip->x, strip->y, strip->width, strip->height, background);
    if (layout->labels && labels) draw_labels(canvas, layout, y, labels);
    if (layout->labels) y += text_height(scale);
    int columns = columns_in(strip->width, scale);
    for (int line = 0; *caption && line < layout->caption_lines; line++) {
        int length = line_length(caption, columns);
        char text[256];
        snprintf(text, sizeof text, "%.*s", length, caption);
        text_draw_plain(canvas, strip->x + MARGIN * scale, y, scale, caption_colour, text);
        caption = next_line(caption, length);
        y += text_height(scale);
    }
    int lower = strip->y + strip->height - bar;
    text_fill(canvas, strip->x, lower, strip->width, bar, track_colour);
    text_fill(canvas, strip->x, lower, (int)(progress * strip->width + 0.5), bar, progress_colour);
}
