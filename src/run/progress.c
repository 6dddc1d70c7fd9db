#include "run/progress.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double LINE_SECONDS = 10.0;    /* between plain lines */
static const double EVALUATION_SECONDS = 5; /* between plain lines that an evaluation asks for */
static const double BAR_SECONDS = 0.1;

enum { LINE_BYTES = 1024, BAR_CELLS = 24, BAR_CELLS_LEAST = 8 };

struct progress {
    struct progress_options options;
    bool bar, colour;
    double begun;
    double last;              /* time of the last line or bar */
    bool shown;               /* the bar is on the screen */
    struct task_report known; /* with the last known value of every metric */
};

static void write_out(int fd, const char *text, size_t bytes)
{
    ssize_t written = write(fd, text, bytes); /* a closed terminal is no reason to stop */
    (void)written;
}

/* Called under the log's lock, before a message is printed. */
static void clear_bar(void *argument)
{
    struct progress *progress = argument;
    if (progress->shown) write_out(STDERR_FILENO, "\r\033[K", 4);
    progress->shown = false;
}

struct progress *progress_open(const struct progress_options *options)
{
    struct progress *progress = calloc(1, sizeof *progress);
    if (!progress) return NULL;
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    progress->options = *options;
    progress->bar = !options->quiet && !options->json && isatty(STDERR_FILENO) && term &&
                    strcmp(term, "dumb") != 0;
    progress->colour = progress->bar && !(no_colour && no_colour[0]);
    progress->begun = clock_seconds();
    progress->last = progress->begun - LINE_SECONDS + 1; /* the first line after a second */
    if (options->rows) progress->last = progress->begun + (progress->bar ? 1 : 0);
    if (progress->bar) log_set_clear(clear_bar, progress);
    return progress;
}

static int append_duration(char *out, size_t room, double seconds)
{
    long long s = (long long)(seconds + 0.5);
    if (s < 60) return snprintf(out, room, "%llds", s);
    if (s < 3600) return snprintf(out, room, "%lldm%02llds", s / 60, s % 60);
    return snprintf(out, room, "%lldh%02lldm", s / 3600, s / 60 % 60);
}

static const char *speed_format(double speed)
{
    if (speed >= 100) return " it/s %.0f";
    return speed >= 10 ? " it/s %.1f" : " it/s %.2f";
}

#define APPEND(...)                                                                                \
    do {                                                                                           \
        int added_ = snprintf(out + used, room - used, __VA_ARGS__);                               \
        used += added_ > 0 ? (size_t)added_ : 0;                                                   \
        if (used >= room) used = room - 1;                                                         \
    } while (0)

/* The line with the first `metrics` of the metrics that are shown. */
static size_t format_line(char *out, size_t room, const struct record *record, int64_t total,
                          int64_t free_bytes, int metrics)
{
    size_t used = 0;
    const struct task_report *report = record->report;
    int64_t percent = total > 0 ? record->step * 100 / total : 100;
    APPEND("step %lld/%lld %lld%% loss %.4g", (long long)record->step, (long long)total,
           (long long)percent, report->loss);
    for (int i = 0; i < report->metric_count; i++) {
        const struct task_metric *metric = &report->metrics[i];
        if (!metric->format || !isfinite(metric->value) || metrics-- <= 0) continue;
        char value[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(value, sizeof value, metric->format, metric->value);
#pragma GCC diagnostic pop
        APPEND(" %s %s", metric->name, value);
    }
    double speed = record->steps_per_second;
    if (speed > 0) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        APPEND(speed_format(speed), speed);
#pragma GCC diagnostic pop
    }
    double used_g = (double)record->bytes / 0x1p30;
    if (free_bytes >= 0)
        APPEND(" mem %.1f/%.1fG", used_g, used_g + (double)free_bytes / 0x1p30);
    else
        APPEND(" mem %.1fG", used_g);
    if (speed > 0 && total > record->step) {
        char eta[32];
        append_duration(eta, sizeof eta, (double)(total - record->step) / speed);
        APPEND(" eta %s", eta);
    }
    return used;
}

size_t progress_line(char *out, size_t room, const struct record *record, int64_t total,
                     int64_t free_bytes)
{
    return format_line(out, room, record, total, free_bytes, TASK_MAX_METRICS);
}

static int terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

