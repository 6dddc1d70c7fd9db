#include "report/batch_report.h"

#include "base/error.h"
#include "base/file.h"
#include "base/file_atomic.h"
#include "base/format.h"
#include "base/json.h"
#include "config/config.h"
#include "report/html.h"
#include "report/report_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The runs that are shown with curves and frames: a page of more would be slow to open. */
enum { BATCH_MOST_SHOWN = 48 };

struct batch_report {
    const struct config *config;
    const struct batch_report_job *jobs; /* [count] */
    int count;
    struct report runs; /* those that have left something */
    int *story_of;      /* [count]: of a job, in `runs`; -1: none */
    const char **columns;
    int column_count;
};

/* ---- what they have in common ---- */

static const struct run_story *batch_story(const struct batch_report *b, int job)
{
    return b->story_of[job] < 0 ? NULL : &b->runs.stories[b->story_of[job]];
}

/* The values that vary, of a job: false behind the last. */
static bool batch_setting(const struct batch_report *b, int job, int which,
                          struct config_batch_value *value)
{
    return config_batch_value(b->config, b->jobs[job].number - 1, which, value);
}

static int batch_read(struct batch_report *b)
{
    b->runs.stories = calloc((size_t)b->count, sizeof *b->runs.stories);
    b->story_of = calloc((size_t)b->count, sizeof *b->story_of);
    if (!b->runs.stories || !b->story_of) return fail(ERR_SYSTEM, "out of memory");
    for (int i = 0; i < b->count; i++) {
        struct run_story *story = &b->runs.stories[b->runs.count];
        b->story_of[i] = -1;
        if (!b->jobs[i].folder || !file_is_dir(b->jobs[i].folder)) continue;
        int code = run_story_read(story, b->jobs[i].folder);
        if (code == OK && story->rows > 0) {
            b->story_of[i] = b->runs.count++;
            continue;
        }
        run_story_free(story);
        if (code == ERR_SYSTEM) return code;
    }
    return report_list_columns(&b->runs, &b->columns, &b->column_count);
}

static void batch_free(struct batch_report *b)
{
    for (int i = 0; i < b->runs.count; i++)
        run_story_free(&b->runs.stories[i]);
    free(b->runs.stories);
    free(b->story_of);
    free(b->columns);
}

/* ---- CSV ---- */

/* RFC 4180: quoted where it must be. */
static void csv_write_text(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void csv_write_number(FILE *out, double value)
{
    fputc(',', out);
    if (isfinite(value)) fprintf(out, "%.9g", value);
}

static void batch_write_csv(FILE *out, const struct batch_report *b)
{
    struct config_batch_value value;
    fputs("run,folder,state,status", out);
    for (int k = 0; b->count > 0 && batch_setting(b, 0, k, &value); k++) {
        fputc(',', out);
        csv_write_text(out, value.key);
    }
    fputs(",peak_bytes", out);
    for (int c = 0; c < b->column_count; c++) {
        fputc(',', out);
        csv_write_text(out, b->columns[c]);
    }
    fputs(",message\n", out);
    for (int i = 0; i < b->count; i++) {
        const struct batch_report_job *job = &b->jobs[i];
        const struct run_story *story = batch_story(b, i);
        fprintf(out, "%d,", job->number);
        csv_write_text(out, job->folder ? job->folder : "");
        fprintf(out, ",%s,", job->state);
        if (job->status >= 0) fprintf(out, "%d", job->status);
        for (int k = 0; batch_setting(b, i, k, &value); k++) {
            fputc(',', out);
            csv_write_text(out, value.text);
        }
        csv_write_number(out, story ? report_peak(story) : (double)NAN);
        for (int c = 0; c < b->column_count; c++)
            csv_write_number(out, story ? run_story_last(story, b->columns[c]) : (double)NAN);
        fputc(',', out);
        csv_write_text(out, job->message ? job->message : "");
        fputc('\n', out);
    }
}

/* ---- JSON ---- */

static void json_write_or_null(FILE *out, const char *text)
{
    if (text)
        json_write_string(out, text);
    else
        fputs("null", out);
}

static int batch_count_state(const struct batch_report *b, const char *state)
{
    int count = 0;
    for (int i = 0; i < b->count; i++)
        count += strcmp(b->jobs[i].state, state) == 0;
    return count;
}

static void batch_write_json_run(FILE *out, const struct batch_report *b, int i)
{
    const struct batch_report_job *job = &b->jobs[i];
    const struct run_story *story = batch_story(b, i);
    struct config_batch_value value;
    fprintf(out, "{\"run\": %d, \"folder\": ", job->number);
    json_write_or_null(out, job->folder);
    fprintf(out, ", \"state\": \"%s\", \"status\": ", job->state);
    if (job->status >= 0)
        fprintf(out, "%d", job->status);
    else
        fputs("null", out);
    fputs(", \"message\": ", out);
    json_write_or_null(out, job->message);
    fputs(", \"settings\": {", out);
    for (int k = 0; batch_setting(b, i, k, &value); k++) {
        fputs(k ? ", " : "", out);
        json_write_string(out, value.key);
        fputs(": ", out);
        json_write_string(out, value.text);
    }
    fputs("}, \"peak_bytes\": ", out);
    json_write_number(out, story ? report_peak(story) : (double)NAN);
    fputs(", \"metrics\": {", out);
    for (int c = 0; story && c < b->column_count; c++) {
        fputs(c ? ", " : "", out);
        json_write_string(out, b->columns[c]);
        fputs(": ", out);
        json_write_number(out, run_story_last(story, b->columns[c]));
    }
    fputs("}}", out);
}

static void batch_write_json(FILE *out, const struct batch_report *b)
{
    static const char *const states[] = {"done", "failed", "stopped", "waiting"};
    fputs("{", out);
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        fprintf(out, "\"%s\": %d, ", states[i], batch_count_state(b, states[i]));
    fputs("\"runs\": [\n", out);
    for (int i = 0; i < b->count; i++) {
        batch_write_json_run(out, b, i);
        fputs(i + 1 < b->count ? ",\n" : "\n", out);
    }
    fputs("]}\n", out);
}

/* ---- HTML ---- */

static void batch_write_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    html_write_text(out, text);
    fputs("</td>", out);
}

