#include "report/report.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "config/config.h"
#include "report/chart.h"
#include "report/frame_show.h"
#include "report/html.h"
#include "report/report_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool report_is_measure(const char *column)
{
    static const char *const others[] = {"step", "seconds", "bytes", "level", "size", "batch"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(column, others[i]) == 0) return false;
    return true;
}

/* ---- columns of all runs ---- */

int report_list_columns(const struct report *report, const char ***names, int *count)
{
    size_t room = 1;
    for (int r = 0; r < report->count; r++)
        room += report->stories[r].column_count;
    *count = 0;
    *names = calloc(room, sizeof **names);
    if (!*names) return fail(ERR_SYSTEM, "out of memory");
    for (int r = 0; r < report->count; r++)
        for (size_t c = 0; c < report->stories[r].column_count; c++) {
            const char *name = report->stories[r].columns[c].name;
            bool known = false;
            for (int i = 0; i < *count; i++)
                known = known || strcmp((*names)[i], name) == 0;
            if (!known) (*names)[(*count)++] = name;
        }
    return OK;
}

/* Whether a column is worth a curve: some run has two numbers of it that differ. */
static bool report_varies(const struct report *report, const char *name)
{
    for (int r = 0; r < report->count; r++) {
        const double *values = run_story_column(&report->stories[r], name);
        double first = (double)NAN;
        for (size_t i = 0; values && i < report->stories[r].rows; i++) {
            if (isnan(first)) first = values[i];
            if (!isnan(values[i]) && (values[i] < first || values[i] > first)) return true;
        }
    }
    return false;
}

/* ---- curves ---- */

struct report_axis {
    const char *column, *name;
};

static int report_write_chart(const struct report *report, const char *title, const char *column,
                              const struct report_axis *axis)
{
    struct chart_curve *curves = calloc((size_t)report->count, sizeof *curves);
    if (!curves) return fail(ERR_SYSTEM, "out of memory");
    for (int r = 0; r < report->count; r++) {
        const struct run_story *story = &report->stories[r];
        const double *x = run_story_column(story, axis->column);
        const double *y = run_story_column(story, column);
        curves[r] = (struct chart_curve){.name = report->count > 1 ? story->name : "",
                                         .x = x,
                                         .y = y,
                                         .count = x && y ? story->rows : 0};
    }
    const struct chart chart = {.title = title,
                                .x_name = axis->name,
                                .curves = curves,
                                .curve_count = report->count,
                                .bytes = strcmp(column, "bytes") == 0,
                                .may_be_log = run_story_direction(column) < 0};
    chart_write(report->out, &chart);
    free(curves);
    return OK;
}

static int report_write_charts(const struct report *report, const struct report_axis *axis)
{
    const char **names;
    int count, code;
    TRY(report_list_columns(report, &names, &count));
    code = OK;
    fputs("<div class=\"charts\">\n", report->out);
    for (int i = 0; i < count && code == OK; i++)
        if (report_is_measure(names[i]) && report_varies(report, names[i]))
            code = report_write_chart(report, names[i], names[i], axis);
    fputs("</div>\n", report->out);
    free(names);
    return code;
}

/* Which curve has which colour, and is dashed. */
static void report_write_swatch(FILE *out, int index)
{
    fprintf(out, "<span class=\"key\" style=\"border-top:3px %s %s\"></span>",
            chart_is_dashed(index) ? "dashed" : "solid", chart_colour(index).text);
}

static void report_write_key(FILE *out, int index, const char *name)
{
    report_write_swatch(out, index);
    html_write_text(out, name);
}

static int report_write_curves(const struct report *report)
{
    const struct report_axis steps = {"step", "steps"}, seconds = {"seconds", "seconds"};
    fputs("<h2>Curves</h2>\n", report->out);
    if (report->count > 1) {
        fputs("<p>", report->out);
        for (int r = 0; r < report->count; r++)
            report_write_key(report->out, r, report->stories[r].name);
        fputs("</p>\n", report->out);
    }
    TRY(report_write_charts(report, &steps));
    fputs("<details><summary>over time</summary>\n", report->out);
    TRY(report_write_charts(report, &seconds));
    fputs("</details>\n", report->out);
    return OK;
}

/* ---- memory ---- */