/* "[#####.....] LINE", the bar in so many cells. */
static void write_bar(struct progress *progress, int64_t done, const char *line, int columns,
                      int cells)
{
    char out[LINE_BYTES * 2];
    size_t room = sizeof out, used = 0;
    int64_t total = progress->options.total;
    if (cells > BAR_CELLS) cells = BAR_CELLS;
    if (cells < 0) cells = 0;
    APPEND("\r\033[K[%s", progress->colour ? "\033[32m" : "");
    for (int i = 0; i < cells; i++)
        APPEND("%c", total > 0 && i < done * cells / total ? '#' : '.');
    int left = columns - 4 - cells;
    APPEND("%s] %.*s", progress->colour ? "\033[0m" : "", left > 0 ? left : 0, line);
    write_out(STDERR_FILENO, out, used);
    progress->shown = true;
}

/* On a narrow terminal with fewer metrics and a shorter bar. */
static void draw_bar(struct progress *progress, const struct record *record, int64_t free_bytes)
{
    char line[LINE_BYTES];
    int64_t total = progress->options.total;
    int columns = terminal_columns(), metrics = record->report->metric_count, cells;
    do {
        cells =
            columns - 4 - (int)format_line(line, sizeof line, record, total, free_bytes, metrics);
    } while (cells < BAR_CELLS_LEAST && metrics-- > 0);
    write_bar(progress, record->step, line, columns, cells);
}

/* Metrics that this step did not measure keep their last value. */
static void progress_remember(struct progress *progress, const struct task_report *report)
{
    struct task_report known = *report;
    for (int i = 0; i < known.metric_count && i < progress->known.metric_count; i++)
        if (isnan(known.metrics[i].value))
            known.metrics[i].value = progress->known.metrics[i].value;
    progress->known = known;
}

static bool progress_is_due(const struct progress *progress, bool evaluated, bool last)
{
    double wait = progress->bar ? BAR_SECONDS : evaluated ? EVALUATION_SECONDS : LINE_SECONDS;
    return last || progress->options.every_step || clock_seconds() - progress->last >= wait;
}

void progress_update(struct progress *progress, const struct record *record, bool evaluated,
                     int64_t free_bytes)
{
    if (!progress || progress->options.quiet) return;
    progress_remember(progress, record->report);
    int64_t total = progress->options.total;
    bool last = record->step >= total || record->report->finished;
    if (!progress_is_due(progress, evaluated, last)) return;
    progress->last = clock_seconds();
    struct record shown = *record;
    shown.report = &progress->known;
    char line[RECORD_BYTES];
    if (progress->options.json) {
        char steps[64];
        snprintf(steps, sizeof steps, ", \"steps\": %lld", (long long)total);
        record_json(line, sizeof line, &shown, steps);
        line[strlen(line) - 1] = '\0'; /* progress_event adds the braces */
        progress_event(progress, "progress", line + 1);
        return;
    }
    if (progress->bar) {
        draw_bar(progress, &shown, free_bytes);
        if (last) write_out(STDERR_FILENO, "\n", 1);
        if (last) progress->shown = false;
    } else {
        progress_line(line, sizeof line, &shown, total, free_bytes);
        log_info("%s", line);
    }
}

size_t progress_rows_line(char *out, size_t room, int64_t done, int64_t total, double seconds)
{
    size_t used = 0;
    APPEND("row %lld/%lld %lld%%", (long long)done, (long long)total,
           (long long)(total > 0 ? done * 100 / total : 100));
    if (done > 0 && done < total) {
        char eta[32];
        append_duration(eta, sizeof eta, seconds * (double)(total - done) / (double)done);
        APPEND(" eta %s", eta);
    }
    return used;
}

void progress_set_total(struct progress *progress, int64_t total)
{
    if (progress) progress->options.total = total;
}

void progress_rows(struct progress *progress, int64_t done)
{
    if (!progress || progress->options.quiet) return;
    double now = clock_seconds(), wait = progress->bar ? BAR_SECONDS : LINE_SECONDS;
    bool last = progress->shown && done >= progress->options.total;
    if (!last && !progress->options.every_step && now - progress->last < wait) return;
    char line[LINE_BYTES];
    progress->last = now;
    size_t used =
        progress_rows_line(line, sizeof line, done, progress->options.total, now - progress->begun);
    int columns = terminal_columns();
    if (progress->bar)
        write_bar(progress, done, line, columns, columns - 4 - (int)used);
    else
        log_info("%s", line);
}

void progress_event(struct progress *progress, const char *name, const char *members)
{
    if (!progress || !progress->options.json) return;
    char out[2 * RECORD_BYTES];
    size_t room = sizeof out, used = 0;
    APPEND("{\"event\": \"%s\", %s}\n", name, members);
    write_out(STDOUT_FILENO, out, used);
}

void progress_close(struct progress *progress)
{
    if (!progress) return;
    if (progress->bar) {
        log_set_clear(NULL, NULL);
        if (progress->shown) write_out(STDERR_FILENO, "\n", 1);
    }
    free(progress);
}
