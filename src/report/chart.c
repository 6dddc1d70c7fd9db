#include "report/chart.h"

#include "base/format.h"
#include "report/html.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    CHART_WIDTH = 560,
    CHART_HEIGHT = 250,
    CHART_LEFT = 66,
    CHART_RIGHT = 12,
    CHART_TOP = 16,
    CHART_BOTTOM = 36,
    CHART_COLOURS = 8,
    CHART_MOST_POINTS = 400, /* of a curve: what a screen shows of it */
    CHART_TICKS = 5
};

/* A span of logarithms above this (a factor of 30) is shown on a logarithmic axis. */
static const double CHART_LOG_SPAN = 1.5;

struct axis {
    double low, high; /* logarithms where `log` */
    bool log, bytes;
    double from, to; /* in the picture */
};

bool chart_is_dashed(int index)
{
    return index >= CHART_COLOURS;
}

struct chart_colour chart_colour(int index)
{
    struct chart_colour colour;
    snprintf(colour.text, sizeof colour.text, "var(--c%d)", index % CHART_COLOURS);
    return colour;
}

static double axis_place(const struct axis *axis, double value)
{
    double v = axis->log ? log10(value) : value;
    return axis->from + (v - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

static bool chart_has(const struct chart_curve *curve, size_t i)
{
    return isfinite(curve->x[i]) && isfinite(curve->y[i]);
}

static void axis_reach(struct axis *axis, double value)
{
    if (value < axis->low) axis->low = value;
    if (value > axis->high) axis->high = value;
}

static void axis_widen(struct axis *axis)
{
    if (axis->high > axis->low) return;
    double by = fabs(axis->low) * 0.1;
    axis->low -= by;
    axis->high += by > 0 ? by : 1; /* nothing that a run measures is below a 0 */
}

/* Both axes; false: there is no point. */
static bool chart_measure(const struct chart *chart, struct axis *x, struct axis *y)
{
    const double most = HUGE_VAL;
    *x = (struct axis){.low = most, .high = -most, .from = CHART_LEFT};
    *y = (struct axis){.low = most, .high = -most, .bytes = chart->bytes, .to = CHART_TOP};
    x->to = CHART_WIDTH - CHART_RIGHT;
    y->from = CHART_HEIGHT - CHART_BOTTOM;
    for (int c = 0; c < chart->curve_count; c++)
        for (size_t i = 0; i < chart->curves[c].count; i++)
            if (chart_has(&chart->curves[c], i)) {
                axis_reach(x, chart->curves[c].x[i]);
                axis_reach(y, chart->curves[c].y[i]);
            }
    if (!(x->low <= x->high)) return false;
    for (int m = 0; m < chart->mark_count; m++)
        axis_reach(x, chart->marks[m].x);
    if (chart->bytes) y->low = 0;
    y->log = chart->may_be_log && y->low > 0 && log10(y->high / y->low) > CHART_LOG_SPAN;
    if (y->log) {
        y->low = log10(y->low);
        y->high = log10(y->high);
    }
    axis_widen(x);
    axis_widen(y);
    double air = (y->high - y->low) * 0.04;
    if (!chart->bytes) y->low -= air;
    y->high += air;
    return true;
}

/* The file may say any number. */
static struct format_text chart_bytes(double bytes)
{
    return format_bytes(bytes >= 0 && bytes < 9e18 ? (int64_t)bytes : -1);
}

/* ---- ticks ---- */

static void chart_write_tick(FILE *out, const struct axis *axis, double value, bool vertical)
{
    double at = axis_place(axis, value);
    struct html_number number = html_number(value);
    const char *text = axis->bytes ? "" : number.text;
    struct format_text bytes = chart_bytes(axis->bytes ? value : 0);
    if (axis->bytes) text = bytes.text;
    if (vertical)
        fprintf(out,
                "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"axis\" x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%s</text>\n",
                CHART_LEFT, at, CHART_WIDTH - CHART_RIGHT, CHART_LEFT - 6, at + 4, text);
    else
        fprintf(out, "<text class=\"axis\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                at, CHART_HEIGHT - CHART_BOTTOM + 16, text);
}

/* 1, 2 or 5 times a power of ten (of bytes: of two). */
static double chart_tick_distance(const struct axis *axis)
{
    double rough = (axis->high - axis->low) / CHART_TICKS;
    if (axis->bytes) {
        double step = exp2(ceil(log2(rough)));
        return step < 1 ? 1 : step;
    }
    double power = pow(10, floor(log10(rough)));
    return rough > 5 * power   ? 10 * power
           : rough > 2 * power ? 5 * power
           : rough > power     ? 2 * power
                               : power;
}

static void chart_write_ticks(FILE *out, const struct axis *axis, bool vertical)
{
    if (axis->log) {
        static const double digits[] = {1, 2, 5};
        int parts = axis->high - axis->low > 3 ? 1 : 3;
        int each = axis->high - axis->low > 12 ? (int)((axis->high - axis->low) / 6) : 1;
        for (int power = (int)floor(axis->low); power <= axis->high; power += each)
            for (int d = 0; d < parts; d++) {
                double value = digits[d] * pow(10, power), at = log10(value);
                if (at >= axis->low && at <= axis->high)
                    chart_write_tick(out, axis, value, vertical);
            }
        return;
    }
    double distance = chart_tick_distance(axis), first = ceil(axis->low / distance);
    for (int i = 0; i < 4 * CHART_TICKS; i++) {
        double value = (first + i) * distance;
        if (value > axis->high + distance * 1e-9) return;
        if (fabs(value) < distance * 1e-9) value = 0;
        chart_write_tick(out, axis, value, vertical);
    }
}

/* ---- curves ---- */

/* Which of the points are shown: of each of equal parts of a long curve the lowest and the highest,
 * so that no peak is lost. keep: [count]. */
static void chart_thin(const struct chart_curve *curve, bool *keep)
{
    size_t parts = CHART_MOST_POINTS / 2;
    for (size_t i = 0; i < curve->count; i++)
        keep[i] = curve->count <= CHART_MOST_POINTS && chart_has(curve, i);
    if (curve->count <= CHART_MOST_POINTS) return;
    for (size_t p = 0; p < parts; p++) {
        size_t from = curve->count * p / parts, to = curve->count * (p + 1) / parts;
        size_t low = to, high = to;
        for (size_t i = from; i < to; i++) {
            if (!chart_has(curve, i)) continue;
            if (low == to || curve->y[i] < curve->y[low]) low = i;
            if (high == to || curve->y[i] > curve->y[high]) high = i;
        }
        if (low < to) keep[low] = keep[high] = true;
    }
    for (size_t i = curve->count; i > 0; i--) /* the end is what most look for */
        if (chart_has(curve, i - 1)) {
            keep[i - 1] = true;
            break;
        }
}

static void chart_write_curve(FILE *out, const struct chart *chart, int index, const struct axis *x,
                              const struct axis *y)
{
    const struct chart_curve *curve = &chart->curves[index];
    bool *keep = malloc(curve->count + 1), first = true;
    if (!keep) return;
    chart_thin(curve, keep);
    fprintf(out, "<path class=\"curve\" style=\"stroke:%s%s\" data-name=\"",
            chart_colour(index).text, chart_is_dashed(index) ? ";stroke-dasharray:6 3" : "");
    html_write_text(out, curve->name);
    fputs("\" data-says=\"", out);
    for (size_t i = 0; i < curve->count; i++) {
        if (!keep[i]) continue;
        fprintf(out, "%s%.1f,%s,", first ? "" : " ", axis_place(x, curve->x[i]),
                html_number(curve->x[i]).text);
        /* a blank would end the point */
        if (chart->bytes)
            for (const char *c = chart_bytes(curve->y[i]).text; *c; c++)
                fputs(*c == ' ' ? "\xC2\xA0" : (char[2]){*c, '\0'}, out);
        else
            fputs(html_number(curve->y[i]).text, out);
        first = false;
    }
    fputs("\" d=\"", out);
    first = true;
    for (size_t i = 0; i < curve->count; i++) {
        if (!keep[i]) continue;
        double px = axis_place(x, curve->x[i]), py = axis_place(y, curve->y[i]);
        if (first)
            fprintf(out, "M%.1f %.1f", px, py);
        else if (curve->stairs)
            fprintf(out, "H%.1fV%.1f", px, py);
        else
            fprintf(out, "L%.1f %.1f", px, py);
        if (first && curve->count == 1) fprintf(out, "h3"); /* a point alone has no line */
        first = false;
    }
    if (curve->stairs) fprintf(out, "H%.1f", x->to);
    fputs("\"/>\n", out);
    free(keep);
}

bool chart_write(FILE *out, const struct chart *chart)
{
    struct axis x, y;
    if (!chart_measure(chart, &x, &y)) return false;
    fputs("<div class=\"chart\"><h3>", out);
    html_write_text(out, chart->title);
    fprintf(out, "%s</h3>\n<svg viewBox=\"0 0 %d %d\" role=\"img\">\n",
            y.log ? " <span class=\"dim\">(logarithmic)</span>" : "", CHART_WIDTH, CHART_HEIGHT);
    chart_write_ticks(out, &y, true);
    chart_write_ticks(out, &x, false);
    fprintf(out, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">",
            CHART_WIDTH - CHART_RIGHT, CHART_HEIGHT - 4);
    html_write_text(out, chart->x_name);
    fputs("</text>\n", out);
    for (int m = 0; m < chart->mark_count; m++) {
        double at = axis_place(&x, chart->marks[m].x);
        fprintf(out,
                "<path class=\"move\" d=\"M%.1f %dV%d\"/><text class=\"axis\" x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%d</text>\n",
                at, CHART_TOP, CHART_HEIGHT - CHART_BOTTOM, at, CHART_TOP - 4,
                chart->marks[m].number);
    }
    for (int c = 0; c < chart->curve_count; c++)
        if (chart->curves[c].count > 0) chart_write_curve(out, chart, c, &x, &y);
    fprintf(out, "<line class=\"hair\" y1=\"%d\" y2=\"%d\"/></svg>\n", CHART_TOP,
            CHART_HEIGHT - CHART_BOTTOM);
    fputs("<div class=\"said\"></div></div>\n", out);
    return true;
}