static const char *report_word(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

/* The file may say any number. */
static struct format_text report_bytes(double bytes)
{
    if (bytes >= 0 && bytes < 1e18) return format_bytes((int64_t)bytes);
    return (struct format_text){""};
}

static void report_write_bytes_cell(FILE *out, double bytes)
{
    fprintf(out, "<td class=\"n\">%s</td>", report_bytes(bytes).text);
}

/* What a mode does that costs time: the words of "choices" that say something. */
static void report_write_choices(FILE *out, const cJSON *choices)
{
    const cJSON *item;
    bool first = true;
    cJSON_ArrayForEach(item, choices)
    {
        bool number = cJSON_IsNumber(item) && item->valuedouble > 0;
        if (!number && !cJSON_IsTrue(item)) continue;
        fputs(first ? "" : ", ", out);
        html_write_text(out, item->string);
        if (number) fprintf(out, " %s", html_number(item->valuedouble).text);
        first = false;
    }
}

static void report_write_moves(FILE *out, const struct run_story *story)
{
    const cJSON *move;
    int number = 0;
    fputs("<div class=\"wide\"><table>\n<tr><th>#</th><th class=\"n\">step</th><th>why</th>"
          "<th class=\"n\">level</th><th>with</th><th class=\"n\">planned</th>"
          "<th class=\"n\">most so far</th><th class=\"n\">free</th><th class=\"n\">on the "
          "host</th></tr>\n",
          out);
    cJSON_ArrayForEach(move, story->moves)
    {
        fprintf(out, "<tr><td>%d</td><td class=\"n\">%s</td><td>", ++number,
                html_number(run_story_number(move, "step")).text);
        html_write_text(out, report_word(move, "reason"));
        fprintf(out, "</td><td class=\"n\">%s</td><td>",
                html_number(run_story_number(move, "level")).text);
        report_write_choices(out, cJSON_GetObjectItemCaseSensitive(move, "choices"));
        fputs("</td>", out);
        report_write_bytes_cell(out, run_story_number(move, "predicted"));
        report_write_bytes_cell(out, run_story_number(move, "peak"));
        report_write_bytes_cell(out, run_story_number(move, "free"));
        report_write_bytes_cell(out, run_story_number(move, "host"));
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
}

/* What was in use at each line of metrics, what was planned from each move on, and the moves. */
static int report_write_memory_of(FILE *out, const struct run_story *story)
{
    const double *bytes = run_story_column(story, "bytes");
    size_t count = (size_t)cJSON_GetArraySize(story->moves), at = 0;
    double *steps = calloc(count + 1, sizeof *steps), *planned = calloc(count + 1, sizeof *planned);
    struct chart_mark *marks = calloc(count + 1, sizeof *marks);
    int code = steps && planned && marks ? OK : fail(ERR_SYSTEM, "out of memory");
    const cJSON *move;
    if (code == OK) cJSON_ArrayForEach(move, story->moves)
        {
            steps[at] = run_story_number(move, "step");
            planned[at] = run_story_number(move, "predicted");
            marks[at] = (struct chart_mark){steps[at], (int)at + 1};
            at++;
        }
    const struct chart_curve curves[] = {
        {.name = "in use",
         .x = story->steps,
         .y = bytes,
         .count = story->steps && bytes ? story->rows : 0},
        {.name = "planned", .x = steps, .y = planned, .count = count, .stairs = true}};
    const struct chart chart = {.title = "device memory",
                                .x_name = "steps",
                                .curves = curves,
                                .curve_count = 2,
                                .marks = marks,
                                .mark_count = (int)at,
                                .bytes = true};
    if (code == OK) {
        report_write_key(out, 0, "in use");
        report_write_key(out, 1, "planned, with the moves that the table names");
        fputs("<div class=\"charts\">\n", out);
        chart_write(out, &chart);
        fputs("</div>\n", out);
        report_write_moves(out, story);
    }
    free(steps);
    free(planned);
    free(marks);
    return code;
}

static int report_write_memory(const struct report *report)
{
    const struct report_axis steps = {"step", "steps"};
    fputs("<h2>Memory</h2>\n", report->out);
    if (report->count == 1) return report_write_memory_of(report->out, report->stories);
    fputs("<div class=\"charts\">\n", report->out);
    TRY(report_write_chart(report, "device memory", "bytes", &steps));
    fputs("</div>\n", report->out);
    return OK;
}

/* ---- settings ---- */

static bool report_settings_differ(const struct report *report, const char *key)
{
    const char *first = run_story_setting(&report->stories[0], key);
    for (int r = 1; r < report->count; r++) {
        const char *other = run_story_setting(&report->stories[r], key);
        if (!first != !other || (first && strcmp(first, other) != 0)) return true;
    }
    return false;
}

static void report_write_difference(const struct report *report, const char *key)
{
    FILE *out = report->out;
    fputs("<tr><td>", out);
    html_write_text(out, key);
    for (int r = 0; r < report->count; r++) {
        const char *value = run_story_setting(&report->stories[r], key);
        fputs("</td><td>", out);
        html_write_text(out, value ? value : "");
    }
    fputs("</td></tr>\n", out);
}

/* Whether a run before `r` has the key. A version may have keys that another has not. */
static bool report_has_setting(const struct report *report, int r, const char *key)
{
    while (r-- > 0)
        if (run_story_setting(&report->stories[r], key)) return true;
    return false;
}

/* Keys in which the runs differ, a column a run. */
static void report_write_differences(const struct report *report)
{
    FILE *out = report->out;
    bool any = false;
    fputs("<h2>Settings in which they differ</h2>\n<div class=\"wide\"><table>\n<tr><th>key</th>",
          out);
    for (int r = 0; r < report->count; r++) {
        fputs("<th>", out);
        html_write_text(out, report->stories[r].name);
        fputs("</th>", out);
    }
    fputs("</tr>\n", out);
    for (int r = 0; r < report->count; r++)
        for (size_t i = 0; i < report->stories[r].setting_count; i++) {
            const char *key = report->stories[r].settings[i].key;
            if (report_has_setting(report, r, key) || !report_settings_differ(report, key))
                continue;
            any = true;
            report_write_difference(report, key);
        }
    fputs("</table></div>\n", out);
    if (!any) fputs("<p class=\"dim\">none</p>\n", out);
}

/* The settings of a run of which nothing was said. */
static int report_read_defaults(struct run_story *defaults)
{
    struct config *config;
    char *text = NULL;
    TRY(config_load_text(&config, "defaults", "", 0, 0, NULL));
    int code = config_print_text(config, &text);
    if (code == OK) code = run_story_add_settings(defaults, text);
    free(text);
    config_free(config);
    return code;
}

static void report_write_settings_of(FILE *out, const struct run_story *story,
                                     const struct run_story *defaults)
{
    fputs("<h2>Settings</h2>\n", out);
    html_begin_facts(out);
    for (size_t i = 0; i < story->setting_count; i++) {
        const struct story_setting *setting = &story->settings[i];
        const char *usual = run_story_setting(defaults, setting->key);
        if (!usual || strcmp(usual, setting->value) != 0)
            html_add_fact(out, setting->key, setting->value);
    }
    html_end_facts(out);
    fputs("<details><summary>all of them (config.yaml)</summary><pre>", out);
    for (size_t i = 0; i < story->setting_count; i++) {
        html_write_text(out, story->settings[i].key);
        fputs(": ", out);
        html_write_text(out, story->settings[i].value);
        fputc('\n', out);
    }
    fputs("</pre></details>\n", out);
}

static int report_write_settings(FILE *out, const struct run_story *story)
{
    struct run_story defaults = {0};
    int code = report_read_defaults(&defaults);
    if (code == OK) report_write_settings_of(out, story, &defaults);
    run_story_free(&defaults);
    return code;
}

/* ---- processes and machine ---- */

static void report_write_machine(FILE *out, const struct run_story *story)
{
    const cJSON *start = run_story_event(story, "start"), *event;
    if (!start) return;
    fputs("<h2>Machine</h2>\n", out);
    html_begin_facts(out);
    html_add_fact(out, "device", report_word(start, "device"));
    html_add_fact(out, "host", report_word(start, "host"));
    html_add_fact(out, "system", report_word(start, "system"));
    html_add_fact(out, "processors", html_number(run_story_number(start, "processors")).text);
    html_add_fact(out, "memory", report_bytes(run_story_number(start, "memory")).text);
    html_add_fact(out, "imgtrain", report_word(start, "version"));
    html_end_facts(out);
    fputs("<details><summary>its processes</summary><div class=\"wide\"><table>\n"
          "<tr><th>time</th><th class=\"n\">step</th><th>what</th></tr>\n",
          out);
    cJSON_ArrayForEach(event, story->events)
    {
        double status = run_story_number(event, "status");
        fputs("<tr><td>", out);
        html_write_text(out, report_word(event, "time"));
        fprintf(out, "</td><td class=\"n\">%s</td><td>",
                html_number(run_story_number(event, "step")).text);
        html_write_text(out, report_word(event, "event"));
        if (!isnan(status)) fprintf(out, ", status %s ", html_number(status).text);
        html_write_text(out, report_word(event, "message"));
        fputs("</td></tr>\n", out);
    }
    fputs("</table></div></details>\n", out);
}

static void report_write_warnings(FILE *out, const struct run_story *story)
{
    if (story->warning_count == 0) return;
    fputs("<h2>Warnings</h2>\n<pre>", out);
    for (int i = 0; i < story->warning_count; i++) {
        html_write_text(out, story->warnings[i]);
        fputc('\n', out);
    }
    fputs("</pre>\n", out);
}

/* ---- the top ---- */

static void report_write_card(FILE *out, const char *label, const char *text)
{
    if (!*text) return;
    fputs("<div class=\"card\"><span class=\"dim\">", out);
    html_write_text(out, label);
    fputs("</span><b>", out);
    html_write_text(out, text);
    fputs("</b></div>\n", out);
}

double report_peak(const struct run_story *story)
{
    const double *bytes = run_story_column(story, "bytes");
    double most = (double)NAN;
    const cJSON *move;
    for (size_t i = 0; bytes && i < story->rows; i++)
        if (!(bytes[i] <= most)) most = bytes[i];
    cJSON_ArrayForEach(move, story->moves) most = fmax(most, run_story_number(move, "peak"));
    return most;
}

static void report_write_state(FILE *out, const struct run_story *story)
{
    fprintf(out, "<span class=\"state %s\">%s</span>", run_story_state(story),
            run_story_state(story));
}

static void report_write_top(FILE *out, const struct run_story *story)
{
    char step[80];
    const char *task = run_story_setting(story, "task");
    const cJSON *end = run_story_event(story, NULL);
    double total = run_story_number(run_story_event(story, "start"), "total");
    double at = run_story_last(story, "step"), latest = run_story_number(end, "step");
    if (isfinite(latest) && !(at >= latest)) at = latest; /* steps that were not measured */
    struct html_number done = html_number(at);
    fputs("<h1>", out);
    html_write_text(out, story->name);
    fputs(" ", out);
    report_write_state(out, story);
    fputs("</h1>\n<div class=\"cards\">\n", out);
    report_write_card(out, "task", task ? task : "");
    if (total > 0)
        snprintf(step, sizeof step, "%s of %s", done.text, html_number(total).text);
    else
        snprintf(step, sizeof step, "%s", done.text);
    report_write_card(out, "step", step);
    for (size_t c = 0; c < story->column_count; c++)
        if (report_is_measure(story->columns[c].name) &&
            run_story_direction(story->columns[c].name))
            report_write_card(out, story->columns[c].name,
                              html_number(run_story_last(story, story->columns[c].name)).text);
    report_write_card(out, "time", html_duration(run_story_last(story, "seconds")).text);
    report_write_card(out, "steps a second",
                      html_number(run_story_last(story, "steps_per_second")).text);
    report_write_card(out, "most memory", report_bytes(report_peak(story)).text);
    fputs("</div>\n", out);
    if (*report_word(end, "message")) {
        fputs("<p>", out);
        html_write_text(out, report_word(end, "message"));
        fputs("</p>\n", out);
    }
}

/* ---- pages ---- */

static int report_write_one(const struct report *report)
{
    const struct run_story *story = report->stories;
    report_write_top(report->out, story);
    if (story->frames.count > 0) fputs("<h2>Frames</h2>\n", report->out);
    TRY(frame_show_write(report->out, story, 0, false));
    TRY(report_write_curves(report));
    TRY(report_write_memory(report));
    report_write_warnings(report->out, story);
    TRY(report_write_settings(report->out, story));
    report_write_machine(report->out, story);
    return OK;
}

/* The best of a column among the runs' last numbers; NaN where more is neither better nor worse. */
static double report_best(const struct report *report, const char *column)
{
    int direction = run_story_direction(column);
    double best = (double)NAN;
    for (int r = 0; direction && r < report->count; r++) {
        double value = run_story_last(&report->stories[r], column);
        if (!isnan(value) && !(value * direction <= best * direction)) best = value;
    }
    return best;
}

static void report_write_row(const struct report *report, int r, const char *const *names,
                             int count)
{
    const struct run_story *story = &report->stories[r];
    const char *task = run_story_setting(story, "task");
    FILE *out = report->out;
    fputs("<tr><td class=\"run\">", out);
    report_write_swatch(out, r);
    html_write_text(out, story->path);
    fputs("</td><td>", out);
    html_write_text(out, task ? task : "");
    fputs("</td><td>", out);
    report_write_state(out, story);
    fprintf(out, "</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>",
            html_number(run_story_last(story, "step")).text,
            html_duration(run_story_last(story, "seconds")).text,
            report_bytes(report_peak(story)).text);
    for (int i = 0; i < count; i++) {
        if (!report_is_measure(names[i])) continue;
        double value = run_story_last(story, names[i]), best = report_best(report, names[i]);
        bool is_best = value >= best && value <= best;
        fprintf(out, "<td class=\"n%s\">%s</td>", is_best ? " best" : "", html_number(value).text);
    }
    fputs("</tr>\n", out);
}

static int report_write_table(const struct report *report)
{
    const char **names;
    int count;
    FILE *out = report->out;
    TRY(report_list_columns(report, &names, &count));
    fputs("<div class=\"wide\"><table>\n<tr><th>run</th><th>task</th><th>state</th>"
          "<th class=\"n\">step</th><th class=\"n\">time</th><th class=\"n\">most memory</th>",
          out);
    for (int i = 0; i < count; i++)
        if (report_is_measure(names[i])) {
            fputs("<th class=\"n\">", out);
            html_write_text(out, names[i]);
            fputs("</th>", out);
        }
    fputs("</tr>\n", out);
    for (int r = 0; r < report->count; r++)
        report_write_row(report, r, names, count);
    fputs("</table></div>\n", out);
    free(names);
    return OK;
}

int report_write_beside(const struct report *report)
{
    TRY(report_write_curves(report));
    TRY(report_write_memory(report));
    report_write_differences(report);
    fputs("<h2>Last frames</h2>\n", report->out);
    for (int r = 0; r < report->count; r++) {
        fputs("<h3>", report->out);
        html_write_text(report->out, report->stories[r].name);
        fputs("</h3>\n", report->out);
        TRY(frame_show_write(report->out, &report->stories[r], r, true));
    }
    return OK;
}

static int report_write_several(const struct report *report)
{
    fprintf(report->out, "<h1>%d runs</h1>\n", report->count);
    TRY(report_write_table(report));
    return report_write_beside(report);
}

static int report_write_page(struct report *report, const char *output)
{
    struct printed_text page;
    char title[160];
    report->out = printed_text_open(&page);
    if (!report->out) return ERR_SYSTEM;
    if (report->count == 1)
        snprintf(title, sizeof title, "%.100s: imgtrain", report->stories[0].name);
    else
        snprintf(title, sizeof title, "%d runs: imgtrain", report->count);
    html_begin(report->out, title);
    int code = report->count == 1 ? report_write_one(report) : report_write_several(report);
    html_end(report->out);
    int closed = printed_text_close(&page, report->out);
    if (code == OK) code = closed;
    if (code == OK) code = file_atomic_write_whole(output, page.text, page.bytes, false);
    free(page.text);
    return code;
}

int report_write(const char *const *paths, int count, const char *output)
{
    struct report report = {.count = count};
    char *own = output ? NULL : path_join(paths[0], "report.html");
    if (!output && !own) return ERR_SYSTEM;
    report.stories = calloc((size_t)count, sizeof *report.stories);
    int code = report.stories ? OK : fail(ERR_SYSTEM, "out of memory");
    for (int r = 0; r < count && code == OK; r++)
        code = run_story_read(&report.stories[r], paths[r]);
    if (code == OK) code = report_write_page(&report, output ? output : own);
    for (int r = 0; r < count && report.stories; r++)
        run_story_free(&report.stories[r]);
    free(report.stories);
    free(own);
    return code;
}
