#include "cmd/watch/watch_plot.h"

#include "base/error.h"
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLOT_LEFT = 9, PLOT_LEAST_COLUMNS = 18, PLOT_LEAST_ROWS = 4 };

/* As in charts of report.html: a factor of 30 is shown on a logarithmic axis. */
static const double PLOT_LOG_SPAN = 1.5;

struct plot_range {
    double low, high;
};

/* Dots of a curve, 2 x 4 to a cell (ASCII: 1 x 2). */
struct plot_dots {
    int width, height;
    bool *set; /* [height][width] */
};

static bool plot_has(const struct watch_plot *plot, size_t i)
{
    return isfinite(plot->x[i]) && isfinite(plot->y[i]);
}

static void plot_reach(struct plot_range *range, double value)
{
    if (value < range->low) range->low = value;
    if (value > range->high) range->high = value;
}

static void plot_measure(const struct watch_plot *plot, struct plot_range *x, struct plot_range *y)
{
    *x = *y = (struct plot_range){HUGE_VAL, -HUGE_VAL};
    for (size_t i = 0; i < plot->count; i++)
        if (plot_has(plot, i)) {
            plot_reach(x, plot->x[i]);
            plot_reach(y, plot->y[i]);
        }
}

bool watch_plot_has_curve(const struct watch_plot *plot)
{
    struct plot_range x, y;
    if (!plot->x || !plot->y) return false;
    plot_measure(plot, &x, &y);
    return x.high > x.low;
}

static double plot_share(const struct plot_range *range, double value)
{
    double span = range->high - range->low; /* may overflow where a file says any number */
    if (!(span > 0) || !isfinite(span)) return 0.5;
    return (value - range->low) / span;
}

/* A line of dots from one point to the next. */
static void plot_connect(struct plot_dots *dots, int x0, int y0, int x1, int y1)
{
    int steps = abs(x1 - x0) > abs(y1 - y0) ? abs(x1 - x0) : abs(y1 - y0);
    for (int i = 0; i <= steps; i++) {
        int x = steps ? x0 + (x1 - x0) * i / steps : x0;
        int y = steps ? y0 + (y1 - y0) * i / steps : y0;
        dots->set[(size_t)y * (size_t)dots->width + (size_t)x] = true;
    }
}

static void plot_trace(struct plot_dots *dots, const struct watch_plot *plot,
                       const struct plot_range *x, const struct plot_range *y, bool log)
{
    int last_x = -1, last_y = -1;
    for (size_t i = 0; i < plot->count; i++) {
        if (!plot_has(plot, i)) continue;
        double value = log ? log10(plot->y[i]) : plot->y[i];
        int at_x = (int)(plot_share(x, plot->x[i]) * (dots->width - 1) + 0.5);
        int at_y = (int)((1 - plot_share(y, value)) * (dots->height - 1) + 0.5);
        if (last_x < 0) last_x = at_x;
        if (last_y < 0) last_y = at_y;
        plot_connect(dots, last_x, last_y, at_x, at_y);
        last_x = at_x;
        last_y = at_y;
    }
}

/* The glyph of a cell whose dots begin at x, y. */
static uint32_t plot_glyph(const struct plot_dots *dots, int x, int y, bool utf8)
{
    static const unsigned char bits[4][2] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const bool *first = dots->set + (size_t)y * (size_t)dots->width + (size_t)x;
    uint32_t all = 0;
    if (!utf8) return (unsigned char)" '.:"[first[0] + 2 * first[dots->width]];
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 2; c++)
            if (first[r * dots->width + c]) all |= bits[r][c];
    return all ? 0x2800 + all : ' ';
}

static void plot_put_dots(struct watch_canvas *canvas, const struct watch_area *area,
                          const struct plot_dots *dots, watch_colour colour)
{
    int wide = canvas->utf8 ? 2 : 1, high = canvas->utf8 ? 4 : 2;
    for (int r = 0; r < area->rows; r++)
        for (int c = 0; c < area->columns; c++) {
            struct watch_cell *cell = watch_canvas_at(canvas, area->row + r, area->column + c);
            uint32_t glyph = plot_glyph(dots, c * wide, r * high, canvas->utf8);
            if (cell && glyph != ' ') *cell = (struct watch_cell){.glyph = glyph, .front = colour};
        }
}

static void plot_put_right(struct watch_canvas *canvas, int row, int end, const char *text)
{
    int length = (int)strlen(text);
    const struct watch_place place = {row, end - length, length};
    watch_canvas_put(canvas, &place, COLOUR_OWN, "%s", text);
}

/* With as many digits as there is room for. */
static void plot_print_number(char text[16], double value)
{
    for (int digits = 4; digits > 0; digits--) {
        snprintf(text, 16, "%.*g", digits, value);
        if (strlen(text) < PLOT_LEFT) return;
    }
}

static void plot_put_labels(struct watch_canvas *canvas, const struct watch_area *area,
                            const struct plot_range *x, const struct plot_range *y)
{
    int left = area->column + PLOT_LEFT - 1, last = area->row + area->rows - 1;
    char low[16], high[16];
    plot_print_number(high, y->high);
    plot_print_number(low, y->low);
    plot_put_right(canvas, area->row + 1, left, high);
    if (y->high > y->low && area->rows > PLOT_LEAST_ROWS - 1)
        plot_put_right(canvas, last - 1, left, low);
    const struct watch_place from = {last, left + 1, PLOT_LEFT};
    watch_canvas_put(canvas, &from, COLOUR_OWN, "%s", html_number(x->low).text);
    plot_put_right(canvas, last, area->column + area->columns, html_number(x->high).text);
}

int watch_plot_draw(struct watch_canvas *canvas, const struct watch_area *area,
                    const struct watch_plot *plot)
{
    struct plot_range x, y;
    if (area->rows < PLOT_LEAST_ROWS || area->columns < PLOT_LEAST_COLUMNS) return OK;
    if (!watch_plot_has_curve(plot)) return OK;
    plot_measure(plot, &x, &y);
    const struct watch_place title = {area->row, area->column + PLOT_LEFT,
                                      area->columns - PLOT_LEFT};
    bool log = plot->may_be_log && y.low > 0 && log10(y.high / y.low) > PLOT_LOG_SPAN;
    watch_canvas_put(canvas, &title, COLOUR_OWN, "%s%s", plot->title, log ? " (logarithmic)" : "");
    plot_put_labels(canvas, area, &x, &y);
    if (log) y = (struct plot_range){log10(y.low), log10(y.high)};
    const struct watch_area inside = {area->row + 1, area->column + PLOT_LEFT, area->rows - 2,
                                      area->columns - PLOT_LEFT};
    struct plot_dots dots = {.width = inside.columns * (canvas->utf8 ? 2 : 1),
                             .height = inside.rows * (canvas->utf8 ? 4 : 2)};
    dots.set = calloc((size_t)dots.width * (size_t)dots.height, sizeof *dots.set);
    if (!dots.set) return fail(ERR_SYSTEM, "out of memory");
    plot_trace(&dots, plot, &x, &y, log);
    plot_put_dots(canvas, &inside, &dots, plot->colour);
    free(dots.set);
    return OK;
}