static void batch_write_row(FILE *out, const struct batch_report *b, int i)
{
    const struct batch_report_job *job = &b->jobs[i];
    const struct run_story *story = batch_story(b, i);
    struct config_batch_value value;
    const char *colour = strcmp(job->state, "done") == 0 ? "finished" : job->state;
    fprintf(out, "<tr><td class=\"n\">%d</td>", job->number);
    batch_write_cell(out, job->folder ? job->folder : "");
    fprintf(out, "<td><span class=\"state %s\">%s</span></td>", colour, job->state);
    batch_write_cell(out, job->message ? job->message : "");
    for (int k = 0; batch_setting(b, i, k, &value); k++)
        batch_write_cell(out, value.text);
    fprintf(out, "<td class=\"n\">%s</td><td class=\"n\">%s</td>",
            html_number(story ? run_story_last(story, "step") : (double)NAN).text,
            html_duration(story ? run_story_last(story, "seconds") : (double)NAN).text);
    for (int c = 0; c < b->column_count; c++)
        if (report_is_measure(b->columns[c]))
            fprintf(out, "<td class=\"n\">%s</td>",
                    html_number(story ? run_story_last(story, b->columns[c]) : (double)NAN).text);
    fputs("</tr>\n", out);
}

static int batch_write_html(FILE *out, struct batch_report *b, const char *title)
{
    struct config_batch_value value;
    int shown = b->runs.count, code = OK;
    html_begin(out, title);
    fputs("<h1>", out);
    html_write_text(out, title);
    fprintf(out, "</h1>\n<p>%d runs: %d done, %d failed, %d stopped, %d not begun</p>\n", b->count,
            batch_count_state(b, "done"), batch_count_state(b, "failed"),
            batch_count_state(b, "stopped"), batch_count_state(b, "waiting"));
    fputs("<div class=\"wide\"><table>\n<tr><th "
          "class=\"n\">#</th><th>folder</th><th>state</th><th></th>",
          out);
    for (int k = 0; b->count > 0 && batch_setting(b, 0, k, &value); k++) {
        fputs("<th>", out);
        html_write_text(out, value.key);
        fputs("</th>", out);
    }
    fputs("<th class=\"n\">step</th><th class=\"n\">time</th>", out);
    for (int c = 0; c < b->column_count; c++)
        if (report_is_measure(b->columns[c])) {
            fputs("<th class=\"n\">", out);
            html_write_text(out, b->columns[c]);
            fputs("</th>", out);
        }
    fputs("</tr>\n", out);
    for (int i = 0; i < b->count; i++)
        batch_write_row(out, b, i);
    fputs("</table></div>\n", out);
    if (b->runs.count > BATCH_MOST_SHOWN) {
        fprintf(out, "<p class=\"dim\">Below: the first %d of them.</p>\n", BATCH_MOST_SHOWN);
        b->runs.count = BATCH_MOST_SHOWN;
    }
    b->runs.out = out;
    if (b->runs.count > 0) code = report_write_beside(&b->runs);
    b->runs.count = shown;
    html_end(out);
    return code;
}

/* ---- files ---- */

enum batch_format { BATCH_CSV, BATCH_JSON, BATCH_HTML, BATCH_FORMATS };

static int batch_write_file(struct batch_report *b, const char *prefix, enum batch_format format)
{
    static const char *const endings[BATCH_FORMATS] = {"csv", "json", "html"};
    struct printed_text printed = {.text = NULL};
    char *path = string_format("%s.%s", prefix, endings[format]);
    const char *slash = strrchr(prefix, '/');
    FILE *out = path ? printed_text_open(&printed) : NULL;
    int code = out ? OK : ERR_SYSTEM;
    if (out && format == BATCH_CSV) batch_write_csv(out, b);
    if (out && format == BATCH_JSON) batch_write_json(out, b);
    if (out && format == BATCH_HTML) code = batch_write_html(out, b, slash ? slash + 1 : prefix);
    int closed = out ? printed_text_close(&printed, out) : OK;
    if (code == OK) code = closed;
    if (code == OK) code = file_atomic_write_whole(path, printed.text, printed.bytes, false);
    free(printed.text);
    free(path);
    return code;
}

int batch_report_write(const char *prefix, const struct config *config,
                       const struct batch_report_job *jobs, int count)
{
    struct batch_report b = {.config = config, .jobs = jobs, .count = count};
    int code = batch_read(&b);
    for (int format = 0; format < BATCH_FORMATS && code == OK; format++)
        code = batch_write_file(&b, prefix, (enum batch_format)format);
    batch_free(&b);
    return code;
}
